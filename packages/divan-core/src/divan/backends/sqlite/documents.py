"""Internal: makes rows of documents and documents of rows, as fast as the standard library can, and writes them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from divan.backends.sqlite.errors import is_taken, is_unreadable
from divan.backends.sqlite.sql import Statements
from divan.backends.support import first_revision
from divan.documents import Document
from divan.errors import DocumentExists, DocumentNotFound, RevisionConflict, StoreError, shown
from divan.updates import Step, apply_changes

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
        StoreError: naming the document, if its body is no JSON object, its id no text or its revision no integer.
    """
    try:
        fields, end = _scan(body, 0)
        if end != len(body):
            fields = _decoder.decode(body)
    except StopIteration:
        fields = _read_spaced(document_id, body)
    except (ValueError, TypeError, RecursionError) as error:
        raise unreadable(document_id, f"is no JSON that can be read: {_first_line(error)}") from error
    if fields.__class__ is not dict or rev.__class__ is not int or document_id.__class__ is not str:
        raise _misshapen(document_id, rev, fields)
    return Document(fields, document_id, str(rev))


def read_again(document_id: object, rev: int, body: object) -> Document | StoreError:
    """The document of a row whose texts came as bytes, as they come from where some may be no text; or its error."""
    known = document_id.decode(errors="replace") if isinstance(document_id, bytes) else str(document_id)
    try:
        if not isinstance(body, bytes):
            return unreadable(known, "has a body that is no text")
        return read(known, rev, body.decode())
    except UnicodeDecodeError as error:
        return unreadable(known, f"is no text in UTF-8: {error.reason}")
    except StoreError as error:
        return error.with_traceback(None)


def _read_spaced(document_id: str, body: str) -> Any:
    """What stands in a body that begins with white space, as other programs may write it."""
    try:
        return _decoder.decode(body)
    except ValueError as error:
        raise unreadable(document_id, f"is no JSON that can be read: {_first_line(error)}") from error


def _misshapen(document_id: object, rev: object, fields: object) -> StoreError:
    if document_id.__class__ is not str:
        return unreadable(document_id, f"has an id that is {type(document_id).__name__}, no text")
    if rev.__class__ is not int:
        return unreadable(document_id, f"has the revision {shown(rev)}, which is no integer")
    return unreadable(document_id, f"is no JSON object but {type(fields).__name__}")


def unreadable(document_id: object, why: str) -> StoreError:
    """The error that stands for a document.

    Args:
        document_id: The document's id.
        why: What it is or has, as the rest of a sentence.
    """
    known = document_id if isinstance(document_id, str) else str(document_id)
    return StoreError(f"the document {shown(document_id)} {why}", document_id=known)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


# Writing, by a cursor that is the caller's for the time being


def run(writer: sqlite3.Cursor, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement that writes, and return its rows."""
    return writer.execute(sql, parameters).fetchall()


def change(writer: sqlite3.Cursor, sql: str, parameters: Sequence[Any]) -> int:
    """Run a statement that writes and returns no rows; how many rows it changed."""
    return writer.execute(sql, parameters).rowcount


def insert(writer: sqlite3.Cursor, sql: Statements, row: tuple[str, int, str]) -> None:
    """Insert the row of a new document.

    Raises:
        DocumentExists: if its id is taken.
    """
    try:
        writer.execute(sql.insert, row)
    except sqlite3.IntegrityError as error:
        if is_taken(error):
            raise DocumentExists(row[0]) from error
        raise


def merge(
    writer: sqlite3.Cursor,
    sql: Statements,
    document_id: str,
    data: Mapping[str, Any],
    remove: Sequence[str] = (),
    increment: Mapping[str, int | float] = {},
    nested: Sequence[Step] = (),
    rev: str | None = None,
) -> Document:
    """Update a document by reading and writing it, within a transaction: one that can't be read stays as it is.

    Args:
        writer: A cursor that is in a transaction.
        sql: The table's statements.
        document_id: The document's id.
        data: Fields to set.
        remove: Fields to remove.
        increment: Numbers to add, by field.
        nested: Changes at paths and to lists.
        rev: The revision that the document must have, or `None` for any.

    Raises:
        DocumentNotFound: if there is no such document.
        RevisionConflict: if it has another revision.
        InvalidDocument: if a change can't be made of what is stored.
        StoreError: if the document can't be read, or holds what can't be written again.
    """
    try:
        row = writer.execute(sql.get, (document_id,)).fetchone()
    except sqlite3.Error as error:
        if is_unreadable(error):
            raise unreadable(document_id, "is no text in UTF-8") from error
        raise
    if row is None:
        raise DocumentNotFound(document_id)
    if rev is not None and rev != str(row[0]):
        raise RevisionConflict(document_id, rev)
    fields = apply_changes(read(document_id, row[0], row[1]), data, remove, increment, nested)
    try:
        body = encode(fields)
        try:
            writer.execute(sql.write, (body, document_id))
        except UnicodeEncodeError:  # another program wrote half of a surrogate pair, which JSON can only hold escaped
            writer.execute(sql.write, (json.dumps(fields, separators=(",", ":")), document_id))
    except (ValueError, RecursionError) as error:
        raise unreadable(document_id, f"holds what can't be written again: {error}") from error
    return Document(fields, document_id, str(row[0] + 1))
