"""`MemoryBackend`: documents in this process's memory; the plain model of what every backend answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from divan.backends.base import BaseDivanBackend, Serializer
from divan.backends.support import DocumentAccessors, first_revision
from divan.documents import Document, copied
from divan.errors import DocumentExists, DocumentNotFound, RevisionConflict
from divan.ids import new_id
from divan.options import Option, Reader
from divan.query import Query, SortKey, finish, project
from divan.serializers import DEFAULT_SERIALIZERS
from divan.updates import apply_changes

_Table = dict[str, tuple[int, dict[str, Any]]]
"""A document's id → its revision and fields."""

_named: dict[str, tuple[threading.Lock, _Table]] = {}
_named_lock = threading.Lock()


class MemoryBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in memory, for tests and for trying things out.

    ``memory://name`` is one database for the whole process, kept until the process ends; ``memory://`` is the Store's
    own, gone when it is closed.
    """

    default_host: ClassVar[str] = ""
    default_port: ClassVar[int] = 0
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    known_options: ClassVar[Mapping[str, Option | Reader] | None] = {}

    db: _Table
    _lock: threading.Lock  # shared by all that have the same database open

    def connect(self, database: str, host: str, port: int) -> _Table:
        if not database:
            self._lock = threading.Lock()
            return {}
        with _named_lock:
            self._lock, table = _named.setdefault(database, (threading.Lock(), {}))
        return table

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        document_id = document_id or new_id()
        with self._lock:
            if document_id in self.db:
                raise DocumentExists(document_id)
            return self._store(document_id, first_revision(), data)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        with self._lock:
            number, fields = self._current(document_id, rev)
            return self._store(document_id, number + 1, apply_changes(fields, data, remove, increment))

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        with self._lock:
            if upsert and document_id not in self.db:
                return self._store(document_id, first_revision(), data)
            number, _ = self._current(document_id, rev)
            return self._store(document_id, number + 1, data)

    def delete(self, document_id: str, rev: str | None = None) -> None:
        with self._lock:
            self._current(document_id, rev)
            del self.db[document_id]

    def get_document_for_id(self, document_id: str) -> Document:
        try:
            number, fields = self.db[document_id]
        except KeyError:
            raise DocumentNotFound(document_id) from None
        return Document(copied(fields), document_id, str(number))

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        with self._lock:
            entries = list(self.db.items())  # a snapshot: a stored dict is replaced, never changed
        stored = (Document(fields, document_id, str(number)) for document_id, (number, fields) in entries)
        found = filter(where.matches, stored)
        for document in finish(found, get_id=self.get_id_for_document, sort=sort, limit=limit, skip=skip):
            kept = document if fields is None else project(document, fields)
            yield Document(copied(kept), document.id, document.rev)

    def ping(self) -> None:
        """Memory is always there."""

    def _current(self, document_id: str, rev: str | None) -> tuple[int, dict[str, Any]]:
        """The stored revision and fields, checked against `rev`."""
        if document_id not in self.db:
            raise DocumentNotFound(document_id)
        number, fields = self.db[document_id]
        if rev is not None and rev != str(number):
            raise RevisionConflict(document_id, rev)
        return number, fields

    def _store(self, document_id: str, number: int, fields: dict[str, Any]) -> Document:
        self.db[document_id] = (number, copied(fields))
        return Document(copied(fields), document_id, str(number))
