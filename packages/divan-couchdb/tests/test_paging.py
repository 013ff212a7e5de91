"""How Mango is asked for page after page, of answers that are scripted as CouchDB gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import divan
import pytest
from divan import Store
from divan.errors import StoreError

from tests.support.couch_script import CouchScript

INDEX = {"ddoc": "_design/divan-n", "name": "divan-n", "type": "json", "def": {"fields": [{"n": "asc"}]}}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[CouchScript]:
    monkeypatch.setattr("divan_couchdb.queries._FIRST_PAGE", 3)
    monkeypatch.setattr("divan_couchdb.paging.PAGE", 3)
    with CouchScript() as started:
        yield started.on("GET", "/_index", (200, {"total_rows": 1, "indexes": [INDEX]}), stays=True)


@pytest.fixture
def store(script: CouchScript) -> Iterator[Store]:
    with divan.open("couchdb", database="guests", host="127.0.0.1", port=script.port) as opened:
        yield opened


class View:
    """Answers as CouchDB's Mango does: the bookmark is the place behind a page's last document, if that is still there."""

    def __init__(self, count: int) -> None:
        self.ids = [f"{n:02}" for n in range(count)]

    def find(self, path: str, body: Any) -> Any:
        assert body["use_index"] == ["_design/divan-n", "divan-n"]
        begin = 0
        if mark := body.get("bookmark"):
            begin = next((at for at, id in enumerate(self.ids) if id >= mark), len(self.ids)) + 1
        found = self.ids[begin : begin + body["limit"]]
        return 200, {
            "docs": [{"_id": id, "_rev": "1-a", "n": 1} for id in found],
            "bookmark": found[-1] if found else "nil",
        }


def test_a_sort_by_id_is_the_order_in_which_couchdb_lists(store: Store, script: CouchScript) -> None:
    ids = [f"{n:02}" for n in range(10)]

    def listed(path: str, body: Any) -> Any:
        begin = unquote(path.partition("startkey=")[2].partition("&")[0]).strip('"')
        found = [id for id in ids if id >= begin][: int(path.partition("limit=")[2].partition("&")[0])]
        rows = [{"id": id, "value": {"rev": "1-a"}, "doc": {"_id": id, "_rev": "1-a", "n": 1}} for id in found]
        return 200, {"rows": rows}

    script.on("GET", "/_all_docs", listed, stays=True)
    found = store.find(sort="_id")
    assert [next(found).id for _ in range(2)] == ids[:2]
    assert len(script.asked("GET /_all_docs")) <= 2  # the page that is read, and the one that is fetched meanwhile
    assert [document.id for document in found] == ids[2:]


def test_nothing_is_lost_when_the_caller_deletes_each(store: Store, script: CouchScript) -> None:
    view = View(20)
    script.on("POST", "/_find", view.find, stays=True)
    seen = []
    for document in store.find({"n": 1}):
        seen.append(document.id)
        view.ids.remove(document.id)
    assert seen == [f"{n:02}" for n in range(20)]


@pytest.mark.parametrize(
    "warning",
    [
        "_design/divan-n, divan-n was not used because it is not a valid index for this query.",
        "No matching index found",
    ],
)
def test_another_index_than_the_one_that_was_begun_with_is_an_error(
    store: Store, script: CouchScript, warning: str
) -> None:
    view = View(20)
    script.on("POST", "/_find", view.find)
    script.on("POST", "/_find", lambda path, body: (200, {**view.find(path, body)[1], "warning": warning}), stays=True)
    seen = []
    with pytest.raises(StoreError, match="divan-n"):
        seen += [document.id for document in store.find({"n": 1})]


def test_an_index_that_is_gone_before_the_first_page_is_replaced_by_a_scan(store: Store, script: CouchScript) -> None:
    gone = "_design/divan-n, divan-n was not used because it does not exist"
    script.on("POST", "/_find", (200, {"docs": [{"_id": "zoe", "_rev": "1-a", "n": 1}], "warning": gone}))
    script.on("POST", "/_find", (200, {"docs": [{"_id": "ada", "_rev": "1-a", "n": 1}], "bookmark": "nil"}))
    assert [document.id for document in store.find({"n": 1})] == ["ada"]
    assert "use_index" not in script.requests[-1][2]
