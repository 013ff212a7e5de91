"""Field types: exact round trips, sortable stored forms, and which serializer is picked, from where."""

from __future__ import annotations

import copy
import datetime as dt
import importlib.util
import re
import subprocess
import sys
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID, uuid4

import divan
import pytest
from divan import (
    Increment,
    InvalidDocument,
    InvalidQuery,
    InvalidSchema,
    PluginConflict,
    PluginWarning,
    Scaled,
    Store,
    hookimpl,
)
from divan.backends.base import BaseDivanBackend
from divan.backends.memory import MemoryBackend
from divan.plugins import PluginSerializer
from divan.query import sort_key
from divan.serializers import (
    DEFAULT_SERIALIZERS,
    PLAIN_FIELD_TYPES,
    FieldSerializer,
    pick_serializer,
    resolve_schema,
)
from divan.validation import INT_MAX, INT_MIN, validate_value
from django import forms
from django.db import models
from hypothesis import given
from hypothesis import strategies as st


def default(field_type: str) -> FieldSerializer:
    serializer = pick_serializer(field_type, "memory", {}, {})
    assert serializer is not None
    return serializer


def stored(field_type: str, value: Any) -> Any:
    return default(field_type).encode("field", value)


def read(field_type: str, value: Any) -> Any:
    return default(field_type).decode("field", value)


# The core's own


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"]).map(
    zoneinfo.ZoneInfo
)
DURATIONS = st.timedeltas(dt.timedelta(microseconds=-(2**63)), dt.timedelta(microseconds=2**63 - 1))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), max_size=40).map(tuple),
    st.integers(-400, 400),
)
AWARE = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=ZONES)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "DateField": st.dates(),
    "DateTimeField": st.datetimes(),
    "SplitDateTimeField": st.datetimes(),
    "TimeField": st.times(),
    "DurationField": DURATIONS,
    "DecimalField": DECIMALS,
    "UUIDField": st.uuids(),
    "BinaryField": st.binary(),
}
each_default = pytest.mark.parametrize("field_type", sorted(VALUES))
each_ordered = pytest.mark.parametrize("field_type", sorted(set(VALUES) - {"DecimalField", "BinaryField"}))


def test_every_core_default_is_tested_here() -> None:
    assert set(VALUES) == set(DEFAULT_SERIALIZERS)


@each_default
@given(data=st.data())
def test_a_round_trip_is_exact(field_type: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[field_type])

    result = read(field_type, stored(field_type, value))

    assert result == value
    assert repr(result) == repr(value.replace(fold=0) if hasattr(value, "fold") else value)


@each_default
@given(data=st.data())
def test_a_stored_form_is_a_json_value(field_type: str, data: st.DataObject) -> None:
    form = stored(field_type, data.draw(VALUES[field_type]))

    assert validate_value(form, "field") == form


@each_default
@given(data=st.data())
def test_a_stored_form_serializes_to_itself(field_type: str, data: st.DataObject) -> None:
    form = stored(field_type, data.draw(VALUES[field_type]))

    assert stored(field_type, form) == form


@each_ordered
@given(data=st.data())
def test_stored_forms_sort_like_the_values(field_type: str, data: st.DataObject) -> None:
    one, other = data.draw(VALUES[field_type]), data.draw(VALUES[field_type])

    assert default(field_type).ordered
    assert (sort_key(stored(field_type, one)) < sort_key(stored(field_type, other))) is (one < other)
    assert (stored(field_type, one) == stored(field_type, other)) is (one == other)


@given(AWARE)
def test_an_aware_datetime_comes_back_as_the_same_instant_in_utc(value: dt.datetime) -> None:
    result = read("DateTimeField", stored("DateTimeField", value))

    assert result == value.astimezone(dt.UTC)
    assert result.tzinfo is dt.UTC


@given(AWARE, AWARE)
def test_aware_datetimes_sort_by_instant(one: dt.datetime, other: dt.datetime) -> None:
    earlier = one.astimezone(dt.UTC) < other.astimezone(dt.UTC)

    assert (stored("DateTimeField", one) < stored("DateTimeField", other)) is earlier


