"""Internal: checks filters, sorts and projections, and brings them into normal form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from divan.errors import InvalidDocument, InvalidQuery, shown
from divan.query.matching import Query
from divan.query.tree import COMPARISONS, ID_PATH, LOGICAL, And, Comparison, Node, Not, Or, SortKey
from divan.validation import INT_MAX, INT_MIN, MAX_DEPTH, check_path, validate_value

_CODE_OPERATORS: Final = ("$where", "$function", "$expr", "$accumulator", "$jsonSchema", "$text")

_INSTEAD: Final = {
    "$nor": "write {'$not': {'$or': [{'a': 1}, …]}}",
    "$elemMatch": (
        "lists are not entered: write {'list': {'$contains': value}} for a whole item, or keep what is asked for in a "
        "field of its own"
    ),
    "$type": "write {'field': None} for null, {'$gte': ''} for strings, {'$lte': True} for booleans",
    "$mod": "keep the remainder in a field of its own, or compute it from what a wider filter finds",
    "$regex": "write {'$prefix': 'Ada'} for how a string begins, {'$contains': 'Ada'} for what is in it",
    "$options": "keep a field in lower case, and write {'$prefix': 'ada'} or {'$contains': 'ada'}",
    "$allMatch": "lists are not entered: keep what is asked for in a field of its own",
    "$keyMapMatch": "write {'object.name': {'$exists': True}} for a name that an object has",
    "$beginsWith": "write {'$prefix': 'Ada'}",
}
"""What MongoDB or Mango has and Divan has not → what to write in its place."""

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})

Encoder = Callable[[str, str, Any], Any]
"""Turns a value given for (field, operator) into its stored form."""


def parse(where: Mapping[str, Any] | None, encode: Encoder | None = None, native: tuple[type, ...] = ()) -> Query:
    """Check a filter and bring it into normal form.

    Args:
        where: The filter; `None` and ``{}`` match everything. A `Query` is returned as it is.
        encode: Turns a value given for a field into its stored form; called as ``encode(field, operator, value)``.
        native: Types of a store's own that an operand may have; see `validate_document`.

    Raises:
        InvalidQuery: naming what can't be understood.
    """
    if isinstance(where, Query):
        return where
    if not where and (where is None or isinstance(where, Mapping)):
        return Query(And(()))
    simple = _simple(where) if encode is None and where.__class__ is dict else None
    return Query(_Parser(encode, native).filter(where, 1) if simple is None else simple)


def _simple(where: Mapping[str, Any]) -> And | None:
    """The tree of a filter that asks whether fields equal plain values, as most do; `None` of any other."""
    items = []
    for field, value in where.items():
        kind = value.__class__
        if not (
            (value.isascii() if kind is str else INT_MIN <= value <= INT_MAX if kind is int else kind is bool)
            and field.__class__ is str
            and field[:1] != "$"
            and len(field) <= _KNOWN_LENGTH
        ):
            return None
        try:
            items.append(Comparison(_known_path(field), "$eq", value))
        except InvalidDocument:
            return None
    return And(tuple(items))


class _Parser:
    """Parses one filter."""

    def __init__(self, encode: Encoder | None, native: tuple[type, ...]) -> None:
        self._encode = encode
        self._native = native

    def filter(self, where: object, depth: int) -> And:
        if not isinstance(where, Mapping):
            raise InvalidQuery(f"a filter is a mapping of fields to values, not {type(where).__name__}")
        if depth > MAX_DEPTH:
            raise InvalidQuery(f"the filter is nested deeper than {MAX_DEPTH} levels")
        items: list[Node] = []
        for key, value in where.items():
            if not isinstance(key, str):
                raise InvalidQuery(f"a filter's keys are field names and operators, not {shown(key)}")
            if not key.startswith("$"):
                items.extend(self.field(key, value, depth))
            elif key == "$not":
                items.append(Not(self.filter(value, depth + 1)))
            elif key in LOGICAL:
                if not isinstance(value, list | tuple) or not value:
                    raise InvalidQuery(f"{key} takes a list of at least one filter")
                parts = tuple(self.filter(part, depth + 1) for part in value)
                if key == "$and":
                    items.extend(item for part in parts for item in part.items)
                else:
                    items.append(Or(tuple(part.items[0] if len(part.items) == 1 else part for part in parts)))
            elif key in COMPARISONS:
                raise InvalidQuery(f"{key} compares a field: write {{'field': {{{key!r}: …}}}}")
            else:
                _refuse_operator(key)
        return And(tuple(items))

    def field(self, field: str, value: Any, depth: int) -> list[Node]:
        try:
            path = _path(field)
        except InvalidDocument as error:
            raise InvalidQuery(f"{shown(field)} is no field to ask for: {error}") from None
        if value.__class__ in _SCALARS:
            return [Comparison(path, "$eq", self.stored(field, "$eq", value))]
        if not isinstance(value, Mapping) or not any(isinstance(key, str) and key.startswith("$") for key in value):
            return [Comparison(path, "$eq", self.operand(field, "$eq", value))]
        items: list[Node] = []
        for op, operand in value.items():
            if not isinstance(op, str) or not op.startswith("$"):
                raise InvalidQuery(f"{field}: operators and plain keys are mixed: {shown(op)} beside an operator")
            if op == "$not":
                if not isinstance(operand, Mapping) or not operand:
                    raise InvalidQuery(f"{field}: $not takes operators, as in {{'$not': {{'$gt': 5}}}}")
                if depth > MAX_DEPTH:
                    raise InvalidQuery(f"the filter is nested deeper than {MAX_DEPTH} levels")
                items.append(Not(And(tuple(self.field(field, operand, depth + 1)))))
            elif op in COMPARISONS:
                items.append(Comparison(path, op, self.operand(field, op, operand)))
            elif op in LOGICAL:
                raise InvalidQuery(f"{field}: {op} combines whole filters: write {{{op!r}: [{{{field!r}: …}}, …]}}")
            else:
                _refuse_operator(op, field)
        return items

    def operand(self, field: str, op: str, value: Any) -> Any:
        """The operand in stored form, checked for what the operator takes."""
        if op == "$exists":
            if not isinstance(value, bool):
                raise InvalidQuery(f"{field}: $exists takes true or false, not {shown(value)}")
            return value
        if op == "$size":
            if not _is_whole(value):
                raise InvalidQuery(f"{field}: $size takes a whole number from 0 to 2**63-1, not {shown(value)}")
            return int(value)
        if op in ("$in", "$nin", "$all"):
            if not isinstance(value, list | tuple | set | frozenset):
                raise InvalidQuery(f"{field}: {op} takes a list of values, not {type(value).__name__}")
            return [self.stored(field, op, item) for item in value]
        if op == "$prefix" and not isinstance(value, str):
            raise InvalidQuery(f"{field}: $prefix takes the beginning of a string, not {shown(value)}")
        return self.stored(field, op, value)

    def stored(self, field: str, op: str, value: Any) -> Any:
        try:
            if self._encode is not None:
                value = self._encode(field, op, value)
            return validate_value(value, field, self._native)
        except InvalidDocument as error:
            raise InvalidQuery(f"{op}: {error}") from error.__cause__


def _refuse_operator(op: str, field: str = "") -> NoReturn:
    where = f"{field}: " if field else ""
    if op in _INSTEAD:
        raise InvalidQuery(f"{where}{op} is not among the operators that every store shares; {_INSTEAD[op]}")
    if op in _CODE_OPERATORS:
        raise InvalidQuery(f"{where}{op} is never passed through to a store; use {', '.join((*COMPARISONS, *LOGICAL))}")
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(op, (*COMPARISONS, *LOGICAL), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InvalidQuery(f"{where}unknown operator {op}{hint}; the operators are {', '.join((*COMPARISONS, *LOGICAL))}")


def parse_sort(sort: str | Iterable[str] | None) -> tuple[SortKey, ...]:
    """Check a sort: ``"field"``, ``"-field"`` for descending, or an iterable of them.

    Raises:
        InvalidQuery: naming what can't be understood.
    """
    if sort is None:
        return ()
    if not isinstance(sort, Iterable):
        raise InvalidQuery(f"sort takes 'field', '-field' or a list of them, not {shown(sort)}")
    keys = []
    for item in (sort,) if isinstance(sort, str) else sort:
        if not isinstance(item, str):
            raise InvalidQuery(f"a sort key is 'field' or '-field', not {shown(item)}")
        descending = item.startswith("-")
        field = item[1:] if descending else item
        try:
            keys.append(SortKey(field, descending, _path(field)))
        except InvalidDocument as error:
            raise InvalidQuery(f"{shown(item)} is no sort key: {error}") from None
    return tuple(keys)


def parse_fields(fields: Iterable[str] | None) -> tuple[str, ...] | None:
    """Check a projection: dotted paths to keep; empty keeps none but the id and revision, which are always kept.

    Raises:
        InvalidQuery: naming what can't be understood.
    """
    if fields is None:
        return None
    if isinstance(fields, str):
        raise InvalidQuery(f"fields takes a list of field names; write [{shown(fields)}]")
    if not isinstance(fields, Iterable):
        raise InvalidQuery(f"fields takes a list of field names, not {shown(fields)}")
    names = tuple(fields)
    for name in names:
        try:
            _path(name)
        except InvalidDocument as error:
            raise InvalidQuery(f"{shown(name)} is no field to return: {error}") from None
    return tuple(name for name in names if name != "_id")


def parse_bound(name: str, value: int | None) -> int | None:
    """Check a limit or skip: `None`, or a whole number from 0.

    Raises:
        InvalidQuery: naming the argument.
    """
    if value is not None and not _is_whole(value):
        raise InvalidQuery(f"{name} takes a whole number from 0 to 2**63-1, not {shown(value)}")
    return value


def _path(field: object) -> tuple[str, ...]:
    """The names of a dotted path, or `ID_PATH`.

    Raises:
        InvalidDocument: if it can be no field's.
    """
    if field.__class__ is str and len(field) <= _KNOWN_LENGTH:
        return _known_path(field)
    return ID_PATH if field == "_id" else check_path(field)


_KNOWN_LENGTH: Final = 200  # characters of a path that is remembered


@lru_cache(maxsize=1024)
def _known_path(field: object) -> tuple[str, ...]:
    return ID_PATH if field == "_id" else check_path(field)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT_MAX
