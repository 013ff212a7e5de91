"""Internal: a walk through the keys of one server, page by page, that holds no connection between two pages."""

from __future__ import annotations

import os
from typing import Any, Final

from divan.backends.pools import Lease, Pool
from divan.errors import ConnectionFailed, StoreError
from redis.exceptions import ResponseError

from divan_redis.errors import misread
from divan_redis.wire import Command

# A server of K keys has less than K / _SPARE pages of 500 keys, or of 5,000 places in a table that is nearly empty: so
# many pages more are allowed before its number of keys is asked for.
_ALLOWED: Final = 20_000
_SPARE: Final = 5


class Walk:
    """A position among the keys of one server.

    A position means nothing to another server, nor after a restart, so each connection is asked, once, which run of
    which server is at its end. Where that can't be known, the walk keeps the connection that it began with.

    Args:
        pool: The connections to the server.

    Attributes:
        is_over: Whether the last page has been read.
    """

    def __init__(self, pool: Pool) -> None:
        self.is_over = False
        self._pool = pool
        self._cursor = b"0"
        self._server: bytes | None = None
        self._held: Lease | None = None
        self._pages = 0
        self._milestone = b""

    def go_on(self, options: Command, ends: float) -> list[bytes]:
        """The next page of keys.

        Args:
            options: The options of ``SCAN``.
            ends: When the call has to end.

        Raises:
            ConnectionFailed: if the server is not the one with which the walk began, or was restarted.
            StoreError: if the server answers no page, or can't ever come to an end.
        """
        command = (b"SCAN", self._cursor, *options)
        lease = self._held or self._pool.lease(ends)
        try:
            answer = self._ask(lease.connection, command, ends)
        except BaseException:
            lease.drop()
            raise
        self._held = lease
        if self._server:
            self.release()
        if isinstance(answer, ResponseError):
            raise answer
        cursor, keys = _read_page(answer, options[1])
        self.is_over = cursor == b"0"
        self._cursor = cursor
        self._pages += 1
        if not self.is_over:
            self._check_progress(ends)
        return keys

    def release(self) -> None:
        """Give the connection back that the walk holds, if it holds one."""
        lease, self._held = self._held, None
        if lease is not None:
            lease.release()

    def _ask(self, connection: Any, command: Command, ends: float) -> Any:
        """The answer to a command, if the connection leads where the walk began."""
        if connection.pid != os.getpid():
            raise ConnectionFailed("the search was begun by another process, before a fork; begin it anew in this one")
        if connection.server is None:
            answer, said = connection.exchange([command, (b"INFO", b"server")], ends)
            connection.server = _read_run(said)
        else:
            (answer,) = connection.exchange([command], ends)
        if self._server is None:
            self._server = connection.server
        elif connection.server != self._server:
            raise ConnectionFailed(
                "the server was restarted, or another one has taken over, so that the search can't go on; begin it anew"
            )
        return answer

    def _check_progress(self, ends: float) -> None:
        """Raise if the walk goes in circles, or has gone further than the server's keys can reach."""
        if self._cursor == self._milestone:
            raise StoreError("Redis gave a position of SCAN for the second time, so that it never comes to an end")
        if self._pages & (self._pages - 1) == 0:  # a power of two: whatever circle there is, one is in it, and as long
            self._milestone = self._cursor
        if self._pages % _ALLOWED == 0:
            (size,) = self._pool.exchange([(b"DBSIZE",)], ends)
            if isinstance(size, ResponseError):  # the account may not ask
                return
            if not isinstance(size, int):
                raise misread(size)
            if self._pages > size / _SPARE:
                raise StoreError(f"Redis holds {size} keys, and SCAN has not come to an end after {self._pages} pages")


def _read_page(answer: Any, pattern: bytes) -> tuple[bytes, list[bytes]]:
    """The next position and the keys of a page, checked."""
    if isinstance(answer, list) and len(answer) == 2:
        cursor, keys = answer
        are_keys = isinstance(keys, list) and all(isinstance(key, bytes) for key in keys)
        if isinstance(cursor, bytes) and cursor.isdigit() and are_keys:
            return cursor, keys
    raise misread(answer)


def _read_run(said: Any) -> bytes:
    """What tells one run of one server from all others; empty if the server does not say."""
    if not isinstance(said, bytes):
        return b""
    return said.partition(b"run_id:")[2].partition(b"\r")[0]
