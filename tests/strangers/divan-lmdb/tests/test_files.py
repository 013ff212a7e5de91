"""What the conformance suite can't know: the file, and its limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import divan
import lmdb
import pytest


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"lmdb:///{tmp_path.as_posix()}/guests.lmdb"


def test_a_document_is_a_key_and_json_text(url: str, tmp_path: Path) -> None:
    with divan.open(url) as store:
        ada = store.create({"name": "Ada"}, id="ada")

    with lmdb.open(str(tmp_path / "guests.lmdb"), subdir=False) as environment, environment.begin() as transaction:
        value = transaction.get(b"ada")
        assert value is not None
        assert json.loads(value) == {"name": "Ada", "_rev": int(ada.rev or 0)}


def test_a_value_of_another_program_is_a_document(url: str) -> None:
    with divan.open(url) as store:
        with store.backend.db.begin(write=True) as transaction:
            transaction.put(b"bob", b'{"name": "Bob"}')

        assert store.get("bob") == {"name": "Bob"}
        store.update("bob", {"age": 20}, rev=store.get("bob").rev)
        assert store.get("bob") == {"name": "Bob", "age": 20}


@pytest.mark.parametrize("value", [b"{", b"[]", b"\xff", b'"text"'])
def test_a_value_that_holds_no_document_is_an_error(url: str, value: bytes) -> None:
    with divan.open(url) as store:
        with store.backend.db.begin(write=True) as transaction:
            transaction.put(b"bob", value)

        with pytest.raises(divan.StoreError, match="the key b'bob' holds no document"):
            store.get("bob")


def test_long_ids_that_begin_alike_are_different_documents(url: str) -> None:
    one, other = "a" * 600 + "1", "a" * 600 + "2"
    with divan.open(url) as store:
        store.create({"n": 1}, id=one)
        store.create({"n": 2}, id=other)

        assert {document.id: document["n"] for document in store} == {one: 1, other: 2}


def test_a_full_file_says_how_to_go_on_and_keeps_what_it_holds(url: str) -> None:
    with divan.open(f"{url}?map_size=1048576") as store:
        store.create({"text": "kept"}, id="kept")
        with pytest.raises(divan.BulkError, match="map_size"):
            store.create_many([{"text": "x" * 100_000}] * 20)

        assert list(store.ids()) == ["kept"]


def test_a_search_sees_the_file_as_it_was_when_it_began(url: str) -> None:
    with divan.open(url) as store:
        store.create_many([{"n": number} for number in range(10)])
        found = store.find()
        next(found)
        store.delete_many(list(store.ids()))

        assert len(list(found)) == 9
        assert store.count() == 0


def test_two_stores_on_one_file_share_it_until_both_are_closed(url: str) -> None:
    one, other = divan.open(url), divan.open(url)
    one.create({"n": 1}, id="a")
    one.close()

    assert other.get("a") == {"n": 1}
    other.close()


def test_processes_see_one_anothers_writes(url: str) -> None:
    code = "import divan, sys; divan.open(sys.argv[1]).update('a', {'n': divan.Increment(1)})"
    with divan.open(url) as store:
        store.create({"n": 1}, id="a")
        subprocess.run([sys.executable, "-c", code, url], check=True)

        assert store.get("a") == {"n": 2}


def test_a_missing_file_is_only_made_if_that_is_wanted(url: str) -> None:
    with pytest.raises(divan.DatabaseNotFound):
        divan.open(f"{url}?create=false")


@pytest.mark.parametrize("path", ["", "/nowhere/guests.lmdb"])
def test_what_can_not_be_a_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(divan.ConnectionFailed):
        divan.open(f"lmdb:///{tmp_path.as_posix()}{path}")


def test_what_is_no_lmdb_file_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "guests.lmdb").write_text("text" * 5000, encoding="utf-8")

    with pytest.raises(divan.ConnectionFailed, match="can't be opened"):
        divan.open(url)
