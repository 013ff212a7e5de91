"""Internal: one connection to a server, by libpq as psycopg wraps it; its every step ends by a call's deadline.

psycopg's own cursors wait as long as it takes, and spend several times the CPU on the few types that are needed here.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, NamedTuple

from psycopg import pq
from psycopg.errors import Error, OperationalError, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, PollingStatus, TransactionStatus

from divan_postgres.errors import Late, Misread, Unreachable, is_refusal
from divan_postgres.options import Settings

_READ: Final = 1
_WRITE: Final = 4
_MAX_PREPARED: Final = 100  # statements a connection, as psycopg keeps
_ROWS: Final = ExecStatus.TUPLES_OK
_DONE: Final = ExecStatus.COMMAND_OK
_FAILED: Final = ExecStatus.FATAL_ERROR
_SYNC: Final = ExecStatus.PIPELINE_SYNC
_SKIPPED: Final = ExecStatus.PIPELINE_ABORTED


class Command(NamedTuple):
    """One statement.

    Attributes:
        sql: Its text.
        parameters: Its parameters: text in UTF-8, or PostgreSQL's binary form; `None` for NULL.
        formats: For each parameter, 1 if it is in binary form; `None` if all are text.
        keep: Whether it is worth being prepared on the server.
    """

    sql: str
    parameters: tuple[bytes | None, ...] = ()
    formats: tuple[int, ...] | None = None
    keep: bool = False


class Wire:
    """A connection that is opened once, and thrown away when anything has gone wrong.

    Args:
        settings: What the URL asks for.
        database: A database in place of the URL's.

    Attributes:
        mark: The weak reference by which its pool counts it.
    """

    mark: Any = None

    def __init__(self, settings: Settings, database: str | None = None) -> None:
        self._settings = settings
        self._database = database
        self._pid = os.getpid()
        self._native: Any = None
        self._fd = -1
        self._prepared: dict[str, bytes] = {}
        self._names = 0
        self._is_owed = False  # the answer to a statement that nobody waits for

    # Opening

    def open(self, seconds: float, ends: float) -> None:
        """Connect, and log in.

        Args:
            seconds: How long connecting may take, to all of the hosts in turn.
            ends: When the call has to end.

        Raises:
            Unreachable: if no server that would do takes the connection.
        """
        ends = min(monotonic() + seconds, ends)
        attempts = self._settings.attempts(self._database)
        problems: list[Unreachable] = []
        for number, attempt in enumerate(attempts):
            share = monotonic() + (ends - monotonic()) / (len(attempts) - number)
            try:
                self._connect(attempt, share)
                break
            except Unreachable as problem:
                problems.append(problem)
                self.disconnect()
        else:
            raise Unreachable(
                "; ".join(dict.fromkeys(map(str, problems))),
                is_refused=any(problem.is_refused for problem in problems),
                is_late=all(problem.is_late for problem in problems),
            )
        self._native.nonblocking = 1
        try:
            self._native.send_query(self._session().encode())
            self._flush(ends)
            answer = self._answer(ends)
        except Late:
            raise Unreachable("it did not answer in time", is_late=True) from None
        if isinstance(answer, Exception):
            raise answer
        encoding = self._native.parameter_status(b"server_encoding")
        if encoding not in (b"UTF8", None):
            raise Misread(f"its database is encoded as {encoding.decode()}, and documents need UTF8")

    def _session(self) -> str:
        milliseconds = max(1, int(self._settings.options["timeout"] * 1000))
        return (
            f"SET statement_timeout = {min(milliseconds, 2**31 - 1)}; SET idle_in_transaction_session_timeout = 0; "
            "SET default_transaction_isolation = 'read committed'; SET extra_float_digits = 1"
        )

    def _connect(self, attempt: Any, ends: float) -> None:
        native = self._native = pq.PGconn.connect_start(attempt.value)
        while native.status != ConnStatus.BAD:
            step = native.connect_poll()
            if step == PollingStatus.OK:
                self._fd = native.socket
                return
            if step == PollingStatus.FAILED:
                break
            try:
                _wait(native.socket, _READ if step == PollingStatus.READING else _WRITE, ends)
            except Late:
                raise Unreachable("timed out while connecting", is_late=True) from None
        message = " ".join(native.get_error_message().split())
        raise Unreachable(message, is_refused=bool(native.needs_password) or is_refusal(message))

    # Using

    def is_quiet(self) -> bool:
        """Whether the server has neither closed the connection nor sent what nobody asked for."""
        native = self._native
        if self._pid != os.getpid() or native is None or native.status != ConnStatus.OK:
            return False
        try:
            if self._is_owed:
                native.consume_input()
                while not native.is_busy():
                    if native.get_result() is None:
                        self._is_owed = False
                        break
                else:
                    return True
        except OperationalError:
            return False
        return native.transaction_status == TransactionStatus.IDLE and not _is_ready(self._fd)

    def exchange(self, commands: Sequence[Command], ends: float) -> list[Any]:
        """What the server answers to each command: a `PGresult`, or the error with which it refuses it.

        Several are sent in one go, and are one transaction: behind one that is refused none is carried out.

        Args:
            commands: The commands.
            ends: When the call has to end.

        Raises:
            psycopg.OperationalError: if the connection is lost; it is of no more use, as behind any other of these.
            Late: if the server does not answer in time.
            Misread: if it answers with what is no answer.
        """
        self._settle(ends)
        if len(commands) == 1 and (not commands[0].keep or commands[0].sql in self._prepared):
            self._send(commands[0])
            self._flush(ends)
            return [self._answer(ends)]
        return self._exchange_many(commands, ends)

    def _exchange_many(self, commands: Sequence[Command], ends: float) -> list[Any]:
        """What the server answers to commands that are sent in one go, those that are to be kept prepared first."""
        native = self._native
        native.enter_pipeline_mode()
        sent: list[str | None] = []
        for command in commands:
            sql = command.sql
            if command.keep and sql not in self._prepared and len(self._prepared) < _MAX_PREPARED:
                name = b"divan_%d" % self._names
                self._names += 1
                native.send_prepare(name, sql.encode())
                self._prepared[sql] = name
                sent.append(sql)
            self._send(command)
            sent.append(None)
        native.pipeline_sync()
        self._flush(ends)
        answers = [self._answer(ends) for _ in sent]
        if self._receive(ends).status != _SYNC:
            raise Misread("one to no statement")
        native.exit_pipeline_mode()
        refusal = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if refusal is not None:
            for name_of in sent:
                if name_of is not None:
                    self._prepared.pop(name_of, None)
        return [
            refusal if answer is None else answer
            for answer, prepared in zip(answers, sent, strict=True)
            if prepared is None
        ]

    def wait_for_notice(self, seconds: float) -> None:
        """Wait until the server notifies of something on a channel that is listened to, or so long.

        Raises:
            psycopg.OperationalError: if the connection is lost.
        """
        native = self._native
        if native.notifies() is None and _is_ready(self._fd, _READ, seconds):
            native.consume_input()
        while native.notifies() is not None:
            pass

    def forget_prepared(self) -> None:
        """Prepare statements anew, under other names: the server has lost them, or made them for another table."""
        self._prepared.clear()

    def send_last(self, sql: bytes) -> None:
        """Send a statement with which a transaction ends, and wait for its answer only when the connection is used."""
        self._is_owed = True
        self._native.send_query(sql)
        self._native.flush()

    def _settle(self, ends: float) -> None:
        if self._is_owed:
            self._answer(ends)
            self._is_owed = False

    def _send(self, command: Command) -> None:
        name = self._prepared.get(command.sql) if command.keep else None
        if name is None:
            self._native.send_query_params(command.sql.encode(), command.parameters, param_formats=command.formats)
        else:
            self._native.send_query_prepared(name, command.parameters, param_formats=command.formats)

    def _flush(self, ends: float) -> None:
        native = self._native
        while native.flush():
            _wait(self._fd, _READ | _WRITE, ends)
            native.consume_input()  # or the server, which nobody listens to, would stop reading

    def _receive(self, ends: float) -> Any:
        native = self._native
        while native.is_busy():
            _wait(self._fd, _READ, ends)
            native.consume_input()
        return native.get_result()

    def _answer(self, ends: float) -> Any:
        """The answer to one statement, or to several in one text the last; `None` if it was skipped."""
        found: Any = Misread("none")
        while (result := self._receive(ends)) is not None:
            status = result.status
            if status in (_ROWS, _DONE):
                if not isinstance(found, Error):
                    found = result
            elif status == _FAILED:
                found = error_from_result(result)
                if found.sqlstate is None:
                    raise OperationalError(str(found) or "the connection is lost")
            elif status == _SKIPPED:
                found = None
            else:
                raise Misread(f"a result of the kind {ExecStatus(status).name}")
        if isinstance(found, Misread):
            if self._native.status != ConnStatus.OK:
                raise OperationalError(" ".join(self._native.get_error_message().split()) or "the connection is lost")
            raise found
        return found

    # Closing

    def disconnect(self) -> None:
        """Close the connection, in the process that opened it."""
        native, self._native = self._native, None
        if native is not None and self._pid == os.getpid():
            native.finish()

    def sever(self) -> None:
        """Have whoever waits for an answer, in another thread, wait no longer."""
        if self._native is not None and self._fd >= 0:
            with suppress(OSError), socket.socket(fileno=os.dup(self._fd)) as twin:
                twin.shutdown(socket.SHUT_RDWR)


def _wait(fd: int, events: int, ends: float) -> None:
    """Wait until a connection can be read, or written.

    Raises:
        Late: if it can't in time.
    """
    left = ends - monotonic()
    if left <= 0 or not _is_ready(fd, events, left):
        raise Late


if hasattr(select, "poll"):

    def _is_ready(fd: int, events: int = _READ, seconds: float = 0.0) -> bool:
        poll = select.poll()
        poll.register(fd, events)
        return bool(poll.poll(seconds * 1000))

else:

    def _is_ready(fd: int, events: int = _READ, seconds: float = 0.0) -> bool:
        readers, writers = [fd] if events & _READ else [], [fd] if events & _WRITE else []
        return any(select.select(readers, writers, [], seconds))
