"""What goes over the wire to a live CouchDB, call by call."""

from __future__ import annotations

from collections.abc import Callable

import divan
import pytest
from divan import Document, Store
from divan.errors import (
    DocumentNotFound,
)

from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = pytest.mark.live


def test_opening_asks_once_if_the_database_is_there(
    couchdb_server: Server, store: Store, database: str, proxy: Proxy
) -> None:
    with divan.open(couchdb_server.behind(proxy).store_url(database)):
        assert proxy.requests == [f"GET /{database}"]


def test_create_takes_one_round_trip(wired: Store, proxy: Proxy, database: str) -> None:
    created = wired.create({"name": "Ada"})
    assert proxy.requests == [f"PUT /{database}/{created.id}"]
    assert proxy.round_trips == 1


def test_get_takes_one_round_trip(wired: Store, proxy: Proxy) -> None:
    created = wired.create({"name": "Ada"})
    proxy.reset()
    wired.get(created.id)
    assert [request.split()[0] for request in proxy.requests] == ["GET"]
    assert proxy.round_trips == 1


def test_update_takes_two_round_trips(wired: Store, proxy: Proxy) -> None:
    created = wired.create({"name": "Ada"})
    proxy.reset()
    wired.update(created.id, {"name": "Ada L.", "nights": divan.Increment(2), "phone": divan.REMOVE})
    assert [request.split()[0] for request in proxy.requests] == ["GET", "PUT"]
    assert proxy.round_trips == 2


@pytest.mark.parametrize(
    "fetch",
    [
        lambda store, id: store.get(id),
        lambda store, id: store.update(id, {"age": 36}),
        lambda store, id: store.get_many([id])[0],
        lambda store, id: next(store.find({"name": "Ada"})),
        lambda store, id: next(iter(store)),
    ],
    ids=["get", "update", "get_many", "find", "iter"],
)
def test_update_takes_one_round_trip_when_handed_the_document(
    wired: Store, proxy: Proxy, fetch: Callable[[Store, str], Document]
) -> None:
    document = fetch(wired, wired.create({"name": "Ada"}).id)
    proxy.reset()
    wired.update(document, {"name": "Ada L."})
    assert [request.split()[0] for request in proxy.requests] == ["PUT"]
    assert proxy.round_trips == 1


def test_delete_takes_two_round_trips(wired: Store, proxy: Proxy) -> None:
    created = wired.create({})
    proxy.reset()
    wired.delete(created.id)
    assert [request.split()[0] for request in proxy.requests] == ["GET", "DELETE"]
    assert proxy.round_trips == 2


def test_delete_takes_one_round_trip_with_a_revision(wired: Store, proxy: Proxy) -> None:
    created = wired.create({})
    proxy.reset()
    wired.delete(created.id, rev=created.rev)
    assert [request.split()[0] for request in proxy.requests] == ["DELETE"]
    assert proxy.round_trips == 1


def test_a_batch_takes_one_round_trip_to_create_and_two_to_change(wired: Store, proxy: Proxy) -> None:
    documents = wired.create_many([{"n": n} for n in range(300)])
    assert proxy.round_trips == 1
    wired.update_many([(document.id, {"n": 0}) for document in documents])
    assert proxy.round_trips == 3
    wired.delete_many(documents)
    assert proxy.round_trips == 5


def test_a_filter_on_the_id_is_read_from_the_list_of_documents(wired: Store, proxy: Proxy) -> None:
    wired.create_many((id, {"n": 1}) for id in ("a/1", "a/2", "b"))
    proxy.reset()
    assert [found.id for found in wired.find({"_id": {"$prefix": "a/"}})] == ["a/1", "a/2"]
    assert [found.id for found in wired.find({"_id": {"$in": ["b", "none"]}, "n": 1})] == ["b"]
    assert wired.count({"_id": {"$gt": "a/1", "$lt": "c"}}) == 2
    assert [request.partition("?")[0].split("/")[-1] for request in proxy.requests] == ["_all_docs"] * 3
    assert "startkey=%22a%2F%22" in proxy.requests[0]
    assert "endkey=%22a0%22" in proxy.requests[0]


def test_one_thread_needs_one_connection(wired: Store, proxy: Proxy) -> None:
    for number in range(50):
        wired.update(wired.create({"n": number}), {"n": -number})
        with pytest.raises(DocumentNotFound):
            wired.get("nobody")
    assert proxy.connections == 0  # the one that it was opened with


@pytest.mark.parametrize(
    ("call", "methods"),
    [
        (lambda store: store.update("ada", {"a.b": 1, "c": divan.Append(1)}), ["GET", "PUT"]),
        (lambda store: store.update(store.get("ada"), {"a.b": 1}), ["GET", "PUT"]),
        (lambda store: store.update_many([("ada", {"a.b": 1}), ("bob", {"a.b": 2})]), ["POST", "POST"]),
        (lambda store: store.first({"n": {"$gt": 0}}, sort="n"), ["POST", "POST"]),
        (lambda store: store.exists({"n": {"$gt": 0}}), ["POST"]),
        (lambda store: store.page({"n": {"$gt": 0}}, sort="n", limit=1), ["POST", "POST"]),
        (lambda store: store.get("ada", fields=["n"]), ["GET"]),
        (lambda store: store.put_many({"new": {}, "other": {}}), ["POST"]),
        (lambda store: store.update_where({"n": 1}, {"a.b": 1}), ["POST", "PUT", "POST"]),
        (lambda store: store.delete_where({"n": 1}), ["POST", "DELETE", "POST"]),
    ],
)
def test_a_call_takes_these_round_trips(
    wired: Store, proxy: Proxy, call: Callable[[Store], object], methods: list[str]
) -> None:
    """A scan asks once more at its end, for the ids that one server has among the others and another behind them."""
    wired.create_many([("ada", {"n": 1}), ("bob", {"n": 2})])
    wired.exists({"n": 0})  # the first query asks for the indexes, too
    proxy.reset()
    call(wired)
    assert [request.split()[0] for request in proxy.requests] == methods
