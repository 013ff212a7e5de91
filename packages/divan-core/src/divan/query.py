"""The query language: parsing, and the reference matcher that defines what every filter means.

A driver gets a `Query`: a plain dict in normal form, which also carries its parsed `tree` and `matches`. It pushes down
what its store answers identically, and `split` tells what is left for `matches` to finish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from divan.errors import InvalidDocument, InvalidQuery, shown
from divan.validation import INT_MAX, MAX_DEPTH, check_path, validate_value

MISSING: Final[Any] = type("Missing", (), {"__repr__": lambda self: "MISSING", "__slots__": ()})()
"""What `resolve` answers for a field that is not there."""

COMPARISONS: Final = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$all", "$size", "$contains",
)  # fmt: skip
"""The operators that compare one field."""

LOGICAL: Final = ("$and", "$or", "$not")
"""The operators that combine filters."""

_CODE_OPERATORS: Final = ("$where", "$function", "$expr", "$accumulator", "$jsonSchema", "$regex", "$text")

_D = TypeVar("_D", bound=Mapping[str, Any])

Matcher = Callable[[Mapping[str, Any]], bool]
Encoder = Callable[[str, str, Any], Any]
"""Turns a value given for (field, operator) into its stored form."""


class Comparison(NamedTuple):
    """One operator on one field: ``{"guest.age": {"$gte": 18}}``.

    Attributes:
        path: The dotted path's names.
        op: One of `COMPARISONS`.
        value: The operand: a plain, validated JSON value.
    """

    path: tuple[str, ...]
    op: str
    value: Any

    @property
    def field(self) -> str:
        """The dotted path as text."""
        return ".".join(self.path)


class And(NamedTuple):
    """All of the items match; none: everything matches."""

    items: tuple[Node, ...]


class Or(NamedTuple):
    """At least one of the items matches."""

    items: tuple[Node, ...]


class Not(NamedTuple):
    """The item does not match."""

    item: Node


Node = Comparison | And | Or | Not


class Query(dict[str, Any]):
    """A filter in normal form: every comparison spelled ``{field: {"$op": value}}``, every value in stored form.

    Args:
        tree: The parsed filter.

    Attributes:
        tree: The parsed filter; its top is an `And`.
        matches: The reference matcher: document → whether the filter matches it.
    """

    __slots__ = ("_matches", "tree")

    def __init__(self, tree: And) -> None:
        super().__init__(_to_dict(tree))
        self.tree = tree
        self._matches: Matcher | None = None

    @property
    def matches(self) -> Matcher:
        matcher = self._matches
        if matcher is None:
            matcher = self._matches = compile_matcher(self.tree)
        return matcher


class SortKey(NamedTuple):
    """One key of a sort.

    Attributes:
        field: The dotted path.
        descending: Whether the greatest come first.
        path: The dotted path's names.
    """

    field: str
    descending: bool
    path: tuple[str, ...]


class Explanation(NamedTuple):
    """How a store answers a query.

    Attributes:
        pushed: The part of the filter that the store answers itself, in normal form.
        residual: The part that the reference matcher finishes on what the store sends.
        sorted_by_store: Whether the store sorts; `False` also where no sort was asked for.
        index: The name of the index that serves it, or `None`.
        scan: Whether every document of the database is read.
        detail: The store's own plan, as text, where it has one.
    """

    pushed: dict[str, Any]
    residual: dict[str, Any]
    sorted_by_store: bool
    index: str | None  # type: ignore[assignment]  # hides tuple.index, which nobody calls on an explanation
    scan: bool
    detail: str = ""


# Parsing


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
    return Query(_Parser(encode, native).filter(where, 1))


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
            path = check_path(field)
        except InvalidDocument as error:
            raise InvalidQuery(f"{shown(field)} is no field to ask for: {error}") from None
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
            keys.append(SortKey(field, descending, check_path(field)))
        except InvalidDocument as error:
            raise InvalidQuery(f"{shown(item)} is no sort key: {error}") from None
    return tuple(keys)


def parse_fields(fields: Iterable[str] | None) -> tuple[str, ...] | None:
    """Check a projection: dotted paths to keep; empty keeps none but the id and revision.

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
            check_path(name)
        except InvalidDocument as error:
            raise InvalidQuery(f"{shown(name)} is no field to return: {error}") from None
    return names


