"""Internal: the calls on one document and on many: one statement each; one result an item, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from divan.backends.support import attempt, rounds
from divan.documents import Document
from divan.errors import DivanError, DocumentExists, DocumentNotFound, RevisionConflict, StoreError
from divan.query import Query
from divan.updates import Change, Step, apply_changes

from divan_postgres.connections import Client, rows_of
from divan_postgres.documents import (
    bigint_array,
    encode,
    escape,
    jsonb_array,
    new_row,
    number,
    number_array,
    read,
    text_array,
)
from divan_postgres.errors import DOCUMENTS
from divan_postgres.filters import plan_query
from divan_postgres.sql import Shape, Statements, update_many_sql, update_sql
from divan_postgres.wire import Command

_T = TypeVar("_T")

_MOST_BYTES: Final = 8 << 20  # of documents in one statement
_TOO_LARGE: Final = "22003"  # of a sum, even to be compared


# One document


def update(
    client: Client,
    statements: Statements,
    change: Change,
    rev: str | None = None,
) -> Document:
    """Change a document by one statement; by reading and writing it where Python has to make the change, or refuse it.

    Raises:
        DocumentNotFound: if there is no such document.
        RevisionConflict: if it has another revision than `rev`.
        InvalidDocument: if a change can't be made of what is stored.
        StoreError: if the document can't be read.
    """
    document_id, data, remove, _, _ = change
    parameters = [document_id.encode(), encode(data), text_array(map(escape, remove))]
    if rev is not None:
        parameters.append(rev.encode())
    formats = [0, 0, 1, 0][: len(parameters)]
    for value, form in _given(change):
        parameters.append(value)
        formats.append(form)
    sql = update_sql(statements.table, _shape(change), at_rev=rev is not None)
    try:
        rows = rows_of(client.write(Command(sql, tuple(parameters), tuple(formats), client.keeps)))
    except StoreError as error:
        if getattr(error.__cause__, "sqlstate", None) != _TOO_LARGE:
            raise
        rows = []
    if rows:
        return read(document_id, *rows[0])
    return _update_here(client, statements, change, rev)


def _update_here(client: Client, statements: Statements, change: Change, rev: str | None) -> Document:
    """Change a document by reading and writing it, as `update` does."""
    document_id = change.document_id
    while True:
        there = get(client, statements, document_id)
        if rev is not None and there.rev != rev:
            raise RevisionConflict(document_id, rev)
        fields = apply_changes(there, *change[1:])
        replaced = _write_at(client, statements, document_id, encode(fields), there.rev or "")
        if replaced is not None:
            return Document(fields, document_id, replaced)


def _shape(change: Change) -> Shape:
    """What the SQL of an update depends on."""
    if not change.nested:  # as nearly all
        return (
            Shape(tuple([isinstance(by, float) for by in change.increment.values()])) if change.increment else Shape()
        )
    return Shape(
        tuple(isinstance(by, float) for by in change.increment.values()),
        tuple((step.op, step.op == "increment" and isinstance(step.value, float)) for step in change.nested),
        tuple(_through(change.nested).values()),
    )


def _through(nested: Sequence[Step]) -> dict[tuple[str, ...], bool]:
    """The objects on the way of changes at paths, the shorter way first: whether each is made where it is missing."""
    through: dict[tuple[str, ...], bool] = {}
    for step in nested:
        for depth in range(1, len(step.path)):
            way = step.path[:depth]
            through[way] = through.get(way, False) or step.op not in ("remove", "discard")
    return {way: through[way] for way in sorted(through, key=len)}


def _given(change: Change) -> Iterator[tuple[bytes, int]]:
    """The parameters of one update that its shape is of, each with 1 if it is in binary form."""
    for name, by in change.increment.items():
        yield escape(name).encode(), 0
        yield number(by + 0).encode(), 0
    if change.nested:
        for way in _through(change.nested):
            yield text_array(map(escape, way)), 1
        for step in change.nested:
            yield text_array(map(escape, step.path)), 1
            if step.op != "remove":
                yield (number(step.value + 0).encode() if step.op == "increment" else encode(step.value)), 0


def get(client: Client, statements: Statements, document_id: str) -> Document:
    """Fetch one document.

    Raises:
        DocumentNotFound: if there is no such document.
        StoreError: naming the document, if it can't be read.
    """
    rows = client.rows(Command(statements.get, (document_id.encode(),), None, client.keeps))
    if not rows:
        raise DocumentNotFound(document_id)
    return read(document_id, *rows[0])


def replace(
    client: Client, statements: Statements, document_id: str, data: dict[str, Any], rev: str | None, *, upsert: bool
) -> Document:
    """Overwrite a document, or with `upsert` make it.

    Raises:
        DocumentNotFound: if there is no such document.
        RevisionConflict: if it has another revision than `rev`.
    """
    if rev is not None:
        found = _write_at(client, statements, document_id, encode(data), rev)
    else:
        identity, first, body = new_row(document_id, data)
        parameters = (identity.encode(), b"%d" % first, body) if upsert else (identity.encode(), body)
        sql = statements.upsert if upsert else statements.replace
        found = _revision(client.write(Command(sql, parameters, None, client.keeps)))
    if found is None:
        raise why_not(client, statements, document_id, rev)
    return Document(data, document_id, found)


def _write_at(client: Client, statements: Statements, document_id: str, body: bytes, rev: str) -> str | None:
    parameters = (document_id.encode(), body, rev.encode())
    return _revision(client.write(Command(statements.replace_at, parameters, None, client.keeps)))


def _revision(result: Any) -> str | None:
    return result.get_value(0, 0).decode() if result.ntuples else None


def why_not(client: Client, statements: Statements, document_id: str, rev: str | None) -> DivanError:
    """Why a write found no row. No transaction is needed: either answer was true after the write was tried."""
    command = Command(statements.get, (document_id.encode(),), None, client.keeps)
    if rev is not None and client.rows(command):
        return RevisionConflict(document_id, rev)
    return DocumentNotFound(document_id)


# Many documents


def create_many(
    client: Client, statements: Statements, items: Sequence[tuple[str | None, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Create documents; one result an item, in order: the document, or its `DivanError`."""
    rows = [new_row(document_id, data) for document_id, data in items]
    results: list[Document | DivanError] = []
    for part in _parts([len(body) for _, _, body in rows]):
        results += _create(client, statements, rows[part], [data for _, data in items[part]])
    return results


