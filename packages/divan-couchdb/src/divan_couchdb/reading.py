"""Streams of documents, a page at a time: all of them by id, or those that Mango narrows a filter down to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Final, TypeVar

from divan.errors import StoreError

from divan_couchdb.client import Client, encode
from divan_couchdb.mango import is_served

_FIRST_PAGE: Final = 500
_PAGE: Final = 2000
_DESIGN: Final = "_design/"
_INDEXES_SECONDS: Final = 60.0

_P = TypeVar("_P")

Raw = dict[str, Any]
"""A document as CouchDB sends it, ``_id`` and ``_rev`` included."""


class Reader:
    """Reads from one database.

    Args:
        client: The database.
        last_id: An id after every other one, where the server needs one to list them all.
    """

    def __init__(self, client: Client, last_id: str | None) -> None:
        self._client = client
        self._last_id = last_id
        self._indexes: list[tuple[str, tuple[str, ...]]] = []
        self._indexes_until = 0.0

    def all(self, *, bodies: bool = True, limit: int | None = None) -> Iterator[Raw]:
        """Every document in the order of the ids, design documents left out.

        A document that is there all the time is yielded once, whatever comes and goes meanwhile: a page begins with the
        id that ended the one before, be that still there or not.

        Args:
            bodies: Whether to fetch the documents; if not, they have nothing but ``_id`` and ``_rev``.
            limit: How many the caller is going to take, if that is known.
        """

        def page(last: str | None) -> tuple[list[Any], str | None]:
            size = first if last is None else _PAGE + 1
            parameters: dict[str, Any] = {"limit": size}
            if bodies:
                parameters["include_docs"] = "true"
            if last is not None:
                parameters["startkey"] = encode(last)
            if self._last_id is not None:
                parameters["endkey"] = encode(self._last_id)
            rows = _list(self._client.read("GET", self._client.endpoint("_all_docs", **parameters)), "rows")
            return _after(rows, "id", last), rows[-1]["id"] if len(rows) == size else None

        first = _PAGE if limit is None else max(1, min(limit, _PAGE))
        for row in _stream(page):
            id = row["id"]
            if id.startswith(_DESIGN):
                continue
            if not bodies:
                yield {"_id": id, "_rev": row["value"]["rev"]}
            elif row.get("doc"):  # null, if it was deleted since the page began
                yield row["doc"]

    def matching(self, wanted: dict[str, Any], names: Sequence[str] | None, limit: int | None = None) -> Iterator[Raw]:
        """The documents that a selector matches, in the store's order.

        Args:
            wanted: A selector made by `mango.selector`; not empty.
            names: Top-level names to fetch; `None` for whole documents.
            limit: How many the caller is going to take, if that is known.
        """
        body: dict[str, Any] = {"selector": wanted}
        if names is not None:
            body["fields"] = ["_id", "_rev", *names]
        first = _FIRST_PAGE if limit is None else max(1, min(limit, _PAGE))
        if self.index_for(wanted) is None:
            yield from self._by_id(body, first)
        else:
            yield from self._by_index(body, first)

    def _by_id(self, body: dict[str, Any], first: int) -> Iterator[Raw]:
        """A scan; as safe as that of `all`."""

        def page(last: str | None) -> tuple[list[Any], str | None]:
            size = first if last is None else _PAGE + 1
            bound: dict[str, Any] = {"$gt": None} if last is None else {"$gte": last}
            if self._last_id is not None:
                bound["$lte"] = self._last_id
            selector = {**body["selector"], "_id": bound}
            found, _ = self._find({**body, "selector": selector, "sort": [{"_id": "asc"}], "limit": size})
            return _after(found, "_id", last), found[-1]["_id"] if len(found) == size else None

        return _stream(page)

    def _by_index(self, body: dict[str, Any], first: int) -> Iterator[Raw]:
        """What an index serves; CouchDB marks the place where a page ended, PouchDB counts."""

        def page(place: dict[str, Any] | None) -> tuple[list[Any], dict[str, Any] | None]:
            size = first if place is None else _PAGE
            found, bookmark = self._find({**body, **(place or {}), "limit": size})
            if len(found) < size:
                return found, None
            if bookmark == "nil":
                return found, {"skip": (place or {}).get("skip", 0) + size}
            return found, {"bookmark": bookmark}

        return _stream(page)

    def _find(self, body: dict[str, Any]) -> tuple[list[Raw], str]:
        answer = self._client.read("POST", self._client.endpoint("_find"), body)
        return _list(answer, "docs"), answer.get("bookmark", "nil")

    def many(self, ids: Sequence[str], *, bodies: bool = True) -> dict[str, Raw]:
        """The documents that exist among these ids, by id; one request.

        Args:
            ids: Document ids.
            bodies: As in `all`.
        """
        url = self._client.endpoint("_all_docs", **({"include_docs": "true"} if bodies else {}))
        found = {}
        for row in _list(self._client.read("POST", url, {"keys": list(dict.fromkeys(ids))}), "rows"):
            value = row.get("value")
            if "error" in row or not isinstance(value, dict) or value.get("deleted"):
                continue
            if not bodies:
                found[row["id"]] = {"_id": row["id"], "_rev": value["rev"]}
            elif row.get("doc"):
                found[row["id"]] = row["doc"]
        return found

    def count(self) -> int:
        """How many documents there are, design documents left out."""
        info = self._client.read("GET", self._client.endpoint())
        url = self._client.endpoint("_all_docs", startkey=encode(_DESIGN), endkey=encode("_design0"))
        designs = [row for row in _list(self._client.read("GET", url), "rows") if row["id"].startswith(_DESIGN)]
        return int(info["doc_count"]) - len(designs)

    # Indexes

    def index_for(self, wanted: dict[str, Any]) -> str | None:
        """The name of an index that serves a selector, or `None`."""
        if time.monotonic() > self._indexes_until:
            self.forget_indexes()
            answer = self._client.read("GET", self._client.endpoint("_index"))
            self._indexes = [
                (index["name"], tuple(chain.from_iterable(index["def"]["fields"])))
                for index in _list(answer, "indexes")
                if index["type"] == "json"
                and not index.get("partitioned")
                and not index["def"].get("partial_filter_selector")
            ]
            self._indexes_until = time.monotonic() + _INDEXES_SECONDS
        return next((name for name, fields in self._indexes if is_served(wanted, fields)), None)

    def forget_indexes(self) -> None:
        """Ask the server for its indexes at the next query, rather than when a minute is over."""
        self._indexes_until = 0.0


def _stream(page: Callable[[_P | None], tuple[list[Any], _P | None]]) -> Iterator[Any]:
    """What is on one page after another; from the second one on, the next is fetched while one is being read.

    Args:
        page: Fetches a page: from where the one before ended (`None`: the first) to what is on it, and where it ends
            (`None`: it was the last).
    """
    items, end = page(None)
    yield from items
    if end is None:
        return
    ahead = ThreadPoolExecutor(1, "divan-couchdb-page")
    try:
        following = ahead.submit(page, end)
        while end is not None:
            items, end = following.result()
            if end is not None:
                following = ahead.submit(page, end)
            yield from items
    finally:
        ahead.shutdown(wait=False, cancel_futures=True)


def _after(items: list[Any], id: str, last: str | None) -> list[Any]:
    """A page without the item that ended the one before, if that is still there to begin this one."""
    return items[1:] if last is not None and items and items[0][id] == last else items


def _list(answer: Any, name: str) -> list[Any]:
    """The list in an answer, or an error: an answer that can't be read is no empty one."""
    found = answer.get(name) if isinstance(answer, dict) else None
    if isinstance(found, list) and "error" in answer:  # which CouchDB appends to an answer that it has begun
        raise StoreError(f"CouchDB broke off its answer ({answer['error']}: {answer.get('reason')})")
    if not isinstance(found, list):
        raise StoreError(f"CouchDB's answer holds no {name!r}; is it CouchDB that answers?")
    return found
