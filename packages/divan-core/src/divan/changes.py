"""`ChangeEvent`: what `Store.watch` gives, and what drivers that tell of changes need for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar

from divan.errors import TokenExpired

_T = TypeVar("_T")

KEPT: Final = 100_000
"""So many changes a store keeps, where Divan keeps them: a token of one before them has expired."""


Kind = Literal["created", "updated", "deleted"]
"""What has become of a document."""


class ChangeEvent(NamedTuple):
    """One change of a document, as `Store.watch` tells it.

    Attributes:
        kind: ``"created"``, ``"updated"`` or ``"deleted"``. Where a store tells several changes of one document as the
            last of them, ``"updated"`` may stand for a creation.
        id: The document's id.
        rev: The revision that the change gave it; `None` of a deletion.
        token: Where to resume after this change: ``store.watch(since=token)``. Opaque and URL-safe. A driver gives its
            own position here, of which the Store makes a token.
    """

    kind: Kind
    id: str
    rev: str | None
    token: str


def read_place(position: str) -> int:
    """The number that a position is, in a store whose changes are numbered.

    Raises:
        TokenExpired: if it is none of at most 63 bits.
    """
    if position.isascii() and position.isdigit() and len(position) <= _LONGEST_PLACE:
        return int(position)
    raise expired()


def expired() -> TokenExpired:
    """The error that says so of a token."""
    return TokenExpired("the store does not know what came after this token; read the documents, and watch from now on")


def poll(read: Callable[[], list[_T]], wait: float) -> list[_T]:
    """What is there, or comes within a time, of a store that has to be asked again and again.

    Args:
        read: Asks.
        wait: How long to ask, in seconds.
    """
    import time  # which `import divan` need not wait for

    deadline = time.monotonic() + wait
    pause = _SHORTEST_PAUSE
    while not (found := read()):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return found


_LONGEST_PLACE: Final = 18  # digits
_SHORTEST_PAUSE: Final = 0.001  # seconds
_LONGEST_PAUSE: Final = 0.05
