"""Internal: what a class's annotations say of its documents: the field types, at any depth, and what can't be kept.

No library is imported here: a class of theirs brings it.
"""

from __future__ import annotations

import collections
import collections.abc
import enum
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from divan.errors import InvalidSchema
from divan.serializers import ANY_NAME, Scaled
from divan.validation import field_type_of

METADATA: Final = ("id", "rev")
"""Fields of a class that are the document's id and revision, and are not stored among its fields."""


class Link(NamedTuple):
    """An object that has the fields of another one: where a class holds itself.

    Attributes:
        target: The other one's path; ``""`` for the document.
    """

    target: str


class Types(NamedTuple):
    """What the annotations of a class say.

    Attributes:
        fields: Dotted path → field type, for the fields that need one.
        named: Those of the paths whose field type an `Annotated` names: what its values are made of is its own affair.
        links: Dotted path → where the fields of the object there are told.
    """

    fields: dict[str, str | Scaled]
    named: frozenset[str]
    links: dict[str, str]


class _Named(str):
    """A field type that an annotation names."""


_Entry = str | Scaled | Link | None
_Shape = dict[str, _Entry]
"""Dotted path → what is there; `None` for what JSON holds."""


def read_types(cls: type) -> Types:
    """The field types of a class's fields, and of those inside them.

    Args:
        cls: A dataclass, a TypedDict, or a class of attrs, msgspec or pydantic.

    Raises:
        InvalidSchema: if the annotations can't be read, one has no one field type, or what it declares can't be kept.
    """
    shape = _Reader(cls).members(cls, "", {}, {cls: ""})
    return Types(
        {path: str(entry) if isinstance(entry, _Named) else entry for path, entry in _typed(shape)},
        frozenset(path for path, entry in shape.items() if isinstance(entry, _Named)),
        {path: entry.target for path, entry in shape.items() if isinstance(entry, Link)},
    )


def _typed(shape: _Shape) -> Iterator[tuple[str, str | Scaled]]:
    for path, entry in shape.items():
        if isinstance(entry, str | Scaled):
            yield path, entry


def annotations_of(cls: Any) -> dict[str, Any]:
    """The annotations of a class's fields, with what is in their `Annotated`.

    Args:
        cls: The class.

    Raises:
        InvalidSchema: if they can't be read.
    """
    fields = getattr(cls, "model_fields", None)
    if isinstance(fields, Mapping):  # pydantic has read them, and put the parameters of generic classes in place
        return {
            name: typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            for name, field in fields.items()
        }
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as error:
        raise InvalidSchema(f"the annotations of {cls.__name__} can't be read: {error}") from error
    names = field_names(cls)
    return {name: hints.get(name, Any) for name in names} if names is not None else hints


def field_names(cls: Any) -> list[str] | None:
    """The names of the fields that a class's instances have; `None` of a class that declares none.

    Args:
        cls: A class of any kind.
    """
    fields = getattr(cls, "model_fields", None)
    if isinstance(fields, Mapping) and hasattr(cls, "model_validate"):
        return list(fields)
    if hasattr(cls, "__struct_fields__"):
        return list(cls.__struct_fields__)
    if hasattr(cls, "__attrs_attrs__"):
        return [attribute.name for attribute in cls.__attrs_attrs__]
    if hasattr(cls, "__dataclass_fields__"):
        import dataclasses

        return [field.name for field in dataclasses.fields(cls)]
    return None


def is_typed_dict(cls: Any) -> bool:
    """Whether a class is a TypedDict, of `typing` or of typing_extensions, whose `typing` does not know.

    Args:
        cls: A class of any kind.
    """
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def is_root(cls: Any) -> bool:
    """Whether a class is a pydantic model of one value, which has no name.

    Args:
        cls: A class of any kind.
    """
    return bool(getattr(cls, "__pydantic_root_model__", False))


def is_text(cls: type) -> bool:
    """Whether each value of a class has a text, of which the class makes an equal one.

    Args:
        cls: A class of any kind.
    """
    return cls.__module__.partition(".")[0] in ("pathlib", "ipaddress", "pydantic", "pydantic_core")


def names_a_field_type(annotation: Any) -> bool:
    """Whether an `Annotated` names the field type of its values: what these are made of is its serializer's affair.

    Args:
        annotation: An annotation of any kind.
    """
    extras = annotation.__metadata__ if typing.get_origin(annotation) is typing.Annotated else ()
    return any(_is_field_type(extra) for extra in extras)


