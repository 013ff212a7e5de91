"""What a call to a live MongoDB takes at most: time, and connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import divan
import pytest

from tests.support.proxy import Proxy
from tests.support.servers import Server

from .live import MONITOR_SILENT, Commands

pytestmark = pytest.mark.live

CALLS: dict[str, Callable[[divan.Store], object]] = {
    "get": lambda store: store.get("a"),
    "get_many": lambda store: store.get_many(["a"]),
    "count": lambda store: store.count({"n": 1}),
    "find": lambda store: list(store.find({"n": 1})),
    "explain": lambda store: store.explain({"n": 1}),
    "ping": lambda store: store.ping(),
    "put": lambda store: store.put("a", {}),
    "update_many": lambda store: store.update_many({"a": {"n": 1}}),
}


@pytest.mark.slow
def test_a_call_of_a_server_that_falls_silent_ends_within_its_timeout(mongo_server: Server, database: str) -> None:
    """All at once, as each takes its whole timeout, which is so long that a busy machine makes no second one of it."""
    timeout = 8.0
    # pymongo's monitor asks nothing meanwhile, which would end the calls in its own time.
    options = f"timeout={timeout}&connect_timeout=60&directConnection=true&{MONITOR_SILENT}"

    def outlast(call: Callable[[divan.Store], object]) -> float:
        with Proxy(mongo_server.host, mongo_server.port) as proxy:
            store = divan.open(f"mongo://127.0.0.1:{proxy.port}/{database}?{options}")
            try:
                store.put("a", {"n": 1})
                proxy.hang()
                began = time.monotonic()
                with pytest.raises((divan.OperationTimeout, divan.BulkError)):
                    call(store)
                return time.monotonic() - began
            finally:
                proxy.stop()
                store.close()

    with ThreadPoolExecutor(len(CALLS)) as pool:
        took = dict(zip(CALLS, pool.map(outlast, CALLS.values()), strict=True))
    assert {name: seconds for name, seconds in took.items() if seconds > 2 * timeout - 1} == {}


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
