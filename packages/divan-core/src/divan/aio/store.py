"""Internal: the Store for coroutines: `open`, and the `AsyncStore` that it gives."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Generic, Self, TypeVar, overload

from divan.aio.results import AsyncResults
from divan.aio.workers import Call, Workers
from divan.backends.base import BaseDivanBackend
from divan.documents import REMOVE, Document
from divan.errors import BulkError, StoreClosed
from divan.opening import open as open_store
from divan.query import Explanation
from divan.serializers import FieldSerializer
from divan.store.schemas import M
from divan.store.store import D, Store

_T = TypeVar("_T")

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
        plugins: Plugin modules or objects, beside the installed ones, for this Store alone.
        max_threads: How many calls may run at once; the others wait for their turn.
        **options: The backend's options, ``user`` and ``password``.

    Returns:
        The store that is being opened; nothing happens before it is awaited or entered, which raises what `divan.open`
        raises.
    """
    if isinstance(max_threads, bool) or not isinstance(max_threads, int) or max_threads < 1:
        raise ValueError(f"max_threads is a whole number from 1 on, not {max_threads!r}")
    opener = partial(
        open_store, url, schema, database=database, host=host, port=port, allow_scans=allow_scans, plugins=plugins
    )
    return Opening(partial(opener, **options), max_threads)


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


