"""Schemas from types: field types by annotation, and instances in and out."""

import dataclasses
import enum
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, NamedTuple, TypedDict

import attrs
import divan
import msgspec
import pydantic
import pytest
from django.conf import settings

if not settings.configured:
    settings.configure()
from django import forms


class Kind(enum.Enum):
    FAMILY = "family"
    FRIEND = "friend"


@dataclasses.dataclass
class Home:
    city: str
    rooms: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Guest:
    name: str
    arrival: date
    visits: list[datetime] = dataclasses.field(default_factory=list)
    price: Decimal | None = None
    home: Home | None = None
    id: str | None = None
    rev: str | None = None


@attrs.define
class AttrsGuest:
    name: str
    arrival: date
    stay: timedelta = timedelta(0)
    id: str = ""


class StructGuest(msgspec.Struct, rename="camel"):
    full_name: str
    arrival: date
    stay: timedelta | None = None
    kind: Kind = Kind.FAMILY
    id: str | None = None


class ModelGuest(pydantic.BaseModel):
    name: str = pydantic.Field(alias="fullName")
    arrival: date
    born: datetime | None = None
    kind: Kind = Kind.FRIEND
    price: Decimal | None = None
    id: str | None = None
    model_config = {"populate_by_name": True}


ARRIVAL = date(2026, 12, 1)
INSTANCES = [
    Guest("Ada", ARRIVAL, [datetime(2026, 1, 1, tzinfo=UTC)], Decimal("9.50"), Home("London", [1, 2])),
    AttrsGuest("Ada", ARRIVAL, timedelta(days=2)),
    StructGuest("Ada", ARRIVAL, timedelta(days=2), Kind.FRIEND),
    ModelGuest(name="Ada", arrival=ARRIVAL, born=datetime(1815, 12, 10), price=Decimal("1.50")),
]


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: type(instance).__name__)
class TestInstances:
    def test_create_and_get_give_an_equal_instance_with_the_documents_id(self, instance):
        with divan.open("memory://", schema=type(instance)) as store:
            created = store.create(instance)
            assert type(created) is type(instance)
            assert created.id in set(store.ids())
            assert store.get(created.id) == created
            assert store[created] == created
            plain = {**_fields(created), "id": instance.id}
            assert {**plain, "rev": None} == {**_fields(instance), "rev": None}

    def test_find_and_bulk_calls_give_instances(self, instance):
        with divan.open("memory://", schema=type(instance)) as store:
            created = store.create_many([instance, instance])
            assert [type(one) for one in created] == [type(instance)] * 2
            assert store.get_many([one.id for one in created]) == created
            found = store.find({"arrival": {"$gte": ARRIVAL}})
            assert {one.id for one in found} == {one.id for one in created}
            assert {one.id for one in store} == {one.id for one in created}

    def test_an_instances_id_names_the_document_in_every_write(self, instance):
        with divan.open("memory://", schema=type(instance)) as store:
            created = store.create(instance)
            later = date(2027, 1, 1)
            assert store.update(created, {"arrival": later}).arrival == later
            assert store.replace(created, instance).arrival == ARRIVAL
            assert store.put(created, instance).id == created.id
            store.delete(created)
            assert store.count() == 0

    def test_what_is_stored_is_the_plain_document_without_id_and_revision(self, instance):
        with divan.open("memory://plain", schema=type(instance)) as store, divan.open("memory://plain") as raw:
            created = store.create(instance)
            stored = raw.get(created.id)
            raw.delete(stored)
            assert stored["arrival"] == "2026-12-01"
            assert not {"id", "rev"} & set(stored)

    def test_a_mapping_is_taken_in_place_of_an_instance(self, instance):
        with divan.open("memory://", schema=type(instance)) as store:
            store.create(instance, id="a")
            assert store.create(dict(_stored(store, "a")), id="b").arrival == ARRIVAL


