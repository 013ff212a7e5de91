"""Internal: the cattrs converter that makes instances of attrs' classes and dataclasses, and of what these hold.

It makes of each value what is declared, or refuses it: nothing is turned into another kind of value (`"5"` into 5,
say), since what comes back would then not be what is stored.
"""

from __future__ import annotations

import collections.abc
import ipaddress
import pathlib
import re
import typing
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import cattrs
from cattrs.strategies import configure_union_passthrough

from divan.store.annotations import names_a_field_type, nothing_known

_KEPT: Final[tuple[type, ...]] = (str, int, bool, bytes, datetime, time, timedelta, Decimal, UUID)
_TEXTS: Final[tuple[type, ...]] = (
    ipaddress.IPv4Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Address,
    ipaddress.IPv6Interface,
    ipaddress.IPv6Network,
)
_SEQUENCES: Final = (
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)


def make_converter(load_struct: Callable[[Any], Callable[[dict[str, Any]], Any]]) -> cattrs.Converter:
    """A converter that takes values apart for nobody, and makes instances strictly.

    Args:
        load_struct: A class of msgspec's → what makes an instance of its fields.
    """
    converter = cattrs.Converter(prefer_attrib_converters=True)
    for cls in _KEPT:
        converter.register_structure_hook(cls, _kept(cls))
    converter.register_structure_hook(float, _kept(float, int))
    converter.register_structure_hook(date, _date)
    for cls in _TEXTS:
        converter.register_structure_hook(cls, _of_text(cls))
    converter.register_structure_hook_func(_is_path, lambda value, cls: _of_text(cls)(value, cls))
    converter.register_structure_hook(re.Pattern, _of_text(re.compile))
    converter.register_structure_hook_factory(_is_sequence, lambda cls: _list_hook(converter, cls))
    converter.register_structure_hook_factory(_is_defaultdict, lambda cls: _defaultdict_hook(converter, cls))
    converter.register_structure_hook_func(_is_pydantics, _validated)
    converter.register_structure_hook_factory(_is_msgspecs, lambda cls: _struct_hook(load_struct(cls)))
    converter.register_structure_hook_func(names_a_field_type, lambda value, _: value)  # its serializer made it
    configure_union_passthrough(
        str | bool | int | float | bytes | None | date | datetime | time | timedelta | Decimal | UUID, converter
    )
    return converter


def words_of(error: Exception) -> str:
    """What an error of cattrs' says, with the paths of what is wrong.

    Args:
        error: What was raised.
    """
    if isinstance(error, cattrs.BaseValidationError):
        found = (one.rpartition(" @ $") for one in cattrs.transform_error(error, format_exception=_format))
        return "; ".join(f"{path.removeprefix('.')}: {reason}" if path else reason for reason, _, path in found)
    return _format(error, None)


def _format(error: BaseException, cls: type | None) -> str:
    if isinstance(error, KeyError):
        return f"required field missing: {error.args[0]}"
    if isinstance(error, cattrs.StructureHandlerNotFoundError):
        return nothing_known(error.type_)
    return str(error) or cattrs.v.format_exception(error, cls)


def _kept(base: Any, *others: type) -> Callable[[Any, Any], Any]:
    """A hook that takes values of a class as they are, and makes one of those of an enum, say, that derives from it."""
    classes = (base, *others)

    def keep(value: Any, cls: Any) -> Any:
        if not isinstance(value, classes) or (isinstance(value, bool) and base not in (bool, int)):
            raise TypeError(f"{type(value).__name__} where {base.__name__} is declared")
        return cls(value) if isinstance(cls, type) and cls is not base and issubclass(cls, base) else value

    return keep


def _date(value: Any, _: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise TypeError(f"{type(value).__name__} where date is declared")


def _of_text(make: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    def of_text(value: Any, _: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"{type(value).__name__} where text is kept")
        return make(value)

    return of_text


def _is_path(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, pathlib.PurePath)


def _is_sequence(cls: Any) -> bool:
    return (typing.get_origin(cls) or cls) in _SEQUENCES


def _list_hook(converter: cattrs.Converter, cls: Any) -> Callable[[Any, Any], Any]:
    (item,) = typing.get_args(cls) or (Any,)
    return converter.get_structure_hook(list[item])  # type: ignore[valid-type]


def _is_defaultdict(cls: Any) -> bool:
    return (typing.get_origin(cls) or cls) is defaultdict


def _defaultdict_hook(converter: cattrs.Converter, cls: Any) -> Callable[[Any, Any], Any]:
    key, item = typing.get_args(cls) or (Any, Any)
    make = converter.get_structure_hook(dict[key, item])  # type: ignore[valid-type]
    factory = typing.get_origin(item) or item
    return lambda value, _: defaultdict(factory if callable(factory) else None, make(value, dict))


def _is_pydantics(cls: Any) -> bool:
    return hasattr(cls, "model_validate")


def _validated(value: Any, cls: Any) -> Any:
    return cls.model_validate(value, by_name=True, by_alias=False)


def _is_msgspecs(cls: Any) -> bool:
    return hasattr(cls, "__struct_fields__")


def _struct_hook(load: Callable[[dict[str, Any]], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: load(value)
