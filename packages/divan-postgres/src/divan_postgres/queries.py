"""Internal: answers queries: streams what PostgreSQL finds, and finishes in Python what it can't."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

from divan.backends.sql import in_order
from divan.backends.support import attempt, matching, readable
from divan.documents import Document
from divan.errors import DivanError, InvalidQuery, StoreError
from divan.query import Explanation, Matcher, Query, SortKey, compile_matcher, finish, project, resolve
from divan.validation import check_path

from divan_postgres.connections import Client, rows_of
from divan_postgres.cursors import FIRST, Batch, Rows
from divan_postgres.documents import read
from divan_postgres.filters import Plan, plan_query
from divan_postgres.sql import identifier
from divan_postgres.wire import Command

_get_id: Final[Any] = attrgetter("id")
_COLUMNS: Final = "id, rev, body"
_ID_COLUMNS: Final = "id, rev, '{}'"


def find_documents(
    client: Client,
    where: Query,
    sort: Sequence[SortKey] = (),
    limit: int | None = None,
    skip: int = 0,
    fields: Sequence[str] | None = None,
) -> Iterator[Document | DivanError]:
    """Stream the documents that match; the arguments are those of `BaseDivanBackend.find`.

    A document that can't be read stands in the stream as the error that says so.
    """
    if limit == 0:
        return
    plan = plan_query(identifier(client.table), where.tree, sort)
    found = _found_at_once(client, plan, sort, limit, skip, ids_only=fields == ())
    rows = None
    if found is None:
        rows = Rows(client)
        found = _found(rows, plan, sort, limit, skip, ids_only=fields == ())
    try:
        for document in found:
            if fields is not None and isinstance(document, Document):
                yield Document(project(document, fields), document.id, document.rev)
            else:
                yield document
    finally:
        if rows is not None:
            rows.close()


def _found_at_once(
    client: Client, plan: Plan, sort: Sequence[SortKey], limit: int | None, skip: int, *, ids_only: bool
) -> Iterator[Document | DivanError] | None:
    """The documents of a query for so few that one statement answers it; `None` if it takes a cursor.

    How many there are is only tried where PostgreSQL need not sort them: what it finds in vain then costs little.
    """
    is_small = limit is not None and limit <= FIRST
    if plan.residual.items or (sort and not (plan.order and is_small)):
        return None
    columns = _ID_COLUMNS if ids_only and not sort else _COLUMNS
    rows = client.rows(plan.select(columns, limit if is_small else FIRST + 1, skip))
    if len(rows) > FIRST:
        return None
    documents = _documents(rows)
    if any(isinstance(found, Document) and _is_odd(resolve(found, key.path)) for found in documents for key in sort):
        return None
    return iter(documents)


def _found(
    rows: Rows, plan: Plan, sort: Sequence[SortKey], limit: int | None, skip: int, *, ids_only: bool
) -> Iterator[Document | DivanError]:
    """The documents that match, unprojected; where only ids are wanted, some have no fields."""
    matches = compile_matcher(plan.residual) if plan.residual.items else None
    if sort and plan.order:
        command = plan.select(_COLUMNS) if matches else plan.select(_COLUMNS, limit, skip)

        def unsorted(error: StoreError | None, skip: int, limit: int | None) -> Iterator[Document | DivanError]:
            """The rest, sorted here, from the same snapshot."""
            if error is not None:
                raise error
            other = plan._replace(order="")
            rest = _matching(rows, other, matches)
            return finish(rest, get_id=_get_id, sort=sort, limit=limit, skip=skip)

        return in_order(
            map(_documents, rows.batches(rows.run(command))),
            [key.path for key in sort],
            _is_odd,
            unsorted,
            matches=matches,
            skip=skip,
            limit=limit,
            checked=rows.finish,
        )
    if sort or matches:
        return finish(_matching(rows, plan, matches), get_id=_get_id, sort=sort, limit=limit, skip=skip)
    return _as_found(rows, plan.select(_ID_COLUMNS if ids_only else _COLUMNS, limit, skip))


def _as_found(rows: Rows, command: Command) -> Iterator[Document | DivanError]:
    for batch in rows.batches(rows.run(command)):
        rows.finish()
        yield from _documents(batch)


def _matching(rows: Rows, plan: Plan, matches: Matcher | None) -> Iterator[Any]:
    """The documents of a plan that leaves Python to filter or sort, unsorted."""
    for batch in rows.batches(rows.run(plan.select(_COLUMNS))):
        rows.finish()
        documents = _documents(batch)
        yield from documents if matches is None else matching(matches, documents)


def _documents(batch: Batch) -> list[Document | DivanError]:
    documents: list[Document | DivanError] = []
    for document_id, rev, body in batch:
        document = attempt(read, (document_id or b"").decode(), rev, body)
        documents.append(document.with_traceback(None) if isinstance(document, DivanError) else document)
    return documents


def _is_odd(value: Any) -> bool:
    """Whether PostgreSQL sorts a value otherwise: lists and objects it does not sort."""
    return isinstance(value, list | dict)


def count_documents(client: Client, where: Query) -> int:
    """How many documents match."""
    plan = plan_query(identifier(client.table), where.tree, ())
    if not plan.residual.items:
        ((found,),) = client.rows(plan.select("count(*)"))
        return int(found or 0)
    return sum(1 for _ in readable(find_documents(client, where)))


def explain_query(client: Client, where: Query, sort: Sequence[SortKey]) -> Explanation:
    """How `find_documents` would answer; the arguments are those of `BaseDivanBackend.explain`.

    PostgreSQL reads a small table whole, whatever index there is. So it is asked for the plan that it would rather not
    take then, and that it takes when the table has grown.
    """
    plan = plan_query(identifier(client.table), where.tree, sort)
    *_, answer, _ = client.read_all(
        [
            Command("BEGIN READ ONLY"),
            Command("SET LOCAL enable_seqscan = off"),
            plan.select(_COLUMNS, before="EXPLAIN (FORMAT JSON) "),
            Command("ROLLBACK"),
        ]
    )
    ((text,),) = rows_of(answer)
    nodes = list(_nodes(json.loads(text or b"[]")[0]["Plan"]))
    served = [node for node in nodes if "Index Cond" in node]
    ordering = [node for node in nodes if "Index Name" in node]
    return Explanation(
        pushed=dict(Query(plan.pushed)),
        residual=dict(Query(plan.residual)),
        sorted_by_store=bool(plan.order),
        index=", ".join(dict.fromkeys(node["Index Name"] for node in served or ordering)) or None,
        scan=not served,
        detail="\n".join(_line(node) for node in nodes),
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _line(node: dict[str, Any]) -> str:
    names = [node[name] for name in ("Index Name", "Index Cond", "Filter", "Sort Key") if name in node]
    return f"{node['Node Type']}: {'; '.join(map(str, names))}" if names else str(node["Node Type"])


def make_index(client: Client, fields: Sequence[str]) -> str:
    """Make the index on these dotted paths, unless it is there.

    Returns:
        The index's name.

    Raises:
        InvalidQuery: if there is no path, or one that is none.
    """
    if not fields:
        raise InvalidQuery("ensure_index takes at least one field")
    for field in fields:
        check_path(field)
    return client.make_index(fields)
