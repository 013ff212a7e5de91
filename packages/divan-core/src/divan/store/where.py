"""Internal: writes to whatever matches a filter: to one document at a time, by its revision, while it still matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from divan.backends.driver import Driver
from divan.documents import Document
from divan.errors import (
    BulkError,
    DivanError,
    DocumentNotFound,
    InvalidDocument,
    RevisionConflict,
    StoreClosed,
    StoreError,
    WriteVetoed,
)
from divan.query import Query
from divan.store.bulk import batches, check_answers
from divan.store.codec import Codec

_ATTEMPTS: Final = 1000  # each of which fails only because somebody else's write did not
_OF_ONE_DOCUMENT: Final = (InvalidDocument, RevisionConflict, WriteVetoed)


class WhereWriter:
    """Writes to the documents that match a filter.

    Args:
        driver: The driver.
        codec: Makes `Document`s of what it returns.
        query: The filter.
    """

    def __init__(self, driver: Driver, codec: Codec, query: Query) -> None:
        self._driver = driver
        self._codec = codec
        self._query = query

    def run(self, call: str, found: Iterable[Any], write: Callable[[Document], object]) -> int:
        """Write to each of the documents found that still matches when it is written; how many that were.

        Args:
            call: The call's name, for the error.
            found: What matched: what the driver returned, or `Document`s in stored form; errors stand for some.
            write: Writes to a document as long as it has the revision that it is given with.

        Raises:
            BulkError: if some could not be written to; or, with a cause, if the store stopped answering in between.
        """
        return _count(call, self._one_by_one(found, write))

    def run_together(
        self,
        call: str,
        found: Iterable[Any],
        size: int,
        ask: Callable[[str], object],
        send: Callable[[list[str]], Sequence[Any]],
        tell: Callable[[str, Any], object],
    ) -> int:
        """As `run`, by a driver that looks at a batch of documents again as it writes to them.

        Args:
            call: The call's name, for the error.
            found: What matched, as for `run`.
            size: How many documents make a batch.
            ask: Raises what forbids to write to a document, given its id.
            send: Writes to a batch, given the ids; one answer each: `None` for what is gone or does not match.
            tell: Told of each that was written to, by its id and the answer.

        Raises:
            BulkError: as for `run`.
        """
        return _count(call, self._by_batches(call, batches(found, size), ask, send, tell))

    def _one_by_one(self, found: Iterable[Any], write: Callable[[Document], object]) -> Iterator[DivanError | None]:
        """Of each document written to, `None`; of each that can't be, why. What ends the call is raised."""
        for raw in found:
            try:
                if self._write(self._codec.adopt(raw), write):
                    yield None
            except DivanError as error:
                if not isinstance(error, _OF_ONE_DOCUMENT) and error is not raw:
                    raise
                yield error

    def _by_batches(
        self,
        call: str,
        found: Iterable[Sequence[Any]],
        ask: Callable[[str], object],
        send: Callable[[list[str]], Sequence[Any]],
        tell: Callable[[str, Any], object],
    ) -> Iterator[DivanError | None]:
        """As `_one_by_one`, of batches."""
        for batch in found:
            ids: list[str] = []
            for raw in batch:
                try:
                    id = self._codec.found_id(raw)
                    ask(id)
                    ids.append(id)
                except (*_OF_ONE_DOCUMENT, StoreError) as error:
                    if isinstance(error, StoreError) and error is not raw:
                        raise
                    yield error
            answers = send(ids) if ids else ()
            check_answers(call, ids, answers)
            for id, answer in zip(ids, answers, strict=True):
                if isinstance(answer, DivanError):
                    if isinstance(answer, InvalidDocument):
                        answer.document_id = answer.document_id or id
                    yield answer
                elif answer is not None:
                    tell(id, answer)
                    yield None

    def _write(self, document: Document, write: Callable[[Document], object]) -> bool:
        """Whether a document was written to, rather than gone or changed so that it no longer matches."""
        id = document.id
        for _ in range(_ATTEMPTS):
            if document.rev is None:
                raise StoreError(f"document {id!r} has no revision, by which a change in between could be noticed")
            try:
                write(document)
            except DocumentNotFound:
                return False
            except RevisionConflict:
                try:
                    document = self._codec.adopt(self._driver.get_document_for_id(id))
                except DocumentNotFound:
                    return False
                if not self._query.matches(document):
                    return False
            except InvalidDocument as error:
                error.document_id = error.document_id or id
                raise
            else:
                return True
        raise RevisionConflict(id, document.rev)


def _count(call: str, written: Iterator[DivanError | None]) -> int:
    """How many documents were written to; all that could not be are told in one error."""
    results: list[DivanError | None] = []
    try:
        for outcome in written:
            results.append(outcome)
    except StoreClosed:
        raise
    except DivanError as error:
        if not results:
            raise
        raise BulkError(call, [*results, error]) from error
    if any(results):
        raise BulkError(call, results)
    return len(results)
