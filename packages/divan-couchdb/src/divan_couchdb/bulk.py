"""Many writes in one request, each with an outcome of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from divan.errors import ConnectionFailed, DivanError, DocumentNotFound, InvalidDocument, OperationTimeout, StoreError
from divan.query import same

from divan_couchdb.client import Client, Conflict, Dropped, encode, refusal
from divan_couchdb.reading import Raw, Reader

_LONGEST_PAUSE: Final = 0.25


class LostAnswer(Conflict):
    """A write whose answer was lost is not what the document holds now: done and overwritten, or never done."""


def pause(attempt: int) -> None:
    """Wait before another attempt at a write that met another writer's: longer each time, and at random."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.002 * 2 ** min(attempt, 10))))


def is_done(stored: Raw | None, sent: Raw) -> bool:
    """Whether a document is what a write, whose answer was lost, has made of it."""
    if sent.get("_deleted"):
        return stored is None
    if stored is None:
        return False
    rev = sent.get("_rev")
    if rev is not None and generation(stored["_rev"]) != generation(rev) + 1:
        return False
    return same(_fields(stored), _fields(sent))


def generation(rev: str) -> int:
    """The number that a revision begins with: how many there were before it, plus one."""
    return int(rev.partition("-")[0])


def _fields(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if not name.startswith("_")}


class Bulk:
    """Bulk writes to one database.

    Args:
        client: The database.
        reader: Reads from the same one.
        timeout: Seconds for which a write that meets other writers' is tried again.
    """

    def __init__(self, client: Client, reader: Reader, timeout: float) -> None:
        self._client = client
        self._reader = reader
        self._timeout = timeout

    def write(self, documents: Sequence[Raw]) -> list[str | Conflict | DivanError]:
        """Write documents, no two with the same id; one outcome each: the new revision, or what prevented it."""
        if not documents:
            return []
        url = self._client.endpoint("_bulk_docs")
        body = encode({"docs": documents}).encode()
        lost = False
        try:
            try:
                rows = self._client.send("POST", url, body)
            except Dropped:
                lost = True
                rows = self._client.send("POST", url, body)
        except InvalidDocument as error:
            # CouchDB refuses the whole request for one document: halve it until that one is alone.
            if len(documents) == 1:
                return [error]
            middle = len(documents) // 2
            return self.write(documents[:middle]) + self.write(documents[middle:])
        if not isinstance(rows, list) or len(rows) != len(documents):
            raise StoreError(
                "CouchDB's answer to _bulk_docs has not one item per document; is it CouchDB that answers?"
            )
        outcomes = [_outcome(row) for row in rows]
        if lost:
            self._settle(documents, outcomes)
        return outcomes

    def _settle(self, documents: Sequence[Raw], outcomes: list[str | Conflict | DivanError]) -> None:
        """After a request was sent twice: a conflict may be with its own first time."""
        doubtful = [index for index, outcome in enumerate(outcomes) if not isinstance(outcome, str)]
        stored = self._reader.many([documents[index]["_id"] for index in doubtful]) if doubtful else {}
        for index in doubtful:
            now = stored.get(documents[index]["_id"])
            if is_done(now, documents[index]):
                outcomes[index] = now["_rev"] if now else ""
            elif isinstance(outcomes[index], Conflict):
                outcomes[index] = LostAnswer()

    def rewrite(
        self,
        ids: Sequence[str],
        change: Callable[[int, Raw], Raw],
        done: Callable[[Raw], Any],
        *,
        bodies: bool = True,
        repeatable: Callable[[int], bool] = lambda index: True,
    ) -> list[Any]:
        """Read documents and write what becomes of them, again where another writer came between.

        Args:
            ids: Document ids; one that occurs twice is changed twice, in order.
            change: Makes the new document from the position in `ids` and the stored one.
            done: Makes the result from the document as written.
            bodies: Whether `change` needs more than ``_id`` and ``_rev``.
            repeatable: Whether the change at a position may be made again when nobody knows if it has been made.

        Returns:
            One result an id, in order: what `done` made, or a `DivanError`.
        """
        results: list[Any] = [None] * len(ids)
        waiting = list(range(len(ids)))
        while waiting:
            first: dict[str, int] = {}
            for index in waiting:
                first.setdefault(ids[index], index)
            now = list(first.values())
            self._rewrite_once(ids, now, change, done, bodies, repeatable, results)
            taken = set(now)
            waiting = [index for index in waiting if index not in taken]
        return results

    def _rewrite_once(
        self,
        ids: Sequence[str],
        pending: list[int],
        change: Callable[[int, Raw], Raw],
        done: Callable[[Raw], Any],
        bodies: bool,
        repeatable: Callable[[int], bool],
        results: list[Any],
    ) -> None:
        """The same for positions with different ids."""
        deadline = time.monotonic() + self._timeout
        attempt = 0
        while pending:
            stored = self._reader.many([ids[index] for index in pending], bodies=bodies)
            sent: list[tuple[int, Raw]] = []
            for index in pending:
                raw = stored.get(ids[index])
                try:
                    if raw is None:
                        raise DocumentNotFound(ids[index])
                    sent.append((index, change(index, raw)))
                except DivanError as error:
                    results[index] = error
            pending = []
            for (index, raw), outcome in zip(sent, self.write([raw for _, raw in sent]), strict=True):
                if isinstance(outcome, str):
                    results[index] = done({**raw, "_rev": outcome})
                elif isinstance(outcome, LostAnswer) and not repeatable(index):
                    results[index] = lost_answer(ids[index])
                elif isinstance(outcome, Conflict):
                    results[index] = too_busy(ids[index], self._timeout)
                    pending.append(index)
                else:
                    results[index] = outcome
            if time.monotonic() > deadline:
                return
            if pending:
                pause(attempt)
                attempt += 1


def _outcome(row: Any) -> str | Conflict | DivanError:
    if isinstance(row, dict) and "error" not in row and isinstance(row.get("rev"), str):
        return str(row["rev"])
    if not isinstance(row, dict) or "error" not in row:
        return StoreError("CouchDB's answer to _bulk_docs has an item that can't be read")
    if row["error"] == "conflict":
        return Conflict()
    return refusal(0, str(row["error"]), str(row.get("reason", "")), "CouchDB")


def lost_answer(document_id: str) -> ConnectionFailed:
    """The error for a write that may have been made, and must not be made twice."""
    return ConnectionFailed(
        f"the connection dropped while document {document_id!r} was written; it may be written or not: get it and see"
    )


def too_busy(document_id: str, timeout: float) -> OperationTimeout:
    """The error for a document that other writers changed each time before we could."""
    return OperationTimeout(
        f"document {document_id!r} was changed by others again and again for {timeout:g} s; nothing was written"
    )
