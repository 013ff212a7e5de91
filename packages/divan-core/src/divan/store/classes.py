"""Internal: how instances of each library's classes are made of what was stored: by the library itself.

pydantic's models by their own validators, msgspec's by `msgspec.convert`, attrs' and dataclasses by cattrs. None of the
libraries is imported here: a class of theirs brings it, and cattrs is imported for the classes that need it.
"""

from __future__ import annotations

import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from divan.errors import InvalidSchema
from divan.store.annotations import (
    Types,
    annotations_of,
    field_names,
    is_root,
    is_text,
    names_a_field_type,
    parts_of,
)
from divan.store.instances import SCALARS
from divan.validation import field_type_of

_Fields = dict[str, Any]
_KNOWN_LIMIT: Final = 256


class Library(NamedTuple):
    """What a library does for one class.

    Attributes:
        load: All of a document's fields → an instance.
        check: Some fields → what is made of them; raises if the class refuses one, whatever the others hold.
        names: The fields that an instance can be made of.
        required: Those of them that must be there.
        sums: Field name → the classes of numbers that may be added to it, whatever it holds.
        has_rules: Whether the class may refuse fields for what others hold, so that `check` says too little.
        is_flat: Whether all that an instance can hold is JSON's own values, which are neither made nor copied.
        takes_more: Whether `load` and `check` are to see fields that the class does not have.
        words: An error of the library's → what it says.
        made: The fields that, when they are not there, get what a function of the class makes or its checks refuse.
    """

    load: Callable[[_Fields], Any]
    check: Callable[[_Fields], _Fields]
    names: frozenset[str]
    required: frozenset[str]
    sums: Mapping[str, tuple[type, ...]]
    has_rules: bool
    is_flat: bool = False
    takes_more: bool = False
    words: Callable[[Exception], str] = str
    made: frozenset[str] = frozenset()


def library_of(cls: Any, declared: Types) -> Library | None:
    """What the library of a class does for it; `None` of a class whose instances can't stand for documents.

    Args:
        cls: The class.
        declared: What its annotations say.

    Raises:
        InvalidSchema: if no instance could be made of what is stored.
    """
    if hasattr(cls, "model_fields") and hasattr(cls, "model_validate"):
        return _pydantic(cls, declared)
    if hasattr(cls, "__struct_fields__"):
        return _msgspec(cls)
    if hasattr(cls, "__attrs_attrs__"):
        return _attrs(cls)
    if hasattr(cls, "__dataclass_fields__"):
        return _dataclass(cls)
    return None


# pydantic


def _pydantic(cls: Any, declared: Types) -> Library:
    if is_root(cls):
        raise InvalidSchema(f"{cls.__name__}: a document has named fields, and a RootModel has none; give a BaseModel")
    import pydantic
    import pydantic_core

    by_name = {"by_name": True, "by_alias": False}
    fields = cls.model_fields
    is_strict = "'strict': True" in repr(cls.__pydantic_core_schema__)
    # What strictness takes from JSON, it does not take from Python: a list for a set, a text for an enum's member.
    reads_json = is_strict and not declared.named and "BinaryField" not in declared.fields.values()

    def load(given: _Fields) -> Any:
        if reads_json:
            return cls.model_validate_json(pydantic_core.to_json(given), **by_name)
        return cls.model_validate(given, strict=False if is_strict else None, **by_name)

    adapters = {name: _adapter(pydantic, cls, annotation) for name, annotation in annotations_of(cls).items()}

    def check(given: _Fields) -> _Fields:
        made = {}
        for name, value in given.items():
            if name in adapters:
                made[name] = adapters[name].validate_python(value, **by_name)
            elif cls.model_config.get("extra") == "forbid":
                raise ValueError(f"{name}: extra inputs are not permitted")
        return made

    decorators = cls.__pydantic_decorators__
    # What else pydantic calls for a field (a validator, say) is given those before it.
    has_rules = bool(
        is_strict
        or decorators.model_validators
        or decorators.root_validators
        or decorators.field_validators
        or decorators.validators
        or cls.__pydantic_post_init__
        or cls.__pydantic_custom_init__
        or any(field.discriminator for field in fields.values())  # which `annotations_of` does not tell
        or any(hasattr(one, "func") for field in fields.values() for one in field.metadata)
    )
    sums = {name: field.annotation for name, field in fields.items() if not field.metadata}
    return Library(
        load,
        check,
        frozenset(fields),
        frozenset(name for name, field in fields.items() if field.is_required()),
        _numbers(sums),
        has_rules,
        takes_more=True,
        words=_pydantics_words,
        made=frozenset(
            name
            for name, field in fields.items()
            if field.validate_default or cls.model_config.get("validate_default") or _may_fail(field.default_factory)
        ),
    )


