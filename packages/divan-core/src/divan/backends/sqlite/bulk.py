"""Internal: the calls for many documents, a transaction or a query each."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.sqlite.documents import encode, merge, new_row, read, run, unreadable
from divan.backends.sqlite.errors import is_taken, is_unreadable
from divan.backends.sqlite.sql import Statements
from divan.backends.support import attempt
from divan.documents import Document
from divan.errors import DivanError, DocumentExists, DocumentNotFound, StoreError
from divan.query import Query
from divan.updates import Change


def create_documents(
    file: DatabaseFile, sql: Statements, items: Sequence[tuple[str | None, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Create documents; one result an item, in order: the document, or `DocumentExists`."""
    rows = [new_row(document_id, data) for document_id, data in items]
    made: list[Document | DivanError] = [
        Document(data, document_id, str(rev)) for (_, data), (document_id, rev, _) in zip(items, rows, strict=True)
    ]
    for index in file.transaction(_insert, sql, rows):
        made[index] = DocumentExists(rows[index][0])
    return made


def _insert(writer: sqlite3.Cursor, sql: Statements, rows: Sequence[tuple[str, int, str]]) -> list[int]:
    """Insert the rows whose id is free, within a transaction; the positions of the others."""
    writer.execute("SAVEPOINT none")
    try:
        writer.executemany(sql.insert, rows)
        return []
    except sqlite3.IntegrityError as error:
        if not is_taken(error):
            raise
    # An id was taken: once more, one by one, to learn which.
    writer.execute("ROLLBACK TO none")
    return [index for index, row in enumerate(rows) if not writer.execute(sql.insert_or_skip, row).rowcount]


def put_documents(file: DatabaseFile, sql: Statements, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Document]:
    """Create documents, or overwrite those that exist; one result an item, in order."""
    rows = [new_row(document_id, data) for document_id, data in items]
    revisions = file.transaction(_put, sql, rows)
    return [Document(data, document_id, rev) for (document_id, data), rev in zip(items, revisions, strict=True)]


def _put(writer: sqlite3.Cursor, sql: Statements, rows: Sequence[tuple[str, int, str]]) -> list[str]:
    """Write the rows within a transaction; their revisions."""
    return [str(run(writer, sql.upsert, row)[0][0]) for row in rows]


def get_document(file: DatabaseFile, sql: Statements, document_id: str) -> Document:
    """Fetch one document.

    Raises:
        DocumentNotFound: if there is no such document.
        StoreError: naming the document, if it can't be read.
    """
    try:
        rows = file.fetch(sql.get, (document_id,))
    except StoreError as error:
        if is_unreadable(error.__cause__):
            raise unreadable(document_id, "is no text in UTF-8") from error.__cause__
        raise
    if not rows:
        raise DocumentNotFound(document_id)
    row = rows[0]
    return read(document_id, row[0], row[1])


def get_documents(
    file: DatabaseFile, sql: Statements, document_ids: Sequence[str]
) -> list[Document | DivanError | None]:
    """Fetch documents; one result an id, in order: the document, its error, or `None` where there is none."""
    try:
        rows = file.fetch(sql.get_many, (encode(list(document_ids)),))
    except StoreError as error:
        if not is_unreadable(error.__cause__):
            raise
        return [_get_or_none(file, sql, document_id) for document_id in document_ids]  # to learn which
    found = {row[0]: row for row in rows}
    return [attempt(read, *found[document_id]) if document_id in found else None for document_id in document_ids]


def _get_or_none(file: DatabaseFile, sql: Statements, document_id: str) -> Document | DivanError | None:
    result = attempt(get_document, file, sql, document_id)
    return None if isinstance(result, DocumentNotFound) else result


def update_documents(file: DatabaseFile, sql: Statements, changes: Sequence[Change]) -> list[Document | DivanError]:
    """Update documents; one result a change, in order: the document, or the error that is its own."""
    return file.transaction(_update, sql, changes)


def _update(writer: sqlite3.Cursor, sql: Statements, changes: Sequence[Change]) -> list[Document | DivanError]:
    return [attempt(merge, writer, sql, *change) for change in changes]


def delete_documents(file: DatabaseFile, sql: Statements, document_ids: Sequence[str]) -> list[DivanError | None]:
    """Delete documents; one result an id, in order: `None`, or `DocumentNotFound`."""
    return file.transaction(_delete, sql, document_ids)


def _delete(writer: sqlite3.Cursor, sql: Statements, document_ids: Sequence[str]) -> list[DivanError | None]:
    return [
        None if writer.execute(sql.delete, (document_id,)).rowcount else DocumentNotFound(document_id)
        for document_id in document_ids
    ]


def update_matching(
    file: DatabaseFile, sql: Statements, where: Query, changes: Sequence[Change]
) -> list[Document | DivanError | None]:
    """Update the documents that match; one result a change, in order: the document, `None`, or the error of its own."""
    return file.transaction(_update_matching, sql, where, changes)


def _update_matching(
    writer: sqlite3.Cursor, sql: Statements, where: Query, changes: Sequence[Change]
) -> list[Document | DivanError | None]:
    def update(change: Change) -> Document | None:
        return merge(writer, sql, *change) if _matches(writer, sql, where, change.document_id) else None

    return [attempt(update, change) for change in changes]


def delete_matching(
    file: DatabaseFile, sql: Statements, where: Query, document_ids: Sequence[str]
) -> list[Literal[True] | DivanError | None]:
    """Delete the documents that match; one result an id, in order: `True`, `None`, or the error of its own."""
    return file.transaction(_delete_matching, sql, where, document_ids)


def _delete_matching(
    writer: sqlite3.Cursor, sql: Statements, where: Query, document_ids: Sequence[str]
) -> list[Literal[True] | DivanError | None]:
    def delete(document_id: str) -> Literal[True] | None:
        if not _matches(writer, sql, where, document_id):
            return None
        writer.execute(sql.delete, (document_id,))
        return True

    return [attempt(delete, document_id) for document_id in document_ids]


def _matches(writer: sqlite3.Cursor, sql: Statements, where: Query, document_id: str) -> bool:
    """Whether a document is there and matches, within a transaction.

    Raises:
        StoreError: if it can't be read.
    """
    try:
        row = writer.execute(sql.get, (document_id,)).fetchone()
    except sqlite3.Error as error:
        if is_unreadable(error):
            raise unreadable(document_id, "is no text in UTF-8") from error
        raise
    return row is not None and where.matches(read(document_id, row[0], row[1]))
