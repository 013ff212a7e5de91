"""Internal: single documents: from CouchDB's form to `Document`, and read, written and deleted by revision."""

from __future__ import annotations

import random
import re
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from divan.backends.support import FairLock
from divan.documents import Document, copied
from divan.errors import RevisionConflict, StoreError
from divan.validation import check_id

from divan_couchdb.answers import Claim, Writer
from divan_couchdb.connections import Client, Raw
from divan_couchdb.errors import Conflict, cause_of, too_busy
from divan_couchdb.pool import forget_after_fork

_REVISION: Final = re.compile(r"[0-9]+-[0-9A-Za-z]+")
_KEPT: Final = ("_rev", "_attachments")
"""What stays of a stored document whose fields are all replaced."""
_CONTAINERS: Final = frozenset({dict, list})
_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25
_QUEUES: Final = 64

# Not the module's own generator: programs that seed that alike would pause alike, and go on meeting one another.
_random: Final = random.SystemRandom()

_T = TypeVar("_T")


# What a document is


def to_document(raw: Raw) -> Document:
    """Make what the Store hands out of what is stored; the fields are copied, so that `raw` serves a later write."""
    document = to_written_document(raw, raw)
    del document["_id"], document["_rev"]
    document.pop("_attachments", None)
    return document


def to_written_document(fields: Mapping[str, Any], raw: Raw) -> Document:
    """Make what the Store hands out of fields that have just been written.

    Args:
        fields: The document's own fields, without ``_id`` and ``_rev``; copied.
        raw: What is stored of them.
    """
    document = Document(fields, raw["_id"], raw["_rev"], raw)
    for name, value in document.items():
        if value.__class__ in _CONTAINERS:
            document[name] = copied(value)
    return document


def known_as(native: Any, document_id: str, rev: str | None) -> Raw | None:
    """What this driver returned for a document, if it can stand in for reading it again; else `None`.

    Args:
        native: What was returned, or `None`.
        document_id: The document's id.
        rev: The revision that it must have; any with `None`.
    """
    if not isinstance(native, dict) or native.get("_id") != document_id:
        return None
    if rev is not None and native.get("_rev") != rev:
        return None
    return native


def replaced(stored: Raw, data: Mapping[str, Any]) -> Raw:
    """The document that has `data` for fields, and follows the stored one, whose attachments it keeps."""
    return {**data, **{name: stored[name] for name in _KEPT if name in stored}}


def is_revision(rev: str) -> bool:
    """Whether a text can be a revision of CouchDB's."""
    return _REVISION.fullmatch(rev) is not None


# Requests


class Documents:
    """Reads and writes single documents of one database.

    Args:
        client: The database.
        writer: Writes to the same one.
    """

    def __init__(self, client: Client, writer: Writer) -> None:
        self._client = client
        self._writer = writer
        self._queues = _Queues()

    def get(self, document_id: str, rev: str | None = None) -> Raw:
        """Read a document; one request.

        Args:
            document_id: Its id.
            rev: The revision that it must have; any with `None`.

        Raises:
            DocumentNotFound: if there is none.
            RevisionConflict: if it has another revision.
        """
        url = self._client.url(check_id(document_id))
        raw: Any = self._client.read("GET", url, document_id=document_id)
        if not isinstance(raw, dict) or raw.get("_id") != document_id or not isinstance(raw.get("_rev"), str):
            raise StoreError(f"CouchDB's answer is not the document {document_id!r}; is it CouchDB that answers?")
        if rev is not None and raw["_rev"] != rev:
            raise RevisionConflict(document_id, rev)
        return raw

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
        return self._writer.put(check_id(document_id), body, claim)

    def delete(self, document_id: str, rev: str, claim: Claim) -> None:
        """Delete a document that has this revision; one request, unless its answer is lost or says perhaps.

        Args:
            document_id: Its id.
            rev: Its revision.
            claim: What has to be true for it to count as deleted.

        Raises:
            Conflict: if it has another one, or is gone.
            ConnectionFailed: if nobody can know whether it was deleted.
        """
        self._writer.delete(check_id(document_id), rev, claim)

    def retry(
        self, document_id: str, rev: str | None, attempt: Callable[[Raw | None], _T], known: Raw | None = None
    ) -> _T:
        """Make a write, and make it again while other writers come between.

        Args:
            document_id: The document's id.
            rev: The revision that the caller insists on: there is no second attempt then.
            attempt: Given the document as it may be stored, or `None` to read it: writes, and returns the result.
            known: The document as the caller knows it.

        Raises:
            RevisionConflict: if the document has another revision than `rev`.
            OperationTimeout: if other writers came between until the call's time was over.
        """
        queue = self._queues.of(document_id)
        if rev is not None or not queue.writers:
            try:
                return attempt(known)
            except Conflict as error:
                if rev is not None:
                    self._refuse(document_id, rev, error)
                known = None
        # The threads of one process queue up, rather than keep one another from writing, and each leaves what it wrote
        # to the next. That one waits is known by what only this frame holds: however it ends, the queue is left.
        writer = _Writing()
        queue.writers.add(weakref.ref(writer, queue.writers.discard))
        turn = queue.lock.acquire(max(0.0, self._client.deadline - time.monotonic()))
        if turn is None:
            raise too_busy(document_id, self._client.settings.timeout)
        try:
            return self._write_in_turn(queue, document_id, attempt, known)
        finally:
            turn.release()

    def _write_in_turn(
        self, queue: _Queue, document_id: str, attempt: Callable[[Raw | None], _T], known: Raw | None
    ) -> _T:
        number = 0
        if queue.written is not None and queue.written["_id"] == document_id:
            known = queue.written
        while time.monotonic() < self._client.deadline:
            queue.written = None  # an attempt that fails leaves nothing to go on from
            try:
                result = attempt(known)
            except Conflict:
                known = None
                pause(number, self._client.deadline)
                number += 1
            else:
                queue.written = result.native if isinstance(result, Document) and len(queue.writers) > 1 else None
                return result
        raise too_busy(document_id, self._client.settings.timeout)

    def _refuse(self, document_id: str, rev: str, error: Conflict) -> NoReturn:
        self.get(document_id)  # which raises DocumentNotFound if it is gone
        raise RevisionConflict(document_id, rev) from cause_of(error)


def pause(attempt: int, deadline: float) -> None:
    """Wait before another attempt at a write that met another writer's: longer each time, and at random.

    Args:
        attempt: How many there were before.
        deadline: When to wait no longer, by `time.monotonic`.
    """
    longest = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(attempt, 10), deadline - time.monotonic())
    time.sleep(_random.uniform(0, max(0.0, longest)))


class _Writing:
    """One thread that writes a document in its turn, or waits for it."""

    __slots__ = ("__weakref__",)


class _Queue:
    """The writers of some documents in this process."""

    def __init__(self) -> None:
        self.lock = FairLock()
        self.writers: set[weakref.ref[_Writing]] = set()
        """Who is in the queue; those that are no more leave by themselves."""
        self.written: Raw | None = None
        """What the one before has written."""


class _Queues:
    """The queues that all documents share: as few as there are, a document that many want seldom meets another."""

    def __init__(self) -> None:
        self.forget()
        forget_after_fork(self)

    def forget(self) -> None:
        """Begin with nobody in the queues: after a fork, the other process's threads are not here."""
        self._queues = [_Queue() for _ in range(_QUEUES)]

    def of(self, document_id: str) -> _Queue:
        """The queue of one document."""
        return self._queues[hash(document_id) % _QUEUES]
