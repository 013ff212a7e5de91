"""Internal: the checks of the query language: what each operator means, and a table compared with the reference."""

from __future__ import annotations

from typing import Any, Final

import pytest

from divan import Document, InvalidQuery, Store
from divan.query import finish, parse, parse_sort
from divan.testing import generate
from divan.testing.base import StoreChecks
from divan.testing.limits import BIG_INTS, TINY_FLOATS

# operator: what it is about → (filter, the value of "v" in each document, which of them match)
MEANINGS: Final[dict[str, tuple[dict[str, Any], list[Any], list[int]]]] = {
    "a plain value means equality": ({"v": 1}, [1, 2], [0]),
    "$eq tells 1 from true": ({"v": {"$eq": 1}}, [1, True, "1", 1.0], [0, 3]),
    "$eq tells 0 from false": ({"v": {"$eq": False}}, [0, False, None, "", 0.0], [1]),
    "$eq tells true from 1": ({"v": {"$eq": True}}, [1, True, 1.0], [1]),
    "$eq takes 1 and 1.0 as equal": ({"v": {"$eq": 1.0}}, [1, 1.0, 1.5], [0, 1]),
    "$eq takes 0 and -0.0 as equal": ({"v": 0}, [0, 0.0, -0.0], [0, 1, 2]),
    "$eq compares a list whole": ({"v": {"$eq": [1]}}, [[1], 1, [1, 2], [[1]]], [0]),
    "$eq compares a list with no item of it": ({"v": {"$eq": 1}}, [[1], 1], [1]),
    "$eq compares lists in order": ({"v": ["a", "b"]}, [["a", "b"], ["b", "a"]], [0]),
    "$eq compares an object whole": ({"v": {"$eq": {"x": 1}}}, [{"x": 1}, {"x": 1, "y": 2}, {"x": True}], [0]),
    "$eq compares objects key order aside": ({"v": {"x": 1, "y": 2}}, [{"y": 2, "x": 1}, {"x": 1}], [0]),
    "$eq tells 1 from true inside": ({"v": {"x": [1]}}, [{"x": [1]}, {"x": [True]}, {"x": [1.0]}], [0, 2]),
    "$eq null does not match a missing field": ({"v": None}, [None, ..., 0, False], [0]),
    "$eq tells an empty object from an empty list": ({"v": {}}, [{}, [], None, ...], [0]),
    "$eq tells composed from decomposed text": ({"v": "é"}, ["é", "e\u0301", "e"], [0]),
    "$eq tells upper case from lower": ({"v": "a"}, ["a", "A"], [0]),
    "$eq tells text with a trailing space": ({"v": "a"}, ["a", "a "], [0]),
    "$ne matches other types and missing": ({"v": {"$ne": 1}}, [1, 1.0, True, "1", None, [1], ...], [2, 3, 4, 5, 6]),
    "$gt compares numbers": ({"v": {"$gt": 1}}, [1, 1.5, 2, True, "2", None, [2], ...], [1, 2]),
    "$gte compares numbers": ({"v": {"$gte": 1.0}}, [1, 0.5, 2, True, "2"], [0, 2]),
    "$lt compares numbers": ({"v": {"$lt": 1}}, [0, 0.5, 1, False, None, "", -1, ...], [0, 1, 6]),
    "$lte compares numbers": ({"v": {"$lte": 0}}, [0, -0.0, -5e-324, 5e-324, False, None], [0, 1, 2]),
    "$gt compares strings by code point": ({"v": {"$gt": "\uffff"}}, ["😀", "\uffff", "a", "\ue000", 1], [0]),
    "$lt compares strings by code point": ({"v": {"$lt": "a"}}, ["A", "Z", "a", "é", "", "_"], [0, 1, 4, 5]),
    "$gt compares booleans": ({"v": {"$gt": False}}, [True, False, 1, "true"], [0]),
    "$gte null matches null": ({"v": {"$gte": None}}, [None, ..., 0, False], [0]),
    "$gt null matches nothing": ({"v": {"$gt": None}}, [None, ..., 1], []),
    "$gt compares lists item by item": ({"v": {"$gt": [1]}}, [[1], [1, 0], [2], [0, 9], 2, ["a"]], [1, 2, 5]),
    "$in matches equal values": ({"v": {"$in": [1, "a", None]}}, [1, 1.0, True, "a", None, ..., [1]], [0, 1, 3, 4]),
    "$in matches whole lists": ({"v": {"$in": [[1], {"x": 1}]}}, [[1], 1, {"x": 1}, {"x": True}], [0, 2]),
    "$in of nothing matches nothing": ({"v": {"$in": []}}, [1, None, [], ...], []),
    "$nin matches the rest": ({"v": {"$nin": [1, None]}}, [1, 1.0, True, None, ..., [1]], [2, 4, 5]),
    "$nin of nothing matches all": ({"v": {"$nin": []}}, [1, None, ...], [0, 1, 2]),
    "$exists true matches null": ({"v": {"$exists": True}}, [None, False, ...], [0, 1]),
    "$exists false matches a missing field": ({"v": {"$exists": False}}, [None, False, ...], [2]),
    "$all matches in any order": ({"v": {"$all": [2, 1]}}, [[1, 2, 3], [1], [2.0, 1], "12", 1, [2]], [0, 2]),
    "$all tells 1 from true": ({"v": {"$all": [1]}}, [[1], [True], [1.0]], [0, 2]),
    "$all of nothing matches every list": ({"v": {"$all": []}}, [[], [1], {}, "", None], [0, 1]),
    "$all does not match a single value": ({"v": {"$all": [1]}}, [1, [1]], [1]),
    "$size counts items": ({"v": {"$size": 2}}, [[1, 2], [[1, 2]], "ab", {"a": 1, "b": 2}, [], [1, 2, 3]], [0]),
    "$size zero matches empty lists": ({"v": {"$size": 0}}, [[], {}, "", None, 0, ...], [0]),
    "$contains finds an item": ({"v": {"$contains": 1}}, [[1], [True], [1.0, 2], 1, [[1]]], [0, 2]),
    "$contains finds a part of a string": ({"v": {"$contains": "b%"}}, ["ab%c", "abc", "b", ["b%"], ["ab%c"]], [0, 3]),
    "$contains finds the empty string in all": ({"v": {"$contains": ""}}, ["", "a", [], [""]], [0, 1, 3]),
    "$contains takes a wildcard as it is": ({"v": {"$contains": "_"}}, ["a_b", "ab", "%"], [0]),
    "$contains tells upper case from lower": ({"v": {"$contains": "a"}}, ["xA", "xa"], [1]),
    "$prefix finds how a string begins": ({"v": {"$prefix": "ab"}}, ["ab", "abc", "b", "aB", ["ab"], 1, ...], [0, 1]),
    "$prefix of nothing finds every string": ({"v": {"$prefix": ""}}, ["", "a", [""], 0, None, {}, ...], [0, 1]),
    "$prefix takes a wildcard as it is": ({"v": {"$prefix": "a_"}}, ["a_b", "ab", "a%", "a_"], [0, 3]),
    "$prefix tells composed from decomposed text": ({"v": {"$prefix": "e"}}, ["é", "e\u0301", "E", "e"], [1, 3]),
    "$prefix ends where surrogates begin": ({"v": {"$prefix": "\ud7ff"}}, ["\ud7ffa", "\ue000", "\ud7fe", "😀"], [0]),
    "$prefix ends behind the last character": ({"v": {"$prefix": "\U0010ffff"}}, ["\U0010ffffa", "\uffff"], [0]),
    "$prefix goes beyond U+FFFF": ({"v": {"$prefix": "😀"}}, ["😀", "😀a", "😁", "\ue000"], [0, 1]),
    "$and needs both": ({"$and": [{"v": {"$gt": 1}}, {"v": {"$lt": 3}}]}, [1, 2, 3], [1]),
    "two operators need both": ({"v": {"$gt": 1, "$lt": 3}}, [1, 2, 3, [0, 5]], [1]),
    "$or needs one": ({"$or": [{"v": 1}, {"v": 3}]}, [1, 2, 3], [0, 2]),
    "$not turns a filter round": ({"$not": {"v": {"$gt": 1}}}, [1, 2, "a", None, ...], [0, 2, 3, 4]),
    "$not in a field turns operators round": ({"v": {"$not": {"$gt": 1}}}, [1, 2, "a", ...], [0, 2, 3]),
    "$not of several conditions needs one to fail": ({"$not": {"v": {"$gt": 1, "$lt": 3}}}, [1, 2, 3], [0, 2]),
    "a dotted path goes into objects": ({"v.x": 1}, [{"x": 1}, {"x": 2}, 1, {"y": {"x": 1}}], [0]),
    "a dotted path goes deep": ({"v.x.y": None}, [{"x": {"y": None}}, {"x": {}}, {"x": None}, {}], [0]),
    "a dotted path goes into no list": ({"v.x": 1}, [[{"x": 1}], {"x": 1}], [1]),
    "a dotted path takes no list position": ({"v.0": 1}, [[1], {"0": 1}], [1]),
    "a dotted path to nothing is missing": ({"v.x": {"$exists": False}}, [{"x": None}, {}, 1, [], ...], [1, 2, 3, 4]),
    "$ne on a dotted path matches missing": ({"v.x": {"$ne": 1}}, [{"x": 1}, {}, 5, [{"x": 1}]], [1, 2, 3]),
}

