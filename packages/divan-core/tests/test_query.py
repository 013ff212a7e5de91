"""The query language: what every filter, sort and projection means, pinned case by case, and how one is read."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections import UserDict
from typing import Any

import pytest
from divan import Document, InvalidQuery
from divan.query import (
    COMPARISONS,
    ID_PATH,
    MISSING,
    document_order,
    finish,
    parse,
    parse_bound,
    parse_fields,
    parse_sort,
    project,
    rank,
    resolve,
    same,
    sort_key,
)
from hypothesis import given
from hypothesis import strategies as st

# The reference matcher: the specification, as one table.
#
# Each row is an operator and its operand; after it, the values of the field that match and those that do not. MISSING
# is a document without the field.

BIG = 2**53
HUGE = 10**6000  # more digits than Python prints

EQUALITY: list[tuple[Any, list[Any], list[Any]]] = [
    ({"$eq": 1}, [1, 1.0], [MISSING, None, True, False, 0, 2, "1", [1], {"a": 1}, []]),
    ({"$eq": 1.5}, [1.5], [1, 2, "1.5", [1.5]]),
    ({"$eq": 0}, [0, 0.0, -0.0], [MISSING, None, False, "", "0", [], {}]),
    ({"$eq": BIG + 1}, [BIG + 1], [BIG, BIG + 2, float(BIG)]),
    ({"$eq": float(BIG)}, [BIG, float(BIG)], [BIG + 1, BIG - 1]),
    ({"$eq": True}, [True], [MISSING, 1, 1.0, False, "true", None, [True]]),
    ({"$eq": False}, [False], [MISSING, 0, 0.0, True, "", None, [], {}]),
    ({"$eq": None}, [None], [MISSING, 0, False, "", [], {}, [None]]),
    ({"$eq": "a"}, ["a"], [MISSING, "A", "ab", "", ["a"], {"a": "a"}, None]),
    ({"$eq": ""}, [""], [MISSING, " ", None, 0, False, [], {}]),
    ({"$eq": "é"}, ["\u00e9"], ["e\u0301", "e"]),  # composed and decomposed are different texts
    ({"$eq": "a\0b"}, ["a\0b"], ["a", "ab", "a\0c"]),
    ({"$eq": [1, "a"]}, [[1, "a"], [1.0, "a"]], [MISSING, ["a", 1], [1], [1, "a", 2], [[1, "a"]], [True, "a"], "a", 1]),
    ({"$eq": []}, [[]], [MISSING, None, [[]], [None], {}, "", False]),
    ({"$eq": {"a": 1, "b": [2]}}, [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}], [{"a": 1}, {"a": 1, "b": [2], "c": 3}, {"a": True, "b": [2]}, []]),
    ({"$eq": {}}, [{}], [MISSING, None, [], {"a": 1}, ""]),
    ({"$ne": 1}, [MISSING, None, True, "1", [1], 2], [1, 1.0]),
    ({"$ne": None}, [MISSING, 0, False, "", [], {}], [None]),
    ({"$ne": [1]}, [MISSING, 1, [], [1, 1], [True]], [[1], [1.0]]),
]  # fmt: skip

ORDER: list[tuple[Any, list[Any], list[Any]]] = [
    ({"$gt": 1}, [2, 1.1, BIG], [MISSING, None, 1, 1.0, 0, True, "2", [2], {"a": 2}]),
    ({"$gte": 1}, [1, 1.0, 2], [MISSING, None, 0.9, True, "1", [1]]),
    ({"$lt": 1}, [0, 0.9, -5], [MISSING, None, 1, 1.0, False, "", "0", [], {}]),
    ({"$lte": 1}, [1, 1.0, -5], [MISSING, None, 1.1, True, False, "", []]),
    ({"$gt": float(BIG)}, [BIG + 1], [BIG, float(BIG)]),
    ({"$gt": "b"}, ["c", "ba", "é", "\U0001f600"], [MISSING, None, "b", "a", "B", "", 5, ["c"]]),
    ({"$lt": "b"}, ["a", "B", "", "1"], ["b", "ba", None, MISSING, 0, False, []]),
    ({"$gt": "\uffff"}, ["\U0001f600"], ["\uffff", "\ud7ff"]),  # by code point, not by UTF-16 unit
    ({"$gte": ""}, ["", "a"], [MISSING, None, 0, [], {}]),
    ({"$gt": False}, [True], [False, 1, None, MISSING, "a"]),
    ({"$lte": False}, [False], [True, 0, None, MISSING, "", []]),
    ({"$gte": None}, [None], [MISSING, 0, False, ""]),
    ({"$gt": None}, [], [None, MISSING, 0, False, "", [], {}]),
    ({"$lt": []}, [], [[], MISSING, None, "", 0]),
    ({"$gt": []}, [[None], [1], [[]]], [[], MISSING, None, "a", 5, {"a": 1}]),
    ({"$gt": [1, 2]}, [[1, 3], [2], [1, 2, 0], [1, "a"], ["a"]], [[1, 2], [1], [0, 9], [True], [1, True], 5]),
    ({"$lte": [1, 2]}, [[1, 2], [1, 2.0], [1], [], [None], [False, 9]], [[1, 2, 0], [2], MISSING, None]),
    ({"$gt": {"a": 1}}, [{"a": 2}, {"b": 0}, {"a": 1, "b": 0}, {"a": "x"}], [{"a": 1}, {"a": 1.0}, {}, {"a": 0, "b": 9}, [], 5]),
    ({"$lt": {"b": 1}}, [{}, {"a": 9}, {"b": 0}, {"b": None}], [{"b": 1}, {"c": 0}, {"b": 2}, []]),
]  # fmt: skip

MEMBERSHIP: list[tuple[Any, list[Any], list[Any]]] = [
    ({"$in": [1, "a"]}, [1, 1.0, "a"], [MISSING, None, True, "1", [1], ["a"], [1, "a"]]),
    ({"$in": [True]}, [True], [1, 1.0, "true", MISSING]),
    ({"$in": [0]}, [0, 0.0, -0.0], [False, None, "", MISSING]),
    ({"$in": [float(BIG)]}, [BIG], [BIG + 1]),
    ({"$in": [None]}, [None], [MISSING, 0, False, []]),
    ({"$in": [[1], {"a": 1}]}, [[1], [1.0], {"a": 1.0}], [1, [], [[1]], {"a": True}, MISSING]),
    ({"$in": []}, [], [MISSING, None, 0, "", []]),
    ({"$nin": [1, "a"]}, [MISSING, None, True, [1], 2], [1, 1.0, "a"]),
    ({"$nin": [None]}, [MISSING, 0, False], [None]),
    ({"$nin": []}, [MISSING, None, 0, "", []], []),
    ({"$contains": "a"}, ["a", "cab", ["a"], ["b", "a"]], [MISSING, None, "", "A", ["ab"], [["a"]], {"a": 1}, 5]),
    ({"$contains": ""}, ["", "a", [""]], [MISSING, None, [], ["a"], {}]),
    ({"$contains": 1}, [[1], [2, 1.0]], [MISSING, 1, "1", [True], [[1]], ["1"], []]),
    ({"$contains": None}, [[None]], [MISSING, None, [], "None", [0]]),
    ({"$contains": [1]}, [[[1]], [[1.0], 2]], [[1], MISSING, []]),
    ({"$contains": {"a": 1}}, [[{"a": 1}], [{"a": 1.0}]], [{"a": 1}, [{"a": 1, "b": 2}], []]),
    ({"$prefix": "a"}, ["a", "ab"], [MISSING, None, "", "A", "ba", ["a"], {"a": 1}, 5, True]),
    ({"$prefix": ""}, ["", "a"], [MISSING, None, [], [""], {}, 0]),
    ({"$all": [1, "a"]}, [[1, "a"], ["a", 2, 1.0]], [MISSING, [1], ["a"], 1, "a", [True, "a"], [[1, "a"]], []]),
    ({"$all": []}, [[], [1]], [MISSING, None, "", {}]),
    ({"$all": [[1]]}, [[[1]], [[1.0], 2]], [[1], 1, []]),
    ({"$all": [1, 1]}, [[1]], [[2]]),
    ({"$size": 0}, [[]], [MISSING, None, "", {}, [1], 0]),
    ({"$size": 2}, [[1, 2], [[], None]], [[1], "ab", {"a": 1, "b": 2}, 2, MISSING]),
    ({"$exists": True}, [None, 0, False, "", [], {}], [MISSING]),
    ({"$exists": False}, [MISSING], [None, 0, False, "", [], {}]),
]  # fmt: skip

COMBINED: list[tuple[Any, list[Any], list[Any]]] = [
    (1, [1, 1.0], [True, [1], MISSING]),
    ([1], [[1]], [1, [1, 2]]),
    ({"a": 1}, [{"a": 1}], [{"a": 1, "b": 2}, MISSING]),
    ({}, [{}], [{"a": 1}, MISSING]),
    (None, [None], [MISSING, 0]),
    ({"$gte": 1, "$lt": 3}, [1, 2.9], [0, 3, "2", MISSING, [2]]),
    ({"$gt": 1, "$exists": False}, [], [MISSING, 2, None]),
    ({"$ne": 1, "$exists": True}, [None, 2, "1"], [1, MISSING]),
    ({"$not": {"$gt": 1}}, [MISSING, None, 1, 0, "2", [2], True], [2, 1.5]),
    ({"$not": {"$gt": 1, "$lt": 5}}, [MISSING, 1, 5, "3"], [2, 4.9]),
    ({"$not": {"$exists": True}}, [MISSING], [None, 0]),
    ({"$not": {"$not": {"$eq": 1}}}, [1, 1.0], [MISSING, 2, True]),
    ({"$not": {"$ne": 1}}, [1], [MISSING, 2]),
    ({"$not": {"$in": [1]}}, [MISSING, 2], [1]),
]  # fmt: skip


def _cases(*tables: list[tuple[Any, list[Any], list[Any]]]) -> list[Any]:
    return [
        pytest.param(condition, value, expected, id=f"{condition!a} {value!a} {'yes' if expected else 'no'}")
        for condition, matching, others in itertools.chain(*tables)
        for values, expected in ((matching, True), (others, False))
        for value in values
    ]


@pytest.mark.parametrize(("condition", "value", "expected"), _cases(EQUALITY, ORDER, MEMBERSHIP, COMBINED))
def test_a_condition_matches_these_values_and_no_others(condition: Any, value: Any, expected: bool) -> None:
    document: dict[str, Any] = {} if value is MISSING else {"field": value}

    assert parse({"field": condition}).matches(document) is expected


@pytest.mark.parametrize(("condition", "value", "expected"), _cases(EQUALITY, ORDER, MEMBERSHIP))
def test_a_condition_on_a_nested_field_means_the_same(condition: Any, value: Any, expected: bool) -> None:
    document: dict[str, Any] = {"outer": {"inner": {} if value is MISSING else {"field": value}}}

    assert parse({"outer.inner.field": condition}).matches(document) is expected


PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"name": "Ada", "age": 36, "tags": ["maths"], "home": {"city": "London", "geo": {"lat": 51.5}}},
    "bob": {"name": "Bob", "age": 17, "tags": [], "home": None},
    "cyd": {"name": "Cyd", "tags": ["maths", "dance"], "home": [{"city": "Paris"}]},
}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, "ada bob cyd"),
        ({}, "ada bob cyd"),
        ({"home.city": "London"}, "ada"),
        ({"home.city": {"$exists": False}}, "bob cyd"),  # a path leads through objects, not through lists
        ({"home.0.city": "Paris"}, ""),
        ({"home.geo.lat": {"$gt": 50}}, "ada"),
        ({"home.geo.lat.deeper": {"$exists": False}}, "ada bob cyd"),
        ({"tags": "maths"}, ""),  # equality compares whole values
        ({"tags": ["maths"]}, "ada"),
        ({"name": "Ada", "age": 36}, "ada"),
        ({"name": "Ada", "age": 17}, ""),
        ({"$and": [{"name": "Ada"}, {"age": 36}]}, "ada"),
        ({"$and": [{}]}, "ada bob cyd"),
        ({"$or": [{"name": "Ada"}, {"age": 17}]}, "ada bob"),
        ({"$or": [{"name": "Ada"}, {}]}, "ada bob cyd"),
        ({"$or": [{"name": "Nobody"}]}, ""),
        ({"$or": [{"name": "Bob", "age": 17}, {"name": "Cyd", "age": 17}]}, "bob"),
        ({"$or": [{"name": "Ada"}, {"name": "Bob"}], "age": {"$gte": 18}}, "ada"),
        ({"$not": {"name": "Ada"}}, "bob cyd"),
        ({"$not": {"name": "Ada", "age": 17}}, "ada bob cyd"),
        ({"$not": {}}, ""),
        ({"$not": {"$or": [{"name": "Ada"}, {"age": {"$lt": 18}}]}}, "cyd"),
        ({"age": {"$not": {"$gte": 18}}}, "bob cyd"),
        ({"age": {"$lt": 18}}, "bob"),
        ({"age": {"$ne": 17}}, "ada cyd"),
        ({"age": {"$nin": [17, 36]}}, "cyd"),
    ],
)
def test_a_filter_finds_these_documents(where: Any, expected: str) -> None:
    query = parse(where)

    assert " ".join(name for name, person in PEOPLE.items() if query.matches(person)) == expected


def test_a_number_class_of_a_client_counts_as_a_number() -> None:
    class Int64(int):
        pass

    document = {"n": Int64(5)}

    for condition in ({"$gt": 4}, {"$lte": 5}, 5, 5.0, {"$in": [5]}, {"$nin": [4]}):
        assert parse({"n": condition}).matches(document)
    assert sort_key(Int64(5)) == sort_key(5)


def test_an_order_comparison_with_a_stores_own_type_matches_that_type_alone() -> None:
    class First(str):
        pass

    class Second(str):
        pass

    query = parse({"x": {"$gte": First("a")}}, native=(First, Second))

    assert query.matches({"x": First("b")})
    assert not query.matches({"x": Second("b")})
    assert not query.matches({"x": "b"})


# Laws


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0])
    | st.sampled_from(["", "a", "b", "ab"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner), max_leaves=4
)
FIELDS = st.sampled_from(["a", "b", "a.b", "b.a.b"])
DOCUMENTS = st.dictionaries(st.sampled_from("ab"), VALUES)


def _condition(op: str) -> st.SearchStrategy[Any]:
    if op == "$exists":
        return st.booleans()
    if op == "$size":
        return st.integers(0, 3)
    if op in ("$in", "$nin", "$all"):
        return st.lists(VALUES, max_size=3)
    if op == "$prefix":
        return st.sampled_from(["", "a", "ab", "b"])
    return VALUES


CONDITIONS = st.sampled_from(COMPARISONS).flatmap(lambda op: st.fixed_dictionaries({op: _condition(op)}))
FILTERS = st.recursive(
    st.dictionaries(FIELDS, CONDITIONS | VALUES, max_size=2),
    lambda inner: (
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$not": inner})
        | st.builds(lambda field, inside: {field: {"$not": inside}}, FIELDS, CONDITIONS)
        | st.builds(lambda one, other: {**one, **other}, inner, inner)
    ),
    max_leaves=5,
)


def matches(where: Any, document: Any) -> bool:
    return parse(where).matches(document)


@given(FILTERS, DOCUMENTS)
def test_not_is_negation(where: Any, document: Any) -> None:
    assert matches({"$not": where}, document) is not matches(where, document)


@given(FIELDS, CONDITIONS, DOCUMENTS)
def test_not_inside_a_field_is_negation_too(field: str, condition: Any, document: Any) -> None:
    assert matches({field: {"$not": condition}}, document) is not matches({field: condition}, document)


@given(FILTERS, FILTERS, DOCUMENTS)
def test_and_is_conjunction(one: Any, other: Any, document: Any) -> None:
    assert matches({"$and": [one, other]}, document) is (matches(one, document) and matches(other, document))


@given(FILTERS, FILTERS, DOCUMENTS)
def test_or_is_disjunction(one: Any, other: Any, document: Any) -> None:
    assert matches({"$or": [one, other]}, document) is (matches(one, document) or matches(other, document))


@given(FILTERS, FILTERS, DOCUMENTS)
def test_de_morgans_law_holds(one: Any, other: Any, document: Any) -> None:
    assert matches({"$not": {"$or": [one, other]}}, document) is matches(
        {"$and": [{"$not": one}, {"$not": other}]}, document
    )


@given(FIELDS, VALUES, DOCUMENTS)
def test_ne_and_nin_negate_eq_and_in(field: str, value: Any, document: Any) -> None:
    assert matches({field: {"$ne": value}}, document) is not matches({field: value}, document)
    assert matches({field: {"$nin": [value]}}, document) is not matches({field: {"$in": [value]}}, document)


@given(FIELDS, st.lists(VALUES, max_size=4), DOCUMENTS)
def test_in_is_a_disjunction_of_equalities(field: str, values: list[Any], document: Any) -> None:
    assert matches({field: {"$in": values}}, document) is any(matches({field: {"$eq": v}}, document) for v in values)


@given(FIELDS, VALUES, DOCUMENTS)
def test_gte_is_gt_or_eq(field: str, value: Any, document: Any) -> None:
    assert matches({field: {"$gte": value}}, document) is (
        matches({field: {"$gt": value}}, document) or matches({field: {"$eq": value}}, document)
    )


@given(FILTERS, DOCUMENTS)
def test_matching_changes_neither_filter_nor_document(where: Any, document: Any) -> None:
    before = copy.deepcopy((where, document))

    matches(where, document)

    assert (where, document) == before


# Normal form


@given(FILTERS)
def test_the_normal_form_reads_back_as_the_same_tree(where: Any) -> None:
    query = parse(where)

    assert repr(parse(dict(query)).tree) == repr(query.tree)


@given(FILTERS)
def test_the_normal_form_spells_every_comparison_with_its_operator(where: Any) -> None:
    def check(part: Any) -> None:
        for key, value in part.items():
            if key == "$not":
                check(value)
            elif key in ("$and", "$or"):
                for item in value:
                    check(item)
            else:
                (op,) = value
                assert op in COMPARISONS

    check(parse(where))


@pytest.mark.parametrize(
    ("where", "normal"),
    [
        ({"a": 1}, {"a": {"$eq": 1}}),
        ({"a": {"b": 1}}, {"a": {"$eq": {"b": 1}}}),
        ({"a": {}}, {"a": {"$eq": {}}}),
        ({"a": {"$gt": 1, "$lt": 5}}, {"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 5}}]}),
        ({"a": 1, "b": 2}, {"a": {"$eq": 1}, "b": {"$eq": 2}}),
        ({"$and": [{"a": 1}, {"$and": [{"b": 2}]}]}, {"a": {"$eq": 1}, "b": {"$eq": 2}}),
        ({"$and": [{"a": 1}, {"a": 2}]}, {"$and": [{"a": {"$eq": 1}}, {"a": {"$eq": 2}}]}),
        ({"a": {"$not": {"$gt": 1}}}, {"$not": {"a": {"$gt": 1}}}),
        ({"$or": [{"a": 1, "b": 2}, {}]}, {"$or": [{"a": {"$eq": 1}, "b": {"$eq": 2}}, {}]}),
        ({"a": {"$in": (1, 2)}}, {"a": {"$in": [1, 2]}}),
        ({"$and": ({"a": 1},)}, {"a": {"$eq": 1}}),
        (UserDict(a=UserDict({"$gt": 1})), {"a": {"$gt": 1}}),
        ({}, {}),
        (None, {}),
    ],
)
def test_a_filter_has_this_normal_form(where: Any, normal: dict[str, Any]) -> None:
    assert parse(where) == normal


def test_a_set_is_a_list_of_values() -> None:
    assert parse({"a": {"$in": {7}, "$nin": frozenset({8})}}) == {"$and": [{"a": {"$in": [7]}}, {"a": {"$nin": [8]}}]}


def test_a_query_is_read_once() -> None:
    query = parse({"a": 1})

    assert parse(query) is query


def test_changing_a_filter_after_it_was_read_changes_nothing() -> None:
    wanted: list[Any] = [1, [2]]
    query = parse({"a": wanted})

    wanted[1].append(3)

    assert query == {"a": {"$eq": [1, [2]]}}
    assert query.matches({"a": [1, [2]]})


def test_changing_one_query_for_everything_changes_no_other() -> None:
    parse(None)["a"] = 1

    assert parse({}) == {}
    assert parse(None) == {}


def test_values_are_stored_form_before_they_are_checked() -> None:
    seen = []

    def encode(field: str, op: str, value: Any) -> Any:
        seen.append((field, op, value))
        return f"<{value}>"

    where = {"a": 1, "b.c": {"$in": [2, 3]}, "d": {"$gt": 4}, "e": {"$exists": True}, "f": {"$size": 5}}

    assert parse(where, encode) == {
        "a": {"$eq": "<1>"},
        "b.c": {"$in": ["<2>", "<3>"]},
        "d": {"$gt": "<4>"},
        "e": {"$exists": True},
        "f": {"$size": 5},
    }
    assert seen == [("a", "$eq", 1), ("b.c", "$in", 2), ("b.c", "$in", 3), ("d", "$gt", 4)]


# What can't be read


def nested_filter(levels: int, op: str) -> Any:
    where: Any = {"a": 1}
    for _ in range(levels):
        where = {"$not": where} if op == "$not" else {op: [where]}
    return where


ALL_OPERATORS = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $all, $size, $contains, $prefix, $and, $or, $not"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ([], "a filter is a mapping of fields to values, not list"),
        ("a", "a filter is a mapping of fields to values, not str"),
        (0, "a filter is a mapping of fields to values, not int"),
        ({1: 2}, "a filter's keys are field names and operators, not 1"),
        ({"$and": []}, "$and takes a list of at least one filter"),
        ({"$or": {}}, "$or takes a list of at least one filter"),
        ({"$or": [1]}, "a filter is a mapping of fields to values, not int"),
        ({"$not": [{"a": 1}]}, "a filter is a mapping of fields to values, not list"),
        ({"$gt": 5}, "$gt compares a field: write {'field': {'$gt': …}}"),
        ({"$foo": 5}, f"unknown operator $foo; the operators are {ALL_OPERATORS}"),
        ({"a": {"$foo": 5}}, f"a: unknown operator $foo; the operators are {ALL_OPERATORS}"),
        ({"a": {"$gte ": 5}}, f"a: unknown operator $gte  (did you mean $gte?); the operators are {ALL_OPERATORS}"),
        ({"$": 5}, f"unknown operator $; the operators are {ALL_OPERATORS}"),
        ({"a": {"$or": [1, 2]}}, "a: $or combines whole filters: write {'$or': [{'a': …}, …]}"),
        ({"a": {"$and": [{"$gt": 1}]}}, "a: $and combines whole filters: write {'$and': [{'a': …}, …]}"),
        ({"a": {"$gt": 1, "b": 2}}, "a: operators and plain keys are mixed: 'b' beside an operator"),
        ({"a": {"b": 2, "$gt": 1}}, "a: operators and plain keys are mixed: 'b' beside an operator"),
        ({"a": {"$gt": 1, 2: 2}}, "a: operators and plain keys are mixed: 2 beside an operator"),
        ({"a": {"$exists": 1}}, "a: $exists takes true or false, not 1"),
        ({"a": {"$exists": None}}, "a: $exists takes true or false, not None"),
        ({"a": {"$size": -1}}, "a: $size takes a whole number from 0 to 2**63-1, not -1"),
        ({"a": {"$size": 1.0}}, "a: $size takes a whole number from 0 to 2**63-1, not 1.0"),
        ({"a": {"$size": True}}, "a: $size takes a whole number from 0 to 2**63-1, not True"),
        ({"a": {"$size": 2**63}}, "a: $size takes a whole number from 0 to 2**63-1, not 9223372036854775808"),
        ({"a": {"$in": "abc"}}, "a: $in takes a list of values, not str"),
        ({"a": {"$in": {"b": 1}}}, "a: $in takes a list of values, not dict"),
        ({"a": {"$nin": None}}, "a: $nin takes a list of values, not NoneType"),
        ({"a": {"$all": 1}}, "a: $all takes a list of values, not int"),
        ({"a": {"$not": 5}}, "a: $not takes operators, as in {'$not': {'$gt': 5}}"),
        ({"a": {"$not": {}}}, "a: $not takes operators, as in {'$not': {'$gt': 5}}"),
        ({"": 1}, "'' is no field to ask for: a field name is empty, which no dotted path can address"),
        ({"a..b": 1}, "'a..b' is no field to ask for: a..b: a field name is empty, which no dotted path can address"),
        ({"_x": 1}, "'_x' is no field to ask for: the field name '_x' begins with '_', which stores keep for metadata"),
        ({"_id.x": 1}, "'_id.x' is no field to ask for: the field name '_id' begins with '_', which stores keep for metadata"),
        ({"a": {"$prefix": 1}}, "a: $prefix takes the beginning of a string, not 1"),
        ({"a": math.nan}, "$eq: a: NaN is not storable"),
        ({"a": {"$gt": 2**63}}, "$gt: a: an integer of 65 bits does not fit into 64; store it as a string"),
        ({"a": {"$in": [1, "\ud800"]}}, "$in: a: the character 0 of the string is a lone surrogate, which is not Unicode"),
        ({"a": {"$eq": {"$b": 1}}}, "$eq: a: the field name '$b' begins with '$', which queries keep for operators"),
        ({"a": (1, 2)}, "$eq: a: a tuple would come back as a list; store a list"),
        (nested_filter(150, "$not"), "the filter is nested deeper than 100 levels"),
        (nested_filter(150, "$or"), "the filter is nested deeper than 100 levels"),
        (nested_filter(100_000, "$and"), "the filter is nested deeper than 100 levels"),
        ({"a": nested_filter(150, "$not")}, "the filter is nested deeper than 100 levels"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_refused_naming_it(where: Any, message: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse(where)

    assert str(caught.value) == message


def test_a_number_too_long_to_print_is_refused_like_any_other() -> None:
    filters: list[Any] = [{HUGE: 1}, {"a": {"$size": HUGE}}, {"a": {"$exists": HUGE}}, {"a": {"$gt": 1, HUGE: 1}}]
    for where in filters:
        with pytest.raises(InvalidQuery, match="<int>"):
            parse(where)


@pytest.mark.parametrize("op", ["$where", "$function", "$expr", "$accumulator", "$jsonSchema", "$text"])
def test_an_operator_that_runs_code_is_refused_wherever_it_stands(op: str) -> None:
    filters: list[Any] = [{op: "true"}, {"a": {op: "x"}}, {"$and": [{op: 1}]}, {"a": {"$not": {op: 1}}}]
    for where in filters:
        with pytest.raises(InvalidQuery, match=rf"^(a: )?\{op} is never passed through to a store; use \$eq, \$ne"):
            parse(where)


@pytest.mark.parametrize(
    ("op", "instead"),
    [
        ("$nor", "{'$not': {'$or':"),
        ("$elemMatch", "'$contains'"),
        ("$allMatch", "a field of its own"),
        ("$type", "None"),
        ("$mod", "a field of its own"),
        ("$regex", "'$prefix'"),
        ("$options", "lower case"),
        ("$beginsWith", "'$prefix'"),
        ("$keyMapMatch", "'$exists'"),
    ],
)
def test_an_operator_of_other_stores_is_refused_saying_what_to_write_instead(op: str, instead: str) -> None:
    for where in ({op: 1}, {"a": {op: 1}}, {"a": {"$not": {op: 1}}}, {"$or": [{"a": {op: [{"b": 1}]}}]}):
        with pytest.raises(InvalidQuery) as caught:
            parse(where)
        assert f"{op} is not among the operators that every store shares" in str(caught.value)
        assert instead in str(caught.value)


def test_a_filter_that_holds_itself_is_refused() -> None:
    where: dict[str, Any] = {}
    where["$or"] = [where]

    with pytest.raises(InvalidQuery, match="nested deeper"):
        parse(where)


def test_the_deepest_filter_that_is_read_also_matches() -> None:
    assert parse(nested_filter(98, "$not")).matches({"a": 1})
    assert parse(nested_filter(98, "$or")).matches({"a": 1})


# Sort keys, projections, limits


def test_a_sort_is_a_field_a_minus_and_a_field_or_several() -> None:
    assert parse_sort(None) == ()
    assert parse_sort("a.b") == (("a.b", False, ("a", "b")),)
    assert parse_sort("-a") == (("a", True, ("a",)),)
    assert parse_sort(["-a", "b"]) == parse_sort(iter(["-a", "b"])) == (("a", True, ("a",)), ("b", False, ("b",)))
    assert parse_sort([]) == ()


@pytest.mark.parametrize(
    ("sort", "message"),
    [
        (5, "sort takes 'field', '-field' or a list of them, not 5"),
        ([("a", -1)], "a sort key is 'field' or '-field', not ('a', -1)"),
        ("", "'' is no sort key: a field name is empty, which no dotted path can address"),
        ("-", "'-' is no sort key: a field name is empty, which no dotted path can address"),
        (["a", "-_x"], "'-_x' is no sort key: the field name '_x' begins with '_', which stores keep for metadata"),
    ],
)
def test_what_can_be_no_sort_is_refused(sort: Any, message: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_sort(sort)

    assert str(caught.value) == message


def test_a_projection_is_a_list_of_paths() -> None:
    assert parse_fields(None) is None
    assert parse_fields([]) == ()
    assert parse_fields(iter(["a", "b.c"])) == ("a", "b.c")
    assert parse_fields(["_id", "a"]) == ("a",)  # the id always comes along


def test_a_sort_is_by_id_too() -> None:
    (key,) = parse_sort("-_id")
    assert (key.path, key.descending) == (ID_PATH, True)


@pytest.mark.parametrize("document", [Document({"n": 1}, "b/1"), {"n": 1, "_id": "b/1"}], ids=["a Document", "a dict"])
def test_the_id_is_a_field_of_every_document(document: dict[str, Any]) -> None:
    for where in ("b/1", {"$prefix": "b/"}, {"$gt": "b"}, {"$in": ["b/1", 5]}, {"$exists": True}, {"$ne": "b"}):
        assert parse({"_id": where}).matches(document)
    for where in ("b", {"$prefix": "a"}, {"$lt": "b"}, 1, None, {"$exists": False}, {"$size": 3}):
        assert not parse({"_id": where}).matches(document)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("name", "fields takes a list of field names; write ['name']"),
        (5, "fields takes a list of field names, not 5"),
        ([5], "5 is no field to return: a field name is a string, not an int"),
        (["a."], "'a.' is no field to return: a.: a field name is empty, which no dotted path can address"),
        (["_x"], "'_x' is no field to return: the field name '_x' begins with '_', which stores keep for metadata"),
    ],
)
def test_what_can_be_no_projection_is_refused(fields: Any, message: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_fields(fields)

    assert str(caught.value) == message


@pytest.mark.parametrize("value", [None, 0, 1, 2**63 - 1])
def test_a_bound_is_a_whole_number_or_none(value: Any) -> None:
    assert parse_bound("limit", value) == value


@pytest.mark.parametrize("value", [-1, True, 1.0, "1", 2**63, HUGE], ids=lambda value: type(value).__name__)
def test_what_can_be_no_bound_is_refused(value: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"^skip takes a whole number from 0 to 2\*\*63-1, not "):
        parse_bound("skip", value)


# Order


IN_ORDER = [
    [MISSING],
    [None],
    [False],
    [True],
    [math.nan],  # no store of Divan's making holds one, but other programs write them
    [-1.5],
    [0, 0.0, -0.0],
    [1, 1.0],
    [float(BIG), BIG],
    [BIG + 1],
    [""],
    ["A"],
    ["a"],
    ["aa"],
    ["b"],
    ["é"],
    ["\uffff"],
    ["\U0001f600"],
    [[]],
    [[None]],
    [[False]],
    [[1], [1.0]],
    [[1, None]],
    [[2]],
    [["a"]],
    [[[]]],
    [{}],
    [{"a": None}],
    [{"a": 1}, {"a": 1.0}],
    [{"a": 1, "b": 0}, {"b": 0, "a": 1}],
    [{"a": 2}],
    [{"b": 0}],
    [b"a"],  # what JSON can't hold, last, by type and text
    [b"b"],
]


def test_values_of_all_types_sort_in_this_order() -> None:
    keys = [[sort_key(value) for value in level] for level in IN_ORDER]

    assert [key for level in keys for key in level] == sorted(key for level in reversed(keys) for key in level)
    assert all(key == level[0] for level in keys for key in level)
    assert all(one[0] < other[0] for one, other in itertools.pairwise(keys))


def test_ranks_are_the_order_of_types() -> None:
    values = [MISSING, None, True, 1, "a", [], {}, b""]

    assert [rank(value) for value in values] == [0, 1, 2, 3, 4, 5, 6, 7]


@given(VALUES, VALUES)
def test_values_are_equal_exactly_if_their_sort_keys_are(one: Any, other: Any) -> None:
    assert same(one, other) is (sort_key(one) == sort_key(other))


@given(VALUES, VALUES, VALUES)
def test_the_order_is_total(one: Any, two: Any, three: Any) -> None:
    a, b, c = sort_key(one), sort_key(two), sort_key(three)

    assert (a < b) + (a == b) + (b < a) == 1
    if a <= b <= c:
        assert a <= c


@given(VALUES, VALUES)
def test_equality_is_symmetric(one: Any, other: Any) -> None:
    assert same(one, other) is same(other, one)


@given(VALUES, VALUES)
def test_order_comparisons_follow_the_sort_within_one_type(one: Any, other: Any) -> None:
    expected = rank(one) == rank(other) and sort_key(one) > sort_key(other)

    assert matches({"a": {"$gt": other}}, {"a": one}) is expected


def doc(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, **fields}


def ids(documents: Any) -> str:
    return "".join(document["id"] for document in documents)


def get_id(document: Any) -> str:
    return str(document["id"])


UNSORTED = [
    doc("f", n=2), doc("e"), doc("d", n=None), doc("c", n="x"), doc("b", n=1), doc("a", n=1.0), doc("g", n=[0]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("n", "edabfcg"),
        ("-n", "gcfabde"),  # ties by id, ascending, whichever way the key sorts
        (["missing", "n"], "edabfcg"),
        (["-missing"], "abcdefg"),
        (["n", "-n"], "edabfcg"),
        ("n.deeper", "abcdefg"),
    ],
)
def test_a_sort_puts_missing_first_and_breaks_ties_by_id(sort: Any, expected: str) -> None:
    assert ids(finish(UNSORTED, get_id=get_id, sort=parse_sort(sort))) == expected


@given(
    st.lists(st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES}), max_size=8),
    st.lists(st.sampled_from(["a", "-a", "b", "-b", "a.b", "-b.a"]), min_size=1, max_size=3),
    st.none() | st.integers(0, 9),
    st.integers(0, 9),
)
def test_finish_is_a_sort_by_the_keys_then_a_slice(
    fields: list[dict[str, Any]], sort: list[str], limit: int | None, skip: int
) -> None:
    documents = [doc(str(number), **part) for number, part in enumerate(fields)]
    keys = parse_sort(sort)

    def compare(one: Any, other: Any) -> int:
        for key in keys:
            left, right = sort_key(resolve(one, key.path)), sort_key(resolve(other, key.path))
            if left != right:
                return (-1 if left < right else 1) * (-1 if key.descending else 1)
        return -1 if one["id"] < other["id"] else 1

    expected = sorted(documents, key=functools.cmp_to_key(compare))[skip:][:limit]
    given_order = finish(reversed(documents), get_id=get_id, sort=keys, limit=limit, skip=skip)

    assert ids(given_order) == ids(expected)
    assert sorted(documents, key=document_order(keys, get_id)) == sorted(documents, key=functools.cmp_to_key(compare))


def test_without_a_sort_the_order_is_kept_and_no_more_is_read_than_is_asked_for() -> None:
    stream = iter([doc("b"), doc("a"), doc("c"), doc("d")])

    assert ids(finish(stream, get_id=get_id, skip=1, limit=2)) == "ac"
    assert ids(stream) == "d"


def test_a_limit_of_zero_reads_nothing() -> None:
    stream = iter([doc("a")])

    assert ids(finish(stream, get_id=get_id, sort=parse_sort("n"), limit=0)) == ""
    assert ids(stream) == "a"


def test_the_greatest_bounds_are_no_error() -> None:
    greatest = 2**63 - 1

    assert ids(finish(UNSORTED, get_id=get_id, limit=greatest, skip=1)) == "edcbag"
    assert ids(finish(UNSORTED, get_id=get_id, sort=parse_sort("n"), limit=greatest, skip=6)) == "g"
    assert ids(finish(UNSORTED, get_id=get_id, limit=greatest, skip=greatest)) == ""


# Projections


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {}),
        (["a"], {"a": {"b": {"c": 1, "d": 2}, "e": 3}}),
        (["f"], {"f": [{"g": 4}]}),
        (["a.b.c"], {"a": {"b": {"c": 1}}}),
        (["a.b.c", "a.e"], {"a": {"b": {"c": 1}, "e": 3}}),
        (["a.b.c", "a.b.d"], {"a": {"b": {"c": 1, "d": 2}}}),
        (["a.b", "a.b.c"], {"a": {"b": {"c": 1, "d": 2}}}),
        (["a.b.c", "a.b"], {"a": {"b": {"c": 1, "d": 2}}}),
        (["a", "a.b.c", "a.e"], {"a": {"b": {"c": 1, "d": 2}, "e": 3}}),
        (["a.e", "a.e"], {"a": {"e": 3}}),
        (["missing", "a.missing", "a.e.deeper", "h"], {"h": None}),
        (["f.g", "f.0"], {}),  # a path leads through objects, not through lists
    ],
)
def test_a_projection_keeps_these_parts(fields: list[str], expected: dict[str, Any]) -> None:
    document = {"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": [{"g": 4}], "h": None}
    before = copy.deepcopy(document)

    assert project(document, fields) == expected
    assert document == before


@given(DOCUMENTS, st.lists(FIELDS, max_size=4))
def test_a_projection_agrees_with_the_document_on_every_kept_path(document: Any, fields: list[str]) -> None:
    projected = project(document, fields)

    for field in fields:
        path = field.split(".")
        assert resolve(projected, path) == resolve(document, path)
