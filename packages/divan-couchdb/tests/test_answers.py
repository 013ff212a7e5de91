"""What a write has come to: sent again once its answer is lost, and judged by what is stored then."""

from __future__ import annotations

from typing import Any, cast

import pytest
from divan.errors import DocumentNotFound, StoreError
from divan_couchdb.answers import DELETED, deliver, settle
from divan_couchdb.connections import Client
from divan_couchdb.errors import Conflict, Dropped, LostAnswer

SENT = {"_id": "ada", "_rev": "3-c", "n": 1, "tags": ["a"]}
GONE = {"_id": "ada", "_rev": "3-c", "_deleted": True}


class Script:
    """Stands in for a `Client` whose requests end one after the other as the script says."""

    def __init__(self, *ends: Any) -> None:
        self.ends = list(ends)

    def send(self, method: str, url: str, body: bytes | None = None, *, document_id: str = "") -> Any:
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


def _deliver(*ends: Any) -> tuple[Any, bool]:
    return deliver(cast(Client, Script(*ends)), "PUT", "http://localhost/guests/ada", b"{}")


def test_a_write_is_sent_once() -> None:
    assert _deliver({"rev": "1-a"}) == ({"rev": "1-a"}, False)


def test_a_write_whose_answer_is_lost_is_sent_again() -> None:
    assert _deliver(Dropped("lost"), {"rev": "1-a"}) == ({"rev": "1-a"}, True)


def test_a_write_whose_answer_is_lost_twice_is_sent_no_more() -> None:
    with pytest.raises(Dropped, match="again"):
        _deliver(Dropped("lost"), Dropped("lost again"), {"rev": "1-a"})


@pytest.mark.parametrize("refusal", [Conflict(), DocumentNotFound("ada")])
@pytest.mark.parametrize("lost", [[], [Dropped("lost")]], ids=["answered", "lost"])
def test_a_refusal_says_whether_it_may_be_by_the_writes_own_first_time(refusal: Exception, lost: list[Any]) -> None:
    with pytest.raises(Conflict) as caught:
        _deliver(*lost, refusal)
    assert caught.value.repeated is bool(lost)


def test_another_failure_stays_what_it_is() -> None:
    with pytest.raises(StoreError):
        _deliver(Dropped("lost"), StoreError("broken"))


@pytest.mark.parametrize(
    ("sent", "stored", "revision"),
    [
        (SENT, {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": 1}, "4-d"),
        (SENT, {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": 1, "_attachments": {}}, "4-d"),
        ({"_id": "ada", "n": 1}, {"_id": "ada", "_rev": "1-a", "n": 1}, "1-a"),
        (GONE, None, DELETED),
    ],
)
def test_what_is_stored_may_be_what_was_sent(sent: Any, stored: Any, revision: str) -> None:
    assert settle(sent, stored, repeatable=False) == revision


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {"_id": "ada", "_rev": "5-e", "tags": ["a"], "n": 1},
        {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": True},
        {"_id": "ada", "_rev": "4-d", "n": 1},
    ],
)
def test_where_nobody_can_know_only_a_repeatable_write_may_be_made_again(stored: Any) -> None:
    assert isinstance(settle(SENT, stored, repeatable=True), Conflict)
    assert isinstance(settle(SENT, stored, repeatable=False), LostAnswer)


def test_a_document_that_is_there_is_not_deleted() -> None:
    assert isinstance(settle(GONE, {"_id": "ada", "_rev": "3-c"}, repeatable=False), Conflict)
