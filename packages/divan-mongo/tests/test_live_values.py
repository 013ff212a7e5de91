"""BSON's own types in a live MongoDB: read, kept, found, and written by `types=native`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import divan
import pytest
from bson import DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from divan_mongo import BSONDate

from .live import Raw

pytestmark = pytest.mark.live


FOREIGN: dict[str, Any] = {
    "when": datetime(2026, 11, 24, 12, 30, 15, 123000, tzinfo=UTC),
    "decimal": Decimal128("1.10"),
    "bytes": b"\x00\xff",
    "binary": Binary(b"\x01", 128),
    "uuid": Binary.from_uuid(uuid.UUID(int=5)),
    "key": ObjectId("0123456789abcdef01234567"),
    "regex": Regex("^a", "i"),
    "code": Code("f()"),
    "timestamp": Timestamp(1, 2),
    "min": MinKey(),
    "max": MaxKey(),
    "ref": DBRef("other", "a"),
    "long": 2**40,
    "nested": {"list": [{"when": datetime(2026, 1, 1, tzinfo=UTC)}, Decimal128("0E-10")]},
}


def _bytes_of(raw: Raw) -> bytes:
    """The one document's BSON, without its revision."""
    as_bytes = raw.with_options(CodecOptions(document_class=RawBSONDocument))
    return bytes(as_bytes.find_one({}, {"_rev": 0}).raw)  # type: ignore[union-attr]


def test_foreign_values_survive_an_update_of_another_field(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "a", **FOREIGN, "n": 1})
    before = _bytes_of(raw)
    store.update("a", {"n": 1})
    assert _bytes_of(raw) == before


@pytest.mark.parametrize("write", ["put", "replace", "update"])
def test_foreign_values_are_written_back_unchanged(store: divan.Store, raw: Raw, write: str) -> None:
    raw.insert_one({"_id": "a", **FOREIGN})
    before = _bytes_of(raw)
    getattr(store, write)("a", store["a"])
    assert _bytes_of(raw) == before


def test_a_foreign_date_is_an_aware_datetime(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "a", **FOREIGN})
    assert store["a"]["when"] == FOREIGN["when"]
    assert isinstance(store["a"]["when"], datetime)


def test_foreign_values_are_found_and_sorted_by(store: divan.Store, raw: Raw) -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    raw.insert_many([{"_id": f"{day.day}", "when": day} for day in days])
    after = {"when": {"$gt": BSONDate.of(days[1])}}
    assert [document.id for document in store.find(after, sort="when")] == ["2", "3"]
    assert store.count(after) == 2
    assert [document.id for document in store.find(sort="-when")] == ["3", "2", "1"]


def test_a_foreign_value_beside_an_object_is_refused_rather_than_answered_wrongly(store: divan.Store) -> None:
    with pytest.raises(divan.InvalidQuery, match="split the filter"):
        list(store.find({"$or": [{"n": {"$gt": Decimal128("9")}}, {"o": {"x": 1}}]}))


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), b"x", uuid.UUID(int=1), Decimal(1)])
def test_a_python_value_with_no_field_type_is_refused_as_on_every_store(store: divan.Store, value: object) -> None:
    with pytest.raises(divan.InvalidDocument):
        store.create({"x": value})


SCHEMA = {
    "day": "DateField",
    "at": "DateTimeField",
    "price": "DecimalField",
    "ref": "UUIDField",
    "time": "TimeField",
    "span": "DurationField",
}
VALUES: dict[str, Any] = {
    "day": date(2026, 12, 1),
    "at": datetime(2026, 12, 1, 9, 30, 0, 250000, tzinfo=UTC),
    "price": Decimal("19.90"),
    "ref": uuid.UUID(int=7),
    "time": datetime(2026, 1, 1, 9, 30, 0, 1).time(),
    "span": timedelta(microseconds=1),
}


def test_native_types_are_stored_as_bson_and_read_back(open_store: Callable[..., divan.Store], raw: Raw) -> None:
    native = open_store("types=native", schema=SCHEMA)
    assert native.create(VALUES, id="a") == VALUES
    assert native["a"] == VALUES
    assert raw.find_one({}, {"_id": 0, "_rev": 0, "time": 0, "span": 0}) == {
        "day": datetime(2026, 12, 1),
        "at": datetime(2026, 12, 1, 9, 30, 0, 250000),
        "price": Decimal128("19.90"),
        "ref": Binary.from_uuid(VALUES["ref"]),
    }


def test_native_types_lose_microseconds_and_zones(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    local = datetime(2026, 12, 1, 9, 30, 0, 250999, tzinfo=timezone(timedelta(hours=2)))
    assert native.create({"at": local})["at"] == datetime(2026, 12, 1, 7, 30, 0, 250000, tzinfo=UTC)
    assert native.create({"at": datetime(2026, 12, 1)})["at"] == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_decimal_too_long_for_bson_is_refused(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    with pytest.raises(divan.InvalidDocument, match="price"):
        native.create({"price": Decimal("1" * 40)})


def test_either_form_is_read_whatever_the_option_says(open_store: Callable[..., divan.Store]) -> None:
    portable, native = open_store(schema=SCHEMA), open_store("types=native", schema=SCHEMA)
    portable.create(VALUES, id="portable")
    native.create(VALUES, id="native")
    assert portable["native"] == native["portable"] == VALUES


def test_native_decimals_and_dates_compare_as_numbers_and_dates(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    native.create_many(
        (price, {"price": Decimal(price), "day": date(2026, 1, int(price))}) for price in ("9", "10", "11")
    )
    assert [document.id for document in native.find({"price": {"$gt": Decimal("9.5")}}, sort="-price")] == ["11", "10"]
    assert [document.id for document in native.find(sort="price", limit=2)] == ["9", "10"]
    assert native.count({"day": {"$lte": date(2026, 1, 10)}}) == 2
    assert native.count({"price": Decimal("9.0")}) == 1


def test_a_sort_that_mongodb_cannot_do_refuses_native_decimals(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    native.create({"price": Decimal(9), "n": 1})
    with pytest.raises(divan.InvalidQuery, match="price"):
        list(native.find(sort=["n", "price"]))
