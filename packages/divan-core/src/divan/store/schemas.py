"""Internal: schemas from types: field types read off a class's annotations, and its instances in place of dicts.

None of the libraries is imported here: a class of theirs brings it.
"""

from __future__ import annotations

import enum
import sys
import types
import typing
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from typing import Any, Final

from divan.documents import Document
from divan.errors import InvalidDocument, InvalidSchema
from divan.validation import field_type_of

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

_METADATA: Final = ("id", "rev")
"""Fields of a class that are the document's id and revision, and are not stored among its fields."""


class Model:
    """A class whose instances stand for documents: a dataclass, or one of attrs, msgspec or pydantic.

    Args:
        cls: The class.
        schema: Field name → field type.
        dump: Instance → field name to value.
        load: Field name to value → instance.
        has_rules: Whether the class may refuse fields for what others hold.
        dump_value: A value of the library's own (a nested instance, say) → what `dump` makes of it; `NotImplemented` of
            any other.

    Attributes:
        cls: The class.
        has_rules: As given: a change of one field can then only be judged with all others in view.
        schema: Field name → field type, for the fields that need one.
        metadata: Which of ``id`` and ``rev`` the class has.
    """

    def __init__(
        self,
        cls: type,
        names: Sequence[str],
        schema: Mapping[str, str],
        dump: Callable[[Any], dict[str, Any]],
        load: Callable[[dict[str, Any]], Any],
        *,
        has_rules: bool,
        dump_value: Callable[[Any], Any],
    ) -> None:
        private = next((name for name in names if name.startswith("_")), None)
        if private is not None:
            raise InvalidSchema(f"{cls.__name__}.{private}: the name of a stored field can't begin with '_'")
        self.cls = cls
        self.has_rules = has_rules
        self.schema = schema
        self.metadata = tuple(name for name in _METADATA if name in names)
        self._names = frozenset(names)
        self._dump = dump
        self._load = load
        self._dump_value = dump_value

    def dump(self, instance: Any) -> dict[str, Any]:
        """An instance's fields, without those that are the document's id and revision."""
        fields = self._dump(instance)
        for name in self.metadata:
            fields.pop(name, None)
        return fields

    def plain(self, value: Any) -> Any:
        """A value of one field as `dump` would make it: of a nested instance, or in lists and mappings of such.

        Args:
            value: What a caller gives for a field, in a change or a filter.
        """
        if value.__class__ in _JSON_SCALARS:
            return value
        if isinstance(value, list):
            return list(map(self.plain, value))
        if isinstance(value, Mapping):
            return {name: self.plain(item) for name, item in value.items()}
        dumped = self._dump_value(value)
        return value if dumped is NotImplemented else dumped

    def load(self, document: Document) -> Any:
        """The instance of a document; fields that the class does not have are left out.

        Raises:
            InvalidDocument: if the class refuses the document's fields.
        """
        return self._made_of(document, "is")

    def check(self, document: Document) -> None:
        """Refuse a document that is not stored yet, if no instance could be made of it.

        Raises:
            InvalidDocument: naming it, and saying what the class says.
        """
        self._made_of(document, "would be")

    def _made_of(self, document: Document, verb: str) -> Any:
        fields = {name: value for name, value in document.items() if name in self._names}
        for name in self.metadata:
            fields[name] = getattr(document, name)
        try:
            return self._load(fields)
        except Exception as error:
            raise InvalidDocument(
                f"document {document.id!r} {verb} no {self.cls.__name__}: {error}", document_id=document.id
            ) from error

    def id_of(self, instance: Any) -> str | None:
        """The document id that an instance holds; `None` if it holds none yet."""
        return getattr(instance, "id", None) or None if "id" in self.metadata else None


