"""Internal: the calls for many documents, a transaction or a query each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.sqlite.documents import encode, merge, new_row, read, update_sql
from divan.backends.sqlite.errors import is_taken
from divan.backends.sqlite.sql import Statements
from divan.documents import Document
from divan.errors import DivanError, DocumentExists, DocumentNotFound
from divan.updates import Change


def create_documents(
    file: DatabaseFile, sql: Statements, items: Sequence[tuple[str | None, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Create documents; one result an item, in order: the document, or `DocumentExists`."""
    rows = [new_row(document_id, data) for document_id, data in items]
    made: list[Document | DivanError] = [
        Document(data, document_id, str(rev)) for (_, data), (document_id, rev, _) in zip(items, rows, strict=True)
    ]
    with file.transaction() as writer:
        try:
            writer.executemany(sql.insert, rows)
            return made
        except sqlite3.IntegrityError as error:
            if not is_taken(error):
                raise
        # An id was taken: once more, one by one, to learn which.
        writer.execute("ROLLBACK")
        writer.execute("BEGIN IMMEDIATE")
        for index, row in enumerate(rows):
            if not writer.execute(sql.insert_or_skip, row).rowcount:
                made[index] = DocumentExists(row[0])
    return made


def get_documents(file: DatabaseFile, sql: Statements, document_ids: Sequence[str]) -> list[Document | None]:
    """Fetch documents; one result an id, in order: the document, or `None` where there is none."""
    rows = file.fetch(sql.get_many, (encode(list(document_ids)),))
    found = {row[0]: row for row in rows}
    return [read(*found[document_id]) if document_id in found else None for document_id in document_ids]


def update_documents(file: DatabaseFile, sql: Statements, changes: Sequence[Change]) -> list[Document | DivanError]:
    """Update documents; one result a change, in order: the document, or the error that is its own."""
    results: list[Document | DivanError] = []
    with file.transaction() as writer:
        for change in changes:
            try:
                results.append(_update(writer, file.table, sql, *change))
            except DivanError as error:
                results.append(error)
    return results


def _update(
    writer: sqlite3.Cursor,
    table: str,
    sql: Statements,
    document_id: str,
    data: dict[str, Any],
    remove: Sequence[str],
    increment: Mapping[str, int | float],
) -> Document:
    """Update one document within a transaction; the arguments are those of `divan.backends.base.Change`."""
    update = None if increment else update_sql(table, tuple(data), tuple(remove), False)
    if update is None:
        return merge(writer, sql, document_id, data, remove, increment)
    row = writer.execute(update, [*map(encode, data.values()), document_id]).fetchone()
    if row is None:
        raise DocumentNotFound(document_id)
    return read(document_id, row[0], row[1])


def delete_documents(file: DatabaseFile, sql: Statements, document_ids: Sequence[str]) -> list[DivanError | None]:
    """Delete documents; one result an id, in order: `None`, or `DocumentNotFound`."""
    with file.transaction() as writer:
        return [
            None if writer.execute(sql.delete, (document_id,)).rowcount else DocumentNotFound(document_id)
            for document_id in document_ids
        ]
