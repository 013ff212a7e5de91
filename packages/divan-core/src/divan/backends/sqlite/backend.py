"""The embedded SQLite backend: one file, one table, a document a row as plain JSON."""

from __future__ import annotations

import os
import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from divan.backends.base import BaseDivanBackend, Change, Serializer, apply_changes
from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.sqlite.documents import encode, read
from divan.backends.sqlite.errors import is_taken
from divan.backends.sqlite.queries import count_documents, find_documents
from divan.backends.sqlite.sql import index_name, index_sql, is_plain, is_table_name, plan_query, update_sql
from divan.documents import Document
from divan.errors import (
    ConnectionFailed,
    DivanError,
    DocumentExists,
    DocumentNotFound,
    InvalidQuery,
    InvalidURL,
    RevisionConflict,
)
from divan.query import Explanation, Query, SortKey, parse
from divan.serializers import DEFAULT_SERIALIZERS
from divan.urls import boolean, seconds
from divan.validation import check_path

# Revisions start at random, so that a document that is deleted and made again never gets an old one back. Not the
# module's generator: a program that seeds that would get the same numbers at each run.
_random: Final = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

_INDEX_IN_PLAN: Final = re.compile(r"USING (?:COVERING )?INDEX (.+?)(?: \(|$)")


def _mode(text: str) -> str:
    if text not in ("rw", "ro"):
        raise ValueError("give rw or ro")
    return text


def _table(text: str) -> str:
    if not is_table_name(text):
        raise ValueError("a table's name is made of letters, digits and _, up to 64")
    return text


