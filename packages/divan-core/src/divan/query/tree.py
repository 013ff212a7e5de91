"""Internal: the parsed form of filters and sorts: what `divan.query.parse` makes and a driver walks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

COMPARISONS: Final = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$all", "$size", "$contains", "$prefix",
)  # fmt: skip
"""The operators that compare one field."""

ID_PATH: Final = ("_id",)
"""The path of the document's id, which filters and sorts take for a field of every document."""

LOGICAL: Final = ("$and", "$or", "$not")
"""The operators that combine filters."""


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


def comparisons(node: Node) -> Iterator[Comparison]:
    """The comparisons of a filter, in its order, however deep they stand in it."""
    if isinstance(node, Comparison):
        yield node
    elif isinstance(node, Not):
        yield from comparisons(node.item)
    else:
        for item in node.items:
            yield from comparisons(item)


def is_about_id(node: Node) -> bool:
    """Whether any comparison of a filter is with the document's id."""
    return any(comparison.path == ID_PATH for comparison in comparisons(node))


def to_dict(tree: Node) -> dict[str, Any]:
    """A parsed filter as a mapping in normal form, which parses to the same filter."""
    if isinstance(tree, Comparison):
        path, op, value = tree
        return {path[0] if len(path) == 1 else ".".join(path): {op: value}}
    if isinstance(tree, Not):
        return {"$not": to_dict(tree.item)}
    if len(tree.items) == 1 and isinstance(tree, And):
        return to_dict(tree.items[0])
    parts = [to_dict(item) for item in tree.items]
    if isinstance(tree, Or):
        return {"$or": parts}
    merged: dict[str, Any] = {}
    for part in parts:
        if any(key in merged for key in part):
            return {"$and": parts}
        merged.update(part)
    return merged
