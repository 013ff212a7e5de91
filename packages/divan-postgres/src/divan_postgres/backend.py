"""`PostgresBackend`: a table of JSONB documents, changed by single statements and found by indexes on expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from divan.backends.base import BaseDivanBackend, Change, Serializer, Step
from divan.backends.support import DocumentAccessors
from divan.changes import ChangeEvent
from divan.documents import Document
from divan.errors import DivanError, DocumentExists
from divan.options import Option, Options
from divan.query import Explanation, Query, SortKey, parse
from divan.serializers import DEFAULT_SERIALIZERS

from divan_postgres import bulk, changes, queries
from divan_postgres.connections import Client
from divan_postgres.documents import new_row
from divan_postgres.options import OPTIONS, Settings, read
from divan_postgres.sql import statements
from divan_postgres.wire import Command


class PostgresBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in a table of PostgreSQL with the columns ``id``, ``rev`` and ``body``, a JSONB object.

    Other programs may read and write it; one that writes adds 1 to ``rev``, as every write here does. A call on one
    document is one statement, and one round trip.

    Attributes:
        db: A `psycopg.Connection` in autocommit mode, which nothing else uses, opened when it is first asked for.
    """

    default_host = "localhost"
    default_port = 5432
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys = ()
    known_options: ClassVar[Mapping[str, Option]] = OPTIONS  # and libpq's, which `read_options` passes through
    takes_id_field: ClassVar[bool] = True

    _client: Client

    @property
    def db(self) -> Any:
        """A connection that nothing else uses; a process has one of its own, opened when it is first asked for."""
        return self._client.native

    def read_options(self, given: Mapping[str, Any]) -> Options:
        return read(self.scheme or type(self).__name__, given)

    def connect(self, database: str, host: str, port: int) -> None:
        self._client = Client(Settings(database, host, port, self.options))
        self._sql = statements(self._client.table)

    # One document, by one statement

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        identity, rev, body = new_row(document_id, data)
        parameters = identity.encode(), b"%d" % rev, body
        if not self._client.write(Command(self._sql.insert, parameters, None, self._client.keeps)).ntuples:
            raise DocumentExists(identity)
        return Document(data, identity, str(rev))

    def get_document_for_id(self, document_id: str) -> Document:
        return bulk.get(self._client, self._sql, document_id)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        nested: Sequence[Step] = (),
        rev: str | None = None,
    ) -> Document:
        change = Change(document_id, data, tuple(remove), increment, tuple(nested))
        return bulk.update(self._client, self._sql, change, rev)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        return bulk.replace(self._client, self._sql, document_id, data, rev, upsert=upsert)

    def delete(self, document_id: str, rev: str | None = None) -> None:
        if rev is None:
            command = Command(self._sql.delete, (document_id.encode(),), None, self._client.keeps)
        else:
            command = Command(self._sql.delete_at, (document_id.encode(), rev.encode()), None, self._client.keeps)
        if not self._client.write(command).ntuples:
            raise bulk.why_not(self._client, self._sql, document_id, rev)

    # Many documents, by one statement a batch

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Document | DivanError]:
        return bulk.create_many(self._client, self._sql, items)

    def put_many(self, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Document | DivanError]:
        return bulk.put_many(self._client, self._sql, items)

    def get_many(self, document_ids: Sequence[str]) -> list[Document | DivanError | None]:
        return bulk.get_many(self._client, self._sql, document_ids)

    def update_many(self, changes: Sequence[Change]) -> list[Document | DivanError]:
        return bulk.update_many(self._client, self._sql, changes)

    def delete_many(self, document_ids: Sequence[str]) -> list[DivanError | None]:
        return bulk.delete_many(self._client, self._sql, document_ids)

    def update_matching(self, where: Query, changes: Sequence[Change]) -> list[Document | DivanError | None]:
        return bulk.update_matching(self._client, self._sql, where, changes)

    def delete_matching(self, where: Query, document_ids: Sequence[str]) -> list[Literal[True] | DivanError | None]:
        return bulk.delete_matching(self._client, self._sql, where, document_ids)

    # Searching

    def iter_documents(self) -> Iterator[Document | DivanError]:
        return self.find(parse(None))

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document | DivanError]:
        found = queries.find_documents(self._client, where, sort, limit, skip, fields)
        return self._client.while_open(found)

    def count(self, where: Query) -> int:
        return queries.count_documents(self._client, where)

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        return queries.explain_query(self._client, where, sort)

    def ensure_index(self, *fields: str) -> str | None:
        return queries.make_index(self._client, fields)

    # The store

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
        if position is None:
            return [], changes.begin(self._client)
        return changes.read(self._client, position, limit, wait)

    def ping(self) -> None:
        self._client.ping()

    def close(self) -> None:
        self._client.close()