@pytest.mark.parametrize(
    ("field_type", "value", "form"),
    [
        ("DateField", dt.date(2026, 12, 1), "2026-12-01"),
        ("DateField", dt.date(1, 1, 1), "0001-01-01"),
        ("DateField", "2026-12-01", "2026-12-01"),
        ("DateTimeField", dt.datetime(2026, 12, 1, 9, 30), "2026-12-01T09:30:00.000000"),
        ("DateTimeField", dt.datetime(2026, 12, 1, 9, 30, tzinfo=dt.UTC), "2026-12-01T09:30:00.000000Z"),
        ("DateTimeField", dt.datetime(2026, 12, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2026-12-01T08:30:00.000000Z"),
        ("DateTimeField", "2026-12-01T09:30:00+01:00", "2026-12-01T08:30:00.000000Z"),
        ("TimeField", dt.time(9, 30), "09:30:00.000000"),
        ("TimeField", "09:30", "09:30:00.000000"),
        ("DurationField", dt.timedelta(days=1, microseconds=-1), 86_399_999_999),
        ("DurationField", 5, 5),
        ("DecimalField", Decimal("1.50"), "1.50"),
        ("DecimalField", Decimal("-0E+3"), "-0E+3"),
        ("DecimalField", 7, "7"),
        ("DecimalField", "7.10", "7.10"),
        ("UUIDField", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("UUIDField", "{00000000-0000-0000-0000-00000000000A}", "00000000-0000-0000-0000-00000000000a"),
        ("DateField", [dt.date(2026, 12, 1), None, [dt.date(2026, 12, 2)]], ["2026-12-01", None, ["2026-12-02"]]),
        ("DateField", None, None),
        ("DateField", [], []),
    ],
)  # fmt: skip
def test_a_value_is_stored_in_this_form(field_type: str, value: Any, form: Any) -> None:
    assert stored(field_type, value) == form


@pytest.mark.parametrize(
    ("field_type", "value", "reason"),
    [
        ("DateField", dt.datetime(2026, 12, 1), "a datetime can't be stored as DateField (serializer of core): a date is needed; a datetime would lose its time"),
        ("DateField", 5, "a int can't be stored as DateField (serializer of core): a date is needed"),
        ("DateField", "soon", "a str can't be stored as DateField (serializer of core): Invalid isoformat string: 'soon'"),
        ("DateTimeField", dt.date(2026, 12, 1), "a date can't be stored as DateTimeField (serializer of core): a datetime is needed"),
        ("DateTimeField", dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))), "a datetime can't be stored as DateTimeField (serializer of core): date value out of range"),
        ("TimeField", dt.time(9, tzinfo=dt.UTC), "a time can't be stored as TimeField (serializer of core): a time of day with a time zone has no order; store a datetime"),
        ("TimeField", 9, "a int can't be stored as TimeField (serializer of core): a time is needed"),
        ("DurationField", 1.5, "a float can't be stored as DurationField (serializer of core): a timedelta, or a whole number of microseconds, is needed"),
        ("DurationField", True, "a bool can't be stored as DurationField (serializer of core): a timedelta, or a whole number of microseconds, is needed"),
        ("DurationField", dt.timedelta.max, "a timedelta can't be stored as DurationField (serializer of core): a duration of more than 292,000 years does not fit into 64 bits"),
        ("DecimalField", 1.5, "a float can't be stored as DecimalField (serializer of core): a Decimal, an int, or a number's text is needed; a float is not exact"),
        ("DecimalField", True, "a bool can't be stored as DecimalField (serializer of core): a Decimal, an int, or a number's text is needed; a float is not exact"),
        ("DecimalField", Decimal("NaN"), "a Decimal can't be stored as DecimalField (serializer of core): NaN is not a finite number"),
        ("DecimalField", "-Infinity", "a str can't be stored as DecimalField (serializer of core): -Infinity is not a finite number"),
        ("DecimalField", "ten", "a str can't be stored as DecimalField (serializer of core): 'ten' is no decimal number"),
        ("UUIDField", 5, "a int can't be stored as UUIDField (serializer of core): badly formed hexadecimal UUID string"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_naming_field_type_and_source(
    field_type: str, value: Any, reason: str
) -> None:
    with pytest.raises(InvalidDocument) as caught:
        stored(field_type, value)

    assert str(caught.value) == f"field: {reason}"


@pytest.mark.parametrize(
    ("field_type", "form"),
    [
        ("DateField", "soon"),
        ("DateField", 5),
        ("DateTimeField", "2026-13-01T00:00:00"),
        ("TimeField", {}),
        ("DurationField", "1 day"),
        ("DecimalField", 1.5),
        ("DecimalField", "ten"),
        ("UUIDField", "no uuid"),
        ("UUIDField", 5),
    ],
)
def test_a_stored_form_that_can_not_be_read_is_an_error_and_no_value(field_type: str, form: Any) -> None:
    with pytest.raises(InvalidDocument, match=rf"^field: a \w+ can't be read as {field_type} \(serializer of core\): "):
        read(field_type, form)


def test_an_item_of_a_list_is_named_by_its_place() -> None:
    with pytest.raises(InvalidDocument, match=r"^field\[1\]\[0\]: a int can't be stored as DateField"):
        stored("DateField", ["2026-12-01", [5]])


def test_a_list_that_holds_itself_is_refused() -> None:
    dates: list[Any] = []
    dates.append(dates)

    with pytest.raises(InvalidDocument, match=r"nested deeper than 100 levels, or a list that holds itself$"):
        stored("DateField", dates)


def test_the_deepest_list_that_validation_takes_is_serialized() -> None:
    value: Any = dt.date(2026, 12, 1)
    for _ in range(99):
        value = [value]

    with divan.open("memory://", schema={"when": "DateField"}) as store:
        assert store.create({"when": value})["when"] == value


# Through a Store


GUEST = {
    "arrival": dt.date(2026, 12, 1),
    "booked": dt.datetime(2026, 11, 24, 9, 30, 0, 1, tzinfo=dt.UTC),
    "breakfast": dt.time(7, 30),
    "stay": dt.timedelta(days=3),
    "price": Decimal("199.90"),
    "key": uuid4(),
}
SCHEMA = {
    "arrival": "DateField",
    "booked": "DateTimeField",
    "breakfast": "TimeField",
    "stay": "DurationField",
    "price": "DecimalField",
    "key": "UUIDField",
}


@pytest.fixture
def store() -> Iterable[Store]:
    with divan.open("memory://", schema=SCHEMA) as store:
        yield store


def test_values_come_back_from_every_call_that_hands_out_documents(store: Store) -> None:
    created = store.create(GUEST, id="ada")
    (other,) = store.create_many([GUEST])

    for document in (
        created, other, store["ada"], store.get_many(["ada"])[0], next(iter(store)), next(store.find()),
        store.update("ada", {"arrival": GUEST["arrival"]}), store.replace("ada", GUEST), store.put("ada", GUEST),
        store.update_many({"ada": {"stay": GUEST["stay"]}})[0],
    ):  # fmt: skip
        assert document == GUEST


def test_what_is_stored_is_plain(store: Store) -> None:
    store.create(GUEST, id="ada")

    assert store.backend["ada"] == {name: stored(SCHEMA[name], value) for name, value in GUEST.items()}


def test_the_callers_dict_keeps_its_values(store: Store) -> None:
    guest = {"arrival": dt.date(2026, 12, 1), "price": [Decimal(1)]}

    store.create(guest)

    assert guest == {"arrival": dt.date(2026, 12, 1), "price": [Decimal(1)]}


def test_null_and_missing_fields_pass(store: Store) -> None:
    assert store.create({"arrival": None, "name": "Ada"}) == {"arrival": None, "name": "Ada"}


def test_queries_take_values_not_stored_forms(store: Store) -> None:
    store.create(GUEST, id="ada")
    store.create({"arrival": dt.date(2026, 12, 24), "stay": dt.timedelta(1), "name": "2026"}, id="bob")

    def found(where: dict[str, Any], **arguments: Any) -> list[str]:
        return [document.id for document in store.find(where, **arguments)]

    assert found({"arrival": dt.date(2026, 12, 1)}) == ["ada"]
    assert found({"arrival": {"$gt": dt.date(2026, 12, 1)}}) == ["bob"]
    assert found({"arrival": {"$in": [dt.date(2026, 12, 24), None]}}) == ["bob"]
    assert found({"stay": {"$not": {"$gte": dt.timedelta(2)}}}) == ["bob"]
    assert found({"price": Decimal("199.90")}) == ["ada"]
    assert found({"price": {"$exists": False}}) == ["bob"]
    assert found({}, sort="-arrival") == ["bob", "ada"]


@pytest.mark.parametrize("op", ["$gt", "$gte", "$lt", "$lte"])
def test_a_range_over_stored_forms_that_do_not_sort_is_refused(store: Store, op: str) -> None:
    wheres: list[dict[str, Any]] = [
        {"price": {op: Decimal(1)}},
        {"$or": [{"name": 1}, {"$not": {"price": {op: Decimal(1)}}}]},
        {"price": {"$not": {op: Decimal(1)}}},
    ]
    for where in wheres:
        with pytest.raises(
            InvalidQuery, match=rf"^price: \{op} would answer wrongly, since the stored form of a DecimalField"
        ):
            store.find(where)


@pytest.mark.parametrize("sort", ["price", "-price", ["name", "price"]])
def test_a_sort_by_stored_forms_that_do_not_sort_is_refused(store: Store, sort: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"^price: a sort would answer wrongly"):
        store.find(sort=sort)


def test_a_filter_value_of_another_type_is_an_invalid_query(store: Store) -> None:
    with pytest.raises(InvalidQuery, match=r"^\$eq: arrival: a int can't be stored as DateField"):
        store.find({"arrival": 5})


def test_a_value_json_can_not_hold_without_a_field_type_is_told_which_one_to_declare(store: Store) -> None:
    with pytest.raises(InvalidDocument, match=r"^left: a date is not storable .* schema=\{'left': 'DateField'\}$"):
        store.create({"left": dt.date(2026, 12, 4)})


def test_a_field_with_a_field_type_can_not_be_incremented(store: Store) -> None:
    store.create(GUEST, id="ada")

    with pytest.raises(InvalidDocument, match=r"^stay: a DurationField can't be incremented"):
        store.update("ada", {"stay": divan.Increment(1)})


def test_a_stored_form_that_another_program_broke_is_an_error(store: Store) -> None:
    store.backend.create({"arrival": "next week"}, document_id="bad")  # type: ignore[call-arg]

    with pytest.raises(InvalidDocument, match=r"^document 'bad': arrival: a str can't be read as DateField"):
        store["bad"]


# Schemas


def shouting(prefix: str = "") -> dict[str, Any]:
    return {
        "serialize": lambda value: prefix + value.upper(),
        "deserialize": lambda form: form.removeprefix(prefix).lower(),
    }


class DateField:
    """A form field of some framework, known by its class's name."""


class BirthdayField(DateField):
    pass


@pytest.mark.parametrize(
    "field_type",
    ["DateField", DateField, DateField(), BirthdayField, BirthdayField()],
    ids=["name", "class", "instance", "subclass", "instance of a subclass"],
)
def test_a_field_type_is_a_name_a_class_or_an_instance(field_type: Any) -> None:
    with divan.open("memory://", schema={"born": field_type}) as store:
        document = store.create({"born": dt.date(1815, 12, 10)})

        assert document == {"born": dt.date(1815, 12, 10)}
        assert store.backend[document.id] == {"born": "1815-12-10"}


def test_a_field_type_is_its_own_serializer_dictionary() -> None:
    with divan.open("memory://", schema={"name": shouting()}) as store:
        document = store.create({"name": "ada"})

        assert document == {"name": "ada"}
        assert store.backend[document.id] == {"name": "ADA"}


def test_a_name_is_looked_up_before_those_it_derives_from() -> None:
    plugin = plugin_giving({"BirthdayField": shouting("b:")})

    with divan.open("memory://", schema={"born": BirthdayField}, plugins=[plugin]) as store:
        assert store.backend[store.create({"born": "x"}).id] == {"born": "b:X"}


@pytest.mark.parametrize("field_type", sorted(PLAIN_FIELD_TYPES))
def test_plain_field_types_store_values_as_they_are(field_type: str) -> None:
    assert resolve_schema({"a": field_type}, "memory", {}, {}) == {}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"a": "DatField"}, "a: unknown field type 'DatField' (did you mean 'DateField'?); known are AutoField, "),
        ({"a": "Geo"}, "a: unknown field type 'Geo'; known are AutoField, "),
        ({"a": type("OddField", (), {})}, "a: unknown field type 'OddField'"),
        ({"a": 5}, "a: 5 is no field type; give a name such as 'DateField'"),
        ({"a": dt.date}, "a: <class 'datetime.date'> is no field type; give a name such as 'DateField'"),
        ({"a": None}, "a: None is no field type; give a name such as 'DateField'"),
        ({"a": {}}, "the schema's 'a': the serializer dictionary of its own field type has no callable 'serialize'"),
        ({"a": {"serialize": str, "deserialize": "str"}}, "the schema's 'a': the serializer dictionary of its own field type has no callable 'deserialize'"),
        ({"a..b": "DateField"}, "the schema names what can be no field: a..b: a field name is empty"),
        ({"*.b": "DateField"}, "*.b: a '*' stands for the names inside a field; name the field first"),
        ({"a": "DateField", "a.b.c": "DateField"}, "a has a field type, and a.b.c leads through it"),
        ({"a.b.c": "DateField", "a.b": "DateField"}, "a.b has a field type, and a.b.c leads through it"),
        ({"_id": "DateField"}, "the schema names what can be no field: the field name '_id' begins with '_'"),
        ({5: "DateField"}, "the schema names what can be no field: a field name is a string, not an int"),
        (["a"], "['a'] is no schema: give a mapping of field names to field types, "),
    ],
)  # fmt: skip
def test_a_schema_that_can_not_be_understood_is_refused(schema: Any, message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        divan.open("memory://", schema=schema)

    assert str(caught.value).startswith(message)


def test_an_unknown_field_type_lists_what_plugins_give_too() -> None:
    with pytest.raises(InvalidSchema, match=r"did you mean 'GeoField'\?\).*GeoField"):
        divan.open("memory://", schema={"a": "GoField"}, plugins=[plugin_giving({"GeoField": shouting()})])


# Field types inside objects


NESTED = {
    "room.price": "DecimalField",
    "stays.arrival": "DateField",
    "prices.*": Scaled(2),
    "at.*.seen": "DateTimeField",
}
DAY = dt.date(2026, 12, 1)
SEEN = dt.datetime(2026, 12, 1, 9, 30, tzinfo=dt.UTC)
HOUSE = {
    "room": {"price": Decimal("9.50"), "name": "blue"},
    "stays": [{"arrival": DAY, "nights": 2}, {"nights": 1}, {"arrival": [DAY, None]}, "odd", None],
    "prices": {"summer": Decimal("120.00"), "winter": Decimal("9.50"), "spring": None},
    "at": {"door": {"seen": SEEN}, "gate": {"seen": None}},
}
STORED_HOUSE = {
    "room": {"price": "9.50", "name": "blue"},
    "stays": [{"arrival": "2026-12-01", "nights": 2}, {"nights": 1}, {"arrival": ["2026-12-01", None]}, "odd", None],
    "prices": {"summer": 12000, "winter": 950, "spring": None},
    "at": {"door": {"seen": "2026-12-01T09:30:00.000000Z"}, "gate": {"seen": None}},
}


@pytest.fixture
def houses() -> Iterator[Store]:
    with divan.open("memory://houses", schema=NESTED) as store:
        yield store
        store.delete_many(list(store.ids()))


def test_field_types_hold_inside_objects_and_lists_of_them(houses: Store) -> None:
    given = copy.deepcopy(HOUSE)
    house = houses.create(given, id="a")
    assert given == HOUSE
    with divan.open("memory://houses") as plain:
        assert plain["a"] == STORED_HOUSE
    for read in (house, houses["a"], houses.get_many(["a"])[0], *houses, *houses.find(fields=list(HOUSE))):
        assert read == HOUSE
    assert houses.create_many([HOUSE])[0] == HOUSE
    assert houses.update("a", {"room": {"price": Decimal("1.00")}})["room"] == {"price": Decimal("1.00")}
    assert houses.replace("a", HOUSE) == HOUSE


def test_field_types_inside_objects_hold_in_filters(houses: Store) -> None:
    houses.create(HOUSE, id="a")
    houses.create({"prices": {"summer": Decimal("90.00")}}, id="b")
    for where in (
        {"room.price": Decimal("9.50")},
        {"room.price": {"$in": [Decimal("9.50")]}},
        {"room": {"price": Decimal("9.50"), "name": "blue"}},
        {"stays": {"$contains": {"arrival": DAY, "nights": 2}}},
        {"prices.summer": {"$gt": Decimal("99.99")}},
        {"at.door.seen": {"$gte": SEEN}},
        {"$not": {"prices.summer": Decimal("90.00")}},
    ):
        assert [found.id for found in houses.find(where)] == ["a"], where


def test_what_does_not_sort_inside_an_object_is_refused(houses: Store) -> None:
    with pytest.raises(InvalidQuery, match=r"room\.price: a sort would answer wrongly"):
        houses.find(sort="room.price")
    with pytest.raises(InvalidQuery, match=r"room\.price: \$gt would answer wrongly"):
        houses.find({"room.price": {"$gt": Decimal(1)}})


def test_a_value_inside_an_object_is_refused_by_its_path(houses: Store) -> None:
    with pytest.raises(InvalidDocument, match=r"^stays\[1\]\.arrival: a str can't be stored as DateField"):
        houses.create({"stays": [{}, {"arrival": "soon"}]})
    with pytest.raises(InvalidDocument, match=r"declare its field type, schema=\{'room\.built': 'DateField'\}"):
        houses.create({"room": {"built": DAY}})
    cyclic: dict[str, Any] = {}
    cyclic["door"] = {"seen": cyclic}
    with pytest.raises(InvalidDocument):
        houses.create({"at": cyclic})


# Decimals that sort


@given(
    places=st.integers(0, 18),
    units=st.integers(INT_MIN, INT_MAX),
    zeros=st.integers(0, 3),
)
def test_a_scaled_decimal_comes_back_exactly(places: int, units: int, zeros: int) -> None:
    field_type = Scaled(places)
    value = field_type.deserialize(units)
    assert value == Decimal(units).scaleb(-places, Context(prec=60))
    assert value.as_tuple().exponent == -places
    assert field_type.serialize(value) == units
    assert field_type.serialize(f"{value:f}" + ("" if places else ".") + "0" * zeros) == units


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Decimal("9.505"), "9.505 has more than 2 decimal places; round it first"),
        ("0.001", "has more than 2 decimal places"),
        (Decimal("1E+17"), "does not fit into 64 bits with 2 decimal places"),
        (Decimal("1E+999999"), "does not fit into 64 bits with 2 decimal places"),
        (Decimal("1E-999999"), "has more than 2 decimal places"),
        (Decimal("NaN"), "not a finite number"),
        (9.5, "a float is not exact"),
        (True, "a Decimal, an int, or a number's text is needed"),
    ],
)
def test_what_a_scaled_field_can_not_hold_is_refused(value: Any, reason: str) -> None:
    with divan.open("memory://", schema={"price": Scaled(2)}) as store:
        with pytest.raises(InvalidDocument, match=re.escape(reason)):
            store.create({"price": value})
        assert store.count() == 0


