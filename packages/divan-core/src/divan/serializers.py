"""Field types: the functions that turn values JSON can't hold into stored form and back, and how one is picked.

The picking, highest first: the schema's own override, a plugin that says ``override=True``, the backend's
`default_serializers`, other plugins, the core's defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from divan.errors import InvalidDocument, InvalidSchema, PluginConflict, shown
from divan.validation import INT_MAX, INT_MIN, MAX_DEPTH, check_path

if TYPE_CHECKING:
    from datetime import date, datetime, time, timedelta


class Offer(Protocol):
    """A serializer that one plugin gives for a field type."""

    @property
    def distribution(self) -> str:
        """The distribution that the plugin comes from."""

    @property
    def serializer(self) -> Mapping[str, Any]:
        """The serializer dictionary."""

    @property
    def tryfirst(self) -> bool:
        """Whether it goes before those of other plugins."""


Offers = Mapping[str, Sequence[Offer]]
"""Field type → what each plugin gives for it."""

FieldType = str | type | Mapping[str, Any] | object
"""A field type's name, a `Scaled`, a form field (class or instance), or a serializer dictionary."""

ANY_NAME: Final = "*"
"""In a schema's path: every name that the object there has."""


class FieldSerializer(NamedTuple):
    """The serializer that was picked for a field type.

    Attributes:
        field_type: The field type's name.
        serialize: Value → stored form; `None` for a field type whose values are stored as they are.
        deserialize: Stored form → value; `None` likewise.
        ordered: Whether stored forms sort like the values.
        source: Where it comes from, for people: ``"schema"``, ``"backend mongo"``, ``"plugin divan-geo"``, ``"core"``.
        additive: Whether the sum of two stored forms is that of the values' sum, so that `divan.Increment` may add.
    """

    field_type: str
    serialize: Callable[[Any], Any] | None
    deserialize: Callable[[Any], Any] | None
    ordered: bool
    source: str
    additive: bool = False

    def encode(self, field: str, value: Any) -> Any:
        """The stored form of a value; lists item by item, `None` as it is.

        Raises:
            InvalidDocument: naming field, field type and source, if the serializer raises, or what it gives would not
                come back.
        """
        stored = self._each(self.serialize, field, value, "can't be stored")
        if self.source != "core" and self.serialize not in _KNOWN_TO_COME_BACK:
            self._prove(field, value, stored)
        return stored

    def _prove(self, field: str, value: Any, stored: Any) -> None:
        """Refuse a stored form of which `decode` makes nothing, or something that has another stored form."""
        if not isinstance(stored, str | int | float | list | Mapping):
            return  # a store's own, or for validation to refuse
        try:
            back = self._each(self.deserialize, field, stored, "can't be read")
            again = self._each(self.serialize, field, back, "can't be stored again")
            reason = "" if again == stored else f"what is read of it has the stored form {shown(again)}"
        except InvalidDocument as error:
            reason = str(error)
        if reason:
            if isinstance(stored, list):
                reason += "; a list is read item by item, so store an object or text"
            raise InvalidDocument(
                f"{field}: the stored form {shown(stored)} of a {type(value).__name__} would not come back as "
                f"{self.field_type} (serializer of {self.source}): {reason}"
            )

    def decode(self, field: str, value: Any) -> Any:
        """The value of a stored form; the reverse of `encode`.

        Raises:
            InvalidDocument: naming field, field type and source, if the deserializer raises.
        """
        return self._each(self.deserialize, field, value, "can't be read")

    def _each(self, function: Callable[[Any], Any] | None, field: str, value: Any, what: str, depth: int = 2) -> Any:
        if value is None or function is None:
            return value
        if isinstance(value, list):
            if depth > MAX_DEPTH:
                raise InvalidDocument(f"{field}: nested deeper than {MAX_DEPTH} levels, or a list that holds itself")
            return [
                self._each(function, f"{field}[{index}]", item, what, depth + 1) for index, item in enumerate(value)
            ]
        try:
            return function(value)
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise InvalidDocument(
                f"{field}: a {type(value).__name__} {what} as {self.field_type} (serializer of {self.source}): {reason}"
            ) from error


# The core's functions. They import what their values are made of when they are called: `import divan` need not spend
# the 7 ms that datetime, decimal and uuid take.


