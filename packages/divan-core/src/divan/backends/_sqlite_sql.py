"""Writes the SQL of the embedded SQLite backend: filters, sorts, indexes and updates, exact to the reference matcher.

Each field that a filter names is seen through two expressions: its rank, which is `divan.query.rank` of its value, and
its value as SQLite extracts it. An index holds the same pair, so that one tree of an index serves equality, ranges and
sorts across types. No expression is ever NULL where it is negated: a comparison of values stands behind the rank that
makes it one of two known values.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple
from zlib import crc32

from divan.query import And, Comparison, Node, Not, SortKey
from divan.validation import INT_MAX

# What these names are written as inside a JSON document is never escaped, so that comparing bytes finds them.
_NAME: Final = re.compile(r"[A-Za-z0-9_ -]+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_MAX_COMPARISONS: Final = 200  # SQLite takes expressions 1,000 levels deep, and a chain of ANDs counts as levels
_NEVER: Final = _MAX_COMPARISONS + 1
_MAX_NESTING: Final = 8  # its parser's stack may hold 100 entries
_MAX_ASSIGNMENTS: Final = 40  # and a function takes 100 arguments
_MAX_SORT_KEYS: Final = 16

_ORDERINGS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_NUL: Final = "body GLOB '*\\u0000*'"
"""Whether a document may hold a NUL character, in the form that SQLite matches with the partial index."""


# What this SQLite can do


class Abilities(NamedTuple):
    """What the SQLite that this process runs answers exactly.

    Attributes:
        numbers: It reads the shortest text of every float as that float.
        nul: It extracts strings that hold NUL characters whole.
        assigns: `json_set` and `json_remove` leave the rest of a document as it is, to the byte.
    """

    numbers: bool
    nul: bool
    assigns: bool


_HARD_FLOATS: Final = (
    0.1, -0.0, 1e308, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 0.1 + 0.2,
    1 / 3, 2 / 3, 9007199254740993.0, 9007199254740991.0, 1e16, 1e22, 1e23, 123456789012345.67, 8.41e21, 9.5e-3,
    5.0e-5, 1.1e-311, 6.631236846766476e-316, 1.0000000000000002, 0.9999999999999999, 4.35, 0.000035, 17.39,
    7.2057594037927933e16, 9.223372036854776e18, 1.8446744073709552e19, 2.5e-6, 6.02214076e23, 1.602176634e-19,
    299792458.5, 8.988465674311579e307, 4.450147717014403e-308, 1e-5, 123.456e-300, 3.5844466002796428e298, 1.005,
    2.675, 1e21, -1e-7,
)  # fmt: skip

_HARD_BODY: Final = (
    '{"a":1.0,"b":[],"c":{},"d":9223372036854775807,"e":-9223372036854775808,"f":-0.0,"g":1e+308,"gone":[1],'
    '"h":"\\u0000\\"\\\\\\u001f/\x7fé😀","i":5e-324,"j":[1.0,{"k":null}],"l":true}'
)


@cache
def abilities() -> Abilities:
    """What this process's SQLite answers exactly, found out by trying."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        floats = [row[0] for row in connection.execute("SELECT value FROM json_each(?)", (json.dumps(_HARD_FLOATS),))]
        (nul,) = connection.execute(
            "SELECT json_extract(:json,'$[0]')=:text AND instr(json_extract(:json,'$[0]'),'b')=3 AND value=:text "
            "FROM json_each(:json)",
            {"json": '["a\\u0000b"]', "text": "a\0b"},
        ).fetchone()
        (body,) = connection.execute(
            "SELECT json_set(json_remove(?,'$.gone'),'$.a',json('2.0'),'$.\"x y\"',json(?))",
            (_HARD_BODY, '["\\u0000",1.0]'),
        ).fetchone()
    finally:
        connection.close()
    expected = _HARD_BODY.replace('"gone":[1],', "").replace('"a":1.0', '"a":2.0')[:-1] + ',"x y":["\\u0000",1.0]}'
    return Abilities(tuple(floats) == _HARD_FLOATS, bool(nul), body == expected)


