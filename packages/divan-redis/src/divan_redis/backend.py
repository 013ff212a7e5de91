"""`RedisBackend`: one hash per document, changed by scripts, found by scanning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from divan.backends.base import BaseDivanBackend, Change, Serializer
from divan.backends.support import DocumentAccessors
from divan.changes import ChangeEvent
from divan.documents import Document
from divan.errors import DatabaseNotFound, DivanError, DocumentNotFound, UnsupportedOperation
from divan.ids import new_id
from divan.options import Option
from divan.query import Explanation, Query, SortKey
from divan.serializers import DEFAULT_SERIALIZERS

from divan_redis import bulk, changes, queries
from divan_redis.connections import Client
from divan_redis.documents import (
    REVISION,
    Keyspace,
    create_arguments,
    created,
    decode,
    deleted,
    expected,
    new_revision,
    replace_arguments,
    replaced,
    updated,
)
from divan_redis.options import OPTIONS, Settings
from divan_redis.scripts import CREATE, DELETE, REPLACE


class RedisBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in Redis: the hash ``database:id`` holds a field per top-level key, each value as JSON text.

    A write is one script, atomic and in one round trip; nothing is read first. The hash field ``_rev`` counts the
    writes. A search for anything but ids reads every document of the database: Redis itself has no index to serve it.
    """

    default_host = "localhost"
    default_port = 6379
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys = (REVISION.decode(),)
    known_options: ClassVar[Mapping[str, Option]] = OPTIONS
    takes_id_field: ClassVar[bool] = True
    empty_is_missing: ClassVar[bool] = True
    scheme_ports: ClassVar[Mapping[str, int]] = {"redis+sentinel": 26379}

    _client: Client
    _keyspace: Keyspace

    def connect(self, database: str, host: str, port: int) -> Any:
        self._keyspace = Keyspace(database)
        settings = Settings(self.scheme, host, port, self.options)
        self._client = Client(settings, self._keyspace.stream if self.options["watch"] else None)
        try:
            if not self.options["create"] and not any(queries.pages(self._client, self._keyspace)):
                raise DatabaseNotFound(
                    f"Redis at {settings.shown} holds no document of {database!r}, and create=false wants one"
                )
        except BaseException:
            self.close()
            raise
        return self._client.native

    # One document, in one round trip

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        document_id = document_id or new_id()
        rev = new_revision()
        reply = self._client.run(CREATE, self._keyspace.key(document_id), *create_arguments(data, rev))
        return created(document_id, data, rev, reply)

    def get_document_for_id(self, document_id: str) -> Document:
        words = self._client.read(b"HGETALL", self._keyspace.key(document_id))
        document = decode(document_id, words)
        if not words:
            raise DocumentNotFound(document_id)
        return document

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        reply = bulk.run_update(self._client, self._keyspace, Change(document_id, data, tuple(remove), increment), rev)
        return updated(document_id, increment, rev, reply)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        arguments = replace_arguments(data, rev, upsert)
        reply = self._client.run(REPLACE, self._keyspace.key(document_id), *arguments)
        return replaced(document_id, data, rev, reply)

    def delete(self, document_id: str, rev: str | None = None) -> None:
        deleted(document_id, rev, self._client.run(DELETE, self._keyspace.key(document_id), expected(rev)))

    # Many documents, in one round trip a batch

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Document | DivanError]:
        return bulk.create_many(self._client, self._keyspace, items)

    def put_many(self, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Document | DivanError]:
        return bulk.put_many(self._client, self._keyspace, items)

    def get_many(self, document_ids: Sequence[str]) -> list[Document | None]:
        return bulk.get_many(self._client, self._keyspace, document_ids)

    def update_many(self, changes: Sequence[Change]) -> list[Document | DivanError]:
        return bulk.update_many(self._client, self._keyspace, changes)

    def delete_many(self, document_ids: Sequence[str]) -> list[DivanError | None]:
        return bulk.delete_many(self._client, self._keyspace, document_ids)

    # Searching

    def iter_documents(self) -> Iterator[Document]:
        return self._client.while_open(queries.documents(self._client, self._keyspace))

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        found = queries.find(self._client, self._keyspace, where, sort, limit, skip, fields)
        return self._client.while_open(found)

    def count(self, where: Query) -> int:
        return queries.count(self._client, self._keyspace, where)

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        return queries.explain(self._keyspace, where)

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
        if not self.options["watch"]:
            raise UnsupportedOperation(
                "Redis keeps the changes that are made through a Store opened with watch=true, and no others: give the "
                "URL ?watch=true here, and wherever documents are written"
            )
        if position is None:
            return [], changes.begin(self._client, self._keyspace)
        return changes.read(self._client, self._keyspace, position, limit, wait)

    def ping(self) -> None:
        self._client.ping()

    def close(self) -> None:
        self._client.close()
