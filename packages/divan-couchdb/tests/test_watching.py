"""What CouchDB is asked for changes, and what its answers are taken for: all scripted, since its imitator never waits."""

from __future__ import annotations

from collections.abc import Iterator

import divan
import pytest
from divan import Store, StoreError

from tests.support.couch_script import CouchScript


@pytest.fixture
def script() -> Iterator[CouchScript]:
    with CouchScript() as started:
        started.on("GET", "since=now", (200, {"results": [], "last_seq": "7-abc", "pending": 0}))
        yield started


@pytest.fixture
def store(script: CouchScript) -> Iterator[Store]:
    with divan.open("couchdb", database="guests", host="127.0.0.1", port=script.port, timeout=1) as opened:
        yield opened


def test_the_server_is_asked_to_wait_and_design_documents_are_no_changes(script: CouchScript, store: Store) -> None:
    rows = [
        {"seq": "8-x", "id": "_design/by_name", "changes": [{"rev": "1-a"}]},
        {"seq": "9-x", "id": "ada", "changes": [{"rev": "1-b"}]},
        {"seq": "10-x", "id": "bob", "changes": [{"rev": "4-c"}]},
        {"seq": "11-x", "id": "eve", "changes": [{"rev": "2-d"}], "deleted": True},
    ]
    watch = store.watch()
    script.on("GET", "feed=longpoll", (200, {"results": [], "last_seq": "7-abc"}))
    script.on("GET", "feed=longpoll", (200, {"results": rows, "last_seq": "11-x"}))
    events = [next(watch) for _ in range(3)]
    assert [event[:3] for event in events] == [
        ("created", "ada", "1-b"),
        ("updated", "bob", "4-c"),
        ("deleted", "eve", None),
    ]
    asked = [request for request in script.asked("GET") if "longpoll" in request]
    # Half of the time that a call may take, so that an answer without a change comes in time.
    assert asked == ["GET /_changes?since=7-abc&limit=1000&feed=longpoll&timeout=500"] * 2


def test_a_watch_goes_on_behind_a_token(script: CouchScript, store: Store) -> None:
    token = store.watch().token
    script.on("GET", "/_changes?since=7-abc&limit=1000", (200, {"results": [], "last_seq": "7-abc"}))
    assert list(store.watch(token, wait=0)) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [{"seq": "8", "id": "ada"}], "last_seq": "8"},
        {"results": [{"seq": "8", "id": 5, "changes": [{"rev": "1-a"}]}], "last_seq": "8"},
        {"results": [], "last_seq": None},
        {"results": []},
        {"last_seq": "8"},
        [],
    ],
    ids=["no revision", "an id that is no text", "no place", "no last_seq", "no results", "a list"],
)
def test_an_answer_that_can_not_be_read_is_an_error(script: CouchScript, store: Store, answer: object) -> None:
    watch = store.watch(wait=0)
    script.on("GET", "since=7-abc", (200, answer))
    with pytest.raises(StoreError):
        next(watch)