def test_scaled_decimals_sort_range_and_increment() -> None:
    with divan.open("memory://", schema={"price": Scaled(2)}) as store:
        store.create_many((id, {"price": Decimal(id)}) for id in ("120.00", "9.50", "-3", "10"))
        assert [one.id for one in store.find(sort="price")] == ["-3", "9.50", "10", "120.00"]
        assert {one.id for one in store.find({"price": {"$gte": 10}})} == {"10", "120.00"}
        assert store.update("10", {"price": Increment(Decimal("0.05"))})["price"] == Decimal("10.05")
        assert store.update("10", {"price": Increment(-1)})["price"] == Decimal("9.05")
        with pytest.raises(InvalidDocument, match="more than 2 decimal places"):
            store.update("10", {"price": Increment(Decimal("0.005"))})
        with pytest.raises(InvalidDocument, match=r"^stars: Increment adds a Decimal"):
            store.update("10", {"stars": Increment(Decimal(1))})
        assert store["10"]["price"] == Decimal("9.05")


@pytest.mark.parametrize("places", [-1, 19, 1.5, "2", True, None])
def test_places_are_a_small_whole_number(places: Any) -> None:
    with pytest.raises(InvalidSchema, match="Scaled takes the number of decimal places, 0 to 18"):
        Scaled(places)


