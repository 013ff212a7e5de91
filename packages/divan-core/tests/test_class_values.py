"""What an instance holds comes back equal and of its types, from every library's classes; or it is refused, and said why."""

import collections
import dataclasses
import enum
import ipaddress
import pathlib
import re
import sys
import typing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar
from uuid import UUID

import attrs
import divan
import msgspec
import pydantic
import pytest
from divan import InvalidDocument, InvalidSchema, Scaled, Store
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from tests.support.classes import LIBRARIES, equal, fields_of, make

DAY = date(2026, 12, 1)
NOON = datetime(2026, 12, 1, 12, 0, 0, 1, tzinfo=UTC)
NUMBER = UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Taste(enum.StrEnum):
    SWEET = "sweet"
    SOUR = "sour"


class Holiday(enum.Enum):
    CHRISTMAS = date(2026, 12, 25)
    EASTER = date(2026, 4, 5)


class Point(NamedTuple):
    x: float
    y: int


class Stay(TypedDict):
    arrival: date
    price: typing.NotRequired[Decimal]


Birthday = NewType("Birthday", date)
GuestId = NewType("GuestId", str)
T = TypeVar("T")


class Place:
    """What only the serializer of a plugin knows."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Places:
    @divan.hookimpl
    def divan_serializers(self) -> dict[str, Any]:
        return {"PlaceField": {"serialize": lambda place: place.name, "deserialize": Place}}


# Annotation and value, on every library
SHARED: dict[str, tuple[Any, Any]] = {
    "str": (str, "é"),
    "int": (int, -(2**63)),
    "float": (float, 1.5),
    "bool": (bool, True),
    "any": (Any, {"a": [1, None]}),
    "optional": (int | None, None),
    "union of plain": (int | str, "5"),
    "literal": (Literal["a", "b"], "b"),
    "date": (date, DAY),
    "datetime": (datetime, NOON),
    "naive datetime": (datetime, datetime(2026, 1, 1)),
    "time": (time, time(9, 30)),
    "timedelta": (timedelta, timedelta(days=1, microseconds=1)),
    "decimal": (Decimal, Decimal("9.50")),
    "uuid": (UUID, NUMBER),
    "bytes": (bytes, b"\x00\xff"),
    "optional date": (date | None, DAY),
    "typing's optional date": (typing.Optional[date], DAY),  # noqa: UP045
    "annotated date": (Annotated[date, "a day"], DAY),
    "new type of a date": (Birthday, Birthday(DAY)),
    "scaled": (Annotated[Decimal, Scaled(2)], Decimal("9.50")),
    "enum": (Colour, Colour.BLUE),
    "int enum": (Size, Size.LARGE),
    "str enum": (Taste, Taste.SOUR),
    "enum of dates": (Holiday, Holiday.EASTER),
    "optional enum": (Colour | None, Colour.RED),
    "list": (list[int], [1, 2]),
    "list of dates": (list[date], [DAY]),
    "list of enums": (list[Colour], [Colour.RED, Colour.BLUE]),
    "list of optional decimals": (list[Decimal | None], [Decimal(1), None]),
    "list of lists of dates": (list[list[date]], [[DAY], []]),
    "list of lists": (list[list[int]], [[1], []]),
    "tuple": (tuple[int, str], (1, "a")),
    "tuple of dates": (tuple[date, ...], (DAY, DAY)),
    "set": (set[str], {"a", "b", "c"}),
    "set of dates": (set[date], {DAY, date(2026, 1, 1)}),
    "frozenset": (frozenset[int], frozenset({3, 1, 2})),
    "set of enums": (set[Colour], {Colour.RED, Colour.BLUE}),
    "dict": (dict[str, int], {"a": 1}),
    "dict of dates": (dict[str, date], {"a": DAY}),
    "dict of lists of decimals": (dict[str, list[Decimal]], {"a": [Decimal("1.0")], "b": []}),
    "dict of dicts of bytes": (dict[str, dict[str, bytes]], {"a": {"b": b"\xfe"}}),
    "dict of tuples": (dict[str, tuple[int, int]], {"a": (1, 2)}),
    "dict by str enum": (dict[Taste, int], {Taste.SWEET: 1}),
    "typed dict": (Stay, {"arrival": DAY, "price": Decimal("1.50")}),
    "list of typed dicts": (list[Stay], [{"arrival": DAY}]),
    "named tuple": (Point, Point(1.5, 2)),
    "path": (pathlib.PurePosixPath, pathlib.PurePosixPath("/a/b")),
    "network address": (ipaddress.IPv4Address, ipaddress.IPv4Address("127.0.0.1")),
}


def class_of(library: str, annotation: Any) -> Any:
    """A class with a field ``v`` of an annotation, and one that nests it: the library's own."""
    inner = make(library, "Inner", {"v": annotation})
    return make(
        library,
        "Outer",
        {
            "id": str | None,
            "v": annotation,
            "one": inner,
            "many": list[inner],
            "named": dict[str, inner],
            "maybe": inner | None,
        },
    ), inner


