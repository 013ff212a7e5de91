"""divan-couchdb on a live server: what goes over the wire, what other clients see, and what happens when it breaks."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import couchdb  # type: ignore[import-untyped]
import divan
import pytest
import trustme
from divan import Document, Store
from divan.errors import (
    AuthenticationFailed,
    BulkError,
    ConnectionFailed,
    DatabaseNotFound,
    DocumentExists,
    DocumentNotFound,
    InvalidID,
    InvalidURL,
    OperationTimeout,
    RevisionConflict,
    StoreError,
)
from divan.testing.checks.network import closed_port
from divan_couchdb import CouchDBBackend

from tests.support.proxy import Proxy
from tests.support.servers import OPEN_READS, Server


@pytest.fixture
def raw_server(couchdb_server: Server) -> Iterator[couchdb.Server]:
    """The server through the raw client."""
    raw = couchdb.Server(f"http://{couchdb_server.host}:{couchdb_server.port}")
    if couchdb_server.user is not None:
        raw.resource.credentials = (couchdb_server.user, couchdb_server.password)
    yield raw
    for connections in raw.resource.session.connection_pool.conns.values():
        for connection in connections:
            connection.close()


@pytest.fixture
def database(raw_server: couchdb.Server) -> Iterator[str]:
    """The name of a database that is not there yet."""
    name = f"divan_test_{uuid.uuid4().hex}"
    yield name
    if name in raw_server:
        raw_server.delete(name)


@pytest.fixture
def store(couchdb_server: Server, database: str) -> Iterator[Store]:
    with divan.open(couchdb_server.store_url(database)) as opened:
        yield opened


@pytest.fixture
def raw(raw_server: couchdb.Server, store: Store, database: str) -> couchdb.Database:
    """The store's database through the raw client."""
    return raw_server[database]


@pytest.fixture
def proxy(couchdb_server: Server) -> Iterator[Proxy]:
    with Proxy(couchdb_server.host, couchdb_server.port, http=True) as started:
        yield started


@pytest.fixture
def wired(couchdb_server: Server, database: str, proxy: Proxy) -> Iterator[Store]:
    """A Store whose traffic goes through `proxy`, the counters at 0."""
    with divan.open(couchdb_server.behind(proxy).store_url(database)) as opened:
        proxy.reset()
        yield opened


# Round trips


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


def test_one_thread_needs_one_connection(wired: Store, proxy: Proxy) -> None:
    for number in range(50):
        wired.update(wired.create({"n": number}), {"n": -number})
        with pytest.raises(DocumentNotFound):
            wired.get("nobody")
    assert proxy.connections == 0  # the one that it was opened with


# What a caller does with a Document


def test_a_changed_document_is_not_what_an_update_merges_into(store: Store) -> None:
    document = store.create({"name": "Ada", "tags": ["quiet"], "address": {"city": "London"}})
    document["name"] = "somebody else"
    document["tags"].append("loud")
    document["address"]["city"] = "Paris"
    store.update(document, {"age": 36})
    expected = {"name": "Ada", "tags": ["quiet"], "address": {"city": "London"}, "age": 36}
    assert store.get(document.id) == expected


def test_an_outdated_document_loses_no_field_of_another_writer(store: Store) -> None:
    document = store.create({"n": 1})
    store.update(document.id, {"other": True, "n": 5})
    store.update(document, {"mine": True, "n": divan.Increment(1)})
    assert store.get(document.id) == {"n": 6, "other": True, "mine": True}


def test_an_outdated_document_is_deleted_blindly(store: Store) -> None:
    document = store.create({"n": 1})
    store.update(document.id, {"n": 2})
    store.delete(document)
    assert document.id not in store


def test_an_increment_is_judged_by_what_is_stored_now(store: Store) -> None:
    document = store.create({"n": "text"})
    store.update(document.id, {"n": 1})
    assert store.update(document, {"n": divan.Increment(1)})["n"] == 2


