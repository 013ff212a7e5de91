"""Internal: what is asked of the server: statements, one round trip each; each a call that ends in time."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from divan.backends.pools import Lease, Pool
from divan.errors import ConnectionFailed, DatabaseNotFound, DivanError, StoreClosed, StoreError

from divan_postgres import sql
from divan_postgres.errors import CONTENDED, NATIVE_ERRORS, UNPREPARED, Unreachable, translate
from divan_postgres.options import MAINTENANCE, Settings
from divan_postgres.wire import Command, Wire

_T = TypeVar("_T")

_LOST: Final = ("08", "57P")
_PAUSE: Final = 0.02  # seconds, about, before what met somebody else's transaction is tried again


class Client:
    """The server that a URL names, and in it the table of documents.

    Args:
        settings: What the URL asks for.

    Attributes:
        table: The table, as it stands in a statement.
        keeps: Whether statements are prepared.

    Raises:
        ConnectionFailed, AuthenticationFailed, OperationTimeout: if there is no server that answers.
        DatabaseNotFound: if the database or table is missing and may not be made.
        StoreError: if the table has another form.
    """

    def __init__(self, settings: Settings) -> None:
        options = settings.options
        self._settings = settings
        self._shown = f"PostgreSQL at {settings.shown}"
        self._timeout: float = options["timeout"]
        self._retries: int = options["retries"]
        self._closed = False
        self._native: tuple[int, Any] | None = None
        self._spared: weakref.WeakSet[Any] = weakref.WeakSet()
        self.keeps: bool = options["prepare"]
        self.table: str = options["table"]
        limit = options["max_connections"]
        self._pool = Pool(lambda ends: Wire(settings), limit, options["connect_timeout"], self._shown, self._spare)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # Statements

    def read(self, command: Command) -> Any:
        """The result of a statement that changes nothing; it is sent again, if the connection was lost."""
        return self._guarded(lambda ends: self._exchange([command], ends)[0], self._retries)

    def read_all(self, commands: Sequence[Command]) -> list[Any]:
        """The results of statements that change nothing, sent in one go."""
        return self._guarded(lambda ends: self._exchange(commands, ends), self._retries)

    def write(self, command: Command) -> Any:
        """The result of a statement."""
        return self._guarded(lambda ends: self._exchange([command], ends)[0])

    def write_all(self, commands: Sequence[Command]) -> list[Any]:
        """The results of statements that are one transaction, sent in one go."""
        return self._guarded(lambda ends: self._exchange(commands, ends))

    def rows(self, command: Command) -> list[tuple[bytes | None, ...]]:
        """The rows of a statement that changes nothing."""
        return rows_of(self.read(command))

    def look_until(
        self, command: Command, is_enough: Callable[[list[Any]], bool], channel: str, seconds: float
    ) -> list[tuple[bytes | None, ...]]:
        """The rows of a statement that changes nothing, looked for again while they are not enough.

        Args:
            command: The statement.
            is_enough: Whether its rows are.
            channel: Where it is notified that they may be more.
            seconds: How long to wait for that.
        """
        until = monotonic() + min(seconds, self._timeout / 2)
        listen, unlisten = (Command(f"{word} {sql.identifier_of_one(channel)}") for word in ("LISTEN", "UNLISTEN"))
        rows = self.rows(command)
        if seconds <= 0 or is_enough(rows):
            return rows

        def look(ends: float) -> list[tuple[bytes | None, ...]]:
            lease = self._pool.lease(ends)
            try:
                wire = lease.connection
                _checked(wire.exchange([listen], ends))
                while True:
                    rows = rows_of(_checked(wire.exchange([command], ends))[0])
                    left = until - monotonic()
                    if left <= 0 or is_enough(rows) or self._closed:
                        break
                    wire.wait_for_notice(left)
                _checked(wire.exchange([unlisten], ends))
            except BaseException:
                lease.drop()
                raise
            lease.release()
            return rows

        return self._guarded(look, self._retries)

    def begin(self, commands: Sequence[Command]) -> tuple[Lease, list[Any]]:
        """The results of the statements that begin a transaction, and the connection that it is on."""

        def begin(ends: float) -> tuple[Lease, list[Any]]:
            lease = self._pool.lease(ends)
            try:
                return lease, _checked(lease.connection.exchange(commands, ends))
            except BaseException:
                lease.drop()
                raise

        return self._guarded(begin, self._retries)

    def go_on(self, lease: Lease, commands: Sequence[Command], ends: float | None = None) -> list[Any]:
        """The results of further statements of a transaction; the connection is dropped if that fails."""
        try:
            return self._guarded(lambda own: _checked(lease.connection.exchange(commands, ends or own)), again=False)
        except BaseException:
            lease.drop()
            raise

    def end(self, lease: Lease) -> None:
        """End a transaction, and give its connection back; no answer is waited for."""
        try:
            lease.connection.send_last(b"COMMIT")
        except BaseException as error:
            lease.drop()
            if not isinstance(error, psycopg.Error):
                raise
        else:
            lease.release()

    def spare(self, rows: Any) -> None:
        """Have something that holds a connection for later be asked for it when none is left: by its ``give_up``."""
        self._spared.add(rows)

    def _spare(self, ends: float) -> bool:
        """Free a connection that is held for later."""
        return any(rows.give_up(ends) for rows in list(self._spared))

    # The store

    @property
    def native(self) -> Any:
        """A connection of psycopg's in autocommit mode, for the caller's own use; a process has one of its own."""
        self.check_open()
        if self._native is None or self._native[0] != os.getpid() or self._native[1].closed:

            def connect(ends: float) -> Any:
                (attempt, *_) = self._settings.attempts(None)
                return psycopg.connect(attempt.value.decode(), autocommit=True)

            self._native = os.getpid(), self._guarded(connect)
        return self._native[1]

    def ping(self) -> None:
        """Return if the server answers."""
        self.read(Command("SELECT 1"))

    def close(self) -> None:
        """Release the connections."""
        self._closed = True
        self._pool.close()
        if self._native is not None and self._native[0] == os.getpid():
            self._native[1].close()

    def check_open(self) -> None:
        """Raise `StoreClosed` after `close()`."""
        if self._closed:
            raise StoreClosed(f"the connection to {self._shown} is closed; open the store again")

    def while_open(self, found: Iterable[_T]) -> Iterator[_T]:
        """Pass on what was found, until the client is closed."""
        for item in found:
            self.check_open()
            yield item

    def make_index(self, fields: Sequence[str]) -> str:
        """Make the index on these fields, unless it is there; its name."""
        name = sql.index_name(self.table, fields)
        concurrently = self._settings.options["concurrently"]
        look = Command(sql.INDEX_SQL, (sql.identifier(self.table).encode(), name.encode()))
        for valid in self.rows(look):
            if valid[0] == b"t":
                return name
            self.write(Command(sql.drop_index_sql(self.table, fields)))  # of which the making was broken off
        self._make(sql.create_index_sql(self.table, fields, concurrently=concurrently))
        return name

    # Below: native errors fly, and `_guarded` is what catches them

    def _guarded(self, function: Callable[[float], _T], retries: int = 0, *, again: bool = True) -> _T:
        """What a function returns that is given when the call has to end; it is called again if that may help.

        Args:
            function: The function.
            retries: How many times it may be called again after a lost connection.
            again: Whether it may be called again after nothing was done for somebody else's transaction.
        """
        self.check_open()
        ends = monotonic() + self._timeout
        while True:
            try:
                return function(ends)
            except NATIVE_ERRORS as error:
                failure = error
            self.check_open()
            state = getattr(failure, "sqlstate", None) or ""
            if again and state in CONTENDED and monotonic() + _PAUSE < ends:
                time.sleep(random.uniform(0, _PAUSE))
                continue
            is_lost = isinstance(failure, psycopg.Error) and (not state or state.startswith(_LOST))
            if not retries or not is_lost or monotonic() >= ends:
                raise translate(failure, self._shown, self._timeout) from failure
            retries -= 1

    def _exchange(self, commands: Sequence[Command], ends: float) -> list[Any]:
        found = self._pool.exchange(commands, ends)
        refusal = next((answer for answer in found if isinstance(answer, psycopg.Error)), None)
        if refusal is None:
            return found
        if refusal.sqlstate in UNPREPARED and any(command.keep for command in commands):
            return _checked(self._pool.exchange([command._replace(keep=False) for command in commands], ends))
        raise refusal

    # Opening

    def _open(self) -> None:
        if not self._find_table() and not self._settings.options["create"]:
            where = f"{self._shown} has no table {self.table} in {self._settings.database!r}"
            raise DatabaseNotFound(f"{where}, and create=false wants one")

    def _find_table(self) -> bool:
        """Whether the table is there, which is made if it may be; its form is checked."""
        command = Command(sql.TABLE_SQL, (sql.identifier(self.table).encode(),))
        may_create: bool = self._settings.options["create"]
        try:
            columns = rows_of(self.read(command))
        except ConnectionFailed as error:
            if not isinstance(error.__cause__, Unreachable) or f'"{self._settings.database}"' not in str(error):
                raise
            self._make_database(error, may_create=may_create)
            columns = rows_of(self.read(command))
        if not columns and may_create:
            self._make(sql.create_table_sql(self.table))
            columns = rows_of(self.read(command))
        if columns:
            self._check_table(columns)
        return bool(columns)

    def _make(self, statement: str) -> None:
        """Run a statement that makes something, unless somebody else was first to make the same."""
        try:
            self.write(Command(statement))
        except StoreError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state not in ("23505", "42P07", "42710"):
                raise

    def _make_database(self, failure: ConnectionFailed, *, may_create: bool) -> None:
        """Make the database, if it is for want of it that no connection could be opened."""
        name = self._settings.database
        pool = Pool(
            lambda ends: Wire(self._settings, MAINTENANCE), 1, self._settings.options["connect_timeout"], self._shown
        )

        def run(command: Command) -> Any:
            return self._guarded(lambda ends: _checked(pool.exchange([command], ends))[0])

        try:
            try:
                found = rows_of(run(Command("SELECT 1 FROM pg_database WHERE datname = $1::text", (name.encode(),))))
            except DivanError:
                raise failure from failure.__cause__
            if found:
                raise failure from failure.__cause__
            if not may_create:
                message = f"{self._shown} has no database {name!r}, and create=false wants one"
                raise DatabaseNotFound(message) from failure.__cause__
            try:
                run(Command(f"CREATE DATABASE {sql.identifier_of_one(name)} ENCODING 'UTF8' TEMPLATE template0"))
            except DivanError as error:
                if getattr(error.__cause__, "sqlstate", None) not in ("42P04", "23505"):  # somebody else was first
                    raise
        finally:
            pool.close()

    def _check_table(self, columns: Sequence[tuple[bytes | None, ...]]) -> None:
        """Raise if the table's columns are not of the form that the statements need."""
        there = {name: rest for name, *rest in columns}
        t, f = b"t", b"f"
        identity, revision, body = there.get(b"id"), there.get(b"rev"), there.get(b"body")
        wrong = ""
        if identity is None or identity[0] != b"text" or identity[2] != t:
            wrong = 'a column id text COLLATE "C"'
        elif identity[3] == f:
            wrong = "a primary key, or a unique index, on id alone"
        elif revision is None or revision[:2] != [b"bigint", t]:
            wrong = "a column rev bigint NOT NULL"
        elif body is None or body[:2] != [b"jsonb", t]:
            wrong = "a column body jsonb NOT NULL"
        if wrong:
            raise StoreError(
                f"the table {self.table} in {self._shown} can hold no documents: it lacks {wrong}; alter it, or name "
                "another by table=…"
            )


def _checked(answers: list[Any]) -> list[Any]:
    """The answers; the first that is an error is raised."""
    for answer in answers:
        if isinstance(answer, psycopg.Error):
            raise answer
    return answers


def rows_of(result: Any) -> list[tuple[bytes | None, ...]]:
    """The rows of a result."""
    value = result.get_value
    columns = range(result.nfields)
    return [tuple([value(row, column) for column in columns]) for row in range(result.ntuples)]
