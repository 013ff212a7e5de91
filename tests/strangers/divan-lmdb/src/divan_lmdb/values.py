"""How a document stands in LMDB: its id as the key, its JSON text as the value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from divan import Document
from divan.errors import StoreError

LONGEST_KEY = 511
"""What LMDB takes, unless it was compiled otherwise."""

_KEPT = 400


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
