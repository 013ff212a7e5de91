"""The Store itself: documents, batches, streams, closing and threads, on the memory backend and on ones made to fail."""

from __future__ import annotations

import copy
import datetime
import enum
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import divan
import pytest
from divan import (
    REMOVE,
    BulkError,
    ConnectionFailed,
    Document,
    DocumentExists,
    DocumentNotFound,
    Increment,
    InvalidDocument,
    InvalidID,
    InvalidQuery,
    RevisionConflict,
    Store,
    StoreClosed,
    StoreError,
)
from divan.backends.memory import MemoryBackend


@pytest.fixture
def store() -> Iterator[Store]:
    with divan.open("memory://") as store:
        yield store


# Document, REMOVE, Increment


def test_a_document_is_a_dict_with_id_and_rev_beside_the_fields() -> None:
    document = Document({"id": 1, "rev": 2}, "ada", "7")

    assert document == {"id": 1, "rev": 2}
    assert (document.id, document.rev) == ("ada", "7")
    assert repr(document) == "Document({'id': 1, 'rev': 2}, id='ada', rev='7')"
    assert repr(Document({}, "ada")) == "Document({}, id='ada')"


@pytest.mark.parametrize(
    "again",
    [lambda d: pickle.loads(pickle.dumps(d)), copy.copy, copy.deepcopy, lambda d: d.copy()],
    ids=["pickle", "copy", "deepcopy", ".copy()"],
)
def test_a_document_keeps_id_and_rev_when_it_is_copied(again: Callable[[Document], Document]) -> None:
    document = Document({"a": [1]}, "ada", "7")

    other = again(document)

    assert type(other) is Document
    assert (other, other.id, other.rev) == ({"a": [1]}, "ada", "7")
    other["b"] = 2
    assert document == {"a": [1]}


def test_remove_is_one_object_whatever_is_done_to_it() -> None:
    for again in (type(REMOVE)(), copy.copy(REMOVE), copy.deepcopy(REMOVE), pickle.loads(pickle.dumps(REMOVE))):
        assert again is REMOVE
    assert repr(REMOVE) == "divan.REMOVE"


def test_increments_of_one_number_and_type_are_equal() -> None:
    assert Increment() == Increment(1)
    assert Increment(1) != Increment(1.0)
    assert Increment(1) != 1
    assert len({Increment(2), Increment(2), Increment(3)}) == 2
    assert pickle.loads(pickle.dumps(Increment(2.5))) == copy.deepcopy(Increment(2.5)) == Increment(2.5)
    assert repr(Increment(-2)) == "divan.Increment(-2)"


@pytest.mark.parametrize("by", [True, "1", None, [1], 1j])
def test_an_increment_is_by_a_number(by: Any) -> None:
    with pytest.raises(TypeError, match=r"^Increment takes an int, a float or a Decimal, not "):
        Increment(by)


# One document