# Fields


@lru_cache(maxsize=1024)
def is_plain(path: tuple[str, ...]) -> bool:
    """Whether SQLite finds the field at this path in every document that has it."""
    return all(map(_NAME.fullmatch, path))


def is_table_name(name: str) -> bool:
    """Whether a table may be called so."""
    return bool(_IDENTIFIER.fullmatch(name)) and not name.lower().startswith("sqlite_") and len(name) <= 64


@lru_cache(maxsize=1024)
def _json_path(path: tuple[str, ...]) -> str:
    """The path as a literal: SQLite compares the expressions of a query and an index by their text."""
    return "'$" + "".join(f".{name}" if _IDENTIFIER.fullmatch(name) else f'."{name}"' for name in path) + "'"


@lru_cache(maxsize=1024)
def _rank(path: tuple[str, ...]) -> str:
    return (
        f"CASE json_type(body,{_json_path(path)}) WHEN 'null' THEN 1 WHEN 'true' THEN 2 WHEN 'false' THEN 2 "
        "WHEN 'integer' THEN 3 WHEN 'real' THEN 3 WHEN 'text' THEN 4 WHEN 'array' THEN 5 WHEN 'object' THEN 6 "
        "ELSE 0 END"
    )


@lru_cache(maxsize=1024)
def _value(path: tuple[str, ...]) -> str:
    return f"json_extract(body,{_json_path(path)})"


@lru_cache(maxsize=4096)
def _compare(path: tuple[str, ...], kind: int, operator: str) -> str:
    return f"({_rank(path)}={kind} AND {_value(path)}{operator}?)"


def _holds_nul(path: tuple[str, ...]) -> str:
    """Whether the value at the path holds a NUL character, read from its JSON text: two paths give that as an array."""
    text = _json_path(path)
    return f"instr(replace(json_extract(body,{text},{text}),'\\\\',''),'\\u0000')>0"


# Tables, indexes, updates


def table_sql(table: str) -> str:
    """The statement that makes the table of documents; another program need only give ``id`` and ``body``."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (id TEXT NOT NULL PRIMARY KEY, "
        f"rev INTEGER NOT NULL DEFAULT (abs(random() % {2**47}) + 1), body TEXT NOT NULL)"
    )


def nul_index_sql(table: str) -> str:
    """The statement that makes the index of the few documents whose strings this SQLite can't extract whole."""
    return f"CREATE INDEX IF NOT EXISTS {table}_nul ON {table} (id) WHERE {_NUL}"


def index_name(table: str, fields: Sequence[str]) -> str:
    """What the index on these fields is called."""
    name = f"{table}_by_{','.join(fields)}"
    # SQLite takes names that differ in case for one.
    return name if name == name.lower() else f"{name}_{crc32(name.encode()):08x}"


def index_sql(table: str, fields: Sequence[str]) -> str:
    """The statement that makes the index on these plain fields."""
    paths = [tuple(field.split(".")) for field in fields]
    columns = ", ".join(f"{_rank(path)}, {_value(path)}" for path in paths)
    return f'CREATE INDEX IF NOT EXISTS "{index_name(table, fields)}" ON {table} ({columns}, id)'


@lru_cache(maxsize=512)
def update_sql(table: str, fields: tuple[str, ...], remove: tuple[str, ...], guarded: bool) -> str | None:
    """The statement that merges fields into a document, or `None` where SQLite does not do that exactly.

    Its parameters are the JSON text of each field's value, the id and, if `guarded`, the revision.
    """
    if len(fields) + len(remove) > _MAX_ASSIGNMENTS or not is_plain(fields + remove) or not abilities().assigns:
        return None
    body = "body"
    if remove:
        body = f"json_remove({body},{','.join(_json_path((name,)) for name in remove)})"
    if fields:
        body = f"json_set({body},{','.join(f'{_json_path((name,))},json(?)' for name in fields)})"
    guard = " AND rev=?" if guarded else ""
    return f"UPDATE {table} SET body={body}, rev=rev+1 WHERE id=?{guard} RETURNING rev, body"


