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
        done: What has happened to a document that did not fail, such as ``"stored"``.
        rehearse: Tells what the bulk call would give; a batch of which an item would fail is not sent then, nor is what
            follows. `None` to send each batch as it is.
    """

    def __init__(self, reporter: Reporter, done: str, rehearse: Run | None = None) -> None:
        self._reporter = reporter
        self._done = done
        self._rehearse = rehearse
        self._failures: list[DivanError] = []
        self._count = 0

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
            for batch in batches(items, size, parts=self._rehearse is None):
                if self._rehearse is not None and self._tell(batch, self._rehearse([item for _, item in batch])):
                    self._reporter.error(f"nothing of this batch was {self._done}{self._so_far()}")
                    return
                fatal: BaseException | None = None
                try:
                    results = run([item for _, item in batch])
                except BulkError as error:
                    # A cause says that the store did not answer for the batch, which need not be asked again.
                    results, fatal = error.results, error.__cause__
                for result in results:
                    if not isinstance(result, DivanError):
                        self._count += 1
                        yield result
                self._tell(batch, [None if result is fatal else result for result in results])
                if isinstance(fatal, DivanError):
                    first = batch[0][0]
                    self._fail(f"{first} and what follows: " if first else "", fatal, self._so_far() if first else "")
                    return
        except DivanError as error:
            self._fail("", error, self._so_far())

    def _tell(self, batch: list[tuple[str, Any]], results: list[Any]) -> bool:
        """Report the failures of a batch; whether there are any."""
        failed = [(place, result) for (place, _), result in zip(batch, results, strict=False) if _is_error(result)]
        for place, error in failed:
            self._fail(f"{place}: " if place else "", error)
        return bool(failed)

    def _so_far(self) -> str:
        """How far it got, as the end of a message."""
        number = self._count
        what = "nothing" if not number else f"{number} document" if number == 1 else f"{number} documents"
        return f"; {what} before it {'were' if number > 1 else 'was'} {self._done}"

    def _fail(self, place: str, error: DivanError, so_far: str = "") -> None:
        self._failures.append(error)
        self._reporter.error(f"{place}{error}{so_far}", error)


def _is_error(result: object) -> bool:
    return isinstance(result, DivanError)
