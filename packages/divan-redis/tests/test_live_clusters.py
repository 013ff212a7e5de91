"""Redis Cluster and Redis Sentinel, live: documents spread, slots move, replicas take over."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import divan
import pytest
from divan import Increment, Store
from redis.cluster import RedisCluster

from tests.support import servers
from tests.support.processes import wait_until
from tests.support.resp import call

from .live import DOCUMENT, in_threads

pytestmark = pytest.mark.live


# Cluster


def test_a_cluster_spreads_documents_and_finds_them_all(clustered: Store, database: str) -> None:
    made = clustered.create_many([{"n": n} for n in range(300)])
    assert isinstance(clustered.backend.db, RedisCluster)
    native: Any = clustered.backend.db
    shares = [
        len(list(native.get_redis_connection(node).scan_iter(match=f"{database}:*", count=1000)))
        for node in native.get_primaries()
    ]
    assert sum(shares) == 300
    assert min(shares) > 50
    assert {document.id for document in clustered} == {document.id for document in made}
    assert [document["n"] for document in clustered.find({"n": {"$lt": 5}}, sort="-n", limit=3)] == [4, 3, 2]
    assert (clustered.count(), clustered.count({"n": {"$gte": 200}})) == (300, 100)
    clustered.ping()


def test_a_cluster_document_goes_through_its_life(clustered: Store) -> None:
    made = clustered.create(DOCUMENT, id="x")
    with pytest.raises(divan.DocumentExists):
        clustered.create({}, id="x")
    changed = clustered.update("x", {"guests": Increment(1), "note": divan.REMOVE}, rev=made.rev)
    assert clustered.get("x") == changed == {**{k: v for k, v in DOCUMENT.items() if k != "note"}, "guests": 4}
    with pytest.raises(divan.RevisionConflict):
        clustered.delete("x", rev=made.rev)
    assert clustered.replace("x", {"a": 1}, rev=changed.rev) == {"a": 1}
    clustered.delete("x")
    with pytest.raises(divan.DocumentNotFound):
        clustered.update("x", {})


def test_a_cluster_bulk_answers_item_by_item_in_order(clustered: Store) -> None:
    ids = [f"id{n}" for n in range(100)]
    clustered.create_many([(id, {"n": 0}) for id in ids])
    with pytest.raises(divan.BulkError) as caught:
        clustered.update_many([(id, {"n": Increment(turn)}) for turn in (1, 10) for id in [*ids, "none"]])
    assert sorted(caught.value.errors) == [100, 201]
    assert [document["n"] for document in clustered.get_many(ids)] == [11] * 100
    assert clustered.delete_many(ids) == ids


def test_a_cluster_that_forgot_the_scripts_is_served(clustered: Store) -> None:
    for node in clustered.backend.db.get_primaries():
        call(node.port, "SCRIPT", "FLUSH")
    clustered.create({"n": 1}, id="x")
    for node in clustered.backend.db.get_primaries():
        call(node.port, "SCRIPT", "FLUSH")
    assert clustered.update_many([("x", {"n": Increment(1)}), ("y", {})][:1]) == [{"n": 2}]


def test_16_threads_on_a_cluster_lose_no_update(clustered: Store) -> None:
    clustered.create({}, id="shared")

    def work(number: int) -> None:
        for turn in range(50):
            clustered.update("shared", {f"field{number}": turn, "total": Increment(1)})

    in_threads(16, work)
    assert clustered.get("shared") == {**{f"field{number}": 49 for number in range(16)}, "total": 800}


def test_a_slot_that_moves_takes_its_documents_along(clustered: Store, database: str) -> None:
    native = clustered.backend.db
    clustered.create({"n": 1}, id="x")
    key = f"{database}:x"
    slot = native.keyslot(key)
    source = native.get_node_from_key(key)
    target = next(node for node in native.get_primaries() if node.name != source.name)
    source_id, target_id = call(source.port, "CLUSTER", "MYID"), call(target.port, "CLUSTER", "MYID")

    call(target.port, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", source_id)
    call(source.port, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
    call(source.port, "MIGRATE", "127.0.0.1", str(target.port), key, "0", "30000")
    assert clustered.get("x") == {"n": 1}
    assert clustered.update("x", {"n": Increment(1)}) == {"n": 2}
    assert clustered.update_many([("x", {"n": Increment(1)})]) == [{"n": 3}]

    for port in (target.port, source.port):
        call(port, "CLUSTER", "SETSLOT", str(slot), "NODE", target_id)
    assert clustered.get_many(["x", "none"]) == [{"n": 3}, None]
    assert clustered.update("x", {"n": Increment(1)}) == {"n": 4}
    assert [document.id for document in clustered] == ["x"]


def test_a_cluster_whose_replica_takes_over_is_served(clustered: Store, database: str) -> None:
    clustered.create({"n": 1}, id="x")
    native = clustered.backend.db
    node = native.get_node_from_key(f"{database}:x")
    replica = native.nodes_manager.slots_cache[native.keyslot(f"{database}:x")][1]
    wait_until(lambda: "master_link_status:up" in call(replica.port, "INFO", "replication"), "the replica's link")
    asked = 0.0

    def took_over() -> bool:
        nonlocal asked
        if "role:master" in call(replica.port, "INFO", "replication"):
            return True
        if time.monotonic() > asked + 10:  # a replica gives up after 5 s, as it may have to on a busy machine
            call(replica.port, "CLUSTER", "FAILOVER")
            asked = time.monotonic()
        return False

    wait_until(took_over, "the take-over")
    wait_until(lambda: "role:slave" in call(node.port, "INFO", "replication"), "the stepping down")
    assert clustered.update("x", {"n": Increment(1)}) == {"n": 2}
    assert clustered.get_many(["x"]) == [{"n": 2}]
    assert [document.id for document in clustered] == ["x"]


# Sentinel


def failed_over(port: int, service: str) -> bool:
    """Whether the sentinel begins one: it first has to hear that the replica is fit."""
    with suppress(ValueError):
        return bool(call(port, "SENTINEL", "FAILOVER", service) == "OK")
    return False


def test_a_sentinel_leads_to_the_primary_and_to_the_next_one() -> None:
    with servers.fresh("redis-sentinel") as own:
        service = own.extra["service"]
        with divan.open(own.store_url("x", service=service)) as store:
            store.create({"n": 1}, id="x")
            assert store.update("x", {"n": Increment(1)}) == {"n": 2}
            old = call(own.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            replica = int(own.extra["replica_port"])
            wait_until(lambda: call(replica, "HGET", "x:x", "n") == "2", "the document's reaching the replica")
            wait_until(lambda: failed_over(own.port, service), "the sentinel's readiness for a failover")
            wait_until(
                lambda: call(own.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service) != old,
                "the new primary's election",
            )
            # The sentinel lets the old one take writes for seconds, to drop them when it makes it a replica.
            (primary,) = [process for process in own.processes if process.name == "redis-primary"]
            primary.kill()

            def updated() -> bool:
                with suppress(divan.ConnectionFailed, divan.StoreReadOnly):
                    store.update("x", {"after": True})
                    return True
                return False

            wait_until(updated, "the Store's following")
            assert store.get("x") == {"n": 2, "after": True}
            assert call(replica, "HGET", "x:x", "after") == "true"
        with pytest.raises(divan.ConnectionFailed, match="name no primary: No master found for 'nobody'; check"):
            divan.open(own.store_url("x", service="nobody"))
