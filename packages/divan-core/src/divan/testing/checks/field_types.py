"""Internal: the checks of field types: values that JSON can't hold come back exactly, are found and are sorted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import pytest

from divan import Increment, InvalidDocument, InvalidQuery, InvalidSchema, Scaled, Store
from divan.serializers import DEFAULT_SERIALIZERS
from divan.testing.base import StoreChecks

VALUES: Final[dict[str, tuple[str, Any]]] = {
    "a date": ("DateField", date(2026, 12, 1)),
    "the first date": ("DateField", date.min),
    "the last date": ("DateField", date.max),
    "a datetime": ("DateTimeField", datetime(2026, 12, 1, 9, 30)),
    "a datetime to the microsecond": ("DateTimeField", datetime(2026, 12, 1, 9, 30, 0, 123457)),
    "an aware datetime": ("DateTimeField", datetime(2026, 12, 1, 9, 30, 0, 1, tzinfo=UTC)),
    "a datetime of another zone": ("DateTimeField", datetime(2026, 12, 1, 9, tzinfo=timezone(timedelta(hours=5.5)))),
    "the first datetime": ("DateTimeField", datetime.min),
    "the last datetime": ("DateTimeField", datetime.max),
    "a split datetime": ("SplitDateTimeField", datetime(1969, 7, 20, 20, 17, 40)),
    "a time": ("TimeField", time(9, 30)),
    "midnight": ("TimeField", time.min),
    "the last microsecond of a day": ("TimeField", time.max),
    "a duration": ("DurationField", timedelta(days=1, hours=2, microseconds=3)),
    "no time at all": ("DurationField", timedelta(0)),
    "a negative duration": ("DurationField", timedelta(microseconds=-1)),
    "a decimal": ("DecimalField", Decimal("1234567.89")),
    "a decimal with trailing zeros": ("DecimalField", Decimal("1.10")),
    "a decimal that no float holds": ("DecimalField", Decimal("0.1")),
    "a decimal of fifty digits": ("DecimalField", Decimal("1." + "3" * 49)),
    "a large decimal": ("DecimalField", Decimal("1E+30")),
    "a zero decimal": ("DecimalField", Decimal(0)),
    "a UUID": ("UUIDField", UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")),
    "bytes": ("BinaryField", b"\x00\xff\n"),
    "no bytes": ("BinaryField", b""),
    "a text": ("CharField", "text"),
    "a number": ("IntegerField", 5),
}

SERIES: Final[dict[str, tuple[str | Scaled, list[Any]]]] = {
    "dates": ("DateField", [date(999, 1, 1), date(2026, 2, 28), date(2026, 12, 1), date(2027, 1, 1)]),
    "datetimes": (
        "DateTimeField",
        [datetime(1, 1, 1), datetime(2026, 12, 1), datetime(2026, 12, 1, 0, 0, 0, 1), datetime(2026, 12, 1, 0, 0, 1)],
    ),
    "aware datetimes": (
        "DateTimeField",
        [
            datetime(2026, 12, 1, 9, tzinfo=timezone(timedelta(hours=9))),
            datetime(2026, 12, 1, 1, tzinfo=UTC),
            datetime(2026, 11, 30, 23, tzinfo=timezone(timedelta(hours=-5))),
        ],
    ),
    "times": ("TimeField", [time(0), time(9, 30), time(9, 30, 0, 1), time(10)]),
    "scaled decimals": (Scaled(2), [Decimal("-120.00"), Decimal("9.50"), Decimal("10.00"), Decimal("120.00")]),
    "durations": ("DurationField", [timedelta(-5), timedelta(0), timedelta(microseconds=1), timedelta(days=400)]),
}
"""Values of one field type in ascending order."""

SHOUTED: Final = {
    "serialize": lambda value: {"shout": value.upper()},
    "deserialize": lambda value: value["shout"].lower(),
}
UNORDERED: Final = {"serialize": str, "deserialize": Decimal, "ordered": False}

each_value = pytest.mark.parametrize(("field_type", "value"), VALUES.values(), ids=VALUES)
each_series = pytest.mark.parametrize(("field_type", "values"), SERIES.values(), ids=SERIES)


class FieldTypes(StoreChecks):
    """A schema's field types."""

    def test_a_listing_names_the_document_that_a_field_type_refuses(
        self, store: Store, open_store: Callable[..., Store]
    ) -> None:
        store.create({"n": 1, "day": "no day"}, id="bad")
        typed = open_store(schema={"day": "DateField"})
        for listing in (typed, typed.find(), typed.find({"n": 1}), typed.find({"n": 1}, sort="n", fields=["day"])):
            with pytest.raises(InvalidDocument, match="'bad'") as caught:
                list(listing)
            assert caught.value.document_id == "bad"

    @pytest.fixture
    def typed(self, open_store: Callable[..., Store]) -> Callable[[Any], Store]:
        """Opens a Store whose field ``v`` has a field type."""
        return lambda field_type: open_store(schema={"v": field_type})

    @each_value
    def test_a_value_comes_back(self, typed: Callable[[Any], Store], field_type: str, value: Any) -> None:
        created = typed(field_type).create({"v": value})
        assert (created["v"], type(created["v"])) == (value, type(value))

    @each_value
    def test_a_value_is_fetched(self, typed: Callable[[Any], Store], field_type: str, value: Any) -> None:
        store = typed(field_type)
        fetched = store.get(store.create({"v": value, "w": 1}).id)
        assert (fetched, repr(fetched["v"]) if isinstance(value, Decimal) else "") == (
            {"v": value, "w": 1},
            repr(value) if isinstance(value, Decimal) else "",
        )

    @each_value
    def test_values_in_a_list_come_back(self, typed: Callable[[Any], Store], field_type: str, value: Any) -> None:
        store = typed(field_type)
        document = store.create({"v": [value, None, value]})
        assert store.get(document.id)["v"] == [value, None, value]

    @each_value
    def test_a_value_is_found(self, typed: Callable[[Any], Store], field_type: str, value: Any) -> None:
        store = typed(field_type)
        document = store.create({"v": value})
        store.create({"v": None})
        assert [found.id for found in store.find({"v": value})] == [document.id]
        assert [found.id for found in store.find({"v": {"$in": [value]}})] == [document.id]

    @each_value
    def test_a_value_is_updated(self, typed: Callable[[Any], Store], field_type: str, value: Any) -> None:
        store = typed(field_type)
        document = store.create({"w": 1})
        assert store.update(document.id, {"v": value}) == {"w": 1, "v": value}
        assert store.replace(document.id, {"v": value}) == {"v": value}
        assert store.put(document.id, {"v": [value]}) == {"v": [value]}

    @each_value
    def test_a_value_goes_in_bulk(self, typed: Callable[[Any], Store], field_type: str, value: Any) -> None:
        store = typed(field_type)
        (document,) = store.create_many([{"v": value}])
        (updated,) = store.update_many({document.id: {"v": [value]}})
        assert (document["v"], updated["v"], store.get_many([document.id])) == (value, [value], [{"v": [value]}])

    @pytest.mark.parametrize("field_type", sorted(DEFAULT_SERIALIZERS))
    def test_none_is_null(self, typed: Callable[[Any], Store], field_type: str) -> None:
        store = typed(field_type)
        document = store.create({"v": None})
        assert (store.get(document.id), store.count({"v": None})) == ({"v": None}, 1)

    @each_series
    def test_values_sort(self, typed: Callable[[Any], Store], field_type: str | Scaled, values: list[Any]) -> None:
        store = typed(field_type)
        store.create_many({"v": value} for value in values[::-1])
        assert [document["v"] for document in store.find(sort="v")] == values

    @each_series
    def test_values_have_ranges(
        self, typed: Callable[[Any], Store], field_type: str | Scaled, values: list[Any]
    ) -> None:
        store = typed(field_type)
        store.create_many({"v": value} for value in values)
        found = [document["v"] for document in store.find({"v": {"$gt": values[0], "$lte": values[2]}}, sort="v")]
        assert found == values[1:3]

    def test_an_unordered_type_has_no_ranges(self, typed: Callable[[Any], Store]) -> None:
        with pytest.raises(InvalidQuery):
            list(typed(UNORDERED).find({"v": {"$gt": Decimal(1)}}))

    def test_an_unordered_type_has_no_sort(self, typed: Callable[[Any], Store]) -> None:
        with pytest.raises(InvalidQuery):
            list(typed(UNORDERED).find(sort="v"))

    def test_decimals_sort_right_or_not_at_all(self, typed: Callable[[Any], Store]) -> None:
        store, values = typed("DecimalField"), [Decimal(2), Decimal(10), Decimal(-1)]
        store.create_many({"v": value} for value in values)
        serializers = {**DEFAULT_SERIALIZERS, **self.backend_class.default_serializers}
        if serializers["DecimalField"].get("ordered", True):
            assert [document["v"] for document in store.find(sort="v")] == sorted(values)
        else:
            with pytest.raises(InvalidQuery):
                list(store.find(sort="v"))

    @each_value
    def test_a_value_inside_objects_comes_back_and_is_found(
        self, open_store: Callable[..., Store], field_type: str, value: Any
    ) -> None:
        store = open_store(schema={"v.w": field_type, "rows.*.v": field_type})
        document = store.create({"v": {"w": value}, "rows": [{"a": {"v": [value]}}, {}]})
        store.create({"v": {"w": None}})
        assert (document, store.get(document.id)) == ({"v": {"w": value}, "rows": [{"a": {"v": [value]}}, {}]},) * 2
        assert [found.id for found in store.find({"v.w": value})] == [document.id]
        assert [found.id for found in store.find({"v": {"w": value}})] == [document.id]
        assert [found.id for found in store.find({"rows": {"$contains": {"a": {"v": [value]}}}})] == [document.id]

    @each_series
    def test_values_inside_an_object_sort(
        self, open_store: Callable[..., Store], field_type: str | Scaled, values: list[Any]
    ) -> None:
        store = open_store(schema={"v.w": field_type})
        store.create_many({"v": {"w": value}} for value in values[::-1])
        assert [document["v"]["w"] for document in store.find(sort="v.w")] == values
        found = store.find({"v.w": {"$gte": values[1]}}, sort="-v.w")
        assert [document["v"]["w"] for document in found] == values[:0:-1]

    def test_a_scaled_decimal_is_incremented(self, typed: Callable[[Any], Store]) -> None:
        store = typed(Scaled(2))
        document = store.create({"v": Decimal("9.50")})
        assert store.update(document.id, {"v": Increment(Decimal("0.75"))})["v"] == Decimal("10.25")
        with pytest.raises(InvalidDocument):
            store.update(document.id, {"v": Increment(Decimal("0.001"))})
        assert store.get(document.id)["v"] == Decimal("10.25")

    def test_a_field_type_of_the_schemas_own(self, store: Store, typed: Callable[[Any], Store]) -> None:
        document = typed(SHOUTED).create({"v": "quiet"})
        assert (document, store.get(document.id)) == ({"v": "quiet"}, {"v": {"shout": "QUIET"}})

    @pytest.mark.parametrize("field_type", sorted(DEFAULT_SERIALIZERS))
    def test_a_value_of_the_wrong_type_is_refused(self, typed: Callable[[Any], Store], field_type: str) -> None:
        store = typed(field_type)
        with pytest.raises(InvalidDocument) as caught:
            store.create({"v": object()})
        assert "v" in str(caught.value)
        assert field_type in str(caught.value)

    def test_a_serializer_that_fails_writes_nothing(self, store: Store, typed: Callable[[Any], Store]) -> None:
        with pytest.raises(InvalidDocument) as caught:
            typed(SHOUTED).create({"v": 5})
        assert caught.value.__cause__ is not None
        assert store.count() == 0

    def test_a_value_of_the_wrong_type_in_a_filter_is_refused(self, typed: Callable[[Any], Store]) -> None:
        with pytest.raises(InvalidQuery):
            list(typed("DateField").find({"v": object()}))

    def test_an_unknown_field_type_is_refused(self, typed: Callable[[Any], Store]) -> None:
        with pytest.raises(InvalidSchema) as caught:
            typed("DateFeild")
        assert "DateField" in str(caught.value)
