"""What an update means: its changes taken apart, and the reference for what becomes of a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from divan.documents import REMOVE, Increment
from divan.errors import InvalidDocument
from divan.validation import INT_MAX, INT_MIN


class Change(NamedTuple):
    """One item of `BaseDivanBackend.update_many`: the arguments of one `update`.

    Attributes:
        document_id: The document's id.
        data: Fields to set.
        remove: Fields to remove.
        increment: Numbers to add, by field.
    """

    document_id: str
    data: dict[str, Any]
    remove: tuple[str, ...] = ()
    increment: Mapping[str, int | float] = {}


def apply_changes(
    document: Mapping[str, Any],
    data: Mapping[str, Any],
    remove: Iterable[str] = (),
    increment: Mapping[str, int | float] = {},
) -> dict[str, Any]:
    """The fields of a document after an update: the reference for what `update` means.

    Args:
        document: The stored fields. Not changed.
        data: Fields to set.
        remove: Fields to remove; absent ones are no error.
        increment: Numbers to add; a missing field counts as 0.

    Raises:
        InvalidDocument: if a field to increment holds no number, or the sum can't be stored.
    """
    merged = {**document, **data}
    for name in remove:
        merged.pop(name, None)
    for name, by in increment.items():
        merged[name] = add(name, merged.get(name, 0), by)
    return merged


def add(name: str, value: Any, by: int | float) -> int | float:
    """The sum that `divan.Increment` stores.

    Raises:
        InvalidDocument: if `value` is no number, or the sum can't be stored.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidDocument(f"{name}: Increment adds to a number, and the field holds {type(value).__name__}")
    total = value + by
    if isinstance(total, int):
        if not INT_MIN <= total <= INT_MAX:
            raise InvalidDocument(f"{name}: the sum does not fit into 64 bits")
    elif total - total != 0.0:
        raise InvalidDocument(f"{name}: the sum is not a finite number")
    return total


def split_changes(changes: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """Divide an update's changes into fields to set, to remove and to increment."""
    data: dict[str, Any] = {}
    remove: list[str] = []
    increment: dict[str, Any] = {}
    for name, value in changes.items():
        if value is REMOVE:
            remove.append(name)
        elif isinstance(value, Increment):
            increment[name] = value.by
        else:
            data[name] = value
    return data, tuple(remove), increment
