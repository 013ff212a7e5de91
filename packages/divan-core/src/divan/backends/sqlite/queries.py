"""Internal: answers queries: streams what SQLite finds, and finishes in Python what it can't.

A stream shows the store as it was when its query began, whatever is written meanwhile. It holds a connection only if
its first rows are not all, and only until it is used up, closed or forgotten; writers never wait for it.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from operator import attrgetter
from types import TracebackType
from typing import Any, Final

from divan.backends.sqlite.abilities import is_ordinary
from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.sqlite.documents import read
from divan.backends.sqlite.filters import Plan, plan_query
from divan.backends.sqlite.sql import Statements, index_name, index_sql, is_plain
from divan.documents import Document
from divan.errors import InvalidQuery, StoreClosed, StoreError
from divan.query import Explanation, Matcher, Query, SortKey, compile_matcher, finish, project, resolve
from divan.validation import check_path

_FIRST_BATCH: Final = 32
_LARGEST_BATCH: Final = 512
_BATCH_BYTES: Final = 1 << 20
_INDEX_IN_PLAN: Final = re.compile(r"USING (?:COVERING )?INDEX (.+?)(?: \(|$)")
_get_id: Final = attrgetter("id")


class _Rows:
    """The rows of one statement at a time, read in batches over a connection that nobody else uses meanwhile.

    Attributes:
        done: Whether the statement's rows are used up.
    """

    __slots__ = ("_cursor", "_file", "_generation", "_held", "_lock", "_size", "done")

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._generation = file.generation
        self._cursor: sqlite3.Cursor | None = file.borrow()
        self._lock = threading.RLock()  # `release` may come from another thread, or from a finalizer within this one
        self._size = _FIRST_BATCH
        self._held = False
        self.done = False

    def __enter__(self) -> _Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Start a statement in place of the last one, and return its first rows."""
        with self._lock:
            cursor = self._live()
            try:
                cursor.execute(sql, parameters)
            except sqlite3.Error as error:
                raise self._file.translated(error) from error
            self._size = _FIRST_BATCH
            return self._fetch(cursor)

    def batches(self, batch: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
        """The first rows, and those that follow; fewer at once where documents are large."""
        while not self.done:
            yield batch
            with self._lock:
                batch = self._fetch(self._live())
        yield batch

    def _fetch(self, cursor: sqlite3.Cursor) -> list[tuple[Any, ...]]:
        try:
            rows = cursor.fetchmany(self._size)
        except sqlite3.Error as error:
            raise self._file.translated(error) from error
        self.done = len(rows) < self._size
        if not self.done:
            body = rows[-1][2] if len(rows[-1]) > 2 else None
            length = len(body) if isinstance(body, str) else 0  # without bodies, a flag or nothing stands there
            self._size = max(1, min(_LARGEST_BATCH, _BATCH_BYTES // (length + 1)))
            if not self._held:
                self._held = True
                self._file.hold(self)
        return rows

    def ask(self, sql: str) -> bool:
        """The answer to a yes-or-no statement, in the midst of the running one."""
        with self._lock:
            try:
                return bool(self._live().connection.execute(sql).fetchone()[0])
            except sqlite3.Error as error:
                raise self._file.translated(error) from error

    def keep_snapshot(self) -> None:
        """Let the statements that follow see what the running one sees."""
        with self._lock:
            connection = self._live().connection
            if connection.in_transaction:
                return
            try:
                connection.execute("BEGIN")
            except sqlite3.Error as error:
                raise self._file.translated(error) from error

    def _live(self) -> sqlite3.Cursor:
        if self._generation != self._file.generation:
            raise StoreError("this iterator was begun before the process forked; begin it anew in the child")
        if self._cursor is None:
            raise StoreClosed(f"the store {self._file.path} was closed while this iterator was in use; open it again")
        return self._cursor

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            cursor, self._cursor = self._cursor, None
        if self._held:
            self._file.drop(self)
        if cursor is None:
            return
        if self._generation != self._file.generation:
            self._file.leave_behind(cursor)
            return
        try:
            if not self.done:
                cursor.close()  # ends the statement, and with it the snapshot
                cursor = cursor.connection.cursor()
            if cursor.connection.in_transaction:
                cursor.execute("COMMIT")
        except sqlite3.Error:
            self._file.discard(cursor.connection)
        else:
            self._file.readers.append(cursor)

    def release(self) -> None:
        """Close the connection for good, whoever uses it."""
        with self._lock:
            cursor, self._cursor = self._cursor, None
            if cursor is not None:
                self._file.discard(cursor.connection)
        self._file.drop(self)


def find_documents(
    file: DatabaseFile,
    where: Query,
    sort: Sequence[SortKey] = (),
    limit: int | None = None,
    skip: int = 0,
    fields: Sequence[str] | None = None,
) -> Iterator[Document]:
    """Stream the documents that match; the arguments are those of `BaseDivanBackend.find`."""
    if limit == 0:
        return
    with _Rows(file) as rows:
        plan = plan_query(file.table, where.tree, sort)
        if plan.sorted_near:
            rows.keep_snapshot()
            if rows.ask(plan.number_in_sort()):
                plan = plan_query(file.table, where.tree, sort, sorts=False)
        batch = _start(rows, plan, sort, limit, skip, fields)
        if plan.doubtful and _nul_matters(rows, plan, batch):
            plan = plan_query(file.table, where.tree, sort, strings=False)
            batch = _start(rows, plan, sort, limit, skip, fields)
        if sort or plan.residual.items:
            documents = _finished(rows, plan, batch, sort, limit, skip)
        else:
            documents = _as_found(rows, batch, ids_only=fields == ())
        if fields:
            for document in documents:
                yield Document(project(document, fields), document.id, document.rev)
        elif fields is None:
            yield from documents
        else:
            for document in documents:
                document.clear()
                yield document


def count_documents(file: DatabaseFile, where: Query) -> int:
    """How many documents match."""
    plan = plan_query(file.table, where.tree, ())
    if not plan.residual.items:
        with _Rows(file) as rows:
            batch = rows.run(*plan.select("count(*)"))
            if not (plan.doubtful and _nul_matters(rows, plan, batch)):
                return int(batch[0][0])
    return sum(1 for _ in find_documents(file, where))


def explain_query(file: DatabaseFile, sql: Statements, where: Query, sort: Sequence[SortKey]) -> Explanation:
    """How `find_documents` would answer; the arguments are those of `BaseDivanBackend.explain`."""
    plan = plan_query(file.table, where.tree, sort)
    query, parameters = plan.select("id, rev, body", doubt=False)
    with _Rows(file) as rows:
        # A plan is made from the indexes that the connection knows, and only a real read brings it up to date.
        rows.run(sql.any)
        ((version,),) = rows.run("PRAGMA schema_version")
        # Python keeps statements by their text, and a kept one would give the plan of an older schema.
        steps = rows.run(f"EXPLAIN QUERY PLAN {query} -- {version}", parameters)
        lines = [step[3] for some in rows.batches(steps) for step in some]
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
    """
    if not fields:
        raise InvalidQuery("ensure_index takes at least one field")
    if not all(is_plain(check_path(field)) for field in fields):
        return None
    with file.writing() as writer:
        writer.execute(index_sql(file.table, fields))
    return index_name(file.table, fields)


def _start(
    rows: _Rows, plan: Plan, sort: Sequence[SortKey], limit: int | None, skip: int, fields: Sequence[str] | None
) -> list[tuple[Any, ...]]:
    """The first rows of a plan; all of them, if SQLite leaves something for Python to do."""
    if plan.residual.items or (sort and not plan.order):
        return rows.run(*plan.select("id, rev, body"))
    columns = "id, rev" if fields == () and not sort else "id, rev, body"
    return rows.run(*plan.select(columns, limit, skip))


def _nul_matters(rows: _Rows, plan: Plan, batch: list[tuple[Any, ...]]) -> bool:
    """Whether a NUL character in a document makes this plan's answer wrong; asked of an index, and rarely further."""
    nowhere = not batch[0][-1] if batch else not rows.ask(plan.any_nul())
    return not nowhere and rows.ask(plan.nul_in_fields())


def _as_found(rows: _Rows, batch: list[tuple[Any, ...]], *, ids_only: bool) -> Iterator[Document]:
    """The documents of a plan that SQLite answers whole."""
    for some in rows.batches(batch):
        if rows.done:
            rows.close()
        if ids_only:
            for row in some:
                yield Document((), row[0], str(row[1]))
        else:
            for row in some:
                yield read(row[0], row[1], row[2])


def _finished(
    rows: _Rows,
    plan: Plan,
    batch: list[tuple[Any, ...]],
    sort: Sequence[SortKey],
    limit: int | None,
    skip: int,
) -> Iterator[Document]:
    """The documents of a plan that leaves Python to filter, sort, skip or limit."""
    if not plan.order:
        documents = _matching(rows, plan, batch)
        yield from finish(documents, get_id=_get_id, sort=sort, limit=limit, skip=skip)
        return
    matches: Matcher | None = None
    left_to_skip = 0  # SQLite has skipped them
    if plan.residual.items:
        matches = compile_matcher(plan.residual)
        left_to_skip = skip
    paths = [key.path for key in sort]
    given = 0
    for some in rows.batches(batch):
        found = [read(row[0], row[1], row[2]) for row in some]
        if matches is not None:
            found = list(filter(matches, found))
        if _sort_otherwise(found, paths):
            # What was given so far is the reference's beginning; the rest is sorted here, from the same snapshot.
            unsorted = plan._replace(order="")
            documents = _matching(rows, unsorted, rows.run(*unsorted.select("id, rev, body")))
            left = None if limit is None else limit - given
            yield from finish(documents, get_id=_get_id, sort=sort, limit=left, skip=skip + given)
            return
        if rows.done:
            rows.close()
        else:
            rows.keep_snapshot()
        for document in found:
            if left_to_skip:
                left_to_skip -= 1
                continue
            yield document
            given += 1
            if given == limit:
                return


def _sort_otherwise(documents: Sequence[Document], paths: Sequence[tuple[str, ...]]) -> bool:
    """Whether SQLite may sort some of these documents otherwise than the reference: among others of which this is true.

    It orders lists and objects by their text, and may misread a float of extreme size.
    """
    for path in paths:
        name = path[0] if len(path) == 1 else None
        for document in documents:
            value: Any = document.get(name) if name else resolve(document, path)
            kind = value.__class__
            if kind is list or kind is dict or (kind is float and not is_ordinary(value)):
                return True
    return False


def _matching(rows: _Rows, plan: Plan, batch: list[tuple[Any, ...]]) -> Iterator[Document]:
    matches = compile_matcher(plan.residual) if plan.residual.items else None
    for some in rows.batches(batch):
        for row in some:
            document = read(row[0], row[1], row[2])
            if matches is None or matches(document):
                yield document
