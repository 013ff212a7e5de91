"""Reading a live CouchDB: in pages, by indexes, and without scans."""

from __future__ import annotations

from typing import Any

import divan
import pytest
from divan import Store

from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = pytest.mark.live


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_couchdb.paging.PAGE", 10)
    monkeypatch.setattr("divan_couchdb.queries.PAGE", 10)
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 10)


@pytest.mark.parametrize("where", [None, {"n": {"$gte": 0}}], ids=["all", "a scan by Mango"])
def test_pages_stay_correct_while_documents_come_and_go(store: Store, small_pages: None, where: Any) -> None:
    store.create_many([(f"{number:03}", {"n": number}) for number in range(0, 200, 2)])
    going = {f"{number:03}" for number in range(0, 200, 20)} | {f"{number:03}" for number in range(18, 200, 20)}
    seen = []
    for position, document in enumerate(store.find(where)):
        seen.append(document.id)
        if position == 5:
            store.delete_many(sorted(going - set(seen)))
            store.create_many([(f"{number:03}", {"n": number}) for number in range(101, 150, 2)])
    assert len(seen) == len(set(seen))
    assert {f"{number:03}" for number in range(0, 200, 2)} - going <= set(seen)


def test_a_page_may_end_with_a_document_that_is_gone(store: Store, small_pages: None) -> None:
    store.create_many([(f"{number:02}", {}) for number in range(25)])
    documents = iter(store)
    seen = [next(documents).id for _ in range(10)]
    store.delete("09")
    assert seen + [document.id for document in documents] == [f"{number:02}" for number in range(25)]


def test_an_indexed_query_spans_pages(store: Store, small_pages: None) -> None:
    store.ensure_index("n")
    store.create_many([{"n": number} for number in range(55)])
    assert sorted(document["n"] for document in store.find({"n": {"$gte": 10}})) == list(range(10, 55))


def test_a_query_that_is_left_early_ends_its_requests(wired: Store, proxy: Proxy, small_pages: None) -> None:
    wired.create_many([{"n": number} for number in range(100)])
    proxy.reset()
    assert len(list(wired.find(limit=3))) == 3
    assert proxy.round_trips == 1


@pytest.mark.parametrize("where", [{"n": 3}, {"n": {"$gt": 1, "$lte": 5}}, {"n": 3, "tags": {"$contains": "a"}}])
def test_an_index_serves_equality_and_ranges_of_numbers(store: Store, where: dict[str, Any]) -> None:
    assert store.explain(where).scan
    name = store.ensure_index("n")
    explanation = store.explain(where)
    assert name is not None
    assert explanation.index == name
    assert name in explanation.detail
    assert not explanation.scan


def test_a_store_that_allows_no_scans_answers_by_an_index(couchdb_server: Server, store: Store, database: str) -> None:
    store.create({"n": 3}, id="ada")
    store.ensure_index("n")
    with divan.open(couchdb_server.store_url(database), allow_scans=False) as strict:
        assert [document.id for document in strict.find({"n": 3})] == ["ada"]
        with pytest.raises(divan.InvalidQuery, match="ensure_index"):
            strict.find({"m": 3})
