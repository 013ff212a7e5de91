"""Internal: connections to one server that threads share, so many at most, and each process its own."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from divan.errors import OperationTimeout, StoreClosed

from divan_couchdb.options import Settings
from divan_couchdb.wire import Connection

_LONGEST_WAIT: Final = 0.05
"""Seconds after which a thread that waits for a connection looks again, should nobody have told it of a free one."""


class Pool:
    """Connections to one server, the idle one that was used last first; so many at most, and a wait for one if need be.

    A connection belongs to whoever has taken it. One that is let go of in whatever way, by an exception between any two
    instructions too, is closed and counts no more: the pool refers to it weakly, and what forgets it is C's function.

    Args:
        settings: The server.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closed = False
        self.forget()
        forget_after_fork(self)

    def forget(self) -> None:
        """Begin without connections; those of before a fork are the other process's, and nothing is said on them."""
        for connection in getattr(self, "_idle", ()):
            connection.close()
        self._idle: deque[Connection] = deque()
        self._open: set[weakref.ref[Connection]] = set()
        self._making = threading.Lock()
        self._freed: SimpleQueue[None] = SimpleQueue()

    def take(self, deadline: float) -> Connection:
        """An open connection, which is the caller's until `give_back` or `discard`.

        Args:
            deadline: When the call must be done that needs it, by `time.monotonic`.

        Raises:
            StoreClosed: after `close`.
            OperationTimeout: if none comes free until then.
            ConnectionFailed, OSError: if a new one can't be made.
        """
        while True:
            if self._closed:
                raise StoreClosed("the store is closed; open it again")
            try:
                connection = self._idle.pop()
            except IndexError:
                made = self._make()
                if made is not None:
                    try:
                        made.connect(deadline)
                    except BaseException:
                        self.discard(made)
                        raise
                    return made
                self._wait(deadline)
            else:
                if connection.is_open():
                    return connection
                self.discard(connection)

    def _make(self) -> Connection | None:
        """A connection that is not open yet; `None` if there are as many as there may be."""
        with self._making:
            if len(self._open) >= self._settings.max_connections:
                return None
            connection = Connection(self._settings)
            connection.mark = weakref.ref(connection, self._open.discard)
            self._open.add(connection.mark)
            return connection

    def _wait(self, deadline: float) -> None:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise OperationTimeout(
                f"all {self._settings.max_connections} connections to CouchDB were in use for "
                f"{self._settings.timeout:g} s; ?max_connections=… in the URL allows more"
            )
        with suppress(Empty):
            self._freed.get(timeout=min(seconds, _LONGEST_WAIT))

    def give_back(self, connection: Connection) -> None:
        """Let others use a connection whose last answer has been read."""
        if not connection.reusable:
            self.discard(connection)
            return
        self._idle.append(connection)
        self._tell()
        if self._closed:  # asked only now: closed a moment ago, it has not seen this one
            self.close()

    def discard(self, connection: Connection) -> None:
        """Close a connection: half an answer may be left in it."""
        connection.close()
        if connection.mark is not None:
            self._open.discard(connection.mark)
        self._tell()

    def _tell(self) -> None:
        """Wake a thread that waits, if there can be one."""
        most = self._settings.max_connections
        if len(self._open) >= most - 1 and self._freed.qsize() < most:
            self._freed.put(None)

    def close(self) -> None:
        """Close the idle connections, and those in use when they come back."""
        self._closed = True
        for connection in _popped(self._idle):
            self.discard(connection)


def _popped(items: deque[Connection]) -> Iterator[Connection]:
    """What a deque holds, taken out of it, while others may still take some and bring some back."""
    with suppress(IndexError):
        while True:
            yield items.pop()


_of_this_process: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""What has to forget connections and locks after a fork; each has a method `forget`."""


def forget_after_fork(thing: Any) -> None:
    """Have a thing's method `forget` called in each process that is forked from this one, while the thing lives."""
    _of_this_process.add(thing)


def _forget_all() -> None:
    for thing in list(_of_this_process):
        thing.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
