"""What happens when a live Redis hangs, restarts, is full, or is cut off."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import divan
import pytest
from divan import Increment, Store
from divan.testing.checks.network import closed_port
from divan_redis import RedisBackend

from tests.support import servers
from tests.support.proxy import Proxy
from tests.support.resp import call
from tests.support.servers import Server

from .live import each

pytestmark = pytest.mark.live


def test_no_server_is_a_failed_connection() -> None:
    with closed_port() as port, pytest.raises(divan.ConnectionFailed, match="can't be reached"):
        divan.open(f"redis://127.0.0.1:{port}/x")


def test_no_socket_is_a_failed_connection(tmp_path: Path) -> None:
    with pytest.raises(divan.ConnectionFailed):
        divan.open(f"redis+unix:///x?socket={tmp_path}/none.sock")


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_server_that_never_answers_is_a_timeout_at_open(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        port = hung.getsockname()[1]
        with pytest.raises(divan.OperationTimeout, match=r"within 0\.2 s"):
            divan.open(f"{scheme}://127.0.0.1:{port}/x?timeout=0.2")


def test_a_late_answer_never_meets_another_call(watched: Store, proxy: Proxy) -> None:
    backend = RedisBackend(watched.backend.database, "127.0.0.1", proxy.port, timeout=3, connect_timeout=60)
    backend.create({"n": 1}, document_id="x")
    proxy.swallow_next_answer()
    with pytest.raises(divan.OperationTimeout):
        backend.update("x", {"n": 2})
    assert backend.get_document_for_id("first") == {}
    assert backend.get_document_for_id("x") == {"n": 2}
    backend.close()


def test_a_write_whose_answer_is_lost_is_not_sent_again(watched: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    with pytest.raises(divan.ConnectionFailed):
        watched.update("first", {"n": Increment(1)})
    assert watched.get("first") == {"n": 1}


def test_a_bulk_write_whose_answer_is_lost_is_not_sent_again(watched: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    with pytest.raises(divan.BulkError) as caught:
        watched.update_many([("first", {"n": Increment(1)})])
    assert isinstance(caught.value.errors[0], divan.ConnectionFailed)
    assert watched.get("first") == {"n": 1}


@pytest.mark.parametrize(
    "read", [lambda store: store.get("first"), lambda store: store.get_many(["first"])[0]], ids=["get", "get_many"]
)
def test_a_read_whose_answer_is_lost_is_sent_again(watched: Store, proxy: Proxy, read: Callable[[Store], Any]) -> None:
    proxy.cut_next_answer()
    assert read(watched) == {}


def test_a_read_is_sent_again_a_bounded_number_of_times(watched: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer(times=2)
    with pytest.raises(divan.ConnectionFailed):
        watched.get("first")


def test_retries_0_sends_a_read_once(proxy: Proxy, database: str) -> None:
    with divan.open(f"redis://127.0.0.1:{proxy.port}/{database}?retries=0") as store:
        proxy.cut_next_answer()
        with pytest.raises(divan.ConnectionFailed):
            store.get("x")


def test_connections_that_the_server_closed_are_made_anew(watched: Store, proxy: Proxy) -> None:
    proxy.drop_connections()
    watched.update("first", {"n": Increment(1)})
    assert watched.get("first") == {"n": 1}


def test_an_answer_that_is_no_redis_protocol_is_an_error(watched: Store, proxy: Proxy) -> None:
    proxy.corrupt_next_answer()
    with pytest.raises(divan.StoreError, match="can't be read"):
        watched.get("first")
    assert watched.get("first") == {}


def test_a_scan_does_not_go_on_at_a_restarted_server() -> None:
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:
        store.create_many([{"n": n} for n in range(1500)])
        found = iter(store)
        next(found)
        own.restart()
        with pytest.raises(divan.ConnectionFailed):
            list(found)


def test_a_restarted_server_that_forgot_the_scripts_is_served() -> None:
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:
        own.restart()
        assert store.create({"n": 1}, id="x").id == "x"
        assert store.update("x", {"n": Increment(1)}) == {"n": 2}
        own.restart()
        assert [document.id for document in store.create_many([("a", {}), ("b", {})])] == ["a", "b"]
        assert store.update_many([("a", {"n": 1}), ("a", {"n": Increment(1)})])[1] == {"n": 2}
        own.restart()
        assert store.put("x", {}) == {}
        rev = store.get("x").rev
        call(own.port, "SCRIPT", "FLUSH")
        store.delete("x", rev=rev)
        assert store.get("x", None) is None


def test_a_full_server_is_store_full_and_a_read_only_one_store_read_only() -> None:
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:
        store.create({"n": 1}, id="x")
        call(own.port, "CONFIG", "SET", "maxmemory", "1")
        for write in each(
            lambda: store.create({}),
            lambda: store.update("x", {"a": 1}),
            lambda: store.replace("x", {"a": 1}),
        ):
            with pytest.raises(divan.StoreFull):
                write()
        assert store.get("x") == {"n": 1}
        call(own.port, "CONFIG", "SET", "maxmemory", "0")
        call(own.port, "REPLICAOF", "127.0.0.1", str(own.port))
        for write in each(
            lambda: store.create({}),
            lambda: store.update("x", {"a": 1}),
            lambda: store.delete("x"),
        ):
            with pytest.raises(divan.StoreReadOnly):
                write()
        assert store.get("x") == {"n": 1}


def test_a_closed_store_stays_closed(redis_server: Server, store: Store) -> None:
    other = divan.open(redis_server.store_url(store.backend.database))
    store.create_many([{} for _ in range(1200)])
    found = iter(other)
    next(found)
    other.close()
    with pytest.raises(divan.StoreClosed):
        list(found)
    with pytest.raises(divan.StoreClosed):
        other.get("x")
    with pytest.raises(divan.StoreClosed):
        other.backend.get_document_for_id("x")
