"""Internal: divides a query between PostgreSQL and Python, and writes PostgreSQL's part, exact to the reference.

Each field is seen through its rank, its number and its string. An index holds all three, of the string the beginning,
so that one tree of an index serves equality, ranges and sorts across types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from divan.backends.sql import FilterWriter, cost
from divan.query import ID_PATH, And, Comparison, Node, SortKey
from divan.validation import INT_MAX

from divan_postgres.documents import encode, escape, number, number_array, text_array
from divan_postgres.sql import START, field_sql, number_sql, rank_sql, start_sql, text_sql
from divan_postgres.wire import Command

_MAX_COMPARISONS: Final = 1000
_NEVER: Final = _MAX_COMPARISONS + 1
_MAX_NESTING: Final = 100
_MAX_SORT_KEYS: Final = 32
_PAIRED: Final = ("\0", "\1", "\2")  # with which a part may begin amid what stands for one character


class Plan(NamedTuple):
    """How one query is divided between PostgreSQL and Python.

    Attributes:
        table: The table, as it stands in a statement.
        conditions: The pushed filter as SQL, or ``""``.
        parameters: Its parameters, and those before them.
        formats: For each parameter, 1 if it is in binary form.
        order: The pushed sort as SQL, or ``""``.
        pushed: The part of the filter that PostgreSQL answers.
        residual: The part that the matcher finishes.
    """

    table: str
    conditions: str
    parameters: tuple[bytes, ...]
    formats: tuple[int, ...]
    order: str
    pushed: And
    residual: And

    @property
    def also(self) -> str:
        """The pushed filter as it stands behind another condition."""
        return f" AND {self.conditions}" if self.conditions else ""

    def select(self, columns: str, limit: int | None = None, skip: int = 0, *, before: str = "") -> Command:
        """The statement.

        Args:
            columns: What it selects.
            limit: How many rows at most.
            skip: How many rows are left out.
            before: What stands before ``SELECT``.
        """
        where = f" WHERE {self.conditions}" if self.conditions else ""
        sql = f"{before}SELECT {columns} FROM {self.table}{where}{self.order}"
        if limit is not None:
            sql += f" LIMIT {min(limit, INT_MAX)}"
        if skip:
            sql += f" OFFSET {min(skip, INT_MAX)}"
        return Command(sql, self.parameters, self.formats)


def plan_query(
    table: str, tree: And, sort: Sequence[SortKey], parameters: Sequence[bytes] = (), formats: Sequence[int] = ()
) -> Plan:
    """Divide a query between PostgreSQL and Python.

    Args:
        table: The table, as it stands in a statement.
        tree: The parsed filter.
        sort: The sort's keys.
        parameters: The parameters that come before those of the filter.
        formats: For each of these, 1 if it is in binary form.
    """
    writer = _Writer(parameters, formats)
    pushed: list[Node] = []
    left: list[Node] = []
    budget = _MAX_COMPARISONS
    for item in tree.items:
        price = cost(item, _cost, _MAX_NESTING, _NEVER)
        if price <= budget:
            budget -= price
            pushed.append(item)
        else:
            left.append(item)
    conditions = list(map(writer.write, pushed))
    return Plan(
        table=table,
        conditions=" AND ".join(conditions),
        parameters=tuple(writer.parameters),
        formats=tuple(writer.formats),
        order=_order(sort) if sort and len(sort) <= _MAX_SORT_KEYS else "",
        pushed=And(tuple(pushed)),
        residual=And(tuple(left)),
    )


def _order(sort: Sequence[SortKey]) -> str:
    """The sort as SQL; strings by their beginnings first, as an index has them."""
    parts: list[str] = []
    for key in sort:
        way = " DESC" if key.descending else ""
        if key.path == ID_PATH:  # behind which nothing is left to sort
            return f" ORDER BY {', '.join((*parts, f'id{way}'))}"
        parts += [f"{see(key.path)}{way}" for see in (rank_sql, number_sql, start_sql, text_sql)]
    return f" ORDER BY {', '.join((*parts, 'id'))}"


def _cost(comparison: Comparison) -> int:
    """How many comparisons PostgreSQL gets to see; more than any budget if it does not answer exactly."""
    path, op, value = comparison
    if op in ("$in", "$nin", "$all"):
        if path == ID_PATH and any(item.__class__ is str and "\0" in item for item in value):
            return _NEVER
        simple = [item for item in value if not isinstance(item, list | dict)]
        return 1 + len(value) - len(simple)
    if path == ID_PATH:
        return _NEVER if value.__class__ is str and "\0" in value else 1
    if isinstance(value, list | dict) and op not in ("$eq", "$ne", "$contains"):
        return _NEVER
    if op == "$contains" and value.__class__ is str and value.startswith(_PAIRED):
        return _NEVER
    return 1


class _Writer(FilterWriter):
    """Writes pushable filters as SQL, and gathers their parameters."""

    true = "true"
    false = "false"

    __slots__ = ("formats", "parameters")

    def __init__(self, parameters: Sequence[bytes], formats: Sequence[int]) -> None:
        self.parameters = list(parameters)
        self.formats = list(formats)

    def rank(self, path: tuple[str, ...]) -> str:
        return rank_sql(path)

    def compare(self, path: tuple[str, ...], operator: str, value: Any) -> str:
        kind = self.kind(path, value)
        if path == ID_PATH:
            return f"(id {operator} {self._text(value)})" if kind == 4 else self.false
        if kind > 4:
            return f"({rank_sql(path)} = {kind} AND {field_sql(path)} = {self._json(value)})"
        if kind < 4:
            given = self._give(number(value + 0).encode(), "numeric")
            return f"({rank_sql(path)} = {kind} AND {number_sql(path)} {operator} {given})"
        text = escape(value)
        # That there is no number makes no difference but to an index, which holds it before the string.
        narrowed = f"{rank_sql(path)} = 4 AND {number_sql(path)} IS NULL AND {start_sql(path)}"
        if len(text) < START:
            return f"({narrowed} {operator} {self._text(text)})"
        start = {">": ">=", "<": "<="}.get(operator, operator)
        return f"({narrowed} {start} {self._text(text[:START])} AND {text_sql(path)} {operator} {self._text(text)})"

    def among(self, path: tuple[str, ...], kind: int, values: Sequence[Any]) -> str:
        if kind > 4:
            return f"({' OR '.join(self.compare(path, '=', value) for value in values)})"
        if path == ID_PATH:
            return f"(id = ANY({self._texts(values)}))" if kind == 4 else self.false
        if kind < 4:
            given = self._give(number_array([value + 0 for value in values]), "numeric[]")
            return f"({rank_sql(path)} = {kind} AND {number_sql(path)} = ANY({given}))"
        texts = list(map(escape, values))
        narrowed = f"{rank_sql(path)} = 4 AND {number_sql(path)} IS NULL AND {start_sql(path)}"
        narrowed += f" = ANY({self._texts([text[:START] for text in texts])})"
        if all(len(text) < START for text in texts):
            return f"({narrowed})"
        return f"({narrowed} AND {text_sql(path)} = ANY({self._texts(texts)}))"

    def size(self, path: tuple[str, ...], length: int) -> str:
        if path == ID_PATH or length > INT_MAX:
            return self.false
        field = field_sql(path)
        list_length = f"CASE jsonb_typeof({field}) WHEN 'array' THEN jsonb_array_length({field}) END"
        return f"coalesce({list_length} = {self._give(b'%d' % length, 'bigint')}, false)"

    def holds(self, path: tuple[str, ...], values: Sequence[Any]) -> str:
        if path == ID_PATH:
            return self.false
        field = field_sql(path)
        parts = [f"{rank_sql(path)} = 5"]
        if simple := [value for value in values if not isinstance(value, list | dict)]:
            parts.append(f"{field} @> {self._json(simple)}")
        for value in values:  # of which containment would take a part for the whole
            if isinstance(value, list | dict):
                items = f"CASE jsonb_typeof({field}) WHEN 'array' THEN {field} ELSE '[]' END"
                found = f"SELECT FROM jsonb_array_elements({items}) AS e(item) WHERE e.item = {self._json(value)}"
                parts.append(f"EXISTS ({found})")
        return f"({' AND '.join(parts)})"

    def has_part(self, path: tuple[str, ...], text: str) -> str:
        if path == ID_PATH:
            return f"(strpos(id, {self._text(text)}) > 0)"
        return f"coalesce(strpos({text_sql(path)}, {self._text(escape(text))}) > 0, false)"

    def kind(self, path: tuple[str, ...], value: Any) -> int:
        return 5 if isinstance(value, list) else 6 if isinstance(value, dict) else super().kind(path, value)

    def _give(self, parameter: bytes, kind: str, form: int = 0) -> str:
        self.parameters.append(parameter)
        self.formats.append(form)
        return f"${len(self.parameters)}::{kind}"

    def _text(self, text: str) -> str:
        return self._give(text.encode(), "text")

    def _texts(self, texts: Sequence[str]) -> str:
        return self._give(text_array(texts), "text[]", 1)

    def _json(self, value: Any) -> str:
        return self._give(encode(value), "jsonb")
