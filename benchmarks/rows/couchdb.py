"""divan-couchdb over the `couchdb` client on the same server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import couchdb  # type: ignore[import-untyped]
from uuid_utils import uuid7

from benchmarks.live import live_rows
from tests.support.servers import Server


class Raw:
    """The client's own calls: client-made ids, a revision-checked update, `_bulk_docs`, `_all_docs` in pages."""

    def __init__(self, server: Server, database: str) -> None:
        client = couchdb.Server(f"http://{server.host}:{server.port}/", session=couchdb.Session(timeout=30))
        if server.user is not None:
            client.resource.credentials = (server.user, server.password)
        self._database = client.create(database)

    def create(self, document: dict[str, Any]) -> str:
        document_id = str(uuid7())
        self._database.save({**document, "_id": document_id})
        return document_id

    def get(self, document_id: str) -> dict[str, Any]:
        fields: dict[str, Any] = self._database[document_id]
        return fields

    def update(self, document_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        while True:
            document: dict[str, Any] = self._database[document_id]
            document.update(changes)
            try:
                self._database.save(document)
            except couchdb.ResourceConflict:
                continue
            return document

    def update_nested(self, document_id: str) -> dict[str, Any]:
        while True:
            document: dict[str, Any] = self._database[document_id]
            document.setdefault("address", {})["city"] = "Porto"
            stats = document.setdefault("stats", {})
            stats["visits"] = stats.get("visits", 0) + 1
            try:
                self._database.save(document)
            except couchdb.ResourceConflict:
                continue
            return document

    def delete(self, document_id: str) -> None:
        self._database.delete(self._database[document_id])

    def create_many(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        results = self._database.update([{**document, "_id": str(uuid7())} for document in documents])
        return [document_id for _, document_id, _ in results]

    def scan(self) -> Iterator[dict[str, Any]]:
        for row in self._database.iterview("_all_docs", 1000, include_docs=True):
            yield row.doc


ROWS = live_rows("couchdb", Raw)
