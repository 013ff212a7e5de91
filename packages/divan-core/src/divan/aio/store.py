"""Internal: `AsyncStore`: the Store's methods as coroutines, each run in a worker thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from divan.aio.results import AsyncResults
from divan.aio.watching import AsyncWatch
from divan.aio.workers import Job, Workers
from divan.documents import Document
from divan.errors import BulkError, StoreClosed, shown
from divan.query import Explanation, parse_fields
from divan.serializers import FieldSerializer
from divan.store.pages import Page
from divan.store.store import D, Store

if TYPE_CHECKING:
    from divan.documents import Id

_T = TypeVar("_T")


class AsyncStore(Generic[D]):
    """A `divan.Store` whose methods are coroutines; made by `open`.

    `find`, `ids` and iteration give async iterators, which read ahead by a bounded number of documents. ``await
    store[id]`` is ``await store.get(id)``. In place of ``in``, which is a `TypeError`, ask whether
    ``await store.get(id, None)`` is `None`.

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

    async def create(self, data: Mapping[str, Any] | D, id: Id | None = None) -> D:
        """Store a new document.

        Args:
            data: Field name → value. It is not changed.
            id: The document's id; `None` for the one that an instance of the schema's class holds, or to have one made
                (a UUIDv7).

        Returns:
            The document as stored.

        Raises:
            DocumentExists: if the id is taken.
            InvalidDocument: if the data or the id can't be stored by every store alike.
        """
        return await self._run(partial(self.sync.create, data, id))

    @overload
    async def get(self, id: Id | Document | D, *, fields: None = ...) -> D: ...
    @overload
    async def get(self, id: Id | Document | D, *, fields: Iterable[str]) -> Document: ...
    @overload
    async def get(self, id: Id | Document | D, default: _T, *, fields: None = ...) -> D | _T: ...
    @overload
    async def get(self, id: Id | Document | D, default: _T, *, fields: Iterable[str]) -> Document | _T: ...
    async def get(self, id: Id | Document | D, default: Any = ..., *, fields: Iterable[str] | None = None) -> Any:
        """Fetch a document.

        Args:
            id: Its id, or the `Document`, to fetch it anew.
            default: What to return if there is none.
            fields: Dotted paths to return; `None` for the whole document.

        Returns:
            The document; with `fields` a `Document`, whatever the schema.

        Raises:
            DocumentNotFound: if there is none and no `default` was given.
            InvalidID: if no document can have this id, and no `default` was given.
            InvalidQuery: if a field can't be one.
        """
        get: Any = self.sync.get  # whose overloads leave open what both may be
        return await self._run(partial(get, id, default, fields=fields))

    async def __getitem__(self, id: Id | Document | D) -> D:
        return await self.get(id)

    async def update(self, id: Id | Document | D, changes: Mapping[str, Any], rev: str | None = None) -> D:
        """Merge fields into a document, in one atomic step: concurrent updates of other fields are kept.

        Args:
            id: The document's id, or the `Document`.
            changes: Field name, or dotted path into nested objects, → new value; `None` is stored as null,
                `divan.REMOVE` removes the field, `divan.Increment` adds to the number in it, and `divan.Append` and
                `divan.Discard` add and remove items of the list in it. Missing objects on a path are made.
            rev: The revision that the document must still have; `None` to update whatever is there.

        Returns:
            The document as stored.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has changed since `rev`.
            InvalidDocument: if a value can't be stored by every store alike, or can't be incremented, what a list is
                wanted for is none, or something else than an object is on a path; nothing is written then.
        """
        return await self._run(partial(self.sync.update, id, changes, rev))

    async def replace(self, id: Id | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        """Overwrite a whole document, which must exist.

        Args:
            id: The document's id, or the `Document`.
            data: Field name → value: all that the document will hold.
            rev: The revision that the document must still have; `None` to overwrite whatever is there.

        Returns:
            The document as stored.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has changed since `rev`.
            InvalidDocument: if the data can't be stored by every store alike.
        """
        return await self._run(partial(self.sync.replace, id, data, rev))

    async def put(self, id: Id | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        """Create a document, or overwrite the whole of it if it exists.

        Args:
            id: The document's id, or a `Document` with it.
            data: Field name → value: all that the document will hold.
            rev: The revision that the document must still have; `None` to overwrite whatever is there, or nothing.

        Returns:
            The document as stored.

        Raises:
            RevisionConflict: if it has changed since `rev`, or is gone.
            InvalidDocument: if the data or the id can't be stored by every store alike.
        """
        return await self._run(partial(self.sync.put, id, data, rev))

    async def delete(self, id: Id | Document | D, rev: str | None = None) -> None:
        """Delete a document.

        Args:
            id: The document's id, or the `Document`.
            rev: The revision that the document must still have; `None` to delete whatever is there.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has changed since `rev`.
        """
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
        """The documents that match a filter, streamed.

        Args:
            where: The filter; `None` or ``{}`` matches everything.
            sort: ``"field"``, ``"-field"`` for descending, or a list of them; missing first, ties by id. Without one,
                the order is the store's.
            limit: How many to return at most.
            skip: How many to leave out first.
            fields: Dotted paths to return; `None` for whole documents.

        Returns:
            An async iterator, which reads ahead. With `fields` it yields `Document`s, whatever the schema.

        Raises:
            InvalidQuery: when it is iterated, if an argument can't be understood, or the query would scan where scans
                are not allowed.
        """
        return AsyncResults(self._run, partial(self.sync.find, where, sort=sort, limit=limit, skip=skip, fields=fields))

    @overload
    async def first(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        fields: None = ...,
    ) -> D | None: ...
    @overload
    async def first(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        fields: Iterable[str],
    ) -> Document | None: ...
    async def first(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
    ) -> Any:
        """The first of the documents that match a filter.

        Args:
            where: The filter; `None` or ``{}`` matches everything.
            sort: As for `find`; without one, whichever the store gives first.
            fields: Dotted paths to return; `None` for the whole document.

        Returns:
            The document, or `None` if none matches. With `fields` it is a `Document`, whatever the schema.

        Raises:
            InvalidQuery: if an argument can't be understood, or the query would scan where scans are not allowed.
        """
        first: Any = self.sync.first  # whose overloads leave open what `fields` may be
        return await self._run(partial(first, where, sort=sort, fields=fields))

    async def page(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[D]:
        """One page of the documents that match a filter, and the token of the page after it.

        The next page begins after the last document of this one, wherever that would stand by then: documents that come
        and go meanwhile make no other appear twice or vanish, and the last page costs no more than the first where an
        index serves the sort.

        Args:
            where: The filter; `None` or ``{}`` matches everything.
            sort: As for `find`; without one, the pages are in the order of the ids.
            limit: How many documents make a page at most; from 1.
            after: The token of the page that is wanted, which the page before it gave as its `next`; `None` for the
                first. It is opaque and URL-safe, and holds the values that the last document was sorted by.

        Returns:
            The page.

        Raises:
            InvalidQuery: if an argument can't be understood, the query would scan where scans are not allowed, or the
                token is none of this filter's and sort's.
            StoreError: if a document of the page can't be read, or its sort value can't be held by a token.
        """
        return await self._run(partial(self.sync.page, where, sort=sort, limit=limit, after=after))

    async def exists(self, where: Mapping[str, Any] | None = None) -> bool:
        """Whether any document matches a filter; `None` asks whether there is any document.

        Raises:
            InvalidQuery: if the filter can't be understood, or would scan where scans are not allowed.
        """
        return await self._run(partial(self.sync.exists, where))

    async def count(self, where: Mapping[str, Any] | None = None) -> int:
        """How many documents match a filter; `None` counts them all.

        Raises:
            InvalidQuery: if the filter can't be understood, or would scan where scans are not allowed.
        """
        return await self._run(partial(self.sync.count, where))

    async def explain(
        self, where: Mapping[str, Any] | None = None, *, sort: str | Iterable[str] | None = None
    ) -> Explanation:
        """How the store would answer `find`: what it does itself, what the matcher finishes, which index serves it.

        Raises:
            InvalidQuery: if the filter or the sort can't be understood.
        """
        return await self._run(partial(self.sync.explain, where, sort=sort))

    # Without these two Python would ask for items by number, each of which is a coroutine, and never come to an end.

    def __contains__(self, id: object) -> NoReturn:
        raise TypeError(f"`in` can't wait for a store: ask whether `await store.get({shown(id)}, None)` is None")

    def __iter__(self) -> NoReturn:
        """Raise `TypeError`: the documents are to be waited for, by ``async for``."""
        raise TypeError("a store's documents come as they are waited for: `[document async for document in store]`")

    def __aiter__(self) -> AsyncResults[D]:
        return AsyncResults(self._run, partial(iter, self.sync))

    def ids(self, prefix: str = "") -> AsyncResults[str]:
        """The ids of all documents, streamed, in the store's order.

        Args:
            prefix: How the ids begin that are wanted; ``""`` for all.
        """
        return AsyncResults(self._run, partial(self.sync.ids, prefix))

    async def ensure_index(self, *fields: str) -> str | None:
        """Make `find` on these fields fast, where the store can.

        Args:
            *fields: Dotted paths; several make one index over all of them, in this order.

        Returns:
            The index's name, or `None` if the store has no indexes; queries answer the same with and without.

        Raises:
            InvalidQuery: if a field can't be one.
        """
        return await self._run(partial(self.sync.ensure_index, *fields))

    # Bulk: an async iterable is read here, any other iterable in the worker thread

    async def create_many(
        self,
        documents: Iterable[Mapping[str, Any] | D | tuple[Id, Mapping[str, Any] | D]]
        | AsyncIterable[Mapping[str, Any] | D | tuple[Id, Mapping[str, Any] | D]],
    ) -> list[D]:
        """Create many documents, in batches.

        Args:
            documents: Mappings of field names to values, or pairs of an id and such a mapping. An async iterable is
                read in the event loop, any other one in the worker thread.

        Returns:
            The documents as stored, in order.

        Raises:
            BulkError: if some failed; the others are stored, and its `results` hold one entry per document.
        """
        return await self._bulk("create_many", self.sync.create_many, documents)

    async def put_many(
        self,
        items: Mapping[str, Mapping[str, Any] | D]
        | Iterable[Document | D | tuple[Id | Document | D, Mapping[str, Any] | D]]
        | AsyncIterable[Document | D | tuple[Id | Document | D, Mapping[str, Any] | D]],
    ) -> list[D]:
        """Create many documents, or overwrite the whole of those that exist, in batches; each as `put` does.

        Args:
            items: Id → data, or pairs of an id and data; a `Document`, or an instance of the schema's class, stands for
                its id and its fields. Read as by `create_many`.

        Returns:
            The documents as stored, in order.

        Raises:
            BulkError: if some failed; the others are stored, and its `results` hold one entry per item.
        """
        given = items.items() if isinstance(items, Mapping) else items
        return await self._bulk("put_many", self.sync.put_many, given)

    @overload
    async def get_many(
        self, ids: Iterable[Id | Document | D] | AsyncIterable[Id | Document | D], *, fields: None = ...
    ) -> list[D | None]: ...
    @overload
    async def get_many(
        self, ids: Iterable[Id | Document | D] | AsyncIterable[Id | Document | D], *, fields: Iterable[str]
    ) -> list[Document | None]: ...
    @overload
    async def get_many(
        self, ids: Iterable[Id | Document | D] | AsyncIterable[Id | Document | D], default: _T, *, fields: None = ...
    ) -> list[D | _T]: ...
    @overload
    async def get_many(
        self,
        ids: Iterable[Id | Document | D] | AsyncIterable[Id | Document | D],
        default: _T,
        *,
        fields: Iterable[str],
    ) -> list[Document | _T]: ...
    async def get_many(
        self,
        ids: Iterable[Id | Document | D] | AsyncIterable[Id | Document | D],
        default: Any = None,
        *,
        fields: Iterable[str] | None = None,
    ) -> list[Any]:
        """Fetch many documents, in batches.

        Args:
            ids: Ids or `Document`s; read as by `create_many`.
            default: What stands in the result for a document that does not exist.
            fields: Dotted paths to return; `None` for whole documents.

        Returns:
            One document (or `default`) per id, in order. With `fields` they are `Document`s, whatever the schema.

        Raises:
            InvalidQuery: if a field can't be one.
            BulkError: if some can't be read; its `results` hold one entry per id, the others' documents among them.
        """
        get_many: Any = self.sync.get_many  # whose overloads leave open what `fields` may be
        names = parse_fields(fields)  # read once, for every batch of an async iterable
        return await self._bulk("get_many", partial(get_many, default=default, fields=names), ids)

    async def update_many(
        self,
        changes: Mapping[str, Mapping[str, Any]]
        | Iterable[tuple[Id | Document | D, Mapping[str, Any]]]
        | AsyncIterable[tuple[Id | Document | D, Mapping[str, Any]]],
    ) -> list[D]:
        """Update many documents, in batches; each update is as `update` without a revision.

        Args:
            changes: Id → changes, or pairs of an id (or `Document`) and its changes; read as by `create_many`.

        Returns:
            The documents as stored, in order.

        Raises:
            BulkError: if some failed; the others are updated, and its `results` hold one entry per item.
        """
        items = changes.items() if isinstance(changes, Mapping) else changes
        return await self._bulk("update_many", self.sync.update_many, items)

    async def delete_many(self, ids: Iterable[Id | Document | D] | AsyncIterable[Id | Document | D]) -> list[str]:
        """Delete many documents, in batches.

        Args:
            ids: Ids or `Document`s; read as by `create_many`.

        Returns:
            The ids, in order.

        Raises:
            BulkError: if some failed (`DocumentNotFound`, say); the others are deleted, and its `results` hold one
                entry per id.
        """
        return await self._bulk("delete_many", self.sync.delete_many, ids)

    # Whatever matches

    async def update_where(self, where: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
        """Update every document that matches a filter, each once, as `update` does.

        A document that has ceased to match when it is written is left alone, and what others write meanwhile is kept.

        Args:
            where: The filter; ``{}`` matches everything.
            changes: As for `update`.

        Returns:
            How many documents were updated.

        Raises:
            InvalidQuery: if the filter can't be understood, or would scan where scans are not allowed.
            InvalidDocument: if a value can't be stored by every store alike.
            BulkError: if some that match could not be updated; the others are. Its `results` hold `None` for each that
                was; if it has a cause, the store stopped answering, and more may match.
        """
        return await self._run(partial(self.sync.update_where, where, changes))

    async def delete_where(self, where: Mapping[str, Any]) -> int:
        """Delete every document that matches a filter.

        A document that has ceased to match when it is deleted is left alone.

        Args:
            where: The filter; ``{}`` matches everything.

        Returns:
            How many documents were deleted.

        Raises:
            InvalidQuery: if the filter can't be understood, or would scan where scans are not allowed.
            BulkError: if some that match could not be deleted; see `update_where`.
        """
        return await self._run(partial(self.sync.delete_where, where))

    async def purge(self) -> int:
        """Delete every document that has expired, in batches; for callers they have been gone before.

        A document that is prolonged meanwhile is left alone. Plugins are neither asked nor told.

        Returns:
            How many documents were deleted.

        Raises:
            UnsupportedOperation: if the store was opened without `expires`.
            BulkError: if some that have expired could not be deleted; see `update_where`.
        """
        return await self._run(self.sync.purge)

    # Changes

    def watch(self, since: str | None = None, *, wait: float | None = None) -> AsyncWatch:
        """The changes that anybody makes to the documents, as they happen: created, updated, deleted.

        Each comes at least once, and those of one document in the order in which they were made. What is watched is the
        collection, whatever the schema: an event holds an id and a revision, and `get` gives the document as it is now.

        Args:
            since: The `token` of an event, or of an earlier watch, to go on behind it; `None` to begin at the first
                step, or where the iterator is entered by ``async with``.
            wait: How long to wait for the next change, in seconds, before the iterator ends; 0 for what is there
                already, `None` for ever.

        Returns:
            An async iterator of `ChangeEvent`s, with `token` (where to resume), `is_behind()` and `aclose()`. Its first
            step raises what `divan.Store.watch` raises.
        """
        return AsyncWatch(self._run, partial(self.sync.watch, since, wait=wait), wait)

    async def _bulk(self, operation: str, function: Callable[[Iterable[Any]], list[_T]], items: Any) -> list[_T]:
        if not isinstance(items, AsyncIterable):
            job = Job()
            return await self._run(lambda: function(_until_abandoned(items, job)), job)
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
        """Ask the store for a sign of life.

        Raises:
            ConnectionFailed, AuthenticationFailed, OperationTimeout: if there is none.
        """
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

    async def _run(self, function: Callable[[], _T], job: Job | None = None) -> _T:
        if self._closed:
            raise StoreClosed(f"the store {self.url} is closed; open it again")
        return await self._workers.run(function, job)


def _until_abandoned(items: Iterable[_T], job: Job) -> Iterator[_T]:
    """The items, until the caller is cancelled: nobody wants the rest of a long bulk call written then."""
    for item in items:
        if job.abandoned:
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
