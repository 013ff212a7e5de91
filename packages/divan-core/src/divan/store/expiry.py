"""Internal: documents that expire: what has is not there for any call, whichever driver keeps it.

A field of the document holds the moment. Reads and counts ask the driver for what has not expired; a write reads the
document, looks at the field, and is made if the revision that was read still stands. A driver that writes to what
matches in one step (`update_matching`, `delete_matching`) spares the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from divan.backends.driver import Driver
from divan.backends.support import attempt
from divan.errors import (
    DivanError,
    DocumentExists,
    DocumentNotFound,
    InvalidDocument,
    InvalidSchema,
    RevisionConflict,
    StoreError,
    UnsupportedOperation,
    shown,
)
from divan.query import And, Comparison, Explanation, Node, Not, Query, SortKey
from divan.serializers import ANY_NAME, FieldSerializer
from divan.store.annotations import field_names, is_typed_dict
from divan.store.bulk import check_answers
from divan.updates import Change

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from divan.backends.base import BaseDivanBackend
    from divan.store.codec import Codec

Clock = Callable[[], "datetime"]
"""Tells what time it is: an aware datetime."""

FIELD_TYPES: Final = ("DateTimeField", "SplitDateTimeField")
"""The field types that the field of the expiry may have."""

_ATTEMPTS: Final = 1000  # each of which fails only because somebody else's write did not
_EVERYTHING: Final = Query(And(()))
_OPERATORS: Final = ("remove", "increment", "nested")
_LEAST: Final = "0001"
"""Any text that sorts before it is no date-time: an empty one, say."""


def system_clock() -> datetime:
    """What time it is by this machine's clock."""
    from datetime import UTC, datetime  # which `import divan` need not wait for

    return datetime.now(UTC)


class _Moments(FieldSerializer):
    """The serializer of the field: a moment is one datetime, with a time zone."""

    def encode(self, field: str, value: Any) -> Any:
        """The stored form of a moment.

        Raises:
            InvalidDocument: if it is none, or has no time zone.
        """
        if value is not None:
            _check_moment(field, value)
        return super().encode(field, value)


def _check_moment(field: str, value: Any) -> None:
    from datetime import datetime

    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise InvalidDocument(f"{field}: documents expire by it, so it takes one datetime or None, not {shown(value)}")
    if moment.utcoffset() is None:
        raise InvalidDocument(
            f"{field}: documents expire by it, so {shown(value)} needs a time zone; "
            "datetime.now(UTC) + timedelta(…) has one"
        )


class Expiry:
    """By which field documents expire, and what time it is.

    Args:
        field: The field's name.
        serializer: That of its field type.
        clock: Tells what time it is.

    Attributes:
        field: As given.
        serializer: The one that refuses what is no moment.
    """

    def __init__(self, field: str, serializer: FieldSerializer, clock: Clock) -> None:
        self.field = field
        self.serializer = _Moments(*serializer)
        self._clock = clock

    def expired(self) -> Node:
        """What has expired by now."""
        now = self._clock()
        if getattr(now, "tzinfo", None) is None:
            raise TypeError(f"the clock of a Store gives an aware datetime, not {now!r}; datetime.now(UTC) is one")
        stored = self.serializer.encode(self.field, now)
        since = Comparison((self.field,), "$lte", stored)
        return And((Comparison((self.field,), "$gte", _LEAST), since)) if isinstance(stored, str) else since

    def alive(self, query: Query) -> Query:
        """A filter, of what has not expired."""
        return Query(And((*query.tree.items, Not(self.expired()))))

    def check_change(self, change: Change) -> None:
        """Refuse a change inside of the field.

        Raises:
            InvalidDocument: naming the field.
        """
        if any(step.path[0] == self.field for step in change.nested):
            raise InvalidDocument(f"{self.field}: documents expire by it, so it takes one datetime or None, as a whole")


