"""Internal: makes rows of documents and documents of rows, as fast as the standard library can, and updates them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from divan.backends.sqlite.abilities import abilities
from divan.backends.sqlite.sql import Statements, is_plain, json_path
from divan.backends.support import first_revision
from divan.documents import Document
from divan.errors import DocumentNotFound, RevisionConflict, StoreError
from divan.updates import apply_changes

_MAX_ASSIGNMENTS: Final = 40  # a function of SQLite's takes 100 arguments

# JSON


def _make_encode() -> Callable[[Any], str]:
    settings: dict[str, Any] = {"ensure_ascii": False, "check_circular": False, "allow_nan": False}
    encoder = json.JSONEncoder(**settings, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    # What `JSONEncoder.encode` makes anew at every call, a quarter of its time.
    write = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(write(value, 0))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


encode: Final = _make_encode()
"""Writes a plain, validated value as JSON: no white space, nothing escaped that need not be."""

_decoder: Final[Any] = json.JSONDecoder(parse_constant=_refuse_constant)
_scan: Final = _decoder.scan_once  # what `JSONDecoder.decode` calls, without its search for white space


# Rows


def new_row(document_id: str | None, data: Mapping[str, Any]) -> tuple[str, int, str]:
    """The row of a new document: its id, its first revision and its body.

    Args:
        document_id: The id; `None` for a new one.
        data: The document's fields.
    """
    if document_id is None:
        from divan.ids import new_id  # 2 ms that only a caller without an id spends; the Store brings one

        document_id = new_id()
    return document_id, first_revision(), encode(data)


def read(document_id: str, rev: int, body: str) -> Document:
    """The document of a row.

    Raises:
        StoreError: naming the document, if its body is no JSON object.
    """
    try:
        fields, end = _scan(body, 0)
        if end != len(body):
            fields = _decoder.decode(body)
    except StopIteration:
        fields = _read_spaced(document_id, body)
    except (ValueError, TypeError, RecursionError) as error:
        raise _unreadable(document_id, error) from error
    if fields.__class__ is not dict:
        raise StoreError(f"the document {document_id[:80]!r} is no JSON object but {type(fields).__name__}")
    return Document(fields, document_id, str(rev))


def _read_spaced(document_id: str, body: str) -> Any:
    """What stands in a body that begins with white space, as other programs may write it."""
    try:
        return _decoder.decode(body)
    except ValueError as error:
        raise _unreadable(document_id, error) from error


def _unreadable(document_id: str, error: Exception) -> StoreError:
    return StoreError(f"the document {document_id[:80]!r} is no JSON that can be read: {error}")


# Updates


@lru_cache(maxsize=512)
def update_sql(table: str, fields: tuple[str, ...], remove: tuple[str, ...], guarded: bool) -> str | None:
    """The statement that merges fields into a document, or `None` where SQLite does not do that exactly.

    Its parameters are the JSON text of each field's value, the id and, if `guarded`, the revision. Its row is the
    document's revision and body.

    Args:
        table: The table.
        fields: The top-level fields to set.
        remove: The top-level fields to remove.
        guarded: Whether the document must have a certain revision.
    """
    if len(fields) + len(remove) > _MAX_ASSIGNMENTS or not is_plain(fields + remove) or not abilities().assigns:
        return None
    body = "body"
    if remove:
        body = f"json_remove({body},{','.join(json_path((name,)) for name in remove)})"
    if fields:
        body = f"json_set({body},{','.join(f'{json_path((name,))},json(?)' for name in fields)})"
    guard = " AND rev=?" if guarded else ""
    return f"UPDATE {table} SET body={body}, rev=rev+1 WHERE id=?{guard} RETURNING rev, body"


def merge(
    writer: sqlite3.Cursor,
    sql: Statements,
    document_id: str,
    data: Mapping[str, Any],
    remove: Sequence[str] = (),
    increment: Mapping[str, int | float] = {},
    rev: str | None = None,
) -> Document:
    """Update a document by reading and writing it, within a transaction.

    Args:
        writer: A cursor that is in a transaction.
        sql: The table's statements.
        document_id: The document's id.
        data: Fields to set.
        remove: Fields to remove.
        increment: Numbers to add, by field.
        rev: The revision that the document must have, or `None` for any.

    Raises:
        DocumentNotFound: if there is no such document.
        RevisionConflict: if it has another revision.
        InvalidDocument: if a field to increment holds no number, or the sum can't be stored.
    """
    row = writer.execute(sql.get, (document_id,)).fetchone()
    if row is None:
        raise DocumentNotFound(document_id)
    if rev is not None and rev != str(row[0]):
        raise RevisionConflict(document_id, rev)
    fields = apply_changes(read(document_id, row[0], row[1]), data, remove, increment)
    writer.execute(sql.write, (encode(fields), document_id))
    return Document(fields, document_id, str(row[0] + 1))