@pytest.mark.parametrize("rev", ["nonsense", "1-0", "9-" + "f" * 32, "", "1-a&new_edits=false"])
@pytest.mark.parametrize("call", ["update", "replace", "delete"])
def test_what_is_no_revision_is_an_outdated_one(store: Store, call: str, rev: str) -> None:
    document = store.create({"n": 1})
    arguments = () if call == "delete" else ({"n": 2},)
    with pytest.raises(RevisionConflict):
        getattr(store, call)(document.id, *arguments, rev=rev)
    assert store.get(document.id) == {"n": 1}


def test_a_deleted_documents_revision_does_not_come_back(store: Store) -> None:
    revisions = set()
    for _ in range(3):
        revisions.add(store.create({"n": 1}, id="ada").rev)
        store.delete("ada")
    assert len(revisions) == 3


# Other clients


def test_the_raw_client_reads_a_plain_document(store: Store, raw: couchdb.Database) -> None:
    created = store.create({"name": "Ada", "tags": [], "address": {"zip": "N1"}}, id="guest/ada")
    assert dict(raw["guest/ada"]) == {
        "_id": "guest/ada",
        "_rev": created.rev,
        "name": "Ada",
        "tags": [],
        "address": {"zip": "N1"},
    }


def test_a_document_of_the_raw_client_is_read_as_it_is(store: Store, raw: couchdb.Database) -> None:
    raw.save({"_id": "ada", "name": "Ada", "born": [1815, 12, 10]})
    assert store.get("ada") == {"name": "Ada", "born": [1815, 12, 10]}
    assert [document.id for document in store.find({"name": "Ada"})] == ["ada"]


@pytest.mark.parametrize("write", ["update", "replace", "put", "update_many"])
def test_attachments_are_neither_shown_nor_lost(store: Store, raw: couchdb.Database, write: str) -> None:
    raw.save({"_id": "ada", "name": "Ada"})
    raw.put_attachment(raw["ada"], b"a portrait", "portrait.txt", "text/plain")
    assert store.get("ada") == {"name": "Ada"}
    if write == "update_many":
        store.update_many({"ada": {"age": 36}})
    else:
        getattr(store, write)("ada", {"age": 36})
    assert raw.get_attachment("ada", "portrait.txt").read() == b"a portrait"
    assert "age" in store.get("ada")


def test_design_documents_are_not_documents(store: Store, raw: couchdb.Database) -> None:
    raw.save({"_id": "_design/people", "language": "javascript", "views": {}, "name": "Ada"})
    store.ensure_index("name")
    store.create({"name": "Ada"}, id="ada")
    store.create({"name": "Zoe"}, id="zoe")
    assert store.count() == 2
    assert sorted(store.ids()) == ["ada", "zoe"]
    assert sorted(document.id for document in store) == ["ada", "zoe"]
    assert [document.id for document in store.find({"name": "Ada"})] == ["ada"]
    assert [document.id for document in store.find({"language": "javascript"})] == []


def test_the_native_handle_is_the_raw_clients_database(store: Store) -> None:
    store.create({"name": "Ada"}, id="ada")
    assert isinstance(store.backend.db, couchdb.Database)
    assert store.backend.db["ada"]["name"] == "Ada"


# Reading in pages


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("divan_couchdb.reading._PAGE", 10)
    monkeypatch.setattr("divan_couchdb.reading._FIRST_PAGE", 10)


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


# Threads


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


# Opening


def test_a_missing_database_is_made(store: Store, raw_server: couchdb.Server, database: str) -> None:
    assert database in raw_server


def test_a_missing_database_is_not_made_with_create_false(
    couchdb_server: Server, raw_server: couchdb.Server, database: str
) -> None:
    with pytest.raises(DatabaseNotFound, match=database):
        divan.open(couchdb_server.store_url(database, create="false"))
    assert database not in raw_server


def test_a_database_that_was_deleted_meanwhile_is_not_a_missing_document(
    store: Store, raw_server: couchdb.Server, database: str
) -> None:
    raw_server.delete(database)
    for call in (
        lambda: store.get("ada"),
        lambda: store.create({}),
        lambda: list(store),
        lambda: store.get_many(["ada"]),
    ):
        with pytest.raises(DatabaseNotFound):
            call()


