"""Internal: `divan.aio.open`: a Store that is opened in a worker thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, Final, Generic, overload

from divan.aio.store import AsyncStore
from divan.aio.workers import Workers
from divan.backends.base import BaseDivanBackend
from divan.documents import Document
from divan.opening import open as open_store
from divan.store.expiry import Clock
from divan.store.schemas import M
from divan.store.store import D, Store

DEFAULT_MAX_THREADS: Final = 40
"""How many calls of one Store may run at once, unless `open` is told otherwise (anyio's own default)."""


@overload
def open(
    url: str | type[BaseDivanBackend] | None,
    schema: type[M],
    *,
    database: str | None = ...,
    host: str | None = ...,
    port: int | None = ...,
    allow_scans: bool = ...,
    expires: str | None = ...,
    clock: Clock | None = ...,
    plugins: Iterable[object] = ...,
    max_threads: int = ...,
    **options: Any,
) -> Opening[M]: ...
@overload
def open(
    url: str | type[BaseDivanBackend] | None = ...,
    schema: Any = ...,
    *,
    database: str | None = ...,
    host: str | None = ...,
    port: int | None = ...,
    allow_scans: bool = ...,
    expires: str | None = ...,
    clock: Clock | None = ...,
    plugins: Iterable[object] = ...,
    max_threads: int = ...,
    **options: Any,
) -> Opening[Document]: ...
def open(
    url: str | type[BaseDivanBackend] | None = None,
    schema: Any = None,
    *,
    database: str | None = None,
    host: str | None = None,
    port: int | None = None,
    allow_scans: bool = True,
    expires: str | None = None,
    clock: Clock | None = None,
    plugins: Iterable[object] = (),
    max_threads: int = DEFAULT_MAX_THREADS,
    **options: Any,
) -> Opening[Any]:
    """Open a store for coroutines: ``await`` what this returns, or use it in an ``async with`` statement.

    Args:
        url: As for `divan.open`, like all that follow but `max_threads`.
        schema: Field name → field type, or a class.
        database: The database, where `url` is no URL.
        host: Host name, where `url` is no URL.
        port: Port, where `url` is no URL.
        allow_scans: Whether a query may read every document of the database.
        expires: The date-time field by which documents expire.
        clock: Gives the time, an aware datetime, for `expires`.
        plugins: Plugin modules or objects, beside the installed ones, for this Store alone.
        max_threads: How many calls may run at once; the others wait for their turn.
        **options: The backend's options, ``user`` and ``password``.

    Returns:
        The store that is being opened; nothing happens before it is awaited or entered, which raises what `divan.open`
        raises.
    """
    if isinstance(max_threads, bool) or not isinstance(max_threads, int) or max_threads < 1:
        raise ValueError(f"max_threads is a whole number from 1 on, not {max_threads!r}")
    opener = partial(open_store, url, schema, database=database, host=host, port=port, allow_scans=allow_scans)
    return Opening(partial(opener, expires=expires, clock=clock, plugins=plugins, **options), max_threads)


class Opening(Generic[D]):
    """A store that is being opened; made by `open`."""

    def __init__(self, opener: Callable[[], Store[D]], max_threads: int) -> None:
        self._opener = opener
        self._max_threads = max_threads
        self._store: AsyncStore[D] | None = None

    def __await__(self) -> Generator[Any, None, AsyncStore[D]]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncStore[D]:
        self._store = await self._open()
        return self._store

    async def __aexit__(self, *exc_info: object) -> None:
        if self._store is not None:
            await self._store.close()

    async def _open(self) -> AsyncStore[D]:
        workers = Workers(self._max_threads)
        opened: list[Store[D]] = []
        try:
            await workers.run(lambda: opened.append(self._opener()))
        except BaseException:
            await workers.finish(lambda: _close_all(opened))  # it may be open, or about to be, with nobody to close it
            raise
        return AsyncStore(opened[0], workers)


def _close_all(stores: list[Store[D]]) -> None:
    for store in stores:
        store.close()
