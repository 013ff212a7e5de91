"""The plugin: the hooks of Divan that this distribution implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import divan

from divan_shop.money import deserialize_money, serialize_money
from divan_shop.points import deserialize_point, serialize_point


@divan.hookimpl
def divan_serializers(backend: str) -> Mapping[str, Mapping[str, Any]]:
    """The field types that this plugin teaches every backend."""
    return {
        "MoneyField": {"serialize": serialize_money, "deserialize": deserialize_money, "ordered": False},
        "PointField": {"serialize": serialize_point, "deserialize": deserialize_point, "ordered": False},
    }