if sys.version_info >= (3, 12):
    SHARED["type alias"] = (typing.TypeAliasType("Days", list[date]), [DAY])

UNKNOWN = {("msgspec", "enum of dates")}
"""What a library does not know."""


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", SHARED)
def test_a_value_comes_back_at_any_depth(library: str, case: str, tmp_path: Any) -> None:
    annotation, value = SHARED[case]
    outer, inner = class_of(library, annotation)
    if (library, case) in UNKNOWN:
        with pytest.raises(InvalidSchema):
            divan.open("memory://", schema=outer)
        return

    def instance(**given: Any) -> Any:
        one = inner(v=value)
        return outer(**{"v": value, "one": one, "many": [one, one], "named": {"a": one}, "maybe": one, **given})

    with divan.open(f"sqlite:///{tmp_path}/values.db", schema=outer) as store:
        created = store.create(instance(), id="a")
        (bulk,) = store.create_many([("b", instance())])
        assert equal(bulk, instance(id="b"))
        found = store.find({"v": value}, sort="-_id", limit=1)
        for read in (created, store["a"], *store.get_many(["a"]), *store.find({"_id": "a", "v": value})):
            assert equal(read, instance(id="a"))
        assert equal(next(found), instance(id="b"))
        assert store.count({"one": inner(v=value)}) == store.count({"one.v": value}) == store.count() == 2
        assert equal(store.update("a", {"maybe": None}), instance(id="a", maybe=None))
        (changed,) = store.update_many(
            {"a": {"v": value, "many": [inner(v=value)], "named": {}, "maybe": inner(v=value)}}
        )
        assert equal(changed, instance(id="a", many=[inner(v=value)], named={}))
        assert equal(store.replace("a", instance()), instance(id="a"))


# pydantic


class Secrets(pydantic.BaseModel):
    word: pydantic.SecretStr
    raw: pydantic.SecretBytes
    day: pydantic.Secret[date]
    id: str | None = None


class Hidden(pydantic.BaseModel):
    a: int = pydantic.Field(exclude=True)
    b: str = pydantic.Field(repr=False)


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int


def camel(name: str) -> str:
    return to_camel(name)


class AliasedInner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=camel, serialize_by_alias=True)
    first_name: str


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(serialize_by_alias=True)
    id: str | None = pydantic.Field(default=None, alias="_id")
    last_name: str = pydantic.Field(validation_alias="surname")
    price_paid: Decimal = pydantic.Field(serialization_alias="paid")
    both: int = pydantic.Field(validation_alias=pydantic.AliasChoices("one", "other"))
    inner: AliasedInner
    inners: dict[str, list[AliasedInner]]


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    born: date


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    legs: int


class Pets(pydantic.BaseModel):
    pets: list[Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]]


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    colour: Colour
    tags: set[str]
    pair: tuple[int, str]
    day: date
    price: Decimal
    length: timedelta
    number: UUID


