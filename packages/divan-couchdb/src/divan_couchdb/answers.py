"""Internal: what CouchDB's answer to a write says; and what it has come to where the answer was lost, or says perhaps.

CouchDB takes a write if it names the revision that is stored. A write that names one can so be sent again once its
answer is lost: if it is taken, nothing has come between. If it is refused, nobody can know by whom: a revision is made
of what is written and of the one before, so that two writers of the same change make the same revision. All that can
be proven is that a write was not made: something else was, in its place.

A new document names no revision, and CouchDB makes it anew where it has been deleted: it is sent again only if there
never was one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    DocumentNotFound,
    InvalidDocument,
    StoreClosed,
    StoreError,
)
from divan.query import same

from divan_couchdb.connections import Answer, Client, Raw, encode
from divan_couchdb.errors import Conflict, Dropped, cause_of, lost_answer, not_sent, perhaps, refusal


class Claim(Enum):
    """What has to be true for a write to count as made."""

    OWN = "own"
    """That it is there: nobody else knows the new document's id."""
    EXACT = "exact"
    """That this very request has made it: who adds to a number, or insists on a revision, must know."""
    EQUAL = "equal"
    """That what a quorum of the copies holds is what was written, be it by this request or by its like."""


class Accepted(str):
    """The revision of a write that fewer copies than a quorum took."""

    __slots__ = ()


Outcome = str | Conflict | DivanError
"""What a write of one document has come to: the new revision, the stored document's being another one, or a failure."""


