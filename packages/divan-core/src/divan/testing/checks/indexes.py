"""Internal: the checks of indexes, explanations, and Stores that allow no scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from divan import Explanation, InvalidQuery, Store
from divan.testing.base import StoreChecks
from divan.testing.checks.reading import TYPES_IN_ORDER
from divan.testing.comparing import as_json


class Indexes(StoreChecks):
    """`ensure_index`, `explain` and `allow_scans`."""

    @pytest.mark.parametrize(
        "fields", [("v",), ("v", "w"), ("v.x",)], ids=["one field", "two fields", "a nested field"]
    )
    def test_an_index_changes_no_answer(self, store: Store, fields: tuple[str, ...]) -> None:
        values = [value for value in TYPES_IN_ORDER if value is not ...]
        store.create_many([{"v": value, "w": at} for at, value in enumerate(values)] + [{"w": -1}])
        filters: list[dict[str, Any]] = [{"v": value} for value in values]
        filters += [{"v": {"$gte": 0}}, {"v": {"$lt": "b"}}, {"v": {"$ne": None}}, {"v.x": 1}, {"v": None, "w": 0}]
        before = [sorted(document["w"] for document in store.find(where)) for where in filters]
        store.ensure_index(*fields)
        assert [sorted(document["w"] for document in store.find(where)) for where in filters] == before

    def test_an_index_changes_no_order(self, store: Store) -> None:
        store.create_many([{"v": value} for value in TYPES_IN_ORDER if value is not ...] + [{}])
        before = [document.id for document in store.find(sort="v")]
        store.ensure_index("v")
        assert [document.id for document in store.find(sort="v")] == before

    def test_an_index_follows_writes(self, store: Store) -> None:
        store.ensure_index("v")
        document = store.create({"v": 1})
        store.update(document.id, {"v": 2})
        assert (store.count({"v": 1}), store.count({"v": 2})) == (0, 1)

    def test_an_index_can_be_asked_for_twice(self, store: Store) -> None:
        assert store.ensure_index("v") == store.ensure_index("v")

    @pytest.mark.parametrize("fields", [(), ("",), ("a..b",), ("$a",)], ids=["none", "nothing", "gap", "operator"])
    def test_an_index_needs_fields(self, store: Store, fields: tuple[str, ...]) -> None:
        with pytest.raises(InvalidQuery):
            store.ensure_index(*fields)

    def test_explain_tells_how_find_answers(self, store: Store) -> None:
        assert isinstance(store.explain({"v": 1}, sort="w"), Explanation)

    def test_explain_accounts_for_the_whole_filter(self, store: Store) -> None:
        explanation = store.explain({"v": {"$gt": 1}, "w": "x"})
        named = as_json([explanation.pushed, explanation.residual])
        assert '"v"' in named
        assert '"w"' in named

    def test_a_query_that_nothing_serves_is_explained_as_a_scan(self, store: Store) -> None:
        """Or one that may read everything would be let through where no scan is allowed."""
        store.create_many({"v": number, "w": "x"} for number in range(20))
        assert store.explain().scan
        explanation = store.explain({"w": {"$ne": "y"}})
        assert explanation.scan or explanation.index is not None

    def test_explain_refuses_what_find_refuses(self, store: Store) -> None:
        with pytest.raises(InvalidQuery):
            store.explain({"v": {"$near": 1}})

    @pytest.mark.parametrize("index", [False, True], ids=["without an index", "with an index"])
    def test_a_store_that_allows_no_scan_refuses_what_explain_calls_a_scan(
        self, store: Store, open_store: Callable[..., Store], index: bool
    ) -> None:
        document = store.create({"v": "x"})
        if index:
            store.ensure_index("v")
        careful = open_store(allow_scans=False)
        if careful.explain({"v": "x"}).scan:
            with pytest.raises(InvalidQuery):
                list(careful.find({"v": "x"}))
            with pytest.raises(InvalidQuery):
                careful.count({"v": "x"})
        else:
            assert [found.id for found in careful.find({"v": "x"})] == [document.id]

    def test_a_store_that_allows_no_scan_still_gets_by_id(self, store: Store, open_store: Callable[..., Store]) -> None:
        document = open_store(allow_scans=False).create({"v": 1})
        assert open_store(allow_scans=False).get(document.id) == {"v": 1}