REFUSED: Final[dict[str, Any]] = {
    "an unknown operator": {"a": {"$near": 1}},
    "a misspelt operator": {"a": {"$gte ": 1}},
    "an unknown operator at the top": {"$xor": [{"a": 1}]},
    "$where": {"$where": "true"},
    "$where in a field": {"a": {"$where": "true"}},
    "$function": {"$function": {"body": "true"}},
    "$expr": {"$expr": {"$eq": [1, 1]}},
    "$regex": {"a": {"$regex": ".*"}},
    "$where inside $or": {"$or": [{"a": 1}, {"$where": "true"}]},
    "operators beside plain keys": {"a": {"$gt": 1, "b": 2}},
    "$in without a list": {"a": {"$in": 1}},
    "$all without a list": {"a": {"$all": "ab"}},
    "$size of a fraction": {"a": {"$size": 1.5}},
    "$size of less than nothing": {"a": {"$size": -1}},
    "$exists without a boolean": {"a": {"$exists": 1}},
    "$and of nothing": {"$and": []},
    "$or without a list": {"$or": {"a": 1}},
    "a comparison without a field": {"$gt": 1},
    "a list as a filter": [{"a": 1}],
    "a field called nothing": {"": 1},
    "a path with a gap": {"a..b": 1},
    "a metadata field": {"_rev": "1"},
    "a path into the id": {"_id.x": 1},
    "$prefix of a number": {"a": {"$prefix": 1}},
    "$prefix of a list": {"a": {"$prefix": ["a"]}},
    "NaN": {"a": {"$gt": float("nan")}},
    "an integer of 65 bits": {"a": 2**64},
    "a lone surrogate": {"a": "\ud800"},
    "a set inside": {"a": {"$eq": {1, 2}}},
}