def test_a_partitioned_database_is_asked_for(couchdb_server: Server, database: str, proxy: Proxy) -> None:
    with divan.open(couchdb_server.behind(proxy).store_url(database, partitioned="true")):
        assert f"PUT /{database}?partitioned=true" in proxy.requests


@pytest.mark.parametrize(
    "name", ["", "_users", "_replicator", "Upper", "1st", "..", "a b", "a?b", "a#b", "a%2Fb", "x" * 239]
)
def test_a_name_that_no_database_can_have_is_refused(couchdb_server: Server, name: str) -> None:
    with pytest.raises(InvalidURL, match="couchdb://"):
        divan.open(couchdb_server.store_url(name))


def test_a_database_name_with_a_slash_is_one_name(couchdb_server: Server, raw_server: couchdb.Server) -> None:
    name = f"divan_test/{uuid.uuid4().hex}"
    with divan.open(couchdb_server.store_url(name)) as store:
        store.create({"n": 1}, id="ada")
        assert raw_server[name]["ada"]["n"] == 1
    raw_server.delete(name)


@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "1e300"])
def test_a_timeout_is_a_number_of_seconds(couchdb_server: Server, option: str, value: str) -> None:
    with pytest.raises(InvalidURL, match=option):
        divan.open(couchdb_server.store_url("guests", **{option: value}))


@pytest.mark.parametrize("host", ["a/b", "a?b", "a b", "user@host", "one:5984,two:5984"])
def test_a_host_is_one_host(host: str) -> None:
    with pytest.raises(InvalidURL, match="host"):
        divan.open("couchdb", database="guests", host=host)


@pytest.mark.parametrize("id", ["_all_docs", "_design/people", "_local/x", "_changes", ".", ".."])
def test_no_id_reaches_an_endpoint(store: Store, id: str) -> None:
    backend = store.backend
    assert isinstance(backend, CouchDBBackend)
    for call in (backend.get_document_for_id, backend.delete, lambda id: backend.create({}, document_id=id)):
        with pytest.raises(InvalidID):
            call(id)


@pytest.mark.parametrize(
    "id", ["../other", "a/../../_all_dbs", "x?rev=1-a", "x#y", "%2e%2e%2f_all_dbs", "a/attachment", "\r\nGET /"]
)
def test_every_other_id_is_one_documents(wired: Store, proxy: Proxy, database: str, id: str) -> None:
    wired.create({"n": 1}, id=id)
    assert wired.get(id) == {"n": 1}
    assert [document.id for document in wired] == [id]
    wired.delete(id)
    assert all(request.split()[1].startswith(f"/{database}/") for request in proxy.requests)


# Credentials


def test_a_wrong_password_is_refused_and_not_shown(couchdb_server: Server, database: str) -> None:
    url = couchdb_server.store_url(database).replace(
        f"{couchdb_server.url.rpartition('@')[0]}@", "couchdb://divan:s3cret-word@"
    )
    with pytest.raises(AuthenticationFailed) as caught:
        divan.open(url)
    assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_a_password_is_not_shown_by_a_failure(couchdb_server: Server, wired: Store, proxy: Proxy) -> None:
    proxy.stop()
    with pytest.raises(ConnectionFailed) as caught:
        wired.get("ada")
    shown = f"{caught.value} {caught.value.__cause__!r} {wired!r} {wired.backend!r} {wired.backend.db!r}"
    assert couchdb_server.password is not None
    assert couchdb_server.password not in shown


def test_a_stranger_may_not_write(couchdb_server: Server, store: Store, raw: couchdb.Database, database: str) -> None:
    raw.security = {"members": {"names": ["somebody"], "roles": []}, "admins": {"names": ["somebody"], "roles": []}}
    with (
        pytest.raises(AuthenticationFailed),
        divan.open("couchdb", database=database, host=couchdb_server.host, port=couchdb_server.port) as stranger,
    ):
        stranger.get("ada")