def test_scaled_says_what_it_is() -> None:
    assert repr(Scaled(2)) == "divan.Scaled(2)"
    assert len({Scaled(2), Scaled(2), Scaled(3)}) == 2


# What would not come back


@pytest.mark.parametrize(
    ("serializer", "value", "reason"),
    [
        ({"serialize": list, "deserialize": tuple}, (1, 2), "a list is read item by item, so store an object or text"),
        ({"serialize": str, "deserialize": int}, 1.5, "can't be read as"),
        ({"serialize": str, "deserialize": len}, "four", "what is read of it has the stored form '4'"),
    ],
    ids=["a list", "unreadable", "something else"],
)
def test_a_stored_form_that_would_not_come_back_is_refused_at_the_write(
    serializer: dict[str, Any], value: Any, reason: str
) -> None:
    plugin = plugin_giving({"OddField": serializer}, name="oddities")
    with divan.open("memory://", schema={"a": "OddField", "b.c": serializer}, plugins=[plugin]) as store:
        for document, path in (({"a": value}, "a"), ({"b": {"c": value}}, r"b\.c")):
            with pytest.raises(
                InvalidDocument, match=rf"^{path}: the stored form .* would not come back as .*{reason}"
            ):
                store.create(document)
        assert store.count() == 0


def test_bytes_are_stored_as_base64() -> None:
    with divan.open("memory://", schema={"raw": "BinaryField"}) as store:
        assert store.create({"raw": b"\x00\xff"})["raw"] == b"\x00\xff"
        assert store.count({"raw": b"\x00\xff"}) == 1
        with pytest.raises(InvalidDocument, match=r"^raw: a str can't be stored as BinaryField"):
            store.create({"raw": "no base64!"})
    with divan.open("memory://") as store, pytest.raises(InvalidDocument, match=r"schema=\{'raw': 'BinaryField'\}"):
        store.create({"raw": b""})


