"""Internal: answers queries: streams what SQLite finds, and finishes in Python what it can't."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from divan.backends.sql import in_order
from divan.backends.sqlite.abilities import is_ordinary
from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.sqlite.documents import read, read_again, run
from divan.backends.sqlite.errors import is_unreadable
from divan.backends.sqlite.filters import Plan, plan_query
from divan.backends.sqlite.rows import Rows
from divan.backends.sqlite.sql import Statements, all_as_bytes_sql, index_name, index_sql, is_plain
from divan.backends.support import attempt, matching, readable
from divan.documents import Document
from divan.errors import DivanError, InvalidQuery, StoreError
from divan.query import Explanation, Query, SortKey, compile_matcher, finish, parse, project
from divan.validation import check_path

_INDEX_IN_PLAN: Final = re.compile(r"USING (?:COVERING )?INDEX (.+?)(?: \(|$)")
_get_id: Final[Any] = attrgetter("id")


def find_documents(
    file: DatabaseFile,
    where: Query,
    sort: Sequence[SortKey] = (),
    limit: int | None = None,
    skip: int = 0,
    fields: Sequence[str] | None = None,
) -> Iterator[Document | DivanError]:
    """Stream the documents that match; the arguments are those of `BaseDivanBackend.find`.

    A document that can't be read stands in the stream as the error that says so. Where SQLite itself can't read one,
    which ends its statement, the rest is found here, in the same snapshot.
    """
    if limit == 0:
        return
    rows = Rows(file)
    try:
        documents = _found(rows, file.table, where, sort, limit, skip, fields)
        if fields is None:
            yield from documents
            return
        for document in documents:
            if not isinstance(document, Document):
                yield document
            elif fields:
                yield Document(project(document, fields), document.id, document.rev)
            else:
                document.clear()
                yield document
    finally:
        rows.close()


def _found(
    rows: Rows,
    table: str,
    where: Query,
    sort: Sequence[SortKey],
    limit: int | None,
    skip: int,
    fields: Sequence[str] | None,
) -> Iterator[Document | DivanError]:
    """The documents that match, unprojected; where only ids are wanted, some have no fields."""
    try:
        plan = plan_query(table, where.tree, sort)
        if plan.sorted_near:
            rows.keep_snapshot()
            if rows.ask(plan.number_in_sort()):
                plan = plan_query(table, where.tree, sort, sorts=False)
        batch = _start(rows, plan, sort, limit, skip, fields)
        if plan.doubtful and _nul_matters(rows, plan, batch):
            plan = plan_query(table, where.tree, sort, strings=False)
            batch = _start(rows, plan, sort, limit, skip, fields)
    except StoreError as error:
        found = _found_here(rows, table, where, error)
        return finish(found, get_id=_get_id, sort=sort, limit=limit, skip=skip)
    if sort and plan.order:
        return _in_order(rows, plan, batch, where, sort, limit, skip)
    if sort or plan.residual.items:
        found = _matching(rows, plan, batch, where)
        return finish(found, get_id=_get_id, sort=sort, limit=limit, skip=skip)
    return _as_found(rows, plan, batch, where, limit, skip, ids_only=fields == ())


def count_documents(file: DatabaseFile, where: Query) -> int:
    """How many documents match."""
    plan = plan_query(file.table, where.tree, ())
    if not plan.residual.items:
        rows = Rows(file)
        try:
            batch = rows.run(*plan.select("count(*)"))
            if not (plan.doubtful and _nul_matters(rows, plan, batch)):
                return int(batch[0][0])
        except StoreError as error:
            if not is_unreadable(error.__cause__):
                raise
        finally:
            rows.close()
    return sum(1 for _ in readable(find_documents(file, where)))


def explain_query(file: DatabaseFile, sql: Statements, where: Query, sort: Sequence[SortKey]) -> Explanation:
    """How `find_documents` would answer; the arguments are those of `BaseDivanBackend.explain`."""
    plan = plan_query(file.table, where.tree, sort)
    query, parameters = plan.select("id, rev, body", doubt=False)
    rows = Rows(file)
    try:
        # A plan is made from the indexes that the connection knows, and only a real read brings it up to date.
        rows.run(sql.any)
        ((version,),) = rows.run("PRAGMA schema_version")
        # Python keeps statements by their text, and a kept one would give the plan of an older schema.
        steps = rows.run(f"EXPLAIN QUERY PLAN {query} -- {version}", parameters)
        lines = [step[3] for some in rows.batches(steps) for step in some]
    finally:
        rows.close()
    names = dict.fromkeys(name for line in lines for name in _INDEX_IN_PLAN.findall(line))
    return Explanation(
        pushed=dict(Query(plan.pushed)),
        residual=dict(Query(plan.residual)),
        sorted_by_store=bool(plan.order),
        index=", ".join(names) or None,
        scan=any(line.startswith(f"SCAN {file.table}") for line in lines),
        detail="\n".join(lines),
    )


def make_index(file: DatabaseFile, fields: Sequence[str]) -> str | None:
    """Make the index on these dotted paths, unless it is there.

    Returns:
        The index's name, or `None` if a name holds anything but ASCII letters, digits, spaces, ``_`` and ``-``: other
        programs may write such a name into their JSON in several ways, and no index would find them all.

    Raises:
        InvalidQuery: if there is no path, or one that is none.
        StoreError: naming the document, if there is one that SQLite can't read.
    """
    if not fields:
        raise InvalidQuery("ensure_index takes at least one field")
    if not all(is_plain(check_path(field)) for field in fields):
        return None
    try:
        file.write(run, index_sql(file.table, fields), ())
    except StoreError as error:
        if not is_unreadable(error.__cause__):
            raise
        for document in find_documents(file, parse(None)):
            if isinstance(document, StoreError):
                message = f"{document}; an index needs all of them: mend it, or delete it"
                raise StoreError(message, document_id=document.document_id) from error.__cause__
        raise
    return index_name(file.table, fields)


def _start(
    rows: Rows, plan: Plan, sort: Sequence[SortKey], limit: int | None, skip: int, fields: Sequence[str] | None
) -> list[tuple[Any, ...]]:
    """The first rows of a plan; all of them, if SQLite leaves something for Python to do."""
    if plan.residual.items or (sort and not plan.order):
        return rows.run(*plan.select("id, rev, body"))
    columns = "id, rev" if fields == () and not sort else "id, rev, body"
    return rows.run(*plan.select(columns, limit, skip))


def _nul_matters(rows: Rows, plan: Plan, batch: list[tuple[Any, ...]]) -> bool:
    """Whether a NUL character in a document makes this plan's answer wrong; asked of an index, and rarely further."""
    nowhere = not batch[0][-1] if batch else not rows.ask(plan.any_nul())
    return not nowhere and rows.ask(plan.nul_in_fields())


