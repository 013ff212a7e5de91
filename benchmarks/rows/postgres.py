"""divan-postgres over psycopg on the same server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from uuid_utils import uuid7

from benchmarks.live import PAGE, live_rows, search_rows
from tests.support.servers import Server

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Raw:
    """psycopg's own calls: a row a document, JSONB in a column, an update by one statement, `executemany` in bulk."""

    def __init__(self, server: Server, database: str) -> None:
        self._connection = psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=server.extra.get("database", "postgres"),
            autocommit=True,
        )
        self._table = f"{database}_raw"
        self._connection.execute(f"DROP TABLE IF EXISTS {self._table}")
        self._connection.execute(f"CREATE TABLE {self._table} (id text PRIMARY KEY, rev bigint, body jsonb NOT NULL)")

    def create(self, document: dict[str, Any]) -> str:
        document_id = str(uuid7())
        self._connection.execute(f"INSERT INTO {self._table} VALUES (%s, 1, %s)", (document_id, Jsonb(document, _dump)))
        return document_id

    def get(self, document_id: str) -> dict[str, Any]:
        found = self._connection.execute(f"SELECT body FROM {self._table} WHERE id = %s", (document_id,)).fetchone()
        return _document(found)

    def update(self, document_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        statement = f"UPDATE {self._table} SET body = body || %s, rev = rev + 1 WHERE id = %s RETURNING body"
        return _document(self._connection.execute(statement, (Jsonb(changes, _dump), document_id)).fetchone())

    def update_nested(self, document_id: str) -> dict[str, Any]:
        statement = (
            f"UPDATE {self._table} SET rev = rev + 1, body = jsonb_set("
            """jsonb_set(body, '{address,city}', %s), '{stats}', coalesce(body->'stats', '{}') || """
            """jsonb_build_object('visits', coalesce((body->'stats'->'visits')::bigint, 0) + 1)) """
            "WHERE id = %s RETURNING body"
        )
        return _document(self._connection.execute(statement, (Jsonb("Porto", _dump), document_id)).fetchone())

    def delete(self, document_id: str) -> None:
        if not self._connection.execute(f"DELETE FROM {self._table} WHERE id = %s", (document_id,)).rowcount:
            raise KeyError(document_id)

    def create_many(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        rows = [(str(uuid7()), Jsonb(document, _dump)) for document in documents]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {self._table} VALUES (%s, 1, %s)", rows)
        return [document_id for document_id, _ in rows]

    def scan(self) -> Iterator[dict[str, Any]]:
        with self._connection.transaction(), self._connection.cursor("scan") as cursor:
            cursor.itersize = 1000
            for row in cursor.execute(f"SELECT body FROM {self._table}"):
                yield _document(row)

    def index(self, field: str) -> None:
        self._connection.execute(f'CREATE INDEX ON {self._table} ((body->>\'{field}\') COLLATE "C", id COLLATE "C")')

    def first(self, name: str) -> dict[str, Any] | None:
        statement = f"SELECT body FROM {self._table} WHERE body->>'name' COLLATE \"C\" = %s LIMIT 1"
        return _document(self._connection.execute(statement, (name,)).fetchone())

    def exists(self, name: str) -> bool:
        statement = f"SELECT 1 FROM {self._table} WHERE body->>'name' COLLATE \"C\" = %s LIMIT 1"
        return self._connection.execute(statement, (name,)).fetchone() is not None

    def page(self, after: tuple[str, str]) -> list[dict[str, Any]]:
        key = """(body->>'name') COLLATE "C", id COLLATE "C\""""
        statement = f"SELECT body FROM {self._table} WHERE ({key}) > (%s, %s) ORDER BY {key} LIMIT {PAGE}"
        return list(map(_document, self._connection.execute(statement, after)))


def _document(row: tuple[Any, ...] | None) -> dict[str, Any]:
    if row is None:
        raise KeyError("no such document")
    body: dict[str, Any] = row[0]
    return body


ROWS = [*live_rows("postgres", Raw), *search_rows("postgres", Raw)]