def read_expiry(
    field: str,
    clock: Clock,
    schema: Any,
    field_types: Mapping[str, Any],
    resolve: Callable[[Mapping[str, Any]], Mapping[str, FieldSerializer]],
) -> Expiry:
    """The expiry by a field, which has to be one of date-times that sort; a schema that does not name it gets it so.

    Args:
        field: The field's name.
        clock: Tells what time it is.
        schema: The schema, in any form; `None` for none.
        field_types: What it says: dotted path → field type.
        resolve: Gives the serializers of field types.

    Raises:
        InvalidSchema: if the name can be none of a field, or the schema gives the field another type, or is a class
            without it.
    """
    if not isinstance(field, str) or not field or field[0] in "_$" or "." in field or field == ANY_NAME:
        raise InvalidSchema(f"expires takes the name of a field of the documents, not {shown(field)}")
    names: Collection[str] | None = None
    if is_typed_dict(schema):
        names = {*schema.__required_keys__, *schema.__optional_keys__}
    elif isinstance(schema, type):
        names = field_names(schema)
    if names is not None and field not in field_types:
        reason = "is no date-time" if field in names else "is not there"
        raise InvalidSchema(
            f"documents expire by {field!r}, which {reason} in {schema.__name__}; declare it as datetime | None"
        )
    serializer = resolve({field: field_types.get(field, FIELD_TYPES[0])}).get(field)
    if serializer is None or serializer.field_type not in FIELD_TYPES or not serializer.ordered:
        found = shown(field_types[field]) if serializer is None else serializer.field_type
        raise InvalidSchema(f"documents expire by {field!r}, which has to be a DateTimeField that sorts, not {found}")
    return Expiry(field, serializer, clock)


