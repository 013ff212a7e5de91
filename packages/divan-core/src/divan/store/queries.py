"""Internal: what a query asks of a driver, and what the Store does itself where the driver can't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypedDict

from divan.backends.base import BaseDivanBackend
from divan.backends.driver import Driver
from divan.backends.support import attempt, ids_asked_for, matching, readable
from divan.documents import Document
from divan.errors import DivanError, StoreError
from divan.query import ID_PATH, And, Explanation, Query, SortKey, finish, is_about_id, project
from divan.store.bulk import batches
from divan.store.codec import Codec
from divan.store.results import TOO_DEEP

_get_id: Final[Any] = attrgetter("id")


class _Window(TypedDict, total=False):
    """What a driver is left to do of a `find`, beside its filter."""

    sort: Sequence[SortKey]
    limit: int | None
    skip: int
    fields: Sequence[str]


class Queries:
    """Lets a driver do of each query what it can, and does the rest.

    Every call is given the driver, since that of a Store which was closed is another one.

    Args:
        backend: The driver's class.
        takes: Which of the contract's optional arguments it takes: method → names.
        codec: Makes `Document`s of what the driver returns.
    """

    def __init__(self, backend: type[BaseDivanBackend], takes: Mapping[str, frozenset[str]], codec: Codec) -> None:
        self._takes = takes["find"]
        self._gets_fields = "fields" in takes["get_document_for_id"]
        self._gets_many_fields = "fields" in takes["get_many"]
        self._takes_id = backend.takes_id_field
        self._batch_size = backend.batch_size
        self._gets_many = backend.implements("get_document_for_id") or backend.implements("get_many")
        self._codec = codec

    def get(self, driver: Driver, id: str, names: tuple[str, ...]) -> Document:
        """Some fields of one document, in stored form.

        Args:
            driver: The driver.
            id: The document's id.
            names: Dotted paths to return.

        Raises:
            DocumentNotFound: if there is no such document.
        """
        if self._gets_fields:
            return self._project(driver.get_document_for_id(id, fields=names), names)
        return self._project(driver.get_document_for_id(id), names)

    def get_many(self, driver: Driver, ids: Sequence[str], names: tuple[str, ...] | None) -> Sequence[Any]:
        """What the driver returns for several ids, or `Document`s in stored form; errors and `None` stand for some.

        Args:
            driver: The driver.
            ids: The ids.
            names: Dotted paths to return; `None` for whole documents.
        """
        if names is None:
            return driver.get_many(ids)
        found = driver.get_many(ids, fields=names) if self._gets_many_fields else driver.get_many(ids)
        return [raw if raw is None else attempt(self._project, raw, names) for raw in found]

    def find(
        self,
        driver: Driver,
        query: Query,
        keys: tuple[SortKey, ...],
        limit: int | None,
        skip: int,
        names: tuple[str, ...] | None,
    ) -> Iterator[Any]:
        """What a query finds: what the driver returns, or `Document`s in stored form; errors stand for some.

        Args:
            driver: The driver.
            query: The filter.
            keys: The sort's keys.
            limit: How many to yield at most.
            skip: How many to leave out first.
            names: Dotted paths to return; `None` for whole documents.
        """
        if not self._takes_id and (is_about_id(query.tree) or any(key.path == ID_PATH for key in keys)):
            found: Iterator[Any] = finish(self._by_id(driver, query), get_id=_get_id, sort=keys, limit=limit, skip=skip)
            return found if names is None else (self._project(document, names) for document in found)
        window: _Window = {}
        if keys and "sort" in self._takes:
            window["sort"] = keys
            keys = ()
        if not keys:
            if "limit" in self._takes and "skip" in self._takes:
                window["limit"], window["skip"] = limit, skip
                limit, skip = None, 0
            if names is not None and "fields" in self._takes:
                window["fields"] = names
                names = None
        found = driver.find(query, **window)
        if keys or limit is not None or skip:
            found = finish(found, get_id=driver.get_id_for_document, sort=keys, limit=limit, skip=skip)
        return found if names is None else (self._project(raw, names) for raw in found)

    def count(self, driver: Driver, query: Query) -> int:
        """How many documents match.

        Args:
            driver: The driver.
            query: The filter.
        """
        try:
            if not self._takes_id and is_about_id(query.tree):
                return sum(1 for _ in readable(self._by_id(driver, query)))
            return int(driver.count(query))
        except RecursionError as error:
            raise StoreError(TOO_DEEP) from error

    def explain(self, driver: Driver, query: Query, keys: tuple[SortKey, ...]) -> Explanation:
        """How `find` answers.

        Args:
            driver: The driver.
            query: The filter.
            keys: The sort's keys.
        """
        told_keys = tuple(key for key in keys if key.path != ID_PATH)
        if self._takes_id or (told_keys == keys and not is_about_id(query.tree)):
            return driver.explain(query, keys)
        if self._gets_many and ids_asked_for(query.tree) is not None:
            return Explanation({}, dict(query), sorted_by_store=False, index="_id", scan=False, detail="fetched by id")
        told, left = _apart(query)
        explanation = driver.explain(told, ())
        parts = [part for part in (explanation.residual, dict(Query(left))) if part]
        return explanation._replace(residual=parts[0] if len(parts) == 1 else {"$and": parts} if parts else {})

    def _by_id(self, driver: Driver, query: Query) -> Iterator[Document | DivanError]:
        """What matches a filter that the driver does not understand, since it asks for the id."""
        ids = ids_asked_for(query.tree) if self._gets_many else None
        found: Iterable[Any]
        if ids is not None:
            batched = batches(ids, self._batch_size)
            found = (raw for batch in batched for raw in driver.get_many(batch) if raw is not None)
            left: And = query.tree
        else:
            told, left = _apart(query)
            found = driver.find(told)
        documents = (attempt(self._codec.adopt, raw) for raw in found)
        return matching(Query(left).matches, documents)

    def _project(self, raw: Any, names: tuple[str, ...]) -> Document:
        document = self._codec.adopt(raw)
        return Document(project(document, names), document.id, document.rev)


def _apart(query: Query) -> tuple[Query, And]:
    """What any driver understands of a filter, and the rest, which asks for the id."""
    told = tuple(item for item in query.tree.items if not is_about_id(item))
    return Query(And(told)), And(tuple(item for item in query.tree.items if is_about_id(item)))