@pytest.mark.parametrize("module", [forms, models])
def test_each_field_of_djangos_that_holds_a_value_is_known_by_name(module: Any) -> None:
    related = (
        models.ForeignObject,
        models.ManyToManyField,
        models.GeneratedField,
        models.CompositePrimaryKey,
        models.OrderWrt,
    )
    names = [
        name
        for name, cls in vars(module).items()
        if isinstance(cls, type) and issubclass(cls, module.Field) and not issubclass(cls, related)
    ]
    assert {"CharField", "DateField", "FileField", "ImageField"} < set(names)
    divan.open("memory://", schema={name: name for name in [*names, "IPAddressField"]}).close()


# Where a serializer comes from: schema, overriding plugin, backend, plugin, core


def plugin_giving(serializers: Any, *, tryfirst: bool = False, name: str = "plugin") -> Any:
    @hookimpl(tryfirst=tryfirst)
    def divan_serializers(backend: str) -> Any:
        return serializers

    return SimpleNamespace(divan_serializers=divan_serializers, __name__=name)


def entry(name: str, *, tryfirst: bool = False, **further: Any) -> PluginSerializer:
    return PluginSerializer(name, {**shouting(name), **further}, tryfirst)


def source(
    backend: Mapping[str, Any] | None = None, *entries: PluginSerializer, field_type: str = "DateField"
) -> str | None:
    found = pick_serializer(field_type, "mongo", backend or {}, {field_type: list(entries)} if entries else {})
    return found.source if found else None


