"""Internal: a Store that tells plugins of the start and end of each call of the Store that it wraps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from weakref import WeakSet

from divan.documents import Document
from divan.errors import StoreClosed
from divan.query import Explanation
from divan.store.events import PluginSet
from divan.store.pages import Page
from divan.store.results import Results
from divan.store.store import D, Store
from divan.store.watching import Watch

if TYPE_CHECKING:
    from divan.documents import Id

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Call:
    """One call of a Store's method, from its start to its end.

    Args:
        store: The Store.
        operation: The method's name.
        target: What the call was given in place of a document's id, if it is about one document.
        items: What a bulk call was given.

    Attributes:
        store: The Store.
        operation: The method's name; ``"iter"`` for iteration.
        document_id: The document's id, where the call names one.
        batch_size: How many items a bulk call was given, where that can be told.
    """

    __slots__ = ("__weakref__", "batch_size", "document_id", "operation", "store")

    def __init__(self, store: Store[Any], operation: str, *, target: object = None, items: object = None) -> None:
        self.store = store
        self.operation = operation
        id = getattr(target, "id", target)
        self.document_id: str | None = id if isinstance(id, str) else None
        self.batch_size: int | None = len(items) if hasattr(items, "__len__") else None


class TracedStore(Store[D]):
    """A Store whose every call is told to the plugins that trace calls.

    Args:
        store: The Store that does the work.
        plugins: The loaded plugins.
    """

    def __init__(self, store: Store[D], plugins: PluginSet) -> None:
        self.backend = store.backend
        self.name = store.name
        self.url = store.url
        self.fields = store.fields
        self._store = store
        self._plugins = plugins
        self._streams: WeakSet[_ToldResults[Any]] = WeakSet()
        self._lock = Lock()
        store._events.store = self  # plugins know the Store that its user holds, and no other

    # One document

    def create(self, data: Mapping[str, Any] | D, id: Id | None = None) -> D:
        return self._tell(Call(self, "create"), self._store.create, data, id)

    def get(self, id: Id | Document | D, default: Any = ..., *, fields: Iterable[str] | None = None) -> Any:
        return self._tell(Call(self, "get", target=id), partial(self._store.get, fields=fields), id, default)

    def __contains__(self, id: object) -> bool:
        return self._tell(Call(self, "get", target=id), self._store.__contains__, id)

    def update(self, id: Id | Document | D, changes: Mapping[str, Any], rev: str | None = None) -> D:
        return self._tell(Call(self, "update", target=id), self._store.update, id, changes, rev)

    def replace(self, id: Id | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        return self._tell(Call(self, "replace", target=id), self._store.replace, id, data, rev)

    def put(self, id: Id | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        return self._tell(Call(self, "put", target=id), self._store.put, id, data, rev)

    def delete(self, id: Id | Document | D, rev: str | None = None) -> None:
        self._tell(Call(self, "delete", target=id), self._store.delete, id, rev)

    # Many documents

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        skip: int = 0,
        fields: Iterable[str] | None = None,
    ) -> Iterator[Any]:
        def find() -> Iterator[Any]:
            return self._store.find(where, sort=sort, limit=limit, skip=skip, fields=fields)

        return self._stream(Call(self, "find"), find)

    def first(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
    ) -> Any:
        return self._tell(Call(self, "first"), partial(self._store.first, fields=fields), where, sort=sort)

    def page(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[D]:
        page = partial(self._store.page, limit=limit, after=after)
        return self._tell(Call(self, "page"), page, where, sort=sort)

    def exists(self, where: Mapping[str, Any] | None = None) -> bool:
        return self._tell(Call(self, "exists"), self._store.exists, where)

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        return self._tell(Call(self, "count"), self._store.count, where)

    def explain(
        self, where: Mapping[str, Any] | None = None, *, sort: str | Iterable[str] | None = None
    ) -> Explanation:
        return self._tell(Call(self, "explain"), self._store.explain, where, sort=sort)

    def __iter__(self) -> Iterator[D]:
        return self._stream(Call(self, "iter"), self._store.__iter__)

    def ids(self, prefix: str = "") -> Iterator[str]:
        return self._stream(Call(self, "ids"), partial(self._store.ids, prefix))

    def ensure_index(self, *fields: str) -> str | None:
        return self._tell(Call(self, "ensure_index"), self._store.ensure_index, *fields)

    # Bulk

    def create_many(self, documents: Iterable[Mapping[str, Any] | D | tuple[Id, Mapping[str, Any] | D]]) -> list[D]:
        return self._tell(Call(self, "create_many", items=documents), self._store.create_many, documents)

    def put_many(
        self,
        items: Mapping[str, Mapping[str, Any] | D]
        | Iterable[Document | D | tuple[Id | Document | D, Mapping[str, Any] | D]],
    ) -> list[D]:
        return self._tell(Call(self, "put_many", items=items), self._store.put_many, items)

    def get_many(
        self, ids: Iterable[Id | Document | D], default: Any = None, *, fields: Iterable[str] | None = None
    ) -> list[Any]:
        return self._tell(Call(self, "get_many", items=ids), partial(self._store.get_many, fields=fields), ids, default)

    def update_many(
        self, changes: Mapping[str, Mapping[str, Any]] | Iterable[tuple[Id | Document | D, Mapping[str, Any]]]
    ) -> list[D]:
        return self._tell(Call(self, "update_many", items=changes), self._store.update_many, changes)

    def delete_many(self, ids: Iterable[Id | Document | D]) -> list[str]:
        return self._tell(Call(self, "delete_many", items=ids), self._store.delete_many, ids)

    # Whatever matches

    def update_where(self, where: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
        return self._tell(Call(self, "update_where"), self._store.update_where, where, changes)

    def delete_where(self, where: Mapping[str, Any]) -> int:
        return self._tell(Call(self, "delete_where"), self._store.delete_where, where)

    def purge(self) -> int:
        return self._tell(Call(self, "purge"), self._store.purge)

    # Changes

    def watch(self, since: str | None = None, *, wait: float | None = None) -> Watch:
        return self._tell(Call(self, "watch"), self._store.watch, since, wait=wait)

    # The store itself

    def ping(self) -> None:
        self._tell(Call(self, "ping"), self._store.ping)

    def close(self) -> None:
        self._store.close()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.end()

    # How a call is told

    def _tell(self, call: Call, method: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What the method returns or raises, told to the plugins before and after."""
        self._plugins.notify("divan_call_started", call=call)
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            self._plugins.notify("divan_call_ended", call=call, error=error)
            raise
        self._plugins.notify("divan_call_ended", call=call, error=None)
        return result

    def _stream(self, call: Call, method: Callable[[], Iterator[_T]]) -> Iterator[_T]:
        """The iterator that the method gives; the call ends with that, or with the Store."""
        self._plugins.notify("divan_call_started", call=call)
        try:
            results = method()
        except BaseException as error:
            self._plugins.notify("divan_call_ended", call=call, error=error)
            raise
        told: _ToldResults[_T] = _ToldResults(
            results, lambda error: self._plugins.notify("divan_call_ended", call=call, error=error)
        )
        with self._lock:
            self._streams.add(told)
        return told


class _ToldResults(Iterator[_T]):
    """An iterator that tells of its end, however that comes, and of what it raised first until then.

    A document that can't be read is raised too, and does not end it.
    """

    def __init__(self, results: Iterator[_T], tell_end: Callable[[BaseException | None], None]) -> None:
        self._results = cast(Results, results)  # of which a Store's every iterator is one
        self._tell_end: Callable[[BaseException | None], None] | None = tell_end
        self._failure: BaseException | None = None

    def __next__(self) -> _T:
        try:
            return cast(_T, next(self._results))
        except StopIteration:
            self.end()
            raise
        except BaseException as error:
            self._failure = self._failure or error
            if self._results.is_over or isinstance(error, StoreClosed):
                self.end()
            raise

    def close(self) -> None:
        """Let go of the store's cursor; iterating further gives nothing."""
        self._results.close()
        self.end()

    def __del__(self) -> None:
        self.end()

    def end(self) -> None:
        """Tell of the end, unless that has been done."""
        tell_end, self._tell_end = self._tell_end, None
        if tell_end is not None:
            tell_end(self._failure)
