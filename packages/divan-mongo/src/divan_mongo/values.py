"""Internal: BSON's own types, read without loss, written back as they were, and used by ``?types=native``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Any, Final

from bson import (
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    UuidRepresentation,
)
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from divan.backends.base import BaseDivanBackend, Serializer
from divan.serializers import (
    DEFAULT_SERIALIZERS,
    deserialize_date,
    deserialize_datetime,
    deserialize_decimal,
    deserialize_uuid,
    serialize_date,
    serialize_datetime,
    serialize_decimal,
    serialize_uuid,
)


class BSONDate(datetime):
    """A date of BSON's own: an aware `datetime` in UTC, exact to the millisecond.

    A class of its own because a plain `datetime` needs a declared field type on every store alike, while a date that
    another program wrote into MongoDB may be written back as it was read.
    """

    __slots__ = ()

    @classmethod
    def of(cls, value: datetime) -> BSONDate:
        """The same instant; microseconds are cut to milliseconds, and a naive time is taken as UTC.

        Args:
            value: Any datetime.
        """
        if value.utcoffset() is not None:
            value = value.astimezone(UTC)
        milliseconds = value.microsecond // 1000 * 1000
        return cls(value.year, value.month, value.day, value.hour, value.minute, value.second, milliseconds, tzinfo=UTC)


NATIVE_TYPES: Final = (
    BSONDate, Binary, Code, DatetimeMS, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp,
)  # fmt: skip
"""What a document may hold beside JSON's values."""


CODEC_OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,  # a date beyond the year 9999 arrives as DatetimeMS
)
"""How documents are decoded, before `readable` is applied."""

PLAIN_TYPES: Final = frozenset({str, int, float, bool, type(None)})
"""The types of decoded values that are read as they are, beside lists and objects that hold nothing else."""

_are_plain: Final = PLAIN_TYPES.issuperset


def readable(value: Any) -> Any:
    """A decoded value with JSON's values as plain Python values, and all others as instances of `NATIVE_TYPES`.

    Lists and objects are changed in place. A `TypeRegistry` would do this while decoding, but slows each operation down
    by a fifth.

    Args:
        value: Anything that bson decodes.
    """
    kind = value.__class__
    if kind is dict:
        if not _are_plain(map(type, value.values())):
            for name, item in value.items():
                value[name] = readable(item)
    elif kind is list:
        if not _are_plain(map(type, value)):
            value[:] = map(readable, value)
    elif kind is Int64:
        return int(value)
    elif kind is datetime:
        return BSONDate.of(value)
    elif kind is bytes:
        return Binary(value)  # else `bytes`, which no other store takes
    return value


# Field types. Each reads both forms, since a database may hold both.


def _serialize_date(value: date | str) -> BSONDate:
    return BSONDate.of(datetime.combine(deserialize_date(serialize_date(value)), time()))


def _deserialize_date(value: Any) -> date:
    return value.date() if isinstance(value, datetime) else deserialize_date(value)


def _serialize_datetime(value: datetime | str) -> BSONDate:
    return BSONDate.of(deserialize_datetime(serialize_datetime(value)))


def _deserialize_datetime(value: Any) -> datetime:
    if not isinstance(value, BSONDate):
        return deserialize_datetime(value)
    return datetime.combine(value.date(), value.timetz())


def _serialize_decimal(value: Any) -> Decimal128:
    return Decimal128(serialize_decimal(value))


def _deserialize_decimal(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else deserialize_decimal(value)


def _serialize_uuid(value: Any) -> Binary:
    return Binary.from_uuid(deserialize_uuid(serialize_uuid(value)), UuidRepresentation.STANDARD)


def _deserialize_uuid(value: Any) -> Any:
    return value.as_uuid() if isinstance(value, Binary) else deserialize_uuid(value)


PORTABLE_SERIALIZERS: Final[Mapping[str, Serializer]] = MappingProxyType(
    {
        **DEFAULT_SERIALIZERS,
        "DateField": {**DEFAULT_SERIALIZERS["DateField"], "deserialize": _deserialize_date},
        "DateTimeField": {**DEFAULT_SERIALIZERS["DateTimeField"], "deserialize": _deserialize_datetime},
        "SplitDateTimeField": {**DEFAULT_SERIALIZERS["SplitDateTimeField"], "deserialize": _deserialize_datetime},
        "DecimalField": {**DEFAULT_SERIALIZERS["DecimalField"], "deserialize": _deserialize_decimal},
        "UUIDField": {**DEFAULT_SERIALIZERS["UUIDField"], "deserialize": _deserialize_uuid},
    }
)
"""The core's text form, exact and the same on every store; values that others wrote in BSON's types are read too."""

_NATIVE_DATETIME: Final = {"serialize": _serialize_datetime, "deserialize": _deserialize_datetime}

NATIVE_SERIALIZERS: Final[Mapping[str, Serializer]] = MappingProxyType(
    {
        **DEFAULT_SERIALIZERS,
        "DateField": {"serialize": _serialize_date, "deserialize": _deserialize_date},
        "DateTimeField": _NATIVE_DATETIME,
        "SplitDateTimeField": _NATIVE_DATETIME,
        "DecimalField": {"serialize": _serialize_decimal, "deserialize": _deserialize_decimal},
        "UUIDField": {"serialize": _serialize_uuid, "deserialize": _deserialize_uuid},
    }
)
"""The serializers of ``?types=native``; times of day and durations, which BSON lacks, keep the portable form."""


class SerializersByOption:
    """The attribute `default_serializers` of a backend: an open one's are those that its option ``types`` names.

    A class, which has been opened with no option, has those of the option's default.
    """

    def __get__(self, backend: BaseDivanBackend | None, _owner: type[BaseDivanBackend]) -> Mapping[str, Serializer]:
        is_native = backend is not None and backend.options["types"] == "native"
        return NATIVE_SERIALIZERS if is_native else PORTABLE_SERIALIZERS