def _adapter(pydantic: Any, cls: Any, annotation: Any) -> Any:
    """What checks a value of one field."""
    try:
        return pydantic.TypeAdapter(annotation, config=cls.model_config)
    except pydantic.errors.PydanticUserError:  # a model has a configuration of its own
        return pydantic.TypeAdapter(annotation)


def _pydantics_words(error: Exception) -> str:
    """What a `ValidationError` says, without the values, which may be secret."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    found = errors(include_url=False, include_input=False, include_context=False)
    parts = (".".join(map(str, one["loc"])) + ": " + one["msg"] if one["loc"] else one["msg"] for one in found)
    return "; ".join(parts)


# msgspec


def _msgspec(cls: Any) -> Library:
    import datetime
    import decimal
    import uuid

    msgspec = sys.modules["msgspec"]
    # Values of field types are instances already: dates are dates, and pass as they are.
    passed = (
        bytes,
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
        decimal.Decimal,
    )
    hints = annotations_of(cls)
    rename: Callable[[Any], Any] = _Renaming(cls).renamed
    more = bool(cls.__struct_config__.forbid_unknown_fields)

    def load(given: _Fields) -> Any:
        return msgspec.convert(rename(given), cls, builtin_types=passed, str_keys=True, dec_hook=_unknown)

    renames = {name: _Renaming(hint).renamed for name, hint in hints.items()}

    def check(given: _Fields) -> _Fields:
        made = {}
        for name, value in given.items():
            if name in hints:
                made[name] = msgspec.convert(
                    renames[name](value), hints[name], builtin_types=passed, str_keys=True, dec_hook=_unknown
                )
            elif more:
                raise ValueError(f"{name}: an unknown field")
        return made

    names = cls.__struct_fields__
    return Library(
        load,
        check,
        frozenset(names),
        frozenset(field.name for field in msgspec.structs.fields(cls) if field.required),
        _numbers(hints),
        hasattr(cls, "__post_init__"),
        takes_more=more,
        made=frozenset(field.name for field in msgspec.structs.fields(cls) if _may_fail(field.default_factory)),
    )


def _unknown(cls: type, value: Any) -> Any:
    """An instance of a class that msgspec does not know: one that a serializer has made, or that is kept as text."""
    if isinstance(value, cls):
        return value
    if is_text(cls) and isinstance(value, str):
        return cls(value)
    raise TypeError(f"{type(value).__name__} where {cls.__name__} is declared")


class _Renaming:
    """Gives the fields of msgspec's structs the names that `msgspec.convert` reads: those that they are encoded under.

    Args:
        annotation: What is converted to.
    """

    def __init__(self, annotation: Any) -> None:
        import msgspec

        try:
            self._type: Any = msgspec.inspect.type_info(annotation)
        except TypeError as error:
            raise InvalidSchema(f"msgspec can't read {annotation}: {error}") from error

        self._renames = _any_renamed(self._type, set())

    def renamed(self, value: Any) -> Any:
        """A value with its structs' fields renamed.

        Args:
            value: What was stored, with the names of the classes.
        """
        return _renamed(value, self._type) if self._renames else value


def _any_renamed(declared: Any, seen: set[int]) -> bool:
    """Whether a struct, at any depth, is encoded under other names than its class's."""
    if id(declared) in seen:
        return False
    seen.add(id(declared))
    fields = getattr(declared, "fields", ())
    inner = [field.type for field in fields]
    inner += [getattr(declared, name) for name in ("type", "item_type", "value_type") if hasattr(declared, name)]
    inner += [*getattr(declared, "item_types", ()), *getattr(declared, "types", ())]
    return any(field.name != field.encode_name for field in fields) or any(_any_renamed(one, seen) for one in inner)


