"""Searches of a live MongoDB answer as the reference matcher does, and use its indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import divan
import pytest
from bson import Regex
from divan.query import finish, parse, parse_sort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .live import Raw

pytestmark = pytest.mark.live


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 2**31, 2**53 + 1, 2**63 - 1, 0.0, 1.0, 0.5, 1e308, -0.0]),
    st.sampled_from(["", "a", "b", "ab", "A", "é", "😀", "\uffff", "a\0b", "^", ".", "$", "\\d"]),
)
_names = st.sampled_from(["a", "b", "0"])
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=2)),
    max_leaves=4,
)
_documents = st.lists(st.dictionaries(st.sampled_from(["f", "g"]), _values, max_size=2), min_size=1, max_size=8)
_fields = st.sampled_from(["f", "g", "f.a", "f.b", "f.0", "f.a.b", "g.a"])
_conditions = st.one_of(
    st.builds(
        lambda op, value: {op: value},
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains"]),
        _values,
    ),
    st.builds(lambda value: {"$prefix": value}, _leaves.filter(lambda value: isinstance(value, str))),
    st.builds(lambda op, values: {op: values}, st.sampled_from(["$in", "$nin", "$all"]), st.lists(_values, max_size=3)),
    st.booleans().map(lambda there: {"$exists": there}),
    st.integers(0, 3).map(lambda size: {"$size": size}),
)
_filters = st.recursive(
    st.dictionaries(_fields, _conditions, max_size=2),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=3,
)
_sorts = st.lists(st.builds(lambda sign, field: sign + field, st.sampled_from(["", "-"]), _fields), max_size=2)


@settings(
    max_examples=settings.default.max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(_documents, st.lists(_filters, min_size=1, max_size=4), _sorts, st.integers(0, 3), st.integers(1, 4))
def test_find_answers_as_the_reference_matcher(
    store: divan.Store,
    raw: Raw,
    documents: list[dict[str, Any]],
    filters: list[dict[str, Any]],
    sort: list[str],
    skip: int,
    limit: int,
) -> None:
    raw.delete_many({})
    created = store.create_many((f"{number}", document) for number, document in enumerate(documents))
    for where in filters:
        query = parse(where)
        matching = [document for document in created if query.matches(document)]
        assert {document.id for document in store.find(where)} == {document.id for document in matching}
        assert store.count(where) == len(matching)
        expected = finish(matching, get_id=lambda document: document.id, sort=parse_sort(sort), limit=limit, skip=skip)
        found = list(store.find(where, sort=sort, limit=limit, skip=skip))
        if sort:
            assert [document.id for document in found] == [document.id for document in expected]
        else:
            assert len(found) == len(list(expected))


def test_a_deep_filter_is_left_to_the_matcher(store: divan.Store) -> None:
    store.create({"n": 1}, id="a")
    where: dict[str, Any] = {"n": 1}
    for _ in range(90):
        where = {"$not": where}
    assert [document.id for document in store.find(where)] == ["a"]


def test_a_projection_keeps_only_what_was_asked_for(store: divan.Store) -> None:
    store.create({"a": {"x": 1, "y": 2}, "b": [{"x": 1}], "c": 3, "d": {"x": 1}}, id="a")
    found = list(store.find({"c": 3, "d": {"x": 1}}, sort=["c", "d"], fields=["a.x", "b.x"]))
    assert found == [{"a": {"x": 1}}]
    assert found[0].rev == store["a"].rev


def test_an_index_serves_a_search_and_a_scan_can_be_refused(open_store: Callable[..., divan.Store]) -> None:
    store = open_store(allow_scans=False)
    store.create_many({"n": n, "m": n} for n in range(10))
    name = store.ensure_index("n")
    assert store.explain({"n": {"$gte": 5}}).index == name
    assert len(list(store.find({"n": {"$gte": 5}}, sort="n"))) == 5
    with pytest.raises(divan.InvalidQuery):
        list(store.find({"m": 5}))


def test_an_index_that_another_program_made_is_used(store: divan.Store, raw: Raw) -> None:
    raw.create_index([("n", 1), ("_id", 1)], name="theirs")
    assert store.ensure_index("n") == "theirs"


def test_explain_tells_what_the_matcher_finishes(store: divan.Store) -> None:
    explanation = store.explain({"n": {"$gt": 1}, "o": {"x": 1}}, sort="n")
    assert explanation.pushed == {"n": {"$gt": 1}}
    assert explanation.residual == {"o": {"$eq": {"x": 1}}}
    assert explanation.sorted_by_store


@pytest.mark.parametrize("op", ["$in", "$nin"])
def test_a_regex_in_a_list_is_refused_since_mongodb_would_search_for_it(store: divan.Store, op: str) -> None:
    with pytest.raises(divan.InvalidQuery, match=r"searches for a Regex.*give it by \$eq"):
        list(store.find({"a": {op: [Regex("a")]}}))
