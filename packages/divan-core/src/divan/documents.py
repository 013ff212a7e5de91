"""The document that a Store hands back, and the markers that `update` understands beside plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self, final

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

    Id = str | int | UUID
    """What names a document in a call: its id, or a UUID or an int where the schema's class has such for ids."""

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class Document(dict[str, Any]):
    """The fields of one stored document: a ``dict``, with its id and revision beside them.

    Args:
        fields: Field name to value; copied.
        id: The document's id.
        rev: An opaque revision, or `None` where the store keeps none.

    Attributes:
        id: The document's id.
        rev: An opaque string that changes at every write; give it to a write to refuse a lost update.
        native: What the driver returned for it, where the driver asks to see it again on a write; else `None`.
    """

    __slots__ = ("id", "native", "rev")

    id: str
    rev: str | None
    native: Any

    def __init__(self, fields: Any = (), /, id: str = "", rev: str | None = None, native: Any = None) -> None:
        dict.__init__(self, fields)  # by name: super() takes as long again
        self.id = id
        self.rev = rev
        self.native = native

    def copy(self) -> Self:
        """A shallow copy with the same id and revision."""
        return type(self)(self, self.id, self.rev, self.native)

    def __copy__(self) -> Self:
        return self.copy()

    def __repr__(self) -> str:
        rev = f", rev={self.rev!r}" if self.rev is not None else ""
        return f"Document({super().__repr__()}, id={self.id!r}{rev})"


@final
class Remove:
    """The type of `REMOVE`."""

    __slots__ = ()

    def __new__(cls) -> Remove:
        return _remove

    def __repr__(self) -> str:
        return "divan.REMOVE"

    def __reduce__(self) -> str:
        return "REMOVE"


_remove: Final[Remove] = object.__new__(Remove)

REMOVE: Final = _remove
"""Given to `Store.update` as a field's value, removes the field; removing an absent field changes nothing."""


@final
class Increment:
    """Given to `Store.update` as a field's value, adds to the number that is stored, atomically.

    A missing field counts as 0. A field that holds anything but a number, or a sum outside 64 bits (for two integers)
    or outside finite floats, is `InvalidDocument`, and the document stays as it was.

    Args:
        by: The int or float to add; negative to subtract. A Decimal, for a field whose type is a `divan.Scaled`.
    """

    __slots__ = ("by",)

    def __init__(self, by: int | float | Decimal = 1) -> None:
        if isinstance(by, bool) or not (isinstance(by, int | float) or _is_decimal(by)):
            raise TypeError(f"Increment takes an int, a float or a Decimal, not {type(by).__name__}")
        self.by = by

    def __repr__(self) -> str:
        return f"divan.Increment({self.by!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Increment) and type(self.by) is type(other.by) and self.by == other.by

    def __hash__(self) -> int:
        return hash((Increment, self.by))


class _Items:
    """What `Append` and `Discard` share."""

    __slots__ = ("items",)

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __repr__(self) -> str:
        return f"divan.{type(self).__name__}({', '.join(map(repr, self.items))})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.items == self.items

    __hash__ = None  # type: ignore[assignment]  # the items may have none


@final
class Append(_Items):
    """Given to `Store.update` as a field's value, adds items at the end of the list that is stored, atomically.

    A missing field counts as an empty list. A field that holds anything but a list is `InvalidDocument`, and the
    document stays as it was.

    Args:
        *items: What to add.
    """

    __slots__ = ()


@final
class Discard(_Items):
    """Given to `Store.update` as a field's value, removes every equal item from the list that is stored, atomically.

    A missing field stays missing. A field that holds anything but a list is `InvalidDocument`, and the document stays
    as it was.

    Args:
        *items: What to remove; values are equal as in a filter.
    """

    __slots__ = ()


def _is_decimal(value: Any) -> bool:
    from decimal import Decimal  # 3 ms that most programs need not spend

    return isinstance(value, Decimal)


def copied(value: Any) -> Any:
    """A copy that shares no list and no object with the original.

    Args:
        value: A field's value, or all of a document's fields.
    """
    if isinstance(value, list):
        return [item if item.__class__ in _SCALARS else copied(item) for item in value]
    if value.__class__ is dict or isinstance(value, Mapping):
        return {name: item if item.__class__ in _SCALARS else copied(item) for name, item in value.items()}
    return value