def read_schema(schema: Any) -> tuple[Mapping[str, Any], Model | None]:
    """The field types of a schema in any form, and the class whose instances stand for documents, if it is one.

    Args:
        schema: A mapping of field names to field types; a dataclass, a TypedDict, or a class of attrs, msgspec or
            pydantic; a Django form or its class.

    Raises:
        InvalidSchema: if it is none of these, or a field's annotation has no one field type.
    """
    if isinstance(schema, Mapping):
        return schema, None
    form_fields = getattr(schema, "base_fields", None) if isinstance(schema, type) else getattr(schema, "fields", None)
    if isinstance(form_fields, Mapping):  # django.forms.Form
        return dict(form_fields), None
    if isinstance(schema, type):
        if typing.is_typeddict(schema):
            return _field_types(schema), None
        for make in (_pydantic, _msgspec, _attrs, _dataclass):
            model = make(schema)
            if model is not None:
                return model.schema, model
    raise InvalidSchema(
        f"{schema!r} is no schema: give a mapping of field names to field types, a dataclass, a TypedDict, a class of "
        "attrs, msgspec or pydantic, or a Django form"
    )


def _dataclass(cls: type) -> Model | None:
    if not hasattr(cls, "__dataclass_fields__"):
        return None
    import dataclasses

    names = [field.name for field in dataclasses.fields(cls) if field.init]
    load = _nested_loader(cls, {name: name for name in names})

    def dump_value(value: Any) -> Any:
        is_instance = dataclasses.is_dataclass(value) and not isinstance(value, type)
        return dataclasses.asdict(value) if is_instance else NotImplemented

    return Model(
        cls,
        names,
        _field_types(cls),
        dataclasses.asdict,
        load,
        has_rules=hasattr(cls, "__post_init__"),
        dump_value=dump_value,
    )


def _attrs(cls: type) -> Model | None:
    attributes = getattr(cls, "__attrs_attrs__", None)
    if attributes is None:
        return None
    attr = sys.modules["attr"]
    arguments = {attribute.name: attribute.alias for attribute in attributes if attribute.init}
    # A validator is given the instance, and so sees the other fields.
    has_rules = hasattr(cls, "__attrs_post_init__") or any(attribute.validator for attribute in attributes)
    load = _nested_loader(cls, arguments)

    def dump_value(value: Any) -> Any:
        return attr.asdict(value) if hasattr(type(value), "__attrs_attrs__") else NotImplemented

    return Model(cls, list(arguments), _field_types(cls), attr.asdict, load, has_rules=has_rules, dump_value=dump_value)


def _msgspec(cls: type) -> Model | None:
    names = getattr(cls, "__struct_fields__", None)
    if names is None:
        return None
    msgspec = sys.modules["msgspec"]
    schema = _field_types(cls)

    def dump(instance: Any) -> dict[str, Any]:
        values = {name: getattr(instance, name) for name in names}
        return {name: value if name in schema else msgspec.to_builtins(value) for name, value in values.items()}

    encoded: Sequence[str] = cls.__struct_encode_fields__  # type: ignore[attr-defined]

    def load(fields: dict[str, Any]) -> Any:
        plain = {key: fields[name] for name, key in zip(names, encoded, strict=True) if name in fields}
        # Values of field types are instances already: dates are dates, and pass as they are.
        passed = {type(fields[name]) for name in schema if name in fields} - _JSON_TYPES
        return msgspec.convert(plain, cls, builtin_types=passed)

    def dump_value(value: Any) -> Any:
        return msgspec.to_builtins(value) if isinstance(value, enum.Enum | msgspec.Struct) else NotImplemented

    has_rules = hasattr(cls, "__post_init__")
    return Model(cls, names, schema, dump, load, has_rules=has_rules, dump_value=dump_value)


_JSON_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_JSON_TYPES: Final = {*_JSON_SCALARS, list, dict}