def _as_found(
    rows: Rows,
    plan: Plan,
    batch: list[tuple[Any, ...]],
    where: Query,
    limit: int | None,
    skip: int,
    *,
    ids_only: bool,
) -> Iterator[Document | DivanError]:
    """The documents of a plan that SQLite answers whole."""
    document: Document | DivanError
    try:
        for some in rows.batches(batch):
            if rows.done:
                rows.close()
            if ids_only:
                for row in some:
                    yield Document((), row[0], str(row[1]))
                continue
            for row in some:
                try:
                    document = read(row[0], row[1], row[2])
                except StoreError as error:
                    document = error.with_traceback(None)
                yield document
        return
    except StoreError as error:
        ids = rows.ids_given()
        found = _found_here(rows, plan.table, where, error, ids)
    yield from islice(found, skip, None if limit is None else skip + limit - len(ids))


def _in_order(
    rows: Rows,
    plan: Plan,
    batch: list[tuple[Any, ...]],
    where: Query,
    sort: Sequence[SortKey],
    limit: int | None,
    skip: int,
) -> Iterator[Document | DivanError]:
    """The documents of a plan by which SQLite sorts, and may leave Python to filter, skip or limit."""

    def unsorted(error: StoreError | None, skip: int, limit: int | None) -> Iterator[Document | DivanError]:
        """The rest, sorted here, from the same snapshot."""
        if error is not None:
            rest = _found_here(rows, plan.table, where, error)
        else:
            other = plan._replace(order="")
            rest = _matching(rows, other, rows.run(*other.select("id, rev, body")), where)
        return finish(rest, get_id=_get_id, sort=sort, limit=limit, skip=skip)

    def close_at_the_end() -> None:
        if rows.done:
            rows.close()

    return in_order(
        ([attempt(read, row[0], row[1], row[2]) for row in some] for some in rows.batches(batch)),
        [key.path for key in sort],
        _is_odd,
        unsorted,
        matches=compile_matcher(plan.residual) if plan.residual.items else None,
        skip=skip,
        limit=limit,
        checked=close_at_the_end,
    )


def _is_odd(value: Any) -> bool:
    """Whether SQLite may sort a value otherwise: a list or object by its text, a float of extreme size misread."""
    kind = value.__class__
    return kind is list or kind is dict or (kind is float and not is_ordinary(value))


def _matching(rows: Rows, plan: Plan, batch: list[tuple[Any, ...]], where: Query) -> Iterator[Any]:
    """The documents of a plan that leaves Python to filter or sort, unsorted."""
    matches = compile_matcher(plan.residual) if plan.residual.items else None
    document: Document | DivanError
    try:
        for some in rows.batches(batch):
            for row in some:
                try:
                    document = read(row[0], row[1], row[2])
                except StoreError as error:
                    document = error.with_traceback(None)
                    yield document
                    continue
                if matches is None or matches(document):
                    yield document
        return
    except StoreError as error:
        rest = _found_here(rows, plan.table, where, error, rows.ids_given())
    yield from rest


def _found_here(rows: Rows, table: str, where: Query, error: StoreError, given: Container[bytes] = ()) -> Iterator[Any]:
    """The documents that match, found among all rows without SQLite's reading them; and all that can't be read.

    Args:
        rows: The rows, whose statement came upon what SQLite can't read.
        table: The table.
        where: The filter.
        error: The error that says so; any other is raised.
        given: The ids of the rows that were given before.
    """
    if not is_unreadable(error.__cause__):
        raise error
    batches = rows.batches(rows.run(all_as_bytes_sql(table)))
    return matching(where.matches, (read_again(*row) for some in batches for row in some if row[0] not in given))
