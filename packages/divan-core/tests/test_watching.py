"""What the embedded stores tell of changes beyond the suite: other programs' writes, what is kept, coroutines, the CLI."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import divan
import divan.aio
import pytest
from divan import ChangeEvent, Store, TokenExpired, UnsupportedOperation
from divan.backends import memory
from divan.backends.base import BaseDivanBackend
from divan.backends.sqlite import changes

from tests.support.commands import Run, runner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with divan.open(f"sqlite:///{path.as_posix()}") as opened:
        yield opened


def told(store: Store, since: str) -> list[tuple[str, str]]:
    return [(event.kind, event.id) for event in store.watch(since, wait=0)]


# SQLite


def test_another_programs_writes_are_told(store: Store, path: Path) -> None:
    begin = store.watch().token
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO documents (id, body) VALUES ('a', '{}'), ('b', '{}')")
        other.execute("UPDATE documents SET body='{\"n\":1}', rev=rev+1 WHERE id='a'")
        other.execute("UPDATE documents SET id='c' WHERE id='b'")
        other.execute("DELETE FROM documents WHERE id='a'")
    other.close()
    assert told(store, begin) == [
        ("created", "a"),
        ("created", "b"),
        ("updated", "a"),
        ("deleted", "b"),
        ("created", "c"),
        ("deleted", "a"),
    ]


def test_what_is_rolled_back_is_not_told(store: Store, path: Path) -> None:
    begin = store.watch().token
    other = sqlite3.connect(path)
    other.execute("INSERT INTO documents (id, body) VALUES ('a', '{}')")
    other.rollback()
    other.close()
    assert told(store, begin) == []


def test_a_store_that_nobody_watches_has_no_triggers(store: Store, path: Path) -> None:
    store.create({})
    count = "SELECT count(*) FROM sqlite_master WHERE type='trigger' OR name LIKE '%changes'"
    assert store.backend.db.execute(count).fetchone() == (0,)


def test_a_table_of_its_own_name_is_watched_alone(path: Path) -> None:
    url = f"sqlite:///{path.as_posix()}"
    with divan.open(url) as guests, divan.open(url, table="rooms") as rooms:
        begins = guests.watch().token, rooms.watch().token
        rooms.create({}, id="1")
        assert (told(guests, begins[0]), told(rooms, begins[1])) == ([], [("created", "1")])


def test_no_more_is_kept_than_there_should_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT", 10)
    begin = store.watch().token
    store.create_many([(f"{number:02}", {}) for number in range(30)])
    with pytest.raises(TokenExpired, match="read the documents, and watch from now on"):
        told(store, begin)
    (kept,) = store.backend.db.execute("SELECT count(*) FROM documents_changes").fetchone()
    assert kept == 10


def test_a_token_of_another_file_is_none_here(store: Store, tmp_path: Path) -> None:
    store.watch()
    with divan.open(f"sqlite:///{tmp_path.as_posix()}/other.db") as other:
        with pytest.raises(TokenExpired):
            told(other, store.watch().token)
        other.watch()
        with pytest.raises(TokenExpired):
            told(other, store.watch().token)


def test_a_file_that_may_not_be_written_can_be_watched_once_it_is(store: Store, path: Path) -> None:
    with divan.open(f"sqlite:///{path.as_posix()}?mode=ro") as reader:
        with pytest.raises(divan.StoreReadOnly):
            reader.watch()
        begin = store.watch().token
        store.create({}, id="a")
        assert told(reader, begin) == [("created", "a")]


# Memory


def test_memory_keeps_no_more_than_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT", 10)
    with divan.open("memory://") as store:
        begin = store.watch().token
        store.create_many([(f"{number:02}", {}) for number in range(9)])
        assert len(told(store, begin)) == 9
        store.create_many([(f"more {number:02}", {}) for number in range(9)])
        with pytest.raises(TokenExpired):
            told(store, begin)


def test_memory_of_one_name_tells_of_the_writes_of_all() -> None:
    with divan.open("memory://watched") as one, divan.open("memory://watched") as other:
        begin = one.watch().token
        other.put("a", {})
        assert told(one, begin)[-1][1] == "a"
        other.delete("a")


def test_a_write_that_overlaps_the_beginning_is_told_or_was_before() -> None:
    """Writers that began before there was anything to keep changes in are not missed."""
    with divan.open("memory://") as store:
        store.create({"n": 0}, id="a")
        started = threading.Barrier(5)

        def write() -> None:
            started.wait()
            for _ in range(200):
                store.update("a", {"n": divan.Increment(1)})

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        started.wait()
        watch = store.watch(wait=0)
        seen = store["a"]["n"]
        for writer in writers:
            writer.join()
        assert len(list(watch)) >= 800 - seen


# A driver that lacks it


def test_a_backend_that_tells_of_no_changes_says_so() -> None:
    class Plain(BaseDivanBackend):
        default_host = ""
        default_port = 0

        def connect(self, database: str, host: str, port: int) -> object:
            return object()

    with (
        divan.open(Plain, database="x") as store,
        pytest.raises(UnsupportedOperation, match=r"Plain does not implement read_changes\(\)"),
    ):
        store.watch()


# Coroutines


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_coroutines_are_told(backend: str) -> None:
    async def main() -> None:
        async with divan.aio.open("memory://") as store:
            async with store.watch() as watch:
                assert not await watch.is_behind()
                created = await store.create({}, id="a")
                event = await anext(watch)
                assert event[:3] == ("created", "a", created.rev)
                assert not await watch.is_behind()
            await store.delete("a")
            assert [event.kind async for event in store.watch(event.token, wait=0)] == ["deleted"]
            assert [event async for event in store.watch(wait=0)] == []

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_step_loses_no_change(backend: str) -> None:
    async def main() -> None:
        async with divan.aio.open("memory://") as store, store.watch() as watch:
            for number in range(20):
                got: list[ChangeEvent] = []

                async def step(got: list[ChangeEvent] = got) -> None:
                    got.append(await anext(watch))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(step)
                    await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                await store.put("a", {"n": number})
                event = got[0] if got else await anext(watch)
                assert event.id == "a"

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_closed_watch_ends(backend: str) -> None:
    async def main() -> None:
        async with divan.aio.open("memory://") as store:
            watch = store.watch()
            assert watch.token is None
            await watch.aclose()
            assert [event async for event in watch] == []

    anyio.run(main, backend=backend)


# The command line


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capsys, monkeypatch)


def test_the_command_prints_changes_and_goes_on_behind_a_token(run: Run, store: Store, path: Path) -> None:
    url = f"sqlite:///{path.as_posix()}"
    begin = store.watch().token
    store.create({"n": 1}, id="a")
    store.update("a", {"n": 2})
    store.create({"n": 3}, id="b")
    store.delete("b")
    rows = [json.loads(line) for line in run("watch", url, "--since", begin, "--wait", "0").out.splitlines()]
    assert [(row["kind"], row["_id"]) for row in rows] == [
        ("created", "a"),
        ("updated", "a"),
        ("created", "b"),
        ("deleted", "b"),
    ]
    rest = run("watch", url, "--since", rows[1]["token"], "--limit", "1", "--documents").row
    assert (rest["kind"], rest["_id"], rest["document"]) == ("created", "b", None)
    (row,) = [
        json.loads(line) for line in run("watch", url, "--since", begin, "--limit", "1", "--documents").out.splitlines()
    ]
    assert row["document"]["n"] == 2


def test_the_command_refuses_what_is_no_token(run: Run, store: Store, path: Path) -> None:
    ended = run("watch", f"sqlite:///{path.as_posix()}", "--since", "yesterday")
    assert ended.code != 0
    assert "'yesterday' is no token of a watch of sqlite" in ended.err
