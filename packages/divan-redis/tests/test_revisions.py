"""Revisions on a live server: none of a document comes again, whatever the program does with its own random numbers."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import divan
import pytest
from divan import Store

pytestmark = pytest.mark.live


@pytest.fixture
def store(redis_server: Any) -> Iterator[Store]:
    with divan.open(redis_server.store_url(f"t{uuid.uuid4().hex[:12]}")) as store:
        yield store
        store.delete_many(store.ids())


def test_a_document_made_anew_has_no_revision_of_the_old_one_though_random_is_seeded_again(store: Store) -> None:
    random.seed(1)
    old = store.create({}, id="x")
    store.delete("x")
    random.seed(1)
    store.create({}, id="x")
    with pytest.raises(divan.RevisionConflict):
        store.update("x", {"v": 1}, rev=old.rev)


def test_a_bulk_call_begins_no_document_at_a_revision_that_a_seed_gives_again(store: Store) -> None:
    random.seed(1)
    (old,) = store.create_many([("x", {})])
    store.delete("x")
    random.seed(1)
    store.create_many([("x", {})])
    with pytest.raises(divan.RevisionConflict):
        store.replace("x", {"v": 1}, rev=old.rev)


def test_put_begins_no_document_at_a_revision_that_a_seed_gives_again(store: Store) -> None:
    random.seed(1)
    old = store.put("x", {})
    store.delete("x")
    random.seed(1)
    store.put("x", {})
    with pytest.raises(divan.RevisionConflict):
        store.delete("x", rev=old.rev)
