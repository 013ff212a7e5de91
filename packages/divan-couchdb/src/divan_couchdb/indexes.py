"""Internal: the Mango indexes of a database: made, and found for a query."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from divan.errors import ConnectionFailed, StoreError

from divan_couchdb.answers import listed
from divan_couchdb.connections import Client, Facts, encode
from divan_couchdb.errors import Dropped, cause_of
from divan_couchdb.filters import is_indexable, is_served

_TRUE_FOR: Final = 60.0
"""Seconds for which the list of the database's indexes is taken for true; other programs make and delete some."""
_LONGEST_NAME: Final = 100


class Index(NamedTuple):
    """A Mango index: its design document, its name, and the fields that it is on."""

    design: str
    name: str
    fields: tuple[str, ...]


class Indexes:
    """The indexes of one database.

    Args:
        client: The database.
        facts: What it says of itself.
    """

    def __init__(self, client: Client, facts: Facts) -> None:
        self._client = client
        self._partitioned = facts.partitioned
        self._known: list[Index] = []
        self._until = 0.0

    def forget(self) -> None:
        """Ask the server for its indexes before the next query."""
        self._until = 0.0

    def make(self, name: str, fields: Sequence[str]) -> None:
        """Make a Mango index, unless it is there.

        Args:
            name: Its name, and that of its design document.
            fields: Dotted paths.

        Raises:
            Conflict: if somebody else makes it at this moment.
            AuthenticationFailed: if the account may not.
            StoreError: if the server does not say that it is there.
        """
        body: dict[str, Any] = {"index": {"fields": list(fields)}, "ddoc": name, "name": name, "type": "json"}
        if self._partitioned:
            body["partitioned"] = False  # a query asks all partitions
        url, text = self._client.endpoint("_index"), encode(body).encode()
        try:
            answer = self._client.send("POST", url, text)
        except Dropped:  # made once or twice, it is the same index
            try:
                answer = self._client.send("POST", url, text)
            except Dropped as dropped:
                raise ConnectionFailed(str(dropped)) from cause_of(dropped)
        if not isinstance(answer.content, dict) or answer.content.get("result") not in ("created", "exists"):
            raise StoreError(
                f"CouchDB's answer does not say that it has the index {name!r}: is it CouchDB that answers?"
            )
        self._until = 0.0  # so that the next query asks the server for its indexes

    def serving(self, wanted: dict[str, Any]) -> Index | None:
        """An index that serves a selector, or `None`."""
        if time.monotonic() > self._until:
            answer = self._client.read("GET", self._client.endpoint("_index"))
            try:
                self._known = [
                    Index(index["ddoc"], index["name"], tuple(chain.from_iterable(index["def"]["fields"])))
                    for index in listed(answer, "indexes")
                    if index["type"] == "json"
                    and not index.get("partitioned")
                    and not index["def"].get("partial_filter_selector")
                ]
            except (AttributeError, KeyError, TypeError) as error:
                raise StoreError("CouchDB's list of indexes can't be read; is it CouchDB that answers?") from error
            self._until = time.monotonic() + _TRUE_FOR
        return next((index for index in self._known if is_served(wanted, index.fields)), None)


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
