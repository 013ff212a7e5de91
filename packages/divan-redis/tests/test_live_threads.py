"""Writers and readers of a live Redis that meet: threads, and SCAN over what changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import divan
import pytest
from divan import Increment, Store

from tests.support import servers
from tests.support.processes import wait_until
from tests.support.servers import Server

from .live import in_threads

pytestmark = pytest.mark.live


def test_16_threads_updating_different_fields_lose_none(store: Store) -> None:
    store.create({}, id="shared")

    def work(number: int) -> None:
        for turn in range(200):
            store.update("shared", {f"field{number}": turn, "total": Increment(1)})

    in_threads(16, work)
    assert store.get("shared") == {**{f"field{number}": 199 for number in range(16)}, "total": 3200}


def test_16_threads_incrementing_by_revision_and_retry_lose_none(store: Store) -> None:
    store.create({"n": 0}, id="shared")

    def work(number: int) -> None:
        for _ in range(25):
            while True:
                seen = store.get("shared")
                try:
                    store.update("shared", {"n": seen["n"] + 1}, rev=seen.rev)
                except divan.RevisionConflict:
                    continue
                break

    in_threads(16, work)
    assert store.get("shared")["n"] == 400


def test_16_threads_creating_one_id_make_one(store: Store) -> None:
    made: list[int] = []

    def work(number: int) -> None:
        with suppress(divan.DocumentExists):
            store.create({"by": number}, id="only")
            made.append(number)

    in_threads(16, work)
    assert made == [store.get("only")["by"]]


def test_a_document_made_anew_has_no_revision_of_the_old_one(store: Store) -> None:
    revs = {store.create({}, id="x").rev}
    for _ in range(20):
        revs.add(store.update("x", {}).rev)
    store.delete("x")
    assert store.create({}, id="x").rev not in revs


def test_a_document_that_goes_between_scan_and_read_is_skipped(
    redis_server: Server, store: Store, database: str
) -> None:
    store.create_many([("goes", {}), ("changes", {}), ("stays", {"a": 1})])
    with divan.open(redis_server.store_url(database)) as racing:
        backend: Any = racing.backend
        scan = backend._client.scan

        def scan_then_change(pattern: bytes) -> Iterator[list[bytes]]:
            for page in scan(pattern):
                for key in page:
                    if key.endswith(b":goes"):
                        backend.db.delete(key)
                    if key.endswith(b":changes"):
                        backend.db.set(key, "no hash any more")
                yield page

        backend._client.scan = scan_then_change
        assert racing.get_many(["goes", "stays"]) == [{}, {"a": 1}]
        assert list(racing.find({}, fields=["a"])) == [{"a": 1}]
        store.create({}, id="goes")
        racing.backend.db.delete(f"{database}:changes")
        store.create({}, id="changes")
        assert list(racing) == [{"a": 1}]
        racing.backend.db.delete(f"{database}:changes")


def test_a_document_comes_once_though_scan_gives_its_key_twice() -> None:
    """A table that shrinks between two pages makes SCAN start the bucket under its cursor anew.

    Where the server's random hash puts a bucket's border under the cursor there is nothing to start anew (about one time
    in sixteen), so other keys are tried then.
    """
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:

        def table_size() -> int:
            return int(store.backend.db.memory_stats()["db.0"]["overhead.hashtable.main"])

        backend: Any = store.backend
        scan = backend._client.scan
        scanned: list[bytes] = []

        def recording(pattern: bytes) -> Iterator[list[bytes]]:
            for page in scan(pattern):
                scanned.extend(page)
                yield page

        backend._client.scan = recording
        for attempt in range(30):
            ids = [f"{attempt}-{n}" for n in range(5000)]
            store.create_many([(id, {}) for id in ids])
            full = table_size()
            scanned.clear()
            kept: set[str] = set()
            found: list[str] = []
            for document in store:
                found.append(document.id)
                if len(found) == 2500:
                    kept = {key.decode().removeprefix("x:") for key in scanned[-400:]}  # they share a bucket soon
                    store.delete_many([id for id in ids if id not in kept])
                    wait_until(lambda full=full: table_size() < full / 6, "the table's shrinking")
            assert len(found) == len(set(found))
            assert kept <= set(found)
            if len(scanned) > len(set(scanned)):
                break
            store.delete_many(kept)
        else:
            pytest.fail("SCAN gave no key twice: the test shows nothing")