def serialize_date(value: date | str) -> str:
    """A date as ``2026-12-01``. Text in that form is checked and taken."""
    from datetime import date, datetime

    if isinstance(value, str):
        value = date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError(
            "a date is needed" + ("; a datetime would lose its time" if isinstance(value, datetime) else "")
        )
    return value.isoformat()


def deserialize_date(value: str) -> date:
    """The date of `serialize_date`."""
    from datetime import date

    return date.fromisoformat(value)


def serialize_datetime(value: datetime | str) -> str:
    """A datetime at fixed width, to the microsecond: aware ones in UTC, ending in ``Z``; naive ones without a zone."""
    from datetime import UTC, datetime

    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise TypeError("a datetime is needed")
    if value.utcoffset() is None:
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def deserialize_datetime(value: str) -> datetime:
    """The datetime of `serialize_datetime`: the same instant, in UTC if it is aware."""
    from datetime import datetime

    return datetime.fromisoformat(value)


def serialize_time(value: time | str) -> str:
    """A naive time as ``09:30:00.000000``."""
    from datetime import time

    if isinstance(value, str):
        value = time.fromisoformat(value)
    if not isinstance(value, time):
        raise TypeError("a time is needed")
    if value.tzinfo is not None:
        raise ValueError("a time of day with a time zone has no order; store a datetime")
    return value.isoformat(timespec="microseconds")


def deserialize_time(value: str) -> time:
    """The time of `serialize_time`."""
    from datetime import time

    return time.fromisoformat(value)


def serialize_duration(value: timedelta | int) -> int:
    """A duration as a whole number of microseconds, which sorts; an int is taken as that number."""
    from datetime import timedelta

    if isinstance(value, timedelta):
        value = value // timedelta(microseconds=1)
    elif isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a timedelta, or a whole number of microseconds, is needed")
    if not INT_MIN <= value <= INT_MAX:
        raise OverflowError("a duration of more than 292,000 years does not fit into 64 bits")
    return value


def deserialize_duration(value: int) -> timedelta:
    """The duration of `serialize_duration`."""
    from datetime import timedelta

    return timedelta(microseconds=value)


def serialize_decimal(value: Any) -> str:
    """A finite Decimal as its exact text, trailing zeros kept; an int, or such text, is taken too.

    The text does not sort like the number, so range queries and sorts on it are refused; and ``1.0`` and ``1.00`` are
    different texts, so quantize what is to be compared for equality.
    """
    from decimal import Decimal, InvalidOperation

    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError("a Decimal, an int, or a number's text is needed; a float is not exact")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is no decimal number") from None
    if not number.is_finite():
        raise ValueError(f"{number} is not a finite number")
    return str(number)


def deserialize_decimal(value: str) -> Any:
    """The Decimal of `serialize_decimal`."""
    from decimal import Decimal

    if not isinstance(value, str):
        raise TypeError("a decimal number's text is needed")
    return Decimal(value)


def serialize_uuid(value: Any) -> str:
    """A UUID as its canonical text."""
    from uuid import UUID

    return str(value if isinstance(value, UUID) else UUID(str(value)))


def deserialize_uuid(value: str) -> Any:
    """The UUID of `serialize_uuid`."""
    from uuid import UUID

    return UUID(value)


class Scaled:
    """A field type: exact decimal numbers, stored as a whole number of their smallest unit.

    ``Scaled(2)`` stores ``Decimal("9.50")`` as 950, which sorts, answers ranges and takes `divan.Increment` on every
    store, as text does not. The value comes back with so many places, ``Decimal("9.50")``. One with more is
    `InvalidDocument`: nothing is rounded. In a class: ``Annotated[Decimal, divan.Scaled(2)]``.

    Args:
        places: How many decimal places are kept, 0 to 18. The whole number must fit into 64 bits: with 2 places,
            amounts up to 92 quadrillion.

    Raises:
        InvalidSchema: if `places` is none of these.
    """

    __slots__ = ("places",)

    def __init__(self, places: int) -> None:
        if isinstance(places, bool) or not isinstance(places, int) or not 0 <= places <= 18:
            raise InvalidSchema(f"Scaled takes the number of decimal places, 0 to 18, not {shown(places)}")
        self.places = places

    def __repr__(self) -> str:
        return f"divan.Scaled({self.places})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaled) and self.places == other.places

    def __hash__(self) -> int:
        return hash((Scaled, self.places))

    def serialize(self, value: Any) -> int:
        """The whole number of smallest units in a Decimal, an int, or a number's text."""
        from decimal import Decimal

        sign, digits, exponent = Decimal(serialize_decimal(value)).as_tuple()
        if not isinstance(exponent, int):  # of what is not finite, which `serialize_decimal` refuses
            raise TypeError("a finite number is needed")
        while exponent < -self.places and digits[-1] == 0 and len(digits) > 1:
            digits, exponent = digits[:-1], exponent + 1
        if exponent < -self.places and digits != (0,):
            raise ValueError(f"{value} has more than {self.places} decimal places; round it first")
        if len(digits) + exponent + self.places > 20 and digits != (0,):
            raise OverflowError(f"{value} does not fit into 64 bits with {self.places} decimal places")
        units = int("".join(map(str, digits))) * 10 ** max(exponent + self.places, 0) if digits != (0,) else 0
        units = -units if sign else units
        if not INT_MIN <= units <= INT_MAX:
            raise OverflowError(f"{value} does not fit into 64 bits with {self.places} decimal places")
        return units

    def deserialize(self, value: int) -> Any:
        """The Decimal of so many smallest units."""
        from decimal import Decimal

        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError("a whole number is needed")
        return Decimal((value < 0, tuple(map(int, str(abs(value)))), -self.places))


