"""Generated classes of every library, and generated calls: what is stored comes back, and can always be read."""

import asyncio
import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import attrs
import divan
import divan.aio
import msgspec
import pydantic
import pytest
from divan import REMOVE, DivanError, Increment, InvalidSchema, Scaled
from divan.backends.memory import MemoryBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.support.classes import LIBRARIES, equal, make


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


Case = tuple[Any, st.SearchStrategy[Any]]
"""An annotation, and the values that it declares."""

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
LEAVES: list[Case] = [
    (str, TEXTS),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (dt.date, st.dates()),
    (dt.datetime, st.datetimes(timezones=st.just(dt.UTC))),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999))),
    (Decimal, st.decimals(-(10**9), 10**9, places=3)),
    (Annotated[Decimal, Scaled(2)], st.decimals(-(10**9), 10**9, places=2)),
    (UUID, st.uuids()),
    (bytes, st.binary(max_size=8)),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
]


def _optional(case: Case) -> Case:
    return case[0] | None, st.none() | case[1]


def _list(case: Case) -> Case:
    return list[case[0]], st.lists(case[1], max_size=3)


def _tuple(case: Case) -> Case:
    return tuple[case[0], ...], st.lists(case[1], max_size=3).map(tuple)


def _dict(case: Case) -> Case:
    names = st.text("abc*é ", min_size=1, max_size=3)
    return dict[str, case[0]], st.dictionaries(names, case[1], max_size=3)