class ExpiringDriver:
    """Stands before a driver, for which what has expired is there, and before its callers, for whom it is not.

    Args:
        backend: The driver.
        codec: Makes `Document`s of what it returns.
        expiry: By what documents expire.
        takes: Which of the contract's optional arguments it takes: method → names.

    Raises:
        UnsupportedOperation: if the driver can't tell whether a document still is what was read.
    """

    def __init__(
        self, backend: BaseDivanBackend, codec: Codec, expiry: Expiry, takes: Mapping[str, frozenset[str]]
    ) -> None:
        self._driver = cast(Driver, backend)
        self._codec = codec
        self._expiry = expiry
        self._takes = takes
        self._updates_matching = backend.implements("update_matching")
        self._deletes_matching = backend.implements("delete_matching")
        self._replaces = backend.implements("replace")
        name = type(backend).__name__
        for method in ("get_document_for_id", "get_revision_for_document"):
            if not backend.implements(method):
                raise UnsupportedOperation(f"{name} does not implement {method}()")
        for method in ("update", "replace", "delete"):
            if backend.implements(method) and "rev" not in takes[method]:
                raise UnsupportedOperation(f"{name} does not implement {method}(rev=…)")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    # Reads

    def get_document_for_id(self, document_id: str, *, fields: Sequence[str] | None = None) -> Any:
        if fields is None:
            raw = self._driver.get_document_for_id(document_id)
        else:
            raw = self._driver.get_document_for_id(document_id, fields=(*fields, self._expiry.field))
        if self._has_expired(raw):
            raise DocumentNotFound(document_id)
        return raw

    def get_many(self, document_ids: Sequence[str], *, fields: Sequence[str] | None = None) -> Sequence[Any]:
        if fields is None:
            found = self._driver.get_many(document_ids)
        else:
            found = self._driver.get_many(document_ids, fields=(*fields, self._expiry.field))
        return [None if self._is_document(raw) and self._has_expired(raw) else raw for raw in found]

    def iter_documents(self) -> Iterator[Any]:
        return self._driver.find(self._expiry.alive(_EVERYTHING))

    def find(self, where: Query, **window: Any) -> Iterator[Any]:
        return self._driver.find(self._expiry.alive(where), **window)

    def count(self, where: Query) -> int:
        return self._driver.count(self._expiry.alive(where))

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        return self._driver.explain(self._expiry.alive(where), sort)

    # Writes

    def create(self, data: dict[str, Any], **given: Any) -> Any:
        for _ in range(_ATTEMPTS):
            try:
                return self._driver.create(data, **given)
            except DocumentExists:
                id = given["document_id"]
                try:
                    return self._take(id, data)
                except (DocumentNotFound, RevisionConflict):
                    continue  # somebody else took it, or it was purged
        raise DocumentExists(given["document_id"])

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]], **given: Any) -> Sequence[Any]:
        answers = self._driver.create_many(items, **given)
        if len(answers) != len(items):
            return answers  # for the Store to refuse
        return [
            attempt(self.create, data, document_id=id) if isinstance(answer, DocumentExists) else answer
            for (id, data), answer in zip(items, answers, strict=True)
        ]

    def _take(self, id: str, data: dict[str, Any]) -> Any:
        """Create a document in the place of one that has expired."""
        raw = self._driver.get_document_for_id(id)
        if not self._has_expired(raw):
            raise DocumentExists(id)
        rev = self._revision(id, raw)
        if self._replaces:
            return self._driver.replace(id, data, rev=rev, **self._native("replace", raw))
        self._driver.delete(id, rev=rev, **self._native("delete", raw))
        return self._driver.create(data, document_id=id)

    def update(self, document_id: str, data: dict[str, Any], **given: Any) -> Any:
        if "rev" not in given and self._updates_matching:
            operators = {name: given[name] for name in _OPERATORS if name in given}
            answer = self.update_many([Change(document_id, data, **operators)])[0]
            if isinstance(answer, DivanError):
                raise answer
            return answer
        return self._write("update", document_id, given, lambda guard: self._driver.update(document_id, data, **guard))

    def update_many(self, changes: Sequence[Change]) -> Sequence[Any]:
        ids = [change.document_id for change in changes]
        if self._updates_matching and len(set(ids)) == len(ids):
            return _found(ids, self.update_matching(_EVERYTHING, changes))
        return [attempt(self.update, *change[:2], **change.operators) for change in changes]

    def replace(self, document_id: str, data: dict[str, Any], **given: Any) -> Any:
        if given.get("upsert"):  # what has expired is created, and the rest overwritten: it comes to the same
            return self._driver.replace(document_id, data, **given)
        return self._write(
            "replace", document_id, given, lambda guard: self._driver.replace(document_id, data, **guard)
        )

    def delete(self, document_id: str, **given: Any) -> None:
        if "rev" not in given and self._deletes_matching:
            answer = self.delete_many([document_id])[0]
            if answer is not None:
                raise answer
        else:
            self._write("delete", document_id, given, lambda guard: self._driver.delete(document_id, **guard))

    def delete_many(self, document_ids: Sequence[str]) -> Sequence[Any]:
        if self._deletes_matching and len(set(document_ids)) == len(document_ids):
            answers = _found(document_ids, self.delete_matching(_EVERYTHING, document_ids))
            return [answer if isinstance(answer, DivanError) else None for answer in answers]
        return [attempt(self.delete, id) for id in document_ids]

    def update_matching(self, where: Query, changes: Sequence[Change]) -> Sequence[Any]:
        return self._driver.update_matching(self._expiry.alive(where), changes)

    def delete_matching(self, where: Query, document_ids: Sequence[str]) -> Sequence[Any]:
        return self._driver.delete_matching(self._expiry.alive(where), document_ids)

    def _write(self, method: str, id: str, given: dict[str, Any], write: Callable[[dict[str, Any]], Any]) -> Any:
        """Write to a document that has not expired, as long as it is the one that was read."""
        wanted = given.get("rev")
        for _ in range(_ATTEMPTS):
            raw = self.get_document_for_id(id)
            rev = self._revision(id, raw)
            if wanted is not None and wanted != rev:
                break
            try:
                return write({**given, "rev": rev, **self._native(method, raw)})
            except RevisionConflict:
                if wanted is not None:
                    raise
        raise RevisionConflict(id, wanted)

    # Documents

    def _has_expired(self, raw: Any) -> bool:
        document = self._codec.adopt(raw)
        return document.get(self._expiry.field) is not None and Query(And((self._expiry.expired(),))).matches(document)

    def _is_document(self, raw: Any) -> bool:
        return raw is not None and not isinstance(raw, DivanError)

    def _revision(self, id: str, raw: Any) -> str:
        rev = self._codec.adopt(raw).rev
        if rev is None:
            raise StoreError(f"document {id!r} has no revision, by which a change in between could be noticed")
        return rev

    def _native(self, method: str, raw: Any) -> dict[str, Any]:
        """What spares a driver reading a document again, if it takes that."""
        native = self._codec.adopt(raw).native if "document" in self._takes[method] else None
        return {} if native is None else {"document": native}


def _found(ids: Sequence[str], answers: Sequence[Any]) -> list[Any]:
    """The answers of a driver for several ids, an error in place of what is not there."""
    check_answers("a bulk call", ids, answers)
    return [DocumentNotFound(id) if answer is None else answer for id, answer in zip(ids, answers, strict=True)]
