"""Internal: the checks of the id as a field: ``_id`` in filters, sorts and projections, and ids by their beginning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import Document, InvalidQuery, Store
from divan.query import finish, parse, parse_sort
from divan.testing.base import StoreChecks
from divan.testing.reporting import reported

_IDS: Final = (
    "a", "A", "ab", "a/b", "a/c", "a0", "a:1", "a*b", "a[b]", "b", "z", "Z", "1", "10", "2", "é", "e\u0301", "ß",
    "\ud7ffa", "\ue000", "\uffff", "😀", "😀a", "😁", "0123456789abcdef01234567", "0123456789abcdef0123456x",
)  # fmt: skip

FILTERS: Final[dict[str, dict[str, Any]]] = {
    "equality": {"_id": "a/b"},
    "equality with an id that is not there": {"_id": "nobody"},
    "equality with an id that looks like an ObjectId": {"_id": "0123456789abcdef01234567"},
    "equality with what is no id": {"_id": "_design"},
    "equality with a number": {"_id": 1},
    "$ne": {"_id": {"$ne": "a"}},
    "$gt": {"_id": {"$gt": "a"}},
    "$gte": {"_id": {"$gte": "é"}},
    "$lt": {"_id": {"$lt": "b"}},
    "$lte": {"_id": {"$lte": "\ue000"}},
    "a range": {"_id": {"$gte": "a", "$lt": "b"}},
    "a range that ends beyond U+FFFF": {"_id": {"$gt": "\uffff", "$lte": "😀"}},
    "a range of null": {"_id": {"$gte": None}},
    "$in": {"_id": {"$in": ["a", "Z", "nobody", 1, None, "😀"]}},
    "$in of nothing": {"_id": {"$in": []}},
    "$nin": {"_id": {"$nin": ["a", "b", 1]}},
    "$prefix": {"_id": {"$prefix": "a"}},
    "$prefix with a wildcard": {"_id": {"$prefix": "a*"}},
    "$prefix with a bracket": {"_id": {"$prefix": "a["}},
    "$prefix of nothing": {"_id": {"$prefix": ""}},
    "$prefix before the surrogates": {"_id": {"$prefix": "\ud7ff"}},
    "$prefix beyond U+FFFF": {"_id": {"$prefix": "😀"}},
    "$contains": {"_id": {"$contains": "b"}},
    "$exists true": {"_id": {"$exists": True}},
    "$exists false": {"_id": {"$exists": False}},
    "$size": {"_id": {"$size": 1}},
    "$all": {"_id": {"$all": ["a"]}},
    "$not": {"$not": {"_id": {"$prefix": "a"}}},
    "$or with a field": {"$or": [{"_id": "a"}, {"n": {"$gte": 20}}]},
    "$or of two ids": {"$or": [{"_id": "a"}, {"_id": "b"}]},
    "a field beside it": {"_id": {"$prefix": "a"}, "n": {"$gt": 3}},
    "a field beside equality": {"_id": "a/b", "n": -1},
    "a field that narrows it down": {"n": {"$in": [0, 5, 9, 21]}, "_id": {"$lt": "é"}},
}

SORTS: Final = (["_id"], ["-_id"], ["even", "_id"], ["-even", "-_id"], ["_id", "n"])


class IdField(StoreChecks):
    """The document's id as the field ``_id`` of every document."""

    @pytest.fixture
    @reported
    def numbered(self, request: pytest.FixtureRequest, fresh_url: str) -> tuple[Store, list[Document]]:
        """A Store that holds documents under ids of many kinds, and those documents."""
        return self.loaded(request, fresh_url, "numbered", _documents)

    @pytest.mark.parametrize("where", FILTERS.values(), ids=FILTERS)
    def test_a_filter_asks_for_the_id(self, numbered: tuple[Store, list[Document]], where: dict[str, Any]) -> None:
        store, documents = numbered
        expected = sorted(document.id for document in filter(parse(where).matches, documents))
        assert sorted(document.id for document in store.find(where)) == expected
        assert store.count(where) == len(expected)

    @pytest.mark.parametrize("sort", SORTS, ids=lambda sort: " ".join(sort))
    def test_a_sort_is_by_id(self, numbered: tuple[Store, list[Document]], sort: list[str]) -> None:
        store, documents = numbered
        for where in ({}, {"_id": {"$prefix": "a"}}, {"n": {"$lt": 20}}):
            matching = filter(parse(where).matches, documents)
            expected = finish(matching, get_id=lambda document: document.id, sort=parse_sort(sort), skip=1, limit=9)
            found = store.find(where, sort=sort, skip=1, limit=9)
            assert [document.id for document in found] == [document.id for document in expected]

    def test_the_id_is_no_field_of_the_document(self, store: Store) -> None:
        store.put("a", {"n": 1, "m": 2})
        (found,) = store.find({"_id": "a"})
        (some,) = store.find({"_id": "a"}, fields=["_id", "n"])
        assert (found, found.id) == ({"n": 1, "m": 2}, "a")
        assert (some, some.id) == ({"n": 1}, "a")

    @pytest.mark.parametrize("prefix", ["", "a", "a/", "a*", "a[b]", "\ud7ff", "😀", "nobody"])
    def test_ids_are_listed_by_their_beginning(self, numbered: tuple[Store, list[Document]], prefix: str) -> None:
        store, _ = numbered
        found = list(store.ids(prefix=prefix))
        assert sorted(found) == sorted(id for id in _IDS if id.startswith(prefix))

    def test_explain_accounts_for_the_id(self, store: Store) -> None:
        explanation = store.explain({"_id": {"$prefix": "a"}, "v": 1}, sort="_id")
        assert "_id" in repr((explanation.pushed, explanation.residual, explanation.index))

    def test_a_store_that_allows_no_scan_finds_ids_wherever_explain_sees_no_scan(
        self, store: Store, open_store: Callable[..., Store]
    ) -> None:
        store.put("a", {"n": 1})
        careful = open_store(allow_scans=False)
        where = {"_id": "a"}
        if careful.explain(where).scan:
            with pytest.raises(InvalidQuery):
                list(careful.find(where))
        else:
            assert [document.id for document in careful.find(where)] == ["a"]

    def test_the_id_needs_no_index(self, store: Store) -> None:
        with pytest.raises(InvalidQuery, match="needs no index"):
            store.ensure_index("_id")


def _documents() -> list[Any]:
    return [(id, {"n": number, "even": number % 2 == 0}) for number, id in enumerate(_IDS)]
