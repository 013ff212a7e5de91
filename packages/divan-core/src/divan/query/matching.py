"""Internal: the reference matcher, which defines what every filter means, and the order of all values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from divan.documents import Document
from divan.query.tree import ID_PATH, And, Comparison, Node, Not, Or, to_dict

MISSING: Final[Any] = type("Missing", (), {"__repr__": lambda self: "MISSING", "__slots__": ()})()
"""What `resolve` answers for a field that is not there."""

Matcher = Callable[[Mapping[str, Any]], bool]
"""Tells of a document whether a filter matches it."""


class Query(dict[str, Any]):
    """A filter in normal form: every comparison spelled ``{field: {"$op": value}}``, every value in stored form.

    Args:
        tree: The parsed filter.

    Attributes:
        tree: The parsed filter; its top is an `And`.
        matches: The reference matcher: document → whether the filter matches it. A document's id, if the filter asks
            for that, is a `Document`'s `id`, or what a mapping holds as ``_id``.
    """

    __slots__ = ("_matches", "tree")

    def __init__(self, tree: And) -> None:
        super().__init__(to_dict(tree))
        self.tree = tree
        self._matches: Matcher | None = None

    @property
    def matches(self) -> Matcher:
        matcher = self._matches
        if matcher is None:
            matcher = self._matches = compile_matcher(self.tree)
        return matcher


def resolve(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at `path`, going through nested objects only; `MISSING` if there is none."""
    value: Any = document
    for name in path:
        if not isinstance(value, Mapping):
            return MISSING
        value = value.get(name, MISSING)
    return value


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal: whole values, ``1`` equal to ``1.0`` but not to ``true``, key order aside."""
    if left.__class__ is bool or right.__class__ is bool:
        return left is right
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and len(left) == len(right)
            and all(name in right and same(value, right[name]) for name, value in left.items())
        )
    if isinstance(left, list):
        return (
            isinstance(right, list)
            and len(left) == len(right)
            and all(same(one, other) for one, other in zip(left, right, strict=True))
        )
    return bool(left == right)


def rank(value: Any) -> int:
    """A type's place in a sort: missing 0, null 1, booleans 2, numbers 3, strings 4, lists 5, objects 6, others 7."""
    kind = value.__class__
    if kind is str:
        return 4
    if kind is int or kind is float:
        return 3
    if value is None:
        return 1
    if kind is bool:
        return 2
    if value is MISSING:
        return 0
    if isinstance(value, list):
        return 5
    if isinstance(value, Mapping):
        return 6
    if isinstance(value, int | float):
        return 3  # a number class of a store's client
    return 7


def sort_key(value: Any) -> tuple[Any, ...]:
    """A key that orders any two values as a sort does.

    Lists compare item by item, objects by their (name, value) pairs in name order. What JSON can't hold (a BSON date
    that another program wrote, say) comes last, by type name and text.
    """
    kind = rank(value)
    if kind in (2, 3, 4):
        return (kind, value) if value == value else (kind - 0.5,)  # NaN, which a store may hold, before all numbers
    if kind < 2:
        return (kind,)
    if kind == 5:
        return (kind, tuple(sort_key(item) for item in value))
    if kind == 6:
        return (kind, tuple((name, sort_key(value[name])) for name in sorted(value)))
    return (kind, type(value).__name__, str(value))


def compile_matcher(node: Node) -> Matcher:
    """Compile a parsed filter into a function: document → whether it matches."""
    if isinstance(node, Comparison):
        return _compile_comparison(node)
    if isinstance(node, Not):
        inner = compile_matcher(node.item)
        return lambda document: not inner(document)
    parts = tuple(compile_matcher(item) for item in node.items)
    if isinstance(node, Or):
        return lambda document: any(part(document) for part in parts)
    if len(parts) == 1:
        return parts[0]
    return lambda document: all(part(document) for part in parts)


def _compile_comparison(comparison: Comparison) -> Matcher:
    test = _TESTS[comparison.op](comparison.value)
    if comparison.path == ID_PATH:
        return lambda document: test(document.id if isinstance(document, Document) else document.get("_id", MISSING))
    if len(comparison.path) == 1:
        (name,) = comparison.path
        return lambda document: test(document.get(name, MISSING))
    path = comparison.path
    return lambda document: test(resolve(document, path))


_Test = Callable[[Any], bool]


def _eq(operand: Any) -> _Test:
    if operand.__class__ is str:
        return lambda value: value.__class__ is str and value == operand
    return lambda value: value is not MISSING and same(value, operand)


def _ordered(accept: Callable[[Any, Any], bool]) -> Callable[[Any], _Test]:
    def make(operand: Any) -> _Test:
        kind = rank(operand)
        if kind in (2, 3, 4):
            return lambda value: rank(value) == kind and accept(value, operand)
        key = sort_key(operand)
        if kind == 7:
            return lambda value: type(value) is type(operand) and accept(sort_key(value), key)
        return lambda value: rank(value) == kind and accept(sort_key(value), key)

    return make


def _in(operand: list[Any]) -> _Test:
    # Strings and numbers, the common cases, by hash; the rest by `same`.
    strings = frozenset(item for item in operand if item.__class__ is str)
    numbers = frozenset(item for item in operand if rank(item) == 3)
    others = [item for item in operand if rank(item) not in (3, 4)]

    def test(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            return value in strings
        if kind is not bool and isinstance(value, int | float):
            return value in numbers
        return value is not MISSING and any(same(value, item) for item in others)

    return test


def _all(operand: list[Any]) -> _Test:
    return lambda value: isinstance(value, list) and all(any(same(item, one) for item in value) for one in operand)


def _contains(operand: Any) -> _Test:
    def test(value: Any) -> bool:
        if isinstance(value, list):
            return any(same(item, operand) for item in value)
        return value.__class__ is str and operand.__class__ is str and operand in value

    return test


def _prefix(operand: str) -> _Test:
    return lambda value: value.__class__ is str and value.startswith(operand)


def _negated(make: Callable[[Any], _Test]) -> Callable[[Any], _Test]:
    def make_negated(operand: Any) -> _Test:
        test = make(operand)
        return lambda value: not test(value)

    return make_negated


_TESTS: Final[dict[str, Callable[[Any], _Test]]] = {
    "$eq": _eq,
    "$ne": _negated(_eq),
    "$gt": _ordered(lambda value, operand: bool(value > operand)),
    "$gte": _ordered(lambda value, operand: bool(value >= operand)),
    "$lt": _ordered(lambda value, operand: bool(value < operand)),
    "$lte": _ordered(lambda value, operand: bool(value <= operand)),
    "$in": _in,
    "$nin": _negated(_in),
    "$exists": lambda operand: lambda value: (value is not MISSING) is operand,
    "$all": _all,
    "$size": lambda operand: lambda value: isinstance(value, list) and len(value) == operand,
    "$contains": _contains,
    "$prefix": _prefix,
}