def _fields(instance):
    names = getattr(instance, "__struct_fields__", None) or getattr(type(instance), "model_fields", None)
    names = (
        names
        or [field.name for field in getattr(instance, "__attrs_attrs__", ())]
        or [field.name for field in dataclasses.fields(instance)]
    )
    return {name: getattr(instance, name) for name in names}


def _stored(store, document_id):
    return store.backend.get_document_for_id(document_id)


def test_an_instance_that_has_an_id_is_created_under_it():
    with divan.open("memory://", schema=Guest) as store:
        assert store.create(Guest("Ada", ARRIVAL, id="ada")).id == "ada"
        with pytest.raises(divan.DocumentExists):
            store.create(Guest("Ada", ARRIVAL, id="ada"))


def test_the_revision_of_an_instance_guards_a_write():
    with divan.open("memory://", schema=Guest) as store:
        ada = store.create(Guest("Ada", ARRIVAL))
        store.update(ada, {"name": "Ada L."})
        with pytest.raises(divan.RevisionConflict):
            store.update(ada, {"name": "Mine"}, rev=ada.rev)


def test_a_classes_own_values_are_taken_by_changes_and_filters_as_by_create():
    with divan.open("memory://", schema=StructGuest) as store:
        ada = store.create(StructGuest("Ada", ARRIVAL))
        assert store.update(ada, {"kind": Kind.FRIEND}).kind is Kind.FRIEND
        assert store.update_many({ada.id: {"kind": Kind.FAMILY}})[0].kind is Kind.FAMILY
        assert [one.id for one in store.find({"kind": Kind.FAMILY})] == [ada.id]
    with divan.open("memory://", schema=ModelGuest) as store:
        ada = store.create(ModelGuest(name="Ada", arrival=ARRIVAL))
        assert store.update(ada, {"kind": Kind.FAMILY}).kind is Kind.FAMILY
        assert store.count({"kind": {"$in": [Kind.FAMILY, Kind.FRIEND]}}) == 1
        assert store.count({"kind": {"$ne": Kind.FAMILY}}) == 0
    with divan.open("memory://", schema=Guest) as store:
        ada = store.create(Guest("Ada", ARRIVAL))
        assert store.update(ada, {"home": Home("Paris", [1])}).home == Home("Paris", [1])
        assert [one.id for one in store.find({"home": Home("Paris", [1])})] == [ada.id]


def test_a_projection_gives_documents():
    with divan.open("memory://", schema=Guest) as store:
        store.create(Guest("Ada", ARRIVAL))
        assert list(store.find(fields=["name"])) == [{"name": "Ada"}]


def test_fields_that_the_class_does_not_have_are_kept_by_an_update():
    with divan.open("memory://kept", schema=Guest) as store, divan.open("memory://kept") as raw:
        raw.put("ada", {"name": "Ada", "arrival": "2026-12-01", "note": "other program's"})
        assert store.get("ada").name == "Ada"
        store.update("ada", {"name": "Ada L."})
        assert raw.get("ada")["note"] == "other program's"
        raw.delete("ada")


def test_a_document_that_does_not_fit_the_class_is_named():
    with divan.open("memory://misfit", schema=Guest) as store, divan.open("memory://misfit") as raw:
        raw.put("odd", {"arrival": "2026-12-01"})
        with pytest.raises(divan.InvalidDocument, match=r"document 'odd' is no Guest: .*name"):
            store.get("odd")
        raw.delete("odd")


def test_a_typed_dict_gives_the_field_types():
    class Stay(TypedDict, total=False):
        arrival: Annotated[date, "the day"]
        nights: int

    with divan.open("memory://", schema=Stay) as store:
        assert store.create({"arrival": ARRIVAL, "nights": 2})["arrival"] == ARRIVAL