def test_a_made_id_is_a_uuid_of_version_7(store: Store) -> None:
    ids = [store.create({}).id for _ in range(3)]

    assert [UUID(id).version for id in ids] == [7, 7, 7]
    assert ids == sorted(ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda store: store.create({}, id="ada"), DocumentExists),
        (lambda store: store["nobody"], DocumentNotFound),
        (lambda store: store.update("nobody", {}), DocumentNotFound),
        (lambda store: store.update("nobody", {}, rev="1"), DocumentNotFound),
        (lambda store: store.update("ada", {}, rev="old"), RevisionConflict),
        (lambda store: store.update("ada", {}, rev=5), TypeError),
        (lambda store: store.replace("ada", {}, rev=b"1"), TypeError),
        (lambda store: store.delete("ada", rev=1.0), TypeError),
        (lambda store: store.delete_many({"ada": 1}), TypeError),
        (lambda store: store.delete_many("ada"), TypeError),
        (lambda store: store.replace("nobody", {}), DocumentNotFound),
        (lambda store: store.replace("ada", {}, rev="old"), RevisionConflict),
        (lambda store: store.delete("nobody"), DocumentNotFound),
        (lambda store: store.delete("ada", rev="old"), RevisionConflict),
        (lambda store: store.update("ada", {"name": Increment(1)}), InvalidDocument),
        (lambda store: store.update("ada", {"n": Increment(float("inf"))}), InvalidDocument),
        (lambda store: store.update("ada", {"n": Increment(2**63)}), InvalidDocument),
        (lambda store: store.update("ada", {"$set": REMOVE}), InvalidDocument),
        (lambda store: store.update("ada", {"a": {"b": REMOVE}}), InvalidDocument),
        (lambda store: store.update("ada", [("a", 1)]), InvalidDocument),
        (lambda store: store.create({"a": REMOVE}), InvalidDocument),
        (lambda store: store.put("ada", {"a": Increment(1)}), InvalidDocument),
        (lambda store: store.create({}, id=""), InvalidID),
        (lambda store: store.get(""), InvalidID),
        (lambda store: store.put("_a", {}), InvalidID),
        (lambda store: store.get(Document({})), InvalidID),
    ],
    ids=range(26),
)
def test_a_call_that_can_not_be_carried_out_changes_nothing(
    store: Store, call: Callable[[Store], Any], error: type[Exception]
) -> None:
    ada = store.create({"name": "Ada"}, id="ada")

    with pytest.raises(error):
        call(store)

    assert [(document.id, document, document.rev) for document in store] == [("ada", {"name": "Ada"}, ada.rev)]


def test_a_default_stands_for_a_missing_document_alone(store: Store) -> None:
    marker = object()

    assert store.get("nobody", marker) is marker
    assert store.get("nobody", None) is None
    assert store.create({"a": 1}, id="x") == store.get("x", marker)


def test_increments_reach_the_driver_as_plain_numbers() -> None:
    seen: list[Any] = []

    class Watching(MemoryBackend):
        def update(  # type: ignore[override]
            self, document_id: str, data: dict[str, Any], increment: Any = None, **rest: Any
        ) -> Document:
            seen.append([type(by) for by in (increment or {}).values()])
            return super().update(document_id, data, increment=increment or {}, **rest)

    class Step(enum.IntEnum):
        TWO = 2

    class Metres(float):
        pass

    with divan.open(Watching) as store:
        store.create({}, id="x")
        store.update("x", {"n": Increment(Step.TWO), "m": Increment(Metres(0.5))})
        store.update_many([("x", {"n": Increment(Step.TWO), "m": Increment(Metres(0.5))})])

    assert seen == [[int, float], [int, float]]


def test_wherever_an_id_is_taken_a_document_is_too(store: Store) -> None:
    document = store.create({"n": 0})

    assert store[document] == store.get(document) == {"n": 0}
    assert document in store
    assert store.update(document, {"n": 1}) == {"n": 1}
    assert store.replace(document, {"n": 2}) == {"n": 2}
    assert store.put(document, {"n": 3}) == {"n": 3}
    assert store.get_many([document]) == [{"n": 3}]
    assert store.update_many([(document, {"n": 4})]) == [{"n": 4}]
    store.delete(document)
    assert document not in store


def test_a_write_to_a_stale_document_is_blind_unless_a_revision_is_given(store: Store) -> None:
    document = store.create({"n": 0})
    store.update(document, {"n": 1})

    assert store.update(document, {"m": 2}) == {"n": 1, "m": 2}
    with pytest.raises(RevisionConflict) as caught:
        store.update(document, {"m": 3}, rev=document.rev)
    assert (caught.value.document_id, caught.value.rev) == (document.id, document.rev)


# Many


def test_bulk_calls_take_any_iterable_and_answer_in_order(store: Store) -> None:
    created = store.create_many({"n": n} for n in range(1200))

    assert [document["n"] for document in created] == list(range(1200))
    assert [d["n"] for d in store.get_many(d.id for d in reversed(created))] == list(reversed(range(1200)))
    assert [d["n"] for d in store.update_many((d, {"n": -d["n"]}) for d in created)] == [-n for n in range(1200)]
    assert store.delete_many(d.id for d in created) == [d.id for d in created]
    assert store.count() == 0


