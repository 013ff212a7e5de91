"""How often a call goes over the wire to a live Redis, counted there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import divan
import pytest
import redis
from divan import Increment, Store

from tests.support import servers
from tests.support.proxy import Proxy

from .live import DOCUMENT

pytestmark = pytest.mark.live


ROUND_TRIPS: dict[str, tuple[int, Callable[[Store], Any]]] = {
    "create": (1, lambda store: store.create(DOCUMENT)),
    "get": (1, lambda store: store.get("first")),
    "get of a missing one": (1, lambda store: store.get("none", None)),
    "update": (1, lambda store: store.update("first", {"a": 1, "b": divan.REMOVE, "c": Increment(1)})),
    "update with rev": (1, lambda store: store.update("first", {"a": 1}, rev=store.get("first").rev)),
    "replace": (1, lambda store: store.replace("first", DOCUMENT)),
    "put": (1, lambda store: store.put("second", DOCUMENT)),
    "delete": (1, lambda store: store.delete("first")),
    "delete with rev": (1, lambda store: store.delete("first", rev=store.get("first").rev)),
    "ping": (1, lambda store: store.ping()),
    "create_many": (1, lambda store: store.create_many([DOCUMENT] * 20)),
    "get_many": (1, lambda store: store.get_many(["first", "none"] * 10)),
    "put with rev": (1, lambda store: store.put("first", DOCUMENT, rev=store.get("first").rev)),
    "put_many": (1, lambda store: store.put_many([("first", {"n": n}) for n in range(20)] + [("new", DOCUMENT)])),
    "get of some fields": (1, lambda store: store.get("first", fields=["a"])),
    "first": (2, lambda store: store.first({"a": 1}, sort="a")),
    "exists by id": (1, lambda store: store.exists({"_id": "first"})),
    "page": (2, lambda store: store.page(sort="a")),
    "update at a path": (2, lambda store: store.update("first", {"o.p": 1, "list": divan.Append(1)})),
    "update_where": (2, lambda store: store.update_where({"_id": "first"}, {"a": 1})),
    "delete_where": (2, lambda store: store.delete_where({"_id": "first"})),
    "update_many": (1, lambda store: store.update_many([("first", {"n": n}) for n in range(20)])),
    "delete_many": (1, lambda store: store.delete_many(["first"])),
    "count": (1, lambda store: store.count()),
    "find": (2, lambda store: list(store.find({"a": 1}))),
    "find by ids": (1, lambda store: list(store.find({"_id": {"$in": ["first", "none"]}}))),
    "count of a prefix": (1, lambda store: store.count({"_id": {"$prefix": "f"}})),
    "find by a prefix that nothing has": (1, lambda store: list(store.find({"_id": {"$prefix": "none"}, "a": 1}))),
    "find of some fields": (2, lambda store: list(store.find({"a": 1}, sort="b", fields=["c"]))),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_call_takes_this_many_round_trips(watched: Store, proxy: Proxy, name: str) -> None:
    expected, action = ROUND_TRIPS[name]
    watched.update("first", {})
    proxy.reset()
    action(watched)
    assert proxy.round_trips == expected + name.endswith("with rev")  # which a get comes before


def test_a_call_of_an_open_store_makes_no_connection(watched: Store, proxy: Proxy) -> None:
    proxy.reset()
    for _ in range(20):
        watched.update("first", {"n": Increment(1)})
    assert proxy.connections == 0


def test_find_with_a_limit_stops_reading() -> None:
    with (
        servers.fresh("redis") as own,  # so that nobody else's reads are counted
        divan.open(own.store_url("x")) as store,
        closing(redis.Redis(own.host, own.port)) as raw,
    ):
        store.create_many([{"n": n} for n in range(3000)])
        raw.config_resetstat()
        assert len(list(store.find({"n": {"$gte": 0}}, limit=5))) == 5
        assert 5 <= raw.info("commandstats")["cmdstat_hgetall"]["calls"] < 1500
