"""divan-redis over redis-py on the same server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import redis
from uuid_utils import uuid7

from benchmarks.live import live_rows
from tests.support.servers import Server

_UPDATE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
redis.call('HSET', KEYS[1], unpack(ARGV))
redis.call('HINCRBY', KEYS[1], '_rev', 1)
return redis.call('HGETALL', KEYS[1])
"""

_UPDATE_AT = """
if redis.call('HGET', KEYS[1], '_rev') ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('HINCRBY', KEYS[1], '_rev', 1)
"""

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Raw:
    """redis-py's own calls: a hash a document, a JSON text a field, an update by a script, bulk calls in a pipeline."""

    def __init__(self, server: Server, database: str) -> None:
        self._client = redis.Redis(server.host, server.port, username=server.user, password=server.password)
        self._prefix = f"{database}:"
        self._update = self._client.register_script(_UPDATE)
        self._update_at = self._client.register_script(_UPDATE_AT)

    def create(self, document: dict[str, Any]) -> str:
        document_id = str(uuid7())
        self._client.hset(self._prefix + document_id, mapping=_fields(document))
        return document_id

    def get(self, document_id: str) -> dict[str, Any]:
        return _document(self._client.hgetall(self._prefix + document_id))

    def update(self, document_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        arguments = [part for name, value in changes.items() for part in (name, _dump(value))]
        answer = self._update([self._prefix + document_id], arguments)
        if answer is None:
            raise KeyError(document_id)
        return _document(dict(zip(answer[::2], answer[1::2], strict=True)))

    def update_nested(self, document_id: str) -> dict[str, Any]:
        key = self._prefix + document_id
        while True:
            document = _document(self._client.hgetall(key))
            document.setdefault("address", {})["city"] = "Porto"
            stats = document.setdefault("stats", {})
            stats["visits"] = stats.get("visits", 0) + 1
            fields = [part for name in ("address", "stats") for part in (name, _dump(document[name]))]
            if self._update_at([key], [document["_rev"], *fields]):
                return document

    def delete(self, document_id: str) -> None:
        if not self._client.delete(self._prefix + document_id):
            raise KeyError(document_id)

    def create_many(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        pipeline = self._client.pipeline(transaction=False)
        ids = []
        for document in documents:
            ids.append(str(uuid7()))
            pipeline.hset(self._prefix + ids[-1], mapping=_fields(document))
        pipeline.execute()
        return ids

    def scan(self) -> Iterator[dict[str, Any]]:
        keys = self._client.scan_iter(f"{self._prefix}*", count=1000)
        while batch := list(islice(keys, 1000)):
            pipeline = self._client.pipeline(transaction=False)
            for key in batch:
                pipeline.hgetall(key)
            yield from map(_document, pipeline.execute())


def _fields(document: dict[str, Any]) -> Any:
    return {"_rev": "1", **{name: _dump(value) for name, value in document.items()}}


def _document(stored: Any) -> dict[str, Any]:
    if not stored:
        raise KeyError("no such document")
    return {name.decode(): json.loads(text) for name, text in stored.items()}


ROWS = live_rows("redis", Raw)
