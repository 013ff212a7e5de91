"""Internal: `AsyncWatch`: what `Store.watch` gives, for coroutines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, Self

from anyio import Lock

from divan.changes import ChangeEvent
from divan.store.watching import Watch

_SLICE: Final = 0.25  # seconds that a worker thread waits for a change before it is free for other calls


class AsyncWatch(AsyncIterator[ChangeEvent]):
    """The changes of a store, one by one, as they happen; see `divan.Watch`.

    It begins at the first step, or where it is entered by ``async with``. A step that is cancelled loses no change.

    Args:
        run: Runs a function in a worker thread.
        start: Begins the watch, in a worker thread.
        wait: Seconds without a change after which it ends; `None` for never.
    """

    def __init__(
        self, run: Callable[[Callable[[], Any]], Awaitable[Any]], start: Callable[[], Watch], wait: float | None
    ) -> None:
        self._run = run
        self._start = start
        self._wait = wait
        self._watch: Watch | None = None
        self._closed = False
        self._lock = Lock()

    @property
    def token(self) -> str | None:
        """Where to resume after what has been given so far; `None` before it has begun."""
        return None if self._watch is None else self._watch.token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChangeEvent:
        ends = None if self._wait is None else time.monotonic() + self._wait
        async with self._lock:
            watch = await self._begun()
            while not self._closed:
                left = _SLICE if ends is None else max(0.0, ends - time.monotonic())
                is_ready = watch.is_ready or await self._run(partial(watch.fetch, min(left, _SLICE)))
                event = next(watch, None) if is_ready else None  # it may have been closed meanwhile
                if event is not None:
                    return event
                if left <= 0:
                    break
        raise StopAsyncIteration

    async def is_behind(self) -> bool:
        """Whether there are changes already that have not been given yet; asks the store."""
        async with self._lock:
            watch = await self._begun()
            return bool(await self._run(partial(watch.fetch, 0)))

    async def _begun(self) -> Watch:
        if self._watch is None:
            self._watch = await self._run(self._start)
        return self._watch

    async def aclose(self) -> None:
        """Stop watching; iterating further gives nothing."""
        self._closed = True
        if self._watch is not None:
            self._watch.close()

    async def __aenter__(self) -> Self:
        async with self._lock:
            await self._begun()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
