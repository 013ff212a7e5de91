"""Internal: the rows of a search, read in batches by a cursor on the server.

They show the table as it was when the search began, whatever is written meanwhile. They hold a connection only if the
first ones are not all. If others need it meanwhile, what is left is read into a temporary file.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from threading import Lock
from time import monotonic
from typing import IO, Any, Final

from divan.backends.pools import Lease
from divan.errors import DivanError, StoreClosed, StoreError

from divan_postgres.connections import Client, rows_of
from divan_postgres.wire import Command

Batch = list[tuple[bytes | None, ...]]
"""Some rows."""

FIRST: Final = 100
"""Rows of the first batch."""

_LARGEST: Final = 1000
_BATCH_BYTES: Final = 1 << 20
_FILE_BYTES: Final = 1 << 20  # that a temporary file keeps in memory
_BEGIN: Final = Command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


class Rows:
    """The rows of one statement at a time, over a connection that nobody else uses meanwhile.

    Args:
        client: The client.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pid = os.getpid()
        self._lock = Lock()  # whoever may use the connection holds it
        self._lease: Lease | None = None
        self._file: IO[bytes] | None = None
        self._position = 0  # in the file, of the next batch
        self._waiting = 0  # batches in the file
        self._failure: DivanError | None = None
        self._cursors = 0
        self._size = FIRST
        self._is_over = False  # the cursor has no further rows

    def run(self, command: Command) -> Batch:
        """Start a statement in place of the last one, in the same snapshot, and return its first rows."""
        self._lock.acquire()
        try:
            self._check()
            self._cursors += 1
            declare = command._replace(sql=f"DECLARE divan_{self._cursors} NO SCROLL CURSOR FOR {command.sql}")
            self._size = FIRST
            if self._lease is None:
                self._lease, (_, _, result) = self._client.begin([_BEGIN, declare, self._fetch_command()])
            else:
                _, result = self._go_on([declare, self._fetch_command()])
            return self._taken(result)
        finally:
            self._lock.release()

    def batches(self, batch: Batch) -> Iterator[Batch]:
        """The first rows, and those that follow; fewer at once where documents are large."""
        if not self._is_over:
            self._client.spare(self)
        while not self._is_over or self._waiting:
            yield batch
            batch = self._next()
        yield batch

    def _next(self) -> Batch:
        self._lock.acquire()
        try:
            self._check()
            if self._file is not None and self._waiting:
                return self._read_on(self._file)
            (result,) = self._go_on([self._fetch_command()])
            return self._taken(result)
        finally:
            self._lock.release()

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise StoreError("this iterator was begun before the process forked; begin it anew in the child")
        self._client.check_open()
        if self._failure is not None:
            raise self._failure

    def _fetch_command(self) -> Command:
        return Command(f"FETCH {self._size} FROM divan_{self._cursors}")

    def _go_on(self, commands: list[Command], ends: float | None = None) -> list[Any]:
        if self._lease is None:
            raise StoreClosed("this iterator was closed while it was in use; begin it anew")
        lease, self._lease = self._lease, None  # which is no more, should this fail
        results = self._client.go_on(lease, commands, ends)
        self._lease = lease
        return results

    def _taken(self, result: Any) -> Batch:
        rows = rows_of(result)
        self._is_over = len(rows) < self._size
        if not self._is_over:
            length = sum(len(value) for value in rows[-1] if value is not None)
            self._size = max(1, min(_LARGEST, _BATCH_BYTES // (length + 1)))
        return rows

    # Giving the connection back

    def finish(self) -> None:
        """Give the connection back, if the rows are used up."""
        if self._is_over:
            self._lock.acquire()
            try:
                self._end()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Give the connection back, and forget what is left."""
        if self._pid != os.getpid():
            return
        self._lock.acquire()
        try:
            self._end()
            if self._file is not None:
                self._file.close()
        finally:
            self._lock.release()

    def _end(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            self._client.end(lease)

    def give_up(self, ends: float) -> bool:
        """Read what is left into a temporary file, and give the connection back; whether that was done.

        Args:
            ends: When the call that needs the connection has to end.
        """
        if self._pid != os.getpid() or not self._lock.acquire(blocking=False):  # it is being read from
            return False
        try:
            if self._lease is None:
                return False
            if self._file is None:
                self._file = tempfile.SpooledTemporaryFile(_FILE_BYTES)  # noqa: SIM115  # until these rows are closed
            try:
                while not self._is_over:
                    if monotonic() > ends:
                        return False  # the next one who needs it reads on
                    (result,) = self._go_on([self._fetch_command()], ends)
                    self._file.seek(0, os.SEEK_END)
                    pickle.dump(self._taken(result), self._file)
                    self._waiting += 1
            except DivanError as error:  # which is for whoever reads on
                self._failure = error
            self._end()
            return True
        finally:
            self._lock.release()

    def _read_on(self, file: IO[bytes]) -> Batch:
        file.seek(self._position)
        batch: Batch = pickle.load(file)
        self._position = file.tell()
        self._waiting -= 1
        return batch
