"""A lock that serves its waiters in turn: what writers of one process queue up at."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """A `threading.Lock` that goes to those who wait for it in the order in which they came.

    Python's own lock goes to whoever asks at the right moment: among threads that take it again and again, one that
    waits for it may wait for as long as they go on. Here nobody waits for more than those before it.
    """

    __slots__ = ("_guard", "_held", "_waiting")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()  # each locked until it is that waiter's turn

    def acquire(self, timeout: float = -1) -> bool:
        """Take the lock, after those who came first.

        Args:
            timeout: How long to wait, in seconds; for ever with -1.

        Returns:
            Whether it is held now.
        """
        with self._guard:
            if not self._held:
                self._held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            if turn.acquire(timeout=timeout):
                return True
        except BaseException:  # a signal's handler may raise
            if not self._leave(turn):
                self.release()
            raise
        return not self._leave(turn)

    def _leave(self, turn: threading.Lock) -> bool:
        """Wait no longer; `False` if the lock has come just now."""
        with self._guard:
            try:
                self._waiting.remove(turn)
            except ValueError:
                return False
        return True

    def release(self) -> None:
        """Hand the lock to the one who has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
