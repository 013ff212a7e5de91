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
from divan.updates import Step, apply_changes

_Entry = tuple[int, dict[str, Any]]
"""A document's revision and fields."""

_Table = dict[str, _Entry]
"""A document's id → its entry; an entry is replaced, never changed."""

_named: dict[str, tuple[threading.Lock, _Table]] = {}


class MemoryBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in memory, for tests and for trying things out.

    ``memory://name`` is one database for the whole process, kept until the process ends; ``memory://`` is the Store's
    own, gone when it is closed.

    A write is made ready first, and put in its place only if nothing else came there meanwhile. The lock is held for
    that alone, and no call is made under it: so no signal's handler runs there, which may call the store itself.
    """

    default_host: ClassVar[str] = ""
    default_port: ClassVar[int] = 0
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    known_options: ClassVar[Mapping[str, Option | Reader] | None] = {}
    takes_id_field: ClassVar[bool] = True

    db: _Table
    _lock: threading.Lock  # shared by all that have the same database open

    def connect(self, database: str, host: str, port: int) -> _Table:
        if not database:
            self._lock = threading.Lock()
            return {}
        self._lock, table = _named.setdefault(database, (threading.Lock(), {}))
        return table

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        document_id = document_id or new_id()
        entry = first_revision(), copied(data)
        if not self._swap(document_id, None, entry):
            raise DocumentExists(document_id)
        return _document(document_id, entry)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        nested: Sequence[Step] = (),
        rev: str | None = None,
    ) -> Document:
        while True:
            old = self._current(document_id, rev)
            entry = old[0] + 1, copied(apply_changes(old[1], data, remove, increment, nested))
            if self._swap(document_id, old, entry):
                return _document(document_id, entry)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        fields = copied(data)
        while True:
            old = None if upsert and document_id not in self.db else self._current(document_id, rev)
            entry = first_revision() if old is None else old[0] + 1, fields
            if self._swap(document_id, old, entry):
                return _document(document_id, entry)

    def delete(self, document_id: str, rev: str | None = None) -> None:
        while not self._swap(document_id, self._current(document_id, rev), None):
            pass

    def get_document_for_id(self, document_id: str) -> Document:
        try:
            entry = self.db[document_id]
        except KeyError:
            raise DocumentNotFound(document_id) from None
        return _document(document_id, entry)

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        entries = self.db.copy()  # a snapshot, in one step
        stored = (Document(fields, document_id, str(number)) for document_id, (number, fields) in entries.items())
        found = filter(where.matches, stored)
        for document in finish(found, get_id=self.get_id_for_document, sort=sort, limit=limit, skip=skip):
            kept = document if fields is None else project(document, fields)
            yield Document(copied(kept), document.id, document.rev)

    def ping(self) -> None:
        """Memory is always there."""

    def _current(self, document_id: str, rev: str | None) -> _Entry:
        """The stored entry, checked against `rev`."""
        try:
            entry = self.db[document_id]
        except KeyError:
            raise DocumentNotFound(document_id) from None
        if rev is not None and rev != str(entry[0]):
            raise RevisionConflict(document_id, rev)
        return entry

    def _swap(self, document_id: str, old: _Entry | None, new: _Entry | None) -> bool:
        """Put an entry in the place of another one; whether that was still there. `None` stands for no entry."""
        db = self.db
        with self._lock:
            found = None
            if document_id in db:  # `get` would be a call
                found = db[document_id]
            if found is not old:
                return False
            if new is not None:
                db[document_id] = new
            elif old is not None:
                del db[document_id]
            return True


def _document(document_id: str, entry: _Entry) -> Document:
    return Document(copied(entry[1]), document_id, str(entry[0]))
