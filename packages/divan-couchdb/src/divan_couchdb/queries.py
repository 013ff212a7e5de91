"""Internal: documents found, a page at a time: all of them by id, or those that Mango narrows a filter down to."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Final, TypeVar

from divan.backends.support import names_to_fetch
from divan.errors import StoreError
from divan.query import Explanation, Query, SortKey, finish

from divan_couchdb.connections import Client, Facts, Raw, encode
from divan_couchdb.filters import is_indexable, is_served, selector

_FIRST_PAGE: Final = 500
_PAGE: Final = 2000
_DESIGN: Final = "_design/"
_INDEXES_SECONDS: Final = 60.0
"""How long the list of the database's indexes is taken for true; other programs make and delete some."""
_LONGEST_NAME: Final = 100

_P = TypeVar("_P")


class Queries:
    """Finds documents in one database.

    Args:
        client: The database.
        facts: What it says of itself.
    """

    def __init__(self, client: Client, facts: Facts) -> None:
        self._client = client
        self._partitioned = facts.partitioned
        self._last_id = facts.last_id
        self._indexes: list[tuple[str, tuple[str, ...]]] = []
        self._indexes_until = 0.0

    def find(
        self, where: Query, sort: Sequence[SortKey], limit: int | None, skip: int, fields: Sequence[str] | None
    ) -> Iterator[Raw]:
        """The documents that match, sorted and cut; what CouchDB does not answer as Divan does is done here.

        Args:
            where: The filter.
            sort: The sort's keys.
            limit: How many to yield at most.
            skip: How many to leave out first.
            fields: The dotted paths that the caller wants; `None` for whole documents. The documents hold them, and may
                hold more.
        """
        wanted = selector(where.tree)
        stop = None if limit is None or sort else skip + limit
        if wanted:
            found = self._matching(wanted, _names(where, sort, fields), stop)
        else:
            found = self.all(bodies=bool(where or sort or fields is None or fields), limit=stop)
        if where:
            found = filter(where.matches, found)
        if sort or limit is not None or skip:
            found = finish(found, get_id=_get_id, sort=sort, limit=limit, skip=skip)
        return found

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

    def _matching(self, wanted: dict[str, Any], names: Sequence[str] | None, limit: int | None) -> Iterator[Raw]:
        """The documents that a selector matches, in the store's order.

        Args:
            wanted: A selector made by `filters.selector`; not empty.
            names: Top-level names to fetch; `None` for whole documents.
            limit: How many the caller is going to take, if that is known.
        """
        body: dict[str, Any] = {"selector": wanted}
        if names is not None:
            body["fields"] = ["_id", "_rev", *names]
        first = _FIRST_PAGE if limit is None else max(1, min(limit, _PAGE))
        if self._index_for(wanted) is None:
            yield from self._by_id(body, first)
        else:
            yield from self._by_index(body, first)

    def _by_id(self, body: dict[str, Any], first: int) -> Iterator[Raw]:
        """Pages of a scan in the order of the ids; it yields once what is there all the time, as `all` does."""

        def page(last: str | None) -> tuple[list[Any], str | None]:
            size = first if last is None else _PAGE + 1
            bound: dict[str, Any] = {"$gt": None} if last is None else {"$gte": last}
            if self._last_id is not None:
                bound["$lte"] = self._last_id
            narrowed = {**body["selector"], "_id": bound}
            found, _ = self._find({**body, "selector": narrowed, "sort": [{"_id": "asc"}], "limit": size})
            return _after(found, "_id", last), found[-1]["_id"] if len(found) == size else None

        return _stream(page)

    def _by_index(self, body: dict[str, Any], first: int) -> Iterator[Raw]:
        """Pages of what an index serves; CouchDB marks the place where a page ended, PouchDB counts."""

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
            bodies: Whether to fetch the documents; if not, they have nothing but ``_id`` and ``_rev``.
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

    def explain(self, where: Query) -> Explanation:
        """How `find` would answer; two requests at most, none of which reads documents."""
        wanted = selector(where.tree)
        index = self._index_for(wanted) if wanted else None
        detail = ""
        if wanted:
            plan = self._client.read("POST", self._client.endpoint("_explain"), {"selector": wanted, "limit": 1})
            detail = json.dumps(plan, ensure_ascii=False)
        return Explanation(
            pushed=wanted, residual=dict(where), sorted_by_store=False, index=index, scan=index is None, detail=detail
        )

    # Indexes

    def make_index(self, name: str, fields: Sequence[str]) -> None:
        """Make a Mango index, unless it is there.

        Args:
            name: Its name, and that of its design document.
            fields: Dotted paths.

        Raises:
            Conflict: if somebody else makes it at this moment.
        """
        body: dict[str, Any] = {"index": {"fields": list(fields)}, "ddoc": name, "name": name, "type": "json"}
        if self._partitioned:
            body["partitioned"] = False  # a query asks all partitions
        self._client.read("POST", self._client.endpoint("_index"), body)
        self._indexes_until = 0.0  # so that the next query asks the server for its indexes

    def _index_for(self, wanted: dict[str, Any]) -> str | None:
        """The name of an index that serves a selector, or `None`."""
        if time.monotonic() > self._indexes_until:
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


def index_name(fields: Sequence[str]) -> str | None:
    """The name of the index on some fields, the same at each call; `None` if no index on them could serve a query.

    Args:
        fields: Dotted paths; Mango does not read all of them as the query language does.
    """
    if not all(map(is_indexable, fields)):
        return None
    name = "divan-" + "-".join(fields)
    if len(name) > _LONGEST_NAME or any("-" in field for field in fields):  # too long, or another list's name as well
        return f"divan-{hashlib.sha256(encode(fields).encode()).hexdigest()[:32]}"
    return name


def _names(where: Query, sort: Sequence[SortKey], fields: Sequence[str] | None) -> list[str] | None:
    """The top-level fields to ask Mango for; `None` for whole documents."""
    names = names_to_fetch(where.tree, sort, fields)
    if names is None or any("\\" in name for name in names):  # Mango takes a backslash for an escape
        return None
    return names


def _get_id(raw: Raw) -> str:
    return str(raw["_id"])


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
