"""Internal: results as MongoDB sends them, page by page, so that a document that can't be decoded hides no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from bson import ObjectId, decode, decode_all
from divan.documents import Document
from divan.errors import StoreError
from pymongo.collection import Collection
from pymongo.cursor import Cursor

from divan_mongo.documents import make_document
from divan_mongo.errors import UNREADABLE, unreadable
from divan_mongo.values import CODEC_OPTIONS

# The bytes by which BSON tells the types of ids.
_STRING: Final = 2
_OBJECT_ID: Final = 7

Page = bytes | dict[str, Any]
"""The BSON of documents, one after the other; or, where the client decrypts them, a single document."""


def search(collection: Collection[dict[str, Any]], condition: dict[str, Any], **arguments: Any) -> Cursor[Any]:
    """A cursor of pages, each of which is one round trip; nothing is sent yet.

    Args:
        collection: The documents.
        condition: A filter of MongoDB's.
        **arguments: What pymongo's ``find`` takes.
    """
    if collection.database.client.options.auto_encryption_opts is not None:
        return collection.find(condition, **arguments)  # pymongo has no pages of what it decrypts
    return collection.find_raw_batches(condition, **arguments)


def read_page(page: Page, label: str) -> Iterator[Document | StoreError]:
    """The documents of a page; an error stands for each that can't be decoded.

    Args:
        page: From the cursor of `search`.
        label: How messages call the collection.
    """
    if isinstance(page, dict):
        return iter((make_document(page),))
    try:
        return map(make_document, decode_all(page, CODEC_OPTIONS))
    except UNREADABLE:
        return _read_each(page, label)


def _read_each(page: bytes, label: str) -> Iterator[Document | StoreError]:
    start = 0
    while start < len(page):
        end = start + int.from_bytes(page[start : start + 4], "little")
        one = page[start:end]
        try:
            yield make_document(decode(one, CODEC_OPTIONS))
        except UNREADABLE as error:
            unread = unreadable(label, error, _id_of(one))
            unread.__cause__ = error
            yield unread
        start = end


def _id_of(encoded: bytes) -> str | None:
    """The id of a document that can't be decoded as a whole: MongoDB sends it first, behind the document's size."""
    kind, name, value = encoded[4], encoded[5:9], encoded[9:]
    if name == b"_id\0" and kind == _OBJECT_ID:
        return str(ObjectId(value[:12]))
    if name == b"_id\0" and kind == _STRING:
        with suppress(UnicodeDecodeError):
            return value[4 : 3 + int.from_bytes(value[:4], "little")].decode()
    return None
