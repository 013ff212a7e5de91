"""What `divan.backends.support` works out of a filter for drivers: ids, their bounds, and the range of a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from divan import Document, StoreError
from divan.backends.support import id_bounds, ids_asked_for, names_to_fetch, prefix_end, readable
from divan.query import parse
from hypothesis import given
from hypothesis import strategies as st

LAST = "\U0010ffff"

texts = st.text(st.sampled_from("ab\ud7ff\ue000\uffff😀" + LAST), max_size=4)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("a", "b"), ("ab", "ac"), ("\ud7ff", "\ue000"), (f"a{LAST}", "b"), (LAST, None), (LAST * 2, None), ("", None)],
)
def test_a_prefix_ends_at_the_first_string_behind_its_range(prefix: str, end: str | None) -> None:
    assert prefix_end(prefix) == end


@given(prefix=texts, text=texts)
def test_a_prefix_is_a_range(prefix: str, text: str) -> None:
    end = prefix_end(prefix)
    assert text.startswith(prefix) == (prefix <= text and (end is None or text < end))


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"_id": "a"}, ["a"]),
        ({"_id": {"$in": ["b", "a", "b", 1, None]}, "n": 1}, ["b", "a"]),
        ({"_id": 5}, []),
        ({"_id": {"$gt": "a"}}, None),
        ({"$or": [{"_id": "a"}, {"n": 1}]}, None),
        ({"n": "a"}, None),
        ({}, None),
    ],
)
def test_a_filter_may_say_which_ids_it_asks_for(where: dict[str, Any], ids: list[str] | None) -> None:
    assert ids_asked_for(parse(where).tree) == ids


@pytest.mark.parametrize(
    ("where", "bounds"),
    [
        ({"_id": {"$gt": "a", "$lte": "c"}}, ("a", "c")),
        ({"_id": {"$gte": "a"}, "$and": [{"_id": {"$gte": "b"}}]}, ("b", None)),
        ({"_id": {"$prefix": "a/"}}, ("a/", "a0")),
        ({"_id": {"$prefix": "a", "$lt": "ab"}}, ("a", "ab")),
        ({"_id": "x"}, ("x", "x")),
        ({"$not": {"_id": {"$gt": "a"}}}, (None, None)),
        ({"n": {"$gt": "a"}}, (None, None)),
    ],
)
def test_a_filter_may_bound_the_ids(where: dict[str, Any], bounds: tuple[str | None, str | None]) -> None:
    assert id_bounds(parse(where).tree) == bounds


@given(
    where=st.recursive(
        st.dictionaries(
            st.just("_id"),
            st.dictionaries(
                st.sampled_from(["$eq", "$gt", "$gte", "$lt", "$lte", "$ne", "$prefix"]), texts, min_size=1
            ),
        ),
        lambda inner: (
            st.builds(lambda one, other: {"$and": [one, other]}, inner, inner)
            | st.builds(lambda one: {"$not": one}, inner)
        ),
        max_leaves=3,
    ),
    text=texts.filter(bool),
)
def test_no_match_lies_outside_the_bounds(where: dict[str, Any], text: str) -> None:
    query = parse(where)
    first, last = id_bounds(query.tree)
    if query.matches({"_id": text}):
        assert first is None or first <= text
        assert last is None or text <= last


def test_the_id_is_no_field_to_fetch() -> None:
    assert names_to_fetch(parse({"_id": "a", "n.x": 1}).tree, (), ["m"]) == ["m", "n"]


def test_what_was_found_is_closed_when_a_document_can_not_be_read() -> None:
    closed = []

    def found() -> Iterator[Document | StoreError]:
        try:
            yield Document({}, "a")
            yield StoreError("b can't be read")
        finally:
            closed.append(True)

    with pytest.raises(StoreError) as caught:
        list(readable(found()))
    assert closed == [True], caught.value