def nothing_known(cls: Any) -> str:
    """What to do about a class whose values can't be stored.

    Args:
        cls: The class.
    """
    name = _shown(cls)
    return f"nothing is known of {name}; name the field type that a plugin has for it: Annotated[{name}, 'PointField']"


def _is_field_type(extra: Any) -> bool:
    return isinstance(extra, str) and extra.endswith("Field")


def parts_of(annotation: Any) -> Iterator[Any]:
    """The annotations that one stands for: those of a union, of a `type` alias, and what a wrapper holds.

    Args:
        annotation: An annotation of any kind.
    """
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        inner = typing.get_args(annotation)
    elif origin is typing.Annotated or getattr(origin, "_name", None) in _WRAPPERS:
        inner = typing.get_args(annotation)[:1]
    elif isinstance(annotation, typing.NewType):
        inner = (annotation.__supertype__,)
    elif hasattr(annotation, "__value__"):  # `type Name = …`
        inner = (annotation.__value__,)
    else:
        yield annotation
        return
    for one in inner:
        yield from parts_of(one)


_BUILT_IN: Final = (
    str,
    int,
    float,
    list,
    tuple,
    set,
    frozenset,
    collections.deque,
    dict,
    collections.abc.Mapping,
    re.Pattern,
)
_LISTS: Final = (
    list,
    tuple,
    set,
    frozenset,
    collections.deque,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Set,
    collections.abc.MutableSet,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_MAPPINGS: Final = (
    dict,
    collections.defaultdict,
    collections.OrderedDict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
)
_PYDANTIC: Final = {
    "AwareDatetime": "DateTimeField",
    "NaiveDatetime": "DateTimeField",
    "PastDatetime": "DateTimeField",
    "FutureDatetime": "DateTimeField",
    "PastDate": "DateField",
    "FutureDate": "DateField",
    "SecretBytes": "BinaryField",
}
"""Classes of pydantic's that stand for others in annotations, and are no subclasses of theirs."""
_WRAPPERS: Final = ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")
"""Of `typing` and of typing_extensions."""


class _Reader:
    """Reads the annotations of one schema's class."""

    def __init__(self, cls: type) -> None:
        self._name = cls.__name__

    def members(self, cls: Any, path: str, parameters: Mapping[Any, Any], stack: Mapping[Any, str]) -> _Shape:
        """What is in the fields of a class, whose instance is at a path."""
        config = getattr(cls, "__struct_config__", None)
        if config is not None and config.array_like:
            self._refuse(path, f"{cls.__name__} is array_like, and a stored object has named fields; leave that out")
        shape: _Shape = {}
        for name, annotation in annotations_of(cls).items():
            if (not path and name in METADATA) or typing.get_origin(annotation) is typing.ClassVar:
                continue
            below = f"{path}.{name}" if path else name
            shape.update(self.shape(annotation, below, parameters, stack))
        return shape

    def shape(self, annotation: Any, path: str, parameters: Mapping[Any, Any], stack: Mapping[Any, str]) -> _Shape:
        """What an annotation declares to be at a path, and below."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            for extra in annotation.__metadata__:
                if isinstance(extra, Scaled):
                    return {path: extra}
                if _is_field_type(extra):
                    return {path: _Named(extra)}
                if _is_pydantics(type(extra), "Json"):
                    self._refuse_json(path)
            return self.shape(arguments[0], path, parameters, stack)
        if getattr(origin, "_name", None) in _WRAPPERS:
            return self.shape(arguments[0], path, parameters, stack)
        if origin is typing.Union or origin is types.UnionType:
            return self._union(annotation, arguments, path, parameters, stack)
        if origin is typing.Literal:
            return {path: next((field_type_of(type(value)) for value in arguments), None)}
        if isinstance(annotation, typing.NewType):
            return self.shape(annotation.__supertype__, path, parameters, stack)
        if isinstance(annotation, typing.TypeVar):
            return self.shape(parameters.get(annotation, Any), path, parameters, stack)
        if hasattr(annotation, "__value__"):
            return self.shape(annotation.__value__, path, parameters, stack)
        cls = origin or annotation
        if cls in _MAPPINGS:
            return self._mapping(arguments, path, parameters, stack)
        if cls in _LISTS:
            items = [item for item in arguments if item is not Ellipsis]
            return self._union(annotation, items, path, parameters, stack) if items else {path: None}
        if not isinstance(cls, type):
            return {path: None}
        return self._class(cls, arguments, path, parameters, stack)

    def _class(
        self, cls: Any, arguments: Any, path: str, parameters: Mapping[Any, Any], stack: Mapping[Any, str]
    ) -> _Shape:
        if _is_pydantics(cls, "Json"):
            self._refuse_json(path)
        if arguments and _is_pydantics(cls, "Secret"):
            return self.shape(arguments[0], path, parameters, stack)
        if issubclass(cls, enum.Enum):
            kinds = {field_type_of(type(member.value)) for member in cls}
            return {path: kinds.pop() if len(kinds) == 1 else None}
        field_type = field_type_of(cls) or (_PYDANTIC.get(cls.__name__) if _is_pydantics(cls, cls.__name__) else None)
        if field_type is not None:
            return {path: field_type}
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._union(cls, list(annotations_of(cls).values()), path, parameters, stack)
        if field_names(cls) is None and not is_typed_dict(cls):
            if not _is_kept(cls):
                self._refuse(path, nothing_known(cls))
            return {path: None}
        if is_root(cls):
            return self.shape(annotations_of(cls)["root"], path, parameters, stack)
        if cls in stack:
            return {path: Link(stack[cls])}
        given = dict(
            zip(getattr(cls, "__parameters__", ()), (parameters.get(one, one) for one in arguments), strict=False)
        )
        return self.members(cls, path, given, {**stack, cls: path})

    def _mapping(self, arguments: Any, path: str, parameters: Mapping[Any, Any], stack: Mapping[Any, str]) -> _Shape:
        if not arguments:
            return {path: None}
        key, value = arguments
        if not all(_can_be_text(part) for part in _classes_of_key(key)):
            self._refuse(path, f"the names of a stored object's fields are text, and {_shown(key)} is not kept as text")
        return self.shape(value, f"{path}.{ANY_NAME}", parameters, stack)

    def _union(
        self, annotation: Any, members: Any, path: str, parameters: Mapping[Any, Any], stack: Mapping[Any, str]
    ) -> _Shape:
        """What several annotations declare to be at one path: no two of them may say different things."""
        shape: _Shape = {}
        for member in members:
            if member is types.NoneType or getattr(member, "__name__", "") == "UnsetType":
                continue
            for below, entry in self.shape(member, path, parameters, stack).items():
                if shape.setdefault(below, entry) != entry:
                    self._refuse_union(annotation, below, shape[below], entry)
        typed = [entry for below, entry in shape.items() if below == path and entry is not None]
        if typed and len(shape) > 1:
            self._refuse_union(annotation, path, typed[0], None)
        return shape

    def _refuse_union(self, annotation: Any, path: str, *entries: _Entry) -> NoReturn:
        named = min((str(entry) for entry in entries if isinstance(entry, str)), default="DateField")
        self._refuse(path, f"{_shown(annotation)} has no one field type; name it: Annotated[…, {named!r}]")

    def _refuse_json(self, path: str) -> NoReturn:
        self._refuse(path, "pydantic.Json takes text, and holds what it says; declare the type of what it holds")

    def _refuse(self, path: str, reason: str) -> NoReturn:
        raise InvalidSchema(f"{self._name}.{path}: {reason}" if path else f"{self._name}: {reason}")


def _is_pydantics(cls: type, name: str) -> bool:
    return cls.__name__ == name and cls.__module__.startswith("pydantic.")


def _is_kept(cls: Any) -> bool:
    """Whether values of a class without fields may be stored, as JSON or as text; if it is abstract, some may."""
    return (
        cls in (Any, object, types.NoneType)
        or issubclass(cls, _BUILT_IN)
        or (cls is not collections.abc.Callable and bool(getattr(cls, "__abstractmethods__", None)))
        or getattr(cls, "_is_protocol", False)
        or is_text(cls)
        or any(hasattr(cls, mark) for mark in ("get_secret_value", "__get_pydantic_core_schema__"))
    )


def _classes_of_key(annotation: Any) -> Iterator[Any]:
    """The classes that a mapping's names may be of, once stored."""
    for part in parts_of(annotation):
        if typing.get_origin(part) is typing.Literal:
            yield from map(type, typing.get_args(part))
        elif isinstance(part, type) and issubclass(part, enum.Enum):
            yield from (type(member.value) for member in part)
        else:
            yield part


def _can_be_text(cls: Any) -> bool:
    return not isinstance(cls, type) or cls is object or issubclass(cls, str)


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
