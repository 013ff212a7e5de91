"""One document's requests: read, write and delete by revision, and again when another writer came between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NoReturn, TypeVar

from divan.backends.locks import FairLock
from divan.documents import Document
from divan.errors import DocumentNotFound, RevisionConflict, StoreError
from divan.validation import check_id

from divan_couchdb.bulk import LostAnswer, is_done, lost_answer, pause, too_busy
from divan_couchdb.client import Client, Conflict, Dropped, encode
from divan_couchdb.reading import Raw

_T = TypeVar("_T")


class Writer:
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

    def get(self, document_id: str) -> Raw:
        raw: Any = self._client.read("GET", self._url(document_id), document_id=document_id)
        if not isinstance(raw, dict) or raw.get("_id") != document_id or "_rev" not in raw:
            raise StoreError(f"CouchDB's answer is not the document {document_id!r}; is it CouchDB that answers?")
        return raw

    def get_checked(self, document_id: str, rev: str | None) -> Raw:
        """The stored document, whose revision must be `rev` if there is one."""
        raw = self.get(document_id)
        if rev is not None and raw["_rev"] != rev:
            raise RevisionConflict(document_id, rev)
        return raw

    def find_one(self, document_id: str) -> Raw | None:
        try:
            return self.get(document_id)
        except DocumentNotFound:
            return None

    def put(self, document_id: str, body: Raw) -> str:
        """Write a document, whose ``_rev`` says which one it follows, and return its new revision."""
        url = self._url(document_id)
        text = encode({"_id": document_id, **body}).encode()  # PouchDB takes an id "null" from here only
        try:
            answer = self._client.send("PUT", url, text)
        except Dropped:
            # It may be written. Sent again, it is then refused; whether by its own first time, the document says.
            try:
                answer = self._client.send("PUT", url, text)
            except Conflict as error:
                stored = self.find_one(document_id)
                if stored is None or not is_done(stored, body):
                    raise LostAnswer from error
                answer = {"rev": stored["_rev"]}
        if not isinstance(answer, dict) or not isinstance(answer.get("rev"), str):
            raise StoreError(
                f"CouchDB's answer to a write of {document_id!r} has no revision; is it CouchDB that answers?"
            )
        return str(answer["rev"])

    def retry(
        self,
        document_id: str,
        rev: str | None,
        attempt: Callable[[Raw | None], _T],
        known: Raw | None = None,
        *,
        repeatable: bool = True,
    ) -> _T:
        """Make a write, and make it again while other writers come between.

        Args:
            document_id: The document's id.
            rev: The revision that the caller insists on: there is no second attempt then.
            attempt: Given the document as it may be stored, or `None` to read it: writes, and returns the result.
            known: The document as the caller knows it.
            repeatable: Whether the write may be made again when nobody knows if it has been made.
        """
        if rev is not None or not self._queues.is_busy(document_id):
            try:
                return attempt(known)
            except Conflict as error:
                if isinstance(error, LostAnswer) and (rev is not None or not repeatable):
                    raise lost_answer(document_id) from error
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
                try:
                    result = attempt(known)
                except Conflict as error:
                    known = queue.written = None
                    if isinstance(error, LostAnswer) and not repeatable:
                        raise lost_answer(document_id) from error
                    pause(number)
                    number += 1
                else:
                    queue.written = result.native if isinstance(result, Document) else None
                    return result
        raise too_busy(document_id, self._timeout)

    def _refuse(self, document_id: str, rev: str, error: Conflict) -> NoReturn:
        self.get(document_id)  # which raises DocumentNotFound if it is gone
        raise RevisionConflict(document_id, rev) from error

    def delete(self, document_id: str, rev: str) -> None:
        """Delete a document that has this revision.

        Raises:
            Conflict: if it has another one, or is gone.
        """
        url = self._url(document_id, rev=rev)
        try:
            self._client.send("DELETE", url, document_id=document_id)
        except DocumentNotFound as error:
            raise Conflict from error  # PouchDB's answer for a revision that it does not know
        except Dropped:
            try:
                self._client.send("DELETE", url, document_id=document_id)
            except (Conflict, DocumentNotFound) as error:
                if self.find_one(document_id) is not None:
                    raise Conflict from error


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
        held = queue.lock.acquire(timeout=seconds)
        try:
            yield queue if held else None
        finally:
            if held:
                queue.lock.release()
            with self._lock:
                queue.length -= 1
                if not queue.length:
                    del self._queues[key]