def _renamed(value: Any, declared: Any) -> Any:
    while type(declared).__name__ == "Metadata":
        declared = declared.type
    kind = type(declared).__name__
    if isinstance(value, dict):
        if kind == "UnionType":
            declared = _member(value, declared)
            kind = type(declared).__name__
        if kind in ("StructType", "DataclassType", "TypedDictType"):
            fields = {field.name: field for field in declared.fields}
            read = {field.encode_name for field in declared.fields} - fields.keys()
            return {
                fields[name].encode_name if name in fields else name: _renamed(item, fields[name].type)
                if name in fields
                else item
                for name, item in value.items()
                if name in fields or name not in read
            }
        if kind == "DictType":
            return {name: _renamed(item, declared.value_type) for name, item in value.items()}
    elif isinstance(value, list):
        if kind == "UnionType":
            lists = [one for one in declared.types if hasattr(one, "item_type") or hasattr(one, "item_types")]
            if len(lists) != 1:
                return value
            declared = lists[0]
        if hasattr(declared, "item_type"):
            return [_renamed(item, declared.item_type) for item in value]
        kinds = [field.type for field in getattr(declared, "fields", ())]
        kinds = kinds or [*getattr(declared, "item_types", [])]
        if kinds:
            return [_renamed(item, one) for item, one in zip(value, [*kinds, *([None] * len(value))], strict=False)]
    return value


def _member(value: dict[str, Any], union: Any) -> Any:
    """Which of a union's types an object is of: msgspec tells structs apart by their tags."""
    for one in union.types:
        if type(one).__name__ == "StructType":
            if one.tag is None or value.get(one.tag_field) == one.tag:
                return one
        elif type(one).__name__ in ("DictType", "DataclassType", "TypedDictType"):
            return one
    return None


# attrs and dataclasses


def _attrs(cls: Any) -> Library:
    attributes = cls.__attrs_attrs__
    # A validator is given the instance, and so sees the other fields.
    has_rules = (
        hasattr(cls, "__attrs_post_init__")
        or hasattr(cls, "__attrs_pre_init__")
        or _has_own_constructor(cls)
        or any(attribute.validator for attribute in attributes)
    )
    taken = {attribute.name for attribute in attributes if attribute.init}
    nothing = sys.modules["attr"].NOTHING
    required = {attribute.name for attribute in attributes if attribute.init and attribute.default is nothing}
    converted = any(attribute.converter for attribute in attributes)
    made = {attribute.name for attribute in attributes if _may_fail(getattr(attribute.default, "factory", None))}
    return _structured(cls, taken, required, made, has_rules=has_rules or converted)


def _dataclass(cls: Any) -> Library:
    import dataclasses

    fields = [field for field in dataclasses.fields(cls) if field.init]
    taken = {field.name for field in fields}
    missing = dataclasses.MISSING
    required = {field.name for field in fields if field.default is missing and field.default_factory is missing}
    made = {field.name for field in fields if field.default_factory is not missing and _may_fail(field.default_factory)}
    has_rules = hasattr(cls, "__post_init__") or hasattr(cls, "__pydantic_validator__") or _has_own_constructor(cls)
    flat = {name: _flat_classes(annotation) for name, annotation in annotations_of(cls).items() if name in taken}
    if has_rules or not all(flat.values()):
        return _structured(cls, taken, required, made, has_rules=has_rules)

    # One whose values need no making is made at once, without what cattrs takes to load and to do so.
    def check(given: _Fields) -> _Fields:
        for name, value in given.items():
            classes = flat.get(name)
            if classes and not isinstance(value, classes):
                raise TypeError(f"{name}: {type(value).__name__} where {_names(classes)} is declared")
        return given

    known: set[tuple[Any, ...]] = set()  # names and classes of values that have passed

    def load(given: _Fields) -> Any:
        seen = (*given, *map(type, given.values()))
        if seen not in known:
            check(given)
            if len(known) < _KNOWN_LIMIT:
                known.add(seen)
        return cls(**given)

    is_flat = taken == set(field_names(cls) or ()) and all(SCALARS.issuperset(found or ()) for found in flat.values())
    sums = _numbers(annotations_of(cls))
    return Library(
        load,
        check,
        frozenset(taken),
        frozenset(required),
        sums,
        has_rules=False,
        is_flat=is_flat,
        made=frozenset(made),
    )


def _names(classes: tuple[type, ...]) -> str:
    return " or ".join("None" if one is types.NoneType else one.__name__ for one in classes)


