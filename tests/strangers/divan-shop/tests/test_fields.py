"""The field types on real stores, found there by the entry point as a user's program finds them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import divan
import pytest
from divan_shop import Money, Point
from divan_shop.money import deserialize_money, serialize_money
from divan_shop.points import deserialize_point, serialize_point
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCHEMA = {"price": "MoneyField", "at": "PointField"}

# How fast the machine is decides over no test.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
amounts = st.decimals(allow_nan=False, allow_infinity=False)
points = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[divan.Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path.as_posix()}/test.db"
    with divan.open(url, schema=SCHEMA) as store:
        yield store


@pytest.mark.parametrize(
    "data",
    [
        {"price": Money(Decimal("12.50"), "EUR")},
        {"at": Point(48.137, 11.575)},
        {"price": None, "at": [Point(0.0, 0.0), Point(-90.0, 180.0)]},
    ],
)
def test_values_come_back_as_they_were(store: divan.Store, data: dict[str, Any]) -> None:
    document = store.create(data)

    assert store.get(document) == data


def test_values_are_found_but_do_not_sort(store: divan.Store) -> None:
    store.create({"price": Money(Decimal("12.50"), "EUR"), "at": Point(48.137, 11.575)})

    assert store.count({"price": Money(Decimal("12.50"), "EUR"), "at": {"$in": [Point(48.137, 11.575)]}}) == 1
    assert store.count({"price": Money(Decimal("12.50"), "USD")}) == 0
    with pytest.raises(divan.InvalidQuery):
        store.count({"price": {"$gt": Money(Decimal(0), "EUR")}})


@pytest.mark.parametrize(
    "data",
    [
        {"price": Money(Decimal("NaN"), "EUR")},
        {"price": Money(Decimal(1), "euro")},
        {"price": "12.50"},
        {"price": 12.5},
        {"at": Point(91, 0)},
        {"at": {"latitude": 1}},
        {"at": (1, 2)},
    ],
)
def test_what_is_no_value_of_the_field_type_is_refused(store: divan.Store, data: dict[str, Any]) -> None:
    with pytest.raises(divan.InvalidDocument):
        store.create(data)


def test_values_may_be_given_in_stored_form(store: divan.Store) -> None:
    document = store.create({"price": "12.50 EUR", "at": {"latitude": 1, "longitude": 2}})

    assert document == {"price": Money(Decimal("12.50"), "EUR"), "at": Point(1.0, 2.0)}


@unhurried
@given(amounts)
def test_every_amount_survives(amount: Decimal) -> None:
    stored = serialize_money(Money(amount, "EUR"))

    assert deserialize_money(stored).amount == amount


@unhurried
@given(points)
def test_every_point_survives(point: Point) -> None:
    assert deserialize_point(serialize_point(point)) == point
