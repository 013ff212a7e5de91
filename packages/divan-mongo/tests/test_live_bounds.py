"""What a call to a live MongoDB takes at most: time, and connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import divan
import pytest

from tests.support.proxy import Proxy
from tests.support.servers import Server

from .live import Commands

pytestmark = pytest.mark.live

_TIMEOUT = 3.0
_TOO_LONG = 5.5  # a second try with the time of a first would take 6


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get("a"),
        lambda store: store.get_many(["a"]),
        lambda store: store.count({"n": 1}),
        lambda store: list(store.find({"n": 1})),
        lambda store: store.explain({"n": 1}),
        lambda store: store.ping(),
        lambda store: store.put("a", {}),
        lambda store: store.update_many({"a": {"n": 1}}),
    ],
)
def test_a_call_of_a_server_that_falls_silent_ends_within_its_timeout(
    mongo_server: Server, database: str, call: Callable[[divan.Store], object]
) -> None:
    options = f"timeout={_TIMEOUT}&connect_timeout={_TIMEOUT}&directConnection=true"
    with Proxy(mongo_server.host, mongo_server.port) as proxy:
        store = divan.open(f"mongo://127.0.0.1:{proxy.port}/{database}?{options}")
        try:
            store.put("a", {"n": 1})
            proxy.hang()
            began = time.monotonic()
            with pytest.raises((divan.OperationTimeout, divan.BulkError)):
                call(store)
            assert time.monotonic() - began < _TOO_LONG
        finally:
            proxy.stop()
            store.close()


def test_more_threads_than_connections_wait_for_one(open_store: Callable[..., divan.Store]) -> None:
    store = open_store("max_connections=2")
    store.put("a", {"n": 1})

    def read(_: int) -> None:
        for _ in range(20):
            assert store.get("a") == {"n": 1}

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(read, range(30)))


def test_half_read_searches_hold_no_connection(open_store: Callable[..., divan.Store]) -> None:
    store = open_store("max_connections=1")
    store.create_many({"n": number} for number in range(300))
    searches = [store.find({"n": {"$gte": 0}}) for _ in range(20)]
    for search in searches:
        next(search)
    assert store.count() == 300
    assert [1 + sum(1 for _ in search) for search in searches] == [300] * 20


def test_a_scan_may_take_longer_than_a_call(counted: divan.Store, commands: Commands) -> None:
    """Its `find` does not tell MongoDB the time, which would bound the work on all its pages."""
    list(counted.find({"n": {"$gte": 0}}))
    counted.get_many(["ada"])
    assert ["maxTimeMS" in command for command in commands.commands] == [False, True]
