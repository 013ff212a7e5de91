"""Revisions on a live server: what a revision that somebody holds must never do."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import divan
import pytest
from bson import Decimal128, Int64, ObjectId, Regex

from .live import Raw

pytestmark = pytest.mark.live


def test_a_program_that_seeds_random_gets_no_revision_again(store: divan.Store) -> None:
    random.seed(1)
    first = store.create({}, id="x")
    store.delete("x")
    random.seed(1)
    store.create({}, id="x")
    with pytest.raises(divan.RevisionConflict):
        store.update("x", {"v": 1}, rev=first.rev)


def test_a_bulk_call_of_a_program_that_seeds_random_gets_no_revision_again(store: divan.Store) -> None:
    random.seed(1)
    (first,) = store.create_many([("x", {})])
    store.delete("x")
    random.seed(1)
    store.create_many([("x", {})])
    with pytest.raises(divan.RevisionConflict):
        store.delete("x", rev=first.rev)


@pytest.mark.parametrize("other", ["{} ", " {}", "+{}", "{}.0", "0{}", "{}e0", "{}_0"])
def test_a_revision_is_its_very_text(store: divan.Store, other: str) -> None:
    revision = store.create({}, id="x").rev
    with pytest.raises(divan.RevisionConflict):
        store.update("x", {"n": 1}, rev=other.format(revision))
    with pytest.raises(divan.RevisionConflict):
        store.delete("x", rev=f"{str(revision)[0]}_{str(revision)[1:]}")


@pytest.mark.parametrize(
    "foreign",
    [
        123, -5, 0, Int64(7), 1234567890123456789, 2**63 - 1, 7.0, 1.5, 1e20, -0.0, True, None, "123", "3-abc", "0", "",
        "bson:00", "1.0", Decimal128("7.50"), ObjectId(), datetime(2026, 1, 1, tzinfo=UTC), {"x": 1}, Regex("a"), b"x",
    ],
)  # fmt: skip
def test_a_revision_of_another_program_matches_itself_and_no_other(store: divan.Store, raw: Raw, foreign: Any) -> None:
    raw.insert_one({"_id": "x", "_rev": foreign})
    seen = store["x"].rev
    after = store.update("x", {"n": 1}, rev=seen)
    assert after == {"n": 1}
    assert after.rev == store["x"].rev != seen
    with pytest.raises(divan.RevisionConflict):
        store.update("x", {"n": 2}, rev=seen)


def test_a_revision_of_another_program_that_is_missing_matches_itself(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "x"})
    store.delete("x", rev=store["x"].rev)
    assert "x" not in store