def test_the_core_comes_last() -> None:
    assert source() == "core"
    assert source(field_type="CharField") == "core"
    assert source(field_type="GeoField") is None


def test_a_plugin_beats_the_core() -> None:
    assert source(None, entry("geo")) == "plugin geo"
    assert source(None, entry("geo"), field_type="CharField") == "plugin geo"


def test_the_backend_beats_a_plugin() -> None:
    assert source({"DateField": shouting()}, entry("geo")) == "backend mongo"


def test_a_plugin_that_says_override_beats_the_backend() -> None:
    assert source({"DateField": shouting()}, entry("geo", override=True)) == "plugin geo"


def test_a_plugin_that_says_override_beats_one_that_does_not() -> None:
    assert source(None, entry("geo"), entry("astro", override=True)) == "plugin astro"


def test_of_two_plugins_the_one_that_says_tryfirst_is_picked() -> None:
    assert source(None, entry("geo"), entry("astro", tryfirst=True)) == "plugin astro"


@pytest.mark.parametrize(
    "entries",
    [
        (entry("geo"), entry("astro")),
        (entry("geo", tryfirst=True), entry("astro", tryfirst=True)),
        (entry("geo", override=True), entry("astro", override=True)),
    ],
    ids=["neither first", "both first", "both override"],
)
def test_two_plugins_for_one_field_type_conflict_and_are_both_named(entries: tuple[PluginSerializer, ...]) -> None:
    with pytest.raises(PluginConflict, match=r"^DateField is given by two plugins, astro and geo: "):
        source(None, *entries)


