"""`divan.aio`: the Store's answers from coroutines, cancellation, and closing, under asyncio and trio."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import divan
import divan.aio
import pytest
from divan.aio.workers import Job, Workers
from divan.backends.base import BaseDivanBackend, Query
from divan.backends.memory import MemoryBackend
from divan.documents import Document

pytestmark = pytest.mark.anyio

PATIENCE = 300.0
"""Seconds after which a test that waits for an event gives up and fails."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path.as_posix()}/test.db?timeout=600"


class GatedBackend(MemoryBackend):
    """A third party's backend, which waits at a gate wherever an id or a field says so."""

    entered: threading.Semaphore
    gate: threading.Event
    released: threading.Event
    closed: threading.Event
    active: int
    peak: int
    connected: ClassVar[list[GatedBackend]] = []
    connecting = threading.Event()

    def connect(self, database: str, host: str, port: int) -> Any:
        self.entered, self.gate = threading.Semaphore(0), threading.Event()
        self.released, self.closed = threading.Event(), threading.Event()
        self.produced = 0
        if database == "slow":
            GatedBackend.connected.append(self)
            GatedBackend.connecting.set()
            self.wait()
        return super().connect(database, host, port)

    def wait(self) -> None:
        self.entered.release()
        if not self.gate.wait(PATIENCE):
            raise AssertionError("the gate was never opened")

    def get_document_for_id(self, document_id: str) -> Document:
        if document_id == "slow":
            self.wait()
        return super().get_document_for_id(document_id)

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        if document_id == "slow":
            self.wait()
        return super().create(data, document_id)

    def find(self, where: Query) -> Iterator[Any]:  # type: ignore[override]
        try:
            for document in super().find(where):
                if document.get("slow"):
                    self.wait()
                if document.get("broken"):
                    raise divan.OperationTimeout("half-way")
                self.produced += 1
                yield document
        finally:
            self.released.set()

    def close(self) -> None:
        self.closed.set()


async def wait_for(event: threading.Event | threading.Semaphore) -> None:
    waiter: Any = event.wait if isinstance(event, threading.Event) else lambda patience: event.acquire(timeout=patience)
    assert await anyio.to_thread.run_sync(waiter, PATIENCE), "the event never came"


def gated(store: divan.aio.AsyncStore) -> GatedBackend:
    assert isinstance(store.backend, GatedBackend)
    return store.backend


def open_gated(max_threads: int = 40) -> divan.aio.Opening:
    return divan.aio.open(GatedBackend, database="", max_threads=max_threads)


# The same methods


