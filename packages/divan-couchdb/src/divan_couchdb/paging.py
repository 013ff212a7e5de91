"""Internal: one page after another, none too long, the next fetched while one is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from divan_couchdb.errors import TooLong

PAGE: Final = 2000
"""How many documents a page has at most."""

_PAGE_BYTES: Final = 8_000_000
"""How long a page may be: where it is longer, it is asked for again with fewer documents."""

_P = TypeVar("_P")


class PageSize:
    """How many documents a page has: as many as there may be, unless they are long."""

    def __init__(self, first: int) -> None:
        self.number = first
        self.most = PAGE

    def fetch(self, page: Callable[[int, int | None], _P]) -> tuple[_P, int]:
        """Fetch a page of a length that can be held.

        Args:
            page: Fetches so many documents, of so many bytes at most; with `None`, however many bytes there are.

        Returns:
            What `page` returned, and how many documents were asked for.
        """
        while True:
            number = min(self.number, self.most)
            try:
                found = page(number, _PAGE_BYTES if number > 1 else None)
            except TooLong:
                # At first nobody knows how far off it was; later on, the number has just been growing back.
                self.most = self.number = max(1, number // (8 if self.most >= PAGE else 2))
            else:
                self.number = PAGE
                self.most = min(PAGE, self.most + self.most // 8 + 1)
                return found, number


def stream(page: Callable[[_P | None], tuple[list[Any], _P | None]]) -> Iterator[Any]:
    """What is on one page after another; from the second one on, the next is fetched while one is being read.

    Args:
        page: Fetches a page: from where the one before ended (`None`: the first) to what is on it, and where it ends
            (`None`: it was the last).
    """
    items, end = page(None)
    yield from items
    if end is None:
        return
    ahead = _Ahead(page, end)
    try:
        while end is not None:
            items, end = ahead.result()
            if end is not None:
                ahead.fetch(end)
            yield from items
    finally:
        ahead.stop()


def held_back(
    items: list[Any], end: _P | None, page: Callable[[_P | None], tuple[list[Any], _P | None]]
) -> Iterator[Any]:
    """What `stream` yields, but for the last item of each page as long as the next page is not there.

    Args:
        items: What is on the first page.
        end: Where it ends; `None` if it is the only one.
        page: Fetches a page, as it does for `stream`.
    """
    if end is None:
        yield from items
        return
    ahead = _Ahead(page, end)
    try:
        while end is not None:
            yield from items[:-1]
            last = items[-1:]
            items, end = ahead.result()
            if end is not None:
                ahead.fetch(end)
            yield from last
        yield from items
    finally:
        ahead.stop()


class _Ahead(Generic[_P]):
    """Fetches the next page on a thread of its own.

    Args:
        page: Fetches a page, as it does for `stream`.
        end: Where the page before ends.
    """

    def __init__(self, page: Callable[[_P | None], tuple[list[Any], _P | None]], end: _P) -> None:
        self._page = page
        self._process = -1
        self.fetch(end)

    def fetch(self, end: _P) -> None:
        """Begin to fetch the page that follows this place."""
        self._end = end
        if self._process != os.getpid():  # the thread is not here, but in the process that this one was forked from
            self._process = os.getpid()
            self._thread = ThreadPoolExecutor(1, "divan-couchdb-page")
        self._following = self._thread.submit(self._page, end)

    def result(self) -> tuple[list[Any], _P | None]:
        """The page, when it is there."""
        if self._process != os.getpid():
            self.fetch(self._end)
        return self._following.result()

    def stop(self) -> None:
        """Fetch nothing more."""
        if self._process == os.getpid():
            self._thread.shutdown(wait=False, cancel_futures=True)