def test_bulk_calls_with_nothing_do_nothing(store: Store) -> None:
    assert (store.create_many([]), store.get_many([]), store.update_many({}), store.delete_many(iter([]))) == (
        [],
        [],
        [],
        [],
    )


def test_a_bulk_call_reports_each_failed_item_and_carries_out_the_others(store: Store) -> None:
    store.create({}, id="taken")

    with pytest.raises(BulkError) as caught:
        store.create_many([("a", {"n": 1}), ("taken", {}), {"bad": float("nan")}, ("", {}), ("b", {"n": 2})])

    assert caught.value.operation == "create_many"
    assert [type(item) for item in caught.value.results] == [
        Document,
        DocumentExists,
        InvalidDocument,
        InvalidID,
        Document,
    ]
    assert sorted(caught.value.errors) == [1, 2, 3]
    assert sorted(store.ids()) == ["a", "b", "taken"]


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.create({"n": float("nan")}, id="ada"),
        lambda store: store.put("ada", {"n": float("nan")}),
        lambda store: store.replace("ada", {"n": float("nan")}),
        lambda store: store.update("ada", {"n": float("nan")}),
        lambda store: store.update("ada", {"a.b": float("nan")}),
        lambda store: store.create_many([("ada", {"n": float("nan")})]),
        lambda store: store.put_many({"ada": {"n": float("nan")}}),
        lambda store: store.update_many({"ada": {"n": float("nan")}}),
    ],
    ids=["create", "put", "replace", "update", "update at a path", "create_many", "put_many", "update_many"],
)
def test_a_refusal_names_the_document(store: Store, call: Callable[[Store], object]) -> None:
    with pytest.raises((InvalidDocument, BulkError), match="NaN is not storable") as caught:
        call(store)
    error = caught.value.errors[0] if isinstance(caught.value, BulkError) else caught.value
    assert isinstance(error, InvalidDocument)
    assert error.document_id == "ada"


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.create_many([{"n": 1}, 5]),
        lambda store: store.create_many([{"n": 1}, ("x",)]),
        lambda store: store.create_many([{"n": 1}, ("x", {}, "rev")]),
        lambda store: store.create_many([{"n": 1}, (5, {})]),
        lambda store: store.update_many([("ada", {"n": 1}), 5]),
        lambda store: store.update_many([("ada", {"n": 1}), ("ada",)]),
        lambda store: store.update_many([("ada", {"n": 1}), ("ada", 5)]),
        lambda store: store.delete_many(["ada", 5]),
    ],
    ids=range(8),
)
def test_an_item_of_the_wrong_shape_fails_alone(store: Store, call: Callable[[Store], Any]) -> None:
    store.create({"n": 0}, id="ada")

    with pytest.raises(BulkError) as caught:
        call(store)

    assert list(caught.value.errors) == [1]
    assert isinstance(caught.value.errors[1], InvalidDocument)


def test_an_item_that_is_stored_but_can_not_be_read_back_fails_alone() -> None:
    def read(form: str) -> str:
        if form == "b":
            raise ValueError("unreadable")
        return form

    schema = {"name": {"serialize": str, "deserialize": read}}
    with divan.open("memory://odd", schema=schema) as store, divan.open("memory://odd") as plain:
        plain.create_many((id, {"name": id}) for id in "abc")
        with pytest.raises(BulkError) as caught:
            store.update_many({id: {"seen": True} for id in "abc"})

        assert [type(item) for item in caught.value.results] == [Document, InvalidDocument, Document]
        assert plain.count({"seen": True}) == 3
        plain.delete_many(list("abc"))


@pytest.mark.parametrize(
    ("call", "method"),
    [
        (lambda store: store.create_many([{}, {}]), "create_many"),
        (lambda store: store.get_many(["a", "b"]), "get_many"),
        (lambda store: store.update_many([("a", {}), ("b", {})]), "update_many"),
        (lambda store: store.delete_many(["a", "b"]), "delete_many"),
    ],
)
@pytest.mark.parametrize("answers", [[], [Document()] * 3])
def test_a_backend_that_does_not_answer_for_each_item_is_named(
    call: Callable[[Store], Any], method: str, answers: list[Any]
) -> None:
    with divan.open(MemoryBackend, database="miscounts") as store:
        setattr(store.backend, method, lambda items: answers)
        with pytest.raises(StoreError, match=rf"{method}\(\) gave {len(answers)} results for 2 items"):
            call(store)


