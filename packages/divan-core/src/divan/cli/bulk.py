"""Internal: writing many documents in batches, and telling each failed item by the place where it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import divan
from divan.backends.support import attempt
from divan.cli.exits import code_of_all
from divan.cli.reading import batches
from divan.cli.text import Reporter
from divan.errors import BulkError, DivanError, DocumentExists

Run = Callable[[list[Any]], list[Any]]
"""A bulk call: items → one result an item, a `DivanError` for a failed one; or `BulkError`."""


class Bulk:
    """One command's bulk write.

    Args:
        reporter: Told of each failure.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._failures: list[DivanError] = []

    @property
    def code(self) -> int:
        """The exit code."""
        return code_of_all(self._failures)

    def results(self, items: Iterable[tuple[str, Any]], run: Run, size: int) -> Iterator[Any]:
        """Carry it out, giving the result of each item that did not fail.

        Args:
            items: Where each was read (``""`` for the only one), and the item.
            run: The bulk call.
            size: How many items go into one.
        """
        try:
            for batch in batches(items, size):
                fatal: BaseException | None = None
                try:
                    results = run([item for _, item in batch])
                except BulkError as error:
                    # A cause says that the store did not answer for the batch, which need not be asked again.
                    results, fatal = error.results, error.__cause__
                for (place, _), result in zip(batch, results, strict=False):
                    if not isinstance(result, DivanError):
                        yield result
                    elif result is not fatal:
                        self._fail(place, result)
                if isinstance(fatal, DivanError):
                    self._fail(f"{batch[0][0]} and what follows" if batch[0][0] else "", fatal)
                    return
        except DivanError as error:
            self._fail("", error)

    def _fail(self, place: str, error: DivanError) -> None:
        self._failures.append(error)
        self._reporter.error(f"{place}: {error}" if place else error, error)


def put_many(store: divan.Store) -> Run:
    """A bulk call that creates or overwrites: the new ones in one go, the others one by one."""

    def run(items: list[Any]) -> list[Any]:
        try:
            return list(store.create_many(items))
        except BulkError as error:
            if error.__cause__ is not None:
                raise
            return [
                attempt(store.put, *item) if isinstance(result, DocumentExists) else result
                for item, result in zip(items, error.results, strict=True)
            ]

    return run
