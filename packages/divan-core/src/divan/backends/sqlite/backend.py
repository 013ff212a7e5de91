"""The embedded SQLite backend: one file, one table, a document a row as plain JSON."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from divan.backends.base import BaseDivanBackend, Change, Serializer, Step
from divan.backends.sqlite import changes
from divan.backends.sqlite.bulk import (
    create_documents,
    delete_documents,
    delete_matching,
    get_document,
    get_documents,
    put_documents,
    update_documents,
    update_matching,
)
from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.sqlite.documents import change, encode, insert, merge, new_row, run
from divan.backends.sqlite.errors import translate_ping
from divan.backends.sqlite.options import OPTIONS, file_path
from divan.backends.sqlite.queries import count_documents, explain_query, find_documents, make_index
from divan.backends.sqlite.sql import statements
from divan.backends.support import DocumentAccessors
from divan.changes import ChangeEvent
from divan.documents import Document
from divan.errors import ConnectionFailed, DivanError, DocumentNotFound, RevisionConflict
from divan.options import Option, Reader
from divan.query import Explanation, Query, SortKey, parse
from divan.serializers import DEFAULT_SERIALIZERS


class SQLiteBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in one SQLite file, for many threads and processes at once; durable when a write returns.

    The table ``documents`` has the columns ``id``, ``rev`` (an integer, one more at every write) and ``body`` (the
    document as JSON). Other programs may read and write it; one that writes adds 1 to ``rev``.

    Args:
        database: The file's path; a relative one is taken from the working directory as it is now.
        host: SQLite has none.
        port: SQLite has none.
        **options: ``timeout``, ``create``, ``mode`` and ``table``; `known_options` says what each is for.

    Attributes:
        db: An `sqlite3.Connection` to the file, which nothing else uses, in autocommit mode.

    Raises:
        InvalidURL: if the arguments name no file, or an option can't be used.
        DatabaseNotFound: if the file or table is missing and may not be made.
        ConnectionFailed: if the file can't be opened, or is no database.
        StoreError: if the table is another program's.
    """

    default_host: ClassVar[str] = "file"
    default_port: ClassVar[int] = 0
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys: ClassVar[tuple[str, ...]] = ()
    known_options: ClassVar[Mapping[str, Option | Reader] | None] = OPTIONS
    batch_size: ClassVar[int] = 1000
    takes_id_field: ClassVar[bool] = True

    @property
    def db(self) -> sqlite3.Connection:
        """A connection to the file that nothing else uses; always the same one, opened when it is first asked for."""
        return self._file.native()

    def connect(self, database: str, host: str, port: int) -> None:
        options = self.options
        self._file = DatabaseFile(
            file_path(database, host, port, options),
            options["table"],
            timeout=options["timeout"],
            create=options["create"],
            read_only=options["mode"] == "ro",
        )
        self._sql = statements(self._file.table)

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        row = new_row(document_id, data)
        self._file.write(insert, self._sql, row)
        return Document(data, row[0], str(row[1]))

    def get_document_for_id(self, document_id: str) -> Document:
        return get_document(self._file, self._sql, document_id)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        nested: Sequence[Step] = (),
        rev: str | None = None,
    ) -> Document:
        return self._file.transaction(merge, self._sql, document_id, data, remove, increment, nested, rev)

    def replace(
        self,
        document_id: str,
        data: dict[str, Any],
        rev: str | None = None,
        upsert: bool = False,
    ) -> Document:
        sql = self._sql
        if rev is not None:
            row = self._write(sql.replace_at, (encode(data), document_id, rev), document_id, rev)
        elif upsert:
            row = self._write(sql.upsert, new_row(document_id, data), document_id, None)
        else:
            row = self._write(sql.replace, (encode(data), document_id), document_id, None)
        return Document(data, document_id, str(row[0]))

    def delete(self, document_id: str, rev: str | None = None) -> None:
        if rev is None:
            deleted = self._file.write(change, self._sql.delete, (document_id,))
        else:
            deleted = self._file.write(change, self._sql.delete_at, (document_id, rev))
        if not deleted:
            raise self._why_not(document_id, rev)

    def _write(self, sql: str, parameters: Sequence[Any], document_id: str, rev: str | None) -> tuple[Any, ...]:
        """Run a statement that writes one document, and return its row.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has another revision than `rev`.
        """
        rows = self._file.write(run, sql, parameters)
        if not rows:
            raise self._why_not(document_id, rev)
        return rows[0]

    def _why_not(self, document_id: str, rev: str | None) -> DivanError:
        """Why a write found no row. No transaction is needed: either answer was true after the write was tried."""
        if rev is not None and self._file.fetch(self._sql.get, (document_id,)):
            return RevisionConflict(document_id, rev)
        return DocumentNotFound(document_id)

    # Many documents

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Document | DivanError]:
        return create_documents(self._file, self._sql, items)

    def get_many(self, document_ids: Sequence[str]) -> list[Any]:
        return get_documents(self._file, self._sql, document_ids)

    def put_many(self, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Document]:
        return put_documents(self._file, self._sql, items)

    def update_many(self, changes: Sequence[Change]) -> list[Document | DivanError]:
        return update_documents(self._file, self._sql, changes)

    def delete_many(self, document_ids: Sequence[str]) -> list[DivanError | None]:
        return delete_documents(self._file, self._sql, document_ids)

    def update_matching(self, where: Query, changes: Sequence[Change]) -> list[Document | DivanError | None]:
        return update_matching(self._file, self._sql, where, changes)

    def delete_matching(self, where: Query, document_ids: Sequence[str]) -> list[Literal[True] | DivanError | None]:
        return delete_matching(self._file, self._sql, where, document_ids)

    # Queries

    def iter_documents(self) -> Iterator[Any]:
        return find_documents(self._file, parse(None))

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        return find_documents(self._file, where, sort, limit, skip, fields)

    def count(self, where: Query) -> int:
        return count_documents(self._file, where)

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        return explain_query(self._file, self._sql, where, sort)

    def ensure_index(self, *fields: str) -> str | None:
        """Make `find` on these dotted paths fast: equality and ranges from the first on, and a sort in their order.

        Returns:
            The index's name, or `None` if a name holds anything but ASCII letters, digits, spaces, ``_`` and ``-``:
            other programs may write such a name into their JSON in several ways, and no index would find them all.
        """
        return make_index(self._file, fields)

    # The store

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
        if position is None:
            return [], changes.begin(self._file)
        return changes.read(self._file, position, limit, wait)

    def ping(self) -> None:
        file = self._file
        if not file.path.exists():
            raise ConnectionFailed(f"the file {file.path} is gone")
        file.fetch(self._sql.any, meaning=translate_ping)

    def close(self) -> None:
        self._file.close()
