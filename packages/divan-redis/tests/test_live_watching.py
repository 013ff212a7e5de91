"""What a live Redis keeps of changes beyond the suite: who keeps them, for how long, and what may be in their place."""

from __future__ import annotations

from collections.abc import Iterator

import divan
import pytest
from divan import InvalidURL, Store, StoreError, TokenExpired, UnsupportedOperation

from tests.support.servers import Server

from .live import emptied, new_name

pytestmark = pytest.mark.live


@pytest.fixture
def name() -> str:
    return new_name()


@pytest.fixture
def store(redis_server: Server, name: str) -> Iterator[Store]:
    for store in emptied(divan.open(redis_server.store_url(name, watch="true"))):
        yield store
        store.backend.db.delete(f"{name}#changes")


def told(store: Store, since: str) -> list[tuple[str, str]]:
    return [(event.kind, event.id) for event in store.watch(since, wait=0)]


def test_a_store_that_keeps_no_changes_says_what_to_do(redis_server: Server, name: str) -> None:
    with divan.open(redis_server.store_url(name)) as plain:
        with pytest.raises(UnsupportedOperation, match=r"give the URL \?watch=true"):
            plain.watch()
        plain.create({}, id="a")
        plain.delete("a")
        assert not plain.backend.db.exists(f"{name}#changes")


def test_changes_are_no_documents(store: Store) -> None:
    store.watch()
    store.create({}, id="a")
    assert [document.id for document in store] == ["a"]
    assert store.count() == 1


def test_a_stream_that_was_cut_tells_that_a_token_has_expired(store: Store, name: str) -> None:
    begin = store.watch().token
    store.create_many([(f"{number}", {}) for number in range(20)])
    store.backend.db.xtrim(f"{name}#changes", maxlen=5, approximate=False)
    with pytest.raises(TokenExpired):
        told(store, begin)
    store.backend.db.delete(f"{name}#changes")
    with pytest.raises(TokenExpired):
        told(store, begin)


def test_a_key_in_the_streams_place_refuses_the_write(store: Store, name: str) -> None:
    store.backend.db.set(f"{name}#changes", "mine")
    with pytest.raises(StoreError, match="keeps the changes, and holds no stream but a string"):
        store.create({}, id="a")
    assert "a" not in store


def test_an_update_that_is_undone_is_not_told(store: Store) -> None:
    store.create({"n": "text"}, id="a")
    begin = store.watch().token
    with pytest.raises(divan.InvalidDocument):
        store.update("a", {"m": 1, "n": divan.Increment(1)})
    assert told(store, begin) == []


def test_a_cluster_keeps_no_changes(redis_cluster: Server, name: str) -> None:
    with pytest.raises(InvalidURL, match="leave watch=true out"):
        divan.open(redis_cluster.store_url(name, watch="true"))
