"""Between documents and hashes: a field per top-level key holding its value's JSON text, and a revision beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from divan.documents import Document
from divan.errors import StoreError

REVISION: Final = b"_rev"
"""The hash field that counts the writes."""

UNCOUNTED: Final = "0"
"""The revision of a hash that another tool wrote, without a counter."""

# Values have been validated: no cycle, no NaN.
_encode_any = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    str: _encode_any,
    int: int.__repr__,
    float: float.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda value: "null",
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def encode_fields(fields: Mapping[str, Any]) -> list[bytes]:
    """Name and JSON text in turn, as ``HSET`` takes them."""
    encoders = _ENCODERS
    words: list[bytes] = []
    for name, value in fields.items():
        # As bytes: redis-py is slow to find out what an argument is.
        words += (name.encode(), encoders.get(value.__class__, _encode_any)(value).encode())
    return words


def decode(document_id: str, words: Sequence[bytes]) -> Document:
    """The document that a hash holds.

    Args:
        document_id: Its id.
        words: Name and text of each hash field in turn, as ``HGETALL`` gives them.

    Raises:
        StoreError: naming the first field whose text is no JSON.
    """
    document = Document((), document_id, UNCOUNTED)
    name = b""
    try:
        for name, raw in zip(words[::2], words[1::2], strict=True):
            text = raw.decode()
            if name == REVISION:
                document.rev = text
                continue
            try:
                value, end = _decoder.raw_decode(text)
            except json.JSONDecodeError:
                end = -1
            if end != len(text):
                value = _decoder.decode(text)  # white space around it, or no JSON
            document[name.decode()] = value
    except (ValueError, RecursionError) as error:
        shown = name.decode(errors="backslashreplace")
        raise StoreError(
            f"document {document_id!r}: the hash field {shown!r} holds no JSON text, as every field of a document "
            f"does; a tool that writes a string there puts it in double quotes"
        ) from error
    return document
