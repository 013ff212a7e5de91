"""Internal: the connections to one SQLite file: shared between threads, kept out of forks, closed.

Reading takes any free connection, so that readers never wait. Writing takes the only one that writes, under a lock: the
threads of a process queue there, first come, first served, instead of polling inside SQLite. Several processes share
the file by SQLite's own locks, each waiting for the other at most `DatabaseFile.timeout`.

A signal's handler may raise at any instruction. What a call has to itself it then closes, or drops: a connection whose
cursor nobody has any more is closed before the next one is opened.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack

from divan.backends.locks import FairLock, Turn
from divan.backends.sqlite import forks
from divan.backends.sqlite.errors import Translate, translate, translate_opening
from divan.backends.sqlite.opening import check_file, open_first, wait_until
from divan.errors import ConnectionFailed, DivanError, OperationTimeout, StoreClosed, StoreError

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class DatabaseFile:
    """The connections to one SQLite file.

    Args:
        path: The file's path.
        table: The table of documents.
        timeout: How long to wait for another writer, in seconds.
        create: Whether to make the file and the table if they are missing.
        read_only: Whether never to write.

    Attributes:
        path: The file's absolute path.
        table: The table's name.
        timeout: How long to wait for another writer, in seconds.
        generation: Counts the forks that this process has come out of as the child.
        readers: The free cursors, each of a connection of its own; take one with `borrow`, and append it again.

    Raises:
        DatabaseNotFound: if the file or table is missing and may not be made.
        ConnectionFailed: if the file can't be opened, or is no database.
        StoreError: if the table is another program's.
    """

    def __init__(self, path: str, table: str, *, timeout: float, create: bool, read_only: bool) -> None:
        self.path = Path(path).absolute()
        self._name = str(self.path)  # which `os.stat` takes faster
        self.table = table
        self.timeout = timeout
        self.generation = 0
        self.readers: Any = []
        self._lock = FairLock()
        self._turn: Turn | None = None  # of whoever wrote last
        self._writer: sqlite3.Cursor | None = None
        self._writer_is_hurried = False
        self._native: sqlite3.Cursor | None = None
        self._native_is_known = False
        self._held: set[weakref.ref[Any]] = set()
        self._many_held = 100
        self._users: dict[sqlite3.Connection, weakref.ref[sqlite3.Cursor]] = {}  # connection → its only cursor
        self._identity: tuple[int, int] | None = None
        self._closed = False
        check_file(self.path, create=create and not read_only)
        forks.files.add(self)
        try:
            self._uri, self._native = open_first(
                self._connect, self.path, table, timeout=timeout, create=create, read_only=read_only
            )
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translate_opening(error, self.path, timeout) from error
        self._identity = forks.identity(self.path)

    # Connections

    def _connect(self, uri: str) -> sqlite3.Cursor:
        """The cursor of a new connection, in autocommit mode, that any thread may use."""
        connect = partial(
            sqlite3.connect, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False
        )
        made: list[sqlite3.Connection] = []
        try:
            with forks.opening:
                if forks.inherited and forks.identity(self.path) in forks.inherited:
                    raise ConnectionFailed(
                        f"this process was forked while an iterator, a call or the native handle of {self.path} was in "
                        "use, which SQLite does not survive; finish them before the fork, or start the process by spawn"
                    )
                if self._identity is not None:
                    self._check_place()
                self._discard_lost()
                made.extend(map(connect, (uri,)))  # one call of C: no interrupt comes between opening and keeping
                cursor = made[0].cursor()
                self._users[made[0]] = weakref.ref(cursor)
            cursor.execute("PRAGMA synchronous=FULL")
        except BaseException:
            for connection in made:
                self.discard(connection)
            raise
        return cursor

    def discard(self, connection: sqlite3.Connection) -> None:
        """Close a connection."""
        with forks.opening:
            connection.close()
            self._users.pop(connection, None)

    def _discard_lost(self) -> None:
        """Close the connections whose cursor nobody has any more, for an interrupt came when it was lent."""
        for connection, user in list(self._users.items()):
            if user() is None:
                self.discard(connection)

    def _check_place(self) -> None:
        """Refuse to go on with a file that its path does not name any more."""
        try:
            status = os.stat(self._name)
            if (status.st_dev, status.st_ino) == self._identity:
                return
            what = "is another file than the one that was opened"
        except OSError:
            what = "is gone"
        raise ConnectionFailed(f"the file {self.path} {what}; nothing was written; open the store again")

    def native(self) -> sqlite3.Connection:
        """A connection that is the caller's to keep; always the same one."""
        if self._closed:
            raise self._is_closed()
        self._native_is_known = True
        if self._native is None:
            self._native = self._new_cursor()
        return self._native.connection

    def borrow(self) -> sqlite3.Cursor:
        """A cursor to read with, for the borrower alone until it is appended to `readers` again."""
        try:
            cursor: sqlite3.Cursor = self.readers.pop()
        except IndexError:
            return self._new_cursor()
        return cursor

    def _new_cursor(self) -> sqlite3.Cursor:
        try:
            return self._connect(self._uri)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise translate_opening(error, self.path, self.timeout) from error

    def fetch(self, sql: str, parameters: Sequence[Any] = (), meaning: Translate = translate) -> list[tuple[Any, ...]]:
        """Run one statement that reads, and return all of its rows.

        Args:
            sql: The statement.
            parameters: Its parameters.
            meaning: Says what an error of SQLite's means.
        """
        try:  # as `borrow` does, whose call every `get` would pay for
            cursor: sqlite3.Cursor = self.readers.pop()
        except IndexError:
            cursor = self._new_cursor()
        try:
            rows = cursor.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            self.readers.append(cursor)
            raise meaning(error, self.path, self.timeout) from error
        except BaseException:  # a signal's handler raised, perhaps before the rows were fetched
            cursor.connection.close()
            raise
        self.readers.append(cursor)
        return rows

    def translated(self, error: sqlite3.Error) -> DivanError:
        """Say what SQLite's error means to a call that reads or writes this file."""
        return translate(error, self.path, self.timeout)

    # Writing

    def write(self, work: Callable[[sqlite3.Cursor, Unpack[_Ts]], _T], *args: *_Ts) -> _T:
        """Take a turn to write: call a function while no other thread writes.

        Args:
            work: Called with a cursor, on which each statement is a transaction of its own.
            *args: What else it is called with.

        Raises:
            OperationTimeout: if other threads or programs write all the time.
            StoreError: if this thread is in the midst of a write, which a signal's handler interrupted.
            ConnectionFailed: if the file is gone, or another one is in its place.
        """
        deadline = None
        turn = self._lock.acquire(0)
        if turn is None:
            deadline = time.monotonic() + self.timeout
            turn = self._lock.acquire(self.timeout)
            if turn is None:
                raise self._no_turn(deadline)
        try:  # no call stands between this and the turn: see `FairLock`
            self._turn = turn
            writer = self._writer or self._open_writer()
            if writer.connection.in_transaction:  # an interrupt left it so
                writer.execute("ROLLBACK")
            self._check_place()
            if deadline is not None or self._writer_is_hurried:
                self._hurry(writer, deadline)
            return work(writer, *args)
        except sqlite3.Error as error:
            raise self._undone(error) from error
        except DivanError:
            self._undo()
            raise
        except BaseException:  # a signal's handler raised: nobody knows in the midst of what
            self._discard_writer()
            raise
        finally:
            turn.release()
            if self._closed:
                self._close_rest()

    def transaction(self, work: Callable[[sqlite3.Cursor, Unpack[_Ts]], _T], *args: *_Ts) -> _T:
        """Take a turn to write, as `write` does, for one transaction, which any error undoes."""
        return self.write(_transact, work, args)

    def _no_turn(self, deadline: float) -> DivanError:
        if time.monotonic() < deadline:  # the lock told at once that this thread is in it, or in its queue
            return StoreError(
                f"this thread is in the midst of another write to {self.path}, which a signal's handler interrupted; "
                "the handler can't write then; nothing was written"
            )
        return OperationTimeout(f"other threads wrote to {self.path} for {self.timeout:g} s; nothing was written")

    def _hurry(self, writer: sqlite3.Cursor, deadline: float | None) -> None:
        """Let a write wait for other programs no longer than the threads before it have left of its time."""
        self._writer_is_hurried = True
        wait_until(writer, time.monotonic() + self.timeout if deadline is None else deadline)
        self._writer_is_hurried = deadline is not None

    def _undone(self, error: sqlite3.Error) -> DivanError:
        """Undo what a write has begun, and say what SQLite's error means to it."""
        if self._closed and isinstance(error, sqlite3.ProgrammingError):  # by a handler, within this very write
            return self._is_closed()
        self._undo()
        return self.translated(error)

    def _undo(self) -> None:
        writer = self._writer
        if writer is not None and writer.connection.in_transaction:  # some errors have undone it already
            try:
                writer.execute("ROLLBACK")
            except sqlite3.Error:
                self._discard_writer()

    def _open_writer(self) -> sqlite3.Cursor:
        if self._closed:
            raise self._is_closed()
        self._writer = writer = self._new_cursor()
        self._writer_is_hurried = False
        return writer

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self.discard(writer.connection)

    # Iterators, which keep a connection between calls

    def hold(self, held: weakref.ref[Any]) -> None:
        """Remember what keeps a connection for longer than a call, to `release` it when the file is closed.

        Args:
            held: A reference to it; this does not keep it.
        """
        if len(self._held) >= self._many_held:  # some may have been dropped in the midst of an interrupt
            self._held = {one for one in self._held if one() is not None}
            self._many_held = 2 * len(self._held) + 100
        self._held.add(held)
        if self._closed:
            kept = held()
            if kept is not None:
                kept.release()
            raise self._is_closed()

    def drop(self, held: weakref.ref[Any]) -> None:
        """Forget what `hold` remembers."""
        self._held.discard(held)

    # The end

    def close(self) -> None:
        """Close every connection. A call that is under way in another thread ends first, or closes its own.

        Called by a signal's handler, it waits for nothing that its own thread is in the midst of: that write fails.
        """
        self._closed = True
        readers, self.readers = self.readers, _Closed(self)
        for cursor in readers:
            self.discard(cursor.connection)
        for held in list(self._held):
            kept = held()
            if kept is not None:
                kept.release()
        self._discard_lost()
        self._close_rest(timeout=-1)

    def _close_rest(self, timeout: float = 0) -> None:
        """Close what writes, and the native handle, unless another thread is writing, which closes them in the end."""
        turn = self._lock.acquire(timeout)
        if turn is None:
            if self._turn is not None and self._turn._is_owned():  # this thread's own, which a handler interrupted
                self._discard_rest(native=True)
            return
        try:
            self._discard_rest(native=True)
        finally:
            turn.release()

    def _discard_rest(self, *, native: bool) -> None:
        self._discard_writer()
        if native and self._native is not None:
            self.discard(self._native.connection)
            self._native = None

    def _is_closed(self) -> StoreClosed:
        return StoreClosed(f"the store {self.path} is closed; open it again")

    # Forks

    def pause_writing(self) -> Turn | None:
        """Before a fork: let no thread write, and close what is not being read from."""
        turn = self._lock.acquire(timeout=self.timeout)
        if turn is not None:
            try:
                self._discard_rest(native=not self._native_is_known)
            except BaseException:
                turn.release()
                raise
        return turn

    def close_idle(self) -> bool:
        """Before a fork: close the free readers; whether other threads are in the midst of calls."""
        if not self._closed:
            idle, self.readers = self.readers, []
            for cursor in idle:
                self.discard(cursor.connection)
        self._discard_lost()
        kept = sum(held() is not None for held in list(self._held)) + (self._native is not None)
        return len(self._users) > kept

    def start_anew(self) -> None:
        """After a fork, in the child: inherit nothing; or refuse everything, if a connection could not be closed."""
        self._lock = FairLock()
        self._turn = None
        self.generation += 1
        if self._users:
            kept = [held() for held in self._held]
            forks.leave_behind(self.path, *self._users, self._native, self._writer, *kept)
        self._users = {}
        self._writer = None
        self._native = None
        self._native_is_known = False
        self._held = set()


def _transact(writer: sqlite3.Cursor, work: Callable[..., _T], args: Sequence[Any]) -> _T:
    writer.execute("BEGIN IMMEDIATE")
    result = work(writer, *args)
    writer.execute("COMMIT")
    return result


class _Closed:
    """Stands in for the free cursors of a closed file: there are none, and one that comes back is closed."""

    __slots__ = ("_file",)

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file

    def pop(self) -> NoReturn:
        raise self._file._is_closed()

    def append(self, cursor: sqlite3.Cursor) -> None:
        self._file.discard(cursor.connection)

    def __iter__(self) -> Iterator[sqlite3.Cursor]:
        return iter(())
