"""What bson decodes, as Divan reads it."""

from __future__ import annotations

import pickle
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import bson
import pytest
from bson import Int64
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from divan_mongo import BSONDate, MongoBackend
from divan_mongo.values import CODEC_OPTIONS, NATIVE_SERIALIZERS, NATIVE_TYPES, PORTABLE_SERIALIZERS, readable


def read(value: Any) -> Any:
    return readable(bson.decode(bson.encode({"value": value}), CODEC_OPTIONS))["value"]


@pytest.mark.parametrize("value", [5, 2**31, 2**63 - 1, -(2**63), Int64(5)])
def test_an_integer_is_a_plain_int(value: int) -> None:
    assert (read(value), type(read(value))) == (value, int)


@pytest.mark.parametrize("value", [[Int64(1), [Int64(2)]], {"a": {"b": [Int64(3)]}}])
def test_integers_inside_are_plain_ints(value: Any) -> None:
    assert "Int64" not in repr(read(value))


@pytest.mark.parametrize("value", [DatetimeMS(2**60), DatetimeMS(-(2**62)), datetime(1, 1, 1, tzinfo=UTC)])
def test_a_date_of_any_year_is_written_back_as_it_was(value: Any) -> None:
    assert isinstance(read(value), NATIVE_TYPES)
    assert bson.encode({"value": read(value)}) == bson.encode({"value": value})


@pytest.mark.parametrize("value", [b"", b"\x00", Binary(b"x", 128)])
def test_bytes_are_written_back_as_they_were(value: bytes) -> None:
    assert isinstance(read(value), Binary)
    assert bson.encode({"value": read(value)}) == bson.encode({"value": value})


def test_a_bson_date_survives_copies_and_pickling() -> None:
    value = BSONDate.of(datetime(2026, 1, 1, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2))))
    assert value == datetime(2026, 1, 1, 7, 30, 0, 123000, tzinfo=UTC)
    for copy in (deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert (copy, type(copy)) == (value, BSONDate)


def test_both_forms_cover_the_same_field_types() -> None:
    assert set(NATIVE_SERIALIZERS) == set(PORTABLE_SERIALIZERS) == set(MongoBackend.default_serializers)


@pytest.mark.parametrize(
    ("field_type", "value"),
    [("DateField", datetime(2026, 1, 1)), ("DateTimeField", date(2026, 1, 1)), ("DecimalField", 1.5), ("UUIDField", "x")],
)  # fmt: skip
def test_native_serializers_refuse_what_the_portable_ones_refuse(field_type: str, value: Any) -> None:
    for serializers in (NATIVE_SERIALIZERS, PORTABLE_SERIALIZERS):
        with pytest.raises((TypeError, ValueError)):
            serializers[field_type]["serialize"](value)


def test_a_native_decimal_keeps_its_trailing_zeros() -> None:
    serializer = NATIVE_SERIALIZERS["DecimalField"]
    assert str(serializer["deserialize"](serializer["serialize"](Decimal("1.10")))) == "1.10"
