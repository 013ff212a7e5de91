"""Internal: the rows of one query, read in batches.

They show the store as it was when the query began, whatever is written meanwhile. They hold a connection only if the
first ones are not all, and only until they are used up, closed or forgotten; writers never wait for them.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from divan.backends.sqlite import forks
from divan.backends.sqlite.connections import DatabaseFile
from divan.errors import StoreClosed, StoreError

_FIRST_BATCH: Final = 32
_LARGEST_BATCH: Final = 512
_BATCH_BYTES: Final = 1 << 20
_NOTHING: Final = "SELECT 1 WHERE 0"


class Rows:
    """The rows of one statement at a time, read in batches over a connection that nobody else uses meanwhile.

    Attributes:
        done: Whether the statement's rows are used up.
    """

    __slots__ = (
        "__weakref__",
        "_cursor",
        "_file",
        "_generation",
        "_given",
        "_held",
        "_lock",
        "_self",
        "_size",
        "_statement",
        "done",
    )

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._generation = file.generation
        self._cursor: sqlite3.Cursor | None = file.borrow()
        self._lock = threading.RLock()  # `release` may come from another thread, or from a finalizer within this one
        self._size = _FIRST_BATCH
        self._statement: tuple[str, Sequence[Any]] = "", ()
        self._given = 0
        self._self: weakref.ref[Rows] | None = None  # by which the file knows this, once it keeps the connection
        self.done = False

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Start a statement in place of the last one, and return its first rows."""
        with self._lock:
            cursor = self._live()
            try:
                cursor.execute(sql, parameters)
            except sqlite3.Error as error:
                raise self._file.translated(error) from error
            self._size = _FIRST_BATCH
            self._statement = sql, parameters
            self._given = 0
            return self._fetch(cursor)

    def batches(self, batch: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
        """The first rows, and those that follow; fewer at once where documents are large."""
        if not self.done:
            self.keep_snapshot()  # in which a statement may be begun again
        while not self.done:
            yield batch
            with self._lock:
                batch = self._fetch(self._live())
        yield batch

    def _fetch(self, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        try:
            rows = cursor.fetchmany(self._size)
        except sqlite3.Error as error:
            raise self._file.translated(error) from error
        self.done = len(rows) < self._size
        self._given += len(rows)
        if not self.done:
            body = rows[-1][2] if len(rows[-1]) > 2 else None
            length = len(body) if isinstance(body, str) else 0  # without bodies, a flag or nothing stands there
            self._size = max(1, min(_LARGEST_BATCH, _BATCH_BYTES // (length + 1)))
            if self._self is None:
                self._self = weakref.ref(self)
                self._file.hold(self._self)
        return rows

    def ids_given(self) -> set[bytes]:
        """The ids of the rows that the running statement gave before it failed: it is begun again to say them."""
        with self._lock:
            try:
                return {row[0].encode() for row in islice(self._live().execute(*self._statement), self._given)}
            except sqlite3.Error as error:
                raise self._file.translated(error) from error

    def ask(self, sql: str) -> bool:
        """The answer to a yes-or-no statement, in the midst of the running one."""
        with self._lock:
            try:
                return bool(self._live().connection.execute(sql).fetchone()[0])
            except sqlite3.Error as error:
                raise self._file.translated(error) from error

    def keep_snapshot(self) -> None:
        """Let the statements that follow see what the running one sees."""
        with self._lock:
            connection = self._live().connection
            if connection.in_transaction:
                return
            try:
                connection.execute("BEGIN")
            except sqlite3.Error as error:
                raise self._file.translated(error) from error

    def _live(self) -> sqlite3.Cursor:
        if self._generation != self._file.generation:
            raise StoreError("this iterator was begun before the process forked; begin it anew in the child")
        if self._cursor is None:
            raise StoreClosed(f"the store {self._file.path} was closed while this iterator was in use; open it again")
        return self._cursor

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            cursor, self._cursor = self._cursor, None
        if self._self is not None:
            self._file.drop(self._self)
        if cursor is None:
            return
        if self._generation != self._file.generation:
            forks.leave_behind(self._file.path, cursor)
            return
        try:
            if cursor.connection.in_transaction:
                cursor.execute("COMMIT")
            elif not self.done:
                cursor.execute(_NOTHING)  # which ends the statement, and with it the snapshot
        except BaseException as error:
            self._file.discard(cursor.connection)
            if not isinstance(error, sqlite3.Error):
                raise
        else:
            self._file.readers.append(cursor)

    def release(self) -> None:
        """Close the connection for good, whoever uses it."""
        with self._lock:
            cursor, self._cursor = self._cursor, None
            if cursor is not None:
                self._file.discard(cursor.connection)
        if self._self is not None:
            self._file.drop(self._self)
