"""Threads that write one document of a live CouchDB lose nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import divan
import pytest
from divan import Store
from divan.errors import (
    DocumentExists,
)

from tests.support.servers import Server

pytestmark = pytest.mark.live


def test_threads_of_two_processes_stores_lose_no_update(couchdb_server: Server, store: Store, database: str) -> None:
    document = store.create({"total": 0})
    url = couchdb_server.store_url(database, timeout="300")  # for as long, a write may meet others'
    with divan.open(url) as one, divan.open(url) as other:

        def work(number: int) -> None:
            mine = one if number % 2 else other
            for step in range(10):
                mine.update(document.id, {f"field{number}": step, "total": divan.Increment(1)})

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
    assert store.get(document.id) == {"total": 160, **{f"field{number}": 9 for number in range(16)}}


def test_threads_that_create_one_id_make_one_document(store: Store) -> None:
    def create(number: int) -> bool:
        try:
            store.create({"n": number}, id="ada")
        except DocumentExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
