"""Internal: what CouchDB's own query language can narrow a search down to, sure to leave no match out.

Mango compares strings by Unicode collation where Divan goes by code point, takes a missing field for no match where
Divan's negations match it, and PouchDB differs again. So a filter is never handed over: a weaker one is, which every
match passes on both servers, and the reference matcher has the last word on each document that comes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from divan.query import And, Comparison, Node, Or, rank

_PLAIN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Names that mean the same to all: digits would index a list, a backslash escapes, JavaScript has its own ``__…__``."""

_WEAKER: Final = {"$gt": "$gte", "$gte": "$gte", "$lt": "$lte", "$lte": "$lte"}
"""The servers may compare numbers as doubles, in which two that differ can be equal; none changes places."""

_KEYED: Final = frozenset({"$eq", "$gte", "$lte"})
"""Operators of ours that an index serves."""

Selector = dict[str, dict[str, Any]]


def selector(tree: Node) -> dict[str, Any]:
    """A Mango selector that every match of a filter passes; empty if there is none that narrows anything down.

    Args:
        tree: A parsed filter.

    Returns:
        ``{field: {operator: value}}``, and at most one ``$or`` of such: PouchDB merges what is nested deeper, not
        always soundly.
    """
    fields, alternatives = _conjunction(tree)
    result: dict[str, Any] = dict(fields)
    if alternatives:
        result["$or"] = alternatives
    return result


def is_indexable(field: str) -> bool:
    """Whether a dotted path is one that `selector` asks for, so that an index on it can serve a query."""
    return all(_PLAIN_NAME.fullmatch(name) for name in field.split("."))


def is_served(wanted: Mapping[str, Any], fields: Iterable[str]) -> bool:
    """Whether an index on these fields serves a selector: each must be compared, as the index leaves out the others."""
    return all(_KEYED & wanted.get(field, {}).keys() for field in fields)


def _conjunction(node: Node) -> tuple[Selector, list[Selector]]:
    fields: Selector = {}
    alternatives: list[Selector] = []
    for item in node.items if isinstance(node, And) else (node,):
        if isinstance(item, Comparison):
            condition = _condition(item)
            if condition:
                _add(fields, item.field, *condition)
        elif isinstance(item, Or) and not alternatives:
            branches = [_conjunction(branch)[0] for branch in item.items]
            if all(branches):
                alternatives = branches
    return fields, alternatives


def _add(fields: Selector, field: str, op: str, value: Any) -> None:
    conditions = fields.setdefault(field, {})
    if "$eq" in conditions:
        return  # it says more than any other, and PouchDB would drop one of them
    if op == "$eq":
        conditions.clear()
    conditions.setdefault(op, value)


def _condition(comparison: Comparison) -> tuple[str, Any] | None:
    """The operator and value that every match of this comparison passes, or `None`."""
    op, value = comparison.op, comparison.value
    if not all(map(_PLAIN_NAME.fullmatch, comparison.path)):
        return None
    if op == "$eq":
        return (op, value) if rank(value) <= 4 else ("$exists", True)
    if op in _WEAKER:
        return (_WEAKER[op], value) if rank(value) == 3 else ("$exists", True)
    if op == "$in":
        # PouchDB lets null match no $in.
        if value and all(rank(item) in (2, 3, 4) for item in value):
            return op, value
        return "$exists", True
    if op == "$all":
        # No item at all: every list matches here, and none there. CouchDB compares numbers in lists exactly, and breaks
        # on null as soon as there is an index.
        return (op, value) if value and all(rank(item) in (2, 4) for item in value) else ("$exists", True)
    if op == "$size":
        return op, value
    if op == "$contains" or (op == "$exists" and value):
        return "$exists", True
    return None
