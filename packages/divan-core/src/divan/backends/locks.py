"""A lock that serves its waiters in turn, and is not lost to an exception that a signal's handler raises."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

_RLock: Final[Any] = type(threading.RLock())  # a class of C's, which typeshed takes for one that can't be derived from


class Turn(_RLock):  # type: ignore[misc]  # of a class that mypy knows nothing of
    """One acquisition of a `FairLock`, and a place in its queue: locked until whoever took it lets go.

    Its `release` is a function of C, which nothing interrupts half-way. It is called once, by the thread that took it.

    Attributes:
        before: The place before this one, until that has let go.
    """

    __slots__ = ("before",)

    before: Turn | None


class FairLock:
    """A lock that goes to those who wait for it in the order in which they came.

    Python's own lock goes to whoever asks at the right moment: among threads that take it again and again, one that
    waits for it may wait for as long as they go on. Here nobody waits for more than those before it.

        turn = lock.acquire(timeout)
        if turn is None: ...  # the time was up
        try: ...
        finally: turn.release()

    A signal's handler may raise at any instruction; what this lock gives is not lost then, nor is a place in its queue
    left behind. Between the end of `acquire` and the ``try`` stands no call, and only at calls and jumps does Python
    run a handler; and a ``finally`` whose first call is a function of C runs it, whatever comes. So there is no
    context manager here: one that is written in Python can be interrupted as its ``__exit__`` begins.
    """

    __slots__ = ("_guard", "_last")

    def __init__(self) -> None:
        self._guard = threading.Lock()  # held while a place is taken: a few instructions, and none a call
        self._last: Turn | None = None

    def acquire(self, timeout: float = -1) -> Turn | None:
        """Take the lock, after those who came first.

        Args:
            timeout: How long to wait, in seconds; for ever with -1.

        Returns:
            What lets go of the lock; `None` if the time was up first, or if this thread holds the lock already.
        """
        turn = Turn()
        turn.acquire()
        turn.before = None
        try:
            with self._guard:
                turn.before = self._last
                self._last = turn
            if turn.before is not None and not _wait(turn, timeout):
                turn.release()  # whoever stands behind waits for the one before
                return None
        except BaseException:
            before = turn.before
            if before is not None and before._is_owned():  # it had let go already
                turn.before = before.before
            turn.release()
            raise
        return turn


def _wait(turn: Turn, timeout: float) -> bool:
    """Wait until all that stand before a place have let go; whether they did in time."""
    deadline = None if timeout < 0 else time.monotonic() + timeout
    while (before := turn.before) is not None:
        if before._is_owned():  # by this very thread, which a signal's handler interrupted: it never lets go meanwhile
            return False
        if not before.acquire(False):
            if deadline is None:
                before.acquire()
            elif not before.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return False
        # That place is passed, and its lock is this thread's for good: nobody else asks for it.
        turn.before = before.before
    return True
