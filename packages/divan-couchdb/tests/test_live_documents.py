"""Documents in a live CouchDB: what becomes of a caller's own, and of those that other clients see or made."""

from __future__ import annotations

import couchdb  # type: ignore[import-untyped]
import divan
import pytest
from divan import Store
from divan.errors import (
    RevisionConflict,
)

pytestmark = pytest.mark.live


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
