"""Internal: filters in MongoDB's language: what it answers like the reference matcher, and what narrows a search.

MongoDB looks into arrays where Divan does not, takes a missing field for null, and counts Decimal128 among the numbers;
the guards in the filters built here undo that. They would also keep a simple query planner from an index, so a plain
comparison is sent without them, and what it lets in too much is left to the matcher.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from bson import Decimal128, Regex
from divan.backends.support import prefix_end
from divan.errors import InvalidQuery
from divan.query import ID_PATH, And, Comparison, Node, Not, Or, comparisons

from divan_mongo.documents import object_id
from divan_mongo.values import NATIVE_TYPES

Filter = dict[str, Any]

_NOTHING: Final[Filter] = {"$nor": [{}]}
_NOT_ARRAY: Final[Filter] = {"$not": {"$type": "array"}}
_NOT_ARRAY_NOR_DECIMAL: Final[Filter] = {"$not": {"$type": ["array", "decimal"]}}
_RANGES: Final = ("$gt", "$gte", "$lt", "$lte")
_NEGATIONS: Final = {"$ne": "$eq", "$nin": "$in"}

# MongoDB refuses filters nested a hundred levels deep, and each level of ours takes two of BSON's.
_MAX_DEPTH: Final = 30
_MAX_PATTERN: Final = 16_000

_SCALAR_TYPES: Final = (("null",), ("bool",), ("int", "long", "double"), ("string",))
_JSON_TYPES: Final = ["null", "bool", "int", "long", "double", "string", "array", "object"]


class Plan(NamedTuple):
    """How a filter is answered.

    Attributes:
        filter: What is sent for a search; it lets in at least the documents that match.
        residual: What the matcher has to check of the documents that come back.
        exact: A filter that MongoDB answers just as the matcher does; `None` if there is none.
        pushed: The parts that MongoDB answers exactly.
        left: The parts that it does not.
        pinned: The dotted paths that hold a value of one scalar type in every document that matches.
    """

    filter: Filter
    residual: And
    exact: Filter | None
    pushed: And
    left: And
    pinned: frozenset[str]


def make_plan(tree: And) -> Plan:
    """Work out how to answer a filter.

    Raises:
        InvalidQuery: if it combines a BSON value, which only MongoDB compares, with what only the matcher answers, or
            has a Regex where MongoDB would search for it.
    """
    search: list[Filter] = []
    exact: list[Filter] = []
    residual: list[Node] = []
    pushed: list[Node] = []
    left: list[Node] = []
    for item in tree.items:
        whole = _exact(item, 0)
        if whole is not None:
            exact.append(whole)
            pushed.append(item)
        else:
            left.append(item)
            if any(_holds_pattern(comparison) for comparison in comparisons(item)):
                raise InvalidQuery(
                    "MongoDB searches for a Regex in the list of $in or $nin, and does not compare with it: "
                    'give it by $eq, as in {"$or": [{"field": pattern}, {"field": {"$in": [the other values]}}]}'
                )
            if any(_is_native(leaf) for comparison in comparisons(item) for leaf in _leaves(comparison.value)):
                raise InvalidQuery(
                    "a comparison with a value of BSON's own type can't share an $or or $not with one to an object, "
                    "or to a list: split the filter, or open the store without types=native"
                )
        plain = _plain(item)
        if plain is not None:
            search.append(plain)
            residual.append(item)
        elif whole is not None:
            search.append(whole)
        else:
            search.append(_wider(item, 0))
            residual.append(item)
    return Plan(
        all_of(search),
        And(tuple(residual)),
        all_of(exact) if len(exact) == len(tree.items) else None,
        And(tuple(pushed)),
        And(tuple(left)),
        frozenset(("_id", *(item.field for item in tree.items if isinstance(item, Comparison) and _pins(item)))),
    )


def segments(field: str) -> list[tuple[Filter, bool]]:
    """Filters that divide documents by the type of one field, in the order of a sort.

    Returns:
        Eight pairs: a filter, and whether MongoDB orders the documents that it matches as a sort does.
    """
    path = tuple(field.split("."))
    missing = _not(_guarded(path, {"$exists": True})) if len(path) > 1 else {field: {"$exists": False}}
    scalars = [_guarded(path, {"$type": list(types), **_NOT_ARRAY}) for types in _SCALAR_TYPES]
    objects = _guarded(path, {"$type": "object", **_NOT_ARRAY})
    others = _guarded(path, {"$exists": True, "$not": {"$type": _JSON_TYPES}})
    return [
        (missing, True),
        *((scalar, True) for scalar in scalars),
        (_guarded(path, {"$type": "array"}), False),
        (objects, False),
        (others, True),
    ]


def all_of(filters: list[Filter]) -> Filter:
    """The conjunction, as one flat filter where no key stands in the way.

    Args:
        filters: Filters of MongoDB's; with none of them, everything matches.
    """
    merged: Filter = {}
    for one in filters:
        for key, condition in one.items():
            there = merged.get(key)
            if there is None or there is condition:
                merged[key] = condition
            # Compared by identity, which the guards share: 1 and true would be equal.
            elif key.startswith("$") or any(op in there and there[op] is not condition[op] for op in condition):
                return {"$and": [part for part in filters if part]}
            else:
                merged[key] = {**there, **condition}
    return merged


# Exact filters


def _exact(node: Node, depth: int) -> Filter | None:
    """A filter that MongoDB answers as the reference matcher does, or `None`."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(node, Comparison):
        return _exact_comparison(node.path, node.op, node.value)
    if isinstance(node, Not):
        inner = _exact(node.item, depth + 1)
        return None if inner is None else _not(inner)
    parts = [_exact(item, depth + 1) for item in node.items]
    if any(part is None for part in parts):
        return None
    filters = [part for part in parts if part is not None]
    return {"$or": filters} if isinstance(node, Or) else all_of(filters)