def test_two_plugins_conflict_only_where_the_choice_falls_between_them() -> None:
    assert source({"DateField": shouting()}, entry("geo"), entry("astro")) == "backend mongo"


def test_the_schema_beats_everything() -> None:
    own = shouting("own:")
    plugin = plugin_giving({"DateField": {**shouting("plugin:"), "override": True}})

    with divan.open("memory://", schema={"a": own, "b": "DateField"}, plugins=[plugin]) as store:
        assert store.backend[store.create({"a": "x", "b": "x"}).id] == {"a": "own:X", "b": "plugin:X"}


def test_the_schemas_own_serializer_settles_a_conflict() -> None:
    plugins = [plugin_giving({"GeoField": shouting("1")}), plugin_giving({"GeoField": shouting("2")})]

    with divan.open("memory://", schema={"a": shouting("own:")}, plugins=plugins) as store:
        assert store.create({"a": "x"}) == {"a": "x"}
    with pytest.raises(PluginConflict):
        divan.open("memory://", schema={"a": "GeoField"}, plugins=plugins)


def test_a_conflict_over_a_field_type_nobody_uses_is_none() -> None:
    plugins = [plugin_giving({"GeoField": shouting("1")}), plugin_giving({"GeoField": shouting("2")})]

    with divan.open("memory://", schema={"a": "DateField"}, plugins=plugins) as store:
        assert store.create({"a": None}) == {"a": None}


class ShoutingBackend(MemoryBackend):
    """A driver that stores one field type in its own way."""

    default_serializers: ClassVar[Any] = {"NameField": shouting("backend:")}


def test_a_backends_serializer_is_used_for_its_own_stores() -> None:
    with divan.open(ShoutingBackend, schema={"name": "NameField", "born": "DateField"}) as store:
        document = store.create({"name": "ada", "born": dt.date(1815, 12, 10)})

        assert store.backend[document.id] == {"name": "backend:ADA", "born": "1815-12-10"}


def test_a_plugin_is_told_the_backends_name() -> None:
    told = []

    class Plugin:
        @hookimpl
        def divan_serializers(self, backend: str) -> dict[str, Any]:
            told.append(backend)
            return {}

    divan.open("memory://", schema={}, plugins=[Plugin()]).close()

    assert told == ["memory"]


def test_a_plugin_need_not_ask_for_the_backends_name() -> None:
    class Plugin:
        @hookimpl
        def divan_serializers(self) -> dict[str, Any]:
            return {"GeoField": shouting("geo:")}

    with divan.open("memory://", schema={"at": "GeoField"}, plugins=[Plugin()]) as store:
        assert store.backend[store.create({"at": "x"}).id] == {"at": "geo:X"}


def raising(value: Any) -> Any:
    raise RuntimeError("out of order")