def parse_bound(name: str, value: int | None) -> int | None:
    """Check a limit or skip: `None`, or a whole number from 0.

    Raises:
        InvalidQuery: naming the argument.
    """
    if value is not None and not _is_whole(value):
        raise InvalidQuery(f"{name} takes a whole number from 0 to 2**63-1, not {shown(value)}")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT_MAX


# Taking a filter apart


def split(tree: Node, can_push: Callable[[Comparison], bool]) -> tuple[And, And]:
    """Divide a filter into what a store answers and what the matcher finishes.

    Args:
        tree: A parsed filter.
        can_push: Whether the store answers this one comparison exactly as the reference matcher does.

    Returns:
        Two conjunctions, pushed and residual; together they mean the same as `tree`. A part that combines comparisons
        (``$or``, ``$not``) is pushed whole or not at all.
    """
    pushed: list[Node] = []
    residual: list[Node] = []
    for item in tree.items if isinstance(tree, And) else (tree,):
        (pushed if _all_pushable(item, can_push) else residual).append(item)
    return And(tuple(pushed)), And(tuple(residual))


def _all_pushable(node: Node, can_push: Callable[[Comparison], bool]) -> bool:
    if isinstance(node, Comparison):
        return can_push(node)
    if isinstance(node, Not):
        return _all_pushable(node.item, can_push)
    return all(_all_pushable(item, can_push) for item in node.items)


def _to_dict(tree: Node) -> dict[str, Any]:
    if isinstance(tree, Comparison):
        return {tree.field: {tree.op: tree.value}}
    if isinstance(tree, Not):
        return {"$not": _to_dict(tree.item)}
    parts = [_to_dict(item) for item in tree.items]
    if isinstance(tree, Or):
        return {"$or": parts}
    merged: dict[str, Any] = {}
    for part in parts:
        if any(key in merged for key in part):
            return {"$and": parts}
        merged.update(part)
    return merged


# The reference matcher


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
}


# Finishing what a store leaves open


class _Reversed:
    """Orders the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(other.key == self.key)

    __hash__ = None  # type: ignore[assignment]


def document_order(sort: Sequence[SortKey], get_id: Callable[[_D], str]) -> Callable[[_D], tuple[Any, ...]]:
    """A key function that orders documents by `sort`, ties by id."""

    def order(document: _D) -> tuple[Any, ...]:
        keys = [sort_key(resolve(document, key.path)) for key in sort]
        return (
            *(_Reversed(value) if key.descending else value for key, value in zip(sort, keys, strict=True)),
            get_id(document),
        )

    return order


def finish(
    documents: Iterable[_D],
    *,
    get_id: Callable[[_D], str],
    sort: Sequence[SortKey] = (),
    limit: int | None = None,
    skip: int = 0,
) -> Iterator[_D]:
    """Sort, skip and limit a stream of documents as the reference does.

    A sort without a limit holds all the documents at once; one with a limit, at most ``skip + limit`` of them.

    Args:
        documents: The documents that match.
        get_id: A document's id, by which ties are broken.
        sort: The sort's keys; without any, the order of `documents` is kept.
        limit: How many to yield at most.
        skip: How many to leave out first.
    """
    stop = None if limit is None else min(skip + limit, INT_MAX)
    if limit == 0:
        return iter(())
    if sort:
        order = document_order(sort, get_id)
        if stop is None:
            documents = sorted(documents, key=order)
        else:
            from heapq import nsmallest  # only a store that can't sort needs it

            documents = nsmallest(stop, documents, key=order)
    return islice(documents, skip, stop)


def project(document: Mapping[str, Any], fields: Sequence[str], keep: Sequence[str] = ()) -> dict[str, Any]:
    """The document with nothing but the named fields.

    Args:
        document: Any document.
        fields: Dotted paths to keep; one that is not there is left out.
        keep: Top-level names to keep beside them, such as a store's metadata.
    """
    result = {name: document[name] for name in keep if name in document}
    for path in _outermost(tuple(fields)):
        value = resolve(document, path)
        if value is MISSING:
            continue
        target = result
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = value
    return result


@lru_cache(maxsize=64)
def _outermost(fields: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The fields' paths, without those inside a field that is kept whole anyway."""
    paths = dict.fromkeys(tuple(field.split(".")) for field in fields)
    return tuple(path for path in paths if not any(path[:length] in paths for length in range(1, len(path))))
