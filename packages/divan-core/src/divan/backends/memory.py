"""`MemoryBackend`: documents in this process's memory; the plain model of what every backend answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from weakref import ref

from divan.backends.base import BaseDivanBackend, Serializer
from divan.backends.support import DocumentAccessors, first_revision
from divan.changes import KEPT, ChangeEvent, Kind, expired, poll, read_place
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


class _Change:
    """One change, by its place among all; the one that a log begins with stands for what was before."""

    __slots__ = ("__weakref__", "id", "kind", "next", "place", "rev")

    def __init__(self, place: int, kind: Kind, id: str, rev: int | None) -> None:
        self.place = place
        self.kind = kind
        self.id = id
        self.rev = rev
        self.next: _Change | None = None


class _Log:
    """The latest changes of a database, each of which leads to the next: kept from when somebody first asks for them.

    Attributes:
        first: The oldest change that is kept; what follows it is known.
        last: The newest.
    """

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        self.first = self.last = _Change(first_revision(), "deleted", "", None)


class _Shared:
    """What all that have one database open share.

    Attributes:
        lock: Held while an entry is put in its place.
        table: The documents.
        log: The changes, once they are asked for.
    """

    __slots__ = ("lock", "log", "table")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.table: _Table = {}
        self.log: _Log | None = None


_named: dict[str, _Shared] = {}


def _nowhere() -> None:
    return None


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
    _shared: _Shared
    # The last change that was read, unless it is kept no more.
    _reached: Callable[[], _Change | None] = staticmethod(_nowhere)

    def connect(self, database: str, host: str, port: int) -> _Table:
        self._shared = _named.setdefault(database, _Shared()) if database else _Shared()
        return self._shared.table

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

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
        log = self._shared.log
        if position is None:
            if log is None:
                with self._shared.lock:
                    log = self._shared.log = self._shared.log or _Log()
            return [], str(log.last.place)
        after = None if log is None else self._find_change(log, read_place(position))
        if after is None:
            raise expired()
        found = poll(lambda: _changes_after(after, limit), wait)
        if not found:
            return [], position
        self._reached = ref(found[-1])
        return [_event(change) for change in found], str(found[-1].place)

    def _find_change(self, log: _Log, place: int) -> _Change | None:
        """The change at a place; `None` if it is not among those that are kept."""
        reached = self._reached()
        change = log.first if reached is None or reached.place > place else reached
        while change.place < place and change.next is not None:
            change = change.next
        return change if change.place == place else None

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
        if self._shared.log is None:
            swapped = self._swap_now(document_id, old, new, None)
            if swapped is not None:
                return swapped
        kind: Kind
        kind = "deleted" if new is None else "created" if old is None else "updated"
        change = _Change(0, kind, document_id, None if new is None else new[0])
        return bool(self._swap_now(document_id, old, new, change))

    def _swap_now(
        self, document_id: str, old: _Entry | None, new: _Entry | None, change: _Change | None
    ) -> bool | None:
        """As `_swap`; `None` if there is no change to be logged, and by now there is a log."""
        db, shared = self.db, self._shared
        with shared.lock:
            log = shared.log
            if log is not None and change is None:
                return None
            found = None
            if document_id in db:  # `get` would be a call
                found = db[document_id]
            if found is not old:
                return False
            if new is not None:
                db[document_id] = new
            elif old is not None:
                del db[document_id]
            if log is not None and change is not None:
                change.place = log.last.place + 1
                log.last.next = change
                log.last = change
                if change.place - log.first.place > KEPT and log.first.next is not None:
                    log.first = log.first.next
            return True


def _changes_after(change: _Change, limit: int) -> list[_Change]:
    changes: list[_Change] = []
    following = change.next
    while following is not None and len(changes) < limit:
        changes.append(following)
        following = following.next
    return changes


def _event(change: _Change) -> ChangeEvent:
    rev = None if change.rev is None else str(change.rev)
    return ChangeEvent(change.kind, change.id, rev, str(change.place))


def _document(document_id: str, entry: _Entry) -> Document:
    return Document(copied(entry[1]), document_id, str(entry[0]))
