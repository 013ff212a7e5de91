"""The driver: every call is one LMDB transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import lmdb
from divan import Document
from divan.backends.base import BaseDivanBackend, Serializer
from divan.backends.support import DocumentAccessors
from divan.errors import ConnectionFailed, DatabaseNotFound, DivanError, InvalidURL
from divan.ids import new_id
from divan.options import Option
from divan.query import Query
from divan.serializers import DEFAULT_SERIALIZERS
from divan.updates import Change

from divan_lmdb import bulk, documents
from divan_lmdb.connections import acquire, release
from divan_lmdb.errors import opening, translated
from divan_lmdb.options import OPTIONS
from divan_lmdb.queries import count_all, every_document

if TYPE_CHECKING:
    from divan_lmdb.documents import Transaction


class LMDBBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in one LMDB file, for many threads and processes at once.

    Attributes:
        db: The `lmdb.Environment`, which other Stores on the file share.
    """

    default_host: ClassVar[str] = ""
    default_port: ClassVar[int] = 0
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    known_options: ClassVar[Mapping[str, Option]] = OPTIONS
    batch_size: ClassVar[int] = 1000

    db: lmdb.Environment

    def connect(self, database: str, host: str, port: int) -> lmdb.Environment:
        if not database:
            raise InvalidURL("the file's path is missing: write lmdb:///guests.lmdb")
        path = self._path = Path(database).absolute()
        if path.is_dir():
            raise ConnectionFailed(f"{path} is a folder; name a file in it, as in lmdb:///{database}/guests.lmdb")
        if not path.parent.is_dir():
            raise ConnectionFailed(f"{path} can't be made: the folder {path.parent} does not exist; make it first")
        if not path.exists() and not self.options["create"]:
            raise DatabaseNotFound(f"the file {path} does not exist; leave out create=false to make it")
        with opening(path):
            return acquire(path, map_size=self.options["map_size"], sync=self.options["sync"])

    def close(self) -> None:
        release(self._path)

    def ping(self) -> None:
        with self._reading():
            """A transaction can begin: the file is there."""

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        with self._writing() as transaction:
            return documents.insert(transaction, document_id or new_id(), data)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        with self._writing() as transaction:
            return documents.merge(transaction, Change(document_id, data, tuple(remove), increment), rev)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        with self._writing() as transaction:
            if upsert and rev is None and transaction.get(documents.to_key(document_id)) is None:
                return documents.insert(transaction, document_id, data)
            return documents.overwrite(transaction, documents.current(transaction, document_id, rev), data)

    def delete(self, document_id: str, rev: str | None = None) -> None:
        with self._writing() as transaction:
            documents.remove(transaction, document_id, rev)

    def get_document_for_id(self, document_id: str) -> Document:
        with self._reading() as transaction:
            return documents.current(transaction, document_id)

    # All documents

    def iter_documents(self) -> Iterator[Document]:
        with self._reading() as transaction:
            yield from every_document(transaction)

    def count(self, where: Query) -> int:
        if where:
            return super().count(where)
        with self._reading() as transaction:
            return count_all(transaction)

    # Many documents

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Document | DivanError]:
        with self._writing() as transaction:
            return bulk.create_many(transaction, items)

    def get_many(self, document_ids: Sequence[str]) -> list[Document | None]:
        with self._reading() as transaction:
            return bulk.get_many(transaction, document_ids)

    def update_many(self, changes: Sequence[Change]) -> list[Document | DivanError]:
        with self._writing() as transaction:
            return bulk.update_many(transaction, changes)

    def delete_many(self, document_ids: Sequence[str]) -> list[DivanError | None]:
        with self._writing() as transaction:
            return bulk.delete_many(transaction, document_ids)

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        with translated(self._path), self.db.begin() as transaction:
            yield transaction

    @contextmanager
    def _writing(self) -> Iterator[Transaction]:
        """Committed when the block ends, and not at all if it raises."""
        with translated(self._path), self.db.begin(write=True) as transaction:
            yield transaction
