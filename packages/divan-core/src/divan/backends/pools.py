"""The connections to one server: used again, waited for, and never lost to an exception.

A driver's connection is any object that a weak reference can be made to, with these methods: ``open(seconds, ends)``
connects, ``exchange(commands, ends)`` sends commands and returns what is answered to each, ``is_quiet()`` tells whether
it can be used again, ``disconnect()`` closes it, and ``sever()`` lets another thread wait no longer for an answer.

A signal's handler may raise between any two steps. So a connection is worth keeping only when an exchange on it has
ended well: before that it is not in `idle`, and nobody gets it again. How many there are is counted by weak references,
so that one which an exception has lost is counted no more as soon as it is gone. What has to happen, whatever comes, is
one call of a function in C, such as `SimpleQueue.put`, which nothing interrupts.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import RLock
from time import monotonic
from typing import Any, Final
from weakref import ref

from divan.errors import OperationTimeout

# A waiter is told when it may go on. Should the news be lost, with the waiter that an exception took it from, this many
# seconds later the next one looks for itself.
_AGAIN: Final = 0.1
# So many seconds one waits before somebody is asked for a connection that is held for later.
_SOON: Final = 0.01


class _Process:
    """The connections of one process.

    Attributes:
        pid: The process.
        idle: Connections that wait for work, and the dead references of those that are gone, which make room.
        alive: References to all connections that there are.
        waiting: Those who wait for a connection, in the order in which they came: where each of them gets it.
        lock: Held while one is counted in.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.idle: SimpleQueue[Any] = SimpleQueue()
        self.alive: dict[int, ref[Any]] = {}  # by their own ids: one that is dead may have no hash
        self.waiting: deque[SimpleQueue[Any]] = deque()
        self.lock = RLock()  # whose holder's signal handler may use the store, too

    def drop(self, connection: Any, mark: ref[Any]) -> None:
        """Count a connection no more, and close it."""
        self.alive.pop(id(mark), None)
        self.idle.put(mark)
        if self.waiting:
            self.serve()
        connection.disconnect()

    def serve(self) -> None:
        """Hand what is idle to the one who has waited longest: it would else go to whoever asks at the right moment."""
        try:
            turn = self.waiting.popleft()
        except IndexError:
            return
        try:
            turn.put(self.idle.get_nowait())
        except Empty:
            self.waiting.appendleft(turn)


class Lease:
    """A connection in use.

    Attributes:
        connection: The connection.
    """

    __slots__ = ("_pool", "_process", "connection")

    def __init__(self, pool: Pool, process: _Process, connection: Any) -> None:
        self.connection = connection
        self._pool = pool
        self._process = process

    def release(self) -> None:
        """Give the connection back, which is as good as new."""
        self._process.idle.put(self.connection)
        if self._process.waiting:
            self._process.serve()
        if self._pool.is_closed:
            _empty(self._process)

    def drop(self) -> None:
        """Close the connection, of which nobody knows what it would answer."""
        self._process.drop(self.connection, self.connection.mark)


