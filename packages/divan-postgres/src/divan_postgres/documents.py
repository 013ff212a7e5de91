"""Internal: makes JSONB of documents and documents of JSONB, exactly, and the parameters of statements.

JSONB keeps a number's digits behind the point, but no exponent and no sign of zero, and no NUL character. So a whole
float is written out with its ``.0``, ``-0.0`` as a zero of thirty digits behind the point, and in strings and names a
NUL character as U+0001 U+0001 and U+0001 itself as U+0001 U+0002. All of these sort as what they stand for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from divan.backends.support import first_revision
from divan.documents import Document
from divan.errors import StoreError, shown
from divan.ids import new_id

_MINUS_ZERO: Final = "0." + "0" * 30
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
_ESCAPE: Final = re.compile(r"\\(?:u000[01]|.)")
_ESCAPED: Final = re.compile(r"\\(?:u0001\\u000[12]|.)")
_ESCAPES: Final = {"\\u0000": "\\u0001\\u0001", "\\u0001": "\\u0001\\u0002"}
_UNESCAPES: Final = {"\\u0001\\u0001": "\\u0000", "\\u0001\\u0002": "\\u0001"}
_MINUS_ZERO_MARK: Final = _MINUS_ZERO.encode()


# JSON


def _make_write() -> Callable[[Any], str]:
    settings: dict[str, Any] = {"ensure_ascii": False, "check_circular": False, "allow_nan": False}
    encoder = json.JSONEncoder(**settings, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    # What `JSONEncoder.encode` makes anew at every call, a quarter of its time.
    write = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(write(value, 0))


_write: Final = _make_write()


def _read_float(digits: str) -> float:
    return -0.0 if digits == _MINUS_ZERO else float(digits)


_decoder: Final[Any] = json.JSONDecoder()
_exact_decoder: Final[Any] = json.JSONDecoder(parse_float=_read_float)
_scan: Final = _decoder.scan_once  # what `JSONDecoder.decode` calls, without its search for white space
_scan_exactly: Final = _exact_decoder.scan_once


def encode(value: Any) -> bytes:
    """A plain, validated value as JSON that JSONB keeps exactly."""
    written = _write(value)
    if "e+" in written or "-0.0" in written or "\\u000" in written:
        written = _TOKEN.sub(_exact, written)
    return written.encode()


def _exact(found: re.Match[str]) -> str:
    token = found[0]
    if token[0] == '"':
        return _ESCAPE.sub(lambda one: _ESCAPES.get(one[0], one[0]), token) if "\\u000" in token else token
    return number(float(token)) if "e+" in token or token == "-0.0" else token


def number(value: float) -> str:
    """A number by all of its digits, so that it compares with others as it does in Python."""
    if value.__class__ is int:
        return str(value)
    if not value and str(value) == "-0.0":
        return _MINUS_ZERO
    written = repr(value)
    return f"{int(value)}.0" if "e+" in written else written


def escape(text: str) -> str:
    """A string, or a field's name, as it stands in JSONB."""
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def decode(body: bytes) -> Any:
    """What JSONB holds, given as text.

    Raises:
        ValueError, RecursionError: if Python can't hold it.
    """
    if b"\\u0001" in body or _MINUS_ZERO_MARK in body:
        text = _TOKEN.sub(_unescape, body.decode())
        return _scan_exactly(text, 0)[0]
    return _scan(body.decode(), 0)[0]


def _unescape(found: re.Match[str]) -> str:
    token = found[0]
    return _ESCAPED.sub(lambda one: _UNESCAPES.get(one[0], one[0]), token) if "\\u0001" in token else token


# Rows


def new_row(document_id: str | None, data: Mapping[str, Any]) -> tuple[str, int, bytes]:
    """The row of a new document: its id, its first revision and its body."""
    return document_id or new_id(), first_revision(), encode(data)


def read(document_id: str, rev: bytes | None, body: bytes | None) -> Document:
    """The document of a row.

    Raises:
        StoreError: naming the document, if its body is no JSON object that Python can hold, or it has no revision.
    """
    if body is None or rev is None:
        raise unreadable(document_id, f"has no {'body' if body is None else 'revision'}, but NULL")
    try:
        fields = decode(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(document_id, f"is no JSON that can be read: {str(error).partition(chr(10))[0]}") from error
    if fields.__class__ is not dict:
        raise unreadable(document_id, f"is no JSON object but {type(fields).__name__}")
    return Document(fields, document_id, rev.decode())


def unreadable(document_id: str, why: str) -> StoreError:
    """The error that stands for a document; `why` is what it is or has, as the rest of a sentence."""
    return StoreError(f"the document {shown(document_id)} {why}", document_id=document_id)


# Parameters

_TEXT: Final = 25
_BIGINT: Final = 20
_JSONB: Final = 3802


def text_array(texts: Iterable[str]) -> bytes:
    """An array of strings, in PostgreSQL's binary form."""
    return _array(_TEXT, [text.encode() for text in texts])


def bigint_array(numbers: Iterable[int]) -> bytes:
    """An array of 64-bit integers, in PostgreSQL's binary form."""
    return _array(_BIGINT, [value.to_bytes(8, "big", signed=True) for value in numbers])


def jsonb_array(bodies: Iterable[bytes]) -> bytes:
    """An array of JSONB, in PostgreSQL's binary form."""
    return _array(_JSONB, [b"\1" + body for body in bodies])


def _array(kind: int, items: list[bytes]) -> bytes:
    head = [
        (1).to_bytes(4, "big"),
        bytes(4),
        kind.to_bytes(4, "big"),
        len(items).to_bytes(4, "big"),
        (1).to_bytes(4, "big"),
    ]
    if not items:
        head = [bytes(4), bytes(4), kind.to_bytes(4, "big")]
    for item in items:
        head += [len(item).to_bytes(4, "big"), item]
    return b"".join(head)


def number_array(numbers: Iterable[float]) -> bytes:
    """An array of numbers, in PostgreSQL's text form."""
    return b"{%b}" % ",".join(map(number, numbers)).encode()