class StrictBytes(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    raw: bytes
    tags: frozenset[str]


class Computed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    width: int

    @pydantic.computed_field
    @property
    def area(self) -> int:
        return self.width**2


class Serialized(pydantic.BaseModel):
    a: int
    b: date

    @pydantic.model_serializer
    def _write(self) -> str:
        return f"{self.a}/{self.b}"

    @pydantic.field_serializer("a")
    def _hide(self, value: int) -> str:
        return "?"


class Tags(pydantic.RootModel[list[str]]):
    pass


class Days(pydantic.RootModel[dict[str, date]]):
    pass


class Rooted(pydantic.BaseModel):
    tags: Tags
    days: Days


class Dates(pydantic.BaseModel):
    aware: pydantic.AwareDatetime
    naive: pydantic.NaiveDatetime
    past: pydantic.PastDate
    future: pydantic.FutureDatetime
    maybe: list[pydantic.AwareDatetime | None]


class Texts(pydantic.BaseModel):
    url: pydantic.AnyUrl
    site: pydantic.HttpUrl
    pattern: re.Pattern[str]
    folder: pathlib.Path
    net: ipaddress.IPv6Network
    by_number: str


class Box(pydantic.BaseModel, Generic[T]):
    item: T


class Boxes(pydantic.BaseModel):
    box: Box[date]
    boxes: list[Box[Decimal]]


class Branch(pydantic.BaseModel):
    born: date
    children: "list[Branch]" = []
    by_name: "dict[str, Branch]" = {}


class Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    n: int
    tags: tuple[str, ...]


@pydantic.dataclasses.dataclass
class Checked:
    n: Annotated[int, pydantic.Field(gt=0)]
    day: date


class Mixed(pydantic.BaseModel):
    home: "Home"
    checked: Checked


# msgspec


class Animal(msgspec.Struct, tag=True, rename="camel"):
    first_name: str


class Bird(Animal, tag="birdie"):
    wing_span: float


class Fish(Animal):
    fin_count: int = 0


class Zoo(msgspec.Struct, rename={"keeper_day": "day"}, forbid_unknown_fields=True):
    keeper_day: date
    animals: list[Bird | Fish]
    best: Bird | Fish | None = None
    note: str | msgspec.UnsetType = msgspec.UNSET
    by_name: dict[str, Bird] = {}


class Tagged(msgspec.Struct, tag="tagged", tag_field="type"):
    n: int


class Tree(msgspec.Struct):
    born: date
    children: "list[Tree]" = []


# dataclasses and attrs


@dataclasses.dataclass
class Home:
    city: str
    built: date | None = None


@dataclasses.dataclass
class Node:
    day: date
    children: "list[Node]" = dataclasses.field(default_factory=list)
    parent: "Node | None" = None


@dataclasses.dataclass
class Left:
    n: Decimal
    right: "Right | None" = None


@dataclasses.dataclass
class Right:
    day: date
    left: "Left | None" = None


@dataclasses.dataclass
class Square:
    side: int


@dataclasses.dataclass
class Circle:
    radius: float


@dataclasses.dataclass
class Shapes:
    shapes: list[Square | Circle]
    homes: dict[str, list[Home]]
    counts: collections.defaultdict[str, int]
    queue: collections.deque[int]
    sequence: collections.abc.Sequence[date]
    taste: Taste | None = None
    area: int = dataclasses.field(init=False, default=4)
    hidden: str = dataclasses.field(default="x", repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class FrozenGuest:
    name: str
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass(kw_only=True, slots=True)
class Slotted:
    n: int
    day: date


@dataclasses.dataclass
class Parcel(Generic[T]):
    item: T


@dataclasses.dataclass
class Parcels:
    parcel: Parcel[date]
    number: Parcel[int]


@attrs.define
class Room:
    price: Decimal
    names: list[str] = attrs.field(factory=list, converter=list)
    home: Home | None = None
    doubled: int = attrs.field(default=3, converter=lambda n: abs(n))


@attrs.frozen
class Hotel:
    rooms: dict[str, Room]
    open: tuple[time, time]
    model: Cat
    struct: Bird
    secret: str = attrs.field(default="s", repr=False, alias="word")


@pytest.mark.parametrize(
    "instance",
    [
        Secrets(word=pydantic.SecretStr("hunter2"), raw=pydantic.SecretBytes(b"\xff"), day=pydantic.Secret(DAY)),
        Hidden(a=1, b="b"),
        Open(a=1, b="more", c={"d": [1]}),
        Aliased(
            _id=None,
            surname="Lovelace",
            price_paid=Decimal("9.50"),
            one=1,
            inner=AliasedInner(firstName="Ada"),
            inners={"a": [AliasedInner(firstName="Ada")]},
        ),
        Pets(pets=[Cat(born=DAY), Dog(legs=4)]),
        Strict(
            colour=Colour.RED,
            tags={"a", "b"},
            pair=(1, "b"),
            day=DAY,
            price=Decimal("1.50"),
            length=timedelta(1, 1, 1),
            number=NUMBER,
        ),
        StrictBytes(raw=b"\xff", tags=frozenset({"a"})),
        Computed(width=3),
        Serialized(a=1, b=DAY),
        Rooted(tags=Tags(["a"]), days=Days({"a": DAY})),
        Dates(
            aware=NOON,
            naive=datetime(2026, 1, 1),
            past=date(2020, 1, 1),
            future=datetime(9999, 1, 1, tzinfo=UTC),
            maybe=[NOON, None],
        ),
        Texts(
            url=pydantic.AnyUrl("redis://h/1"),
            site=pydantic.HttpUrl("https://a.example/b?c=d"),
            pattern=re.compile("a+"),
            folder=pathlib.Path("/tmp"),
            net=ipaddress.IPv6Network("::/64"),
            by_number="1",
        ),
        Boxes(box=Box[date](item=DAY), boxes=[Box[Decimal](item=Decimal("1.5"))]),
        Branch(born=DAY, children=[Branch(born=DAY, children=[Branch(born=DAY)])], by_name={"a": Branch(born=DAY)}),
        Frozen(n=1, tags=("a",)),
        Checked(n=1, day=DAY),
        Mixed(home=Home("London", DAY), checked=Checked(n=1, day=DAY)),
        Zoo(DAY, [Bird("Ada", 1.5), Fish("Bob", 2)], Fish("Eve"), by_name={"a": Bird("Ada", 2.5)}),
        Zoo(DAY, [], note="here"),
        Tagged(5),
        Tree(DAY, [Tree(DAY, [Tree(DAY)])]),
        Node(DAY, [Node(DAY, [Node(DAY)])], Node(DAY)),
        Left(Decimal("1.0"), Right(DAY, Left(Decimal("2.0"), Right(DAY)))),
        Shapes(
            [Square(1), Circle(2.5)],
            {"a": [Home("London", DAY)]},
            collections.defaultdict(int, a=1),
            collections.deque([1, 2]),
            [DAY],
            Taste.SWEET,
        ),
        FrozenGuest("Ada", frozenset({"a", "b"})),
        Slotted(n=1, day=DAY),
        Parcels(Parcel(DAY), Parcel(5)),
        Room(Decimal("9.50"), ["a"], Home("London")),
        Hotel({"a": Room(Decimal(1))}, (time(9), time(17)), Cat(born=DAY), Bird("Ada", 1.5), word="w"),
    ],
    ids=lambda instance: type(instance).__name__,
)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_all_that_an_instance_holds_comes_back(instance: Any, kind: str, tmp_path: Any) -> None:
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/values.db"
    with divan.open(url, schema=type(instance)) as store:
        created = store.create(instance, id="a")
        given = _with_id(instance, "a")
        (bulk,) = store.create_many([instance])
        assert equal(_with_id(bulk, "a"), given)
        for read in (created, store["a"], store.put("a", instance), store.replace("a", created)):
            assert equal(read, given)
        assert {one.id for one in divan_documents(store)} == set(store.ids())


def _with_id(instance: Any, id: str) -> Any:
    if "id" not in (fields_of(instance) or ()):
        return instance
    return instance.model_copy(update={"id": id})


def divan_documents(store: Store[Any]) -> list[Any]:
    return list(store.find(fields=[]))


def test_secrets_are_stored_and_stay_hidden() -> None:
    with divan.open("memory://secrets", schema=Secrets) as store, divan.open("memory://secrets") as plain:
        secrets = Secrets(word=pydantic.SecretStr("hunter2"), raw=pydantic.SecretBytes(b"x"), day=pydantic.Secret(DAY))
        assert repr(store.create(secrets, id="a")) == repr(secrets.model_copy(update={"id": "a"}))
        assert "hunter2" not in repr(store["a"])
        assert plain["a"] == {"word": "hunter2", "raw": "eA==", "day": "2026-12-01"}
        assert [one.id for one in store.find({"word": pydantic.SecretStr("hunter2")})] == ["a"]
        plain.put("b", {"word": 5, "raw": "eA==", "day": "2026-12-01", "hunter2": "hunter2"})
        with pytest.raises(InvalidDocument, match="document 'b' is no Secrets: word: ") as caught:
            store["b"]
        assert "hunter2" not in str(caught.value)
        plain.delete_many(["a", "b"])


def test_what_is_stored_is_under_the_names_and_in_the_order_of_the_class() -> None:
    zoo = Zoo(DAY, [Bird("Ada", 1.5)], note="n")
    with divan.open("memory://names", schema=Zoo) as store, divan.open("memory://names") as plain:
        store.create(zoo, id="a")
        assert list(plain["a"].items()) == [
            ("keeper_day", "2026-12-01"),
            ("animals", [{"type": "birdie", "first_name": "Ada", "wing_span": 1.5}]),
            ("best", None),
            ("note", "n"),
            ("by_name", {}),
        ]
        plain.delete("a")
    with divan.open("memory://names", schema=Aliased) as aliased, divan.open("memory://names") as plain:
        aliased.create(
            {"last_name": "L", "price_paid": Decimal(1), "both": 1, "inner": {"first_name": "A"}, "inners": {}}, id="a"
        )
        assert aliased["a"].inner.first_name == "A"
        plain.delete("a")


def test_decimals_and_dates_inside_objects_sort() -> None:
    class Night(pydantic.BaseModel):
        day: date
        price: Annotated[Decimal, Scaled(2)]

    class Booking(pydantic.BaseModel):
        night: Night

    with divan.open("memory://", schema=Booking) as store:
        for price in ("120.00", "9.50"):
            store.put(price, Booking(night=Night(day=DAY, price=Decimal(price))))
        assert [one.night.price for one in store.find(sort="night.price")] == [Decimal("9.50"), Decimal("120.00")]
        assert store.count({"night.price": {"$lt": Decimal(10)}, "night.day": {"$gte": DAY}}) == 1


# What is refused


class Base(pydantic.BaseModel):
    name: str


class Derived(Base):
    legs: int = 4


class Stable(pydantic.BaseModel):
    horses: list[Base]


class Lowered(pydantic.BaseModel):
    word: str

    @pydantic.field_validator("word", mode="before")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value + "!"


@dataclasses.dataclass
class Loose:
    n: int
    more: Any = None
    home: Home | None = None


@dataclasses.dataclass
class Either:
    one: Square | Home | str | Colour


@dataclasses.dataclass
class DerivedHome(Home):
    rooms: int = 3


@pytest.mark.parametrize(
    ("cls", "instance", "reason"),
    [
        (
            Stable,
            Stable(horses=[Base(name="a"), Derived(name="b")]),
            r"horses\[1\]: a Derived would come back as a Base",
        ),
        (Base, Derived(name="b"), "a Derived would come back as a Base"),
        (Lowered, Lowered(word="a"), "word: 'a!' would come back as 'a!!'"),
        (Loose, Loose("5"), "n: str where int is declared"),  # type: ignore[arg-type]
        (Either, Either(Colour.RED), "one: a Colour would come back as a str"),
        (Loose, Loose(1, Home("a")), "more: a Home would come back as a dict"),
        (Loose, Loose(1, (1, 2)), "more: a tuple would come back as a list"),
        (Loose, Loose(1, home=DerivedHome("a")), "home: a DerivedHome would come back as a Home"),
        (Loose, Loose(1, object()), "more: an object is not storable"),
        (Loose, Loose(1, DAY), "declare its field type, schema={'more': 'DateField'}"),
        (Loose, Loose(1, {1: 2}), "more: the field name 1 is an int; field names are strings"),
        (Base, Base.model_construct(name=5), "name: Input should be a valid string"),
        (Box[Any], Box[Any](item={1, 2}), "item: a set would come back as a list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_instance_that_would_not_come_back_is_not_stored(
    cls: Any, instance: Any, reason: str, tmp_path: Any
) -> None:
    with divan.open(f"sqlite:///{tmp_path}/values.db", schema=cls) as store:
        for call in (
            lambda: store.create(instance),
            lambda: store.put("a", instance),
            lambda: store.create_many([instance]),
        ):
            with pytest.raises((InvalidDocument, divan.BulkError)) as caught:
                call()
            error = caught.value.errors[0] if isinstance(caught.value, divan.BulkError) else caught.value
            assert isinstance(error, InvalidDocument)
            assert re.search(reason, str(error)) or reason in str(error)
        assert store.count() == 0


@pytest.mark.parametrize(
    ("cls", "first", "changes", "reason"),
    [
        (Stable, Stable(horses=[]), {"horses": [Derived(name="b")]}, "horses[0]: a Derived would come back as a Base"),
        (Stable, Stable(horses=[]), {"horses": [{"name": "a"}, Derived(name="b")]}, "horses[1]: a Derived would"),
        (Loose, Loose(1), {"home": DerivedHome("a")}, "home: a DerivedHome would come back as a Home"),
        (Loose, Loose(1), {"more": (1, 2)}, "more: a tuple would come back as a list"),
        (Loose, Loose(1), {"more": {"a": [Home("a")]}}, "more.a[0]: a Home would come back as a dict"),
        (Loose, Loose(1), {"more": Colour.RED}, "more: a Colour would come back as a str"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_to_what_would_not_come_back_is_not_made(cls: Any, first: Any, changes: Any, reason: str) -> None:
    with divan.open("memory://", schema=cls) as store:
        store.put("a", first)
        with pytest.raises(InvalidDocument, match=re.escape(reason)):
            store.update("a", changes)
        with pytest.raises(divan.BulkError, match=re.escape(reason)):
            store.update_many({"a": changes})
        assert store["a"] == first


def test_mappings_stand_for_instances_in_changes() -> None:
    with divan.open("memory://", schema=Loose) as store:
        store.put("a", Loose(1))
        assert store.update("a", {"home": {"city": "Paris", "built": DAY}}).home == Home("Paris", DAY)


def test_a_bulk_call_refuses_what_does_not_come_back_alone() -> None:
    with divan.open("memory://", schema=Loose) as store:
        given = [Loose(n, home=DerivedHome("a") if n == 1200 else Home("b")) for n in range(2500)]
        with pytest.raises(divan.BulkError) as caught:
            store.create_many(given)
        assert set(caught.value.errors) == {1200}
        assert store.count() == 2499


def test_an_instance_that_holds_itself_is_refused() -> None:
    node = Node(DAY)
    node.children.append(node)
    with divan.open("memory://", schema=Node) as store, pytest.raises(InvalidDocument, match="nested deeper than 100"):
        store.create(node)


class WithJson(pydantic.BaseModel):
    v: pydantic.Json[list[int]]


class Arrayed(msgspec.Struct, array_like=True):
    n: int


@dataclasses.dataclass
class Numbered:
    by_number: dict[int, str]


@dataclasses.dataclass
class Called:
    f: collections.abc.Hashable


@dataclasses.dataclass
class Torn:
    pair: tuple[int, date]


@dataclasses.dataclass
class IdOfFloat:
    id: float


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (WithJson, "WithJson.v: pydantic.Json takes text, and holds what it says"),
        (Tags, "Tags: a document has named fields, and a RootModel has none"),
        (Arrayed, "Arrayed is array_like"),
        (Numbered, "Numbered.by_number: the names of a stored object's fields are text, and int is not kept as text"),
        (
            Called,
            "Called: no instance could be made of a stored document: nothing is known of Hashable; name the field",
        ),
        (Torn, "Torn.pair: tuple[int, datetime.date] has no one field type"),
        (IdOfFloat, "IdOfFloat.id: a document's id is a str, an int or a UUID, and float is declared"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_can_not_come_back_is_refused_when_the_store_is_opened(cls: type, reason: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        divan.open("memory://", schema=cls)
    assert reason in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "annotation",
    [Place, Place | None, list[Place], dict[str, Place | None], collections.abc.Callable[[], int], complex, type[int]],
    ids=["alone", "or null", "in a list", "in a dict", "a call", "complex", "a class"],
)
def test_a_class_that_nothing_is_known_of_is_refused_when_the_store_is_opened(library: str, annotation: Any) -> None:
    cls = make(library, "Holder", {"n": int, "v": annotation}, arbitrary=True)
    with pytest.raises(InvalidSchema, match=r"Holder\.v.*: nothing is known of \w+; name the field type"):
        divan.open("memory://", schema=cls)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Annotated[Place, "PlaceField"], Place("a")),
        (Annotated[Place, "PlaceField"] | None, Place("a")),
        (Annotated[Place | None, "PlaceField"], None),
        (list[Annotated[Place, "PlaceField"]], [Place("a"), Place("b")]),
        (Annotated[list[Place], "PlaceField"], [Place("a")]),
        (dict[str, Annotated[Place, "PlaceField"]], {"k": Place("a")}),
    ],
    ids=["alone", "or null", "with null", "in a list", "a list", "in a dict"],
)
def test_a_plugins_field_type_keeps_what_the_library_knows_nothing_of(
    library: str, annotation: Any, value: Any
) -> None:
    inner = make(library, "Inner", {"v": annotation}, arbitrary=True)
    outer = make(library, "Outer", {"v": annotation, "one": inner, "days": set[date]}, arbitrary=True)
    given = outer(v=value, one=inner(v=value), days={DAY})
    with divan.open("memory://", schema=outer, plugins=[Places()]) as store:
        store.put("a", given)
        assert equal(store.get("a"), given)
        assert equal(store.update("a", {"v": value}), given)


class Room(msgspec.Struct, rename="camel"):
    floor_number: int


class Booking(NamedTuple):
    nights: int
    room: Room


class House(msgspec.Struct):
    best: Annotated[Room, msgspec.Meta(description="the best one")]
    booked: Booking
    pair: tuple[int, Room]


def test_renamed_fields_are_found_wherever_a_struct_is_held() -> None:
    house = House(Room(1), Booking(2, Room(3)), (4, Room(5)))
    with divan.open("memory://", schema=House) as store:
        store.put("a", house)
        assert store.get("a") == house


# Ids


@dataclasses.dataclass
class ByUUID:
    n: int
    id: UUID | None = None


class ByInt(pydantic.BaseModel):
    n: int
    id: int | None = None


@attrs.define
class ByName:
    n: int
    id: GuestId | None = None


class StructByInt(msgspec.Struct):
    n: int
    id: int | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    ("cls", "id", "other"),
    [(ByUUID, NUMBER, UUID(int=5)), (ByInt, 0, 17), (ByName, GuestId("ada"), GuestId("bob")), (StructByInt, 5, 0)],
    ids=["dataclass", "pydantic", "attrs", "msgspec"],
)
def test_ids_of_the_classs_own_kind_are_taken_and_given(cls: Any, id: Any, other: Any) -> None:
    with divan.open("memory://", schema=cls) as store:
        created = store.create(cls(n=1, id=id))
        assert equal(created, cls(n=1, id=id))
        assert equal(store.create({"n": 2}, id=other), cls(n=2, id=other))
        assert list(store.ids()) == [str(id), str(other)]
        for target in (id, created, str(id)):
            assert equal(store.get(target), created)
            assert target in store
        assert equal(store.get_many([other, id])[1], created)
        assert [one.n for one in store.find({"id": other})] == [2]
        assert sorted(one.n for one in store.find({"id": {"$in": [id, other]}})) == [1, 2]
        assert store.update(id, {"n": 3}).n == 3
        assert store.update_many([(id, {"n": 4})])[0].n == 4
        assert store.put(id, cls(n=5)).id == id
        assert store.replace(created, cls(n=6)).n == 6
        store.delete(id)
        assert store.delete_many([other]) == [str(other)]


def test_a_uuid_is_made_where_none_is_given() -> None:
    with divan.open("memory://", schema=ByUUID) as store:
        created = store.create(ByUUID(1))
        assert isinstance(created.id, UUID)
        assert store[created].n == 1  # type: ignore[index]


def test_an_id_that_is_not_of_the_classs_kind_is_refused() -> None:
    with divan.open("memory://ids", schema=ByInt) as store, divan.open("memory://ids") as plain:
        with pytest.raises(InvalidDocument, match=r"its id is no int, which ByInt\.id is declared to be"):
            store.create({"n": 1})
        plain.put("05", {"n": 1})
        with pytest.raises(InvalidDocument, match=r"document .05. is no ByInt"):
            store["05"]
        for call in (lambda: store.find(sort="id"), lambda: store.find({"id": {"$gt": 5}})):
            with pytest.raises(divan.InvalidQuery, match="ids are kept as text"):
                call()
        plain.delete("05")


def positive(value: int) -> None:
    if value <= 0:
        raise ValueError("must be positive")


@dataclasses.dataclass(init=False)
class OwnConstructor:
    n: int

    def __init__(self, n: int) -> None:
        positive(n)
        self.n = n


@dataclasses.dataclass
class OwnNew:
    n: int

    def __new__(cls, n: int) -> "OwnNew":
        positive(n)
        return super().__new__(cls)


@dataclasses.dataclass
class OwnSetter:
    n: int

    def __setattr__(self, name: str, value: int) -> None:
        positive(value)
        super().__setattr__(name, value)


@attrs.define(init=False)
class OwnAttrsConstructor:
    n: int

    def __init__(self, n: int) -> None:
        positive(n)
        self.__attrs_init__(n)


@attrs.define
class BeforeConstruction:
    n: int

    def __attrs_pre_init__(self, n: int) -> None:
        positive(n)


class OwnModelConstructor(pydantic.BaseModel):
    n: int

    def __init__(self, **fields: Any) -> None:
        positive(fields["n"])
        super().__init__(**fields)


@pytest.mark.parametrize(
    "cls", [OwnConstructor, OwnNew, OwnSetter, OwnAttrsConstructor, BeforeConstruction, OwnModelConstructor]
)
@pytest.mark.parametrize("change", [-5, divan.Increment(-5), divan.REMOVE], ids=["set", "increment", "remove"])
def test_no_update_leaves_what_the_class_refuses_in_code_that_runs_when_an_instance_is_made(cls, change):
    with divan.open("memory://", schema=cls) as store:
        store.put("a", {"n": 1})
        with pytest.raises(InvalidDocument):
            store.update("a", {"n": change})
        with pytest.raises(divan.BulkError):
            store.update_many({"a": {"n": change}})
        assert [one.n for one in store] == [1]


def no_default() -> int:
    raise ValueError("say how many")


class CheckedDefault(pydantic.BaseModel):
    n: int = pydantic.Field(default=-1, gt=0, validate_default=True)


@pytest.mark.parametrize(
    "cls",
    [
        dataclasses.make_dataclass("Data", [("n", int, dataclasses.field(default_factory=no_default))]),
        attrs.make_class("Attrs", {"n": attrs.field(type=int, factory=no_default)}),
        msgspec.defstruct("Struct", [("n", int, msgspec.field(default_factory=no_default))]),
        pydantic.create_model("Model", n=(int, pydantic.Field(default_factory=no_default))),
        CheckedDefault,
    ],
)
def test_a_field_whose_default_is_refused_is_not_removed(cls):
    with divan.open("memory://", schema=cls) as store:
        store.put("a", {"n": 1})
        with pytest.raises(InvalidDocument):
            store.update("a", {"n": divan.REMOVE})
        assert [one.n for one in store] == [1]


class Tabby(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"


class Hound(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"


class Keeper(pydantic.BaseModel):
    pet: Tabby | Hound = pydantic.Field(discriminator="kind")


def test_an_update_without_the_discriminator_is_refused():
    with divan.open("memory://", schema=Keeper) as store:
        store.put("a", Keeper(pet=Tabby()))
        with pytest.raises(InvalidDocument, match="discriminator"):
            store.update("a", {"pet": {}})
        assert list(store) == [Keeper(pet=Tabby())]
