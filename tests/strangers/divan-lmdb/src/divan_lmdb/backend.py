"""The driver: every call is one LMDB transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import lmdb
from divan import Document
from divan.backends.base import BaseDivanBackend, Change, Serializer, apply_changes
from divan.errors import (
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    DocumentExists,
    DocumentNotFound,
    InvalidDocument,
    InvalidURL,
    RevisionConflict,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from divan.ids import new_id
from divan.query import Query
from divan.serializers import DEFAULT_SERIALIZERS
from divan.urls import boolean

from divan_lmdb.environments import acquire, release
from divan_lmdb.values import from_value, to_key, to_value

if TYPE_CHECKING:
    _Transaction = lmdb.Transaction[bytes]


def _bytes(text: str) -> int:
    size = int(text)
    if size < 1 << 20:
        raise ValueError("give a number of bytes from 1048576")
    return size


class LMDBBackend(BaseDivanBackend):
    """Documents in one LMDB file, for many threads and processes at once.

    Options:
        map_size: How many bytes the file may grow to; 16 GiB unless given.
        sync: Whether a write is on the disk when it returns; true unless given.
        create: Whether to make the file if it is missing; true unless given.

    Attributes:
        db: The `lmdb.Environment`, which other Stores on the file share.
    """

    default_host: ClassVar[str] = ""
    default_port: ClassVar[int] = 0
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    known_options: ClassVar[Mapping[str, Callable[[str], Any]] | None] = {
        "map_size": _bytes,
        "sync": boolean,
        "create": boolean,
    }
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
        if not path.exists() and not self.options.get("create", True):
            raise DatabaseNotFound(f"the file {path} does not exist; leave out create=false to make it")
        try:
            return acquire(
                path,
                map_size=int(self.options.get("map_size", 1 << 34)),
                sync=bool(self.options.get("sync", True)),
            )
        except (lmdb.Error, OSError) as error:
            raise ConnectionFailed(f"{path} can't be opened: {error}") from error

    def close(self) -> None:
        release(self._path)

    def ping(self) -> None:
        with self._reading():
            """A transaction can begin: the file is there."""

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        with self._writing() as transaction:
            return self._insert(transaction, document_id or new_id(), data)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        with self._writing() as transaction:
            return self._merge(transaction, Change(document_id, data, tuple(remove), increment), rev)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        with self._writing() as transaction:
            if upsert and rev is None and transaction.get(to_key(document_id)) is None:
                return self._insert(transaction, document_id, data)
            current = self._current(transaction, document_id, rev)
            return self._put(transaction, document_id, _number(current) + 1, data)

    def delete(self, document_id: str, rev: str | None = None) -> None:
        with self._writing() as transaction:
            self._remove(transaction, document_id, rev)

    def get_document_for_id(self, document_id: str) -> Document:
        with self._reading() as transaction:
            return self._current(transaction, document_id)

    def get_id_for_document(self, document: Document) -> str:
        return document.id

    def get_revision_for_document(self, document: Document) -> str | None:
        return document.rev

    def get_document_attr(self, document: Document, field: str) -> Any:
        return document[field]

    # All documents

    def iter_documents(self) -> Iterator[Document]:
        with self._reading() as transaction:
            for key, value in transaction.cursor():
                yield from_value(key, value)

    def count(self, where: Query) -> int:
        if where:
            return super().count(where)
        with self._reading() as transaction:
            return transaction.stat()["entries"]

    # Many documents: one transaction a batch

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Any]:
        with self._writing() as transaction:
            return [_attempt(self._insert, transaction, document_id or new_id(), data) for document_id, data in items]

    def get_many(self, document_ids: Sequence[str]) -> list[Any]:
        with self._reading() as transaction:
            keys = [to_key(document_id) for document_id in document_ids]
            values = [transaction.get(key) for key in keys]
            return [None if value is None else from_value(key, value) for key, value in zip(keys, values, strict=True)]

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        with self._writing() as transaction:
            return [_attempt(self._merge, transaction, change) for change in changes]

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        with self._writing() as transaction:
            return [_attempt(self._remove, transaction, document_id) for document_id in document_ids]

    # Within a transaction

    def _current(self, transaction: _Transaction, document_id: str, rev: str | None = None) -> Document:
        """The stored document, checked against `rev`."""
        key = to_key(document_id)
        value = transaction.get(key)
        if value is None:
            raise DocumentNotFound(document_id)
        document = from_value(key, value)
        if rev is not None and rev != document.rev:
            raise RevisionConflict(document_id, rev)
        return document

    def _insert(self, transaction: _Transaction, document_id: str, data: Mapping[str, Any]) -> Document:
        # A revision starts at random, so that a document which is deleted and made again never gets an old one back.
        number = secrets.randbits(40)
        if not transaction.put(to_key(document_id), to_value(document_id, number, data), overwrite=False):
            raise DocumentExists(document_id)
        return Document(data, document_id, str(number))

    def _merge(self, transaction: _Transaction, change: Change, rev: str | None = None) -> Document:
        current = self._current(transaction, change.document_id, rev)
        merged = apply_changes(current, change.data, change.remove, change.increment)
        return self._put(transaction, change.document_id, _number(current) + 1, merged)

    def _put(self, transaction: _Transaction, document_id: str, number: int, fields: Mapping[str, Any]) -> Document:
        transaction.put(to_key(document_id), to_value(document_id, number, fields))
        return Document(fields, document_id, str(number))

    def _remove(self, transaction: _Transaction, document_id: str, rev: str | None = None) -> None:
        self._current(transaction, document_id, rev)
        transaction.delete(to_key(document_id))

    @contextmanager
    def _reading(self) -> Iterator[_Transaction]:
        with self._translated(), self.db.begin() as transaction:
            yield transaction

    @contextmanager
    def _writing(self) -> Iterator[_Transaction]:
        """Committed when the block ends, and not at all if it raises."""
        with self._translated(), self.db.begin(write=True) as transaction:
            yield transaction

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Every error of LMDB's becomes one of `divan.errors`, raised from the original."""
        try:
            yield
        except lmdb.MapFullError as error:
            raise StoreFull(
                f"{self._path} has grown to its map_size; nothing was written: open it with a larger one, "
                "as in ?map_size=68719476736"
            ) from error
        except lmdb.ReadonlyError as error:
            raise StoreReadOnly(f"{self._path} can be read, but not written") from error
        except lmdb.BadValsizeError as error:
            raise InvalidDocument("the document is larger than LMDB takes") from error
        except lmdb.Error as error:
            raise StoreError(f"{self._path}: LMDB refused: {error}") from error


def _number(document: Document) -> int:
    return int(document.rev or 0)


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returns, or the error that one item of a batch ends in: it has written nothing by then."""
    try:
        return function(*arguments)
    except DivanError as error:
        return error