# Queries


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
    """

    table: str
    where: str
    parameters: tuple[Any, ...]
    order: str
    pushed: And
    residual: And
    doubtful: tuple[tuple[str, ...], ...]

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
        return f"SELECT EXISTS(SELECT 1 FROM {self.table} WHERE {_NUL})"

    def nul_in_fields(self) -> str:
        """The statement that asks whether one of the doubtful fields holds a NUL character anywhere."""
        fields = " OR ".join(map(_holds_nul, self.doubtful))
        return f"SELECT EXISTS(SELECT 1 FROM {self.table} WHERE {_NUL} AND ({fields}))"


def plan_query(table: str, tree: And, sort: Sequence[SortKey], *, strings: bool = True) -> Plan:
    """Divide a query between SQLite and Python.

    Args:
        table: The table.
        tree: The parsed filter.
        sort: The sort's keys.
        strings: Whether SQLite may compare strings; not if one that a NUL character cuts short could matter.
    """
    able = abilities()
    writer = _Writer()
    pushed: list[Node] = []
    left: list[Node] = []
    budget = _MAX_COMPARISONS
    for item in tree.items:
        cost = _cost(item, able.numbers, strings)
        if cost > budget:
            left.append(item)
        else:
            budget -= cost
            pushed.append(item)
    where = " AND ".join(map(writer.write, pushed))
    sorts = strings and able.numbers and 0 < len(sort) <= _MAX_SORT_KEYS and all(is_plain(key.path) for key in sort)
    doubtful = set() if able.nul else writer.string_paths
    if sorts and not able.nul:
        doubtful.update(key.path for key in sort)
    return Plan(
        table=table,
        where=f" WHERE {where}" if where else "",
        parameters=tuple(writer.parameters),
        order=_order(sort, pushed) if sorts else "",
        pushed=And(tuple(pushed)),
        residual=And(tuple(left)),
        doubtful=tuple(doubtful),
    )


def _order(sort: Sequence[SortKey], pushed: Sequence[Node]) -> str:
    """The sort as SQL, without what the filter makes equal: SQLite would not see that an index gives the rest."""
    parts = []
    tests: dict[tuple[str, ...], set[str]] = {}
    for item in pushed:
        if isinstance(item, Comparison) and item.value is not None:
            tests.setdefault(item.path, set()).add(item.op)
    for key in sort:
        direction = " DESC" if key.descending else ""
        ops = tests.get(key.path, set())
        if "$eq" in ops:
            continue
        if not ops.intersection(_ORDERINGS):
            parts.append(f"{_rank(key.path)}{direction}")
        parts.append(f"{_value(key.path)}{direction}")
    return f" ORDER BY {', '.join((*parts, 'id'))}"


def _cost(node: Node, numbers: bool, strings: bool, nesting: int = _MAX_NESTING) -> int:
    """How many comparisons SQLite gets to see; more than any budget if it does not answer all of them exactly."""
    if isinstance(node, Comparison):
        path, op, value = node
        if not is_plain(path):
            return _NEVER
        if op in ("$in", "$nin", "$all"):
            if not all(_is_exact(item, numbers, strings) for item in value):
                return _NEVER
            return max(1, len(value)) if op == "$all" else 1
        return 1 if op in ("$exists", "$size") or _is_exact(value, numbers, strings) else _NEVER
    if not nesting:
        return _NEVER
    if isinstance(node, Not):
        return _cost(node.item, numbers, strings, nesting - 1)
    return sum(_cost(item, numbers, strings, nesting - 1) for item in node.items)


def _is_exact(value: Any, numbers: bool, strings: bool) -> bool:
    """Whether SQLite compares a value with this one as the reference does."""
    kind = value.__class__
    if kind is str:
        return strings and "\0" not in value
    if kind is int or kind is float:
        return numbers
    return kind is bool or value is None


class _Writer:
    """Writes pushable filters as SQL, and gathers their parameters in the order of their question marks."""

    __slots__ = ("parameters", "string_paths")

    def __init__(self) -> None:
        self.parameters: list[Any] = []
        self.string_paths: set[tuple[str, ...]] = set()

    def write(self, node: Node) -> str:
        if isinstance(node, Comparison):
            return self._comparison(*node)
        if isinstance(node, Not):
            return f"NOT ({self.write(node.item)})"
        if isinstance(node, And):
            return f"({' AND '.join(map(self.write, node.items))})" if node.items else "1"
        return f"({' OR '.join(map(self.write, node.items))})"

    def _comparison(self, path: tuple[str, ...], op: str, value: Any) -> str:
        if op == "$eq":
            return self._equal(path, value)
        if op in _ORDERINGS:
            return self._ordered(path, op, value)
        rank = _rank(path)
        if op == "$in":
            return self._in(path, value)
        if op == "$exists":
            return f"{rank}>0" if value else f"{rank}=0"
        if op == "$ne":
            return f"NOT {self._equal(path, value)}"
        if op == "$nin":
            return f"NOT {self._in(path, value)}"
        # What no index serves hides its rank from the planner, which would take an index on it for a good start.
        if op == "$size":
            if value > INT_MAX:
                return "0"
            self.parameters.append(value)
            return f"(+{rank}=5 AND json_array_length(body,{_json_path(path)})=?)"
        if op == "$all":
            items = "".join(f" AND {self._item(path, item)}" for item in value)
            return f"(+{rank}=5{items})"
        if value.__class__ is str:
            self.parameters.append(value)
            return f"((+{rank}=4 AND instr({_value(path)},?)>0) OR (+{rank}=5 AND {self._item(path, value)}))"
        return f"(+{rank}=5 AND {self._item(path, value)})"

    def _equal(self, path: tuple[str, ...], value: Any) -> str:
        if value is None:
            return f"({_rank(path)}=1)"
        return self._compare(path, "=", value)

    def _ordered(self, path: tuple[str, ...], op: str, value: Any) -> str:
        if value is None:
            return f"({_rank(path)}=1)" if op in ("$gte", "$lte") else "0"
        return self._compare(path, _ORDERINGS[op], value)

    def _compare(self, path: tuple[str, ...], operator: str, value: Any) -> str:
        self.parameters.append(int(value) if value.__class__ is bool else value)
        return _compare(path, self._kind(path, value), operator)

    def _in(self, path: tuple[str, ...], values: Sequence[Any]) -> str:
        groups: dict[int, list[Any]] = {}
        parts = []
        for value in values:
            if value is None:
                parts = [self._equal(path, None)]
            else:
                groups.setdefault(self._kind(path, value), []).append(value)
        for kind, group in groups.items():
            if len(group) == 1:
                parts.append(self._equal(path, group[0]))
            else:  # one parameter, however many values
                self.parameters.append(json.dumps(group, ensure_ascii=False))
                parts.append(f"({_rank(path)}={kind} AND {_value(path)} IN (SELECT value FROM json_each(?)))")
        return f"({' OR '.join(parts)})" if parts else "0"

    def _item(self, path: tuple[str, ...], value: Any) -> str:
        """Whether the list at the path has this item."""
        if value is None:
            test = "j.type='null'"
        elif value.__class__ is bool:
            test = f"j.type='{'true' if value else 'false'}'"
        else:
            text = self._kind(path, value) == 4
            self.parameters.append(value)
            test = "j.type='text' AND j.value=?" if text else "j.type IN ('integer','real') AND j.value=?"
        return f"EXISTS(SELECT 1 FROM json_each(body,{_json_path(path)}) AS j WHERE {test})"

    def _kind(self, path: tuple[str, ...], value: Any) -> int:
        if value.__class__ is str:
            self.string_paths.add(path)
            return 4
        return 2 if value.__class__ is bool else 3