def serialize_binary(value: Any) -> str:
    """Bytes as base64 text, which does not sort like them. Such text is checked and taken."""
    from base64 import b64encode

    if isinstance(value, str):
        value = deserialize_binary(value)
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes are needed")
    return b64encode(value).decode("ascii")


def deserialize_binary(value: str) -> bytes:
    """The bytes of `serialize_binary`."""
    from base64 import b64decode

    return b64decode(value, validate=True)


_DATETIME: Final = {"serialize": serialize_datetime, "deserialize": deserialize_datetime}

DEFAULT_SERIALIZERS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "DateField": {"serialize": serialize_date, "deserialize": deserialize_date},
        "DateTimeField": _DATETIME,
        "SplitDateTimeField": _DATETIME,
        "TimeField": {"serialize": serialize_time, "deserialize": deserialize_time},
        "DurationField": {"serialize": serialize_duration, "deserialize": deserialize_duration},
        "DecimalField": {"serialize": serialize_decimal, "deserialize": deserialize_decimal, "ordered": False},
        "UUIDField": {"serialize": serialize_uuid, "deserialize": deserialize_uuid},
        "BinaryField": {"serialize": serialize_binary, "deserialize": deserialize_binary, "ordered": False},
    }
)
"""The core's serializers: every field of Django's whose value JSON can't hold. A driver declares these in full."""

_KNOWN_TO_COME_BACK: Final = frozenset(serializer["serialize"] for serializer in DEFAULT_SERIALIZERS.values())
"""The core's functions, which drivers declare as theirs."""

PLAIN_FIELD_TYPES: Final = frozenset(
    {
        "AutoField", "BigAutoField", "BigIntegerField", "BooleanField", "CharField", "ChoiceField", "ComboField",
        "CommaSeparatedIntegerField", "EmailField", "Field", "FileField", "FilePathField", "FloatField",
        "GenericIPAddressField", "IPAddressField", "ImageField", "IntegerField", "JSONField", "ModelChoiceField",
        "ModelMultipleChoiceField", "MultiValueField", "MultipleChoiceField", "NullBooleanField",
        "PositiveBigIntegerField", "PositiveIntegerField", "PositiveSmallIntegerField", "RegexField", "SlugField",
        "SmallAutoField", "SmallIntegerField", "TextField", "TypedChoiceField", "TypedMultipleChoiceField", "URLField",
    }
)  # fmt: skip
"""Field types whose values are stored as they are: the rest of Django's, of its forms and of its models."""


# Picking


def pick_serializer(
    field_type: str, backend_name: str, backend_serializers: Mapping[str, Mapping[str, Any]], plugins: Offers
) -> FieldSerializer | None:
    """The serializer of a field type on one backend, or `None` if nothing knows it.

    Args:
        field_type: The field type's name.
        backend_name: What the backend is called in `FieldSerializer.source`.
        backend_serializers: The backend's `default_serializers`.
        plugins: What the installed plugins give.

    Raises:
        PluginConflict: if the choice falls between two plugins.
    """
    overriding = [entry for entry in plugins.get(field_type, ()) if entry.serializer.get("override")]
    if overriding:
        return _make(field_type, *_first(field_type, overriding))
    if field_type in backend_serializers:
        return _make(field_type, backend_serializers[field_type], f"backend {backend_name}")
    if plugins.get(field_type):
        return _make(field_type, *_first(field_type, plugins[field_type]))
    if field_type in DEFAULT_SERIALIZERS:
        return _make(field_type, DEFAULT_SERIALIZERS[field_type], "core")
    if field_type in PLAIN_FIELD_TYPES:
        return FieldSerializer(field_type, None, None, True, "core")
    return None


