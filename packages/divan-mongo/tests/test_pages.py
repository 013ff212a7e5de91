"""Pages of results, whole and damaged."""

from __future__ import annotations

import bson
import divan
from bson import ObjectId
from divan_mongo.pages import read_page

_KEY = ObjectId()


def _page(*keys: object) -> bytes:
    """Documents of which the second has a string that is no UTF-8."""
    pages = [bson.encode({"_id": key, "_rev": 1, "text": "xxxx"}) for key in keys]
    pages[1] = pages[1].replace(b"xxxx", b"\xff\xfe\xff\xfe")
    return b"".join(pages)


def test_a_document_that_cannot_be_decoded_is_an_error_that_names_it_among_the_others() -> None:
    first, second, third = read_page(_page("a", "b", "c"), "mongo")
    assert (first, third) == ({"text": "xxxx"}, {"text": "xxxx"})
    assert isinstance(second, divan.StoreError)
    assert second.document_id == "b"
    assert "'b' can't be read" in str(second)


def test_an_objectid_is_named_by_its_text() -> None:
    _, second = read_page(_page("a", _KEY), "mongo")
    assert isinstance(second, divan.StoreError)
    assert second.document_id == str(_KEY)


def test_an_id_of_another_type_has_no_name() -> None:
    _, second = read_page(_page("a", 5), "mongo")
    assert isinstance(second, divan.StoreError)
    assert second.document_id is None


def test_a_page_without_documents_is_read() -> None:
    assert list(read_page(b"", "mongo")) == []
