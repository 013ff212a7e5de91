"""Internal: comparing what a store answers with what was stored: exactly, or as far as a server's limits let it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from divan.errors import InvalidURL
from divan.testing.limits import NEGATIVE_ZERO, WHOLE_FLOATS
from divan.urls import parse_url


def as_json(value: Any, limits: Collection[str] = ()) -> str:
    """A value as canonical JSON text, which tells ``1``, ``1.0``, ``true`` and ``-0.0`` apart; key order aside.

    Args:
        value: Any portable value; a `Document` counts as its fields.
        limits: The server's limits: what it can't tell apart is written alike.
    """
    if WHOLE_FLOATS in limits:
        value = _with_floats(value, lambda number: int(number) if number.is_integer() else number)
    elif NEGATIVE_ZERO in limits:
        value = _with_floats(value, lambda number: number + 0.0)
    return json.dumps(value, sort_keys=True, ensure_ascii=True)


def _with_floats(value: Any, change: Callable[[float], float]) -> Any:
    """The value with each of its floats changed."""
    if isinstance(value, Mapping):
        return {name: _with_floats(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item, change) for item in value]
    return change(value) if isinstance(value, float) else value


class ShownURL(str):
    """A URL whose repr hides its secrets, so that a failing test does not print them."""

    __slots__ = ()

    def __repr__(self) -> str:
        try:
            return repr(str(parse_url(self)))
        except InvalidURL:
            return "'…'"
