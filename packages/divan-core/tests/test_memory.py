"""The memory backend beside what the suite asks of every backend: names, options, and revisions that never come again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.backends.memory import MemoryBackend
from divan.errors import InvalidURL, RevisionConflict


def test_stores_of_one_name_share_their_documents() -> None:
    with divan.open("memory://shared-by-name") as one, divan.open("memory://shared-by-name") as other:
        one.create({"a": 1}, id="x")
        assert other["x"] == {"a": 1}


def test_stores_without_a_name_share_nothing() -> None:
    with divan.open("memory://") as one, divan.open("memory://") as other:
        one.create({"a": 1}, id="x")
        assert "x" not in other


def test_the_native_handle_is_the_table_even_while_it_is_empty() -> None:
    backend = MemoryBackend("")
    assert backend.db == {}
    backend.create({"a": 1}, "x")
    assert backend.db["x"][1] == {"a": 1}


@pytest.mark.parametrize("options", [{"timeout": 1}, {"timeout": "1"}, {"create": True}])
def test_there_are_no_options(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidURL, match="its options are: none"):
        MemoryBackend("x", **options)
    with pytest.raises(InvalidURL, match="its options are: none"):
        divan.open("memory://x", **options)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[divan.Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/my.db"
    with divan.open(url) as store:
        yield store


def test_a_program_that_seeds_random_gets_no_revision_twice(store: divan.Store) -> None:
    random.seed(1)
    first = store.create({}, id="x")
    store.delete("x")
    random.seed(1)
    store.create({}, id="x")
    with pytest.raises(RevisionConflict):
        store.update("x", {"v": 1}, rev=first.rev)
    assert store["x"] == {}