def test_a_django_form_gives_the_field_types():
    class Stay(forms.Form):
        arrival = forms.DateField()
        name = forms.CharField()
        left = forms.SplitDateTimeField()

    for schema in (Stay, Stay(label_suffix="")):  # a suffix of Django's own would need its translations
        with divan.open("memory://", schema=schema) as store:
            left = datetime(2026, 12, 3, tzinfo=UTC)
            assert store.create({"arrival": ARRIVAL, "name": "Ada", "left": left})["left"] == left


def test_an_annotation_can_name_a_plugins_field_type():
    class Point(NamedTuple):
        x: float
        y: float

    class Geometry:
        @divan.hookimpl
        def divan_serializers(self):
            return {"PointField": {"serialize": lambda p: {"x": p.x, "y": p.y}, "deserialize": lambda d: Point(**d)}}

    @dataclasses.dataclass
    class Place:
        at: Annotated[Point, "PointField"]

    Place.__annotations__["at"] = Annotated[Point, "PointField"]
    with divan.open("memory://", schema=Place, plugins=[Geometry()]) as store:
        place = store.create({"at": Point(1.0, 2.0)}, id="here")
        assert place.at == Point(1.0, 2.0)


def test_a_union_without_one_field_type_is_refused_with_the_way_out():
    class Stay(TypedDict):
        arrival: date | str

    with pytest.raises(divan.InvalidSchema, match=r"Stay\.arrival: .* has no one field type; name it: Annotated"):
        divan.open("memory://", schema=Stay)


def test_a_private_attribute_is_refused():
    @attrs.define
    class Secretive:
        _code: int

    with pytest.raises(divan.InvalidSchema, match=r"Secretive\._code: the name of a stored field can't begin with '_'"):
        divan.open("memory://", schema=Secretive)


@pytest.mark.parametrize("schema", ["DateField", 5, int, object()])
def test_anything_else_is_no_schema(schema):
    with pytest.raises(divan.InvalidSchema, match="is no schema"):
        divan.open("memory://", schema=schema)


def test_no_library_is_imported_unless_the_class_brings_it():
    program = """
import sys, dataclasses, divan
@dataclasses.dataclass
class Guest:
    name: str
divan.open("memory://", schema=Guest).create(Guest("Ada"), id="ada")
print([name for name in ("attr", "attrs", "msgspec", "pydantic", "django") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@dataclasses.dataclass
class Stop:
    city: str
    nights: int = 0


@dataclasses.dataclass
class Journey:
    first: Stop
    tags: list[str] = dataclasses.field(default_factory=list)
    total: int = 0

    def __post_init__(self) -> None:
        if self.first.nights < 0:
            raise ValueError("nobody stays for less than no night")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{path}"])
def test_a_class_judges_changes_at_paths_and_of_whatever_matches(url: str, tmp_path: Path) -> None:
    with divan.open(url.format(path=(tmp_path / "test.db").as_posix()), Journey) as store:
        store.put_many([("a", Journey(Stop("London", 1))), ("b", Journey(Stop("Paris", 3)))])
        changed = store.update("a", {"first.nights": divan.Increment(1), "tags": divan.Append("sea")})
        assert changed == Journey(Stop("London", 2), ["sea"])
        with pytest.raises(divan.InvalidDocument):
            store.update("a", {"first.nights": -1})
        with pytest.raises(divan.BulkError):
            store.update_many({"a": {"first.nights": divan.Increment(-3)}})
        assert store.update_where({"first.nights": {"$gte": 2}}, {"total": 5}) == 2
        with pytest.raises(divan.BulkError) as caught:
            store.update_where({}, {"first.nights": divan.Increment(-3)})
        assert [error.document_id for error in caught.value.errors.values()] == ["a"]  # type: ignore[attr-defined]
        assert store.get_many(["a", "b"]) == [Journey(Stop("London", 2), ["sea"], 5), Journey(Stop("Paris", 0), [], 5)]
        assert store.first(sort="first.nights") == Journey(Stop("Paris", 0), [], 5)
        assert store.page(sort="-first.nights", limit=1).items == [Journey(Stop("London", 2), ["sea"], 5)]
