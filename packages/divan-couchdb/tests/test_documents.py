"""The form of a CouchDB document, and the pauses between attempts to write one."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from divan_couchdb.documents import is_revision, known_as, pause, replaced, to_document

STORED = {"_id": "ada", "_rev": "2-b", "_attachments": {"portrait": {"stub": True}}, "n": 1, "tags": [{"a": 1}]}


def test_a_document_has_its_fields_and_knows_what_is_stored() -> None:
    document = to_document(STORED)
    assert (dict(document), document.id, document.rev) == ({"n": 1, "tags": [{"a": 1}]}, "ada", "2-b")
    assert document.native is STORED
    document["tags"][0]["a"] = 2
    assert STORED["tags"] == [{"a": 1}]


def test_a_replaced_document_follows_the_stored_one_and_keeps_its_attachments() -> None:
    assert replaced(STORED, {"m": 2}) == {"m": 2, "_rev": "2-b", "_attachments": STORED["_attachments"]}
    assert replaced({}, {"m": 2}) == {"m": 2}


@pytest.mark.parametrize(
    ("native", "rev", "known"),
    [
        (STORED, None, True),
        (STORED, "2-b", True),
        (STORED, "1-a", False),
        ({**STORED, "_id": "zoe"}, None, False),
        (None, None, False),
    ],
)
def test_what_was_returned_stands_in_for_reading_the_document(native: Any, rev: str | None, known: bool) -> None:
    assert known_as(native, "ada", rev) == (STORED if known else None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("1-a", True), ("12-0f", True), ("1-", False), ("a", False), ("1-a&x", False), ("1-a\n", False)],
)
def test_a_revision_is_a_number_and_a_hash(text: str, answer: bool) -> None:
    assert is_revision(text) is answer


def test_pauses_are_at_random_whatever_the_program_has_seeded() -> None:
    random.seed(1)
    before = random.getstate()
    pause(1, time.monotonic() + 60)
    assert random.getstate() == before
