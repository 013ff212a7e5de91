"""Internal: schemas from types: field types read off a class's annotations, and its instances in place of dicts."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from divan.documents import Document
from divan.errors import InvalidDocument, InvalidID, InvalidSchema
from divan.serializers import ANY_NAME
from divan.store.annotations import METADATA, Types, field_names, is_typed_dict, read_types
from divan.store.classes import Library, id_class, library_of
from divan.store.instances import SCALARS, Opaque, difference, difference_of_own, members, plain

if typing.TYPE_CHECKING:

    class _Dataclass(typing.Protocol):
        __dataclass_fields__: typing.ClassVar[dict[str, Any]]

    class _Attrs(typing.Protocol):
        __attrs_attrs__: typing.ClassVar[Any]

    class _Struct(typing.Protocol):
        __struct_fields__: typing.ClassVar[tuple[str, ...]]

    class _Pydantic(typing.Protocol):
        model_fields: typing.ClassVar[dict[str, Any]]

    M = typing.TypeVar("M", bound=_Dataclass | _Attrs | _Struct | _Pydantic)
else:
    M = typing.TypeVar("M")  # four protocols take as long to make as all the rest of this module
"""A class whose instances stand for documents."""


class Model:
    """A class whose instances stand for documents: a dataclass, or one of attrs, msgspec or pydantic.

    Args:
        cls: The class.
        declared: What its annotations say.
        library: What its library does for it.

    Raises:
        InvalidSchema: if a field's name can't be one of a document's.

    Attributes:
        cls: The class.
        metadata: Which of ``id`` and ``rev`` the class has.
        is_flat: Whether all that an instance can hold is JSON's own values: what is made of them is what was given.
    """

    def __init__(self, cls: type, declared: Types, library: Library) -> None:
        private = next((field for field in library.names if field.startswith("_")), None)
        if private is not None:
            raise InvalidSchema(f"{cls.__name__}.{private}: the name of a stored field can't begin with '_'")
        self.cls = cls
        self.metadata = tuple(name for name in METADATA if name in library.names)
        self.is_flat = library.is_flat
        self._library = library
        self._names = library.names
        self._opaque = _opaque(declared.named)
        self._has_id = "id" in self.metadata
        self._id_class = id_class(cls) if self._has_id else str

    # Instances

    def dump(self, instance: Any) -> dict[str, Any]:
        """An instance's fields, in the class's order, without those that are the document's id and revision.

        Raises:
            InvalidDocument: if one is nested too deep.
        """
        fields = members(instance) or {}
        for one in self.metadata:
            fields.pop(one, None)
        opaque = self._opaque
        for name, value in fields.items():
            if value.__class__ not in SCALARS:
                fields[name] = self._plain(name, value, opaque)
        return fields

    def plain(self, name: str, value: Any) -> Any:
        """A value of one field as `dump` would make it: of a nested instance, or in lists and mappings of such.

        Args:
            name: The field's dotted path.
            value: What a caller gives for it, in a change or a filter.

        Raises:
            InvalidDocument: if it is nested too deep.
        """
        return value if value.__class__ in SCALARS else self._plain(name, value, self._opaque)

    def _plain(self, path: str, value: Any, opaque: Opaque) -> Any:
        below: Any = opaque
        for name in path.split(".") if opaque else ():
            below = below.get(name, below.get(ANY_NAME)) if isinstance(below, Mapping) else below
        try:
            return plain(value, below or None)
        except InvalidDocument as error:
            raise InvalidDocument(f"{path}: {error}") from None

    def load(self, document: Document) -> Any:
        """The instance of a document. Fields that the class lacks are left out, unless it keeps or refuses them.

        Raises:
            InvalidDocument: if the class refuses the document's fields.
        """
        return self._made_of(document, "is")

    def check(self, document: Document) -> Any:
        """The instance of a document that is not stored yet.

        Raises:
            InvalidDocument: naming it, and saying what the class says, if none could be made.
        """
        return self._made_of(document, "would be")

    def check_same(self, instance: Any, made: Any, id: str) -> None:
        """Refuse an instance that would come back as something else.

        Args:
            instance: What is to be stored.
            made: What `check` made of its fields.
            id: The document's id.

        Raises:
            InvalidDocument: saying which of its values would, and as what.
        """
        if instance.__class__ is not made.__class__:
            reason = f"a {type(instance).__name__} would come back as a {type(made).__name__}"
        else:
            held, read = members(instance) or {}, members(made) or {}
            for name in self.metadata:
                held.pop(name, None)
                read.pop(name, None)
            found = difference(held, read)
            if found is None:
                return
            reason = found
        raise InvalidDocument(f"document {id!r} is not stored: {reason}", document_id=id or None)

    def _made_of(self, document: Document, verb: str) -> Any:
        names = self._names
        fields: dict[str, Any]
        if document.keys() == names and not self.metadata:
            fields = document
        elif self._library.takes_more:
            fields = {name: value for name, value in document.items() if name not in METADATA or name in names}
        else:
            fields = {name: value for name, value in document.items() if name in names}
        try:
            for field in self.metadata:
                fields[field] = self._id_of(document.id) if field == "id" else document.rev
            return self._library.load(fields)
        except Exception as error:
            raise self._refusal(document.id, verb, self._library.words(error)) from error

    def _refusal(self, id: str, verb: str, reason: str) -> InvalidDocument:
        return InvalidDocument(f"document {id!r} {verb} no {self.cls.__name__}: {reason}", document_id=id)

    # Changes

    def judges_alone(self, increment: Mapping[str, int | float], remove: typing.Collection[str] = ()) -> bool:
        """Whether a change can be judged without the document that it changes.

        Args:
            increment: Field name → what is added to it.
            remove: Fields to remove.
        """
        library = self._library
        return (
            not library.has_rules
            and library.made.isdisjoint(remove)
            and all(
                name not in library.names or isinstance(by, library.sums.get(name, ()))
                for name, by in increment.items()
            )
        )

    def check_changes(self, id: str, data: Mapping[str, Any], remove: typing.Iterable[str]) -> None:
        """Refuse changes that the class would refuse in any document.

        Args:
            id: The document's id.
            data: Field name → value.
            remove: Fields to remove.

        Raises:
            InvalidDocument: naming the document, and saying what the class says.
        """
        missing = next((name for name in remove if name in self._library.required), None)
        if missing is not None:
            raise self._refusal(id, "would be", f"{missing} is required, and can't be removed")
        try:
            self._library.check({name: value for name, value in data.items() if name not in self.metadata})
        except Exception as error:
            raise self._refusal(id, "would be", self._library.words(error)) from error

    def check_own(self, name: str, given: Any, stored: Any) -> None:
        """Refuse a value of the class's own that would come back as something else.

        Args:
            name: The field.
            given: What the caller gave for it in a change.
            stored: What `plain` made of it.

        Raises:
            InvalidDocument: saying what would come back, and as what.
        """
        try:
            made = self._library.check({name: stored})
        except Exception:
            return  # for `check` or `check_changes` to refuse, with all that is known of the document
        found = difference_of_own(given, made[name], name) if name in made else None
        if found is not None:
            raise InvalidDocument(found)

    # Ids

    def id_of(self, instance: Any) -> str | None:
        """The document id that an instance holds; `None` if it holds none yet."""
        return self.id_text(getattr(instance, "id", None)) if self._has_id else None

    def id_text(self, value: Any) -> Any:
        """The document id of what the class declares as its id: an int's or a UUID's text; anything else as it is.

        Args:
            value: A value of the class's field ``id``; of `None`, ``""`` and msgspec's ``UNSET``, there is none.
        """
        if value.__class__ is str or isinstance(value, str):
            return value or None
        if self._id_class is not str and isinstance(value, self._id_class) and not isinstance(value, bool):
            return str(value)
        return None if value is None or type(value).__name__ == "UnsetType" else value

    def _id_of(self, text: str) -> Any:
        cls = self._id_class
        if cls is str or not text:
            return text
        try:
            value = cls(text)
        except ValueError:
            value = None
        if str(value) != text:
            raise InvalidID(f"its id is no {cls.__name__}, which {self.cls.__name__}.id is declared to be")
        return value

    @property
    def sorts_by_id(self) -> bool:
        """Whether ids sort like the values that the class declares: texts of numbers do not."""
        return self._id_class is not int


class Schema(NamedTuple):
    """What a schema says, in whichever form it was given.

    Attributes:
        fields: Dotted path → field type.
        links: Dotted path → the path of the object whose fields the one there has too.
        model: The class whose instances stand for documents, if it is one.
    """

    fields: Mapping[str, Any]
    links: Mapping[str, str]
    model: Model | None


def read_schema(schema: Any) -> Schema:
    """The field types of a schema in any form, and the class whose instances stand for documents, if it is one.

    Args:
        schema: A mapping of dotted paths to field types; a dataclass, a TypedDict, or a class of attrs, msgspec or
            pydantic; a Django form or its class.

    Raises:
        InvalidSchema: if it is none of these, a field's annotation has no one field type, or what it declares would not
            come back.
    """
    if isinstance(schema, Mapping):
        return Schema(schema, {}, None)
    form_fields = getattr(schema, "base_fields", None) if isinstance(schema, type) else getattr(schema, "fields", None)
    if isinstance(form_fields, Mapping):  # django.forms.Form
        return Schema(dict(form_fields), {}, None)
    if isinstance(schema, type):
        if is_typed_dict(schema):
            declared = read_types(schema)
            return Schema(declared.fields, declared.links, None)
        if field_names(schema) is not None:
            declared = read_types(schema)
            library = library_of(schema, declared)
            if library is not None:
                return Schema(declared.fields, declared.links, Model(schema, declared, library))
    raise InvalidSchema(
        f"{schema!r} is no schema: give a mapping of field names to field types, a dataclass, a TypedDict, a class of "
        "attrs, msgspec or pydantic, or a Django form"
    )


def _opaque(paths: typing.Iterable[str]) -> Opaque:
    """The paths as a tree: what is at them is a serializer's own affair."""
    tree: dict[str, Any] = {}
    for path in paths:
        *way, last = path.split(".")
        names = tree
        for name in way:
            names = names.setdefault(name, {})
        names[last] = True
    return tree
