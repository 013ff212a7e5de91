"""Internal: the checks of `first` and `exists`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import InvalidQuery, Store
from divan.testing.base import StoreChecks
from divan.testing.reporting import reported

_SORTS: Final[dict[str, tuple[Any, Any]]] = {
    "a field": ("n", 0),
    "a field, descending": ("-n", 2),
    "a field that some lack": ("m", 2),
    "the id": ("_id", 1),
    "ties by id": ("same", 1),
}
"""What the sort is by, and the `n` of the document that comes first."""


class First(StoreChecks):
    """The first document that matches, and whether any does."""

    @pytest.fixture
    @reported
    def filled(self, store: Store) -> Store:
        """A Store with three documents."""
        store.put_many(
            [("b", {"n": 0, "m": 1, "same": 0}), ("a", {"n": 1, "m": None, "same": 0}), ("c", {"n": 2, "same": 0})]
        )
        return store

    @pytest.mark.parametrize(("sort", "n"), _SORTS.values(), ids=_SORTS)
    def test_first_is_the_first_of_the_sort(self, filled: Store, sort: Any, n: int) -> None:
        found = filled.first(sort=sort)
        assert found is not None
        assert found["n"] == n

    def test_first_is_the_first_that_matches(self, filled: Store) -> None:
        found = filled.first({"n": {"$gt": 0}}, sort="n")
        assert found is not None
        assert (found.id, found) == ("a", {"n": 1, "m": None, "same": 0})
        assert found.rev == filled.get("a").rev

    def test_first_of_nothing_is_none(self, filled: Store) -> None:
        assert filled.first({"n": 7}) is None
        assert filled.first({"n": 7}, sort="n") is None

    def test_first_returns_the_fields_that_were_asked_for(self, filled: Store) -> None:
        found = filled.first({"n": 1}, fields=["m"])
        assert found is not None
        assert (found.id, found) == ("a", {"m": None})

    def test_first_of_an_empty_store_is_none(self, store: Store) -> None:
        assert store.first() is None

    @pytest.mark.parametrize("where", [{"n": 1}, {"m": None}, {"_id": "a"}, {"_id": {"$prefix": "a"}}, {}, None])
    def test_what_matches_exists(self, filled: Store, where: Any) -> None:
        assert filled.exists(where) is True

    @pytest.mark.parametrize("where", [{"n": 7}, {"m": 2}, {"_id": "z"}, {"_id": {"$prefix": "z"}}])
    def test_what_does_not_match_does_not_exist(self, filled: Store, where: Any) -> None:
        assert filled.exists(where) is False

    def test_nothing_exists_in_an_empty_store(self, store: Store) -> None:
        assert not store.exists()

    @pytest.mark.parametrize(
        "call", [lambda store, where: store.first(where), lambda store, where: store.exists(where)]
    )
    def test_what_is_no_filter_is_refused(self, store: Store, call: Callable[[Store, Any], Any]) -> None:
        with pytest.raises(InvalidQuery):
            call(store, {"$where": "1"})