class Flaky(MemoryBackend):
    """Loses its connection at the second batch."""

    batch_size = 2
    batches = 0

    def create_many(self, items: Sequence[Any]) -> list[Any]:
        self.batches += 1
        if self.batches == 2:
            raise ConnectionFailed("the connection was lost")
        return super().create_many(items)


def test_a_connection_lost_between_batches_is_told_with_what_was_carried_out() -> None:
    with divan.open(Flaky) as store:
        with pytest.raises(BulkError) as caught:
            store.create_many({"n": n} for n in range(6))

        assert [d["n"] for d in caught.value.results[:2]] == [0, 1]
        assert all(isinstance(item, ConnectionFailed) for item in caught.value.results[2:])
        assert isinstance(caught.value.__cause__, ConnectionFailed)
        assert store.count() == 2


def test_a_bulk_call_asks_for_no_more_than_a_batch_at_a_time() -> None:
    asked = []

    def documents() -> Iterator[dict[str, Any]]:
        for n in range(5):
            asked.append(n)
            yield {"n": n}

    class Watching(MemoryBackend):
        batch_size = 2

        def create_many(self, items: Sequence[Any]) -> list[Any]:
            sizes.append((len(items), len(asked)))
            return super().create_many(items)

    sizes: list[tuple[int, int]] = []
    with divan.open(Watching) as store:
        store.create_many(documents())

    assert sizes == [(2, 2), (2, 4), (1, 5)]


def test_an_input_that_raises_is_no_error_of_divans_and_keeps_what_was_written() -> None:
    class Small(MemoryBackend):
        batch_size = 2

    def documents() -> Iterator[dict[str, Any]]:
        yield from ({"n": n} for n in range(3))
        raise ZeroDivisionError

    with divan.open(Small) as store:
        with pytest.raises(ZeroDivisionError):
            store.create_many(documents())

        assert store.count() == 2


# Queries


def test_arguments_of_find_are_checked_when_it_is_called(store: Store) -> None:
    wrong: list[dict[str, Any]] = [
        {"where": {"a": {"$foo": 1}}}, {"where": 5}, {"sort": 5}, {"limit": -1}, {"limit": 1.5}, {"skip": -1}, {"fields": "a"},
        {"limit": True}, {"skip": 2**63},
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(InvalidQuery):
            store.find(**arguments)


def test_a_skip_of_none_skips_nothing(store: Store) -> None:
    store.create_many([{"n": 1}, {"n": 2}])

    assert [d["n"] for d in store.find(sort="n", skip=None, limit=1)] == [1]  # type: ignore[arg-type]


def test_a_find_that_is_under_way_does_not_see_later_writes_twice(store: Store) -> None:
    store.create_many([{"n": n} for n in range(10)])

    for document in store.find({"n": {"$gte": 0}}):
        store.update(document, {"seen": True})
        store.create({"n": -1})

    assert store.count({"seen": True}) == 10


def test_an_index_is_over_fields(store: Store) -> None:
    assert store.ensure_index("a", "b.c") is None
    wrong: list[tuple[Any, ...]] = [(), ("",), ("_id",), (5,)]
    for fields in wrong:
        with pytest.raises(InvalidQuery):
            store.ensure_index(*fields)


# Closing


EVERY_CALL: dict[str, Callable[[Store], Any]] = {
    "create": lambda store: store.create({}),
    "get": lambda store: store.get("a"),
    "get with a default": lambda store: store.get("a", None),
    "update": lambda store: store.update("a", {}),
    "replace": lambda store: store.replace("a", {}),
    "put": lambda store: store.put("a", {}),
    "delete": lambda store: store.delete("a"),
    "find": lambda store: list(store.find()),
    "first": lambda store: store.first(),
    "exists": lambda store: store.exists(),
    "page": lambda store: store.page(),
    "count": lambda store: store.count(),
    "explain": lambda store: store.explain(),
    "iter": lambda store: list(store),
    "in": lambda store: "a" in store,
    "ids": lambda store: list(store.ids()),
    "ensure_index": lambda store: store.ensure_index("a"),
    "create_many": lambda store: store.create_many([{}]),
    "put_many": lambda store: store.put_many({"a": {}}),
    "get_many": lambda store: store.get_many(["a"]),
    "update_many": lambda store: store.update_many({"a": {}}),
    "delete_many": lambda store: store.delete_many(["a"]),
    "update_where": lambda store: store.update_where({}, {}),
    "delete_where": lambda store: store.delete_where({}),
    "ping": lambda store: store.ping(),
}


@pytest.mark.parametrize("call", EVERY_CALL)
def test_every_call_on_a_closed_store_says_so(call: str) -> None:
    store = divan.open("memory://closing")
    store.put("a", {})
    store.close()

    with pytest.raises(StoreClosed, match=r"^the store memory://closing/ is closed; open it again$"):
        EVERY_CALL[call](store)


def test_a_store_closes_its_backend_once_however_often_it_is_closed() -> None:
    closed = []

    class Closing(MemoryBackend):
        def close(self) -> None:
            closed.append(self)

    with divan.open(Closing) as store:
        store.close()
    store.close()

    assert closed == [store.backend]


def test_a_store_closes_when_its_block_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), divan.open("memory://") as store:
        raise ZeroDivisionError

    with pytest.raises(StoreClosed):
        store.count()


