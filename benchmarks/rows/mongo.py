"""divan-mongo over pymongo on the same server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pymongo import MongoClient, ReturnDocument
from uuid_utils import uuid7

from benchmarks.live import PAGE, live_rows, search_rows
from tests.support.servers import Server


class Raw:
    """pymongo's own calls: client-made ids, a revision that is counted up, an update that answers the new document."""

    def __init__(self, server: Server, database: str) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(
            server.host, server.port, username=server.user, password=server.password
        )
        self._collection = client[database]["documents"]

    def create(self, document: dict[str, Any]) -> str:
        document_id = str(uuid7())
        self._collection.insert_one({"_id": document_id, "_rev": 1, **document})
        return document_id

    def get(self, document_id: str) -> dict[str, Any]:
        found = self._collection.find_one({"_id": document_id})
        if found is None:
            raise KeyError(document_id)
        return found

    def update(self, document_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        changed = self._collection.find_one_and_update(
            {"_id": document_id}, {"$set": changes, "$inc": {"_rev": 1}}, return_document=ReturnDocument.AFTER
        )
        if changed is None:
            raise KeyError(document_id)
        return changed

    def update_nested(self, document_id: str) -> dict[str, Any]:
        changed = self._collection.find_one_and_update(
            {"_id": document_id},
            {"$set": {"address.city": "Porto"}, "$inc": {"stats.visits": 1, "_rev": 1}},
            return_document=ReturnDocument.AFTER,
        )
        if changed is None:
            raise KeyError(document_id)
        return changed

    def delete(self, document_id: str) -> None:
        if not self._collection.delete_one({"_id": document_id}).deleted_count:
            raise KeyError(document_id)

    def create_many(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        batch = [{"_id": str(uuid7()), "_rev": 1, **document} for document in documents]
        self._collection.insert_many(batch, ordered=False)
        return [document["_id"] for document in batch]

    def scan(self) -> Iterator[dict[str, Any]]:
        yield from self._collection.find()

    def index(self, field: str) -> None:
        self._collection.create_index([(field, 1), ("_id", 1)])

    def first(self, name: str) -> dict[str, Any] | None:
        return self._collection.find_one({"name": name})

    def exists(self, name: str) -> bool:
        return self._collection.find_one({"name": name}, {"_id": 1}) is not None

    def page(self, after: tuple[str, str]) -> list[dict[str, Any]]:
        name, document_id = after
        where = {"$or": [{"name": {"$gt": name}}, {"name": name, "_id": {"$gt": document_id}}]}
        return self._collection.find(where, sort=[("name", 1), ("_id", 1)], limit=PAGE).to_list()


ROWS = [*live_rows("mongo", Raw), *search_rows("mongo", Raw)]