def _exact_comparison(path: tuple[str, ...], op: str, value: Any) -> Filter | None:
    if op in _NEGATIONS:
        positive = _exact_comparison(path, _NEGATIONS[op], value)
        return None if positive is None else _not(positive)
    if path == ID_PATH:
        return _exact_id(op, value)
    if op == "$exists":
        there = _guarded(path, {"$exists": True})
        return there if value else _not(there)
    if op == "$size":
        return _guarded(path, {"$size": value}) if value < 2**31 else _NOTHING
    if op == "$eq":
        return _exact_eq(path, value)
    if op == "$in":
        return _exact_in(path, value)
    if op == "$all":
        if not all(map(_is_scalar, value)):
            return None
        return all_of([_guarded(path, {"$type": "array"}), *(_holds(path, item) for item in value)])
    if op == "$contains":
        return _exact_contains(path, value)
    if op == "$prefix":
        return _guarded(path, {**_beginning(value), **_NOT_ARRAY})
    if not _is_scalar(value) or isinstance(value, Regex):
        return None
    if value is None:
        return _exact_eq(path, None) if op in ("$gte", "$lte") else _NOTHING
    return _guarded(path, {op: value, **_guard(value)})


def _exact_id(op: str, value: Any) -> Filter | None:
    """What is asked of the id: a string, or an ObjectId, whose text is then meant."""
    if op in ("$eq", "$in"):
        return {"_id": {"$in": [key for one in (value if op == "$in" else [value]) for key in _keys(one)]}}
    if op == "$exists":
        return {} if value else _NOTHING
    if op in ("$all", "$size") or value.__class__ is not str:
        return _NOTHING
    return None


def _keys(value: Any) -> list[Any]:
    """What ``_id`` may hold where the document's id is this value."""
    if value.__class__ is not str:
        return [value] if _is_native(value) else []
    key = object_id(value)
    return [value] if key is None else [value, key]


def _beginning(prefix: str) -> Filter:
    """The condition on a string that it begins so, as a range, which an index serves."""
    end = prefix_end(prefix)
    return {"$gte": prefix} if end is None else {"$gte": prefix, "$lt": end}


def _exact_eq(path: tuple[str, ...], value: Any) -> Filter | None:
    if value is None:
        return _guarded(path, {"$type": "null", **_NOT_ARRAY})
    if value == [] and isinstance(value, list):
        return _guarded(path, {"$size": 0})
    if not _is_scalar(value):
        return None
    return _guarded(path, {"$eq": value, **_guard(value)})


def _exact_in(path: tuple[str, ...], values: list[Any]) -> Filter | None:
    # A Regex among the values would be searched for, and not compared with.
    if not all(_is_scalar(value) and not isinstance(value, Regex) for value in values):
        return None
    present = [value for value in values if value is not None]
    guard = _NOT_ARRAY if any(isinstance(value, Decimal128) for value in values) else _NOT_ARRAY_NOR_DECIMAL
    found = _guarded(path, {"$in": present, **guard})
    if len(present) == len(values):
        return found
    null = _guarded(path, {"$type": "null", **_NOT_ARRAY})
    return {"$or": [found, null]} if present else null


