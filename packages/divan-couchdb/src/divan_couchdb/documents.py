"""Internal: single documents: from CouchDB's form to `Document`, and read, written and deleted by revision."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, NoReturn, TypeVar

from divan.backends.support import FairLock
from divan.documents import Document, copied
from divan.errors import DocumentNotFound, RevisionConflict, StoreError
from divan.validation import check_id

from divan_couchdb.answers import deliver, read_revision, settle
from divan_couchdb.connections import Client, Raw, encode
from divan_couchdb.errors import Conflict, too_busy

_REVISION: Final = re.compile(r"[0-9]+-[0-9A-Za-z]+")
_KEPT: Final = ("_rev", "_attachments")
"""What stays of a stored document whose fields are all replaced."""
_CONTAINERS: Final = frozenset({dict, list})
_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25

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
        timeout: Seconds for which a write that meets other writers' is tried again.
    """

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._queues = _Queues()

    def _url(self, document_id: str, **parameters: Any) -> str:
        return self._client.url(check_id(document_id), **parameters)

    def get(self, document_id: str, rev: str | None = None) -> Raw:
        """Read a document; one request.

        Args:
            document_id: Its id.
            rev: The revision that it must have; any with `None`.

        Raises:
            DocumentNotFound: if there is none.
            RevisionConflict: if it has another revision.
        """
        raw: Any = self._client.read("GET", self._url(document_id), document_id=document_id)
        if not isinstance(raw, dict) or raw.get("_id") != document_id or "_rev" not in raw:
            raise StoreError(f"CouchDB's answer is not the document {document_id!r}; is it CouchDB that answers?")
        if rev is not None and raw["_rev"] != rev:
            raise RevisionConflict(document_id, rev)
        return raw

    def put(self, document_id: str, body: Raw, *, repeatable: bool = True) -> str:
        """Write a document and return its new revision; one request, unless its answer is lost.

        Args:
            document_id: Its id.
            body: Its fields; ``_rev`` is the revision that it follows, which a new document has not.
            repeatable: Whether the caller may make the write again if nobody can know whether it has been made.

        Raises:
            Conflict: if the stored document has another revision.
            LostAnswer: if nobody can know whether the write has been made, and it is not `repeatable`.
        """
        sent = {"_id": document_id, **body}  # PouchDB takes an id "null" from here only
        return self._write("PUT", self._url(document_id), sent, encode(sent).encode(), repeatable=repeatable)

    def delete(self, document_id: str, rev: str) -> None:
        """Delete a document that has this revision; one request, unless its answer is lost.

        Raises:
            Conflict: if it has another one, or is gone.
        """
        sent = {"_id": document_id, "_rev": rev, "_deleted": True}
        self._write("DELETE", self._url(document_id, rev=rev), sent, about=document_id)

    def _write(
        self, method: str, url: str, sent: Raw, text: bytes | None = None, *, about: str = "", repeatable: bool = True
    ) -> str:
        """Send a write and return the new revision.

        Args:
            method: HTTP method.
            url: The document's URL.
            sent: What the document becomes.
            text: The same as JSON text, if the request has a body.
            about: The document that a 404 is about; empty if it can only be about the database.
            repeatable: Whether the caller may make the write again if nobody can know whether it has been made.

        Raises:
            Conflict: if the stored document has another revision.
            LostAnswer: if nobody can know whether the write has been made, and it is not `repeatable`.
        """
        document_id = sent["_id"]
        try:
            answer, _ = deliver(self._client, method, url, text, document_id=about)
        except Conflict as conflict:
            if not conflict.repeated:
                raise
            outcome = settle(sent, self._find(document_id), repeatable=repeatable)
            if isinstance(outcome, str):
                return outcome
            raise outcome from conflict
        return read_revision(answer, document_id)

    def _find(self, document_id: str) -> Raw | None:
        try:
            return self.get(document_id)
        except DocumentNotFound:
            return None

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
            OperationTimeout: if other writers came between until the time was over.
        """
        if rev is not None or not self._queues.is_busy(document_id):
            try:
                return attempt(known)
            except Conflict as error:
                if rev is not None:
                    self._refuse(document_id, rev, error)
                known = None
        # The threads of one process queue up, rather than keep one another from writing, and each leaves what it wrote
        # to the next.
        deadline = time.monotonic() + self._timeout
        with self._queues.hold(document_id, self._timeout) as queue:
            number = 0
            if queue is not None and queue.written is not None:
                known = queue.written
            while queue is not None and time.monotonic() < deadline:
                queue.written = None  # an attempt that fails leaves nothing to go on from
                try:
                    result = attempt(known)
                except Conflict:
                    known = None
                    pause(number)
                    number += 1
                else:
                    queue.written = result.native if isinstance(result, Document) else None
                    return result
        raise too_busy(document_id, self._timeout)

    def _refuse(self, document_id: str, rev: str, error: Conflict) -> NoReturn:
        self.get(document_id)  # which raises DocumentNotFound if it is gone
        raise RevisionConflict(document_id, rev) from error


def pause(attempt: int) -> None:
    """Wait before another attempt at a write that met another writer's: longer each time, and at random."""
    time.sleep(_random.uniform(0, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(attempt, 10))))


class _Queue:
    """The writers of one document in this process."""

    def __init__(self) -> None:
        self.lock = FairLock()
        self.length = 0
        self.written: Raw | None = None
        """What the one before has written."""


class _Queues:
    """One queue per document that several threads of this process want to write; there is none while nobody waits."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._queues: dict[str, _Queue] = {}

    def is_busy(self, key: str) -> bool:
        """Whether there is a queue for this key."""
        return key in self._queues

    @contextmanager
    def hold(self, key: str, seconds: float) -> Iterator[_Queue | None]:
        """Wait to be the only one with this key; yields `None` if that took too long."""
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            queue.length += 1
        turn = queue.lock.acquire(timeout=seconds)
        try:
            yield queue if turn is not None else None
        finally:
            if turn is not None:
                turn.release()
            with self._lock:
                queue.length -= 1
                if not queue.length:
                    del self._queues[key]
