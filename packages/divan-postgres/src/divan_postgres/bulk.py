"""Internal: the calls on one document and on many: one statement each; one result an item, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from divan.backends.support import attempt, rounds
from divan.documents import Document
from divan.errors import DivanError, DocumentExists, DocumentNotFound, RevisionConflict, StoreError
from divan.updates import Change, apply_changes

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
from divan_postgres.sql import Statements, update_many_sql, update_sql
from divan_postgres.wire import Command

_T = TypeVar("_T")

_MOST_BYTES: Final = 8 << 20  # of documents in one statement


# One document


def update(
    client: Client,
    statements: Statements,
    change: Change,
    rev: str | None = None,
) -> Document:
    """Change a document by one statement; by reading and writing it where a sum has to be made as Python makes it.

    Raises:
        DocumentNotFound: if there is no such document.
        RevisionConflict: if it has another revision than `rev`.
        InvalidDocument: if a field to increment holds no number, or the sum can't be stored.
        StoreError: if the document can't be read.
    """
    document_id, data, remove, increment, _ = change  # what is nested, the Store changes
    parameters = [document_id.encode(), encode(data), text_array(map(escape, remove))]
    if rev is not None:
        parameters.append(rev.encode())
    formats = [0, 0, 1, 0][: len(parameters)]
    for name, by in increment.items():
        parameters += [escape(name).encode(), number(by + 0).encode()]
        formats += [0, 0]
    kinds = tuple(isinstance(by, float) for by in increment.values())
    sql = update_sql(statements.table, at_rev=rev is not None, increments=kinds)
    while True:
        try:
            rows = rows_of(client.write(Command(sql, tuple(parameters), tuple(formats), client.keeps)))
        except StoreError as error:
            if getattr(error.__cause__, "sqlstate", None) != "22003":  # a sum that is too large even to be compared
                raise
            rows = []
        if rows:
            return read(document_id, *rows[0])
        there = get(client, statements, document_id)
        if rev is not None and there.rev != rev:
            raise RevisionConflict(document_id, rev)
        fields = apply_changes(there, data, remove, increment)
        replaced = _write_at(client, statements, document_id, encode(fields), there.rev or "")
        if replaced is not None:
            return Document(fields, document_id, replaced)


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
    results: list[Any] = [None] * len(changes)
    for turn in rounds([change.document_id for change in changes]):
        groups: dict[tuple[bool, ...], list[int]] = {}
        for position in turn:
            kinds = tuple(isinstance(by, float) for by in changes[position].increment.values())
            groups.setdefault(kinds, []).append(position)
        for kinds, positions in groups.items():
            bodies = [encode(changes[position].data) for position in positions]
            for part in _parts([len(body) for body in bodies]):
                some = positions[part]
                found = _update(client, statements, [changes[position] for position in some], bodies[part], kinds)
                for position, result in zip(some, found, strict=True):
                    results[position] = result
    return results


def _update(
    client: Client,
    statements: Statements,
    changes: Sequence[Change],
    bodies: Sequence[bytes],
    kinds: tuple[bool, ...],
) -> list[Document | DivanError]:
    """Update documents, each once, whose changes add to as many numbers of the same kinds."""
    parameters = [text_array(change.document_id for change in changes), jsonb_array(bodies)]
    parameters.append(jsonb_array(encode(list(change.remove)) for change in changes))
    formats = [1, 1, 1]
    for index in range(len(kinds)):
        added = [list(change.increment.items())[index] for change in changes]
        parameters += [text_array(escape(name) for name, _ in added), number_array(by + 0 for _, by in added)]
        formats += [1, 0]
    sql = update_many_sql(statements.table, kinds)
    found: Mapping[bytes | None, Any] = {}
    try:
        rows = rows_of(client.write(Command(sql, tuple(parameters), tuple(formats), client.keeps)))
        found = {identity: rest for identity, *rest in rows}
    except StoreError as error:
        if not _is_a_documents(error):
            raise
    # What it did not change is missing, or has to be changed in another way.
    return [
        attempt(read, change.document_id, *found[identity])
        if (identity := change.document_id.encode()) in found
        else attempt(update, client, statements, change)
        for change in changes
    ]


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
