"""What a write has come to whose answer was lost, judged by what is stored then; and what an answer's rows say."""

from __future__ import annotations

from typing import Any

import pytest
from divan.errors import AuthenticationFailed, ConnectionFailed, InvalidDocument, InvalidID, StoreError
from divan_couchdb.answers import Accepted, Claim, judged, read_outcomes, read_revision
from divan_couchdb.connections import Answer
from divan_couchdb.errors import Conflict

SENT = {"_id": "ada", "_rev": "3-c", "n": 1, "tags": ["a"]}
NEW = {"_id": "ada", "n": 1}
GONE = {"_id": "ada", "_rev": "3-c", "_deleted": True}


@pytest.mark.parametrize("claim", [Claim.EXACT, Claim.EQUAL])
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (SENT, {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": 1}),
        (SENT, {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": 1.0, "_attachments": {}}),
        ({**SENT, "n": 2**60 + 1}, {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": 2**60}),
        (NEW, {"_id": "ada", "_rev": "1-a", "n": 1}),
        (GONE, {"_id": "ada", "_rev": "4-d", "_deleted": True}),
    ],
    ids=["update", "attachments", "a number kept by another", "create", "delete"],
)
def test_equal_content_is_no_proof_of_who_wrote_it(sent: Any, stored: Any, claim: Claim) -> None:
    assert isinstance(judged(stored, sent, claim), ConnectionFailed)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (SENT, {"_id": "ada", "_rev": "5-e", "tags": ["a"], "n": 2}),
        (NEW, {"_id": "ada", "_rev": "3-a", "n": 2}),
        (NEW, {"_id": "ada", "_rev": "2-a", "_deleted": True}),
        (NEW, {"_id": "ada", "_rev": "1-a", "_deleted": True}),
        (GONE, {"_id": "ada", "_rev": "5-e", "n": 1}),
    ],
)
def test_what_may_have_come_after_the_write_proves_nothing(sent: Any, stored: Any) -> None:
    assert isinstance(judged(stored, sent, Claim.EXACT), ConnectionFailed)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (SENT, {"_id": "ada", "_rev": "4-d", "tags": ["a"], "n": True}),
        (SENT, {"_id": "ada", "_rev": "4-d", "n": 1}),
        (SENT, {"_id": "ada", "_rev": "4-d", "_deleted": True}),
        (NEW, {"_id": "ada", "_rev": "1-a", "n": 2}),
        (GONE, {"_id": "ada", "_rev": "4-d", "n": 1}),
    ],
)
def test_another_write_in_its_place_proves_that_it_was_not_made(sent: Any, stored: Any) -> None:
    assert isinstance(judged(stored, sent, Claim.EXACT), Conflict)


def test_a_new_document_under_an_id_that_nobody_else_knows_is_ones_own() -> None:
    assert judged({"_id": "ada", "_rev": "1-a", "n": 1}, NEW, Claim.OWN) == "1-a"
    assert isinstance(judged({"_id": "ada", "_rev": "2-b", "n": 1}, NEW, Claim.OWN), ConnectionFailed)


@pytest.mark.parametrize("answer", [None, [], {}, {"rev": 5}, {"ok": True, "id": "ada"}])
def test_an_answer_without_a_revision_acknowledges_nothing(answer: Any) -> None:
    with pytest.raises(StoreError, match="ada"):
        read_revision(answer, "ada")


def _outcome(row: Any, status: int = 201) -> Any:
    return read_outcomes(Answer(status, [row]), [{"_id": "ada"}])[0]


def test_a_row_says_what_became_of_one_document() -> None:
    assert _outcome({"ok": True, "id": "ada", "rev": "1-a"}) == "1-a"
    assert isinstance(_outcome({"id": "ada", "error": "conflict", "reason": "…"}), Conflict)
    assert isinstance(_outcome({"id": "ada", "error": "illegal_docid", "reason": "…"}), InvalidID)
    assert isinstance(_outcome({"id": "ada", "error": "unauthorized", "reason": "…"}), AuthenticationFailed)
    assert isinstance(_outcome({"id": "zoe", "rev": "1-a"}), StoreError)
    assert isinstance(_outcome({"id": "ada"}), StoreError)
    assert isinstance(_outcome("ada"), StoreError)


def test_a_row_of_a_validation_function_says_its_words() -> None:
    outcome = _outcome({"id": "ada", "error": "forbidden", "reason": "a guest needs a name"})
    assert isinstance(outcome, InvalidDocument)
    assert "a guest needs a name" in str(outcome)


def test_a_row_that_says_perhaps_is_known_for_it() -> None:
    assert isinstance(_outcome({"ok": True, "id": "ada", "rev": "1-a", "accepted": True}, 202), Accepted)
    assert isinstance(_outcome({"ok": True, "id": "ada", "rev": "1-a"}, 202), Accepted)
    assert not isinstance(_outcome({"ok": True, "id": "ada", "rev": "1-a"}), Accepted)


@pytest.mark.parametrize("rows", [None, {}, [], [1, 2]])
def test_an_answer_without_a_row_a_document_is_an_error(rows: Any) -> None:
    with pytest.raises(StoreError, match="_bulk_docs"):
        read_outcomes(Answer(201, rows), [{"_id": "ada"}])