PUBLIC = [name for name, _ in inspect.getmembers(divan.Store, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("name", [*PUBLIC, "__getitem__"])
def test_every_method_of_the_store_is_there_with_its_parameters(name: str) -> None:
    def shape(function: Any) -> list[tuple[Any, ...]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert shape(getattr(divan.aio.AsyncStore, name)) == shape(getattr(divan.Store, name))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_method_is_documented(name: str) -> None:
    assert getattr(divan.aio.AsyncStore, name).__doc__


@pytest.mark.parametrize("name", sorted({*PUBLIC} - {"find", "ids", "watch"}))
def test_every_method_but_the_iterators_is_a_coroutine_function(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(divan.aio.AsyncStore, name))


def test_open_takes_what_divan_open_takes_and_max_threads() -> None:
    ours = inspect.signature(divan.aio.open).parameters
    theirs = inspect.signature(divan.open).parameters
    assert [name for name in ours if name != "max_threads"] == list(theirs)


# Opening


async def test_open_can_be_awaited(url: str) -> None:
    store = await divan.aio.open(url)
    created = await store.create({"name": "Ada"})
    assert await store.get(created.id) == {"name": "Ada"}
    await store.close()


async def test_open_is_an_async_context_manager(url: str) -> None:
    async with divan.aio.open(url) as store:
        await store.ping()
    with pytest.raises(divan.StoreClosed):
        await store.ping()


async def test_an_open_store_is_an_async_context_manager(url: str) -> None:
    async with await divan.aio.open(url) as store:
        await store.ping()
    with pytest.raises(divan.StoreClosed):
        await store.ping()


async def test_open_without_a_url_takes_the_one_in_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_URL", url)
    async with divan.aio.open() as store:
        assert store.name == url.partition(":")[0]


async def test_what_opening_raises_comes_through() -> None:
    with pytest.raises(divan.BackendNotFound):
        await divan.aio.open("nosuchstore://x")


@pytest.mark.parametrize("number", [0, -1, True, 2.0, "8"])
def test_max_threads_is_a_whole_number_from_1_on(number: Any) -> None:
    with pytest.raises(ValueError, match="max_threads"):
        divan.aio.open("memory://", max_threads=number)


async def test_a_store_whose_opening_was_cancelled_is_closed() -> None:
    GatedBackend.connecting.clear()

    async def open_slowly() -> None:
        await divan.aio.open(GatedBackend, database="slow")

    async with anyio.create_task_group() as group:
        group.start_soon(open_slowly)
        await wait_for(GatedBackend.connecting)
        group.cancel_scope.cancel()
    backend = GatedBackend.connected.pop()
    backend.gate.set()
    await wait_for(backend.closed)


def test_without_anyio_the_error_names_the_extra() -> None:
    script = "import sys; sys.modules['anyio'] = None; import divan.aio"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ImportError: divan.aio needs anyio: pip install 'divan-core[aio]'" in ended.stderr


# The same answers


async def test_one_document_from_creation_to_deletion(url: str) -> None:
    async with divan.aio.open(url, schema={"arrival": "DateField"}) as store:
        ada = await store.create({"name": "Ada", "arrival": date(2026, 12, 1)}, "ada")
        assert ada["arrival"] == date(2026, 12, 1)
        assert await store["ada"] == ada
        assert (await store.update(ada, {"stays": divan.Increment(2)}))["stays"] == 2
        replaced = await store.replace("ada", {"name": "Ada L."})
        ada = await store.put("ada", {"name": "Ada"})
        assert ada == {"name": "Ada"}
        assert await store.put("ada", {"name": "Ada", "age": 36}, ada.rev) == {"name": "Ada", "age": 36}
        assert await store.get("ada", fields=["age"]) == {"age": 36}
        with pytest.raises(divan.RevisionConflict):
            await store.delete("ada", rev=replaced.rev)
        await store.delete("ada")
        assert await store.get("ada", None) is None
        with pytest.raises(divan.DocumentNotFound):
            await store.get("ada")


async def test_queries(url: str) -> None:
    async with divan.aio.open(url) as store:
        await store.create_many((f"d{number:04}", {"n": number}) for number in range(1000))
        where = {"n": {"$gte": 10}}
        found = [document async for document in store.find(where, sort="-n", limit=3, skip=1, fields=["n"])]
        assert [document["n"] for document in found] == [998, 997, 996]
        assert found[0].id == "d0998"
        assert await store.count(where) == 990
        assert await store.first(where, sort="-n", fields=["n"]) == {"n": 999}
        assert await store.first({"n": 1000}) is None
        page = await store.page(where, sort="n", limit=600)
        assert [len(page.items), page.items[0]["n"]] == [600, 10]
        page = await store.page(where, sort="n", limit=600, after=page.next)
        assert [len(page.items), page.next] == [390, None]
        assert await store.exists(where)
        assert not await store.exists({"n": 1000})
        assert await store.get_many(["d0003", "nobody"], fields=["m"]) == [{}, None]
        assert isinstance(await store.explain(where, sort="n"), divan.Explanation)
        assert {id async for id in store.ids()} == {f"d{number:04}" for number in range(1000)}
        assert sum([document["n"] async for document in store]) == sum(range(1000))
        assert await store.update_where({"n": {"$lt": 5}}, {"low": True}) == 5
        assert await store.delete_where({"low": True}) == 5
        assert await store.ensure_index("n") == store.sync.ensure_index("n")


async def test_a_bad_query_is_refused_when_it_is_read(url: str) -> None:
    async with divan.aio.open(url) as store:
        with pytest.raises(divan.InvalidQuery):
            async for _ in store.find({"n": {"$where": "1"}}):
                pass


async def agenerate(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


@pytest.mark.parametrize("kind", [iter, agenerate])
async def test_bulk_calls_take_sync_and_async_iterables(url: str, kind: Callable[[Any], Any]) -> None:
    ids = [f"d{number:04}" for number in range(1200)]
    async with divan.aio.open(url) as store:
        created = await store.create_many(kind([(id, {"n": 1}) for id in ids]))
        assert [document.id for document in created] == ids
        updated = await store.update_many(kind([(id, {"n": 2}) for id in ids]))
        assert {document["n"] for document in updated} == {2}
        assert await store.update_many({"d0000": {"n": 3}}) == [{"n": 3}]
        assert await store.get_many(kind(["d0000", "none"]), default="?") == [{"n": 3}, "?"]
        assert await store.delete_many(kind(ids)) == ids
        assert await store.count() == 0


@pytest.mark.parametrize("kind", [iter, agenerate])
async def test_a_failed_item_does_not_lose_the_others(url: str, kind: Callable[[Any], Any]) -> None:
    count = 1300
    async with divan.aio.open(url) as store:
        await store.create({}, "d0001")
        with pytest.raises(divan.BulkError) as caught:
            await store.create_many(kind([(f"d{number:04}", {}) for number in range(count)]))
        assert list(caught.value.errors) == [1]
        assert isinstance(caught.value.errors[1], divan.DocumentExists)
        assert [document.id for document in caught.value.results[-1:]] == [f"d{count - 1:04}"]
        assert await store.count() == count


async def test_a_batch_that_the_store_did_not_answer_for_ends_an_async_bulk_call() -> None:
    class Dropping(MemoryBackend):
        batch_size = 2

        def create_many(self, items: Any) -> list[Any]:
            if self.db:
                raise divan.ConnectionFailed("dropped")
            return super().create_many(items)

    async with divan.aio.open(Dropping, database="") as store:
        with pytest.raises(divan.BulkError) as caught:
            await store.create_many(agenerate([{"n": number} for number in range(7)]))
        assert len(caught.value.results) == 4
        assert isinstance(caught.value.__cause__, divan.ConnectionFailed)


async def test_many_tasks_share_a_store(url: str) -> None:
    async with divan.aio.open(url, max_threads=4) as store:
        await store.create({}, "one")

        async def add() -> None:
            for _ in range(10):
                await store.update("one", {"n": divan.Increment(1)})

        async with anyio.create_task_group() as group:
            for _ in range(16):
                group.start_soon(add)
        assert (await store.get("one"))["n"] == 160


async def test_several_iterators_are_read_while_documents_are_written(url: str) -> None:
    async with divan.aio.open(url, max_threads=4) as store:
        await store.create_many({"n": number} for number in range(600))
        counts: list[int] = []

        async def read() -> None:
            counts.append(len([document async for document in store.find({"n": {"$lt": 600}})]))

        async def write() -> None:
            for number in range(50):
                await store.create({"n": 1000 + number})

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(read)
            group.start_soon(write)
        assert counts == [600] * 6


# Iterators


async def run_here(function: Callable[[], Any]) -> Any:
    run_here.calls += 1  # type: ignore[attr-defined]
    return function()


async def test_documents_are_fetched_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Time stands still, so that no chunk is handed out before it is full.
    monkeypatch.setattr("divan.aio.results.time", SimpleNamespace(monotonic=lambda: 0.0))
    run_here.calls = 0  # type: ignore[attr-defined]
    results = divan.aio.AsyncResults(run_here, lambda: iter(range(5000)))
    assert [number async for number in results] == list(range(5000))
    assert run_here.calls < 500  # type: ignore[attr-defined]


async def test_no_more_than_a_chunk_is_read_ahead() -> None:
    async with open_gated() as store:
        await store.create_many({"n": number} for number in range(2000))
        async with store.find() as documents:
            for number in range(1, 2001):
                await anext(documents)
                assert gated(store).produced - number < 256
            with pytest.raises(StopAsyncIteration):
                await anext(documents)


async def test_a_closed_iterator_lets_go_of_the_cursor() -> None:
    async with open_gated() as store:
        await store.create_many({"n": number} for number in range(100))
        async with aclosing(store.find()) as documents:
            await anext(documents)
            assert not gated(store).released.is_set()
        assert gated(store).released.is_set()
        assert [document async for document in documents] == []


async def test_a_forgotten_iterator_lets_go_of_the_cursor() -> None:
    async with open_gated() as store:
        await store.create_many({"n": number} for number in range(100))
        async for _ in store.find():
            break
        await wait_for(gated(store).released)


async def test_a_cancelled_iterator_lets_go_of_the_cursor_and_says_that_it_was_interrupted() -> None:
    async with open_gated() as store:
        backend = gated(store)
        await store.create({"slow": True})
        documents = store.find()
        async with anyio.create_task_group() as group:
            group.start_soon(anext, documents)
            await wait_for(backend.entered)
            group.cancel_scope.cancel()
        assert not backend.released.is_set()
        backend.gate.set()
        await wait_for(backend.released)
        with pytest.raises(divan.DivanError, match="interrupted"):
            await anext(documents)


async def test_an_error_half_way_comes_after_the_documents_before_it() -> None:
    async with open_gated() as store:
        await store.create_many([{"n": 1}, {"n": 2}, {"broken": True}])
        documents = store.find()
        assert [(await anext(documents))["n"], (await anext(documents))["n"]] == [1, 2]
        with pytest.raises(divan.OperationTimeout):
            await anext(documents)
        assert [document async for document in documents] == []


async def test_two_tasks_may_read_one_iterator(url: str) -> None:
    async with divan.aio.open(url) as store:
        await store.create_many({"n": number} for number in range(1000))
        documents = store.find()
        seen: list[int] = []

        async def read() -> None:
            async for document in documents:
                seen.append(document["n"])
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(read)
        assert sorted(seen) == list(range(1000))


# Cancellation


async def test_a_cancelled_read_returns_while_the_store_still_hangs() -> None:
    async with open_gated() as store:
        async with anyio.create_task_group() as group:
            group.start_soon(store.get, "slow")
            await wait_for(gated(store).entered)
            group.cancel_scope.cancel()
        assert not gated(store).gate.is_set()
        gated(store).gate.set()


async def test_fail_after_ends_a_call_that_hangs() -> None:
    async with open_gated() as store:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await store.get("slow")
        gated(store).gate.set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncio_timeouts_end_a_call_that_hangs() -> None:
    async with open_gated() as store:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.get("slow"), 0.01)
        gated(store).gate.set()


async def test_a_cancelled_write_that_had_begun_goes_on() -> None:
    async with open_gated() as store:
        async with anyio.create_task_group() as group:
            group.start_soon(store.create, {"n": 1}, "slow")
            await wait_for(gated(store).entered)
            group.cancel_scope.cancel()
        gated(store).gate.set()
        backend = gated(store)
    await wait_for(backend.closed)
    assert "slow" in backend.db


async def test_a_cancelled_write_that_had_not_begun_never_happens() -> None:
    async with open_gated(max_threads=1) as store, anyio.create_task_group() as group:
        group.start_soon(store.get, "slow", None)
        await wait_for(gated(store).entered)
        with anyio.move_on_after(0.01) as scope:
            await store.create({}, "late")
        assert scope.cancelled_caught
        gated(store).gate.set()
        assert await store.get("late", None) is None


async def test_a_call_that_was_cancelled_before_its_thread_took_it_is_never_made() -> None:
    job = Job()
    job.abandoned = True
    made: list[bool] = []
    with pytest.raises(RuntimeError):
        await Workers(1).run(lambda: made.append(True), job)
    assert made == []


async def test_the_thread_of_a_cancelled_call_still_counts() -> None:
    async with open_gated(max_threads=2) as store:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(store.get, "slow", None)
            for _ in range(2):
                await wait_for(gated(store).entered)
            group.cancel_scope.cancel()
        with anyio.move_on_after(0.05) as scope:
            await store.get("free", None)
        assert scope.cancelled_caught
        gated(store).gate.set()
        assert await store.get("free", "there is room again") == "there is room again"


async def test_a_cancelled_bulk_call_takes_no_further_items() -> None:
    begun = threading.Event()

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            begun.set()
            yield {}

    async with open_gated() as store, anyio.create_task_group() as group:
        group.start_soon(store.create_many, endless())
        await wait_for(begun)
        group.cancel_scope.cancel()
    await wait_for(gated(store).closed)


# Closing


async def test_close_waits_for_running_calls() -> None:
    store = await open_gated()
    backend = gated(store)
    ended: list[Any] = []

    async def get() -> None:
        ended.append(await store.get("slow", "an answer"))

    async def close() -> None:
        await store.close()
        ended.append(f"closed: {backend.closed.is_set()}")

    async with anyio.create_task_group() as group:
        group.start_soon(get)
        await wait_for(backend.entered)
        group.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        assert ended == []
        assert not backend.closed.is_set()
        backend.gate.set()
    assert sorted(ended) == ["an answer", "closed: True"]


async def test_close_leaves_the_calls_of_cancelled_callers_to_close_the_store() -> None:
    store = await open_gated()
    backend = gated(store)
    async with anyio.create_task_group() as group:
        group.start_soon(store.get, "slow")
        await wait_for(backend.entered)
        group.cancel_scope.cancel()
    await store.close()
    assert not backend.closed.is_set()
    backend.gate.set()
    await wait_for(backend.closed)


async def test_a_cancelled_block_closes_its_store() -> None:
    with anyio.CancelScope() as scope:
        async with open_gated() as store:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert gated(store).closed.is_set()


async def test_closing_twice_is_allowed(url: str) -> None:
    store = await divan.aio.open(url)
    await store.close()
    await store.aclose()


async def test_an_iterator_of_a_closed_store_says_so(url: str) -> None:
    async with divan.aio.open(url) as store:
        documents = store.find()
    with pytest.raises(divan.StoreClosed):
        await anext(documents)


async def test_a_backend_of_five_methods_works() -> None:
    class Five(BaseDivanBackend):
        default_host = ""
        default_port = 0

        def connect(self, database: str, host: str, port: int) -> Any:
            return {}

        def create(self, data: dict[str, Any]) -> Any:
            self.db[str(len(self.db))] = data
            return {"key": str(len(self.db) - 1), **data}

        def update(self, document_id: str, data: dict[str, Any]) -> Any:
            self.db[document_id].update(data)
            return {"key": document_id, **self.db[document_id]}

        def get_id_for_document(self, document: Any) -> str:
            return str(document["key"])

        def get_document_attr(self, document: Any, field: str) -> Any:
            return document[field]

    async with divan.aio.open(Five, database="") as store:
        created = await store.create({"n": 1})
        assert (await store.update(created.id, {"n": 2}))["n"] == 2
        with pytest.raises(divan.UnsupportedOperation):
            await store.get(created.id)


async def test_a_store_prints_no_password() -> None:
    store = await divan.aio.open(GatedBackend, database="x", password="hunter2")
    assert "hunter2" not in repr(store) + repr(store.sync) + repr(store.backend)
    await store.close()


async def test_what_can_not_wait_is_refused_and_names_the_call_to_make() -> None:
    async with divan.aio.open("memory://") as store:
        await store.put("ada", {})
        with pytest.raises(TypeError, match=r"await store\.get\('ada', None\)"):
            "ada" in store  # noqa: B015
        with pytest.raises(TypeError, match="async for document in store"):
            list(store)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="async for document in store"):
            for _ in store:  # type: ignore[attr-defined]
                pass
