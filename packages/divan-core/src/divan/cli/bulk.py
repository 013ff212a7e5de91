"""Internal: writing many documents in batches, and telling each failed item by the place where it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from divan.cli.exits import code_of_all
from divan.cli.reading import batches
from divan.cli.text import Reporter
from divan.errors import BulkError, DivanError

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