def _pydantic(cls: type) -> Model | None:
    if not hasattr(cls, "model_fields") or not hasattr(cls, "model_validate"):
        return None
    model: Any = cls
    schema = _field_types(cls)
    aliased = any(field.alias or field.validation_alias for field in model.model_fields.values())
    by_name = {"by_name": True, "by_alias": False} if aliased else {}

    def dump(instance: Any) -> dict[str, Any]:
        # In JSON's types, so that enums and what is nested can be stored; field types take their values as they are.
        fields: dict[str, Any] = instance.model_dump(mode="json", exclude=set(schema))
        return {**fields, **{name: getattr(instance, name) for name in schema}}

    def load(fields: dict[str, Any]) -> Any:
        return model.model_validate(fields, **by_name)

    # What else pydantic calls for a field (a validator, say) is given those before it.
    decorators = model.__pydantic_decorators__
    has_rules = bool(
        decorators.model_validators
        or decorators.root_validators
        or decorators.field_validators
        or decorators.validators
        or model.__pydantic_post_init__
    )
    base = sys.modules["pydantic"].BaseModel

    def dump_value(value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return value.value
        return value.model_dump(mode="json") if isinstance(value, base) else NotImplemented

    return Model(cls, list(model.model_fields), schema, dump, load, has_rules=has_rules, dump_value=dump_value)


def _nested_loader(cls: type, arguments: Mapping[str, str]) -> Callable[[dict[str, Any]], Any]:
    """A function that makes an instance of a dataclass or attrs class, and those nested in it.

    Args:
        cls: The class.
        arguments: Field name → name of the constructor's argument.
    """
    hints = typing.get_type_hints(cls)
    inner: dict[str, Callable[[Any], Any]] = {}
    for name in arguments:
        nested = _nested_class(hints.get(name))
        if nested is not None and nested is not cls:
            model = _attrs(nested) or _dataclass(nested)
            if model is not None:
                inner[name] = _each(model)

    def load(fields: dict[str, Any]) -> Any:
        return cls(
            **{
                arguments[name]: inner[name](value) if name in inner and value is not None else value
                for name, value in fields.items()
            }
        )

    return load


def _each(model: Model) -> Callable[[Any], Any]:
    def load(value: Any) -> Any:
        if isinstance(value, list):
            return [load(item) for item in value]
        return model._load({name: item for name, item in value.items() if name in model._names})

    return load


def _nested_class(annotation: Any) -> type | None:
    """The class that an annotation names, looking through `Annotated`, `None` and lists."""
    members = _members(annotation)
    found = members[0] if len(members) == 1 else None
    return found if isinstance(found, type) else None


def _field_types(cls: type) -> dict[str, str]:
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as error:
        raise InvalidSchema(f"the annotations of {cls.__name__} can't be read: {error}") from error
    schema = {}
    for name, annotation in hints.items():
        if name in _METADATA or typing.get_origin(annotation) is typing.ClassVar:
            continue
        field_type = _field_type(f"{cls.__name__}.{name}", annotation)
        if field_type is not None:
            schema[name] = field_type
    return schema


def _field_type(where: str, annotation: Any) -> str | None:
    """The field type of an annotation; `None` for what JSON holds.

    ``Annotated[Point, "PointField"]`` names one of a plugin's.
    """
    if typing.get_origin(annotation) is typing.Annotated:
        for extra in annotation.__metadata__:
            if isinstance(extra, str) and extra.endswith("Field"):
                return extra
    members = _members(annotation)
    found = {field_type_of(member) for member in members}
    named = found - {None}
    if len(named) > 1 or (named and len(found) > 1):
        raise InvalidSchema(
            f"{where}: {annotation} has no one field type; name it: Annotated[…, {min(filter(None, named))!r}]"
        )
    return named.pop() if named else None


def _members(annotation: Any) -> list[Any]:
    """The classes that an annotation stands for, looking through `Annotated`, unions, `None` and lists."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated or origin in (typing.Required, typing.NotRequired, typing.Final):
        return _members(typing.get_args(annotation)[0])
    if origin is typing.Union or origin is types.UnionType:
        return [member for part in typing.get_args(annotation) for member in _members(part) if member is not type(None)]
    if origin in (list, Sequence, MutableSequence) and typing.get_args(annotation):
        return _members(typing.get_args(annotation)[0])
    return [annotation]
