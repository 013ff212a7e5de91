"""The options of a URL, each declared once: how it is read, its default, and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from divan.options import Option, boolean

SMALLEST_FILE: Final = 1 << 20


def size(value: str | int) -> int:
    """Read an option that is a number of bytes.

    Raises:
        ValueError: if it is no whole number from `SMALLEST_FILE`.
    """
    number = -1 if isinstance(value, bool | float) else int(value)
    if number < SMALLEST_FILE:
        raise ValueError(f"give a number of bytes from {SMALLEST_FILE}")
    return number


OPTIONS: Final[Mapping[str, Option]] = {
    "map_size": Option(size, 1 << 34, "How many bytes the file may grow to."),
    "sync": Option(boolean, True, "Whether a write is on the disk when it returns."),
    "create": Option(boolean, True, "Whether to make the file if it is missing; `DatabaseNotFound` if not."),
}
