"""How often a call goes over the wire to a live PostgreSQL, counted there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from divan import REMOVE, Append, Discard, Increment, Store

from tests.support.proxy import Proxy

pytestmark = pytest.mark.live

DOCUMENT = {"name": "Ada", "guests": 3, "price": 1.0, "tags": [], "room": {"beds": [{}]}}

ROUND_TRIPS: dict[str, tuple[int, Callable[[Store], Any]]] = {
    "create": (1, lambda store: store.create(DOCUMENT)),
    "get": (1, lambda store: store.get("first")),
    "get of a missing one": (1, lambda store: store.get("none", None)),
    "update": (1, lambda store: store.update("first", {"a": 1, "b": REMOVE, "c": Increment(1), "d": Increment(1.5)})),
    "update at paths": (
        1,
        lambda store: store.update(
            "first", {"a.b": 1, "a.c": REMOVE, "n.m": Increment(1), "l": Append(1), "d.e": Discard([1])}
        ),
    ),
    "update_many at paths": (1, lambda store: store.update_many([(one, {"a.b": one}) for one in ("first", "second")])),
    "update_where": (2, lambda store: store.update_where({"_id": "first"}, {"a.b": 1, "n": Increment(1)})),
    "update_where of nothing": (1, lambda store: store.update_where({"a": 7}, {"a.b": 1})),
    "delete_where": (2, lambda store: store.delete_where({"_id": {"$in": ["first", "second"]}})),
    "first": (1, lambda store: store.first({"a": 1}, sort="b")),
    "exists": (1, lambda store: store.exists({"a": 1})),
    "page": (1, lambda store: store.page({"_id": {"$prefix": "f"}}, sort="a", limit=1)),
    "get with fields": (1, lambda store: store.get("first", fields=["a"])),
    "ids": (1, lambda store: list(store.ids(prefix="f"))),
    "update with rev": (1, lambda store: store.update("first", {"a": 1}, rev=store.get("first").rev)),
    "replace": (1, lambda store: store.replace("first", DOCUMENT)),
    "put": (1, lambda store: store.put("second", DOCUMENT)),
    "delete": (1, lambda store: store.delete("first")),
    "delete with rev": (1, lambda store: store.delete("first", rev=store.get("first").rev)),
    "ping": (1, lambda store: store.ping()),
    "create_many": (1, lambda store: store.create_many([DOCUMENT] * 20)),
    "put_many": (1, lambda store: store.put_many({"first": DOCUMENT, "third": DOCUMENT})),
    "get_many": (1, lambda store: store.get_many(["first", "none"] * 10, None)),
    "update_many": (1, lambda store: store.update_many([("first", {"n": Increment(1)}), ("second", {"m": Increment(1)})])),
    "delete_many": (1, lambda store: store.delete_many(["first"])),
    "count": (1, lambda store: store.count()),
    "find with a limit": (1, lambda store: list(store.find({"a": 1}, sort="b", limit=10))),
    "find": (1, lambda store: list(store.find({"a": 1}))),
    "find by ids": (1, lambda store: list(store.find({"_id": {"$in": ["first", "none"]}}, limit=2))),
    "explain": (1, lambda store: store.explain({"a": 1})),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUND_TRIPS)
@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_call_takes_this_many_round_trips(watched: Store, proxy: Proxy, name: str, turn: str) -> None:
    """Also the first time, when its statement is prepared."""
    expected, action = ROUND_TRIPS[name]
    for is_counted in (False, True) if turn == "second" else (True,):
        watched.put("first", {})
        watched.put("second", {})
        if not is_counted:
            action(watched)
    proxy.reset()
    action(watched)
    assert proxy.round_trips == expected + name.endswith("with rev")  # which a get comes before


def test_a_search_through_more_than_a_page_takes_one_a_page(watched: Store, proxy: Proxy) -> None:
    watched.create_many([{"n": n} for n in range(1150)])
    proxy.reset()
    assert len(list(watched.find({"n": {"$gte": 0}}))) == 1150
    # That there are more than 100, the first 100, 1,000, what is left, and the transaction's end, for which none waits.
    assert 4 <= proxy.round_trips <= 5


def test_a_call_of_an_open_store_makes_no_connection(watched: Store, proxy: Proxy) -> None:
    proxy.reset()
    for _ in range(20):
        watched.update("first", {"n": Increment(1)})
        assert len(list(watched)) == 1
    assert proxy.connections == 0