class Writer:
    """Sends writes of single documents, and finds out what they have come to.

    Args:
        client: The database.
        copies: How many copies of each document a cluster keeps; `None` if the server does not say.
    """

    def __init__(self, client: Client, copies: int | None) -> None:
        settings = client.settings
        self._client = client
        self._copies = copies
        self._accepts = settings.accept_202
        self.parameters: dict[str, Any] = {} if settings.w is None else {"w": settings.w}
        # If another writer's change of the same words were acknowledged, there would be no copy left for a third one's
        # to be found beside it: with as many copies as a write asks for, and one each for the two others.
        all_copies = copies or 3
        self._is_alone = (settings.w or all_copies // 2 + 1) + 2 > all_copies

    def put(self, document_id: str, body: Raw, claim: Claim) -> str:
        """Write a document and return its new revision; one request, unless its answer is lost or says perhaps.

        Args:
            document_id: Its id.
            body: Its fields; ``_rev`` is the revision that it follows, which a new document has not.
            claim: What has to be true for it to count as made.

        Raises:
            Conflict: if the stored document has another revision, and nothing was written.
            ConnectionFailed: if nobody can know whether it was written.
        """
        sent = {"_id": document_id, **body}  # PouchDB takes an id "null" from here only
        url = self._client.url(document_id, **self.parameters)
        return self._write("PUT", url, encode(sent).encode(), sent, claim)

    def delete(self, document_id: str, rev: str, claim: Claim) -> None:
        """Delete a document that has this revision; one request, unless its answer is lost or says perhaps.

        Raises:
            Conflict: if it has another one, or is gone.
            ConnectionFailed: if nobody can know whether it was deleted.
        """
        sent = {"_id": document_id, "_rev": rev, "_deleted": True}
        self._write("DELETE", self._client.url(document_id, rev=rev, **self.parameters), None, sent, claim)

    def _write(self, method: str, url: str, text: bytes | None, sent: Raw, claim: Claim) -> str:
        try:
            answer = self._send(method, url, text, sent)
        except Dropped as dropped:
            again = self._send_again(dropped, method, url, text, sent, claim)
            if isinstance(again, str):
                return again
            answer = again
        rev = read_revision(answer.content, sent["_id"])
        return self.settle_accepted(rev, sent, claim) if answer.status == 202 else rev

    def _send(self, method: str, url: str, text: bytes | None, sent: Raw) -> Answer:
        about = sent["_id"] if sent.get("_deleted") else ""
        try:
            return self._client.send(method, url, text, document_id=about, writes=True)
        except DocumentNotFound as error:  # PouchDB's answer for a revision that it does not know
            raise Conflict(str(error)) from error

    def _send_again(
        self, dropped: Dropped, method: str, url: str, text: bytes | None, sent: Raw, claim: Claim
    ) -> Answer | str:
        """The answer to a write that is sent again, the first one lost; or the revision that its first time made."""
        document_id = sent["_id"]
        try:
            if dropped.sent and "_rev" not in sent:
                leaves = self._leaves(document_id)
                if leaves:
                    return self._judge(leaves, sent, claim)
            try:
                return self._send(method, url, text, sent)
            except Conflict:
                if not dropped.sent:
                    raise
                return self._judge(self._leaves(document_id), sent, claim)
        except Dropped as again:
            raise (lost_answer if dropped.sent or again.sent else not_sent)(document_id) from cause_of(again)
        except (AuthenticationFailed, DatabaseNotFound, InvalidDocument, StoreClosed):
            raise  # as the first time would have been
        except (ConnectionFailed, StoreError) as error:
            raise lost_answer(document_id) from error

    def _judge(self, leaves: Sequence[Raw], sent: Raw, claim: Claim) -> str:
        """What a write has come to whose answer was lost, and that must not be sent again.

        Returns:
            The revision that it has made.

        Raises:
            Conflict: if it was not made.
            ConnectionFailed: if nobody can know.
        """
        if len(leaves) == 1:
            outcome = judged(leaves[0], sent, claim)
            if isinstance(outcome, str):
                return outcome
            raise outcome
        raise lost_answer(sent["_id"])

    def _leaves(self, document_id: str) -> list[Raw]:
        """All that stands at the ends of a document's branches on all its copies, deletions included."""
        parameters: dict[str, Any] = {"open_revs": "all", "revs": "true"}
        if self._copies is not None:
            parameters["r"] = self._copies
        try:
            rows = self._client.read("GET", self._client.url(document_id, **parameters), document_id=document_id)
        except DocumentNotFound:
            return []
        if not isinstance(rows, list):
            raise StoreError(f"CouchDB's answer holds no revisions of {document_id!r}; is it CouchDB that answers?")
        leaves = [row["ok"] for row in rows if isinstance(row, dict) and isinstance(row.get("ok"), dict)]
        if not all(isinstance(leaf.get("_rev"), str) for leaf in leaves):
            raise StoreError(f"CouchDB's answer holds a document without a revision: {document_id!r}")
        return leaves

    # Perhaps

    def settle_accepted(self, rev: str, sent: Raw, claim: Claim) -> str:
        """Find out what a write has come to that fewer copies took than a quorum.

        Its branch is taken back where another writer's stands beside it.

        Args:
            rev: The revision that it has made.
            sent: What was written.
            claim: What has to be true for it to count as made.

        Returns:
            The document's revision, if it is made.

        Raises:
            Conflict: if it is not.
            ConnectionFailed: if nobody can know.
        """
        document_id = sent["_id"]
        try:
            leaves = self._leaves(document_id)
        except (ConnectionFailed, StoreError) as error:
            raise perhaps(document_id) from error
        ours = [leaf for leaf in leaves if _descends(leaf, rev)]
        if any(leaf not in ours and _is_rival(leaf, sent) for leaf in leaves):
            raise self._take_back(rev, sent, claim, ours)
        if ours and self._accepts:
            return rev
        if ours and claim is not Claim.EXACT and not sent.get("_deleted"):
            return self._confirm(rev, sent)
        raise perhaps(document_id)

    def _take_back(self, rev: str, sent: Raw, claim: Claim, ours: Sequence[Raw]) -> Conflict | ConnectionFailed:
        """Delete the branch that a write has made beside another writer's; what the write has come to so."""
        document_id = sent["_id"]
        if sent.get("_deleted"):
            return Conflict()  # the other branch is the document, and it is there
        if [leaf["_rev"] for leaf in ours] != [rev] or ours[0].get("_deleted"):
            return perhaps(document_id)  # somebody has built on it already
        if claim is not Claim.OWN and not self._is_alone:
            return perhaps(document_id)
        try:
            self._client.send(
                "DELETE", self._client.url(document_id, rev=rev), None, document_id=document_id, writes=True
            )
        except (Conflict, Dropped, DivanError):
            return perhaps(document_id)
        return Conflict()

    def _confirm(self, rev: str, sent: Raw) -> str:
        """Write the same once more, upon what it has made itself: a quorum's word for that holds for both."""
        document_id = sent["_id"]
        body = {**sent, "_rev": rev}
        try:
            answer = self._send("PUT", self._client.url(document_id, **self.parameters), encode(body).encode(), body)
        except (Conflict, Dropped, ConnectionFailed, StoreError, InvalidDocument) as error:
            raise perhaps(document_id) from cause_of(error)
        if answer.status == 202:
            raise perhaps(document_id)
        return read_revision(answer.content, document_id)


def judged(stored: Raw, sent: Raw, claim: Claim) -> Outcome:
    """What a write has come to whose answer was lost.

    Args:
        stored: What is stored now, and nothing beside it: ``_deleted`` says that it is a deletion.
        sent: The document as it was sent: ``_rev`` is the revision that it follows, ``_deleted`` says that it goes.
        claim: What has to be true for it to count as made.

    Returns:
        The revision that it has made; `Conflict` if it was not made; `ConnectionFailed` if nobody can know.
    """
    document_id = sent["_id"]
    follows = generation(stored["_rev"]) == generation(sent.get("_rev", "0-")) + 1
    if not follows:
        return lost_answer(document_id)
    if "_rev" not in sent and stored.get("_deleted"):
        return lost_answer(document_id)
    if claim is Claim.OWN:
        return str(stored["_rev"])
    if _is_alike(stored, sent):
        return lost_answer(document_id)
    return Conflict()  # what follows the revision that the write names is something else


def generation(rev: str) -> int:
    """The number that a revision begins with: how many there were before it, plus one."""
    number = rev.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else -1


def _is_alike(stored: Raw, sent: Raw) -> bool:
    """Whether a stored document may be what was sent: servers may keep a number by another one that is close."""
    if bool(stored.get("_deleted")) != bool(sent.get("_deleted")):
        return False
    return bool(sent.get("_deleted")) or same(_fields(stored), _fields(sent))


def _fields(raw: Raw) -> Any:
    return json.loads(encode({name: value for name, value in raw.items() if not name.startswith("_")}), parse_int=float)


def _history(leaf: Raw) -> dict[int, str] | None:
    """The revisions that a branch consists of, by number, as far as the server knows them; `None` if it tells none."""
    told = leaf.get("_revisions")
    if not isinstance(told, dict) or not isinstance(told.get("start"), int) or not isinstance(told.get("ids"), list):
        return None
    return {told["start"] - index: f"{told['start'] - index}-{one}" for index, one in enumerate(told["ids"])}


def _descends(leaf: Raw, rev: str) -> bool:
    """Whether a branch holds a revision."""
    return bool(leaf["_rev"] == rev or (_history(leaf) or {}).get(generation(rev)) == rev)


def _is_rival(leaf: Raw, sent: Raw) -> bool:
    """Whether a branch was begun beside what was sent, from the same revision."""
    parent = sent.get("_rev")
    if leaf.get("_deleted") and (parent is None or sent.get("_deleted")):
        return False
    if parent is None:
        return True
    history = _history(leaf)
    if history is None:
        return generation(leaf["_rev"]) > generation(parent)
    return bool(leaf["_rev"] != parent and history.get(generation(parent)) == parent)


# What an answer says


def read_revision(answer: Any, document_id: str) -> str:
    """The new revision in the answer to the write of one document.

    Raises:
        StoreError: if there is none.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("rev"), str):
        raise StoreError(f"CouchDB's answer to a write of {document_id!r} has no revision; is it CouchDB that answers?")
    return str(answer["rev"])


def read_outcomes(answer: Answer, documents: Sequence[Raw]) -> list[Outcome]:
    """The outcomes in the answer to a bulk write, one a document, in order; `Accepted` for one that says perhaps.

    Raises:
        StoreError: if the answer has not one item a document.
    """
    rows = answer.content
    if not isinstance(rows, list) or len(rows) != len(documents):
        raise StoreError("CouchDB's answer to _bulk_docs has not one item per document; is it CouchDB that answers?")
    # A 202 is about those that say so; should none say so, it may be about any.
    doubtful = answer.status == 202 and not any(isinstance(row, dict) and row.get("accepted") for row in rows)
    return [_read_outcome(row, sent, doubtful) for row, sent in zip(rows, documents, strict=True)]


def _read_outcome(row: Any, sent: Raw, doubtful: bool) -> Outcome:
    if not isinstance(row, dict) or row.get("id", sent["_id"]) != sent["_id"]:
        return StoreError("CouchDB's answer to _bulk_docs has an item that can't be read")
    if "error" not in row and isinstance(row.get("rev"), str):
        return Accepted(row["rev"]) if doubtful or row.get("accepted") else str(row["rev"])
    if "error" not in row:
        return StoreError("CouchDB's answer to _bulk_docs has an item that can't be read")
    if row["error"] == "conflict":
        return Conflict()
    return refusal(0, str(row["error"]), str(row.get("reason", "")), "CouchDB", writes=True)


def listed(answer: Any, name: str) -> list[Any]:
    """The list of this name in an answer.

    Raises:
        StoreError: if there is none, or the server broke it off: an answer that can't be read is no empty one.
    """
    found = answer.get(name) if isinstance(answer, dict) else None
    if isinstance(found, list) and "error" in answer:  # which CouchDB appends to an answer that it has begun
        raise StoreError(f"CouchDB broke off its answer ({answer['error']}: {answer.get('reason')})")
    if not isinstance(found, list):
        raise StoreError(f"CouchDB's answer holds no {name!r}; is it CouchDB that answers?")
    return found
