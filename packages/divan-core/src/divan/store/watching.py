"""Internal: `Watch`: the changes of a store, one by one, and the tokens by which to resume."""

from __future__ import annotations

import base64
import binascii
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Self

from divan.backends.driver import Driver
from divan.changes import ChangeEvent
from divan.errors import InvalidQuery, shown

_BATCH: Final = 1000
LONGEST_WAIT: Final = 1.0  # seconds, after which a closed Watch, or a closed Store, is noticed


class Watch(Iterator[ChangeEvent]):
    """The changes of a store, one by one, as they happen; an iterator that can be closed.

    Each change comes at least once, and those of one document in order. An error ends nothing: the next step goes on
    where this one stood.

    Args:
        driver: Gives the driver, or one that refuses every call once the Store is closed.
        name: The backend's name.
        since: A token; `None` to begin now.
        wait: Seconds without a change after which it ends; `None` for never.

    Attributes:
        token: Where to resume after what has been given so far.

    Raises:
        InvalidQuery: if `since` is no token of this backend's.
    """

    def __init__(self, driver: Callable[[], Driver], name: str, since: str | None, wait: float | None) -> None:
        self._driver = driver
        self._name = name
        self._wait = wait
        self._ready: deque[ChangeEvent] = deque()
        self._closed = False
        if since is None:
            _, self._position = driver().read_changes(None, limit=0, wait=0)
            since = _make_token(name, self._position)
        else:
            self._position = _read_token(name, since)
        self.token = since

    def __next__(self) -> ChangeEvent:
        ends = None if self._wait is None else time.monotonic() + self._wait
        while True:
            if self.is_ready:
                event = self._ready.popleft()
                self.token = event.token
                return event
            left = LONGEST_WAIT if ends is None else ends - time.monotonic()
            if self._closed or (not self.fetch(max(0.0, left)) and left <= 0):
                raise StopIteration

    @property
    def is_ready(self) -> bool:
        """Whether the next step needs nothing of the store."""
        return bool(self._ready) and not self._closed

    def fetch(self, wait: float) -> bool:
        """Have the next changes ready; whether there are any.

        Args:
            wait: How long to wait for one, in seconds; no longer than `LONGEST_WAIT`.
        """
        if not self._ready and not self._closed:
            found, position = self._driver().read_changes(self._position, limit=_BATCH, wait=min(wait, LONGEST_WAIT))
            self._position = position
            self._ready.extend(one._replace(token=_make_token(self._name, one.token)) for one in found)
            if not found:
                self.token = _make_token(self._name, position)
        return self.is_ready

    def is_behind(self) -> bool:
        """Whether there are changes already that have not been given yet; asks the store."""
        return self.fetch(0)

    def close(self) -> None:
        """Stop watching, from any thread; iterating further gives nothing."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _make_token(name: str, position: str) -> str:
    return base64.urlsafe_b64encode(f"{name} {position}".encode()).decode().rstrip("=")


def _read_token(name: str, token: str) -> str:
    """The position that a token holds.

    Raises:
        InvalidQuery: if it is none of this backend's.
    """
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        made_for, _, position = text.partition(" ")
    except (binascii.Error, UnicodeError, TypeError, ValueError):
        made_for, position = "", ""
    if made_for != name or not position:
        raise InvalidQuery(f"{shown(token)} is no token of a watch of {name}; give one that watch() gave, or None")
    return position
