"""Internal: `Workers`: blocking calls made from coroutines, in a bounded number of worker threads; for `divan.aio`."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from anyio import CancelScope, CapacityLimiter, Event, get_cancelled_exc_class, to_thread

_T = TypeVar("_T")

_logger: Final = logging.getLogger("divan")


class Job:
    """One function that a worker thread runs: where it is, as its coroutine and its thread both need to know.

    Attributes:
        abandoned: Whether the coroutine that waited for it was cancelled; a long one may look, and stop early.
    """

    __slots__ = ("abandoned", "running")

    def __init__(self) -> None:
        self.abandoned = False
        self.running = False


class Workers:
    """Runs functions in worker threads, at most `limit` at a time, those of cancelled callers included.

    Args:
        limit: How many functions may run at once.
    """

    def __init__(self, limit: int) -> None:
        self._limiter = CapacityLimiter(limit)
        # anyio gives a cancelled call's token back while its thread is still running; ours is kept until it has ended.
        self._unlimited = CapacityLimiter(math.inf)
        self._waiting = 0  # coroutines; counted in the event loop's thread alone
        self._quiet: Event | None = None
        self._lock = threading.Lock()
        self._running = 0  # functions, those of cancelled callers included
        self._at_end: Callable[[], None] | None = None

    async def run(self, function: Callable[[], _T], job: Job | None = None) -> _T:
        """What the function returns or raises, run in a worker thread.

        A cancelled caller returns at once. If the function had begun by then it runs to its end in the background, and
        what it returns or raises is discarded; if not, it is never called.

        Args:
            function: The function.
            job: Tells the function, from the outside, that its caller was cancelled.
        """
        job = job or Job()
        self._waiting += 1
        try:
            await self._limiter.acquire_on_behalf_of(job)
            try:
                return await to_thread.run_sync(
                    self._work, function, job, _loop_caller(), abandon_on_cancel=True, limiter=self._unlimited
                )
            finally:
                with self._lock:
                    job.abandoned = True  # where the function has returned already, nobody asks any more
                    ended = not job.running
                if ended:
                    self._limiter.release_on_behalf_of(job)
        finally:
            self._waiting -= 1
            if not self._waiting and self._quiet is not None:
                self._quiet.set()

    def _work(self, function: Callable[[], _T], job: Job, call_in_loop: Callable[[Callable[[], None]], object]) -> _T:
        with self._lock:
            if job.abandoned:
                raise RuntimeError("the caller is gone")  # nobody hears this
            job.running = True
            self._running += 1
        try:
            return function()
        finally:
            at_end = None
            with self._lock:
                job.running = False
                self._running -= 1
                if not self._running:
                    at_end, self._at_end = self._at_end, None
                abandoned = job.abandoned
            if at_end is not None:
                _run_logged(at_end)
            if abandoned:
                try:
                    call_in_loop(lambda: self._limiter.release_on_behalf_of(job))
                except RuntimeError:
                    pass  # the event loop has ended, and the limiter with it

    async def finish(self, function: Callable[[], None]) -> None:
        """Run a last function in a worker thread, once the calls that somebody waits for have returned.

        While functions of cancelled callers are still running, the last of them runs it when it ends, and nobody waits
        for that. Nor does anybody if this caller is cancelled: the last of all that are running runs it then.
        """
        try:
            if self._waiting:
                self._quiet = Event()
                await self._quiet.wait()
        finally:
            with self._lock:
                idle = not self._running
                if not idle:
                    self._at_end = function
            if idle:
                with CancelScope(shield=True):
                    await to_thread.run_sync(function, limiter=self._unlimited)


def _loop_caller() -> Callable[[Callable[[], None]], object]:
    """How another thread has a function called in this event loop's, without waiting for it."""
    import asyncio

    if issubclass(get_cancelled_exc_class(), asyncio.CancelledError):
        return asyncio.get_running_loop().call_soon_threadsafe
    from trio.lowlevel import current_trio_token

    return current_trio_token().run_sync_soon


def _run_logged(function: Callable[[], None]) -> None:
    try:
        function()
    except Exception:
        _logger.exception("closing in the background failed")
