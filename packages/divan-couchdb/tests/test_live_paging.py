"""Listings and indexed finds of a live CouchDB, while what is found is changed and deleted, and the index itself too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import couchdb  # type: ignore[import-untyped]
import divan
import pytest
from divan import Store
from divan.errors import StoreError
from divan_couchdb import CouchDBBackend

pytestmark = pytest.mark.live

ASTRAL = ["\U0001f600", "\U00010000", "\U0010ffff", "\U0001f600/a", "\U0002070e"]
OTHERS = ["a", "z", "é", "ÿ", "Ā", "\u4e00", "\ud7ff", "\ue000", "\uffee"]


@pytest.mark.parametrize(
    "change", [lambda store, one: store.delete(one), lambda store, one: store.update(one, {"state": "done"})]
)
@pytest.mark.parametrize("where", [{"state": "new"}, {"n": {"$gte": 0}}], ids=["equality", "range"])
def test_an_indexed_find_sees_all_while_the_caller_changes_each(
    store: Store, where: Any, change: Callable[[Store, Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 20)
    monkeypatch.setattr("divan_couchdb.paging.PAGE", 30)
    store.ensure_index(*where)
    ids = {one.id for one in store.create_many([{"state": "new", "n": n} for n in range(200)])}
    seen = []
    for document in store.find(where):
        seen.append(document.id)
        change(store, document)
    assert len(seen) == 200
    assert set(seen) == ids


def test_a_document_that_moves_on_in_the_index_comes_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 5)
    monkeypatch.setattr("divan_couchdb.paging.PAGE", 5)
    store.ensure_index("n")
    store.create_many([{"n": n} for n in range(30)])
    seen = []
    for document in store.find({"n": {"$gte": 0}}):
        seen.append(document.id)
        store.update(document, {"n": divan.Increment(15)})
    assert len(seen) == len(set(seen)) == 30


def test_an_index_that_is_deleted_meanwhile_is_an_error(
    store: Store, raw: couchdb.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 20)
    name = store.ensure_index("n")
    ids = {one.id for one in store.create_many([{"n": n} for n in range(100)])}
    found = store.find({"n": {"$gte": 0}})
    seen = [next(found).id]
    raw.delete(raw[f"_design/{name}"])
    with pytest.raises(StoreError, match="index"):
        seen += [document.id for document in found]
    assert len(seen) == len(set(seen))
    assert {document.id for document in store.find({"n": {"$gte": 0}})} == ids


def test_an_index_that_is_gone_is_not_asked_for_again(store: Store, raw: couchdb.Database) -> None:
    name = store.ensure_index("n")
    store.create_many([{"n": n} for n in range(3)])
    assert store.explain({"n": 1}).index == name
    raw.delete(raw[f"_design/{name}"])
    assert sum(1 for _ in store.find({"n": {"$gte": 0}})) == 3


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("items", [[1], [1.0], [None], [None, "a"], ["a"], [True], [1, "a"]])
def test_all_compares_as_everywhere(store: Store, indexed: bool, items: list[Any]) -> None:
    if indexed:
        store.ensure_index("t")
    values = [[1], [1.0, "a"], [None], [None, "a"], ["a", True], [], "a", None]
    store.create_many([{"n": n, "t": value} for n, value in enumerate(values)])
    where = {"t": {"$all": items}}
    matches = divan.query.parse(where).matches
    expected = [n for n, value in enumerate(values) if matches({"t": value})]
    assert sorted(document["n"] for document in store.find(where)) == expected
    assert store.count(where) == len(expected)


def test_ids_of_all_planes_are_listed(store: Store) -> None:
    ids = ASTRAL + OTHERS
    store.create_many([(id, {"n": 1}) for id in ids])
    assert sorted(store.ids()) == sorted(ids)
    assert sorted(one.id for one in store.find({"n": 1})) == sorted(ids)
    assert sorted(one.id for one in store.find({"n": {"$ne": 2}})) == sorted(ids)
    assert store.count({"n": 1}) == store.count() == len(ids)


def test_ids_of_all_planes_are_listed_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_couchdb.paging.PAGE", 2)
    monkeypatch.setattr("divan_couchdb.queries.PAGE", 2)
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 2)
    ids = ASTRAL + OTHERS
    store.create_many([(id, {"n": 1}) for id in ids])
    assert sorted(store.ids()) == sorted(ids)
    assert sorted(one.id for one in store.find({"n": 1})) == sorted(ids)


@pytest.mark.parametrize("where", [None, {"n": {"$gte": 0}}, {"state": "new"}], ids=["all", "scan", "index"])
def test_pages_are_as_long_as_can_be_held(store: Store, where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_couchdb.paging._PAGE_BYTES", 20_000)
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 50)
    store.ensure_index("state")
    backend = store.backend
    assert isinstance(backend, CouchDBBackend)
    store.create_many([{"n": n, "state": "new", "text": "x" * 3000} for n in range(60)])
    longest = 0
    send = backend._client.send

    def measure(*arguments: Any, **named: Any) -> Any:
        nonlocal longest
        answer = send(*arguments, **named)
        longest = max(longest, len(str(answer.content)))
        return answer

    monkeypatch.setattr(backend._client, "send", measure)
    assert sorted(one["n"] for one in store.find(where)) == list(range(60))
    assert longest < 30_000


def test_one_document_may_be_longer_than_a_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_couchdb.paging._PAGE_BYTES", 1_000)
    store.create_many([{"n": n, "text": "x" * 3000} for n in range(3)])
    assert sorted(one["n"] for one in store) == [0, 1, 2]
