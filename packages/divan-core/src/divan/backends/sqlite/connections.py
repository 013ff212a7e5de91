"""Internal: the connections to one SQLite file: shared between threads, kept out of forks, closed.

Reading takes any free connection, so that readers never wait. Writing takes the only one that writes, under a lock: the
threads of a process queue there, first come, first served, instead of polling inside SQLite. Several processes share
the file by SQLite's own locks, each waiting for the other at most `DatabaseFile.timeout`.

A child of a fork inherits what SQLite knows of the locks that its parent holds, and takes them for its own: it would
write to a log that the parent deletes. So every connection is closed before a fork, and opened again when it is needed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from divan.backends.locks import FairLock, Turn
from divan.backends.sqlite.errors import Translate, translate, translate_opening
from divan.backends.sqlite.opening import check_file, open_first
from divan.errors import ConnectionFailed, DivanError, OperationTimeout, StoreClosed

_PATIENCE: Final = 1.0  # seconds that a fork waits for the calls that other threads are in

_opening = threading.RLock()  # held while a connection is opened or closed, and during a fork
_files: weakref.WeakSet[DatabaseFile] = weakref.WeakSet()
_forking: list[DatabaseFile] = []

_inherited: dict[tuple[int, int], list[object]] = {}
"""The files that were in use when this process was forked, by device and inode, and the parent's connections to them,
which are neither used nor closed here."""


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
        self.table = table
        self.timeout = timeout
        self.generation = 0
        self.readers: Any = []
        self._lock = FairLock()
        self._turn: Turn | None = None
        self._writer: sqlite3.Cursor | None = None
        self._native: sqlite3.Connection | None = None
        self._native_is_known = False
        self._held: set[Any] = set()
        self._alive = 0  # connections that are open, of whatever kind
        self._paused: Turn | None = None
        self._closed = False
        check_file(self.path, create=create and not read_only)
        _files.add(self)
        try:
            self._uri, self._native = open_first(
                self._connect, self.path, table, timeout=timeout, create=create, read_only=read_only
            )
        except sqlite3.Error as error:
            raise translate_opening(error, self.path, timeout) from error
        self._alive = 1  # whatever else was tried is closed

    # Connections

    def _connect(self, uri: str) -> sqlite3.Connection:
        """A new connection, in autocommit mode, that any thread may use."""
        with _opening:
            if _inherited and _identity(self.path) in _inherited:
                raise ConnectionFailed(
                    f"this process was forked while an iterator, a call or the native handle of {self.path} was in "
                    "use, which SQLite does not survive; finish them before the fork, or start the process by spawn"
                )
            connection = sqlite3.connect(
                uri, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False
            )
            self._alive += 1
        try:
            connection.execute("PRAGMA synchronous=FULL")
        except BaseException:
            self.discard(connection)
            raise
        return connection

    def discard(self, connection: sqlite3.Connection) -> None:
        """Close a connection."""
        with _opening:
            connection.close()
            self._alive -= 1

    def native(self) -> sqlite3.Connection:
        """A connection that is the caller's to keep; always the same one."""
        if self._closed:
            raise self._is_closed()
        self._native_is_known = True
        if self._native is None:
            self._native = self._new_cursor().connection
        return self._native

    def borrow(self) -> sqlite3.Cursor:
        """A cursor to read with, for the borrower alone until it is appended to `readers` again."""
        try:
            cursor: sqlite3.Cursor = self.readers.pop()
        except IndexError:
            return self._new_cursor()
        return cursor

    def _new_cursor(self) -> sqlite3.Cursor:
        try:
            return self._connect(self._uri).cursor()
        except sqlite3.Error as error:
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
            return cursor.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise meaning(error, self.path, self.timeout) from error
        finally:
            self.readers.append(cursor)

    def translated(self, error: sqlite3.Error) -> DivanError:
        """Say what SQLite's error means to a call that reads or writes this file."""
        return translate(error, self.path, self.timeout)

    # Writing

    def writing(self) -> _Writing:
        """A turn to write: ``with file.writing() as cursor``, a block in which no other thread writes; may be kept.

        Each statement is a transaction of its own. An error of SQLite's leaves the block as what it means.

        Raises:
            OperationTimeout: on entry, if other threads write all the time.
        """
        return _Writing(self)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """A turn to write, as `writing` gives it, within one transaction that any error undoes."""
        with self.writing() as writer:
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                if writer.connection.in_transaction:  # some errors have undone it already
                    with contextlib.suppress(sqlite3.Error):
                        writer.execute("ROLLBACK")
                raise

    def _open_writer(self) -> sqlite3.Cursor:
        if self._closed:
            raise self._is_closed()
        self._writer = self._new_cursor()
        return self._writer

    # Iterators, which keep a connection between calls

    def hold(self, held: Any) -> None:
        """Remember what keeps a connection for longer than a call, to `release` it when the file is closed."""
        self._held.add(held)
        if self._closed:
            held.release()
            raise self._is_closed()

    def drop(self, held: Any) -> None:
        """Forget what `hold` remembers."""
        self._held.discard(held)

    # The end

    def close(self) -> None:
        """Close every connection. A call that is under way in another thread ends first, or closes its own."""
        self._closed = True
        readers, self.readers = self.readers, _Closed(self)
        for cursor in readers:
            self.discard(cursor.connection)
        for held in list(self._held):
            held.release()
        turn = self._lock.acquire()
        try:
            self._discard_rest(native=True)
        finally:
            if turn is not None:
                turn.release()

    def _discard_rest(self, *, native: bool) -> None:
        if self._writer is not None:
            self.discard(self._writer.connection)
            self._writer = None
        if native and self._native is not None:
            self.discard(self._native)
            self._native = None

    def _is_closed(self) -> StoreClosed:
        return StoreClosed(f"the store {self.path} is closed; open it again")

    # Forks

    def pause_writing(self) -> None:
        """Before a fork: let no thread write, and close what is not being read from."""
        self._paused = self._lock.acquire(timeout=self.timeout)
        if self._paused is not None:
            self._discard_rest(native=not self._native_is_known)

    def close_idle(self) -> bool:
        """Before a fork: close the free readers; whether other threads are in the midst of calls."""
        if not self._closed:
            idle, self.readers = self.readers, []
            for cursor in idle:
                cursor.connection.close()
            self._alive -= len(idle)
        return self._alive > len(self._held) + (self._native is not None)

    def resume_writing(self) -> None:
        """After a fork, in the parent."""
        if self._paused is not None:
            self._paused.release()

    def start_anew(self) -> None:
        """After a fork, in the child: inherit nothing; or refuse everything, if a connection could not be closed."""
        self._lock = FairLock()
        self.generation += 1
        identity = _identity(self.path)
        if self._alive and identity:
            _inherited.setdefault(identity, []).extend((self._native, self._writer, self._held))
        self._alive = 0
        self._writer = None
        self._native = None
        self._native_is_known = False
        self._held = set()

    def leave_behind(self, cursor: sqlite3.Cursor) -> None:
        """Keep the parent's cursor from being closed in a child."""
        _inherited.setdefault(_identity(self.path) or (0, 0), []).append(cursor)


