"""Internal: what CouchDB's answer to a write says, and what a write has come to whose answer was lost.

CouchDB takes a write only if it names the revision that is stored. So a write whose answer was lost is sent again: it
can't be made twice, and is refused if its first time, or somebody else's write, has come before. Which of the two it
was, `settle` decides by what is stored then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from divan.errors import DivanError, DocumentNotFound, StoreError
from divan.query import same

from divan_couchdb.connections import Client, Raw
from divan_couchdb.errors import Conflict, Dropped, lost_answer, refusal

Outcome = str | Conflict | DivanError
"""What a write of one document has come to: the new revision, the stored document's being another one, or a failure."""

DELETED: Final = ""
"""Stands for the revision of a document that a write has deleted, where the answer that says it was lost."""


class Delivery(NamedTuple):
    """A write that was taken.

    Attributes:
        answer: The JSON that answers it.
        repeated: Whether the answer to its first time was lost, and this is the one to its second time.
    """

    answer: Any
    repeated: bool


def deliver(client: Client, method: str, url: str, body: bytes | None = None, *, document_id: str = "") -> Delivery:
    """Send a write, and once more if the connection drops before it is answered.

    Args:
        client: The database.
        method: HTTP method.
        url: The URL.
        body: JSON text.
        document_id: The document that a 404 is about, which counts as a `Conflict`: it is PouchDB's answer for a
            revision that it does not know. Empty if a 404 can only be about the database.

    Raises:
        Conflict: if the document has another revision; its `repeated` says that `settle` has to decide.
        Dropped: if the connection dropped both times.
        DivanError: if it fails otherwise.
    """
    repeated = False
    try:
        try:
            return Delivery(client.send(method, url, body, document_id=document_id), repeated)
        except Dropped:
            repeated = True
            return Delivery(client.send(method, url, body, document_id=document_id), repeated)
    except Conflict as conflict:
        conflict.repeated = repeated
        raise
    except DocumentNotFound as error:
        raise Conflict(str(error), repeated=repeated) from error


def settle(sent: Raw, stored: Raw | None, *, repeatable: bool) -> Outcome:
    """Decide what a write has come to that was refused when it was sent again, the answer to its first time lost.

    Args:
        sent: The document as it was sent: ``_rev`` is the revision that it follows, ``_deleted`` says that it goes.
        stored: The document as it is stored now; `None` if there is none.
        repeatable: Whether the write may be made again if nobody can know whether it has been made.

    Returns:
        The revision that it has made, or `DELETED`; else `Conflict` if it may be made again, and `LostAnswer` if not.
    """
    if sent.get("_deleted"):
        return DELETED if stored is None else Conflict()  # whoever wrote what is there: it is not deleted
    if stored is not None and _is_made_of(stored, sent):
        return str(stored["_rev"])
    return Conflict() if repeatable else lost_answer(sent["_id"])


def _is_made_of(stored: Raw, sent: Raw) -> bool:
    """Whether a stored document is what a write made: the next revision after the one it follows, the same fields."""
    rev = sent.get("_rev")
    if rev is not None and _generation(stored["_rev"]) != _generation(rev) + 1:
        return False
    return same(_fields(stored), _fields(sent))


def _generation(rev: str) -> int:
    """The number that a revision begins with: how many there were before it, plus one."""
    return int(rev.partition("-")[0])


def _fields(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if not name.startswith("_")}


def read_revision(answer: Any, document_id: str) -> str:
    """The new revision in the answer to the write of one document.

    Raises:
        StoreError: if there is none.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("rev"), str):
        raise StoreError(f"CouchDB's answer to a write of {document_id!r} has no revision; is it CouchDB that answers?")
    return str(answer["rev"])


def read_outcomes(answer: Any, documents: Sequence[Raw]) -> list[Outcome]:
    """The outcomes in the answer to a bulk write, one a document, in order.

    Raises:
        StoreError: if the answer has not one item a document.
    """
    if not isinstance(answer, list) or len(answer) != len(documents):
        raise StoreError("CouchDB's answer to _bulk_docs has not one item per document; is it CouchDB that answers?")
    return [_read_outcome(item) for item in answer]


def _read_outcome(item: Any) -> Outcome:
    if isinstance(item, dict) and "error" not in item and isinstance(item.get("rev"), str):
        return str(item["rev"])
    if not isinstance(item, dict) or "error" not in item:
        return StoreError("CouchDB's answer to _bulk_docs has an item that can't be read")
    if item["error"] == "conflict":
        return Conflict()
    return refusal(0, str(item["error"]), str(item.get("reason", "")), "CouchDB")
