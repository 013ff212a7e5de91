"""A Store of a class's instances, over the plain Store with the class's own conversion around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import divan
import pydantic

from benchmarks.harness import Pair, Row, Settings, timed


class Booking(pydantic.BaseModel):
    """What a program of pydantic keeps."""

    guest: str
    nights: int
    rating: float
    paid: bool
    arrival: date
    booked: datetime
    price: Decimal
    city: str | None = None
    note: str = ""
    tags: list[str] = []


@dataclasses.dataclass
class Visit:
    """What a program without it keeps."""

    guest: str
    nights: int
    rating: float
    paid: bool
    arrival: str
    booked: str
    price: int
    city: str | None = None
    note: str = ""
    tag: str = ""


BOOKING = Booking(
    guest="Ada Lovelace",
    nights=3,
    rating=4.5,
    paid=True,
    arrival=date(2026, 12, 1),
    booked=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
    price=Decimal("99.50"),
    city="London",
    note="quiet room",
    tags=["regular", "quiet"],
)
FIELD_TYPES = {"arrival": "DateField", "booked": "DateTimeField", "price": "DecimalField"}
VISIT = Visit("Ada Lovelace", 3, 4.5, True, "2026-12-01", "2026-11-24", 9950, "London", "quiet room", "regular")


def _repeat(call: Callable[[], object]) -> Any:
    def run(operations: int) -> None:
        for _ in range(operations):
            call()

    return timed(run)


@contextmanager
def _stores(settings: Settings, schema: Any, plain: Any) -> Iterator[tuple[Any, divan.Store]]:
    folder = settings.folder / f"classes-{next(_numbers)}"
    folder.mkdir()
    with (
        divan.open(f"sqlite:///{folder}/classes.db", schema=schema) as ours,
        divan.open(f"sqlite:///{folder}/plain.db", schema=plain) as theirs,
    ):
        yield ours, theirs


_numbers = count()


def _pydantic(operation: str) -> Callable[[Settings], AbstractContextManager[Pair]]:
    @contextmanager
    def prepare(settings: Settings) -> Iterator[Pair]:
        with _stores(settings, Booking, FIELD_TYPES) as (ours, theirs):
            ours.put("a", BOOKING)
            theirs.put("a", BOOKING.model_dump())
            if operation == "create":
                yield Pair(
                    _repeat(lambda: ours.create(BOOKING)),
                    _repeat(lambda: Booking.model_validate(theirs.create(BOOKING.model_dump()))),
                )
            else:
                yield Pair(_repeat(lambda: ours.get("a")), _repeat(lambda: Booking.model_validate(theirs.get("a"))))

    return prepare


def _dataclass(operation: str) -> Callable[[Settings], AbstractContextManager[Pair]]:
    @contextmanager
    def prepare(settings: Settings) -> Iterator[Pair]:
        fields = dataclasses.asdict(VISIT)
        with _stores(settings, Visit, None) as (ours, theirs):
            ours.put("a", VISIT)
            theirs.put("a", fields)
            if operation == "create":
                yield Pair(_repeat(lambda: ours.create(VISIT)), _repeat(lambda: theirs.create(fields)))
            else:
                yield Pair(_repeat(lambda: ours.get("a")), _repeat(lambda: theirs.get("a")))

    return prepare


ROWS = [
    Row(
        "classes.pydantic_create", "create() of a model of 10 fields", "model_dump, create(), model_validate",
        _pydantic("create"), operations=500, target=1.15,
    ),
    Row(
        "classes.pydantic_get", "get() of it", "get(), model_validate", _pydantic("get"), operations=5_000, target=1.15,
    ),
    Row(
        "classes.dataclass_create", "create() of a dataclass of 10 fields", "create() of a mapping",
        _dataclass("create"), operations=500, target=1.3,
    ),
    Row(
        "classes.dataclass_get", "get() of it", "get() of a mapping", _dataclass("get"), operations=5_000, target=1.3,
    ),
]  # fmt: skip
