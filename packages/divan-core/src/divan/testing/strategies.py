"""Hypothesis strategies for what a Store takes: values, documents, changes, filters and sorts, from small pools."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from hypothesis import strategies as st

from divan import REMOVE, Append, Discard, Increment
from divan.query import COMPARISONS
from divan.testing.limits import BIG_INTS, TINY_FLOATS

FIELDS: Final = ("a", "b", "c", "n")
PATHS: Final = (*FIELDS, "a.x", "b.x", "a.x.y", "c.0", "absent")
_TEXTS: Final = ("", "a", "A", "ab", "b", "1", "é", "e\u0301", "😀", "\uffff", "a\0", "%", "_", '"', "\\")


def values(limits: Collection[str] = ()) -> st.SearchStrategy[Any]:
    """Portable values of every type, nested up to a few levels.

    Args:
        limits: The server's limits; what it can't keep is left out.
    """
    return st.recursive(scalars(limits), _containers, max_leaves=4)


def scalars(limits: Collection[str] = ()) -> st.SearchStrategy[Any]:
    """Portable values that are no list and no object."""
    ints = st.integers(-3, 3)
    if BIG_INTS not in limits:
        ints |= st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
    floats = st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.5, 0.1, 1e308, 0.1 if TINY_FLOATS in limits else 5e-324])
    return st.one_of(st.none(), st.booleans(), ints, floats, st.sampled_from(_TEXTS), st.text(max_size=3))


def _containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "é"]), children, max_size=2)


def documents(limits: Collection[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of a few fields; one in many holds something that no store takes."""
    return st.one_of(*[fields(limits)] * 15, st.sampled_from([{"a": float("nan")}, {"_a": 1}]))


def fields(limits: Collection[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """What every store takes for a document's fields."""
    return st.dictionaries(st.sampled_from(FIELDS), values(limits), max_size=4)


def changes(limits: Collection[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """Changes for an update: values, `REMOVE`, `Increment`, `Append` and `Discard`, at fields and paths."""
    by = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -0.25, 1e308])
    if BIG_INTS not in limits:
        by |= st.sampled_from([2**53, 2**63 - 1])
    items = st.lists(values(limits), max_size=2)
    change = st.one_of(
        values(limits),
        st.just(REMOVE),
        by.map(Increment),
        items.map(lambda found: Append(*found)),
        items.map(lambda found: Discard(*found)),
    )
    return st.dictionaries(st.sampled_from([*FIELDS, *FIELDS, *PATHS]), change, max_size=3)


def filters(limits: Collection[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """Filters of every operator, a few levels deep; one in many is refused."""
    good = st.recursive(_conditions(limits), _combined, max_leaves=3)
    bad = st.sampled_from([{"a": {"$near": 1}}, {"$where": "1"}, {"a": {"$in": 1}}])
    return st.one_of(*[good] * 15, bad)


def _conditions(limits: Collection[str]) -> st.SearchStrategy[dict[str, Any]]:
    value = values(limits)
    operands: dict[str, st.SearchStrategy[Any]] = {"$exists": st.booleans(), "$size": st.integers(0, 3)}
    operands |= dict.fromkeys(("$in", "$nin", "$all"), st.lists(value, max_size=3))
    operator = st.sampled_from(COMPARISONS).flatmap(
        lambda op: st.fixed_dictionaries({op: operands.get(op, value)})  # one operator and its operand
    )
    condition = st.one_of(value, operator, operator, operator.map(lambda inner: {"$not": inner}))
    return st.dictionaries(st.sampled_from(PATHS), condition, max_size=2)


def _combined(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(children, min_size=1, max_size=2)
    return st.one_of(
        several.map(lambda parts: {"$and": parts}),
        several.map(lambda parts: {"$or": parts}),
        children.map(lambda part: {"$not": part}),
    )


def sorts() -> st.SearchStrategy[list[str]]:
    """Sorts of no key to two."""
    return st.lists(st.sampled_from([*PATHS, *(f"-{path}" for path in PATHS)]), max_size=2)
