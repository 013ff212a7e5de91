"""Internal: many writes in one request, each with an outcome of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from divan.backends.support import attempt, rounds
from divan.errors import DivanError, DocumentNotFound, InvalidDocument

from divan_couchdb.answers import Outcome, deliver, read_outcomes, settle
from divan_couchdb.connections import Client, Raw, encode
from divan_couchdb.documents import pause
from divan_couchdb.errors import Conflict, too_busy
from divan_couchdb.queries import Queries

Change = Callable[[int, Raw], Raw]
"""Makes the new document from the position of an item and the stored document; a `DivanError` is the item's result."""


class Bulk:
    """Bulk writes to one database.

    Args:
        client: The database.
        queries: Reads from the same one.
        timeout: Seconds for which a write that meets other writers' is tried again.
    """

    def __init__(self, client: Client, queries: Queries, timeout: float) -> None:
        self._client = client
        self._queries = queries
        self._timeout = timeout

    def write(self, documents: Sequence[Raw], once: Collection[str] = ()) -> list[Outcome]:
        """Write documents, no two with the same id; one outcome each.

        Args:
            documents: The documents; ``_rev`` is the revision that one follows, ``_deleted`` deletes it.
            once: Ids of those whose write must not be made again if nobody can know whether it has been made.
        """
        if not documents:
            return []
        body = encode({"docs": documents}).encode()
        try:
            answer, repeated = deliver(self._client, "POST", self._client.endpoint("_bulk_docs"), body)
        except InvalidDocument as error:
            # CouchDB refuses the whole request for one document: halve it until that one is alone.
            if len(documents) == 1:
                return [error]
            middle = len(documents) // 2
            return self.write(documents[:middle], once) + self.write(documents[middle:], once)
        outcomes = read_outcomes(answer, documents)
        if repeated:
            self._settle(documents, outcomes, once)
        return outcomes

    def _settle(self, documents: Sequence[Raw], outcomes: list[Outcome], once: Collection[str]) -> None:
        """Correct the outcomes of a request that was sent twice: what refused a write may be its own first time."""
        doubtful = [index for index, outcome in enumerate(outcomes) if not isinstance(outcome, str)]
        if not doubtful:
            return
        stored = self._queries.many([documents[index]["_id"] for index in doubtful])
        for index in doubtful:
            sent = documents[index]
            outcome = settle(sent, stored.get(sent["_id"]), repeatable=sent["_id"] not in once)
            if isinstance(outcome, str) or isinstance(outcomes[index], Conflict):
                outcomes[index] = outcome

    def rewrite(
        self,
        ids: Sequence[str],
        change: Change,
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
        for positions in rounds(ids):
            once = {ids[index] for index in positions if not repeatable(index)}
            self._rewrite_round(ids, positions, change, done, bodies, once, results)
        return results

    def _rewrite_round(
        self,
        ids: Sequence[str],
        positions: list[int],
        change: Change,
        done: Callable[[Raw], Any],
        bodies: bool,
        once: Collection[str],
        results: list[Any],
    ) -> None:
        """Rewrite the documents at positions whose ids differ, and put what became of them into `results`."""
        deadline = time.monotonic() + self._timeout
        number = 0
        while positions:
            stored = self._queries.many([ids[index] for index in positions], bodies=bodies)
            sent: list[tuple[int, Raw]] = []
            for index in positions:
                raw = stored.get(ids[index])
                changed = DocumentNotFound(ids[index]) if raw is None else attempt(change, index, raw)
                if isinstance(changed, DivanError):
                    results[index] = changed
                else:
                    sent.append((index, changed))
            positions = []
            for (index, raw), outcome in zip(sent, self.write([raw for _, raw in sent], once), strict=True):
                if isinstance(outcome, str):
                    results[index] = done({**raw, "_rev": outcome})
                elif isinstance(outcome, Conflict):
                    results[index] = too_busy(ids[index], self._timeout)
                    positions.append(index)
                else:
                    results[index] = outcome
            if time.monotonic() > deadline:
                return
            if positions:
                pause(number)
                number += 1
