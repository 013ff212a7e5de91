"""Internal: comparing what a store answers with what was stored: exactly, or as far as a server's limits let it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from divan.errors import InvalidURL
from divan.testing.limits import WHOLE_FLOATS
from divan.urls import parse_url


def as_json(value: Any, limits: Collection[str] = ()) -> str:
    """A value as canonical JSON text, which tells ``1``, ``1.0``, ``true`` and ``-0.0`` apart; key order aside.

    Args:
        value: Any portable value; a `Document` counts as its fields.
        limits: The server's limits: what it can't tell apart is written alike.
    """
    if WHOLE_FLOATS in limits:
        value = _with_whole_floats_as_ints(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=True)


def _with_whole_floats_as_ints(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_whole_floats_as_ints(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_floats_as_ints(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ShownURL(str):
    """A URL whose repr hides its secrets, so that a failing test does not print them."""

    __slots__ = ()

    def __repr__(self) -> str:
        try:
            return repr(str(parse_url(self)))
        except InvalidURL:
            return "'…'"