def _create(
    client: Client, statements: Statements, rows: Sequence[tuple[str, int, bytes]], documents: Sequence[dict[str, Any]]
) -> list[Document | DivanError]:
    ids, revs, bodies = zip(*rows, strict=True)
    parameters = (text_array(ids), bigint_array(revs), jsonb_array(bodies))
    try:
        made = rows_of(client.write(Command(statements.insert_many, parameters, (1, 1, 1), client.keeps)))
    except StoreError as error:
        if len(rows) == 1 or not _is_a_documents(error):
            raise
        return [
            result
            for row, data in zip(rows, documents, strict=True)
            for result in _one(_create, client, statements, [row], [data])
        ]
    # One that comes twice is made once: its revision tells which.
    there = {(identity, rev) for identity, rev in made}
    return [
        Document(data, identity, str(rev)) if (identity.encode(), b"%d" % rev) in there else DocumentExists(identity)
        for (identity, rev, _), data in zip(rows, documents, strict=True)
    ]


def put_many(
    client: Client, statements: Statements, items: Sequence[tuple[str, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Create documents, or overwrite those that exist; one result an item, in order."""
    results: list[Any] = [None] * len(items)
    for turn in rounds([document_id for document_id, _ in items]):
        rows = [new_row(*items[position]) for position in turn]
        for part in _parts([len(body) for _, _, body in rows]):
            some = turn[part]
            put = _put(client, statements, rows[part], [items[position][1] for position in some])
            for position, result in zip(some, put, strict=True):
                results[position] = result
    return results


def _put(
    client: Client, statements: Statements, rows: Sequence[tuple[str, int, bytes]], documents: Sequence[dict[str, Any]]
) -> list[Document | DivanError]:
    ids, revs, bodies = zip(*rows, strict=True)
    parameters = (text_array(ids), bigint_array(revs), jsonb_array(bodies))
    try:
        written = rows_of(client.write(Command(statements.upsert_many, parameters, (1, 1, 1), client.keeps)))
    except StoreError as error:
        if len(rows) == 1 or not _is_a_documents(error):
            raise
        return [
            result
            for row, data in zip(rows, documents, strict=True)
            for result in _one(_put, client, statements, [row], [data])
        ]
    revisions = {identity: (rev or b"").decode() for identity, rev in written}
    return [
        Document(data, document_id, revisions[document_id.encode()])
        for document_id, data in zip(ids, documents, strict=True)
    ]


def get_many(client: Client, statements: Statements, document_ids: Sequence[str]) -> list[Document | DivanError | None]:
    """Fetch documents; one result an id, in order: the document, its error, or `None` where there is none."""
    command = Command(statements.get_many, (text_array(document_ids),), (1,), client.keeps)
    found = {(identity or b"").decode(): (rev, body) for identity, rev, body in client.rows(command)}
    return [
        attempt(read, document_id, *found[document_id]) if document_id in found else None
        for document_id in document_ids
    ]


def delete_many(client: Client, statements: Statements, document_ids: Sequence[str]) -> list[DivanError | None]:
    """Delete documents; one result an id, in order: `None`, or `DocumentNotFound`."""
    command = Command(statements.delete_many, (text_array(document_ids),), (1,), client.keeps)
    gone = {(identity or b"").decode() for (identity,) in rows_of(client.write(command))}
    results: list[DivanError | None] = []
    for document_id in document_ids:
        results.append(None if document_id in gone else DocumentNotFound(document_id))
        gone.discard(document_id)
    return results


def update_many(client: Client, statements: Statements, changes: Sequence[Change]) -> list[Document | DivanError]:
    """Update documents; one result a change, in order: the document, or the error that is its own."""

    def update_alone(change: Change) -> Document:
        return update(client, statements, change)

    return _update_together(client, statements, changes, None, update_alone)


def update_matching(
    client: Client, statements: Statements, where: Query, changes: Sequence[Change]
) -> list[Document | DivanError | None]:
    """Update the documents that match; one result a change, in order: the document, `None`, or the error of its own."""

    def update_alone(change: Change) -> Document | None:
        for there in _still_matching(client, statements, where, change.document_id):
            result = attempt(_update_here, client, statements, change, there.rev)
            if isinstance(result, Document):
                return result
            if not isinstance(result, RevisionConflict):
                raise result
        return None

    return _update_together(client, statements, changes, where, update_alone)


def delete_matching(
    client: Client, statements: Statements, where: Query, document_ids: Sequence[str]
) -> list[Literal[True] | DivanError | None]:
    """Delete the documents that match; one result an id, in order: `True`, `None`, or the error of its own."""
    plan = plan_query(statements.table, where.tree, (), [text_array(document_ids)], [1])
    if plan.residual.items:

        def delete_alone(document_id: str) -> Literal[True] | None:
            for there in _still_matching(client, statements, where, document_id):
                parameters = document_id.encode(), (there.rev or "").encode()
                if client.write(Command(statements.delete_at, parameters, None, client.keeps)).ntuples:
                    return True
            return None

        return [attempt(delete_alone, document_id) for document_id in document_ids]
    sql = f"DELETE FROM {statements.table} WHERE id = ANY($1::text[]){plan.also} RETURNING id"
    gone = {identity for (identity,) in rows_of(client.write(Command(sql, plan.parameters, plan.formats)))}
    results: list[Literal[True] | DivanError | None] = []
    for document_id in document_ids:
        results.append(True if document_id.encode() in gone else None)
        gone.discard(document_id.encode())
    return results


def _still_matching(client: Client, statements: Statements, where: Query, document_id: str) -> Iterator[Document]:
    """A document as it is now, again and again while it is there and matches."""
    while True:
        try:
            there = get(client, statements, document_id)
        except DocumentNotFound:
            return
        if not where.matches(there):
            return
        yield there


def _update_together(
    client: Client,
    statements: Statements,
    changes: Sequence[Change],
    where: Query | None,
    update_alone: Callable[[Change], _T],
) -> list[Any]:
    """Update documents by one statement for those with changes at the same paths, and the same of those that match.

    Args:
        client: The connections.
        statements: The table's statements.
        changes: The changes.
        where: What the documents must match, if anything.
        update_alone: Updates one that the statement did not.
    """
    results: list[Any] = [None] * len(changes)
    for turn in rounds([change.document_id for change in changes]):
        groups: dict[Any, list[int]] = {}
        for position in turn:
            change = changes[position]
            alike = _shape(change), tuple(step.path for step in change.nested)
            groups.setdefault(alike, []).append(position)
        for (shape, _), positions in groups.items():
            bodies = [encode(changes[position].data) for position in positions]
            for part in _parts([len(body) for body in bodies]):
                some = [changes[position] for position in positions[part]]
                found = _update(client, statements, some, bodies[part], shape, where)
                for position in positions[part]:
                    change = changes[position]
                    row = found.get(change.document_id.encode())
                    # What it did not change is missing, or has to be changed in another way.
                    results[position] = (
                        attempt(update_alone, change) if row is None else attempt(read, change.document_id, *row)
                    )
    return results


def _update(
    client: Client,
    statements: Statements,
    changes: Sequence[Change],
    bodies: Sequence[bytes],
    shape: Shape,
    where: Query | None,
) -> Mapping[bytes | None, Any]:
    """Update documents, each once, by changes of one shape at the same paths; id → what each it changed holds now."""
    parameters = [text_array(change.document_id for change in changes), jsonb_array(bodies)]
    parameters.append(jsonb_array(encode(list(change.remove)) for change in changes))
    formats = [1, 1, 1]
    for index in range(len(shape.increments)):
        added = [list(change.increment.items())[index] for change in changes]
        parameters += [text_array(escape(name) for name, _ in added), number_array(by + 0 for _, by in added)]
        formats += [1, 0]
    for way in _through(changes[0].nested):
        parameters.append(text_array(map(escape, way)))
        formats.append(1)
    for index, step in enumerate(changes[0].nested):
        values = [change.nested[index].value for change in changes]
        is_sum = step.op == "increment"
        parameters.append(text_array(map(escape, step.path)))
        parameters.append(number_array(by + 0 for by in values) if is_sum else jsonb_array(map(encode, values)))
        formats += [1, 0 if is_sum else 1]
    if where is None:
        command = Command(update_many_sql(statements.table, shape), tuple(parameters), tuple(formats), client.keeps)
    else:
        plan = plan_query(statements.table, where.tree, (), parameters, formats)
        if plan.residual.items:
            return {}
        command = Command(update_many_sql(statements.table, shape, plan.also), plan.parameters, plan.formats)
    try:
        return {identity: rest for identity, *rest in rows_of(client.write(command))}
    except StoreError as error:
        if not _is_a_documents(error):
            raise
        return {}


def _is_a_documents(error: StoreError) -> bool:
    """Whether one document of several may be to blame, so that nothing was written."""
    return (getattr(error.__cause__, "sqlstate", None) or "").startswith(DOCUMENTS)


def _one(function: Callable[..., list[_T]], *arguments: Any) -> list[_T | DivanError]:
    try:
        return list(function(*arguments))
    except DivanError as error:
        return [error]


def _parts(sizes: Sequence[int]) -> list[slice]:
    """Divide items of such sizes into statements of a bearable one."""
    parts: list[slice] = []
    first = total = 0
    for index, size in enumerate(sizes):
        if total and total + size > _MOST_BYTES:
            parts.append(slice(first, index))
            first, total = index, 0
        total += size
    return [*parts, slice(first, len(sizes))] if sizes else []
