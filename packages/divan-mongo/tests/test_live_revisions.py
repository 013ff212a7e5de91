"""Revisions on a live server: what a revision that somebody holds must never do."""

from __future__ import annotations

import random

import divan
import pytest

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