class SQLiteBackend(BaseDivanBackend):
    """Documents in one SQLite file, for many threads and processes at once; durable when a write returns.

    The table ``documents`` has the columns ``id``, ``rev`` (an integer, one more at every write) and ``body`` (the
    document as JSON). Other programs may read and write it; one that writes adds 1 to ``rev``.

    Options:
        timeout: How long to wait for another writer, in seconds; 10 unless given.
        create: Whether to make the file and the table if they are missing; true unless given.
        mode: ``rw``, or ``ro`` never to write.
        table: The table's name; ``documents`` unless given.

    Args:
        database: The file's path; a relative one is taken from the working directory as it is now.

    Attributes:
        db: An `sqlite3.Connection` to the file, which nothing else uses, in autocommit mode.
    """

    default_host: ClassVar[str] = "file"
    default_port: ClassVar[int] = 0
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys: ClassVar[tuple[str, ...]] = ()
    known_options: ClassVar[Mapping[str, Callable[[str], Any]] | None] = {
        "timeout": seconds,
        "create": boolean,
        "mode": _mode,
        "table": _table,
    }
    batch_size: ClassVar[int] = 1000

    @property
    def db(self) -> Any:
        """A connection to the file that nothing else uses."""
        return self._file.native()

    @db.setter
    def db(self, connection: Any) -> None:
        """Nothing is kept here: the file opens the connection when it is asked for, and closes it before a fork."""

    def connect(self, database: str, host: str, port: int) -> None:
        if host not in ("", "file", "localhost") or port:
            raise InvalidURL(f"SQLite has no host, and {host!r} is one: write sqlite:///{database or host}")
        if self.options.get("user") is not None or self.options.get("password") is not None:
            raise InvalidURL("SQLite has no users: write sqlite:///path/to/my.db")
        path = str(database)
        if not path:
            raise InvalidURL("the file's path is missing: write sqlite:///my.db, or sqlite:////absolute/path/my.db")
        if path.startswith(":memory:"):
            raise InvalidURL("for documents that are gone with the process write memory://name")
        if "\0" in path:
            raise InvalidURL("the file's path holds a NUL character")
        try:
            table = _table(str(self.options.get("table", "documents")))
            self._file = DatabaseFile(
                path,
                table,
                timeout=seconds(self.options.get("timeout", 10.0)),
                create=bool(self.options.get("create", True)),
                read_only=_mode(self.options.get("mode", "rw")) == "ro",
            )
        except (TypeError, ValueError) as error:
            if isinstance(error, DivanError):
                raise
            raise InvalidURL(f"an option of the store can't be used: {error}") from error
        self._get = f"SELECT rev, body FROM {table} WHERE id=?"
        self._insert = f"INSERT INTO {table} (id, rev, body) VALUES (?, ?, ?)"
        self._write = f"UPDATE {table} SET body=?, rev=rev+1 WHERE id=?"
        self._delete = f"DELETE FROM {table} WHERE id=?"

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        if document_id is None:
            from divan.ids import new_id  # the Store brings an id

            document_id = new_id()
        rev = _random.getrandbits(47) + 1
        body = encode(data)
        file = self._file
        writer = file.begin_write()
        try:
            writer.execute(self._insert, (document_id, rev, body))
        except sqlite3.Error as error:
            if is_taken(error):
                raise DocumentExists(document_id) from error
            raise file.translated(error) from error
        finally:
            file.end_write()
        return Document(data, document_id, str(rev))

    def get_document_for_id(self, document_id: str) -> Document:
        file = self._file
        reader = file.borrow()
        try:
            row = reader.execute(self._get, (document_id,)).fetchone()
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.readers.append(reader)
        if row is None:
            raise DocumentNotFound(document_id)
        return read(document_id, row[0], row[1])

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        file = self._file
        sql = None if increment else update_sql(file.table, tuple(data), tuple(remove), rev is not None)
        if sql is None:
            with file.transaction() as writer:
                return self._merge(writer, document_id, data, remove, increment, rev)
        parameters = [*map(encode, data.values()), document_id]
        if rev is not None:
            parameters.append(rev)
        writer = file.begin_write()
        try:
            row = writer.execute(sql, parameters).fetchone()
            if row is None:
                raise self._why_not(writer, document_id, rev)
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.end_write()
        return read(document_id, row[0], row[1])

    def replace(
        self,
        document_id: str,
        data: dict[str, Any],
        rev: str | None = None,
        upsert: bool = False,
    ) -> Document:
        body = encode(data)
        parameters: tuple[Any, ...]
        if rev is not None:
            sql = f"{self._write} AND rev=? RETURNING rev"
            parameters = (body, document_id, rev)
        elif upsert:
            sql = f"{self._insert} ON CONFLICT (id) DO UPDATE SET body=excluded.body, rev=rev+1 RETURNING rev"
            parameters = (document_id, _random.getrandbits(47) + 1, body)
        else:
            sql = f"{self._write} RETURNING rev"
            parameters = (body, document_id)
        file = self._file
        writer = file.begin_write()
        try:
            row = writer.execute(sql, parameters).fetchone()
            if row is None:
                raise self._why_not(writer, document_id, rev)
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.end_write()
        return Document(data, document_id, str(row[0]))

    def delete(self, document_id: str, rev: str | None = None) -> None:
        file = self._file
        writer = file.begin_write()
        try:
            if rev is None:
                writer.execute(self._delete, (document_id,))
            else:
                writer.execute(f"{self._delete} AND rev=?", (document_id, rev))
            if not writer.rowcount:
                raise self._why_not(writer, document_id, rev)
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.end_write()

    def _merge(
        self,
        writer: sqlite3.Cursor,
        document_id: str,
        data: Mapping[str, Any],
        remove: Sequence[str],
        increment: Mapping[str, int | float],
        rev: str | None = None,
    ) -> Document:
        """Update a document within a transaction, by reading and writing it."""
        row = writer.execute(self._get, (document_id,)).fetchone()
        if row is None:
            raise DocumentNotFound(document_id)
        if rev is not None and rev != str(row[0]):
            raise RevisionConflict(document_id, rev)
        fields = apply_changes(read(document_id, row[0], row[1]), data, remove, increment)
        writer.execute(self._write, (encode(fields), document_id))
        return Document(fields, document_id, str(row[0] + 1))

    def _why_not(self, writer: sqlite3.Cursor, document_id: str, rev: str | None) -> DivanError:
        """Why a write found no row. No transaction is needed: either answer was true after the write was tried."""
        if rev is not None and writer.execute(self._get, (document_id,)).fetchone() is not None:
            return RevisionConflict(document_id, rev)
        return DocumentNotFound(document_id)

    # What a document says

    def get_id_for_document(self, document: Any) -> str:
        return str(document.id)

    def get_revision_for_document(self, document: Any) -> str | None:
        rev: str | None = document.rev
        return rev

    def get_document_attr(self, document: Any, field: str) -> Any:
        return document[field]

    # Many documents

    def iter_documents(self) -> Iterator[Document]:
        return self.find(parse(None))

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        return find_documents(self._file, read, where, sort, limit, skip, fields)

    def count(self, where: Query) -> int:
        return count_documents(self._file, read, where)

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Any]:
        made: list[Any] = []
        rows = []
        for document_id, data in items:
            if document_id is None:
                from divan.ids import new_id  # the Store brings an id

                document_id = new_id()
            rev = _random.getrandbits(47) + 1
            rows.append((document_id, rev, encode(data)))
            made.append(Document(data, document_id, str(rev)))
        with self._file.transaction() as writer:
            try:
                writer.executemany(self._insert, rows)
                return made
            except sqlite3.IntegrityError as error:
                if not is_taken(error):
                    raise
            # An id was taken: once more, one by one, to learn which.
            writer.execute("ROLLBACK")
            writer.execute("BEGIN IMMEDIATE")
            sql = f"{self._insert} ON CONFLICT (id) DO NOTHING"
            for index, row in enumerate(rows):
                if not writer.execute(sql, row).rowcount:
                    made[index] = DocumentExists(row[0])
        return made

    def get_many(self, document_ids: Sequence[str]) -> list[Document | None]:
        file = self._file
        sql = f"SELECT id, rev, body FROM {file.table} WHERE id IN (SELECT value FROM json_each(?))"
        reader = file.borrow()
        try:
            rows = reader.execute(sql, (encode(list(document_ids)),)).fetchall()
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.readers.append(reader)
        found = {row[0]: row for row in rows}
        return [read(*found[document_id]) if document_id in found else None for document_id in document_ids]

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        table = self._file.table
        results: list[Any] = []
        with self._file.transaction() as writer:
            for document_id, data, remove, increment in changes:
                sql = None if increment else update_sql(table, tuple(data), tuple(remove), False)
                try:
                    if sql is None:
                        results.append(self._merge(writer, document_id, data, remove, increment))
                        continue
                    row = writer.execute(sql, [*map(encode, data.values()), document_id]).fetchone()
                    results.append(DocumentNotFound(document_id) if row is None else read(document_id, row[0], row[1]))
                except DivanError as error:
                    results.append(error)
        return results

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        with self._file.transaction() as writer:
            return [
                None if writer.execute(self._delete, (document_id,)).rowcount else DocumentNotFound(document_id)
                for document_id in document_ids
            ]

    # The store

    def ensure_index(self, *fields: str) -> str | None:
        """Make `find` on these dotted paths fast: equality and ranges from the first on, and a sort in their order.

        Returns:
            The index's name, or `None` if a name holds anything but ASCII letters, digits, spaces, ``_`` and ``-``:
            other programs may write such a name into their JSON in several ways, and no index would find them all.
        """
        if not fields:
            raise InvalidQuery("ensure_index takes at least one field")
        if not all(is_plain(check_path(field)) for field in fields):
            return None
        file = self._file
        writer = file.begin_write()
        try:
            writer.execute(index_sql(file.table, fields))
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.end_write()
        return index_name(file.table, fields)

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        file = self._file
        plan = plan_query(file.table, where.tree, sort)
        sql, parameters = plan.select("id, rev, body", doubt=False)
        reader = file.borrow()
        try:
            # A plan is made from the indexes that the connection knows, and only a real read brings it up to date.
            reader.execute(f"SELECT 1 FROM {file.table} LIMIT 1").fetchone()
            (version,) = reader.execute("PRAGMA schema_version").fetchone()
            explain = f"EXPLAIN QUERY PLAN {sql} -- {version}"  # kept by Python under its text
            lines = [row[3] for row in reader.execute(explain, parameters)]
        except sqlite3.Error as error:
            raise file.translated(error) from error
        finally:
            file.readers.append(reader)
        names = dict.fromkeys(name for line in lines for name in _INDEX_IN_PLAN.findall(line))
        return Explanation(
            pushed=dict(Query(plan.pushed)),
            residual=dict(Query(plan.residual)),
            sorted_by_store=bool(plan.order),
            index=", ".join(names) or None,
            scan=any(line.startswith(f"SCAN {file.table}") for line in lines),
            detail="\n".join(lines),
        )

    def ping(self) -> None:
        file = self._file
        if not file.path.exists():
            raise ConnectionFailed(f"the file {file.path} is gone")
        reader = file.borrow()
        try:
            reader.execute(f"SELECT 1 FROM {file.table} LIMIT 1").fetchone()
        except sqlite3.Error as error:
            raise ConnectionFailed(f"{file.path} can't be read: {error}") from error
        finally:
            file.readers.append(reader)

    def close(self) -> None:
        self._file.close()
