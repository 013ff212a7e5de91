"""Internal: between the caller's values and the driver's: field types, validation, the `Document` handed back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, cast

from divan.backends.base import BaseDivanBackend
from divan.documents import REMOVE, Append, Discard, Document, Increment, copied
from divan.errors import DivanError, InvalidDocument, InvalidQuery, StoreClosed, StoreError, shown
from divan.query import ID_PATH, And, Comparison, Node, Not, Query, SortKey, parse, parse_sort
from divan.serializers import FieldSerializer
from divan.store.fields import Fields
from divan.store.instances import SCALARS
from divan.store.schemas import Model
from divan.updates import Change, Step, split_changes, split_nested
from divan.validation import validate_document, validate_value

_RANGES: Final = frozenset({"$gt", "$gte", "$lt", "$lte"})
_NO_REVISION: Final = "0"
"""Stands for the revision that a document does not have before it is stored."""
_UNENCODED: Final = frozenset({"$exists", "$size"})


class Codec:
    """Translates between one Store's callers and its driver.

    Args:
        backend: The open driver.
        fields: Dotted path → the serializer of the field's type.
        links: Dotted path → the path of the object whose fields the one there has too.
        model: The class whose instances stand for documents, if the schema is one.

    Attributes:
        model: As given.
        is_plain: Whether there is neither: what a driver returns as a `Document` is what the caller gets.
    """

    def __init__(
        self,
        backend: BaseDivanBackend,
        fields: Mapping[str, FieldSerializer],
        links: Mapping[str, str],
        model: Model | None = None,
    ) -> None:
        self._backend = backend
        self.model = self._model = model
        self._has_id = model is not None and "id" in model.metadata
        self.is_plain = not fields and model is None
        self._fields = Fields(fields, links)
        self._native = backend.native_types
        self._exclude = tuple(backend.exclude_keys)
        self._has_revisions = backend.implements("get_revision_for_document")
        self._keeps_native = backend.accepts("update", "document")
        self._closed = ""

    def fields_of(self, data: Any) -> Any:
        """The fields that the caller gave: a mapping as it is, an instance of the schema's class as one."""
        model = self._model
        return model.dump(data) if model is not None and isinstance(data, model.cls) else data

    def id_in(self, data: Any) -> str | None:
        """The id that the caller's data hold, if they are an instance of the schema's class that has one."""
        model = self._model
        return model.id_of(data) if model is not None and isinstance(data, model.cls) else None

    def id_given(self, target: Any) -> Any:
        """The id of what the caller gave in place of one: an instance of the schema's class, or what it has for ids."""
        model = self._model
        if model is None:
            return target
        return (model.id_of(target) or target) if isinstance(target, model.cls) else model.id_text(target)

    def give(self, document: Document) -> Any:
        """What the caller gets for a document: an instance of the schema's class, if it is one."""
        return document if self._model is None else self._model.load(document)

    def encode_whole(self, data: Mapping[str, Any], id: str | None, given: Any = None) -> tuple[dict[str, Any], Any]:
        """A private copy of a whole document's fields in stored form, checked, by the schema's class as well.

        Args:
            data: Field name → value.
            id: The document's id; `None` where the store makes it.
            given: What the caller gave for them: an instance of the schema's class, or `data`.

        Returns:
            The fields, and the instance that the class makes of them; `None` if the schema is no class.

        Raises:
            InvalidDocument: if they can't be stored by every store alike, the class refuses them, or an instance would
                not come back as it is.
        """
        try:
            fields = self.encode(data)
        except InvalidDocument as error:
            error.document_id = error.document_id or id
            raise
        model = self._model
        if model is None:
            return fields, None
        made = self.check(fields, id or "")
        if given is not data and not (model.is_flat and given.__class__ is model.cls):
            model.check_same(given, made, id or "")
        return fields, made

    def check(self, fields: Mapping[str, Any], id: str) -> Any:
        """The instance of the schema's class that a document would be, which is not stored yet; `None` without a class.

        Args:
            fields: All of its fields, in stored form.
            id: Its id.

        Raises:
            InvalidDocument: if the class refuses it.
        """
        if self._model is None:
            return None
        if not self._model.is_flat:
            return self._model.check(self.document(Document(copied(fields), id, _NO_REVISION)))
        return self._model.check(Document(fields, id, _NO_REVISION))

    def judges_alone(self, change: Change) -> bool:
        """Whether the schema's class judges a change without the document that it changes."""
        return self._model is None or (not change.nested and self._model.judges_alone(change.increment, change.remove))

    def check_change(self, change: Change) -> None:
        """Do nothing if the schema's class takes a change in every document.

        Raises:
            InvalidDocument: if it refuses it.
        """
        if self._model is not None:
            data = self.document(Document(copied(change.data), change.document_id, _NO_REVISION))
            self._model.check_changes(change.document_id, data, change.remove)

    def written(self, raw: Any, fields: Mapping[str, Any], made: Any) -> Any:
        """The instance that was made of a document before it was written, if it is what has been written; else `None`.

        Args:
            raw: What the driver returned.
            fields: What it was given, in stored form.
            made: The instance.
        """
        model = self._model
        if model is None or "rev" in model.metadata or raw.__class__ is not Document or raw != fields:
            return None
        return made if "id" not in model.metadata or model.id_of(made) == raw.id else None

    def encode(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A private copy of the fields in stored form, checked."""
        if self._fields and isinstance(data, Mapping):
            data = self._fields.encode(data)
        return validate_document(data, self._native)

    def encode_changes(
        self, changes: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[str, ...], dict[str, int | float], tuple[Step, ...]]:
        """Fields to set in stored form, fields to remove, numbers to add, and changes at paths and to lists."""
        if not isinstance(changes, Mapping):
            return validate_document(changes), (), {}, ()
        changes, nested = split_nested(changes)
        steps = tuple(self._step(path, value) for path, value in nested.items())
        for value in changes.values():
            if value is REMOVE or value.__class__ is Increment:
                break
        else:
            return self.encode(self._plain(changes)), (), {}, steps
        given, remove, increment = split_changes(changes)
        data = self._plain(given)
        amounts = {field: self._amount(field, by) for field, by in increment.items()}
        plain = validate_document({**dict.fromkeys(remove), **amounts})
        return self.encode(data), remove, {name: plain[name] for name in increment}, steps

    def _step(self, path: tuple[str, ...], value: Any) -> Step:
        """A change at a path, its values in stored form."""
        if value is REMOVE:
            return Step(path, "remove")
        if isinstance(value, Increment):
            field = ".".join(path)
            return Step(path, "increment", validate_value(self._amount(field, value.by), field))
        if isinstance(value, Append | Discard):
            op: Literal["append", "discard"] = "append" if isinstance(value, Append) else "discard"
            return Step(path, op, self._encode_at(path, list(value.items)))
        return Step(path, "set", self._encode_at(path, value))

    def _encode_at(self, path: tuple[str, ...], value: Any) -> Any:
        """A value as it is stored at a path, checked for what it will be a part of."""
        part = value if self._model is None else self._model.plain(".".join(path), value)
        for name in reversed(path):
            part = {name: part}
        part = self.encode(part)
        for name in path:
            part = part[name]
        return part

    def _amount(self, field: str, by: Any) -> Any:
        """What is added to the stored form of a field.

        Raises:
            InvalidDocument: if nothing can be added to it.
        """
        serializer = self._fields.at(field)
        if serializer is None:
            if isinstance(by, int | float):
                return by
            raise InvalidDocument(
                f"{field}: Increment adds a {type(by).__name__} to a field of type divan.Scaled, and to no other; "
                "add an int or a float"
            )
        if not serializer.additive:
            raise InvalidDocument(f"{field}: a {serializer.field_type} can't be incremented")
        return serializer.encode(field, by)

    def _plain(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields with the class's own values (a nested instance, say) as an instance's are stored."""
        model = self._model
        if model is None:
            return data
        fields = dict(data)
        for name, value in data.items():
            if value.__class__ not in SCALARS:
                fields[name] = model.plain(name, value)
                model.check_own(name, value, fields[name])
        return fields

    def document(self, raw: Any, written: Mapping[str, Any] | None = None) -> Document:
        """The `Document` of what a driver returned, field types applied; the error that stands for one is raised.

        Args:
            raw: What the driver returned.
            written: The fields that were just written: their names are asked for if `raw` is no mapping.
        """
        document = raw if raw.__class__ is Document else self.adopt(raw, written)
        try:
            if self._fields:
                self._fields.decode(document)
        except InvalidDocument as error:
            message = f"document {shown(document.id)}: {error}"
            raise InvalidDocument(message, document_id=document.id) from error.__cause__
        return document

    def adopt(self, raw: Any, written: Mapping[str, Any] | None = None) -> Document:
        """As `document`, with the fields in stored form."""
        if isinstance(raw, Document):
            return raw
        if isinstance(raw, DivanError):  # it stands for a document that can't be read
            raise raw
        backend = self._backend
        if isinstance(raw, Mapping):
            document = Document(raw)
            for name in self._exclude:
                document.pop(name, None)
        elif raw is not None and written is not None:
            document = Document({name: backend.get_document_attr(raw, name) for name in written})
        else:
            raise StoreError(f"{type(backend).__name__} returned {type(raw).__name__} in place of a document")
        document.id = backend.get_id_for_document(raw)
        if self._has_revisions:
            document.rev = backend.get_revision_for_document(raw)
        if self._keeps_native:
            document.native = raw
        return document

    def found(self, raw: Any) -> Document:
        """The `Document` of what a query gave, field types applied; see `document`.

        Raises:
            StoreClosed: if the Store is closed by now.
        """
        if self._closed:
            self.check_open()
        return raw if self.is_plain and raw.__class__ is Document else self.document(raw)

    def found_instance(self, raw: Any) -> Any:
        """What the caller gets for what a query gave, where the schema is a class; see `found`."""
        return self.give(self.found(raw))

    def found_id(self, raw: Any) -> str:
        """The id of what a query gave; the error that stands for a document is raised.

        Raises:
            StoreClosed: if the Store is closed by now.
        """
        if self._closed:
            self.check_open()
        if isinstance(raw, DivanError):
            raise raw
        return raw.id if raw.__class__ is Document else self._backend.get_id_for_document(raw)

    def check_open(self) -> None:
        """Do nothing while the Store is open.

        Raises:
            StoreClosed: if it is closed.
        """
        if self._closed:
            raise StoreClosed(self._closed)

    def close(self, reason: str) -> None:
        """Let no iterator that is still in use give anything more.

        Args:
            reason: What the `StoreClosed` says that they raise.
        """
        self._closed = reason

    def query(self, where: Mapping[str, Any] | None) -> Query:
        """The parsed filter, its values in stored form.

        Raises:
            InvalidQuery: if it can't be understood, or asks for a range of what does not sort like its values.
        """
        query = parse(where, self._operand if not self.is_plain else None, self._native)
        return Query(And(tuple(map(_by_id, query.tree.items)))) if self._has_id and query else query

    def _operand(self, field: str, op: str, value: Any) -> Any:
        if op in _UNENCODED:
            return value
        if self._has_id and field == "id":
            return self._ids(op, value)
        if self._model is not None:
            value = self._model.plain(field, value)
        serializer = self._fields.at(field)
        if serializer is None:
            return self._fields.encode_at(field, value)
        if op == "$prefix" and serializer.serialize is not None:
            raise InvalidQuery(
                f"{field}: $prefix asks how a text begins, and a {serializer.field_type} is none; ask for a range"
            )
        if op in _RANGES and not serializer.ordered:
            raise InvalidQuery(_unordered(field, serializer, op))
        return serializer.encode(field, value)

    def _ids(self, op: str, value: Any) -> Any:
        """The ids of documents that a filter asks for, as text."""
        model = cast(Model, self._model)
        if op in _RANGES and not model.sorts_by_id:
            raise InvalidQuery(
                f"id: {op} would answer wrongly, since ids are kept as text; ask for it by '_id', as text"
            )
        if isinstance(value, list | tuple | set | frozenset):
            return [model.id_text(one) for one in value]
        return model.id_text(value)

    def sort_keys(self, sort: str | Iterable[str] | None) -> tuple[SortKey, ...]:
        """The parsed sort.

        Raises:
            InvalidQuery: if it can't be understood, or sorts by what does not sort like its values.
        """
        keys = parse_sort(sort)
        for key in keys:
            serializer = self._fields.at(key.field)
            if serializer is not None and not serializer.ordered:
                raise InvalidQuery(_unordered(key.field, serializer, "a sort"))
        if self._has_id:
            if not cast(Model, self._model).sorts_by_id and any(key.path == ("id",) for key in keys):
                raise InvalidQuery(
                    "id: a sort would answer wrongly, since ids are kept as text; sort by '_id', as text"
                )
            return tuple(key._replace(field="_id", path=ID_PATH) if key.path == ("id",) else key for key in keys)
        return keys


def _by_id(node: Node) -> Node:
    """A part of a filter, in which the field ``id`` of the schema's class is the document's id."""
    if isinstance(node, Comparison):
        return node._replace(path=ID_PATH) if node.path == ("id",) else node
    if isinstance(node, Not):
        return Not(_by_id(node.item))
    return type(node)(tuple(map(_by_id, node.items)))


def _unordered(field: str, serializer: FieldSerializer, what: str) -> str:
    return (
        f"{field}: {what} would answer wrongly, since the stored form of a {serializer.field_type} does not sort like "
        "its values; ask for equality, or store it in a field type that is ordered"
    )