def _flat_classes(annotation: Any) -> tuple[type, ...] | None:
    """The classes of the values that an annotation declares, if these are as they are read; else `None`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return (object,) if names_a_field_type(annotation) else _flat_classes(annotation.__origin__)
    if origin is typing.Union or origin is types.UnionType:
        parts = [_flat_classes(part) for part in typing.get_args(annotation)]
        return None if None in parts else tuple(one for part in parts if part for one in part)
    if annotation is Any:
        return (object,)
    if annotation is float:
        return (float, int)
    if annotation in (str, int, bool, types.NoneType, object) or _is_leaf(annotation):
        return (annotation,)
    return None


def _is_leaf(annotation: Any) -> bool:
    """Whether an annotation is just a class whose values have a field type of the core's."""
    return (
        isinstance(annotation, type)
        and not issubclass(annotation, enum.Enum)
        and annotation.__module__ in ("builtins", "datetime", "decimal", "uuid")
        and field_type_of(annotation) is not None
    )


def _has_own_constructor(cls: Any) -> bool:
    """Whether code of a class's own runs when an instance is made: it may refuse what the annotations allow."""
    code = getattr(cls.__init__, "__code__", None)
    is_generated = code is not None and code.co_filename.startswith("<")  # by dataclasses or attrs
    setter = getattr(cls.__setattr__, "__code__", None)  # of frozen classes, dataclasses or attrs made it
    sets_itself = setter is not None and setter.co_filename[:1] != "<" and cls.__setattr__.__module__ == cls.__module__
    described = any(
        hasattr(type(one), "__set__") and not isinstance(one, types.MemberDescriptorType)
        for one in (inspect.getattr_static(cls, name, None) for name in field_names(cls) or ())
    )
    return not is_generated or sets_itself or described or cls.__new__ is not object.__new__


def _may_fail(factory: Any) -> bool:
    """Whether what makes a default may refuse to, or make what the class refuses; `list` and its like never do."""
    return callable(factory) and getattr(factory, "__module__", "") != "builtins"


def _structured(cls: Any, taken: set[str], required: set[str], made: set[str], *, has_rules: bool) -> Library:
    from divan.store.structuring import make_converter, words_of

    converter = make_converter(lambda struct: _msgspec(struct).load)
    hints = annotations_of(cls)
    try:
        make = converter.get_structure_hook(cls)
        hooks = {name: converter.get_structure_hook(hints[name]) for name in taken}
    except Exception as error:
        reason = words_of(error)
        raise InvalidSchema(f"{cls.__name__}: no instance could be made of a stored document: {reason}") from error

    def load(given: _Fields) -> Any:
        return make(given, cls)

    def check(given: _Fields) -> _Fields:
        return {name: hooks[name](value, hints[name]) for name, value in given.items() if name in hooks}

    return Library(
        load,
        check,
        frozenset(taken),
        frozenset(required),
        _numbers(hints),
        has_rules,
        words=words_of,
        made=frozenset(made),
    )


def _numbers(annotations: Mapping[str, Any]) -> dict[str, tuple[type, ...]]:
    """Those of the fields that hold any number of a class, or none: field name → what may be added."""
    numbers: dict[str, tuple[type, ...]] = {}
    for name, annotation in annotations.items():
        is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
        parts = set(typing.get_args(annotation)) - {types.NoneType} if is_union else ()
        if int in (annotation, *parts) and len(parts) < 2:
            numbers[name] = (int,)
        elif float in (annotation, *parts) and len(parts) < 2:
            numbers[name] = (int, float)
    return numbers


def id_class(cls: Any) -> type:
    """The class of the ids that a class declares: `str`, `int` or `UUID`.

    Args:
        cls: A class with a field ``id``.

    Raises:
        InvalidSchema: if it is none of these.
    """
    found = {part for part in _id_classes(annotations_of(cls)["id"]) if part is not types.NoneType}
    if len(found) == 1:
        (one,) = found
        if issubclass(one, str) or one is int or f"{one.__module__}.{one.__qualname__}" == "uuid.UUID":
            return str if issubclass(one, str) else one
    if found <= {object}:
        return str
    names = " | ".join(sorted(one.__name__ for one in found))
    raise InvalidSchema(f"{cls.__name__}.id: a document's id is a str, an int or a UUID, and {names} is declared")


def _id_classes(annotation: Any) -> typing.Iterator[type]:
    for part in parts_of(annotation):
        if getattr(part, "__name__", "") != "UnsetType":
            yield part if isinstance(part, type) else object