HASHABLE = [case for case in LEAVES if case[0] is not float]
SETS: list[Case] = [(set[kind], st.sets(values, max_size=3)) for kind, values in HASHABLE]
ANNOTATIONS: st.SearchStrategy[Case] = st.recursive(
    st.sampled_from([*LEAVES, *SETS]),
    lambda cases: st.tuples(st.sampled_from([_optional, _list, _tuple, _dict]), cases).map(
        lambda made: made[0](made[1])
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_instance_of_a_generated_class_comes_back(library: str, data: st.DataObject) -> None:
    cases = data.draw(st.lists(ANNOTATIONS, min_size=1, max_size=3))
    annotations = {f"field{number}": annotation for number, (annotation, _) in enumerate(cases)}
    inner = make(library, "Inner", annotations)
    outer = make(library, "Outer", {**annotations, "inner": inner, "inners": list[inner], "maybe": inner | None})

    def drawn(cls: Any, **more: Any) -> Any:
        return cls(**{f"field{number}": data.draw(values) for number, (_, values) in enumerate(cases)}, **more)

    instance = drawn(
        outer, inner=drawn(inner), inners=[drawn(inner)], maybe=data.draw(st.sampled_from([None, drawn(inner)]))
    )
    try:
        store: Any = divan.open("memory://", schema=outer)
    except InvalidSchema:
        assert library == "msgspec"  # which tells fewer unions apart
        return
    with store:
        try:
            created = store.create(instance, id="a")
        except divan.InvalidDocument:
            assert store.count() == 0
            assert not all(_is_certain(annotation) for annotation in annotations.values())
            return
        assert equal(created, instance)
        assert equal(store["a"], instance)
        assert store.count({name: getattr(instance, name) for name in annotations}) == 1
        assert equal(store.update("a", {name: getattr(instance, name) for name in annotations}), instance)


def _is_certain(annotation: Any) -> bool:
    """Whether every value of an annotation comes back: pydantic reads some of a Decimal's places as others."""
    return "set" not in str(annotation)


# Whatever calls are made


class PydanticStock(pydantic.BaseModel):
    n: int = pydantic.Field(gt=0)
    most: int = 100
    tags: set[str] = set()
    id: str | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "PydanticStock":
        if self.n > self.most:
            raise ValueError("there is more than there may be")
        return self


class PydanticCount(pydantic.BaseModel):
    n: Annotated[int, pydantic.Field(gt=0, le=100)]
    most: int = 100
    tags: set[str] = set()


@dataclasses.dataclass
class DataclassCount:
    n: int
    most: int = 100
    tags: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class FlatCount:
    n: int
    most: int | None = 100


@attrs.define
class AttrsStock:
    n: int = attrs.field(validator=attrs.validators.gt(0))
    most: int = 100
    tags: set[str] = attrs.Factory(set)


class StructCount(msgspec.Struct, forbid_unknown_fields=True):
    n: Annotated[int, msgspec.Meta(gt=0)]
    most: int = 100
    tags: set[str] = set()


VALUES = st.sampled_from(
    [1, 5, 0, -1, 101, 1.5, "1", None, True, REMOVE, Increment(1), Increment(-3), Increment(0.5), [1], {}]
)
CHANGES = st.dictionaries(st.sampled_from(["n", "most", "tags", "other"]), VALUES, max_size=3)
PLAIN = st.dictionaries(
    st.sampled_from(["n", "most", "tags", "other"]),
    st.sampled_from([1, 5, 0, -1, 101, 1.5, "1", None, ["a"], [1], {}]),
    max_size=3,
)
IDS = st.sampled_from("abc")


def _machine(cls: Any, kind: str, url: str) -> type[RuleBasedStateMachine]:
    class Calls(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.store: Any = divan.open(url, schema=cls)
            self.store.delete_many(list(self.store.ids()))

        def attempt(self, call: Callable[[Any], Any]) -> None:
            try:
                if kind == "async":
                    asyncio.run(self._awaited(call))
                else:
                    call(self.store)
            except DivanError:
                pass

        async def _awaited(self, call: Callable[[Any], Any]) -> None:
            async with divan.aio.open(url, schema=cls) as store:
                await call(store)

        @rule(id=IDS, data=PLAIN)
        def create(self, id: str, data: Any) -> None:
            self.attempt(lambda store: store.create(data, id=id))

        @rule(id=IDS, data=PLAIN)
        def put(self, id: str, data: Any) -> None:
            self.attempt(lambda store: store.put(id, data))

        @rule(id=IDS, data=PLAIN)
        def replace(self, id: str, data: Any) -> None:
            self.attempt(lambda store: store.replace(id, data))

        @rule(id=IDS, changes=CHANGES)
        def update(self, id: str, changes: Any) -> None:
            self.attempt(lambda store: store.update(id, changes))

        @rule(items=st.lists(st.tuples(IDS, CHANGES), max_size=4))
        def update_many(self, items: Any) -> None:
            self.attempt(lambda store: store.update_many(items))

        @rule(items=st.lists(st.tuples(IDS, PLAIN), max_size=4))
        def create_many(self, items: Any) -> None:
            self.attempt(lambda store: store.create_many(items))

        @rule(items=st.lists(st.tuples(IDS, PLAIN), max_size=4))
        def put_many(self, items: Any) -> None:
            self.attempt(lambda store: store.put_many(items))

        @rule(id=IDS)
        def delete(self, id: str) -> None:
            self.attempt(lambda store: store.delete(id))

        @invariant()
        def each_document_can_be_read(self) -> None:
            assert all(isinstance(one, cls) for one in self.store)

        def teardown(self) -> None:
            self.store.close()

    return Calls


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    "cls",
    [PydanticStock, PydanticCount, DataclassCount, FlatCount, AttrsStock, StructCount],
    ids=lambda cls: cls.__name__,
)
def test_each_document_can_be_read_after_any_calls(cls: Any, kind: str, tmp_path: Path) -> None:
    examples = 20 if kind == "sync" else 4
    run_state_machine_as_test(
        _machine(cls, kind, f"memory://{tmp_path.name}"),
        settings=settings(max_examples=examples, stateful_step_count=20, deadline=None),
    )


# Round trips


class CountingBackend(MemoryBackend):
    """Counts the calls that a server would be sent."""

    calls: list[str]

    def connect(self, database: str, host: str, port: int) -> Any:
        self.calls = []
        return super().connect(database, host, port)

    def get_document_for_id(self, document_id: str) -> Any:
        self.calls.append("get")
        return super().get_document_for_id(document_id)

    def get_many(self, document_ids: Any) -> Any:
        self.calls.append("get_many")
        return super().get_many(document_ids)

    def update(self, *arguments: Any, **options: Any) -> Any:
        self.calls.append("update")
        return super().update(*arguments, **options)

    def update_many(self, changes: Any) -> Any:
        self.calls.append("update_many")
        return [
            super(CountingBackend, self).update(one.document_id, one.data, one.remove, one.increment) for one in changes
        ]


@pytest.mark.parametrize("cls", [PydanticCount, DataclassCount, FlatCount, StructCount], ids=lambda cls: cls.__name__)
def test_a_change_that_is_judged_field_by_field_takes_one_round_trip(cls: Any) -> None:
    with divan.open(CountingBackend, schema=cls) as store:
        store.put("a", cls(n=1))
        calls = store.backend.calls
        calls.clear()
        for changes in ({"n": 2}, {"n": 3, "most": 50}, {"most": REMOVE}, {"most": Increment(5)}, {"other": 1}):
            try:
                store.update("a", changes)
            except divan.InvalidDocument:
                assert (cls, list(changes)) == (StructCount, ["other"])
                continue
            assert calls == ["update"], changes
            calls.clear()
        store.update_many({"a": {"n": 4}})
        assert calls == ["update_many"]


@pytest.mark.parametrize("cls", [PydanticStock, AttrsStock], ids=lambda cls: cls.__name__)
def test_a_change_that_is_judged_with_the_whole_document_takes_two(cls: Any) -> None:
    with divan.open(CountingBackend, schema=cls) as store:
        store.put("a", cls(n=1))
        store.backend.calls.clear()
        store.update("a", {"n": 2})
        assert store.backend.calls == ["get", "update"]
