"""Classes of every library that a schema may come from, made of annotations, and what their instances hold compared."""

import dataclasses
from typing import Any

import attrs
import msgspec
import pydantic

LIBRARIES = ("pydantic", "msgspec", "attrs", "dataclass")


def make(library: str, name: str, annotations: dict[str, Any], *, arbitrary: bool = False) -> Any:
    """A class of a library's, with fields of these annotations; ``id`` is optional, `arbitrary` lets pydantic take all."""
    if library == "pydantic":
        definitions: dict[str, Any] = {
            field: (kind, None if field == "id" else ...) for field, kind in annotations.items()
        }
        config = pydantic.ConfigDict(arbitrary_types_allowed=arbitrary)
        return pydantic.create_model(name, __config__=config, **definitions)
    if library == "msgspec":
        fields = [(field, kind) for field, kind in annotations.items() if field != "id"]
        return msgspec.defstruct(name, fields + ([("id", str | None, None)] if "id" in annotations else []))
    ordered = {field: kind for field, kind in annotations.items() if field != "id"}
    if library == "attrs":
        body: dict[str, Any] = {field: attrs.field(type=kind) for field, kind in ordered.items()}
        if "id" in annotations:
            optional: Any = str | None
            body["id"] = attrs.field(type=optional, default=None)
        return attrs.make_class(name, body)
    made = list(ordered.items())
    return dataclasses.make_dataclass(
        name, made + ([("id", str | None, dataclasses.field(default=None))] if "id" in annotations else [])
    )


def equal(one: Any, other: Any) -> bool:
    """Equal, and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, set | frozenset):
        return one == other and {type(item) for item in one} == {type(item) for item in other}
    names = fields_of(one)
    if names is not None:
        return all(equal(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def fields_of(value: Any) -> list[str] | None:
    """The names of an instance's fields; `None` of what is no instance."""
    if isinstance(value, pydantic.BaseModel):
        return list(type(value).model_fields)
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    if attrs.has(type(value)):
        return [field.name for field in attrs.fields(type(value))]
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    return None
