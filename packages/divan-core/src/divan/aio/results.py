"""Internal: `AsyncResults`: what a query of `divan.aio` gives, fetched in chunks in worker threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

from anyio import Lock

from divan.errors import DivanError

_T = TypeVar("_T")

_FIRST_CHUNK: Final = 16
_LARGEST_CHUNK: Final = 256
_CHUNK_SECONDS: Final = 0.01  # a slow store's documents are not held back until a chunk is full


class AsyncResults(AsyncIterator[_T], Generic[_T]):
    """What a query gives, one by one, fetched in chunks in worker threads: at most 256 documents are read ahead.

    One that is not read to its end lets go of the store's cursor when it is closed (`aclose`, or ``async with``), when
    its reader is cancelled, or when nothing refers to it any more.

    Args:
        run: Runs a function in a worker thread.
        start: Begins the query, in a worker thread.
    """

    def __init__(
        self, run: Callable[[Callable[[], _Chunk[_T]]], Awaitable[_Chunk[_T]]], start: Callable[[], Iterator[_T]]
    ) -> None:
        self._run = run
        self._source: _Source[_T] | None = _Source(start)
        self._ready: deque[_T] = deque()
        self._error: Exception | None = None
        self._interrupted = False
        self._lock = Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        while not self._ready:
            async with self._lock:
                if not self._ready:  # else another reader has fetched
                    await self._fetch()
        return self._ready.popleft()

    async def _fetch(self) -> None:
        """Make more items ready, or raise what ends the iteration."""
        source = self._source
        if source is None:
            if self._interrupted:  # StopAsyncIteration would pass a part of the documents off as all
                raise DivanError("reading these documents was interrupted half-way; ask for them again")
            error, self._error = self._error, None
            raise error or StopAsyncIteration
        try:
            chunk = await self._run(source.fetch)
        except BaseException:
            self._interrupted = True
            self._end()
            raise
        self._ready.extend(chunk.items)
        if chunk.ended:
            self._error = chunk.error
            self._end()

    def _end(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    async def aclose(self) -> None:
        """Let go of the store's cursor; iterating further gives nothing."""
        self._ready.clear()
        self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class _Chunk(NamedTuple, Generic[_T]):
    """The next items; whether they are the last; and the error that ended the iteration, if one did."""

    items: list[_T]
    ended: bool
    error: Exception | None


class _Source(Generic[_T]):
    """The plain iterator underneath, which worker threads advance one after the other."""

    def __init__(self, start: Callable[[], Iterator[_T]]) -> None:
        self._start = start
        self._iterator: Iterator[_T] | None = None
        self._size = _FIRST_CHUNK
        self._closed = False
        self._lock = threading.Lock()  # held while the iterator is advanced or let go

    def fetch(self) -> _Chunk[_T]:
        """Take some more items; called in a worker thread."""
        items: list[_T] = []
        error: Exception | None = None
        ended = False
        with self._lock:
            size, self._size = self._size, min(4 * self._size, _LARGEST_CHUNK)
            deadline = time.monotonic() + _CHUNK_SECONDS
            try:
                if self._iterator is None:
                    self._iterator = self._start()
                for item in self._iterator:
                    items.append(item)
                    if len(items) == size or self._closed or time.monotonic() > deadline:
                        break
                else:
                    ended = True
            except Exception as raised:
                # What came before it is handed out first, as the plain iterator would have done.
                ended, error = True, raised
        if self._closed:
            self.close()  # asked for while the lock was held
        return _Chunk(items, ended, error)

    def close(self) -> None:
        """Let go of the iterator, here and now, or when the thread that is advancing it is done with it."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                # A generator is closed when its last reference goes, be it inside a map or a filter.
                self._iterator = None
                self._start = _ended
            finally:
                self._lock.release()


def _ended() -> Iterator[Any]:
    return iter(())
