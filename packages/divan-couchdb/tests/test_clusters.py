"""What a cluster's 202 comes to, and what its other answers mean that no single server gives: all scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import divan
import pytest
from divan import Store
from divan.errors import (
    AuthenticationFailed,
    BulkError,
    ConnectionFailed,
    DocumentExists,
    InvalidDocument,
    InvalidID,
    RevisionConflict,
    StoreError,
)

from tests.support.couch_script import CouchScript


@pytest.fixture
def script() -> Iterator[CouchScript]:
    with CouchScript() as started:
        yield started


def _open(script: CouchScript, **options: Any) -> Store:
    return divan.open("couchdb", database="guests", host="127.0.0.1", port=script.port, **options)


@pytest.fixture
def store(script: CouchScript) -> Iterator[Store]:
    with _open(script) as opened:
        yield opened


def _leaf(rev: str, *ids: str, deleted: bool = False, **fields: Any) -> dict[str, Any]:
    """A row of ``open_revs``: a branch that ends in `rev`, and the hashes of the revisions before it, newest first."""
    number, _, name = rev.partition("-")
    told = {"_id": "ada", "_rev": rev, "_revisions": {"start": int(number), "ids": [name, *ids]}, **fields}
    return {"ok": {**told, "_deleted": True} if deleted else told}


STORED = {"_id": "ada", "_rev": "1-a", "n": 1}
OURS = _leaf("2-b", "a", n=2)
THEIRS = _leaf("2-c", "a", n=5)
STORED_BY_THEM = {"_id": "ada", "_rev": "2-c", "n": 5}
PERHAPS = (202, {"ok": True, "id": "ada", "rev": "2-b"})


def test_an_increment_that_meets_anothers_takes_its_branch_back_and_begins_again(
    store: Store, script: CouchScript
) -> None:
    script.on("GET", "/ada", (200, STORED)).on("PUT", "/ada", PERHAPS)
    script.on("GET", "/ada?open_revs=all&revs=true&r=3", (200, [OURS, THEIRS]))
    script.on("DELETE", "/ada?rev=2-b", (200, {"ok": True, "id": "ada", "rev": "3-x"}))
    script.on("GET", "/ada", (200, STORED_BY_THEM)).on("PUT", "/ada", (201, {"ok": True, "id": "ada", "rev": "3-d"}))
    assert store.update("ada", {"n": divan.Increment(1)}) == {"n": 6}
    assert "DELETE /ada?rev=2-b" in script.asked()


def test_a_write_by_revision_that_meets_anothers_is_a_conflict(store: Store, script: CouchScript) -> None:
    script.on("GET", "/ada", (200, STORED)).on("PUT", "/ada", PERHAPS)
    script.on("GET", "/ada?open_revs", (200, [OURS, THEIRS]))
    script.on("DELETE", "/ada?rev=2-b", (202, {"ok": True, "id": "ada", "rev": "3-x"}))
    script.on("GET", "/ada", (200, STORED_BY_THEM))
    with pytest.raises(RevisionConflict):
        store.update("ada", {"n": 2}, rev="1-a")


def test_a_creation_that_meets_anothers_says_that_the_id_is_taken(store: Store, script: CouchScript) -> None:
    script.on("PUT", "/ada", (202, {"ok": True, "id": "ada", "rev": "1-b"}))
    script.on("GET", "/ada?open_revs", (200, [_leaf("1-b", n=1), _leaf("1-c", n=2)]))
    script.on("DELETE", "/ada?rev=1-b", (200, {"ok": True, "id": "ada", "rev": "2-x"}))
    with pytest.raises(DocumentExists):
        store.create({"n": 1}, id="ada")


@pytest.mark.parametrize("call", ["increment", "rev", "create"])
def test_what_must_be_ones_own_does_not_rest_on_equal_content(store: Store, script: CouchScript, call: str) -> None:
    script.on("GET", "/ada?open_revs", (200, [OURS]), stays=True).on("PUT", "/ada", PERHAPS)
    script.on("GET", "/ada", (200, STORED))
    calls: dict[str, Callable[[], Any]] = {
        "increment": lambda: store.update("ada", {"n": divan.Increment(1)}),
        "rev": lambda: store.update("ada", {"n": 2}, rev="1-a"),
        "create": lambda: store.create({"n": 2}, id="ada"),
    }
    with pytest.raises(ConnectionFailed, match=r"may be written or not.*accept_202"):
        calls[call]()
    assert script.asked("DELETE") == []


@pytest.mark.parametrize("confirmed", [201, 202])
def test_a_blind_write_that_stands_alone_is_done_when_a_quorum_says_so(
    store: Store, script: CouchScript, confirmed: int
) -> None:
    script.on("GET", "/ada?open_revs", (200, [OURS])).on("GET", "/ada", (200, STORED))
    script.on("PUT", "/ada", PERHAPS).on("PUT", "/ada", (confirmed, {"ok": True, "id": "ada", "rev": "3-d"}))
    if confirmed == 201:
        assert store.update("ada", {"n": 2}).rev == "3-d"
    else:
        with pytest.raises(ConnectionFailed, match="may be written or not"):
            store.update("ada", {"n": 2})
    body = script.requests[-1][2]
    assert body == {"_id": "ada", "_rev": "2-b", "n": 2}


def test_a_new_document_of_ones_own_is_done_when_a_quorum_says_so(store: Store, script: CouchScript) -> None:
    script.on("PUT", "/", (202, {"ok": True, "id": "x", "rev": "1-b"}))
    script.on("GET", "open_revs", (200, [_leaf("1-b", n=1)])).on("PUT", "/", (201, {"ok": True, "rev": "2-c"}))
    assert store.create({"n": 1}).rev == "2-c"


def test_a_branch_that_others_have_built_on_is_left_alone(store: Store, script: CouchScript) -> None:
    script.on("GET", "/ada?open_revs", (200, [_leaf("3-e", "b", "a", n=9), THEIRS])).on("GET", "/ada", (200, STORED))
    script.on("PUT", "/ada", PERHAPS)
    with pytest.raises(ConnectionFailed, match="may be written or not"):
        store.update("ada", {"n": 2})
    assert script.asked("DELETE") == []


def test_an_old_branch_is_no_rival(store: Store, script: CouchScript) -> None:
    old = [_leaf("1-0", n=0), _leaf("2-z", "0", deleted=True)]
    script.on("GET", "/ada?open_revs", (200, [OURS, *old])).on("GET", "/ada", (200, STORED))
    script.on("PUT", "/ada", PERHAPS).on("PUT", "/ada", (201, {"ok": True, "id": "ada", "rev": "3-d"}))
    assert store.update("ada", {"n": 2}).rev == "3-d"


def test_a_deletion_that_another_write_outlives_is_made_again(store: Store, script: CouchScript) -> None:
    script.on("GET", "/ada?open_revs", (200, [_leaf("2-b", "a", deleted=True), THEIRS]))
    script.on("GET", "/ada", (200, STORED)).on("GET", "/ada", (200, STORED_BY_THEM))
    script.on("DELETE", "/ada?rev=1-a", PERHAPS).on("DELETE", "/ada?rev=2-c", (200, {"ok": True, "rev": "3-x"}))
    store.delete("ada")
    assert script.asked("DELETE") == ["DELETE /ada?rev=1-a", "DELETE /ada?rev=2-c"]


def test_a_deletion_that_too_few_copies_took_is_not_claimed(store: Store, script: CouchScript) -> None:
    script.on("GET", "/ada?open_revs", (200, [_leaf("2-b", "a", deleted=True)])).on("GET", "/ada", (200, STORED))
    script.on("DELETE", "/ada", PERHAPS)
    with pytest.raises(ConnectionFailed, match="may be written or not"):
        store.delete("ada")


def test_a_batch_finds_out_the_rows_that_say_perhaps(store: Store, script: CouchScript) -> None:
    rows = [{"ok": True, "id": "zoe", "rev": "1-z"}, {"ok": True, "id": "ada", "rev": "1-b", "accepted": True}]
    script.on("POST", "/_bulk_docs", (202, rows))
    script.on("GET", "/ada?open_revs", (200, [_leaf("1-b", n=1), _leaf("1-c", n=2)]))
    script.on("DELETE", "/ada?rev=1-b", (200, {"ok": True, "id": "ada", "rev": "2-x"}))
    with pytest.raises(BulkError) as caught:
        store.create_many([("zoe", {"n": 1}), ("ada", {"n": 1})])
    assert caught.value.results[0].rev == "1-z"
    assert isinstance(caught.value.results[1], DocumentExists)


def test_an_operator_may_take_perhaps_for_done(script: CouchScript) -> None:
    script.on("GET", "/ada?open_revs", (200, [OURS]), stays=True).on("GET", "/ada", (200, STORED))
    script.on("PUT", "/ada", PERHAPS)
    with _open(script, accept_202=True) as store:
        assert store.update("ada", {"n": divan.Increment(1)}).rev == "2-b"


def test_an_operator_who_takes_perhaps_for_done_loses_no_write_to_another(script: CouchScript) -> None:
    script.on("GET", "/ada?open_revs", (200, [OURS, THEIRS])).on("GET", "/ada", (200, STORED))
    script.on("PUT", "/ada", PERHAPS).on("DELETE", "/ada?rev=2-b", (202, {"ok": True, "rev": "3-x"}))
    script.on("GET", "/ada", (200, STORED_BY_THEM))
    with _open(script, accept_202=True) as store, pytest.raises(RevisionConflict):
        store.update("ada", {"n": 2}, rev="1-a")


def test_every_write_asks_for_as_many_copies_as_the_option_says(script: CouchScript) -> None:
    done = (201, {"ok": True, "id": "ada", "rev": "1-a"})
    script.on("PUT", "/ada", done).on("DELETE", "/ada", done)
    script.on("POST", "/_bulk_docs", (201, [{"ok": True, "id": "ada", "rev": "1-a"}]))
    with _open(script, w=3) as store:
        store.create({}, id="ada")
        store.delete("ada", rev="1-a")
        store.create_many([("ada", {})])
    assert script.asked() == ["PUT /ada?w=3", "DELETE /ada?rev=1-a&w=3", "POST /_bulk_docs?w=3"]


# Refusals


def test_a_validation_functions_refusal_is_the_documents_fault(store: Store, script: CouchScript) -> None:
    script.on("PUT", "/ada", (403, {"error": "forbidden", "reason": "a guest needs a name"}))
    with pytest.raises(InvalidDocument, match="a guest needs a name"):
        store.create({}, id="ada")


@pytest.mark.parametrize(
    "reason", ["You are not allowed to access this db.", "_writer access is required for this request"]
)
def test_a_refusal_of_the_account_is_the_accounts_fault(store: Store, script: CouchScript, reason: str) -> None:
    script.on("PUT", "/ada", (403, {"error": "forbidden", "reason": reason}))
    with pytest.raises(AuthenticationFailed):
        store.create({}, id="ada")


def test_a_member_may_make_no_index(store: Store, script: CouchScript) -> None:
    script.on("POST", "/_index", (500, {"error": "error_saving_ddoc", "reason": '{forbidden,<<"not an admin">>}'}))
    with pytest.raises(AuthenticationFailed, match="index"):
        store.ensure_index("n")


@pytest.mark.parametrize("answer", [None, {}, [], {"result": None}])
def test_an_index_is_there_only_if_the_server_says_so(store: Store, script: CouchScript, answer: Any) -> None:
    script.on("POST", "/_index", (200, answer))
    with pytest.raises(StoreError):
        store.ensure_index("n")


def test_an_id_that_a_partitioned_database_refuses_fails_alone(store: Store, script: CouchScript) -> None:
    def answer(path: str, body: Any) -> Any:
        docs = body.get("docs") or [{"_id": id} for id in body["keys"]]
        if any(doc["_id"] == ":a" for doc in docs):
            return 400, {"error": "illegal_partition", "reason": "Partition must not be empty"}
        if "keys" in body:
            return 200, {
                "rows": [
                    {"id": id, "key": id, "value": {"rev": "1-a"}, "doc": {"_id": id, "_rev": "1-a"}}
                    for id in body["keys"]
                ]
            }
        return 201, [{"ok": True, "id": doc["_id"], "rev": "1-a"} for doc in docs]

    script.on("POST", "/_bulk_docs", answer, stays=True).on("POST", "/_all_docs", answer, stays=True)
    script.on("GET", "/%3Aa", (400, {"error": "illegal_partition", "reason": "Partition must not be empty"}))
    ids = ["p:1", "p:2", ":a", "p:3", "p:4"]
    for call in (
        lambda: store.create_many([(id, {}) for id in ids]),
        lambda: store.update_many([(id, {"n": 1}) for id in ids]),
        lambda: store.delete_many(ids),
        lambda: store.get_many(ids),
    ):
        with pytest.raises(BulkError) as caught:
            call()
        assert list(caught.value.errors) == [2]
        assert isinstance(caught.value.errors[2], InvalidID)
    with pytest.raises(InvalidID):
        store.get(":a")


def test_a_batch_that_the_server_drops_for_its_size_is_halved(store: Store, script: CouchScript) -> None:
    made: dict[str, str] = {}

    def write(path: str, body: Any) -> Any:
        if len(body["docs"]) > 3:
            return None
        made.update({doc["_id"]: "1-a" for doc in body["docs"]})
        return 201, [{"ok": True, "id": doc["_id"], "rev": "1-a"} for doc in body["docs"]]

    def read(path: str, body: Any) -> Any:
        return 200, {
            "rows": [
                {"id": id, "key": id, "value": {"rev": made[id]}, "doc": {"_id": id, "_rev": made[id]}}
                if id in made
                else {"key": id, "error": "not_found"}
                for id in body["keys"]
            ]
        }

    script.on("POST", "/_bulk_docs", write, stays=True).on("POST", "/_all_docs", read, stays=True)
    assert len(store.create_many([(str(n), {"n": n}) for n in range(10)])) == 10
    assert len(made) == 10


# Answers that are cut, and errors of ours alone


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nA: b\r\n"])
def test_an_answer_cut_within_its_header_is_a_dropped_connection(store: Store, script: CouchScript, cut: bytes) -> None:
    script.on("GET", "/ada", cut, stays=True)
    with pytest.raises(ConnectionFailed, match="dropped") as caught:
        store.get("ada")
    assert type(caught.value) is ConnectionFailed


def test_no_error_is_the_drivers_own(store: Store, script: CouchScript) -> None:
    script.on("GET", "/ada", (409, {"error": "conflict", "reason": "…"}))
    script.on("PUT", "/ada", (413, {"error": "too_large", "reason": "…"}))
    script.on("PUT", "/zoe", None, stays=True).on("GET", "/zoe", None, stays=True)
    calls: list[Callable[[], Any]] = [
        lambda: store.get("ada"),
        lambda: store.create({}, id="ada"),
        lambda: store.create({}, id="zoe"),
    ]
    for call in calls:
        with pytest.raises(divan.DivanError) as caught:
            call()
        assert type(caught.value).__module__ == "divan.errors"


def test_a_server_that_breaks_may_have_written(store: Store, script: CouchScript) -> None:
    script.on("PUT", "/ada", (500, {"error": "timeout", "reason": "The request could not be processed"}))
    with pytest.raises(StoreError, match="may be done or not"):
        store.create({}, id="ada")


@pytest.mark.parametrize(
    "rows", [[5], [{}], [{"id": "a"}], [{"id": "a", "value": {}}], [{"id": "a", "value": {"rev": "1-a"}, "doc": 5}]]
)
def test_a_row_that_cant_be_read_is_an_error_of_the_store(store: Store, script: CouchScript, rows: Any) -> None:
    script.on("GET", "/_all_docs", (200, {"rows": rows}), stays=True)
    script.on("POST", "/_all_docs", (200, {"rows": rows}), stays=True)
    script.on("POST", "/_find", (200, {"docs": rows}), stays=True)
    script.on("GET", "/_index", (200, {"indexes": []}), stays=True)
    calls: list[Callable[[], Any]] = [
        lambda: list(store),
        lambda: store.get_many(["a"]),
        lambda: list(store.find({"n": 1})),
    ]
    for call in calls:
        with pytest.raises(StoreError):
            call()


@pytest.mark.parametrize("indexes", [[5], [{}], [{"type": "json"}], [{"type": "json", "def": {"fields": 5}}]])
def test_a_list_of_indexes_that_cant_be_read_is_an_error_of_the_store(
    store: Store, script: CouchScript, indexes: Any
) -> None:
    script.on("GET", "/_index", (200, {"indexes": indexes}))
    with pytest.raises(StoreError, match="indexes"):
        list(store.find({"n": 1}))