class Pool:
    """Connections to one server.

    Args:
        make: Makes a connection, given when the call ends; it is not opened.
        limit: How many there may be at once.
        connect_timeout: Seconds that opening one may take.
        shown: What server it is and where, for messages.
        spare: Asked when none is left, and told when the call has to end: gives one back that is held for later, and
            returns whether it did.

    Attributes:
        is_closed: Whether it has been closed.
    """

    def __init__(
        self,
        make: Callable[[float], Any],
        limit: int,
        connect_timeout: float,
        shown: str,
        spare: Callable[[float], bool] | None = None,
    ) -> None:
        self._make = make
        self._limit = limit
        self._connect_timeout = connect_timeout
        self._shown = shown
        self._spare = spare
        self._process = _Process()
        self.is_closed = False

    def exchange(self, commands: Sequence[Any], ends: float) -> list[Any]:
        """What the server answers to each command: its answer, or a `ResponseError`.

        Args:
            commands: The commands, sent in one go, in the form that the connection takes.
            ends: When the call has to end.

        Raises:
            OperationTimeout: if no connection becomes free in time; nothing was sent.
            Exception: the client's, if the server can't be reached, or gives no answers in time.
        """
        process = self._process
        if process.pid != os.getpid():
            process = self._after_fork()
        connection = self._take(process, ends)
        try:
            results: list[Any] = connection.exchange(commands, ends)
        except BaseException:
            process.drop(connection, connection.mark)
            raise
        process.idle.put(connection)
        if process.waiting:
            process.serve()
        if self.is_closed:
            _empty(process)
        return results

    def lease(self, ends: float) -> Lease:
        """A connection, for the caller alone until it is released or dropped.

        Args:
            ends: When the call has to end.
        """
        process = self._process
        if process.pid != os.getpid():
            process = self._after_fork()
        return Lease(self, process, self._take(process, ends))

    def forget_idle(self) -> None:
        """Close the connections that wait for work."""
        _empty(self._process)

    def close(self) -> None:
        """Close every connection; a call that waits for an answer gets none."""
        self.is_closed = True
        process = self._process
        if process.pid == os.getpid():  # the others are the parent's
            for mark in list(process.alive.values()):
                connection = mark()
                if connection is not None:
                    connection.sever()
            _empty(process)

    def _take(self, process: _Process, ends: float) -> Any:
        """A connection that is ready."""
        if not process.waiting:
            found = self._look(process, ends)
            if found is not None:
                return found
        turn: SimpleQueue[Any] = SimpleQueue()
        try:
            process.waiting.append(turn)
            while True:
                found = self._look(process, ends)
                if found is not None:
                    return found
                left = ends - monotonic()
                if left <= 0:
                    raise OperationTimeout(
                        f"none of the {self._limit} connections to {self._shown} became free in time, and "
                        "nothing was sent; max_connections=… allows more, timeout=… waits longer"
                    )
                try:
                    found = turn.get(True, min(left, _AGAIN if self._spare is None else _SOON))
                except Empty:
                    if self._spare is not None:
                        self._spare(ends)
                    continue
                if _is_ready(process, found):
                    return found
                process.waiting.appendleft(turn)  # it was served what is of no use
        finally:
            try:
                process.waiting.remove(turn)
            except ValueError:  # it has been served
                while not turn.empty():
                    process.idle.put(turn.get_nowait())

    def _look(self, process: _Process, ends: float) -> Any:
        """A connection that is idle, or a new one; `None` if there is none, and as many as there may be."""
        while True:
            try:
                found = process.idle.get_nowait()
            except Empty:
                return self._open_one(process, ends)
            if _is_ready(process, found):
                return found

    def _open_one(self, process: _Process, ends: float) -> Any:
        """A new connection, or `None` if there are as many as there may be."""
        alive = process.alive
        if len(alive) >= self._limit:
            for number, mark in list(alive.items()):
                if mark() is None:
                    alive.pop(number, None)
            if len(alive) >= self._limit:
                return None
        connection = self._make(ends)
        connection.mark = mark = ref(connection, process.idle.put)
        try:
            with process.lock:
                if len(alive) >= self._limit:
                    return None
                alive[id(mark)] = mark
            connection.open(self._connect_timeout, ends)
        except BaseException:
            process.drop(connection, mark)
            raise
        return connection

    def _after_fork(self) -> _Process:
        """A new process's own connections: it shares none with its parent."""
        inherited, mine = self._process, _Process()
        if inherited.pid == mine.pid:  # another thread was first
            return inherited
        self._process = mine
        inherited.alive.clear()
        return mine


def _is_ready(process: _Process, found: Any) -> bool:
    """Whether this is a connection, and of use; else it is counted no more."""
    if isinstance(found, ref):
        process.alive.pop(id(found), None)
        return False
    try:
        if found.is_quiet():
            return True
    except BaseException:
        process.drop(found, found.mark)
        raise
    process.drop(found, found.mark)
    return False


def _empty(process: _Process) -> None:
    while True:
        try:
            found = process.idle.get_nowait()
        except Empty:
            return
        if isinstance(found, ref):
            process.alive.pop(id(found), None)
        else:
            process.drop(found, found.mark)
