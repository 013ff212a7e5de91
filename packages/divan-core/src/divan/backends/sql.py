"""What the drivers of SQL stores share: filters as SQL that is exact to the reference matcher, and sorts by the store.

Each field that a filter names is seen through its rank, which is `divan.query.rank` of its value, and through its
value. No expression is ever NULL where it is negated: a comparison of values stands behind the rank that makes it one
of two known values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

from divan.backends.support import matching, prefix_end
from divan.documents import Document
from divan.errors import DivanError, StoreError
from divan.query import And, Comparison, Matcher, Node, Not, resolve

__all__ = ["ORDERINGS", "FilterWriter", "cost", "in_order"]

ORDERINGS: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
"""The operators that order → those of SQL."""


def cost(node: Node, of_comparison: Callable[[Comparison], int], nesting: int, never: int) -> int:
    """How many comparisons a store gets to see of a part of a filter.

    Args:
        node: The part.
        of_comparison: The cost of a comparison: `never` for one that the store does not answer exactly.
        nesting: How many levels deep an expression may be.
        never: More than any budget.
    """
    if isinstance(node, Comparison):
        return of_comparison(node)
    if not nesting:
        return never
    if isinstance(node, Not):
        return cost(node.item, of_comparison, nesting - 1, never)
    return sum(cost(item, of_comparison, nesting - 1, never) for item in node.items)


class FilterWriter(ABC):
    """Writes filters as SQL; a dialect says how it sees a field.

    Attributes:
        true: What is always true.
        false: What is never true.
    """

    true: ClassVar[str]
    false: ClassVar[str]

    __slots__ = ()

    @abstractmethod
    def rank(self, path: tuple[str, ...]) -> str:
        """The rank of the field at the path: a number, never NULL."""

    @abstractmethod
    def compare(self, path: tuple[str, ...], operator: str, value: Any) -> str:
        """Whether the field has the rank of a value other than null, and compares so with it."""

    @abstractmethod
    def among(self, path: tuple[str, ...], kind: int, values: Sequence[Any]) -> str:
        """Whether the field is one of several values of one rank."""

    @abstractmethod
    def size(self, path: tuple[str, ...], length: int) -> str:
        """Whether the field is a list of this length."""

    @abstractmethod
    def holds(self, path: tuple[str, ...], values: Sequence[Any]) -> str:
        """Whether the field is a list with all of these items."""

    @abstractmethod
    def has_part(self, path: tuple[str, ...], text: str) -> str:
        """Whether the field is a string that holds this one."""

    def kind(self, path: tuple[str, ...], value: Any) -> int:
        """The rank of a value that is compared with a field."""
        return 4 if value.__class__ is str else 2 if value.__class__ is bool else 3

    def write(self, node: Node) -> str:
        """A part of a filter as SQL."""
        if isinstance(node, Comparison):
            return self._comparison(*node)
        if isinstance(node, Not):
            return f"NOT ({self.write(node.item)})"
        if isinstance(node, And):
            return f"({' AND '.join(map(self.write, node.items))})" if node.items else self.true
        return f"({' OR '.join(map(self.write, node.items))})"

    def _comparison(self, path: tuple[str, ...], op: str, value: Any) -> str:
        if op == "$eq":
            return self._equal(path, value)
        if op in ORDERINGS:
            if value is None:
                return f"({self.rank(path)}=1)" if op in ("$gte", "$lte") else self.false
            return self.compare(path, ORDERINGS[op], value)
        if op == "$prefix":
            return self._begins(path, value)
        if op == "$in":
            return self._in(path, value)
        if op == "$exists":
            return f"{self.rank(path)}>0" if value else f"{self.rank(path)}=0"
        if op == "$ne":
            return f"NOT {self._equal(path, value)}"
        if op == "$nin":
            return f"NOT {self._in(path, value)}"
        if op == "$size":
            return self.size(path, value)
        if op == "$all":
            return self.holds(path, value)
        if value.__class__ is str:
            return f"({self.has_part(path, value)} OR {self.holds(path, [value])})"
        return self.holds(path, [value])

    def _equal(self, path: tuple[str, ...], value: Any) -> str:
        if value is None:
            return f"({self.rank(path)}=1)"
        return self.compare(path, "=", value)

    def _begins(self, path: tuple[str, ...], prefix: str) -> str:
        """Whether the string at the path begins so: a range by code point."""
        end = prefix_end(prefix)
        begins = self.compare(path, ">=", prefix)
        return begins if end is None else f"({begins} AND {self.compare(path, '<', end)})"

    def _in(self, path: tuple[str, ...], values: Sequence[Any]) -> str:
        groups: dict[int, list[Any]] = {}
        parts = []
        for value in values:
            if value is None:
                parts = [self._equal(path, None)]
            else:
                groups.setdefault(self.kind(path, value), []).append(value)
        for kind, group in groups.items():
            parts.append(self._equal(path, group[0]) if len(group) == 1 else self.among(path, kind, group))
        return f"({' OR '.join(parts)})" if parts else self.false


def in_order(
    batches: Iterable[list[Document | DivanError]],
    paths: Sequence[tuple[str, ...]],
    is_odd: Callable[[Any], bool],
    otherwise: Callable[[StoreError | None, int, int | None], Iterator[Document | DivanError]],
    *,
    matches: Matcher | None = None,
    skip: int = 0,
    limit: int | None = None,
    checked: Callable[[], None] = lambda: None,
) -> Iterator[Document | DivanError]:
    """The documents that a store has sorted, up to the batch in which it may have done so otherwise than the reference.

    What was given up to there is the reference's beginning, so that the rest can be sorted here.

    Args:
        batches: What the store found: skipped and limited by it, unless the matcher is still to be asked.
        paths: The fields by which it sorted.
        is_odd: Whether the store sorts a value otherwise than the reference, among others of which this is true.
        otherwise: Given what the store failed with, or `None`, and how many to skip and to give: the rest.
        matches: The matcher of what the store left open.
        skip: How many to leave out.
        limit: How many to give at most.
        checked: Called when a batch has been found in order, before it is given.
    """
    given = 0
    left_to_skip = skip if matches is not None else 0
    failure: StoreError | None = None
    try:
        for found in batches:
            documents = found if matches is None else list(matching(matches, found))
            if _holds_odd(documents, paths, is_odd):
                break
            checked()
            for document in documents:
                if left_to_skip:
                    left_to_skip -= 1
                    continue
                yield document
                given += 1
                if given == limit:
                    return
        else:
            return
    except StoreError as error:
        failure = error
    yield from otherwise(failure, skip + given, None if limit is None else limit - given)


def _holds_odd(
    documents: Sequence[Document | DivanError], paths: Sequence[tuple[str, ...]], is_odd: Callable[[Any], bool]
) -> bool:
    for path in paths:
        name = path[0] if len(path) == 1 else None
        for document in documents:
            if isinstance(document, Document) and is_odd(document.get(name) if name else resolve(document, path)):
                return True
    return False
