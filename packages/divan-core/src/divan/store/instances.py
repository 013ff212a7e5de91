"""Internal: instances of classes taken apart into what JSON and field types hold, and compared with what comes back."""

from __future__ import annotations

import collections
import enum
import re
from collections.abc import Callable, Mapping, Set
from typing import Any, Final, Literal

from divan.errors import InvalidDocument, shown
from divan.serializers import ANY_NAME
from divan.store.annotations import field_names, is_root, is_text
from divan.validation import MAX_DEPTH, field_type_of

Opaque = Mapping[str, "Opaque | Literal[True]"]
"""Field name → `True` for a field whose values are its serializer's own affair, or those of the object there."""

SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_LISTS: Final = (list, tuple, collections.deque)
_MISSING: Final = object()

_Handler = Callable[[Any, "Opaque | None", int], Any]
_handlers: dict[type, _Handler] = {}
_takers: dict[type, Callable[[Any], dict[str, Any]] | None] = {}
_KNOWN_LIMIT: Final = 1024
"""So many classes are remembered: a program may make any number of them."""


def members(value: Any) -> dict[str, Any] | None:
    """The fields of an instance of a dataclass, or of a class of attrs, msgspec or pydantic; `None` of anything else.

    All of them, as they are called in the class and in its order, whatever the class shows or writes of itself.

    Args:
        value: Anything.
    """
    cls = value.__class__
    try:
        take = _takers[cls]
    except KeyError:
        if len(_takers) >= _KNOWN_LIMIT:
            _takers.clear()
        take = _takers[cls] = _taker(cls)
    return None if take is None else take(value)


def _taker(cls: Any) -> Callable[[Any], dict[str, Any]] | None:
    names = field_names(cls)
    if names is None:
        return None
    if hasattr(cls, "model_fields"):

        def take_model(value: Any) -> dict[str, Any]:
            held = value.__dict__
            fields = {name: held[name] for name in names if name in held}
            extra = value.__pydantic_extra__
            return {**fields, **extra} if extra else fields

        return take_model
    config = getattr(cls, "__struct_config__", None)
    if config is not None:
        tag = {} if config.tag is None else {config.tag_field: config.tag}

        def take_struct(value: Any) -> dict[str, Any]:
            fields = {name: getattr(value, name) for name in names}
            return {**tag, **{name: item for name, item in fields.items() if type(item).__name__ != "UnsetType"}}

        return take_struct

    def take(value: Any) -> dict[str, Any]:
        try:
            return {name: getattr(value, name) for name in names}
        except AttributeError:  # a field that its constructor does not set
            return {name: getattr(value, name) for name in names if hasattr(value, name)}

    return take


def plain(value: Any, opaque: Opaque | Literal[True] | None = None, depth: int = 2) -> Any:
    """A value as it is stored, but for those that have field types: instances as objects, enums as their values.

    Args:
        value: Any value of a field.
        opaque: What is not to be taken apart below it.
        depth: How many levels deep it is.

    Raises:
        InvalidDocument: if it is nested too deep, or holds itself.
    """
    cls = value.__class__
    if cls in SCALARS or opaque is True:
        return value
    handle = _handlers.get(cls)
    if handle is None:
        if len(_handlers) >= _KNOWN_LIMIT:
            _handlers.clear()
        handle = _handlers[cls] = _handler(cls)
    if handle is _keep:
        return value
    if depth > MAX_DEPTH:
        raise InvalidDocument(f"nested deeper than {MAX_DEPTH} levels, or a {cls.__name__} that holds itself")
    return handle(value, opaque, depth)


def _handler(cls: Any) -> _Handler:
    """What takes the values of a class apart."""
    if issubclass(cls, enum.Enum):
        return lambda value, opaque, depth: plain(value.value, opaque, depth)
    if field_type_of(cls) is not None:
        return _keep
    if issubclass(cls, Mapping):
        return _mapping
    if issubclass(cls, _LISTS):
        return lambda value, opaque, depth: [plain(item, opaque, depth + 1) for item in value]
    if issubclass(cls, Set):
        return lambda value, opaque, depth: _in_order([plain(item, opaque, depth + 1) for item in value])
    if is_root(cls):
        return lambda value, opaque, depth: plain(value.root, opaque, depth)
    if field_names(cls) is not None:
        return lambda value, opaque, depth: _mapping(members(value), opaque, depth)
    if hasattr(cls, "get_secret_value"):
        return lambda value, opaque, depth: plain(value.get_secret_value(), opaque, depth)
    if issubclass(cls, re.Pattern):
        return lambda value, _, __: value.pattern
    return _as_text if is_text(cls) else _keep


