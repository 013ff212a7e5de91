"""Writes and reads the JSON of the embedded SQLite backend's documents, as fast as the standard library can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from divan.documents import Document
from divan.errors import StoreError


def _make_encode() -> Callable[[Any], str]:
    settings: dict[str, Any] = {"ensure_ascii": False, "check_circular": False, "allow_nan": False}
    encoder = json.JSONEncoder(**settings, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    # What `encode` makes anew at every call, a quarter of its time.
    write = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(write(value, 0))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


encode: Final = _make_encode()
"""Writes a plain, validated value as JSON: no white space, nothing escaped that need not be."""

_decoder: Final[Any] = json.JSONDecoder(parse_constant=_refuse_constant)
_scan: Final = _decoder.scan_once  # what `decode` calls, without its search for white space


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