class QueryMeaning(StoreChecks):
    """What each operator means."""

    @pytest.mark.parametrize(("where", "values", "matching"), MEANINGS.values(), ids=MEANINGS)
    def test_query(self, store: Store, where: dict[str, Any], values: list[Any], matching: list[int]) -> None:
        store.create_many(
            {"at": position} if value is ... else {"at": position, "v": value} for position, value in enumerate(values)
        )
        assert sorted(document["at"] for document in store.find(where)) == matching

    @pytest.mark.parametrize("where", REFUSED.values(), ids=REFUSED)
    def test_query_is_refused(self, store: Store, where: Any) -> None:
        for call in (store.find, store.count, store.explain):
            with pytest.raises(InvalidQuery):
                pytest.fail(f"{call.__name__} answered {call(where)!r}")


class GeneratedQueries(StoreChecks):
    """500 generated filters over 200 generated documents, and sorts of them, compared with the reference."""

    @pytest.fixture
    def generated(self, request: pytest.FixtureRequest, fresh_url: str) -> tuple[Store, list[Document]]:
        """A Store that holds the generated documents, and those documents."""
        return self.loaded(request, fresh_url, "generated", self._documents)

    def _documents(self) -> list[dict[str, Any]]:
        return generate.documents(big_ints=BIG_INTS not in self.limits)

    @pytest.mark.parametrize("kind", generate.KINDS)
    def test_generated_filters_find_what_the_reference_finds(
        self, generated: tuple[Store, list[Document]], kind: str
    ) -> None:
        store, documents = generated
        wrong = []
        for where in generate.filters_of_kind(kind, big_ints=BIG_INTS not in self.limits):
            matches = parse(where).matches
            expected = {document.id for document in documents if matches(document)}
            found = [document.id for document in store.find(where)]
            if set(found) != expected or len(found) != len(expected):
                wrong.append((where, _differences(documents, found, expected)))
        assert not wrong, f"{len(wrong)} filters answer otherwise than the reference; the first: {wrong[0]}"

    @pytest.mark.parametrize("kind", generate.KINDS)
    def test_generated_filters_count_what_the_reference_counts(
        self, generated: tuple[Store, list[Document]], kind: str
    ) -> None:
        store, documents = generated
        for where in generate.filters_of_kind(kind, big_ints=BIG_INTS not in self.limits)[::4]:
            expected = sum(map(parse(where).matches, documents))
            assert store.count(where) == expected, where

    @pytest.mark.parametrize("sort", generate.sorts(), ids=lambda sort: " ".join(sort))
    def test_generated_documents_sort_as_the_reference_sorts(
        self, generated: tuple[Store, list[Document]], sort: list[str]
    ) -> None:
        store, documents = generated
        expected = finish(documents, get_id=lambda document: document.id, sort=parse_sort(sort))
        assert [document.id for document in store.find(sort=sort)] == [document.id for document in expected]

    @pytest.mark.parametrize("sort", generate.sorts()[::3], ids=lambda sort: " ".join(sort))
    def test_generated_windows_are_the_references(
        self, generated: tuple[Store, list[Document]], sort: list[str]
    ) -> None:
        store, documents = generated
        where = {"$or": [{"text": {"$gt": ""}}, {"number": {"$lt": 5}}]}
        matching = list(filter(parse(where).matches, documents))
        for skip, limit in ((0, 1), (0, 10), (7, 10), (len(matching) - 2, 10), (len(matching), 5), (3, None)):
            expected = finish(
                matching, get_id=lambda document: document.id, sort=parse_sort(sort), skip=skip, limit=limit
            )
            found = [document.id for document in store.find(where, sort=sort, skip=skip, limit=limit)]
            assert found == [document.id for document in expected], (skip, limit)

    @pytest.mark.parametrize("kind", generate.KINDS)
    def test_generated_filters_find_the_same_with_indexes(
        self, request: pytest.FixtureRequest, fresh_url: str, kind: str
    ) -> None:
        store, documents = self.loaded(request, fresh_url, "generated and indexed", self._documents)
        for field in ("any", "number", "text", "object.x"):
            store.ensure_index(field)
        for where in generate.filters_of_kind(kind, big_ints=BIG_INTS not in self.limits)[1::3]:
            expected = sorted(document.id for document in filter(parse(where).matches, documents))
            with self.within(TINY_FLOATS):
                assert sorted(document.id for document in store.find(where)) == expected, where


def _differences(documents: list[Document], found: list[str], expected: set[str]) -> dict[str, list[Document]]:
    """A few documents that were found and should not be, and the other way round."""
    return {
        "found wrongly": [document for document in documents if document.id in set(found) - expected][:2],
        "not found": [document for document in documents if document.id in expected - set(found)][:2],
    }
