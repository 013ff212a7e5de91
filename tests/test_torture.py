"""Writers that are killed and cut off: a short torture of each store, and that the judge sees what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import divan
import pytest
from divan import Store

from tests.torture import history
from tests.torture.__main__ import torture
from tests.torture.history import DOUBT, OK, REFUSED, Write


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "server"),
    [
        ("sqlite", None),
        pytest.param("postgres", "postgres_server", marks=pytest.mark.live),
        pytest.param("redis", "redis_server", marks=pytest.mark.live),
        pytest.param("couchdb", "couchdb_server", marks=pytest.mark.live),
    ],
)
def test_nothing_is_lost_or_doubled_while_writers_are_killed_and_networks_cut(
    store: str, server: str | None, request: pytest.FixtureRequest
) -> None:
    if server is not None:
        request.getfixturevalue(server)  # for its word on what is missing; the torture takes one of its own

    report = torture(store, seconds=5, seed=1, processes=2, threads=3)

    assert report.violations == []
    assert report.writes[OK]
    assert report.faults


WRONG: dict[str, tuple[Callable[[Store], object], Write, str]] = {
    "a lost increment": (lambda store: None, Write("increment", "counter0", "a", 1, None, OK), "lost"),
    "an increment made twice": (
        lambda store: store.update("counter0", {"n": 2}),
        Write("increment", "counter0", "a", 1, None, DOUBT),
        "made twice",
    ),
    "a refused increment that was made": (
        lambda store: store.update("counter0", {"n": 1}),
        Write("increment", "counter0", "a", 1, None, REFUSED),
        "made twice",
    ),
    "a lost field": (lambda store: None, Write("set", "shared0", "a", 7, None, OK), "7 was acknowledged last"),
    "an old field that came back": (
        lambda store: store.update("shared0", {"a": 3}),
        Write("set", "shared0", "a", 7, None, OK),
        "7 was acknowledged last",
    ),
    "a lost document": (lambda store: None, Write("create", "own", "a", 1, None, OK), "own is missing"),
    "a refused document that is there": (
        lambda store: store.create({}, id="own"),
        Write("create", "own", "a", 1, None, REFUSED),
        "its creation was refused",
    ),
}


def filled() -> Store:
    store = divan.open("memory://")
    store.create_many([(key, {"n": 0}) for key in (*history.COUNTERS, *history.CHAINS)])
    store.create_many([(key, {}) for key in history.SHARED])
    return store


@pytest.mark.parametrize("wrong", WRONG)
def test_the_judge_sees(wrong: str) -> None:
    spoil, write, says = WRONG[wrong]
    with filled() as store:
        spoil(store)

        (line,) = history.violations(store, [write])

    assert says in line


def test_the_judge_sees_two_writes_that_follow_one_revision() -> None:
    with filled() as store:
        store.update("chain0", {"n": 2})

        (line,) = history.violations(
            store, [Write("chain", "chain0", "a", 1, "5", OK), Write("chain", "chain0", "b", 1, "5", OK)]
        )

    assert "2 writes that insisted on revision 5" in line


def test_the_judge_sees_a_deleted_document_that_is_there_again() -> None:
    with filled() as store:
        store.create({}, id="own")

        (line,) = history.violations(
            store, [Write("create", "own", "a", 1, None, OK), Write("delete", "own", "a", 2, None, OK)]
        )

    assert "its deletion was acknowledged" in line


def test_the_judge_finds_nothing_where_all_is_well() -> None:
    with filled() as store:
        store.update("counter0", {"n": 2})
        store.update("shared0", {"a": 3})
        store.create({}, id="own")

        found = history.violations(
            store,
            [
                Write("increment", "counter0", "a", 1, None, OK),
                Write("increment", "counter0", "b", 1, None, DOUBT),
                Write("set", "shared0", "a", 2, None, OK),
                Write("set", "shared0", "a", 3, None, DOUBT),
                Write("create", "own", "a", 4, None, OK),
                Write("create", "gone", "a", 5, None, OK),
                Write("delete", "gone", "a", 6, None, DOUBT),
            ],
        )

    assert found == []


def test_what_a_killed_writer_had_begun_is_in_doubt(tmp_path: Path) -> None:
    log = tmp_path / "p0.jsonl"
    log.write_bytes(
        b'{"who": "a", "call": "create", "key": "x", "number": 1, "parent": null}\n'
        b'{"who": "a", "number": 1, "outcome": "ok"}\n'
        b'{"who": "a", "call": "create", "key": "y", "number": 2, "parent": null}\n'
        b'{"who": "a", "call": "create", "key'
    )

    assert history.read([log]) == [Write("create", "x", "a", 1, None, OK), Write("create", "y", "a", 2, None, DOUBT)]
