"""Internal: many writes in one request, each with an outcome of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from divan.backends.support import attempt, rounds
from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DivanError,
    DocumentNotFound,
    InvalidDocument,
    StoreClosed,
    StoreError,
)

from divan_couchdb.answers import Accepted, Claim, Outcome, Writer, judged, read_outcomes
from divan_couchdb.connections import Client, Raw, encode
from divan_couchdb.documents import pause
from divan_couchdb.errors import Conflict, Dropped, cause_of, lost_answer, not_sent, too_busy
from divan_couchdb.queries import Queries

Change = Callable[[int, Raw], Raw]
"""Makes the new document from the position of an item and the stored document; a `DivanError` is the item's result."""

Claims = Mapping[str, Claim]
"""What has to be true for a write to count as made, by the document's id; `Claim.EQUAL` unless it is named."""


class Bulk:
    """Bulk writes to one database.

    Args:
        client: The database.
        queries: Reads from the same one.
        writer: Finds out what a write has come to.
    """

    def __init__(self, client: Client, queries: Queries, writer: Writer) -> None:
        self._client = client
        self._queries = queries
        self._writer = writer

    def write(self, documents: Sequence[Raw], claims: Claims) -> list[Outcome]:
        """Write documents, no two with the same id; one outcome each.

        Args:
            documents: The documents; ``_rev`` is the revision that one follows, ``_deleted`` deletes it.
            claims: What has to be true for each to count as made.
        """
        try:
            outcomes = self._send(documents) if documents else []
        except InvalidDocument as error:
            # CouchDB refuses the whole request for one document: halve it until that one is alone.
            if len(documents) == 1:
                return [error]
            return self._write_halves(documents, claims, lost=False)
        except Dropped as dropped:
            return self._after_drop(dropped, documents, claims)
        return self._settled(outcomes, documents, claims)

    def _send(self, documents: Sequence[Raw]) -> list[Outcome]:
        url = self._client.endpoint("_bulk_docs", **self._writer.parameters)
        answer = self._client.send("POST", url, encode({"docs": documents}).encode(), writes=True)
        return read_outcomes(answer, documents)

    def _settled(self, outcomes: list[Outcome], documents: Sequence[Raw], claims: Claims) -> list[Outcome]:
        """The outcomes, those that say perhaps found out one by one."""
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Accepted):
                sent = documents[index]
                claim = claims.get(sent["_id"], Claim.EQUAL)
                try:
                    outcomes[index] = self._writer.settle_accepted(str(outcome), sent, claim)
                except (Conflict, DivanError) as error:
                    outcomes[index] = error
        return outcomes

    # An answer that is lost

    def _after_drop(self, dropped: Dropped, documents: Sequence[Raw], claims: Claims) -> list[Outcome]:
        """The outcomes of a request whose answer was lost: found out where that can be, and made anew where it may.

        What was not made is sent again in halves: a server drops what is over its limit, too.
        """
        if not dropped.sent:
            return self._write_again(documents, claims, lost=False)
        outcomes, waiting = self._found_out(documents, claims)
        again = self._write_again([documents[index] for index in waiting], claims, lost=True) if waiting else []
        for index, outcome in zip(waiting, again, strict=True):
            outcomes[index] = outcome
        return outcomes

    def _write_again(self, documents: Sequence[Raw], claims: Claims, *, lost: bool) -> list[Outcome]:
        """Send documents again, in halves.

        Args:
            documents: What is not written, as far as anybody can see.
            claims: What has to be true for each to count as made.
            lost: Whether the first request can still be on its way.
        """
        if len(documents) == 1:
            outcomes = self._send_last_time(documents, claims, lost=lost)
        else:
            outcomes = self._write_halves(documents, claims, lost=lost)
        if lost:
            refused = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Conflict)]
            found, _ = self._found_out([documents[index] for index in refused], claims)
            for index, outcome in zip(refused, found, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _write_halves(self, documents: Sequence[Raw], claims: Claims, *, lost: bool) -> list[Outcome]:
        """Write one half and then the other; one that fails as a whole takes nothing from the other."""
        middle = len(documents) // 2
        outcomes: list[Outcome] = []
        for half in (documents[:middle], documents[middle:]):
            try:
                outcomes += self.write(half, claims)
            except StoreClosed:
                raise
            except DivanError as error:
                outcomes += [_failed(sent, error, lost) for sent in half]
        return outcomes

    def _send_last_time(self, documents: Sequence[Raw], claims: Claims, *, lost: bool) -> list[Outcome]:
        document_id = documents[0]["_id"]
        try:
            outcomes = self._send(documents)
        except Dropped as again:
            return [_caused((lost_answer if lost or again.sent else not_sent)(document_id), again)]
        except StoreClosed:
            raise
        except DivanError as error:
            return [_failed(documents[0], error, lost)]
        return self._settled(outcomes, documents, claims)

    def _found_out(self, documents: Sequence[Raw], claims: Claims) -> tuple[list[Outcome], list[int]]:
        """What can be seen of writes whose answer was lost.

        Returns:
            One outcome a document, and the positions of those that were not made and may be sent again: nothing has
            been written there, ever, or since the revision that the document follows.
        """
        outcomes: list[Outcome] = [lost_answer(sent["_id"]) for sent in documents]
        waiting: list[int] = []
        if not documents:
            return outcomes, waiting
        try:
            states = self._queries.states([sent["_id"] for sent in documents])
        except (ConnectionFailed, StoreError) as error:
            return [_caused(lost_answer(sent["_id"]), error) for sent in documents], waiting
        for index, sent in enumerate(documents):
            stored = states.get(sent["_id"])
            if stored is None:
                if "_rev" not in sent:
                    waiting.append(index)
            elif stored["_rev"] == sent.get("_rev"):
                waiting.append(index)
            elif not stored.get("_conflicts"):
                outcomes[index] = judged(stored, sent, claims.get(sent["_id"], Claim.EQUAL))
        return outcomes, waiting

    # Reading and writing

    def rewrite(
        self,
        ids: Sequence[str],
        change: Change,
        done: Callable[[Raw], Any],
        *,
        bodies: bool = True,
        is_exact: Callable[[int], bool] = lambda index: False,
    ) -> list[Any]:
        """Read documents and write what becomes of them, again where another writer came between.

        Args:
            ids: Document ids; one that occurs twice is changed twice, in order.
            change: Makes the new document from the position in `ids` and the stored one.
            done: Makes the result from the document as written.
            bodies: Whether `change` needs more than ``_id`` and ``_rev``.
            is_exact: Whether the change at a position must be known to be made by this call, as an increment must.

        Returns:
            One result an id, in order: what `done` made, or a `DivanError`.
        """
        results: list[Any] = [None] * len(ids)
        for positions in rounds(ids):
            claims = {ids[index]: Claim.EXACT for index in positions if is_exact(index)}
            self._rewrite_round(ids, positions, change, done, bodies, claims, results)
        return results

    def _rewrite_round(
        self,
        ids: Sequence[str],
        positions: list[int],
        change: Change,
        done: Callable[[Raw], Any],
        bodies: bool,
        claims: Claims,
        results: list[Any],
    ) -> None:
        """Rewrite the documents at positions whose ids differ, and put what became of them into `results`."""
        number = 0
        while positions:
            stored = self._queries.many([ids[index] for index in positions], bodies=bodies)
            sent: list[tuple[int, Raw]] = []
            for index in positions:
                raw = stored.get(ids[index], DocumentNotFound(ids[index]))
                changed = raw if isinstance(raw, DivanError) else attempt(change, index, raw)
                if isinstance(changed, DivanError):
                    results[index] = changed
                else:
                    sent.append((index, changed))
            positions = []
            for (index, raw), outcome in zip(sent, self.write([raw for _, raw in sent], claims), strict=True):
                if isinstance(outcome, str):
                    results[index] = done({**raw, "_rev": outcome})
                elif isinstance(outcome, Conflict):
                    results[index] = too_busy(ids[index], self._client.settings.timeout)
                    positions.append(index)
                else:
                    results[index] = outcome
            if time.monotonic() > self._client.deadline:
                return
            if positions:
                pause(number, self._client.deadline)
                number += 1


def _failed(sent: Raw, error: DivanError, lost: bool) -> DivanError:
    """What becomes of one document where a request failed as a whole; `lost` says that an earlier one may be done."""
    if lost and isinstance(error, ConnectionFailed | StoreError) and not isinstance(error, AuthenticationFailed):
        return _caused(lost_answer(sent["_id"]), error)
    return error


def _caused(error: ConnectionFailed, cause: Exception) -> ConnectionFailed:
    error.__cause__ = cause_of(cause)
    return error
