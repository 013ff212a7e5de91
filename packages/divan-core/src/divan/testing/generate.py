"""Generated documents, filters and sorts: mixed types that stores disagree about, the same at every run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from divan.query import COMPARISONS

SEED: Final = 20261124

KINDS: Final = (*COMPARISONS, "a plain value", "$and", "$or", "$not", "several operators")
"""What a generated filter is mainly about."""

FIELDS: Final = (
    "any",
    "number",
    "text",
    "list",
    "object",
    "object.x",
    "object.x.z",
    "list.x",
    "list.0",
    "any.x",
    "absent",
)
"""The dotted paths that generated filters ask for; no path goes into a list."""

_NUMBERS: Final = (0, 1, 1.0, -1, 2, 10, 0.5, -0.5, 0.1, 0.0, -0.0, 1e308, -1e308, 5e-324, 1e16, 2**31, 2**53)
_BIG_INTS: Final = (2**53 + 1, 2**53 - 1, -(2**53) - 1, 2**63 - 1, -(2**63), 9007199254740993.0)
_TEXTS: Final = (
    "", "a", "A", "b", "ab", "abc", "a b", "1", "true", "null", "é", "e\u0301", "ß", "SS", "ñ", "z", "Z", "_", "%",
    "a%", "a_c", "*", ".", "[1]", '"', "'", "\\", "a\0b", "\u2028", "\ud7ff", "\ue000", "\uffff", "😀", "😀a", "שלום",
)  # fmt: skip
_OBJECTS: Final[tuple[dict[str, Any], ...]] = (
    {}, {"x": 1}, {"x": 1.0}, {"x": True}, {"x": None}, {"x": "a"}, {"x": [1]}, {"x": {}}, {"x": {"z": 1}},
    {"x": {"z": None}}, {"x": 1, "y": 2}, {"y": 2, "x": 1}, {"y": 2}, {"x": {"z": "a", "w": [1]}},
)  # fmt: skip
_LISTS: Final[tuple[list[Any], ...]] = (
    [], [1], [1.0], [True], [0], [None], ["a"], ["a", "b"], ["b", "a"], ["a", "a"], [1, 2], [2, 1], [1, "a", None],
    [[1]], [[]], [{}], [{"x": 1}], [{"x": 1}, {"x": 2}], ["ab"], [False, 0, 0.0, "", None],
)  # fmt: skip


class Generator:
    """Draws documents and filters from small pools, so that filters hit.

    Args:
        seed: What the random choices start from.
        big_ints: Whether to use integers that a float can't hold.
    """

    def __init__(self, seed: int = SEED, *, big_ints: bool = True) -> None:
        self._random = random.Random(seed)
        self._numbers: tuple[Any, ...] = _NUMBERS + (_BIG_INTS if big_ints else ())
        self._pools: tuple[Sequence[Any], ...] = (self._numbers, _TEXTS, _LISTS, _OBJECTS, (None, True, False))

    def value(self) -> Any:
        """A value of any type."""
        return self._random.choice(self._random.choice(self._pools))

    def document(self) -> dict[str, Any]:
        """A document: each field there or not, of the type that its name says or of any."""
        pools = {"number": self._numbers, "text": _TEXTS, "list": _LISTS, "object": _OBJECTS}
        document: dict[str, Any] = {}
        for field in self._random.sample(("any", *pools), 5):
            if self._random.random() < 0.15:
                continue
            anything = field == "any" or self._random.random() < 0.15
            document[field] = self.value() if anything else self._random.choice(pools[field])
        return document

    def filter(self, kind: str) -> dict[str, Any]:
        """A filter about one of `KINDS`."""
        if kind in ("$and", "$or"):
            return {kind: [self._simple() for _ in range(self._random.randint(1, 3))]}
        if kind == "$not":
            inner = self._simple()
            field, operand = next(iter(inner.items()))
            if isinstance(operand, dict) and next(iter(operand), "").startswith("$") and self._random.random() < 0.5:
                return {field: {"$not": operand}}
            return {"$not": {**inner, **self._simple()} if self._random.random() < 0.3 else inner}
        if kind == "several operators":
            first, second = self._random.sample(COMPARISONS, 2)
            field = self._random.choice(FIELDS)
            conditions = {first: self._operand(first, field), second: self._operand(second, field)}
            return {field: conditions} if self._random.random() < 0.5 else {field: conditions, **self._simple()}
        field = self._random.choice(("any", "text") if kind == "$prefix" else FIELDS)
        if kind == "a plain value":
            return {field: self._like(field)}
        return {field: {kind: self._operand(kind, field)}}

    def _simple(self) -> dict[str, Any]:
        return self.filter(self._random.choice((*COMPARISONS, "a plain value")))

    def _like(self, field: str) -> Any:
        """A value that the field is likely to hold."""
        pools = {"number": self._numbers, "text": _TEXTS, "list": _LISTS, "object": _OBJECTS}
        if field not in pools or self._random.random() < 0.2:
            return self.value()
        return self._random.choice(pools[field])

    def _operand(self, op: str, field: str) -> Any:
        if op == "$exists":
            return self._random.random() < 0.5
        if op == "$size":
            return self._random.randint(0, 3)
        if op in ("$in", "$nin"):
            return [self._like(field) for _ in range(self._random.randint(0, 4))]
        if op == "$all":
            return [self._random.choice(self._item(field)) for _ in range(self._random.randint(0, 2))]
        if op == "$prefix":
            return self._random.choice(_TEXTS)[: self._random.randint(0, 2)]
        if op == "$contains":
            return self._random.choice(self._item(field))
        return self._like(field)

    def _item(self, field: str) -> Sequence[Any]:
        """Items of lists, and parts of strings where the field holds text."""
        if field == "text":
            return ("", "a", "b", "ab", "é", "😀", "%", "_", "\\", "\0", "A", 1)
        return (1, 1.0, True, False, 0, None, "a", "b", "", "ab", [1], [], {}, {"x": 1}, {"x": 1.0})


def documents(count: int = 200, *, seed: int = SEED, big_ints: bool = True) -> list[dict[str, Any]]:
    """Documents of mixed types: missing fields, nulls, nested objects, lists, booleans beside numbers, Unicode.

    Args:
        count: How many.
        seed: Another seed, other documents.
        big_ints: Whether to use integers that a float can't hold; not every server keeps them.
    """
    generator = Generator(seed, big_ints=big_ints)
    return [generator.document() for _ in range(count)]


def filters(count: int = 500, *, seed: int = SEED, big_ints: bool = True) -> list[dict[str, Any]]:
    """Filters for `documents`, of each of `KINDS` about as many.

    Args:
        count: How many.
        seed: Another seed, other filters.
        big_ints: Whether to ask for integers that a float can't hold; not every server keeps them.
    """
    generator = Generator(seed + 1, big_ints=big_ints)
    return [generator.filter(KINDS[number % len(KINDS)]) for number in range(count)]


def filters_of_kind(kind: str, count: int = 500, *, seed: int = SEED, big_ints: bool = True) -> list[dict[str, Any]]:
    """Generated filters that are mainly about one of `KINDS`.

    Args:
        kind: The kind.
        count: Of how many filters, of all kinds, they are taken.
        seed: Another seed, other filters.
        big_ints: Whether to ask for integers that a float can't hold; not every server keeps them.
    """
    return filters(count, seed=seed, big_ints=big_ints)[KINDS.index(kind) :: len(KINDS)]


def sorts() -> list[list[str]]:
    """Sorts for `documents`: of one key and several, ascending and descending, of nested and of missing fields."""
    return [
        ["any"], ["-any"], ["number"], ["-number"], ["text"], ["-text"], ["list"], ["object"], ["-object.x"],
        ["absent"], ["number", "text"], ["-any", "number"], ["text", "-number"], ["object.x", "-list", "any"],
    ]  # fmt: skip
