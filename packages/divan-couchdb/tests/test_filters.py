"""What is asked of Mango: a selector that every match passes."""

from __future__ import annotations

from typing import Any

import pytest
from divan.query import parse
from divan_couchdb.filters import is_indexable, is_served, selector


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ({}, {}),
        ({"city": "London"}, {"city": {"$eq": "London"}}),
        ({"a.b": None}, {"a.b": {"$eq": None}}),
        ({"n": {"$gt": 3}}, {"n": {"$gte": 3}}),
        ({"n": {"$gt": 3, "$lt": 9.5}}, {"n": {"$gte": 3, "$lte": 9.5}}),
        ({"n": {"$gte": 3, "$eq": 4}}, {"n": {"$eq": 4}}),
        ({"n": {"$eq": 4, "$gte": 3}}, {"n": {"$eq": 4}}),
        ({"city": {"$gte": "London"}}, {"city": {"$exists": True}}),
        ({"tags": ["a"]}, {"tags": {"$exists": True}}),
        ({"address": {"city": "London"}}, {"address": {"$exists": True}}),
        ({"n": {"$in": [1, "a", True]}}, {"n": {"$in": [1, "a", True]}}),
        ({"n": {"$in": [1, None]}}, {"n": {"$exists": True}}),
        ({"n": {"$in": []}}, {"n": {"$exists": True}}),
        ({"tags": {"$all": ["a", True]}}, {"tags": {"$all": ["a", True]}}),
        ({"tags": {"$all": ["a", None]}}, {"tags": {"$exists": True}}),
        ({"tags": {"$all": [1]}}, {"tags": {"$exists": True}}),
        ({"tags": {"$all": []}}, {"tags": {"$exists": True}}),
        ({"tags": {"$size": 2}}, {"tags": {"$size": 2}}),
        ({"tags": {"$contains": "a"}}, {"tags": {"$exists": True}}),
        ({"n": {"$exists": True}}, {"n": {"$exists": True}}),
        ({"$and": [{"n": 1}, {"m": 2}]}, {"n": {"$eq": 1}, "m": {"$eq": 2}}),
        ({"$or": [{"n": 1}, {"m": {"$lt": 2}}]}, {"$or": [{"n": {"$eq": 1}}, {"m": {"$lte": 2}}]}),
    ],
)
def test_what_narrows_a_query_down_is_asked(where: dict[str, Any], asked: dict[str, Any]) -> None:
    assert selector(parse(where).tree) == asked


@pytest.mark.parametrize(
    "where",
    [
        {"n": {"$ne": 1}},
        {"n": {"$nin": [1]}},
        {"n": {"$exists": False}},
        {"$not": {"n": 1}},
        {"n": {"$not": {"$gt": 1}}},
        {"$or": [{"n": 1}, {"m": {"$ne": 2}}]},
        {"a.0": 1},
        {"a\\b": 1},
        {"a b": 1},
        {"a.__proto__": 1},
        {"größe": 1},
    ],
)
def test_what_mango_reads_otherwise_is_not_asked(where: dict[str, Any]) -> None:
    assert selector(parse(where).tree) == {}


def test_the_rest_of_a_filter_does_not_keep_a_part_from_being_asked() -> None:
    where = {"n": 1, "m": {"$ne": 2}, "$not": {"k": 3}, "$or": [{"i": 1}, {"i": {"$ne": 1}}]}
    assert selector(parse(where).tree) == {"n": {"$eq": 1}}


def test_one_choice_is_asked_at_most() -> None:
    where = {"$and": [{"$or": [{"n": 1}, {"n": 2}]}, {"$or": [{"m": 1}, {"m": 2}]}]}
    assert selector(parse(where).tree) == {"$or": [{"n": {"$eq": 1}}, {"n": {"$eq": 2}}]}


@pytest.mark.parametrize(
    ("field", "answer"), [("a", True), ("a.b-c_1", True), ("a.0", False), ("a\\.b", False), ("", False)]
)
def test_an_index_is_made_on_what_is_asked(field: str, answer: bool) -> None:
    assert is_indexable(field) is answer


@pytest.mark.parametrize(
    ("where", "fields", "answer"),
    [
        ({"n": 1}, ["n"], True),
        ({"n": {"$lt": 1}, "m": 2}, ["m", "n"], True),
        ({"n": 1}, ["n", "m"], False),
        ({"tags": {"$size": 1}}, ["tags"], False),
        ({"n": "a", "m": {"$gt": "b"}}, ["m"], False),
        ({"$or": [{"n": 1}, {"n": 2}]}, ["n"], False),
    ],
)
def test_an_index_serves_conditions_on_all_its_fields(where: dict[str, Any], fields: list[str], answer: bool) -> None:
    assert is_served(selector(parse(where).tree), fields) is answer