def test_reading_needs_the_password(couchdb_server: Server, store: Store, database: str) -> None:
    if OPEN_READS in couchdb_server.limits:
        pytest.xfail(f"limit: {OPEN_READS}")
    with pytest.raises(AuthenticationFailed):
        divan.open("couchdb", database=database, host=couchdb_server.host, port=couchdb_server.port)


# Failures of the network


def test_a_server_that_is_not_there(database: str) -> None:
    with closed_port() as port, pytest.raises(ConnectionFailed, match=str(port)):
        divan.open("couchdb", database=database, host="127.0.0.1", port=port)


def test_a_host_that_does_not_exist(database: str) -> None:
    with pytest.raises(ConnectionFailed, match="nowhere"):
        divan.open("couchdb", database=database, host="nowhere.invalid")


def test_a_server_that_never_answers(database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OperationTimeout, match="timeout="):
        divan.open("couchdb", database=database, host="127.0.0.1", port=listener.getsockname()[1], timeout=0.2)


def test_a_server_that_takes_no_connection(database: str) -> None:
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with suppress(TimeoutError):  # the queue is full then
            while True:
                waiting.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.2))
        with pytest.raises(ConnectionFailed, match="connect_timeout="):
            divan.open("couchdb", database=database, host="127.0.0.1", port=port, connect_timeout=0.2)