class _Writing:
    """What `DatabaseFile.writing` gives. It knows nothing but its file, so that one serves for any number of blocks."""

    __slots__ = ("_file",)

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file

    def __enter__(self) -> sqlite3.Cursor:
        file = self._file
        turn = file._lock.acquire(timeout=file.timeout)
        if turn is None:
            raise OperationTimeout(f"other threads wrote to {file.path} for {file.timeout:g} s; nothing was written")
        try:
            file._turn = turn
            return file._writer or file._open_writer()
        except BaseException:
            turn.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        file = self._file
        assert file._turn is not None  # of this thread, while nobody else has one
        file._turn.release()
        if error is not None and isinstance(error, sqlite3.Error):
            raise file.translated(error) from error


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


def _identity(path: Path) -> tuple[int, int] | None:
    """What file a path names, by device and inode."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _before_fork() -> None:
    deadline: float | None = None
    while True:
        for file in list(_files):
            if file not in _forking:
                _forking.append(file)
                file.pause_writing()
        _opening.acquire()
        busy = [file.close_idle() for file in _forking]
        if deadline is None:  # from here on: what the writers took is not the readers'
            deadline = time.monotonic() + _PATIENCE
        if time.monotonic() > deadline or not (any(busy) or set(_files).difference(_forking)):
            return
        _opening.release()
        time.sleep(0.001)  # until the calls that other threads are in have ended


def _after_fork_in_parent() -> None:
    _opening.release()
    for file in _forking:
        file.resume_writing()
    _forking.clear()


def _after_fork_in_child() -> None:
    global _opening
    _opening = threading.RLock()
    for file in list(_files):
        file.start_anew()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
