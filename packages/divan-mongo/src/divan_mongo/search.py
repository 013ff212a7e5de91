"""Searches: what MongoDB finds, sorts and cuts off itself, and what is finished here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from bson import Decimal128
from divan.documents import Document
from divan.errors import InvalidQuery
from divan.query import And, Query, SortKey, compile_matcher, finish, project, resolve
from pymongo.collection import Collection

from divan_mongo.documents import make_document
from divan_mongo.errors import CLIENT_ERRORS, translate
from divan_mongo.filters import Filter, Plan, both, operand_fields, plan, segments

_MAX_PUSHED: Final = 2**31

Order = list[tuple[str, int]]


class Search:
    """Searches one collection.

    Args:
        collection: The documents.
        where: How messages call the collection.
        checks_decimals: Whether a sort that is finished here refuses Decimal128, which it would sort by its text.
    """

    def __init__(self, collection: Collection[dict[str, Any]], where: str, *, checks_decimals: bool) -> None:
        self._collection = collection
        self._where = where
        self._checks_decimals = checks_decimals

    def find(
        self, where: Query, sort: Sequence[SortKey], limit: int | None, skip: int, fields: Sequence[str] | None
    ) -> Iterator[Document]:
        """Stream what matches; see `BaseDivanBackend.find`."""
        if limit == 0:
            return iter(())
        todo = plan(where.tree)
        stop = None if limit is None else skip + limit
        residual = todo.residual
        if not _unpinned(todo, sort):
            if todo.exact is not None and (skip or limit) and skip < _MAX_PUSHED and (limit or 0) < _MAX_PUSHED:
                found = self.rows(todo.exact, mongo_order(sort), limit or 0, skip, _projection(fields))
            else:
                rows = self.rows(todo.filter, mongo_order(sort), projection=_projection(fields, residual))
                found = islice(_matching(rows, residual), skip, stop)
        elif is_sorted(todo, sort):
            found = islice(self._by_type(todo, sort, stop, _projection(fields, residual, sort)), skip, stop)
        else:
            rows = _matching(self.rows(todo.filter, projection=_projection(fields, residual, sort)), residual)
            if self._checks_decimals:
                rows = _refuse_decimals(rows, sort)
            found = finish(rows, get_id=_get_id, sort=sort, limit=limit, skip=skip)
        if fields is None:
            return found
        return (Document(project(document, fields), document.id, document.rev) for document in found)

    def _by_type(
        self, todo: Plan, sort: Sequence[SortKey], stop: int | None, projection: dict[str, int] | None
    ) -> Iterator[Document]:
        """Documents in the order of a sort whose first field may hold anything: one type of value after the other."""
        exact = todo.exact if stop is not None and stop < _MAX_PUSHED else None
        base, limit, residual = (todo.filter, 0, todo.residual) if exact is None else (exact, stop or 0, And(()))
        parts = list(enumerate(segments(sort[0].field)))
        for number, (condition, ordered) in reversed(parts) if sort[0].descending else parts:
            where = both(base, condition)
            if ordered:
                # Where the first field is missing or null, MongoDB may still see values of it inside lists.
                order = mongo_order(sort[1:] if number < 2 else sort) or [("_id", 1)]
                yield from _matching(self.rows(where, order, limit, projection=projection), residual)
            else:
                rows = _matching(self.rows(where, projection=projection), residual)
                yield from finish(rows, get_id=_get_id, sort=sort, limit=stop)

    def count(self, where: Query) -> int:
        """How many documents match."""
        todo = plan(where.tree)
        if todo.exact is not None:
            return self._collection.count_documents(todo.exact)
        rows = self.rows(todo.filter, projection=_projection((), todo.residual))
        return sum(1 for _ in _matching(rows, todo.residual))

    def rows(
        self,
        where: Filter,
        order: Order | None = None,
        limit: int = 0,
        skip: int = 0,
        projection: dict[str, int] | None = None,
    ) -> Iterator[Document]:
        """Stream what MongoDB finds.

        Args:
            where: A filter of MongoDB's.
            order: Its sort, or `None`.
            limit: How many at most; 0 for all.
            skip: How many to leave out first.
            projection: The fields to fetch; `None` for all.
        """
        try:
            with self._collection.find(
                where, projection, skip=skip, limit=limit, sort=order, allow_disk_use=True if order else None
            ) as cursor:
                yield from map(make_document, cursor)
        except CLIENT_ERRORS as error:
            raise translate(error, self._where) from error


def is_sorted(todo: Plan, sort: Sequence[SortKey]) -> bool:
    """Whether MongoDB does the sort: every field but the first is known to hold values of one type."""
    return bool(sort) and _unpinned(todo, sort) in ([], [sort[0]])


def mongo_order(sort: Sequence[SortKey]) -> Order | None:
    """A sort as MongoDB takes it, ties by id; of a field that is named twice, only the first counts."""
    keys: dict[str, int] = {}
    for key in sort:
        keys.setdefault(key.field, -1 if key.descending else 1)
    return [*keys.items(), ("_id", 1)] if keys else None


def _unpinned(todo: Plan, sort: Sequence[SortKey]) -> list[SortKey]:
    return [key for key in sort if key.field not in todo.pinned]


def _get_id(document: Document) -> str:
    return document.id


def _projection(
    fields: Sequence[str] | None, residual: And | None = None, sort: Sequence[SortKey] = ()
) -> dict[str, int] | None:
    """The top-level fields to fetch; what lies below, MongoDB would also cut out of lists."""
    if fields is None:
        return None
    paths = [*fields, *operand_fields(residual or And(())), *(key.field for key in sort)]
    return {"_id": 1, "_rev": 1, **{path.partition(".")[0]: 1 for path in paths}}


def _matching(documents: Iterator[Document], residual: And) -> Iterator[Document]:
    return filter(compile_matcher(residual), documents) if residual.items else documents


def _refuse_decimals(documents: Iterable[Document], sort: Sequence[SortKey]) -> Iterator[Document]:
    for document in documents:
        for key in sort:
            if isinstance(resolve(document, key.path), Decimal128):
                raise InvalidQuery(
                    f"{key.field}: decimals in BSON's form are sorted by MongoDB alone: sort by this field only, or "
                    "bound every field of the sort in the filter"
                )
        yield document