def test_a_serializer_that_raises_is_named_with_field_field_type_and_source() -> None:
    plugin = plugin_giving({"GeoField": {"serialize": raising, "deserialize": str}})

    with (
        divan.open("memory://", schema={"at": "GeoField"}, plugins=[plugin]) as store,
        pytest.raises(InvalidDocument) as caught,
    ):
        store.create({"at": [1]})

    assert str(caught.value) == (
        "at[0]: a int can't be stored as GeoField (serializer of plugin the open() call): out of order"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_deserializer_that_raises_is_named_too() -> None:
    schema = {"at": {"serialize": str, "deserialize": raising}}

    with divan.open("memory://unread", schema=schema) as store, divan.open("memory://unread") as plain:
        plain.put("odd", {"at": "1"})
        with pytest.raises(
            InvalidDocument,
            match=r"^document 'odd': at: a str can't be read as its own field type \(serializer of the schema's 'at'\)",
        ):
            store.get("odd")
        plain.delete("odd")


def test_a_serializer_whose_result_json_can_not_hold_is_refused() -> None:
    schema = {"at": {"serialize": lambda value: {value}, "deserialize": str}}

    with (
        divan.open("memory://", schema=schema) as store,
        pytest.raises(InvalidDocument, match=r"^at: a set would come back"),
    ):
        store.create({"at": 1})


@pytest.mark.parametrize(
    "answer",
    [
        5,
        [("GeoField", None)],
        {"GeoField": None},
        {"GeoField": {"serialize": str}},
        {DateField: shouting()},
        {"TimeField": shouting(), "GeoField": {}},
    ],
    ids=["no mapping", "pairs", "no dictionary", "no deserializer", "a class as name", "one good, one bad"],
)
def test_a_plugin_whose_answer_is_wrong_is_reported_and_skipped(answer: Any) -> None:
    with (
        pytest.warns(PluginWarning, match=r"^the plugin 'geo 1' of the open\(\) call was skipped: TypeError: "),
        divan.open("memory://", schema={"at": "TimeField"}, plugins=[plugin_giving(answer, name="geo")]) as store,
    ):
        assert store.create({"at": dt.time(9)}) == {"at": dt.time(9)}


def test_a_plugin_that_raises_is_reported_and_the_others_are_used() -> None:
    class Broken:
        @hookimpl
        def divan_serializers(self) -> Any:
            raise RuntimeError("out of order")

    plugins = [Broken(), plugin_giving({"GeoField": shouting("geo:")})]

    with (
        pytest.warns(PluginWarning, match="the plugin 'Broken 1' .* was skipped: RuntimeError: out of order"),
        divan.open("memory://", schema={"at": "GeoField"}, plugins=plugins) as store,
    ):
        assert store.backend[store.create({"at": "x"}).id] == {"at": "geo:X"}


# Django's form fields

needs_django = pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="django is not installed")


@needs_django
def test_every_django_form_field_class_is_a_field_type() -> None:
    from django import forms  # type: ignore[import-untyped,unused-ignore]

    classes = [getattr(forms, name) for name in forms.fields.__all__]

    assert set(resolve_schema({cls.__name__: cls for cls in classes}, "memory", {}, {})) == set(DEFAULT_SERIALIZERS) - {
        "BinaryField"
    }


FORM = """
import datetime, decimal, uuid
import divan
from django import forms
from django.conf import settings

settings.configure(USE_I18N=False, USE_TZ=True)

class GuestForm(forms.Form):
    name = forms.CharField()
    arrival = forms.DateField()
    booked = forms.SplitDateTimeField()
    breakfast = forms.TimeField()
    stay = forms.DurationField()
    price = forms.DecimalField()
    key = forms.UUIDField()
    nights = forms.IntegerField()
    size = forms.FloatField()
    vegan = forms.NullBooleanField()
    tags = forms.MultipleChoiceField(choices=[("a", "A"), ("b", "B")])
    days = forms.TypedMultipleChoiceField(choices=[(1, "Mo"), (2, "Tu")], coerce=int)
    more = forms.JSONField()

form = GuestForm({
    "name": "Ada", "arrival": "2026-12-01", "booked_0": "2026-11-24", "booked_1": "09:30", "breakfast": "07:30",
    "stay": "3 00:00:00", "price": "199.90", "key": str(uuid.uuid4()), "nights": "3", "size": "1.5", "vegan": "",
    "tags": ["a", "b"], "days": ["1", "2"], "more": '{"x": [1, null]}',
})
assert form.is_valid(), form.errors
with divan.open("memory://", schema=form.fields) as store:
    document = store[store.create(form.cleaned_data).id]
assert document == form.cleaned_data, document
for name, value in form.cleaned_data.items():
    assert type(document[name]) is type(value), name
"""


@needs_django
def test_what_a_django_form_cleans_is_stored_and_comes_back() -> None:
    # In a process of its own: Django can be configured only once in one.
    subprocess.run([sys.executable, "-c", FORM], check=True)


def test_the_contract_needs_no_serializers() -> None:
    assert BaseDivanBackend.default_serializers == {}
