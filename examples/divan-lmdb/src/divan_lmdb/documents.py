"""How a document stands in LMDB, its id as the key and its JSON text as the value; and what each write makes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from divan import Document
from divan.backends.support import first_revision
from divan.errors import DocumentExists, DocumentNotFound, RevisionConflict, StoreError
from divan.updates import Change, apply_changes

if TYPE_CHECKING:
    import lmdb

    Transaction = lmdb.Transaction[bytes]

LONGEST_KEY: Final = 511
"""What LMDB takes, unless it was compiled otherwise."""

_KEPT: Final = 400


def to_key(document_id: str) -> bytes:
    """The key of an id: its UTF-8; of a long one the beginning, NUL (which no id holds), and a hash."""
    key = document_id.encode()
    if len(key) <= LONGEST_KEY:
        return key
    return key[:_KEPT] + b"\0" + hashlib.sha256(key).hexdigest().encode()


def to_value(document_id: str, number: int, fields: Mapping[str, Any]) -> bytes:
    """The value of a document with the revision `number`."""
    metadata: dict[str, Any] = {"_rev": number}
    if len(document_id.encode()) > LONGEST_KEY:
        metadata["_id"] = document_id
    return json.dumps({**fields, **metadata}, ensure_ascii=False, separators=(",", ":")).encode()


def from_value(key: bytes, value: bytes) -> Document:
    """The document of a key and its value.

    Raises:
        StoreError: if the value holds none.
    """
    try:
        fields = json.loads(value)
        document_id = fields.pop("_id", None) or key.decode()
        return Document(fields, document_id, str(int(fields.pop("_rev", 0))))  # another program's may have no revision
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"the value of the key {key[:80]!r} holds no document: {error}") from error


# Within a transaction


def current(transaction: Transaction, document_id: str, rev: str | None = None) -> Document:
    """The stored document, checked against `rev`.

    Raises:
        DocumentNotFound: if there is none.
        RevisionConflict: if its revision is another one.
    """
    key = to_key(document_id)
    value = transaction.get(key)
    if value is None:
        raise DocumentNotFound(document_id)
    document = from_value(key, value)
    if rev is not None and rev != document.rev:
        raise RevisionConflict(document_id, rev)
    return document


def insert(transaction: Transaction, document_id: str, fields: Mapping[str, Any]) -> Document:
    """Store a new document.

    Raises:
        DocumentExists: if the id is taken.
    """
    number = first_revision()
    if not transaction.put(to_key(document_id), to_value(document_id, number, fields), overwrite=False):
        raise DocumentExists(document_id)
    return Document(fields, document_id, str(number))


def merge(transaction: Transaction, change: Change, rev: str | None = None) -> Document:
    """Carry out one update; raises as `current` does."""
    stored = current(transaction, change.document_id, rev)
    return overwrite(transaction, stored, apply_changes(stored, change.data, change.remove, change.increment))


def overwrite(transaction: Transaction, stored: Document, fields: Mapping[str, Any]) -> Document:
    """Store other fields in place of a stored document's, under its next revision."""
    number = int(stored.rev or 0) + 1
    transaction.put(to_key(stored.id), to_value(stored.id, number, fields))
    return Document(fields, stored.id, str(number))


def remove(transaction: Transaction, document_id: str, rev: str | None = None) -> None:
    """Delete a document; raises as `current` does."""
    current(transaction, document_id, rev)
    transaction.delete(to_key(document_id))
