"""What a class refuses is never stored, whichever call makes it; what somebody else stored is named, and hides no other."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import attrs
import divan
import divan.aio
import msgspec
import pydantic
import pytest
from divan import Increment, InvalidDocument, Store
from hypothesis import given
from hypothesis import strategies as st

# Four classes alike: n is greater than 0, and never greater than most.


class PydanticStock(pydantic.BaseModel):
    n: int = pydantic.Field(gt=0)
    most: int = 100
    id: str | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> PydanticStock:
        if self.n > self.most:
            raise ValueError("there is more than there may be")
        return self


class PydanticCount(pydantic.BaseModel):
    """Without a rule that sees more than one field."""

    n: int = pydantic.Field(gt=0, le=100)
    most: int = 100
    id: str | None = None


@dataclasses.dataclass
class DataclassStock:
    n: int
    most: int = 100
    id: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.n <= self.most:
            raise ValueError(f"n is {self.n}")


@attrs.define
class AttrsStock:
    n: int = attrs.field(validator=attrs.validators.gt(0))
    most: int = 100
    id: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.n > self.most:
            raise ValueError(f"n is {self.n}")


class StructStock(msgspec.Struct):
    n: Annotated[int, msgspec.Meta(gt=0)]
    most: int = 100
    id: str | None = None

    def __post_init__(self) -> None:
        if self.n > self.most:
            raise ValueError(f"n is {self.n}")


CLASSES = [PydanticStock, PydanticCount, DataclassStock, AttrsStock, StructStock]

REFUSED: dict[str, Callable[[Store[Any]], Any]] = {
    "create": lambda store: store.create({"n": -5}, id="new"),
    "create without a required field": lambda store: store.create({}, id="new"),
    "put": lambda store: store.put("x", {"n": 0}),
    "put of a new one": lambda store: store.put("new", {"n": 0}),
    "replace": lambda store: store.replace("x", {"most": 5}),
    "update": lambda store: store.update("x", {"n": -5}),
    "update past another field": lambda store: store.update("x", {"n": 101}),
    "update that removes a required field": lambda store: store.update("x", {"n": divan.REMOVE}),
    "increment": lambda store: store.update("x", {"n": Increment(-1)}),
}


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return f"memory://{tmp_path.name}" if request.param == "memory" else f"sqlite:///{tmp_path}/stock.db"


@pytest.fixture
def plain(url: str) -> Iterator[Store]:
    """The same documents, as they are stored."""
    with divan.open(url) as store:
        store.put("x", {"n": 1, "most": 100})
        yield store
        store.delete_many(list(store.ids()))


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def store(request: pytest.FixtureRequest, url: str, plain: Store) -> Iterator[Store[Any]]:
    with divan.open(url, schema=request.param) as opened:
        yield opened


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_the_class_refuses_is_not_stored(
    store: Store[Any], plain: Store, call: Callable[[Store[Any]], Any]
) -> None:
    with pytest.raises(InvalidDocument):
        call(store)
    assert {document.id: dict(document) for document in plain} == {"x": {"n": 1, "most": 100}}
    assert [one.n for one in store] == [1]


def test_an_update_with_a_revision_is_checked_too(store: Store[Any], plain: Store) -> None:
    rev = plain["x"].rev
    with pytest.raises(InvalidDocument):
        store.update("x", {"n": -1}, rev=rev)
    with pytest.raises(divan.RevisionConflict):
        store.update("x", {"n": 2}, rev="0")
    assert store.update("x", {"n": 2}, rev=rev).n == 2


def test_what_the_class_takes_is_stored(store: Store[Any], plain: Store) -> None:
    assert store.create({"n": 3}, id="new").n == 3
    assert store.update("x", {"n": Increment(4), "most": 5}).n == 5
    assert store.update("x", {"most": divan.REMOVE}).most == 100
    assert store.put("x", {"n": 7}).n == 7
    assert plain["x"] == {"n": 7}


def test_a_bulk_call_stores_all_but_what_the_class_refuses(store: Store[Any], plain: Store) -> None:
    with pytest.raises(divan.BulkError) as created:
        store.create_many([("a", {"n": 1}), ("b", {"n": -1}), ("c", {"n": 3})])
    assert set(created.value.errors) == {1}
    assert isinstance(created.value.errors[1], InvalidDocument)
    with pytest.raises(divan.BulkError) as updated:
        store.update_many([("a", {"n": 2}), ("c", {"n": -2}), ("x", {"n": divan.REMOVE}), ("none", {"n": 1})])
    assert {index: type(error) for index, error in updated.value.errors.items()} == {
        1: InvalidDocument,
        2: InvalidDocument,
        3: divan.DocumentNotFound,
    }
    with pytest.raises(divan.BulkError):
        store.update_many([("a", {"n": Increment(1)}), ("c", {"n": Increment(-9)})])
    assert {document.id: document["n"] for document in plain} == {"x": 1, "a": 3, "c": 3}


def test_two_updates_of_one_document_in_a_batch_are_judged_in_order(store: Store[Any], plain: Store) -> None:
    assert [one.n for one in store.update_many([("x", {"n": 2, "most": 3}), ("x", {"n": 3})])] == [2, 3]
    with pytest.raises(divan.BulkError) as caught:
        store.update_many([("x", {"n": divan.REMOVE, "most": 9}), ("x", {"most": 8})])
    assert set(caught.value.errors) == {0}
    assert plain["x"] == {"n": 3, "most": 8}


def test_a_stored_document_that_the_class_refuses_is_named_and_hides_no_other(store: Store[Any], plain: Store) -> None:
    plain.put("odd", {"n": -5})
    plain.put("y", {"n": 2})
    for listing in (iter(store), store.find({"most": {"$ne": 1}}), store.find(sort="n")):
        seen: list[str | None] = []
        for _ in range(3):
            try:
                seen.append(next(listing).id)
            except InvalidDocument as error:
                seen.append(f"not {error.document_id}")
        assert sorted(map(str, seen)) == ["not odd", "x", "y"]
        assert next(listing, None) is None
    with pytest.raises(InvalidDocument):
        store.get("odd")
    with pytest.raises(divan.BulkError) as caught:
        store.get_many(["x", "odd", "y"])
    assert [getattr(one, "n", None) for one in caught.value.results] == [1, None, 2]
    assert "odd" in store
    assert "odd" in set(store.ids())
    assert store.count() == 3
    assert store.update("odd", {"n": 5}).n == 5  # mended
    plain.put("odd", {"n": -5})
    store.delete("odd")
    assert "odd" not in store


def test_an_increment_past_a_bound_is_refused_beside_other_writers(store: Store[Any], plain: Store) -> None:
    def add(_: int) -> int:
        done = 0
        for _ in range(40):
            try:
                store.update("x", {"n": Increment(1)})
                done += 1
            except InvalidDocument:
                pass
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add, range(4))) == 99
    assert plain["x"]["n"] == 100


def test_the_id_of_an_instance_is_the_documents_in_a_filter_and_a_sort(store: Store[Any], plain: Store) -> None:
    store.create_many([("a", {"n": 2}), ("b", {"n": 3})])
    assert [one.id for one in store.find({"id": {"$gte": "a"}, "n": {"$gt": 1}}, sort="-id")] == ["b", "a"]
    assert store.count({"$or": [{"id": "a"}, {"$not": {"id": {"$in": ["a", "b"]}}}]}) == 2


def test_coroutines_are_held_to_the_class_too(url: str, plain: Store) -> None:
    async def refuse() -> None:
        async with divan.aio.open(url, PydanticStock) as store:
            for write in (
                store.update("x", {"n": -5}),
                store.put("x", {"n": 0}),
                store.create({"n": -1}),
            ):
                with pytest.raises(InvalidDocument):
                    await write
            with pytest.raises(divan.BulkError):
                await store.update_many({"x": {"n": 0}})

    asyncio.run(refuse())
    assert plain["x"] == {"n": 1, "most": 100}


numbers = st.integers(-3, 120)
calls = st.one_of(
    st.tuples(st.just("create"), st.just(None), st.fixed_dictionaries({}, optional={"n": numbers, "most": numbers})),
    st.tuples(
        st.sampled_from(["put", "replace", "update"]),
        st.sampled_from("ab"),
        st.fixed_dictionaries(
            {},
            optional={
                "n": numbers | st.just(divan.REMOVE) | st.builds(Increment, numbers) | st.text(max_size=1),
                "most": numbers | st.none() | st.just(divan.REMOVE),
            },
        ),
    ),
    st.tuples(st.just("delete"), st.sampled_from("ab"), st.none()),
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@given(sequence=st.lists(calls, max_size=12))
def test_after_any_calls_every_document_can_be_loaded(cls: type, sequence: list[tuple[str, str | None, Any]]) -> None:
    with divan.open("memory://", schema=cls) as store:
        for method, id, data in sequence:
            arguments = [argument for argument in (id, data) if argument is not None]
            try:
                getattr(store, method)(*arguments)
            except divan.DivanError:
                pass
        for one in store:
            assert isinstance(one, cls)
            assert 0 < one.n <= 100 or one.n <= one.most  # type: ignore[attr-defined]