def _exact_contains(path: tuple[str, ...], value: Any) -> Filter | None:
    if not _is_scalar(value):
        return None
    if value.__class__ is not str:
        return _holds(path, value)
    pattern = re.escape(value)
    if "\0" in value or len(pattern.encode()) > _MAX_PATTERN:
        return None
    part = _guarded(path, {"$regex": pattern, **_NOT_ARRAY})
    return {"$or": [_holds(path, value), part]}


def _holds(path: tuple[str, ...], value: Any) -> Filter:
    """The list at `path` holds the value."""
    guard = {"$not": {"$type": "decimal"}} if _is_number(value) else {}
    return _guarded(path, {"$elemMatch": {"$eq": value, **guard}})


def _guard(value: Any) -> Filter:
    return _NOT_ARRAY_NOR_DECIMAL if _is_number(value) else _NOT_ARRAY


def _guarded(path: tuple[str, ...], condition: Filter) -> Filter:
    """The condition on the value at `path`, reached through objects only."""
    guarded: Filter = {".".join(path): condition}
    for length in range(1, len(path)):
        guarded[".".join(path[:length])] = _NOT_ARRAY
    return guarded


# Filters that narrow the search


def _plain(node: Node) -> Filter | None:
    """A comparison as any user of MongoDB would write it, which every planner finds an index for; else `None`."""
    if not isinstance(node, Comparison) or node.path == ID_PATH:
        return None
    value = node.value
    if node.op == "$prefix":
        return {node.field: _beginning(value)}
    if node.op == "$eq" or node.op in _RANGES:
        usual = value is not None and _is_scalar(value) and not _is_native(value)
    else:
        usual = node.op == "$in" and all(_is_scalar(item) and not _is_native(item) for item in value)
    return {node.field: {node.op: value}} if usual else None


def _wider(node: Node, depth: int) -> Filter:
    """A filter for at least the documents that match."""
    whole = _exact(node, depth)
    if whole is not None:
        return whole
    if isinstance(node, Not) or depth > _MAX_DEPTH:
        return {}
    if isinstance(node, And):
        return all_of([_wider(item, depth + 1) for item in node.items])
    if isinstance(node, Or):
        parts = [_wider(item, depth + 1) for item in node.items]
        return {"$or": parts} if all(parts) else {}
    if node.path == ID_PATH:
        condition = _beginning(node.value) if node.op == "$prefix" else {node.op: node.value}
        others = {"_id": {"$not": {"$type": "string"}}}  # of other programs: their text is compared by the matcher
        return {"$or": [{"_id": condition}, others]} if node.op in (*_RANGES, "$prefix") else {}
    if node.op == "$eq" and isinstance(node.value, dict):
        return _wider_object(node.path, node.value, depth)
    if node.op in ("$eq", "$all", *_RANGES) and isinstance(node.value, list):
        return {node.field: {"$type": "array"}}
    if node.op in _RANGES and isinstance(node.value, dict):
        return {node.field: {"$type": "object"}}
    return {}


def _wider_object(path: tuple[str, ...], value: dict[str, Any], depth: int) -> Filter:
    """Objects with these fields; MongoDB itself compares objects in key order."""
    parts = [_wider(Comparison((*path, name), "$eq", item), depth + 1) for name, item in value.items()]
    return all_of([{".".join(path): {"$type": "object"}}, *parts])


# Parts


def _not(inner: Filter) -> Filter:
    return {"$nor": [inner]}


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_native(value: Any) -> bool:
    return isinstance(value, NATIVE_TYPES)


def _holds_pattern(comparison: Comparison) -> bool:
    """Whether the comparison is with a list of values, a Regex among them."""
    return comparison.op in ("$in", "$nin") and any(isinstance(value, Regex) for value in comparison.value)


def _pins(comparison: Comparison) -> bool:
    """Whether every document that matches holds, at this path, a scalar of one and the same type."""
    value = comparison.value
    if comparison.op == "$prefix":
        return True
    if comparison.op == "$eq" or comparison.op in _RANGES:
        return _is_scalar(value)
    if comparison.op != "$in":
        return False
    return len({_kind(item) for item in value}) == 1 and _is_scalar(value[0])


def _kind(value: Any) -> Any:
    return "number" if _is_number(value) else type(value)


def _leaves(value: Any) -> Iterator[Any]:
    """What an operand holds that is no list and no object, however deep."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value