def _keep(value: Any, _: Opaque | None, __: int) -> Any:
    return value


def _as_text(value: Any, _: Opaque | None, __: int) -> str:
    return str(value)


def _mapping(value: Any, opaque: Opaque | None, depth: int) -> dict[str, Any]:
    if not opaque:
        return {plain(name): plain(item, None, depth + 1) for name, item in value.items()}
    return {plain(name): plain(item, opaque.get(name, opaque.get(ANY_NAME)), depth + 1) for name, item in value.items()}


def _in_order(items: list[Any]) -> list[Any]:
    """A set's items in an order that is the same each time, so that equal sets are stored alike."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


def difference(held: Any, read: Any, path: str = "") -> str | None:
    """In which way a value would not come back, in words; `None` if it would.

    Args:
        held: What an instance holds.
        read: What the instance that is made of its stored form holds there.
        path: Where that is.
    """
    if held is read:
        return None
    if held.__class__ in SCALARS:
        return None if _is_same(held, read) else _changed(held, read, path)
    fields = members(held)
    if fields is not None:
        if read.__class__ is not held.__class__:
            return f"{path}: {_changed_class(held, read)}"
        return _difference_of_fields(fields, members(read) or {}, path)
    if isinstance(held, Mapping) and isinstance(read, Mapping):
        return _difference_of_fields(held, read, path)
    if isinstance(held, list | tuple) and isinstance(read, list | tuple) and len(held) == len(read):
        if not isinstance(held, read.__class__):
            return _changed(held, read, path)
        differences = (
            difference(one, other, f"{path}[{index}]")
            for index, (one, other) in enumerate(zip(held, read, strict=True))
        )
        return next(filter(None, differences), None)
    return None if _is_same(held, read) else _changed(held, read, path)


def difference_of_own(given: Any, read: Any, path: str) -> str | None:
    """As `difference`, of a value that a caller gives: a mapping may stand for an instance whose fields it holds.

    Args:
        given: The value.
        read: What is made of its stored form.
        path: Where it is.
    """
    if given.__class__ in SCALARS or _handlers.get(given.__class__) is _keep:
        return None
    if isinstance(given, Mapping):
        fields = read if isinstance(read, Mapping) else members(read) or {}
        inner = ((f"{path}.{name}", value, fields.get(name, _MISSING)) for name, value in given.items())
    elif isinstance(given, list) and isinstance(read, list | tuple):
        inner = ((f"{path}[{index}]", *pair) for index, pair in enumerate(zip(given, read, strict=False)))
    elif isinstance(given, list):
        return None
    else:
        return difference(given, read, path)
    found = (difference_of_own(one, other, below) for below, one, other in inner if other is not _MISSING)
    return next(filter(None, found), None)


def _difference_of_fields(held: Mapping[Any, Any], read: Mapping[Any, Any], path: str) -> str | None:
    for name, value in held.items():
        other = read.get(name, _MISSING)
        if value is other or (_handlers.get(value.__class__) is _keep and _is_same(value, other)):
            continue
        below = f"{path}.{name}" if path else str(name)
        if other is _MISSING:
            return f"{below}: {shown(value)} would be lost"
        found = difference(value, other, below)
        if found is not None:
            return found
    return None if len(held) == len(read) else f"{path}: fields would be added"


def _is_same(held: Any, read: Any) -> bool:
    if isinstance(held, int | float) and isinstance(read, int | float):
        return held == read
    return isinstance(held, read.__class__) and bool(held == read)


def _changed(held: Any, read: Any, path: str) -> str:
    if type(held) is not type(read):
        return f"{path}: {_changed_class(held, read)}"
    return f"{path}: {shown(held)} would come back as {shown(read)}"


def _changed_class(held: Any, read: Any) -> str:
    return f"a {type(held).__name__} would come back as a {type(read).__name__}"
