"""Internal: the iterator that a query gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from divan.errors import StoreError

TOO_DEEP: Final = (
    "another program stored a document that is nested too deeply for Python to compare; ask for others by their ids, "
    "and mend or delete it"
)
"""What is said of such a document, which `divan.validation.MAX_DEPTH` would not have let in."""


class Results(map):  # type: ignore[type-arg]  # which only a type checker may give arguments
    """What a query gives, one by one: an iterator that can be closed.

    A document that can't be read is raised, and the iterator goes on with the next one. A `map`, so that no Python runs
    for an item but what reads it.

    Args:
        read: Makes what the caller gets of what the driver found.
        source: What the driver found.
        check_open: Raises `StoreClosed` if the Store is closed by now.
    """

    __slots__ = ("_source",)

    _source: Any

    def __new__(cls, read: Callable[[Any], Any], source: Iterator[Any], check_open: Callable[[], None]) -> Self:
        held = _held(source, check_open)
        results = map.__new__(cls, read, held)  # by name: super() takes as long again
        results._source = held
        return results

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes: it is used up, closed, or an error has ended it."""
        return self._source.gi_frame is None

    def close(self) -> None:
        """Let go of the store's cursor; iterating further gives nothing."""
        self._source.close()


def _held(source: Iterator[Any], check_open: Callable[[], None]) -> Any:
    """The same items, by a generator: closed, it lets go of the source, whatever kind of iterator that is."""
    try:
        yield from source
    except RecursionError as error:
        raise StoreError(TOO_DEEP) from error
    except Exception:
        check_open()  # that the Store is closed says more than what the driver makes of it
        raise