def resolve_schema(
    schema: Mapping[str, FieldType],
    backend_name: str,
    backend_serializers: Mapping[str, Mapping[str, Any]],
    plugins: Offers,
) -> dict[str, FieldSerializer]:
    """The serializer of each field in a schema, by its dotted path; fields stored as they are left out.

    Raises:
        InvalidSchema: if the schema is no mapping, a path can be no field's, or a field type is not known.
        PluginConflict: if the choice falls between two plugins.
    """
    if not isinstance(schema, Mapping):
        raise InvalidSchema(f"a schema maps field names to field types, and {type(schema).__name__} is no mapping")
    resolved = {}
    for field, field_type in schema.items():
        _check_field(field)
        if isinstance(field_type, Scaled):
            functions = {"serialize": field_type.serialize, "deserialize": field_type.deserialize, "additive": True}
            serializer = _make(repr(field_type), functions, "core")
        elif isinstance(field_type, Mapping):
            serializer = _make("its own field type", field_type, f"the schema's {field!r}")
        else:
            names = _type_names(field, field_type)
            candidates = (pick_serializer(name, backend_name, backend_serializers, plugins) for name in names)
            found = next((candidate for candidate in candidates if candidate is not None), None)
            if found is None:
                raise InvalidSchema(_unknown(field, names[0], {*backend_serializers, *plugins}))
            serializer = found
        if serializer.serialize is not None or not serializer.ordered:
            resolved[field] = serializer
    return resolved


def _check_field(field: object) -> None:
    try:
        names = check_path(field)
    except InvalidDocument as error:
        raise InvalidSchema(f"the schema names what can be no field: {error}") from None
    if names[0] == ANY_NAME:
        raise InvalidSchema(f"{field}: a '*' stands for the names inside a field; name the field first")


def _type_names(field: str, field_type: Any) -> list[str]:
    """The names to look a field type up by: its own, or its class's and those of the classes that one derives from."""
    if isinstance(field_type, str):
        return [field_type]
    cls = field_type if isinstance(field_type, type) else type(field_type)
    names = [base.__name__ for base in cls.__mro__ if base is not object]
    if not any(name.endswith("Field") for name in names):
        raise InvalidSchema(f"{field}: {field_type!r} is no field type; give a name such as 'DateField'")
    return names


def _first(field_type: str, entries: Sequence[Offer]) -> tuple[Mapping[str, Any], str]:
    """The one plugin's serializer, or of several the one that declares ``tryfirst``."""
    if len(entries) > 1:
        urgent = [entry for entry in entries if entry.tryfirst]
        if len(urgent) != 1:
            names = " and ".join(sorted(entry.distribution for entry in entries))
            raise PluginConflict(
                f"{field_type} is given by two plugins, {names}: uninstall one, leave one out of DIVAN_PLUGINS, or let "
                "one declare @divan.hookimpl(tryfirst=True); a serializer dictionary in the schema beats both"
            )
        entries = urgent
    return entries[0].serializer, f"plugin {entries[0].distribution}"


def _make(field_type: str, serializer: Mapping[str, Any], source: str) -> FieldSerializer:
    for key in ("serialize", "deserialize"):
        if not callable(serializer.get(key)):
            raise InvalidSchema(f"{source}: the serializer dictionary of {field_type} has no callable {key!r}")
    ordered, additive = bool(serializer.get("ordered", True)), bool(serializer.get("additive", False))
    return FieldSerializer(field_type, serializer["serialize"], serializer["deserialize"], ordered, source, additive)


def _unknown(field: str, field_type: str, installed: set[str]) -> str:
    import difflib  # only on the way to an error

    known = sorted({*DEFAULT_SERIALIZERS, *PLAIN_FIELD_TYPES, *installed})
    close = difflib.get_close_matches(field_type, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{field}: unknown field type {field_type!r}{hint}; known are {', '.join(known)}"