def test_a_server_that_stops_answering(
    couchdb_server: Server, store: Store, database: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _open_impatiently(couchdb_server.behind(proxy), database) as impatient:
        proxy.hang()
        with pytest.raises(OperationTimeout):
            impatient.create({})
        proxy.resume()
        backend = impatient.backend
        assert isinstance(backend, CouchDBBackend)
        monkeypatch.setattr(backend._client._pool, "_timeout", 30.0)  # of the new connections: a server may be slow
        assert impatient.count() == 0


def _open_impatiently(server: Server, database: str) -> Store:
    """A Store with the shortest timeout within which this machine can open it."""
    for seconds in ("0.5", "2", "8"):
        with suppress(OperationTimeout):
            return divan.open(server.store_url(database, timeout=seconds))
    return divan.open(server.store_url(database, timeout="30"))


def test_an_answer_that_cant_be_read_is_no_missing_document(wired: Store, proxy: Proxy) -> None:
    wired.create({}, id="ada")
    proxy.corrupt_next_answer()
    with pytest.raises(StoreError):
        wired.get("ada", None)
    assert wired.get("ada") == {}


def test_connections_that_the_server_closed_are_replaced(wired: Store, proxy: Proxy) -> None:
    wired.create({"n": 1}, id="ada")
    proxy.drop_connections()
    assert wired.update("ada", {"n": divan.Increment(1)})["n"] == 2


def test_a_created_document_whose_answer_was_lost_is_created_once(wired: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    created = wired.create({"n": 1})
    assert [(document.id, document.rev) for document in wired] == [(created.id, created.rev)]


def test_a_taken_id_stays_taken_when_an_answer_is_lost(wired: Store, proxy: Proxy) -> None:
    wired.create({"n": 1}, id="ada")
    proxy.cut_next_answer()
    with pytest.raises(DocumentExists):
        wired.create({"n": 2}, id="ada")
    assert wired.get("ada") == {"n": 1}


def test_an_increment_whose_answer_was_lost_is_made_once(wired: Store, proxy: Proxy) -> None:
    document = wired.create({"n": 1})
    proxy.cut_next_answer()
    assert wired.update(document, {"n": divan.Increment(1)})["n"] == 2
    assert wired.get(document.id) == {"n": 2}


def test_an_update_by_revision_whose_answer_was_lost_is_no_conflict(wired: Store, proxy: Proxy) -> None:
    document = wired.create({"n": 1})
    proxy.cut_next_answer()
    updated = wired.update(document, {"n": 2}, rev=document.rev)
    assert wired.get(document.id).rev == updated.rev


def test_a_deletion_whose_answer_was_lost_is_a_deletion(wired: Store, proxy: Proxy) -> None:
    document = wired.create({"n": 1})
    proxy.cut_next_answer()
    wired.delete(document, rev=document.rev)
    assert document.id not in wired


def test_a_batch_whose_answer_was_lost_is_written_once(wired: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    documents = wired.create_many([{"n": number} for number in range(20)])
    assert {document.id: document.rev for document in wired} == {document.id: document.rev for document in documents}
    changes = [(document.id, {"n": divan.Increment(1)}) for document in documents]
    updated = wired.update_many(changes)
    assert [document["n"] for document in updated] == list(range(1, 21))


def test_a_batch_of_increments_whose_answer_was_lost_is_made_once(
    wired: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = wired.create_many([{"n": number} for number in range(20)])
    backend = wired.backend
    assert isinstance(backend, CouchDBBackend)
    send = backend._client.send

    def cut(method: str, url: str, *arguments: Any, **named: Any) -> Any:
        if url.endswith("_bulk_docs"):
            monkeypatch.undo()
            proxy.cut_next_answer()
        return send(method, url, *arguments, **named)

    monkeypatch.setattr(backend._client, "send", cut)
    updated = wired.update_many([(document.id, {"n": divan.Increment(1)}) for document in documents])
    assert [document["n"] for document in updated] == list(range(1, 21))
    assert sorted(document["n"] for document in wired) == list(range(1, 21))


def test_a_server_that_stays_away_fails_the_batch_once(wired: Store, proxy: Proxy) -> None:
    proxy.stop()
    with pytest.raises(BulkError) as caught:
        wired.create_many([{}, {}])
    assert all(isinstance(error, ConnectionFailed) for error in caught.value.errors.values())


# What answers, and is not CouchDB


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>Welcome</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"hello": "world"}'),
        (200, "application/json", b"\xff\xfe"),
        (404, "text/html", b"<html>Not here</html>"),
        (404, "text/html", b"<html>" + b"Not here " * 2000),
        (404, "application/json", b'{"error": "not_found", "reason": "' + b"x" * 9000 + b'"}'),
        (404, "application/json", b"[]"),
        (500, "application/json", b'{"error": "badmatch", "reason": null}'),
        (503, "text/plain", b""),
        (302, "text/plain", b""),
    ],
)
def test_what_is_not_couchdb_is_an_error(status: int, kind: str, body: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        with pytest.raises(StoreError):
            divan.open("couchdb", database="guests", host="127.0.0.1", port=server.server_port, create=False)
    finally:
        server.shutdown()
        server.server_close()


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(couchdb_server: Server, authority: trustme.CA, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """The server behind TLS, and the file with the authority that its certificate is from."""
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    pem = str(tmp_path / "server.pem")
    with Proxy(couchdb_server.host, couchdb_server.port, certificate=(pem, pem)) as relay:
        url = couchdb_server.behind(relay).url.replace("couchdb://", "couchdbs://").replace(relay.host, "localhost")
        yield Server("couchdb", url, couchdb_server.product, couchdb_server.version), str(tmp_path / "ca.pem")


def test_tls_with_a_known_authority(secure: tuple[Server, str], database: str) -> None:
    server, ca_file = secure
    with divan.open(server.store_url(database, ca_file=ca_file)) as store:
        assert store.get(store.create({"n": 1}).id) == {"n": 1}


def test_tls_with_an_unknown_authority_is_refused(secure: tuple[Server, str], database: str) -> None:
    with pytest.raises(ConnectionFailed, match="ca_file"):
        divan.open(secure[0].store_url(database))


def test_tls_for_another_host_is_refused(secure: tuple[Server, str], database: str) -> None:
    server, ca_file = secure
    with pytest.raises(ConnectionFailed, match="TLS"):
        divan.open(server.store_url(database, ca_file=ca_file).replace("localhost", "127.0.0.1", 1))


def test_tls_unchecked_if_asked_for(secure: tuple[Server, str], database: str) -> None:
    with divan.open(secure[0].store_url(database, verify="false")) as store:
        assert store.count() == 0


def test_a_file_without_certificates_is_refused(secure: tuple[Server, str], database: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text(json.dumps("nothing"))
    with pytest.raises(InvalidURL, match="ca_file"):
        divan.open(secure[0].store_url(database, ca_file=str(tmp_path / "empty.pem")))
