"""Documents that another program wrote in a way that no program can decode, among documents that all can."""

from __future__ import annotations

from collections.abc import Callable

import bson
import divan
import pytest
from bson.raw_bson import RawBSONDocument

from .live import Raw

pytestmark = pytest.mark.live


@pytest.fixture
def damaged(store: divan.Store, raw: Raw) -> divan.Store:
    """Holds the documents ``"a"`` to ``"c"``, of which ``"b"`` has a string that is no UTF-8."""
    whole = bson.encode({"_id": "b", "_rev": 1, "n": 2, "text": "xxxx"})
    raw.insert_many([{"_id": "a", "_rev": 1, "n": 1}, {"_id": "c", "_rev": 1, "n": 3}])
    try:
        raw.insert_one(RawBSONDocument(whole.replace(b"xxxx", b"\xff\xfe\xff\xfe")))  # type: ignore[arg-type]
        next(raw.find_raw_batches({"_id": "b"}))
    except Exception as error:  # whatever a server says that checks its strings
        pytest.skip(f"this server stores no such string: {error}")
    return store


@pytest.mark.parametrize(
    "listing",
    [
        iter,
        lambda store: store.find({"n": {"$gte": 0}}),
        lambda store: store.find(sort="n"),
        lambda store: store.find({"n": {"$ne": {"x": 1}}}, sort=["other", "n"], fields=["n", "text"]),
    ],
)
def test_a_listing_names_the_document_and_goes_on(
    damaged: divan.Store, listing: Callable[[divan.Store], divan.store.DocumentIterator]
) -> None:
    seen: list[str] = []
    documents = listing(damaged)
    for _ in range(3):
        try:
            seen.append(next(documents).id)
        except divan.StoreError as error:
            seen.append(f"not {error.document_id}")
    assert sorted(seen) == ["a", "c", "not b"]
    assert next(documents, None) is None


def test_each_document_of_a_bulk_read_has_its_own_result(damaged: divan.Store) -> None:
    with pytest.raises(divan.BulkError) as failure:
        damaged.get_many(["a", "b", "c", "nobody"])
    first, second, third, fourth = failure.value.results
    assert (first, third, fourth) == ({"n": 1}, {"n": 3}, None)
    assert isinstance(second, divan.StoreError)
    assert second.document_id == "b"


def test_reading_it_by_its_id_is_an_error_that_names_it(damaged: divan.Store) -> None:
    with pytest.raises(divan.StoreError) as failure:
        damaged.get("b")
    assert failure.value.document_id == "b"


def test_an_update_says_that_it_was_carried_out(damaged: divan.Store, raw: Raw) -> None:
    with pytest.raises(divan.StoreError, match="was changed") as failure:
        damaged.update("b", {"n": divan.Increment(1)})
    assert failure.value.document_id == "b"
    assert raw.find_one({"_id": "b"}, {"n": 1}) == {"_id": "b", "n": 3}
