"""Internal: the checks of a class as schema: what its instances hold comes back, and what it refuses is not stored."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import pytest

from divan import REMOVE, BulkError, Increment, InvalidDocument, Scaled, Store
from divan.testing.base import StoreChecks

# The annotations are read when a Store is opened, so this module does without `from __future__ import annotations`.


class Status(enum.Enum):
    """An enum whose values are stored."""

    HERE = "here"
    GONE = "gone"


@dataclass
class Room:
    """An object inside a document."""

    name: str
    price: Annotated[Decimal, Scaled(2)]
    built: date | None = None
    keys: set[str] = field(default_factory=set)


@dataclass
class Stay:
    """A document that holds something of everything."""

    nights: int
    arrival: date
    booked: datetime
    checkout: time
    length: timedelta
    paid: Decimal
    number: UUID
    photo: bytes
    rating: float
    status: Status
    room: Room
    rooms: list[Room]
    by_name: dict[str, Room]
    days: tuple[date, ...]
    tags: frozenset[str]
    note: str | None = None
    next: "Stay | None" = None
    id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no stay is."""
        if self.nights < 1:
            raise ValueError("a stay lasts a night at least")


@dataclass
class Visit:
    """A document whose fields are judged one by one."""

    count: int
    by: UUID
    id: int | None = None


def _stay(**changes: Any) -> Stay:
    room = Room("blue", Decimal("120.00"), date(1999, 12, 31), {"b", "a"})
    stay = Stay(
        2,
        date(2026, 12, 1),
        datetime(2026, 11, 24, 9, 30, 0, 1, tzinfo=UTC),
        time(10, 30),
        timedelta(days=2, microseconds=1),
        Decimal("0.10"),
        UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"),
        b"\x00\xff",
        4.5,
        Status.HERE,
        room,
        [room, Room("red", Decimal("9.50"))],
        {"best": room},
        (date(2026, 12, 1), date(2026, 12, 2)),
        frozenset({"x", "é"}),
    )
    return replace(stay, **changes)


_REFUSED: Final[dict[str, Callable[[Any], Any]]] = {
    "create": lambda store: store.create({"nights": 0}),
    "put": lambda store: store.put("a", {"nights": 2}),
    "replace": lambda store: store.replace("a", {}),
    "update": lambda store: store.update("a", {"nights": 0}),
    "update of a nested field": lambda store: store.update("a", {"room": {"name": "blue"}}),
    "removal": lambda store: store.update("a", {"arrival": REMOVE}),
    "increment": lambda store: store.update("a", {"nights": Increment(-2)}),
}


class Classes(StoreChecks):
    """A dataclass as schema."""

    @pytest.fixture
    def stays(self, open_store: Callable[..., Store]) -> Store[Any]:
        """A Store of `Stay`s."""
        return open_store(schema=Stay)

    def test_an_instance_comes_back(self, stays: Store[Any]) -> None:
        stay = _stay(next=_stay(note="é"))
        created = stays.create(stay, id="a")
        assert created == stays.get("a") == replace(stay, id="a")
        assert stays.create_many([stay])[0].next == stay.next
        assert type(created.rooms[0].price) is Decimal

    def test_an_instance_is_found_by_what_it_holds(self, stays: Store[Any]) -> None:
        stays.put_many([("a", _stay()), ("b", _stay(status=Status.GONE, room=Room("red", Decimal("9.50"))))])
        assert [stay.id for stay in stays.find({"status": Status.GONE})] == ["b"]
        assert [stay.id for stay in stays.find({"room": Room("red", Decimal("9.50"))})] == ["b"]
        assert [stay.id for stay in stays.find(sort="room.price")] == ["b", "a"]
        assert [stay.id for stay in stays.find({"room.built": {"$lt": date(2000, 1, 1)}})] == ["a"]
        assert stays.count({"tags": {"é", "x"}, "photo": b"\x00\xff"}) == 2

    def test_an_instances_own_values_are_taken_by_updates(self, stays: Store[Any]) -> None:
        stays.put("a", _stay())
        room = Room("red", Decimal("9.50"), keys={"c"})
        changes = {"status": Status.GONE, "room": room, "rooms": [room], "next": _stay(), "nights": Increment(1)}
        updated = stays.update("a", changes)
        expected = _stay(status=Status.GONE, room=room, rooms=[room], next=_stay(), nights=3, id="a")
        assert updated == stays.get("a") == expected
        assert stays.update_many({"a": {"rooms": []}}) == [replace(expected, rooms=[])]

    @pytest.mark.parametrize("call", _REFUSED.values(), ids=_REFUSED)
    def test_what_the_class_refuses_is_not_stored(
        self, store: Store, stays: Store[Any], call: Callable[[Any], Any]
    ) -> None:
        stays.put("a", _stay())
        before = {document.id: dict(document) for document in store}
        with pytest.raises(InvalidDocument):
            call(stays)
        assert {document.id: dict(document) for document in store} == before

    def test_a_bulk_call_refuses_no_more_than_what_the_class_does(self, stays: Store[Any]) -> None:
        with pytest.raises(BulkError) as caught:
            stays.create_many([_stay(), {"nights": 1}, _stay(nights=3)])
        assert {index: type(error) for index, error in caught.value.errors.items()} == {1: InvalidDocument}
        assert sorted(stay.nights for stay in stays) == [2, 3]

    def test_a_bulk_update_refuses_no_more_than_what_the_class_does(self, stays: Store[Any]) -> None:
        stays.put_many([("a", _stay()), ("c", _stay())])
        stays.update("c", {"nights": 4})
        with pytest.raises(BulkError) as caught:
            stays.update_many([("a", {"nights": 0}), ("c", {"nights": 5})])
        assert set(caught.value.errors) == {0}
        assert {stay.id: stay.nights for stay in stays} == {"a": 2, "c": 5}

    def test_a_document_that_the_class_refuses_hides_no_other(self, store: Store, stays: Store[Any]) -> None:
        stays.put_many((name, _stay()) for name in "ac")
        store.put("b", {"nights": 0})
        found, refused = [], []
        iterator = iter(stays)
        while True:
            try:
                found.append(next(iterator).id)
            except InvalidDocument as error:
                refused.append(error.document_id)
            except StopIteration:
                break
        assert (sorted(found), refused) == (["a", "c"], ["b"])

    def test_ids_of_another_class_and_changes_that_are_judged_alone(
        self, store: Store, open_store: Callable[..., Store]
    ) -> None:
        visits: Store[Any] = open_store(schema=Visit)
        by = UUID(int=7)
        visits.create(Visit(1, by, id=12))
        assert visits.update(12, {"count": Increment(2), "by": UUID(int=8)}) == Visit(3, UUID(int=8), 12)
        for changes in ({"count": "4"}, {"count": REMOVE}, {"by": None}, {"count": Increment(0.5)}):
            with pytest.raises(InvalidDocument):
                visits.update(12, changes)
        assert [visit.id for visit in visits.find({"id": 12})] == [12]
        assert store["12"] == {"count": 3, "by": str(UUID(int=8))}
