"""Threads that write one document of a live MongoDB lose nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import divan
import pytest

pytestmark = pytest.mark.live


def test_updates_of_different_fields_by_16_threads_are_all_kept(store: divan.Store) -> None:
    store.create({}, id="shared")

    def write(thread: int) -> None:
        for number in range(200):
            store.update("shared", {f"field{thread}": number, f"count{thread}": divan.Increment(1)})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    expected = {f"field{thread}": 199 for thread in range(16)} | {f"count{thread}": 200 for thread in range(16)}
    assert store["shared"] == expected


def test_increments_by_revision_and_retry_are_exact(store: divan.Store) -> None:
    store.create({"total": 0}, id="shared")

    def add(_: int) -> None:
        for _ in range(5):
            while True:
                current = store["shared"]
                try:
                    store.update("shared", {"total": current["total"] + 1}, rev=current.rev)
                    break
                except divan.RevisionConflict:
                    continue

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(16)))
    assert store["shared"]["total"] == 80


def test_threads_that_put_one_new_id_all_succeed(store: divan.Store) -> None:
    barrier = threading.Barrier(8)

    def put(number: int) -> None:
        barrier.wait()
        store.put("shared", {"n": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(8)))
    assert store.count() == 1
