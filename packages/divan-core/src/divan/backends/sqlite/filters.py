"""Internal: divides a query between SQLite and Python, and writes SQLite's part, exact to the reference matcher.

Each field is seen through its rank and its value as SQLite extracts it. An index holds the same pair, so that one tree
of an index serves equality, ranges and sorts across types.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from divan.backends.sql import ORDERINGS, FilterWriter, cost
from divan.backends.sqlite.abilities import Abilities, Numbers, abilities, is_ordinary
from divan.backends.sqlite.sql import NUL_SQL, is_plain, json_path, rank_sql, value_sql
from divan.query import ID_PATH, And, Comparison, Node, SortKey
from divan.validation import INT_MAX

_MAX_COMPARISONS: Final = 200  # SQLite takes expressions 1,000 levels deep, and a chain of ANDs counts as levels
_NEVER: Final = _MAX_COMPARISONS + 1
_MAX_NESTING: Final = 8  # the stack of SQLite's parser may hold 100 entries
_MAX_SORT_KEYS: Final = 16
_MAX_NEAR: Final = 50
_SLACK: Final = 1e-12  # of a number: far more than SQLite is ever off by, and still next to nothing

_PINNING: Final = frozenset({"$gt", "$gte", "$lt", "$lte", "$prefix"})
"""Operators that let in values of one rank alone."""

_BINDING: Final = frozenset({"$eq", "$gt", "$gte", "$lt", "$lte"})
"""Operators whose operand becomes one parameter."""


class Plan(NamedTuple):
    """How one query is divided between SQLite and Python.

    Attributes:
        table: The table.
        where: The pushed filter as SQL, or ``""``.
        parameters: Its parameters.
        order: The pushed sort as SQL, or ``""``.
        pushed: The part of the filter that SQLite answers.
        residual: The part that the matcher finishes.
        doubtful: The paths on which the answer is exact only as long as no string there holds a NUL character.
        sorted_near: The paths by which SQLite sorts exactly only as long as there is no number.
    """

    table: str
    where: str
    parameters: tuple[Any, ...]
    order: str
    pushed: And
    residual: And
    doubtful: tuple[tuple[str, ...], ...]
    sorted_near: tuple[tuple[str, ...], ...]

    def select(
        self, columns: str, limit: int | None = None, skip: int = 0, *, doubt: bool = True
    ) -> tuple[str, tuple[Any, ...]]:
        """The statement and its parameters, with a last column that is true if there is any NUL character."""
        any_nul = f", ({self.any_nul()})" if doubt and self.doubtful else ""
        sql = f"SELECT {columns}{any_nul} FROM {self.table}{self.where}{self.order}"
        if limit is None and not skip:
            return sql, self.parameters
        bound = -1 if limit is None else min(limit, INT_MAX)
        return sql + " LIMIT ? OFFSET ?", (*self.parameters, bound, min(skip, INT_MAX))

    def any_nul(self) -> str:
        """The statement that asks whether any document may hold a NUL character."""
        return f"SELECT EXISTS(SELECT 1 FROM {self.table} WHERE {NUL_SQL})"

    def number_in_sort(self) -> str:
        """The statement that asks whether there is a number to sort by."""
        fields = " OR ".join(f"{rank_sql(path)}=3" for path in self.sorted_near)
        return f"SELECT EXISTS(SELECT 1 FROM {self.table} WHERE {fields})"

    def nul_in_fields(self) -> str:
        """The statement that asks whether one of the doubtful fields holds a NUL character anywhere."""
        fields = " OR ".join(map(_holds_nul_sql, self.doubtful))
        return f"SELECT EXISTS(SELECT 1 FROM {self.table} WHERE {NUL_SQL} AND ({fields}))"


def plan_query(table: str, tree: And, sort: Sequence[SortKey], *, strings: bool = True, sorts: bool = True) -> Plan:
    """Divide a query between SQLite and Python.

    Args:
        table: The table.
        tree: The parsed filter.
        sort: The sort's keys.
        strings: Whether SQLite may compare strings; not if one that a NUL character cuts short could matter.
        sorts: Whether SQLite may sort.
    """
    able = abilities()
    shape = _shape(tree)
    if shape is None:
        return _plan(able, table, tree, tuple(sort), strings, sorts)
    plan = _plan_of_shape(able, table, shape, tuple(sort), strings, sorts)
    if plan.residual.items or len(plan.parameters) != len(tree.items):
        return _plan(able, table, tree, tuple(sort), strings, sorts)
    parameters = tuple([item.value for item in tree.items])  # type: ignore[union-attr]  # what has a shape compares
    return Plan(table, plan.where, parameters, plan.order, tree, plan.residual, plan.doubtful, plan.sorted_near)


def _shape(tree: And) -> tuple[tuple[tuple[str, ...], str, type], ...] | None:
    """What a plan depends on, where that is nothing but fields, operators and the types of what is compared with them.

    It is so of comparisons with strings and integers, each of which becomes a parameter as it is.
    """
    shape = []
    for item in tree.items:
        if item.__class__ is not Comparison:
            return None
        path, op, value = item
        kind = value.__class__
        if op not in _BINDING or (kind is not int and (kind is not str or "\0" in value)):
            return None
        shape.append((path, op, kind))
    return tuple(shape)


@lru_cache(maxsize=512)
def _plan_of_shape(
    able: Abilities,
    table: str,
    shape: tuple[tuple[tuple[str, ...], str, type], ...],
    sort: tuple[SortKey, ...],
    strings: bool,
    sorts: bool,
) -> Plan:
    """The plan of a filter of this shape, for any values."""
    tree = And(tuple(Comparison(path, op, kind()) for path, op, kind in shape))
    return _plan(able, table, tree, sort, strings, sorts)


def _plan(able: Abilities, table: str, tree: And, sort: tuple[SortKey, ...], strings: bool, sorts: bool) -> Plan:
    """The plan of a filter; the arguments are those of `plan_query`."""
    writer = _Writer()
    pushed: list[Node] = []
    left: list[Node] = []
    conditions: list[str] = []
    budget = _MAX_COMPARISONS
    for item in tree.items:
        price = cost(item, lambda one: _cost(one, able.numbers, strings), _MAX_NESTING, _NEVER)
        if price <= budget:
            budget -= price
            pushed.append(item)
            conditions.append(writer.write(item))
            continue
        left.append(item)
        if isinstance(item, Comparison) and budget and is_plain(item.path) and (near := writer.write_near(item)):
            budget -= 1
            conditions.append(near)
    paths = {key.path for key in sort} - {ID_PATH}
    order = ""
    if sort and sorts and strings and len(sort) <= _MAX_SORT_KEYS and all(map(is_plain, paths)):
        order = _order(sort, pushed)
    doubtful: set[tuple[str, ...]] = set()
    if not able.nul:
        doubtful = writer.string_paths.union(paths) if order else writer.string_paths
    return Plan(
        table=table,
        where=f" WHERE {' AND '.join(conditions)}" if conditions else "",
        parameters=tuple(writer.parameters),
        order=order,
        pushed=And(tuple(pushed)),
        residual=And(tuple(left)),
        doubtful=tuple(doubtful),
        sorted_near=tuple(paths) if order and able.numbers is Numbers.NEAR else (),
    )


def _order(sort: Sequence[SortKey], pushed: Sequence[Node]) -> str:
    """The sort as SQL, without what the filter makes equal: SQLite would not see that an index gives the rest."""
    parts: list[str] = []
    tests: dict[tuple[str, ...], set[str]] = {}
    for item in pushed:
        if isinstance(item, Comparison) and item.value is not None:
            tests.setdefault(item.path, set()).add(item.op)
    for key in sort:
        direction = " DESC" if key.descending else ""
        if key.path == ID_PATH:  # behind which nothing is left to sort
            return f" ORDER BY {', '.join((*parts, f'id{direction}'))}"
        ops = tests.get(key.path, set())
        if "$eq" in ops:
            continue
        if not ops.intersection(_PINNING):
            parts.append(f"{rank_sql(key.path)}{direction}")
        parts.append(f"{value_sql(key.path)}{direction}")
    return f" ORDER BY {', '.join((*parts, 'id'))}"


def _cost(comparison: Comparison, numbers: Numbers, strings: bool) -> int:
    """How many comparisons SQLite gets to see; more than any budget if it does not answer exactly."""
    path, op, value = comparison
    if not is_plain(path):
        return _NEVER
    if op in ("$in", "$nin", "$all"):
        if not all(_is_exact(item, numbers, strings) for item in value):
            return _NEVER
        return max(1, len(value)) if op == "$all" else 1
    if op in ("$exists", "$size"):
        return 1
    if not _is_exact(value, numbers, strings):
        return _NEVER
    return 2 if op == "$prefix" else 1


def _is_exact(value: Any, numbers: Numbers, strings: bool) -> bool:
    """Whether SQLite compares a value with this one as the reference does."""
    kind = value.__class__
    if kind is str:
        return strings and "\0" not in value
    if kind is int:
        return numbers is not Numbers.NEAR
    if kind is float:
        return numbers is Numbers.ALL or (numbers is Numbers.ORDINARY and is_ordinary(value))
    return kind is bool or value is None


@lru_cache(maxsize=4096)
def _compare_sql(path: tuple[str, ...], kind: int, operator: str) -> str:
    return f"({rank_sql(path)}={kind} AND {value_sql(path)}{operator}?)"


def _holds_nul_sql(path: tuple[str, ...]) -> str:
    """Whether the value at the path holds a NUL character, read from its JSON text: two paths give that as an array."""
    text = json_path(path)
    return f"instr(replace(json_extract(body,{text},{text}),'\\\\',''),'\\u0000')>0"


class _Writer(FilterWriter):
    """Writes pushable filters as SQL, and gathers their parameters in the order of their question marks."""

    true = "1"
    false = "0"

    __slots__ = ("parameters", "string_paths")

    def __init__(self) -> None:
        self.parameters: list[Any] = []
        self.string_paths: set[tuple[str, ...]] = set()

    def write_near(self, comparison: Comparison) -> str | None:
        """What an index can narrow down of a comparison with numbers that the matcher has to finish."""
        path, op, value = comparison
        numbers = value if op == "$in" else [value]
        if op not in (*ORDERINGS, "$eq", "$in") or not 0 < len(numbers) <= _MAX_NEAR:
            return None
        if not all(number.__class__ is int or number.__class__ is float for number in numbers):
            return None
        parts = []
        for number in numbers:
            slack = abs(number) * _SLACK + sys.float_info.min
            parts.append(f"{rank_sql(path)}=3")
            if op not in ("$lt", "$lte"):
                parts[-1] += f" AND {value_sql(path)}>=?"
                self.parameters.append(number - slack)
            if op not in ("$gt", "$gte"):
                parts[-1] += f" AND {value_sql(path)}<=?"
                self.parameters.append(number + slack)
        return f"({' OR '.join(f'({part})' for part in parts)})"

    def rank(self, path: tuple[str, ...]) -> str:
        return rank_sql(path)

    def compare(self, path: tuple[str, ...], operator: str, value: Any) -> str:
        self.parameters.append(int(value) if value.__class__ is bool else value)
        return _compare_sql(path, self.kind(path, value), operator)

    def among(self, path: tuple[str, ...], kind: int, values: Sequence[Any]) -> str:
        # One parameter, however many values.
        self.parameters.append(json.dumps(values, ensure_ascii=False))
        return f"({rank_sql(path)}={kind} AND {value_sql(path)} IN (SELECT value FROM json_each(?)))"

    # What no index serves hides its rank from the planner, which would take an index on it for a good start.

    def size(self, path: tuple[str, ...], length: int) -> str:
        if length > INT_MAX:
            return self.false
        self.parameters.append(length)
        return f"(+{rank_sql(path)}=5 AND json_array_length(body,{json_path(path)})=?)"

    def holds(self, path: tuple[str, ...], values: Sequence[Any]) -> str:
        return f"(+{rank_sql(path)}=5{''.join(f' AND {self._item(path, value)}' for value in values)})"

    def has_part(self, path: tuple[str, ...], text: str) -> str:
        self.parameters.append(text)
        return f"(+{rank_sql(path)}=4 AND instr({value_sql(path)},?)>0)"

    def _item(self, path: tuple[str, ...], value: Any) -> str:
        """Whether the list at the path has this item."""
        if value is None:
            test = "j.type='null'"
        elif value.__class__ is bool:
            test = f"j.type='{'true' if value else 'false'}'"
        else:
            text = self.kind(path, value) == 4
            self.parameters.append(value)
            test = "j.type='text' AND j.value=?" if text else "j.type IN ('integer','real') AND j.value=?"
        return f"EXISTS(SELECT 1 FROM json_each(body,{json_path(path)}) AS j WHERE {test})"

    def kind(self, path: tuple[str, ...], value: Any) -> int:
        if value.__class__ is str and path != ID_PATH:
            self.string_paths.add(path)
        return super().kind(path, value)
