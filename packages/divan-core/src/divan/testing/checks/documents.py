"""Internal: the checks of documents: large and odd ones that every store takes, and bad ones that none does."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections import OrderedDict, UserDict
from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import InvalidDocument, Store
from divan.testing.base import StoreChecks
from divan.testing.comparing import as_json
from divan.testing.limits import BIG_INTS, LARGE_DOCUMENTS, SCRIPT_NAMES
from divan.testing.reporting import failing
from divan.validation import MAX_DEPTH


def nested(depth: int, container: str = "object") -> dict[str, Any]:
    """A document with so many levels of objects, or of lists in it."""
    value: Any = 1
    for _ in range(depth - 1):
        value = {"a": value} if container == "object" else [value]
    return {"a": value}


def _cyclic_object() -> dict[str, Any]:
    document: dict[str, Any] = {"a": {"b": {}}}
    document["a"]["b"]["c"] = document["a"]
    return document


def _cyclic_list() -> dict[str, Any]:
    items: list[Any] = [1]
    items.append(items)
    return {"a": items}


BAD: Final[dict[str, tuple[Callable[[], Any], str]]] = {
    "NaN": (lambda: {"a": float("nan")}, "a"),
    "infinity": (lambda: {"a": float("inf")}, "a"),
    "minus infinity": (lambda: {"a": float("-inf")}, "a"),
    "NaN in a list": (lambda: {"guests": [{"age": 1}, {"age": float("nan")}]}, "guests[1].age"),
    "an integer of 65 bits": (lambda: {"a": 2**64}, "a"),
    "an integer just too large": (lambda: {"a": 2**63}, "a"),
    "an integer just too small": (lambda: {"a": -(2**63) - 1}, "a"),
    "an enormous integer": (lambda: {"a": {"b": 10**5000}}, "a.b"),
    "a lone surrogate": (lambda: {"a": "x\ud800y"}, "a"),
    "a lone low surrogate in a list": (lambda: {"a": ["\udc00"]}, "a[0]"),
    "a lone surrogate in a name": (lambda: {"a\ud800": 1}, ""),
    "a number as a name": (lambda: {1: "a"}, "1"),
    "none as a name": (lambda: {None: "a"}, "None"),
    "a number as a name inside": (lambda: {"a": {"b": {1: 2}}}, "a.b"),
    "an empty name": (lambda: {"": 1}, ""),
    "an empty name inside": (lambda: {"a": {"": 1}}, "a"),
    "a dollar name": (lambda: {"$a": 1}, "$a"),
    "a dollar name inside": (lambda: {"a": [{"$set": 1}]}, "a[0]"),
    "a dotted name": (lambda: {"a.b": 1}, "a.b"),
    "a dotted name inside": (lambda: {"a": {"b.c": 1}}, "a"),
    "an underscore name": (lambda: {"_a": 1}, "_a"),
    "an id as a field": (lambda: {"_id": "x"}, "_id"),
    "a revision as a field": (lambda: {"_rev": "x"}, "_rev"),
    "a NUL in a name": (lambda: {"a\0b": 1}, ""),
    "a level too deep": (lambda: nested(MAX_DEPTH + 1), ""),
    "a list a level too deep": (lambda: nested(MAX_DEPTH + 1, "list"), ""),
    "thousands of levels too deep": (lambda: nested(5000), ""),
    "a document that contains itself": (_cyclic_object, ""),
    "a list that contains itself": (_cyclic_list, ""),
    "a date": (lambda: {"a": datetime.date(2026, 12, 1)}, "DateField"),
    "a datetime": (lambda: {"a": datetime.datetime(2026, 12, 1)}, "DateTimeField"),
    "a time": (lambda: {"a": datetime.time(9)}, "TimeField"),
    "a duration": (lambda: {"a": datetime.timedelta(1)}, "DurationField"),
    "a decimal": (lambda: {"a": decimal.Decimal("1.0")}, "DecimalField"),
    "a UUID": (lambda: {"a": uuid.UUID(int=1)}, "UUIDField"),
    "a date inside": (lambda: {"a": {"b": [datetime.date(2026, 12, 1)]}}, "a.b[0]"),
    "a tuple": (lambda: {"a": (1, 2)}, "a"),
    "a set": (lambda: {"a": {1}}, "a"),
    "bytes": (lambda: {"a": b"x"}, "a"),
    "an object of some class": (lambda: {"a": object()}, "a"),
    "a class": (lambda: {"a": int}, "a"),
    "a complex number": (lambda: {"a": 1j}, "a"),
    "a list in place of a document": (lambda: [("a", 1)], ""),
    "text in place of a document": (lambda: "a", ""),
    "nothing in place of a document": (lambda: None, ""),
}
"""Bad documents: what makes one → (how to make it, what the error names)."""

NAMES: Final = {
    "id": "id", "rev": "rev", "type": "type", "key": "key", "value": "value", "body": "body", "data": "data",
    "document": "document", "docs": "docs", "length": "length", "hash": "hash",
    "a space": "a b", "spaces around": " a ",
    "a dash first": "-a", "a digit first": "1a", "a number": "0", "upper case": "Name", "a colon": "a:b",
    "a slash": "a/b", "a percent sign": "100%", "a hash": "#", "a question mark": "a?", "a quote": "a'b",
    "double quotes": 'a"b"', "a backslash": "a\\b", "a backtick": "a`b", "brackets": "a[0]", "a brace": "{a}",
    "a star": "*", "an at sign": "@a", "a comma": "a,b", "a semicolon": "a;--", "a dollar inside": "a$b",
    "a newline": "a\nb", "an accent": "é", "a decomposed accent": "e\u0301", "an emoji": "😀", "right to left": "שלום",
    "a noncharacter": "\uffff", "a line separator": "\u2028", "a keyword of SQL": "select", "a word of JSON": "null",
    "a method of JavaScript's": "toString", "a long name": "x" * 500,
}  # fmt: skip

INDEXED: Final = (
    "a space", "a number", "a quote", "double quotes", "a backslash", "brackets", "a hash", "a slash", "an emoji",
)  # fmt: skip
"""The names that are also indexed: not all, since stores limit how many indexes a collection may have."""

SCRIPTED: Final = {"a prototype": "__proto__", "a constructor": "constructor"}


class Color(enum.StrEnum):
    """Values that are strings."""

    RED = "red"


class Level(enum.IntEnum):
    """Values that are ints."""

    HIGH = 3


class BadDocuments(StoreChecks):
    """Documents that no store takes: refused before anything is sent."""

    @pytest.mark.parametrize(("make", "named"), BAD.values(), ids=BAD)
    def test_document_is_refused_by_create(self, store: Store, make: Callable[[], Any], named: str) -> None:
        with pytest.raises(InvalidDocument) as caught:
            store.create(make())
        assert named in str(caught.value)

    @pytest.mark.parametrize(("make", "named"), BAD.values(), ids=BAD)
    def test_document_is_refused_by_every_other_write(self, store: Store, make: Callable[[], Any], named: str) -> None:
        document = store.create({"kept": 1})
        for write in (store.replace, store.put):
            with pytest.raises(InvalidDocument):
                write(document.id, make())
        made = make()
        is_path = isinstance(made, dict) and list(made) == ["a.b"]  # which an update understands
        if not is_path:
            with pytest.raises(InvalidDocument):
                store.update(document.id, make())
        if isinstance(make(), dict):
            assert isinstance(failing(lambda: store.create_many([make()])).errors[0], InvalidDocument)
        if not is_path:
            assert isinstance(failing(lambda: store.update_many([(document.id, make())])).errors[0], InvalidDocument)
        assert store.get(document.id) == {"kept": 1}

    def test_refused_documents_are_not_written(self, store: Store) -> None:
        for make, _ in BAD.values():
            with pytest.raises(InvalidDocument):
                store.create(make())
            with pytest.raises(InvalidDocument):
                store.put("ada", make())
        assert store.count() == 0


class GoodDocuments(StoreChecks):
    """Documents that every store takes."""

    @pytest.mark.parametrize("container", ["object", "list"])
    def test_the_greatest_depth_works(self, store: Store, container: str) -> None:
        document = store.create(nested(MAX_DEPTH, container))
        assert store.get(document.id) == nested(MAX_DEPTH, container)

    def test_the_greatest_depth_can_be_updated(self, store: Store) -> None:
        document = store.create({"b": 1})
        store.update(document.id, nested(MAX_DEPTH))
        assert store.get(document.id) == {"b": 1, **nested(MAX_DEPTH)}

    def test_a_string_of_a_megabyte(self, store: Store) -> None:
        with self.within(LARGE_DOCUMENTS):
            document = store.create({"text": "é" * 500_000})
            assert len(store.get(document.id)["text"]) == 500_000

    def test_two_thousand_fields(self, store: Store) -> None:
        data = {f"field {number}": number for number in range(2000)}
        document = store.create(data)
        assert store.update(document.id, {"field 0": "x"}) == {**data, "field 0": "x"}

    def test_a_list_of_ten_thousand_items(self, store: Store) -> None:
        document = store.create({"items": list(range(10_000))})
        assert store.get(document.id) == {"items": list(range(10_000))}

    def test_every_kind_of_value_in_one_document(self, store: Store) -> None:
        data: dict[str, Any] = {
            "null": None, "true": True, "false": False, "int": 1, "float": 1.5, "text": "x", "empty text": "",
            "list": [None, True, 1, 1.5, "x", [], {}], "empty list": [], "object": {"list": [{"a": [[]]}]},
            "empty object": {},
        }  # fmt: skip
        document = store.create(data)
        assert as_json(store.get(document.id)) == as_json(data)

    def test_an_empty_list_stays_a_list(self, store: Store) -> None:
        document = store.create({"a": [], "b": {"c": [], "d": [[]]}})
        assert as_json(store.get(document.id)) == as_json({"a": [], "b": {"c": [], "d": [[]]}})

    def test_an_empty_object_stays_an_object(self, store: Store) -> None:
        document = store.create({"a": {}, "b": {"c": {}, "d": [{}]}})
        assert as_json(store.get(document.id)) == as_json({"a": {}, "b": {"c": {}, "d": [{}]}})

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_field_may_be_called(self, store: Store, name: str) -> None:
        document = store.create({name: 1, "other": {name: [2]}})
        store.update(document.id, {"more": 3})
        assert store.get(document.id) == {name: 1, "other": {name: [2]}, "more": 3}

    @pytest.mark.parametrize("name", SCRIPTED.values(), ids=SCRIPTED)
    def test_a_field_may_be_called_as_javascript_calls(self, store: Store, name: str) -> None:
        with self.within(SCRIPT_NAMES):
            key = name.lstrip("_")
            document = store.create({key: 1, "other": {name: {"a": 2}}})
            assert store.get(document.id) == {key: 1, "other": {name: {"a": 2}}}

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_field_can_be_updated_and_found_by_its_name(self, store: Store, name: str) -> None:
        first, second = store.create_many([{name: 1}, {name: 2, "other": {name: "x"}}])
        store.update(first.id, {name: 3})
        assert [found.id for found in store.find({name: {"$gte": 3}})] == [first.id]
        assert [found.id for found in store.find({f"other.{name}": "x"})] == [second.id]
        assert [found.id for found in store.find(sort=f"-{name}", fields=[name])] == [first.id, second.id]

    @pytest.mark.parametrize("name", [NAMES[name] for name in INDEXED], ids=INDEXED)
    def test_a_field_can_be_indexed_by_its_name(self, store: Store, name: str) -> None:
        store.ensure_index(name)
        first, second = store.create_many([{name: 1}, {name: "x"}])
        assert [found.id for found in store.find({name: "x"})] == [second.id]
        assert [found.id for found in store.find({name: {"$lte": 1}})] == [first.id]

    def test_an_underscore_name_works_inside(self, store: Store) -> None:
        document = store.create({"a": {"_id": 1, "_rev": "x", "_a": [{"_b": 2}]}})
        assert store.get(document.id) == {"a": {"_id": 1, "_rev": "x", "_a": [{"_b": 2}]}}

    def test_names_are_told_apart_by_case(self, store: Store) -> None:
        document = store.create({"a": 1, "A": 2})
        assert store.update(document.id, {"A": 3}) == {"a": 1, "A": 3}

    def test_other_mappings_are_taken(self, store: Store) -> None:
        document = store.create(UserDict({"a": OrderedDict(b=1)}))
        assert store.get(document.id) == {"a": {"b": 1}}

    def test_enumerated_strings_and_ints_are_stored_as_what_they_are(self, store: Store) -> None:
        document = store.create({"color": Color.RED, "level": Level.HIGH, "list": [Color.RED]})
        assert as_json(store.get(document.id)) == as_json({"color": "red", "level": 3, "list": ["red"]})

    def test_a_document_can_be_stored_again_under_another_id(self, store: Store) -> None:
        document = store.create({"a": [1], "b": {"c": None}})
        copied = store.create(store.get(document.id))
        assert (copied.id != document.id, dict(copied)) == (True, {"a": [1], "b": {"c": None}})

    def test_long_integers_in_a_list_keep_their_digits(self, store: Store) -> None:
        with self.within(BIG_INTS):
            document = store.create({"ids": [2**53 + 1, -(2**63), 2**63 - 1, 1234567890123456789]})
            assert store.get(document.id)["ids"] == [2**53 + 1, -(2**63), 2**63 - 1, 1234567890123456789]
