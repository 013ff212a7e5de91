"""Internal: documents found, a page at a time: all of them by id, or those that Mango narrows a filter down to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from divan.backends.support import id_bounds, ids_asked_for, names_to_fetch
from divan.errors import DivanError, InvalidID, StoreError
from divan.query import ID_PATH, Explanation, Query, SortKey, finish
from divan.validation import check_id

from divan_couchdb.answers import listed
from divan_couchdb.connections import Client, Facts, Raw, encode
from divan_couchdb.filters import selector
from divan_couchdb.indexes import Index, Indexes
from divan_couchdb.paging import PAGE, PageSize, held_back, stream

_DESIGN: Final = "_design/"
_FIRST_BEYOND: Final = "\U00010000"
_LAST_BEYOND: Final = "\U0010ffff\U0010ffff\U0010ffff"
"""Ids that begin with a character after U+FFFF: a server that orders by UTF-8 has them behind all others, one that
orders as JavaScript does, before some."""
_FIRST_PAGE: Final = 500
_ALL: Final = 2**31 - 1
"""More documents than any database has."""

_Bounds = tuple[str | None, str | None]
_UNBOUNDED: Final[_Bounds] = (None, None)
_Fetch = Callable[[str | None, str | None, int, int | None], list[Any]]


class _IndexGone(Exception):
    """The server has not used the index that it was told to; no user sees it."""


class Queries:
    """Finds documents in one database.

    Args:
        client: The database.
        facts: What it says of itself.
    """

    def __init__(self, client: Client, facts: Facts) -> None:
        self._client = client
        self._last_id = facts.last_id
        self.indexes = Indexes(client, facts)

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
        self._client.begin()
        wanted = selector(where.tree)
        names = _names(where, sort, fields)
        ids = ids_asked_for(where.tree)
        index = self.indexes.serving(wanted) if wanted and ids is None else None
        if index is None and self._sorts(sort):
            sort = ()
        stop = None if limit is None or sort else skip + limit
        if ids is not None:
            found: Iterator[Raw] = self._by_ids(ids, bodies=names != [])
        elif wanted:
            found = self._matching(wanted, names, index, _bounds(where), stop)
        else:
            found = self.all(bodies=names != [], limit=stop, bounds=_bounds(where))
        if where:
            found = filter(where.matches, found)
        if sort or limit is not None or skip:
            found = finish(found, get_id=_get_id, sort=sort, limit=limit, skip=skip)
        yield from found

    def _sorts(self, sort: Sequence[SortKey]) -> bool:
        """Whether a sort is by id alone, in which CouchDB lists documents, where it does so by code point."""
        return bool(sort) and sort[0].path == ID_PATH and not sort[0].descending and self._last_id is None

    def _by_ids(self, ids: Sequence[str], *, bodies: bool) -> Iterator[Raw]:
        """The documents that there are among these ids, by code point, a page at a time."""
        possible = [id for id in sorted(ids) if _is_id(id)]
        size = PageSize(PAGE)

        def page(begin: int | None) -> tuple[list[Any], int | None]:
            self._client.begin()
            begin = begin or 0
            found, number = size.fetch(
                lambda number, most: self.many(possible[begin : begin + number], bodies=bodies, most=most)
            )
            end = begin + number
            return [raw for raw in found.values() if isinstance(raw, dict)], end if end < len(possible) else None

        return stream(page) if possible else iter(())

    def all(self, *, bodies: bool = True, limit: int | None = None, bounds: _Bounds = _UNBOUNDED) -> Iterator[Raw]:
        """Every document in the order of the ids, design documents left out.

        A document that is there all the time is yielded once, whatever comes and goes meanwhile: a page begins with the
        id that ended the one before, be that still there or not.

        Args:
            bodies: Whether to fetch the documents; if not, they have nothing but ``_id`` and ``_rev``.
            limit: How many the caller is going to take, if that is known.
            bounds: Between which ids they are; `None` where there is no bound.
        """
        for row in self._in_order(partial(self._rows, bodies), "id", limit, bounds):
            id = row["id"]
            if id.startswith(_DESIGN):
                continue
            if not bodies:
                yield {"_id": id, "_rev": row["value"]["rev"]}
            elif row.get("doc"):  # null, if it was deleted since the page began
                yield row["doc"]

    def _rows(self, bodies: bool, begin: str | None, end: str | None, number: int, most: int | None) -> list[Any]:
        parameters: dict[str, Any] = {"limit": number}
        if bodies:
            parameters["include_docs"] = "true"
        if begin is not None:
            parameters["startkey"] = encode(begin)
        if end is not None:
            parameters["endkey"] = encode(end)
        rows = listed(self._client.read("GET", self._client.endpoint("_all_docs", **parameters), most=most), "rows")
        if not all(_is_row(row) and "id" in row for row in rows):
            raise StoreError("CouchDB's answer has a row that can't be read; is it CouchDB that answers?")
        return rows

    def _in_order(self, fetch: _Fetch, id: str, limit: int | None, bounds: _Bounds) -> Iterator[Any]:
        """Pages in the order of the ids, each beginning with the id that ended the one before.

        Args:
            fetch: Fetches what stands between two ids (`None`: from the first, to the last), so many, and of so many
                bytes at most.
            id: The name by which an item has its id.
            limit: How many the caller is going to take, if that is known.
            bounds: Between which ids they are; `None` where there is no bound.
        """
        first, last = bounds
        has_beyond = self._last_id is None or last is not None
        for item in self._between(fetch, id, first, self._last_id if last is None else last, limit):
            has_beyond = has_beyond or item[id] >= _FIRST_BEYOND
            yield item
        if not has_beyond:
            yield from self._between(fetch, id, _FIRST_BEYOND, _LAST_BEYOND, limit)

    def _between(self, fetch: _Fetch, id: str, begin: str | None, end: str | None, limit: int | None) -> Iterator[Any]:
        size = PageSize(PAGE if limit is None else max(1, min(limit, PAGE)))

        def page(last: str | None) -> tuple[list[Any], str | None]:
            self._client.begin()
            more = 0 if last is None else 1  # the one that ended the page before
            found, number = size.fetch(
                lambda number, most: fetch(begin if last is None else last, end, number + more, most)
            )
            return _after(found, id, last), found[-1][id] if len(found) == number + more else None

        return stream(page)

    def _matching(
        self,
        wanted: dict[str, Any],
        names: Sequence[str] | None,
        index: Index | None,
        bounds: _Bounds,
        limit: int | None,
    ) -> Iterator[Raw]:
        """The documents that a selector matches, in the store's order.

        Args:
            wanted: A selector made by `filters.selector`; not empty.
            names: Top-level names to fetch; `None` for whole documents.
            index: What serves it; `None` for a scan in the order of the ids.
            bounds: Between which ids a scan looks.
            limit: How many the caller is going to take, if that is known.
        """
        body: dict[str, Any] = {"selector": wanted}
        if names is not None:
            body["fields"] = ["_id", "_rev", *names]
        self._client.begin()
        if index is not None:
            try:
                yield from self._by_index(body, index, limit)
            except _IndexGone:  # before the first document: our list of indexes was old
                self.indexes.forget()
            else:
                return
        yield from self._by_id(body, limit, bounds)

    def _by_id(self, body: dict[str, Any], limit: int | None, bounds: _Bounds) -> Iterator[Raw]:
        """Pages of a scan in the order of the ids; it yields once what is there all the time, as `all` does."""

        def fetch(begin: str | None, end: str | None, number: int, most: int | None) -> list[Any]:
            bound: dict[str, Any] = {"$gt": None} if begin is None else {"$gte": begin}
            if end is not None:
                bound["$lte"] = end
            narrowed = {**body["selector"], "_id": bound}
            found, _ = self._find({**body, "selector": narrowed, "sort": [{"_id": "asc"}], "limit": number}, most)
            return found

        first = _FIRST_PAGE if limit is None else min(limit, PAGE)
        return self._in_order(fetch, "_id", first, bounds)

    def _by_index(self, body: dict[str, Any], index: Index, limit: int | None) -> Iterator[Raw]:
        """What an index serves, in its order; every page by that same index.

        CouchDB marks a place by the document before it, and leaves one out if that document leaves the index. So the
        last one of a page is not given away before the next page is there. PouchDB counts the documents before a place,
        which go away as the caller deletes them; so it is asked at once for the ids of all that are left.

        Raises:
            _IndexGone: if the index is gone before the first page is there.
            StoreError: if it goes later.
        """
        told = {**body, "use_index": [index.design, index.name]}
        size = PageSize(_FIRST_PAGE if limit is None else max(1, min(limit, PAGE)))
        is_fixed = all("$eq" in body["selector"][field] for field in index.fields)
        seen: set[str] = set()
        first = True

        def page(place: str | None) -> tuple[list[Any], str | None]:
            self._client.begin()
            marked = told if place is None else {**told, "bookmark": place}
            (found, bookmark), number = size.fetch(
                lambda number, most: self._find_by_index({**marked, "limit": number}, most)
            )
            return found, bookmark if len(found) == number else None

        try:
            found, place = page(None)
            if place == "nil":  # PouchDB
                first = False
                yield from found
                yield from self._rest(body, told, {raw["_id"] for raw in found})
                return
            for raw in held_back(found, place, page):
                first = False
                if not is_fixed:  # a document whose place is by a value that somebody changes may come by again
                    if raw["_id"] in seen:
                        continue
                    seen.add(raw["_id"])
                yield raw
        except _IndexGone as error:
            if first:
                raise
            raise StoreError(
                f"the index {index.name!r} was deleted while documents were found by it; find them again"
            ) from error.__cause__

    def _rest(self, body: dict[str, Any], told: dict[str, Any], seen: Collection[str]) -> Iterator[Raw]:
        """What an index serves and is not seen yet: all ids in one request, and the documents then."""
        self._client.begin()
        rows, _ = self._find_by_index({**told, "fields": ["_id"], "limit": _ALL}, None)
        ids = [row["_id"] for row in rows if row["_id"] not in seen]
        size = PageSize(PAGE)

        def page(begin: int | None) -> tuple[list[Any], int | None]:
            self._client.begin()
            begin = begin or 0
            found, number = size.fetch(
                lambda number, most: self._rows_of(ids[begin : begin + number], {"include_docs": "true"}, most)
            )
            end = begin + number
            return [row["doc"] for row in found if row.get("doc")], end if end < len(ids) else None

        if ids:
            yield from stream(page)

    def _find_by_index(self, body: dict[str, Any], most: int | None) -> tuple[list[Raw], str]:
        """One page by the index that the request names.

        Raises:
            _IndexGone: if the server does not use it.
        """
        try:
            found, bookmark, warning = self._ask(body, most)
        except StoreError as error:
            if "index" in str(error).lower():
                raise _IndexGone from error
            raise
        if "was not used" in warning or "no matching index" in warning.lower():
            raise _IndexGone(warning)
        return found, bookmark

    def _find(self, body: dict[str, Any], most: int | None) -> tuple[list[Raw], str]:
        found, bookmark, _ = self._ask(body, most)
        return found, bookmark

    def _ask(self, body: dict[str, Any], most: int | None) -> tuple[list[Raw], str, str]:
        """What Mango finds, its bookmark and its warning."""
        answer = self._client.read("POST", self._client.endpoint("_find"), body, most=most)
        found = listed(answer, "docs")
        if not all(isinstance(raw, dict) and isinstance(raw.get("_id"), str) for raw in found):
            raise StoreError("CouchDB's answer has a document that can't be read; is it CouchDB that answers?")
        return found, str(answer.get("bookmark") or "nil"), str(answer.get("warning") or "")

    def many(self, ids: Sequence[str], *, bodies: bool = True, most: int | None = None) -> dict[str, Raw | DivanError]:
        """The documents that exist among these ids, by id; one request, unless one of them is refused.

        Args:
            ids: Document ids.
            bodies: Whether to fetch the documents; if not, they have nothing but ``_id`` and ``_rev``.
            most: How many bytes of an answer are wanted at most.

        Returns:
            Documents, and the `InvalidID` of each id that the database can't have.
        """
        unique = list(dict.fromkeys(ids))
        try:
            rows = self._rows_of(unique, {"include_docs": "true"} if bodies else {}, most)
        except InvalidID as error:
            if len(unique) == 1:
                return {unique[0]: error}
            middle = len(unique) // 2
            halves = unique[:middle], unique[middle:]
            return {id: found for half in halves for id, found in self.many(half, bodies=bodies, most=most).items()}
        found: dict[str, Raw | DivanError] = {}
        for row in rows:
            value = row.get("value")
            if "error" in row or not isinstance(value, dict) or value.get("deleted"):
                continue
            if not bodies:
                found[row["id"]] = {"_id": row["id"], "_rev": value["rev"]}
            elif row.get("doc"):
                found[row["id"]] = row["doc"]
        return found

    def states(self, ids: Sequence[str]) -> dict[str, Raw]:
        """What is stored under these ids, deletions and conflicts included; nothing for one that there never was.

        Args:
            ids: Document ids.
        """
        states = {}
        for row in self._rows_of(ids, {"include_docs": "true", "conflicts": "true"}):
            value = row.get("value")
            if "error" in row or not isinstance(value, dict):
                if row.get("error") != "not_found":
                    raise StoreError(f"CouchDB does not say what is stored under {row.get('key')!r}: {row}")
            elif value.get("deleted") or not row.get("doc"):
                states[row["id"]] = {"_id": row["id"], "_rev": value["rev"], "_deleted": True}
            else:
                states[row["id"]] = row["doc"]
        return states

    def _rows_of(self, ids: Sequence[str], parameters: Mapping[str, Any], most: int | None = None) -> list[Any]:
        url = self._client.endpoint("_all_docs", **parameters)
        rows = listed(self._client.read("POST", url, {"keys": ids}, most=most), "rows")
        if not all(map(_is_row, rows)):
            raise StoreError("CouchDB's answer has a row that can't be read; is it CouchDB that answers?")
        return rows

    def count(self) -> int:
        """How many documents there are, design documents left out."""
        info = self._client.read("GET", self._client.endpoint())
        url = self._client.endpoint("_all_docs", startkey=encode(_DESIGN), endkey=encode("_design0"))
        rows = listed(self._client.read("GET", url), "rows")
        designs = [row for row in rows if _is_row(row) and str(row.get("id")).startswith(_DESIGN)]
        if not isinstance(info, dict) or not isinstance(info.get("doc_count"), int):
            raise StoreError("CouchDB's answer does not say how many documents there are; is it CouchDB that answers?")
        return int(info["doc_count"]) - len(designs)

    def explain(self, where: Query, sort: Sequence[SortKey]) -> Explanation:
        """How `find` would answer; two requests at most, none of which reads documents."""
        wanted = selector(where.tree)
        is_fetched = ids_asked_for(where.tree) is not None
        index = self.indexes.serving(wanted) if wanted and not is_fetched else None
        detail = ""
        if wanted and not is_fetched:
            asked = {"selector": wanted, "limit": 1}
            if index is not None:
                asked["use_index"] = [index.design, index.name]
            plan = self._client.read("POST", self._client.endpoint("_explain"), asked)
            detail = json.dumps(plan, ensure_ascii=False)
        by_id = is_fetched or _bounds(where) != _UNBOUNDED
        name = "_all_docs" if by_id and index is None else None
        return Explanation(
            pushed=wanted,
            residual=dict(where),
            sorted_by_store=index is None and self._sorts(sort),
            index=name if index is None else index.name,
            scan=index is None and not by_id,
            detail=detail,
        )


def _names(where: Query, sort: Sequence[SortKey], fields: Sequence[str] | None) -> list[str] | None:
    """The top-level fields to ask Mango for; `None` for whole documents."""
    names = names_to_fetch(where.tree, sort, fields)
    if names is None or any("\\" in name for name in names):  # Mango takes a backslash for an escape
        return None
    return names


def _bounds(where: Query) -> _Bounds:
    """Between which ids a filter's matches are, as far as all servers agree on the order of what bounds them."""
    first, last = (
        bound if bound is None or max(bound, default="") < "\ud800" else None for bound in id_bounds(where.tree)
    )
    return first, last


def _is_id(text: str) -> bool:
    """Whether this can be a document's id: nothing else is found, and a server need not be asked."""
    try:
        check_id(text)
    except InvalidID:
        return False
    return True


def _is_row(row: Any) -> bool:
    """Whether a row of ``_all_docs`` says of a document what it should, or that there is none."""
    if not isinstance(row, dict):
        return False
    if "error" in row:
        return True
    value, raw = row.get("value"), row.get("doc")
    if not isinstance(row.get("id"), str) or not isinstance(value, dict) or not isinstance(value.get("rev"), str):
        return False
    return raw is None or (isinstance(raw, dict) and isinstance(raw.get("_rev"), str) and raw.get("_id") == row["id"])


def _get_id(raw: Raw) -> str:
    return str(raw["_id"])


def _after(items: list[Any], id: str, last: str | None) -> list[Any]:
    """A page without the item that ended the one before, if that is still there to begin this one."""
    return items[1:] if last is not None and items and items[0][id] == last else items