def test_a_backend_is_closed_if_the_store_can_not_be_made() -> None:
    closed = []

    class Closing(MemoryBackend):
        def close(self) -> None:
            closed.append(self)

    with pytest.raises(divan.InvalidSchema):
        divan.open(Closing, schema={"a": "NoSuchField"})

    assert len(closed) == 1


def test_a_named_memory_database_outlives_its_stores() -> None:
    with divan.open("memory://kept") as store:
        store.put("a", {"n": 1})

    with divan.open("memory://kept") as store:
        assert store["a"] == {"n": 1}


def test_a_nameless_memory_database_is_the_stores_own() -> None:
    with divan.open("memory://") as one, divan.open("memory://") as other:
        one.put("a", {})

        assert other.count() == 0


# Threads


def test_threads_that_update_one_document_lose_nothing(store: Store) -> None:
    store.create({"total": 0}, id="x")

    def work(number: int) -> None:
        for n in range(100):
            store.update("x", {f"field{number}": n, "total": Increment(1)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert store["x"] == {"total": 800, **{f"field{number}": 99 for number in range(8)}}


def test_of_threads_that_create_one_document_one_wins(store: Store) -> None:
    barrier = threading.Barrier(8)

    def work(number: int) -> bool:
        barrier.wait()
        try:
            store.create({"by": number}, id="x")
        except DocumentExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(work, range(8)))

    assert sum(won) == 1
    assert store["x"] == {"by": won.index(True)}


def test_threads_that_read_while_others_write_see_whole_documents(store: Store) -> None:
    store.put("x", {"a": 0, "b": 0})
    stop = threading.Event()
    torn: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            for document in (store["x"], *store.find({"a": {"$gte": 0}})):
                if document["a"] != document["b"]:
                    torn.append(document)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(500):
        store.put("x", {"a": n, "b": n})
        store.put(f"y{n % 7}", {"a": n, "b": n})
    stop.set()
    for reader in readers:
        reader.join()

    assert torn == []


def test_threads_that_open_stores_at_once_all_get_one() -> None:
    name = f"memory://{uuid4()}"  # a named database outlives its stores, and this run of the test

    def work(number: int) -> str:
        with divan.open(name, schema={"day": "DateField"}) as store:
            return store.create({"day": datetime.date(2026, 12, 1)}, id=str(number)).id

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [str(number) for number in range(40)]
