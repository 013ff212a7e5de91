"""Internal: queries: what MongoDB finds, sorts and cuts off itself, what is finished here, and what an index serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from bson import Decimal128
from divan.backends.support import matching, names_to_fetch, readable
from divan.documents import Document
from divan.errors import InvalidQuery
from divan.query import And, Explanation, Query, SortKey, compile_matcher, finish, project, resolve
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure

from divan_mongo.calls import Calls
from divan_mongo.errors import INDEX_CONFLICTS, translating
from divan_mongo.filters import Filter, Plan, all_of, make_plan, segments
from divan_mongo.pages import Page, read_page, search

_EVERYTHING: Final = And(())
_MAX_PUSHED: Final = 2**31
_UNBOUNDED: Final = (["[MinKey, MaxKey]"], ["[MaxKey, MinKey]"])
_STAGES_INSIDE: Final = ("inputStage", "inputStages", "queryPlan", "winningPlan", "shards", "outerStage", "innerStage")

_Order = list[tuple[str, int]]
_Rows = Iterator[Any]  # of documents, and of the `DivanError` that stands for one which can't be read


class Queries:
    """Searches one collection.

    Args:
        collection: The documents.
        label: How messages call the collection.
        calls: Makes the calls.
        checks_decimals: Whether a sort that is finished here refuses Decimal128, which it would sort by its text.
    """

    def __init__(
        self, collection: Collection[dict[str, Any]], label: str, calls: Calls, *, checks_decimals: bool
    ) -> None:
        self._collection = collection
        self._label = label
        self._calls = calls
        self._checks_decimals = checks_decimals

    def find(
        self, where: Query, sort: Sequence[SortKey], limit: int | None, skip: int, fields: Sequence[str] | None
    ) -> _Rows:
        """Stream what matches; see `BaseDivanBackend.find`."""
        if limit == 0:
            return iter(())
        plan = make_plan(where.tree)
        stop = None if limit is None else skip + limit
        if not _unpinned(plan, sort):
            if plan.exact is not None and (skip or limit) and skip < _MAX_PUSHED and (limit or 0) < _MAX_PUSHED:
                found = self._rows(plan.exact, _order(sort), limit or 0, skip, projection(fields))
            else:
                rows = self._rows(plan.filter, _order(sort), projection=projection(fields, plan.residual))
                found = islice(_matching(rows, plan.residual), skip, stop)
        elif _is_sorted(plan, sort):
            found = islice(self._by_type(plan, sort, stop, projection(fields, plan.residual, sort)), skip, stop)
        else:
            rows = self._rows(plan.filter, projection=projection(fields, plan.residual, sort))
            rows = _matching(rows, plan.residual)
            if self._checks_decimals:
                rows = _refuse_decimals(rows, sort)
            found = finish(rows, get_id=_get_id, sort=sort, limit=limit, skip=skip)
        if fields is None:
            return found
        return (
            Document(project(document, fields), document.id, document.rev)
            if isinstance(document, Document)
            else document
            for document in found
        )

    def _by_type(
        self, plan: Plan, sort: Sequence[SortKey], stop: int | None, projection: dict[str, int] | None
    ) -> _Rows:
        """Documents in the order of a sort whose first field may hold anything: one type of value after the other."""
        exact = plan.exact if stop is not None and stop < _MAX_PUSHED else None
        base, limit, residual = (plan.filter, 0, plan.residual) if exact is None else (exact, stop or 0, _EVERYTHING)
        parts = list(enumerate(segments(sort[0].field)))
        for number, (condition, is_ordered) in reversed(parts) if sort[0].descending else parts:
            segment = all_of([base, condition])
            if is_ordered:
                # Where the first field is missing or null, MongoDB may still see values of it inside lists.
                order = _order(sort[1:] if number < 2 else sort) or [("_id", 1)]
                yield from _matching(self._rows(segment, order, limit, projection=projection), residual)
            else:
                rows = _matching(self._rows(segment, projection=projection), residual)
                yield from finish(rows, get_id=_get_id, sort=sort, limit=stop)

    def count(self, where: Query) -> int:
        """How many documents match."""
        plan = make_plan(where.tree)
        if plan.exact is not None:
            return self._calls.read(self._count, plan.exact)
        rows = self._rows(plan.filter, projection=projection((), plan.residual))
        return sum(1 for _ in readable(_matching(rows, plan.residual)))

    def _count(self, condition: Filter) -> int:
        with translating(self._label):
            return self._collection.count_documents(condition)

    def iter_documents(self) -> _Rows:
        """Stream every document."""
        return self._rows({})

    def _rows(
        self,
        condition: Filter,
        order: _Order | None = None,
        limit: int = 0,
        skip: int = 0,
        projection: dict[str, int] | None = None,
    ) -> _Rows:
        """Stream what MongoDB finds.

        Args:
            condition: A filter of MongoDB's.
            order: Its sort, or `None`.
            limit: How many at most; 0 for all.
            skip: How many to leave out first.
            projection: The fields to fetch; `None` for all.
        """
        make_cursor = partial(
            search, self._collection, condition, projection=projection, skip=skip, limit=limit, sort=order,
            allow_disk_use=True if order else None,
        )  # fmt: skip
        cursor, page = self._calls.begin(self._first, make_cursor)
        try:
            while page is not None:
                yield from read_page(page, self._label)
                page = self._calls.run(self._next, cursor)
        finally:
            if cursor.alive:
                self._calls.run(cursor.close)

    def _first(self, make_cursor: Callable[[], Cursor[Any]]) -> tuple[Cursor[Any], Page | None]:
        """A cursor, and its first page: one that has met an error would give nothing more, as if there were nothing."""
        cursor = make_cursor()
        return cursor, self._next(cursor)

    def _next(self, cursor: Cursor[Any]) -> Page | None:
        """The next page, or `None` behind the last one."""
        with translating(self._label):
            page: Page | None = next(cursor, None)
        return page

    def explain(self, where: Query, sort: Sequence[SortKey]) -> Explanation:
        """Ask MongoDB how it would search; see `BaseDivanBackend.explain`."""
        plan = make_plan(where.tree)
        command: dict[str, Any] = {"find": self._collection.name, "filter": plan.filter}
        order = _order(sort) if _is_sorted(plan, sort) else None
        if order:
            command["sort"] = dict(order)
        answer = self._calls.read(self._explain, command)
        found = _stages(answer.get("queryPlanner", {}).get("winningPlan", {}))
        stages = [stage for stage in found if stage.get("stage") != "EOF"]
        names = [_index_of(stage) for stage in stages if _index_of(stage)]
        reads_all = any(stage.get("stage") == "COLLSCAN" or _is_unbounded(stage) for stage in stages)
        return Explanation(
            pushed=dict(Query(plan.pushed)),
            residual=dict(Query(plan.left)),
            sorted_by_store=bool(order),
            index=names[0] if names else None,
            scan=reads_all or not names or not plan.filter,
            detail=" < ".join(
                f"{stage['stage']} {stage['indexName']}" if "indexName" in stage else stage["stage"] for stage in stages
            ),
        )

    def _explain(self, command: Mapping[str, Any]) -> dict[str, Any]:
        with translating(self._label):
            return self._collection.database.command("explain", command, verbosity="queryPlanner")

    def ensure_index(self, fields: Sequence[str]) -> str:
        """Make an index, or find the one that is there.

        Args:
            fields: Dotted paths.

        Returns:
            The index's name.
        """
        # The id at the end lets the index serve a sort by the field too, ties broken by id.
        return self._calls.run(self._ensure_index, [*((field, 1) for field in dict.fromkeys(fields)), ("_id", 1)])

    def _ensure_index(self, keys: _Order) -> str:
        with translating(self._label):
            try:
                return self._collection.create_index(keys)
            except OperationFailure as error:
                if error.code not in INDEX_CONFLICTS:
                    raise
                existing = self._collection.index_information()
                names = [name for name, index in existing.items() if list(map(tuple, index["key"])) == keys]
                if not names:
                    raise
                return names[0]  # somebody made the same index under another name


# What MongoDB is asked for


def _is_sorted(plan: Plan, sort: Sequence[SortKey]) -> bool:
    """Whether MongoDB does the sort: every field but the first is known to hold values of one type."""
    return bool(sort) and _unpinned(plan, sort) in ([], [sort[0]])


def _unpinned(plan: Plan, sort: Sequence[SortKey]) -> list[SortKey]:
    """The keys of a sort whose field may hold values of several types, or none."""
    return [key for key in sort if key.field not in plan.pinned]


def _order(sort: Sequence[SortKey]) -> _Order | None:
    """A sort as MongoDB takes it, ties by id; of a field that is named twice, only the first counts."""
    keys: dict[str, int] = {}
    for key in sort:
        keys.setdefault(key.field, -1 if key.descending else 1)
    keys.setdefault("_id", 1)
    return list(keys.items()) if sort else None


def projection(
    fields: Sequence[str] | None, residual: And = _EVERYTHING, sort: Sequence[SortKey] = ()
) -> dict[str, int] | None:
    """The top-level fields to fetch; what lies below, MongoDB would also cut out of lists."""
    names = names_to_fetch(residual, sort, fields)
    return None if names is None else {"_id": 1, "_rev": 1, **dict.fromkeys(names, 1)}


# What is finished here


def _get_id(document: Document) -> str:
    return document.id


def _matching(documents: _Rows, residual: And) -> _Rows:
    return matching(compile_matcher(residual), documents) if residual.items else documents


def _refuse_decimals(documents: _Rows, sort: Sequence[SortKey]) -> _Rows:
    for document in documents:
        for key in sort if isinstance(document, Document) else ():
            if isinstance(resolve(document, key.path), Decimal128):
                raise InvalidQuery(
                    f"{key.field}: decimals in BSON's form are sorted by MongoDB alone: sort by this field only, or "
                    "bound every field of the sort in the filter"
                )
        yield document


# What MongoDB explains


def _stages(plan: Any) -> Iterator[dict[str, Any]]:
    """Every stage of a winning plan, outermost first, those of several shards included."""
    if isinstance(plan, list):
        for item in plan:
            yield from _stages(item)
    elif isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        for name, value in plan.items():
            if name in _STAGES_INSIDE:
                yield from _stages(value)


def _index_of(stage: dict[str, Any]) -> str:
    """The name of the index that a stage reads; ``""`` if it reads none."""
    return "_id_" if stage.get("stage") == "IDHACK" else str(stage.get("indexName", ""))


def _is_unbounded(stage: dict[str, Any]) -> bool:
    """Whether an index is read from end to end."""
    bounds: dict[str, Any] = stage.get("indexBounds") or {}
    return bool(bounds) and all(bound in _UNBOUNDED for bound in bounds.values())
