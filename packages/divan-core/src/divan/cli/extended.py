"""Internal: MongoDB's extended JSON: objects that tell a value and its type."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from divan.errors import InvalidDocument, shown
from divan.serializers import DEFAULT_SERIALIZERS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UUID: Final = "04"
_DIGITS: Final = re.compile(r"[+-]?[0-9]{1,19}")


def id_of(value: Any) -> Any:
    """The id that a value is, as a text: a number's digits, what extended JSON says; anything else as it is.

    Args:
        value: What stands where an id does.
    """
    if isinstance(value, dict) and is_extended(value):
        value = plain_of(value, "_id")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_extended(value: Mapping[str, Any]) -> bool:
    """Whether an object is one of extended JSON's, which tells the type of a value.

    Args:
        value: The object.
    """
    return any(key in _READERS or key in _ELSEWHERE_UNKNOWN for key in value)


def plain_of(value: Mapping[str, Any], path: str) -> Any:
    """The value that an object of extended JSON's stands for, as it is stored.

    Args:
        value: The object.
        path: Where it is.

    Raises:
        InvalidDocument: naming the path, if it stands for none.
    """
    key = next(key for key in value if key in _READERS or key in _ELSEWHERE_UNKNOWN)
    if key in _ELSEWHERE_UNKNOWN:
        raise InvalidDocument(
            f"{path}: {key} is a type of MongoDB's that has no form elsewhere; convert it, or leave it out"
        )
    try:
        if value.keys() - {key, "$type" if key == "$binary" else key}:
            raise ValueError(value)
        return _READERS[key](value)
    except InvalidDocument as error:
        raise InvalidDocument(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, OverflowError, ArithmeticError, AttributeError) as error:
        raise InvalidDocument(f"{path}: {shown(dict(value))} is no {key} of MongoDB's extended JSON") from error


def _stored(field_type: str, value: Any) -> Any:
    """A value as Divan's field type stores it."""
    return DEFAULT_SERIALIZERS[field_type]["serialize"](value)


def _date(value: Mapping[str, Any]) -> Any:
    told = value["$date"]
    if isinstance(told, dict):
        told = _whole(told["$numberLong"])
    if isinstance(told, str):
        moment = datetime.fromisoformat(told)
        return _stored("DateTimeField", moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    if isinstance(told, bool) or not isinstance(told, int):
        raise ValueError(told)
    try:
        return _stored("DateTimeField", _EPOCH + timedelta(milliseconds=told))
    except OverflowError:
        raise InvalidDocument(f"the date of {told} ms since 1970 is not within the years 1 to 9999") from None


def _whole(text: Any) -> int:
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _decimal(value: Mapping[str, Any]) -> Any:
    try:
        number = Decimal(value["$numberDecimal"].replace("_", "no number"))
    except InvalidOperation:
        raise ValueError(value) from None
    if not number.is_finite():
        raise InvalidDocument(f"{value['$numberDecimal']} is no number that can be stored")
    return _stored("DecimalField", number)


def _double(value: Mapping[str, Any]) -> float:
    number = float(value["$numberDouble"])
    if number - number != 0:
        raise InvalidDocument(f"{value['$numberDouble']} is no number that can be stored")
    return number


def _binary(value: Mapping[str, Any]) -> Any:
    told = value["$binary"]
    text, kind = (told["base64"], told["subType"]) if isinstance(told, dict) else (told, value["$type"])
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text) from None
    if int(kind, 16) == 3:
        raise InvalidDocument("a UUID of the subtype 03, of whose bytes nobody knows the order; convert it to 04 first")
    if kind == _UUID:
        return _stored("UUIDField", UUID(bytes=data))
    return _stored("BinaryField", data)


def _object_id(value: Mapping[str, Any]) -> str:
    text: str = value["$oid"]
    if len(bytes.fromhex(text)) != 12 or len(text) != 24:
        raise ValueError(text)
    return text.lower()


_READERS: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "$oid": _object_id,
    "$date": _date,
    "$numberInt": lambda value: _whole(value["$numberInt"]),
    "$numberLong": lambda value: _whole(value["$numberLong"]),
    "$numberDouble": _double,
    "$numberDecimal": _decimal,
    "$binary": _binary,
    "$uuid": lambda value: _stored("UUIDField", UUID(value["$uuid"])),
    "$symbol": lambda value: str.__str__(value["$symbol"]),
}
_ELSEWHERE_UNKNOWN: Final = frozenset(
    {"$timestamp", "$regularExpression", "$regex", "$dbPointer", "$code", "$scope", "$minKey", "$maxKey", "$undefined"}
)
