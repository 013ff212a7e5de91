"""Internal: between MongoDB's documents and the Store's: ids, revisions, and the command of an update."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from bson import Int64, ObjectId, Regex, decode, encode
from bson.errors import BSONError, InvalidId
from divan.backends.support import first_revision
from divan.documents import Document
from divan.updates import Change, Step, apply_changes

from divan_mongo.values import CODEC_OPTIONS, PLAIN_TYPES, readable

# A float of this size or more can carry a sum beyond the finite ones; MongoDB would store infinity.
_GREAT_FLOAT: Final = 2.0**969
_BY_ID: Final = [("_id", 1)]
_NEXT_REVISION: Final = {"_rev": 1}
_INTEGERS: Final = frozenset({int, Int64})
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_NOTHING: Final[dict[str, Any]] = {"$in": []}
_BSON: Final = "bson:"  # begins the revision of a document whose `_rev` is neither a whole number nor a string
_new: Final = Document.__new__
_fill: Final = dict.update


def object_id(document_id: str) -> ObjectId | None:
    """The ObjectId whose text this is, or `None`."""
    if len(document_id) != 24:
        return None
    try:
        found = ObjectId(document_id)
    except InvalidId:
        return None
    return found if str(found) == document_id else None


def by_id(document_id: str, rev: str | None = None) -> tuple[dict[str, Any], list[tuple[str, int]] | None]:
    """A filter for the document with this id, and a sort that decides between two.

    MongoDB puts strings before ObjectIds: of two documents whose ids have the same text, the string's is meant.

    Args:
        document_id: The id.
        rev: The revision that the document must have; `None` for any.

    Returns:
        The filter, and the sort: `None` where there can't be two.
    """
    other = object_id(document_id)
    where: dict[str, Any] = {"_id": document_id if other is None else {"$in": [document_id, other]}}
    if rev is not None:
        where["_rev"] = _having_revision(rev)
    return where, None if other is None else _BY_ID


def make_document(raw: dict[str, Any]) -> Document:
    """The Store's form of a document that MongoDB sent, which is used up."""
    key = raw.pop("_id", None)
    revision = raw.pop("_rev", None)
    for name, value in raw.items():
        if value.__class__ not in PLAIN_TYPES:
            raw[name] = readable(value)
    return build_document(
        raw,
        key if key.__class__ is str else str(key),
        str(revision) if revision.__class__ in _INTEGERS else revision_of(revision),
    )


def build_document(fields: dict[str, Any], document_id: str, revision: str) -> Document:
    """A `Document`, not by its constructor, which would take about as long as decoding the document does.

    Args:
        fields: Field name → value; copied.
        document_id: The id.
        revision: The revision.
    """
    document = _new(Document)
    _fill(document, fields)
    document.id = document_id
    document.rev = revision
    document.native = None
    return document


def revision_of(value: Any) -> str:
    """The revision of a document whose ``_rev`` holds this, whoever wrote it; `_having_revision` leads back.

    Whole numbers have their digits, a missing ``_rev`` and null have ``"0"``, and a string has itself. Anything else
    has the text of its BSON, so that it can be found again by that very value.

    Args:
        value: What bson decoded.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        return "0"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _BSON + encode({"": value}, codec_options=CODEC_OPTIONS).hex()


def _having_revision(revision: str) -> Any:
    """What ``_rev`` must be for a document to have this revision; the converse of `revision_of`."""
    if not _is_text(revision):
        return _NOTHING
    found: list[Any] = [revision]  # which another program may have written as a string
    if revision == "0":
        found.append(None)  # MongoDB's word for a field that is missing, too
    if revision.startswith(_BSON):
        with suppress(ValueError, BSONError):
            value = decode(bytes.fromhex(revision.removeprefix(_BSON)), codec_options=CODEC_OPTIONS)[""]
            if isinstance(value, list | Regex):  # which $in would look into, or search for
                return {"$eq": value}
            found.append(value)
    elif (number := _whole(revision)) is not None:
        found.append(number)
    return {"$in": found}


def _is_text(revision: str) -> bool:
    """Whether BSON can hold it as a string."""
    try:
        revision.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(text: str) -> int | float | None:
    """The whole number that is written just so, as BSON holds it; MongoDB compares it with numbers of every type."""
    try:
        number = int(text)
        if str(number) != text:
            return None
        if _INT64_MIN <= number <= _INT64_MAX:
            return number
        return float(number) if int(float(number)) == number else None
    except (ValueError, OverflowError):  # no number, or one of more digits than any float has
        return None


def update_command(change: Change) -> dict[str, Any] | None:
    """The update operators for a change; `None` if MongoDB would not make it as Divan does."""
    command: dict[str, Any] = {}
    if change.data:
        command["$set"] = change.data
    if change.remove:
        command["$unset"] = dict.fromkeys(change.remove, "")
    increment = change.increment
    if change.nested:
        increment = dict(increment)
        for step in change.nested:
            if step.op == "increment":
                increment[".".join(step.path)] = step.value
            elif not _add_step(command, step):
                return None
    if increment:
        if any(isinstance(by, float) and abs(by) >= _GREAT_FLOAT for by in increment.values()):
            return None
        command["$inc"] = {**increment, **_NEXT_REVISION}
    else:
        command["$inc"] = _NEXT_REVISION
    return command


def _add_step(command: dict[str, Any], step: Step) -> bool:
    """Add the operator for a change at a path that adds to no number; whether MongoDB makes it as Divan does."""
    operator, value = "$set", step.value
    if step.op == "remove":
        operator, value = "$unset", ""
    elif step.op == "append":
        if not value:
            return False
        operator, value = "$push", {"$each": value}
    elif step.op == "discard":
        # Of objects it compares the order of their fields, of numbers Decimal128, and one server takes true for 1.
        if not value or not all(item is None or item.__class__ is str for item in value):
            return False
        operator = "$pullAll"
    command[operator] = {**command.get(operator, {}), ".".join(step.path): value}
    return True


def takes(nested: Sequence[Step]) -> list[dict[str, Any]]:
    """What a document must match for `update_command` to change it as Divan does: objects on the way, and lists."""
    conditions: dict[str, dict[str, Any]] = {}
    for step in nested:
        for length in range(1, len(step.path)):
            conditions[".".join(step.path[:length])] = {"$type": "object", "$not": {"$type": "array"}}
        if step.op in ("append", "discard"):
            conditions[".".join(step.path)] = {"$type": "array"}
    return [{"$or": [{name: {"$exists": False}}, {name: condition}]} for name, condition in conditions.items()]


def update_command_from(raw: dict[str, Any], change: Change) -> dict[str, Any]:
    """The update operators for a change that is worked out here, from the document as it was read, which is used up.

    Raises:
        InvalidDocument: if a change can't be made of what is stored.
    """
    before = make_document(raw)
    after = apply_changes(before, *change[1:])
    names = {*change.data, *change.remove, *change.increment, *(step.path[0] for step in change.nested)}
    fields = {name: after[name] for name in names if name in after}
    command: dict[str, Any] = {"$set": {**fields, "_rev": first_revision()}}
    if gone := [name for name in names if name not in after]:
        command["$unset"] = dict.fromkeys(gone, "")
    return command