class AsyncStore(Generic[D]):
    """A `divan.Store` whose methods are coroutines; made by `open`.

    `find`, `ids` and iteration give async iterators, which read ahead by a bounded number of documents. ``await
    store[id]`` is ``await store.get(id)``. For ``in``, ask whether ``await store.get(id, None)`` is `None`.

    Args:
        store: The open Store.
        workers: The threads that it runs in.

    Attributes:
        sync: The Store underneath.
        backend: The driver; its `db` is the store's native handle.
        name: The backend's name, such as ``"sqlite"``.
        url: The URL, its secrets shown as ``***``.
        fields: Field name → the serializer of its field type, for the fields of the schema that need one.
    """

    def __init__(self, store: Store[D], workers: Workers) -> None:
        self.sync = store
        self.backend = store.backend
        self.name = store.name
        self.url = store.url
        self.fields: Mapping[str, FieldSerializer] = store.fields
        self._workers = workers
        self._closed = False

    # One document

    async def create(self, data: Mapping[str, Any] | D, id: str | None = None) -> D:
        return await self._run(partial(self.sync.create, data, id))

    @overload
    async def get(self, id: str | Document | D) -> D: ...
    @overload
    async def get(self, id: str | Document | D, default: _T) -> D | _T: ...
    async def get(self, id: str | Document | D, default: Any = REMOVE) -> Any:
        return await self._run(partial(self.sync.get, id, default))

    async def __getitem__(self, id: str | Document | D) -> D:
        return await self.get(id)

    async def update(self, id: str | Document | D, changes: Mapping[str, Any], rev: str | None = None) -> D:
        return await self._run(partial(self.sync.update, id, changes, rev))

    async def replace(self, id: str | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        return await self._run(partial(self.sync.replace, id, data, rev))

    async def put(self, id: str | Document | D, data: Mapping[str, Any] | D) -> D:
        return await self._run(partial(self.sync.put, id, data))

    async def delete(self, id: str | Document | D, rev: str | None = None) -> None:
        await self._run(partial(self.sync.delete, id, rev))

    # Many documents

    @overload
    def find(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        limit: int | None = ...,
        skip: int = ...,
        fields: None = ...,
    ) -> AsyncResults[D]: ...
    @overload
    def find(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        limit: int | None = ...,
        skip: int = ...,
        fields: Iterable[str],
    ) -> AsyncResults[Document]: ...
    def find(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        skip: int = 0,
        fields: Iterable[str] | None = None,
    ) -> AsyncResults[Any]:
        return AsyncResults(self._run, partial(self.sync.find, where, sort=sort, limit=limit, skip=skip, fields=fields))

    async def count(self, where: Mapping[str, Any] | None = None) -> int:
        return await self._run(partial(self.sync.count, where))

    async def explain(
        self, where: Mapping[str, Any] | None = None, *, sort: str | Iterable[str] | None = None
    ) -> Explanation:
        return await self._run(partial(self.sync.explain, where, sort=sort))

    def __aiter__(self) -> AsyncResults[D]:
        return AsyncResults(self._run, partial(iter, self.sync))

    def ids(self) -> AsyncResults[str]:
        return AsyncResults(self._run, self.sync.ids)

    async def ensure_index(self, *fields: str) -> str | None:
        return await self._run(partial(self.sync.ensure_index, *fields))

    # Bulk: an async iterable is read here, any other iterable in the worker thread

    async def create_many(
        self,
        documents: Iterable[Mapping[str, Any] | D | tuple[str, Mapping[str, Any] | D]]
        | AsyncIterable[Mapping[str, Any] | D | tuple[str, Mapping[str, Any] | D]],
    ) -> list[D]:
        return await self._bulk("create_many", self.sync.create_many, documents)

    @overload
    async def get_many(
        self, ids: Iterable[str | Document | D] | AsyncIterable[str | Document | D]
    ) -> list[D | None]: ...
    @overload
    async def get_many(
        self, ids: Iterable[str | Document | D] | AsyncIterable[str | Document | D], default: _T
    ) -> list[D | _T]: ...
    async def get_many(
        self, ids: Iterable[str | Document | D] | AsyncIterable[str | Document | D], default: Any = None
    ) -> list[Any]:
        return await self._bulk("get_many", partial(self.sync.get_many, default=default), ids)

    async def update_many(
        self,
        changes: Mapping[str, Mapping[str, Any]]
        | Iterable[tuple[str | Document | D, Mapping[str, Any]]]
        | AsyncIterable[tuple[str | Document | D, Mapping[str, Any]]],
    ) -> list[D]:
        items = changes.items() if isinstance(changes, Mapping) else changes
        return await self._bulk("update_many", self.sync.update_many, items)

    async def delete_many(self, ids: Iterable[str | Document | D] | AsyncIterable[str | Document | D]) -> list[str]:
        return await self._bulk("delete_many", self.sync.delete_many, ids)

    async def _bulk(self, operation: str, function: Callable[[Iterable[Any]], list[_T]], items: Any) -> list[_T]:
        if not isinstance(items, AsyncIterable):
            call = Call()
            return await self._run(lambda: function(_until_abandoned(items, call)), call)
        results: list[Any] = []
        failed = False
        async with aclosing(_batches(items, self.backend.batch_size)) as batches:
            async for batch in batches:
                try:
                    results += await self._run(partial(function, batch))
                except BulkError as error:
                    failed = True
                    results += error.results
                    if error.__cause__ is not None:  # the store did not answer for the batch: the Store stops there too
                        raise BulkError(operation, results) from error.__cause__
        if failed:
            raise BulkError(operation, results)
        return results

    # The store itself

    async def ping(self) -> None:
        await self._run(self.sync.ping)

    async def close(self) -> None:
        """Release connections, when the calls that are running have ended. Closing twice is allowed.

        Every other call then raises `divan.StoreClosed`. A cancelled `close` does not wait for running calls: the last
        of them to end closes the store.
        """
        if not self._closed:
            self._closed = True
            await self._workers.finish(self.sync.close)

    async def aclose(self) -> None:
        """The same as `close`, under the name that `contextlib.aclosing` looks for."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncStore {self.url}>"

    async def _run(self, function: Callable[[], _T], call: Call | None = None) -> _T:
        if self._closed:
            raise StoreClosed(f"the store {self.url} is closed; open it again")
        return await self._workers.run(function, call)


def _close_all(stores: list[Store[D]]) -> None:
    for store in stores:
        store.close()


def _until_abandoned(items: Iterable[_T], call: Call) -> Iterator[_T]:
    """The items, until the caller is cancelled: nobody wants the rest of a long bulk call written then."""
    for item in items:
        if call.abandoned:
            raise RuntimeError("the caller is gone")
        yield item


async def _batches(items: AsyncIterable[_T], size: int) -> AsyncGenerator[list[_T], None]:
    batch: list[_T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


for _name, _member in vars(AsyncStore).items():
    # A method that is documented here differs from the Store's; the others are the Store's, word for word.
    if inspect.isfunction(_member) and not _member.__doc__ and _name[0] != "_":
        _member.__doc__ = getattr(Store, _name).__doc__
