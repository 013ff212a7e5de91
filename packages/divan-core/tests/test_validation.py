"""What a portable document, id, field name and path are: the rules, and what is said of a breach."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import math
import uuid
from collections import OrderedDict, UserDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from divan import REMOVE, Increment, InvalidDocument, InvalidID
from divan.validation import (
    INT_MAX,
    INT_MIN,
    MAX_DEPTH,
    MAX_ID_BYTES,
    check_id,
    check_path,
    validate_document,
    validate_value,
)
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=".\0"), min_size=1, max_size=8).filter(
    lambda name: name[0] not in "$_"
)
SCALARS = (
    st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=12)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=6)


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042 - its str() is the member's name, unlike a StrEnum's
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Metres(float):
    def __float__(self) -> float:
        return 0.0


def nested(levels: int, kind: type = list) -> Any:
    """A value of containers nested so many levels deep."""
    value: Any = kind()
    for _ in range(levels - 1):
        value = [value] if kind is list else {"a": value}
    return value


def shared(levels: int, leaf: Any) -> Any:
    """Lists that hold the same list twice, level after level: 2 ** levels leaves in `levels` objects."""
    value = leaf
    for _ in range(levels):
        value = [value, value]
    return value


def exact(value: Any) -> Any:
    """The value with its types, so that ``1``, ``1.0`` and ``True``, or ``0.0`` and ``-0.0``, differ."""
    if isinstance(value, dict):
        return ("dict", type(value), [(name, type(name), exact(item)) for name, item in value.items()])
    if isinstance(value, list):
        return ("list", type(value), [exact(item) for item in value])
    return (type(value), repr(value))


def containers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        yield id(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


def refusal(document: Any) -> str:
    with pytest.raises(InvalidDocument) as caught:
        validate_document(document)
    return str(caught.value)


# What passes


@given(DOCUMENTS)
def test_any_document_within_the_rules_passes_as_an_equal_copy_of_the_same_types(document: dict[str, Any]) -> None:
    assert exact(validate_document(document)) == exact(document)


@given(DOCUMENTS)
def test_the_copy_shares_no_container_with_the_original(document: dict[str, Any]) -> None:
    copied = validate_document(document)

    assert not set(containers(copied)) & set(containers(document))


@given(DOCUMENTS)
def test_the_callers_object_is_not_changed(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)

    validate_document(document)

    assert exact(document) == exact(before)


@given(VALUES)
def test_a_value_by_itself_passes_as_it_does_in_a_document(value: Any) -> None:
    assert exact(validate_value(value, "field")) == exact(validate_document({"field": value})["field"])


def test_two_references_to_one_list_become_two_lists() -> None:
    tags = ["a"]

    copied = validate_document({"one": tags, "two": [tags, tags]})

    assert copied == {"one": ["a"], "two": [["a"], ["a"]]}
    assert len(set(containers(copied))) == len(list(containers(copied)))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"n": INT_MAX}, id="the greatest integer"),
        pytest.param({"n": INT_MIN}, id="the least integer"),
        pytest.param({"n": 1.7976931348623157e308}, id="the greatest float"),
        pytest.param({"n": 5e-324}, id="the least float"),
        pytest.param({"n": -0.0}, id="negative zero"),
        pytest.param({"s": "a\0b"}, id="NUL in a string"),
        pytest.param({"s": "\U0001f600é\u2028"}, id="any Unicode"),
        pytest.param({"a": {"_b": 1}}, id="underscore in a nested name"),
        pytest.param({"a$": 1, "a_": 1, " ": 1, "-a": 1, "0": 1}, id="odd names"),
        pytest.param({}, id="nothing at all"),
        pytest.param({"a": nested(MAX_DEPTH - 1)}, id="the deepest list"),
        pytest.param({"a": nested(MAX_DEPTH - 1, dict)}, id="the deepest object"),
        pytest.param({"a": [[], {}, [{}]]}, id="empty containers"),
    ],
)
def test_values_at_the_limits_pass(document: dict[str, Any]) -> None:
    assert exact(validate_document(document)) == exact(document)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        pytest.param(Colour.RED, "red", id="StrEnum"),
        pytest.param(OldColour.RED, "red", id="str and Enum"),
        pytest.param(Level.HIGH, 3, id="IntEnum"),
        pytest.param(Metres(1.5), 1.5, id="float subclass that converts to something else"),
        pytest.param(UserDict(a=1), {"a": 1}, id="UserDict"),
        pytest.param(OrderedDict(a=Level.HIGH), {"a": 3}, id="OrderedDict"),
        pytest.param(MappingProxyType({"a": [Colour.RED]}), {"a": ["red"]}, id="mapping proxy"),
        pytest.param({Colour.RED: 1}, {"red": 1}, id="enum as a field name"),
        pytest.param({OldColour.RED: 1}, {"red": 1}, id="str and Enum as a field name"),
    ],
)
def test_subclasses_of_json_types_become_the_plain_value(value: Any, stored: Any) -> None:
    assert exact(validate_document({"a": value, "b": [value]})) == exact({"a": stored, "b": [stored]})


@pytest.mark.parametrize(
    "document",
    [UserDict(a={"b": 1}), MappingProxyType({"a": {"b": 1}}), OrderedDict(a={"b": 1})],
    ids=["UserDict", "mapping proxy", "OrderedDict"],
)
def test_any_mapping_is_a_document(document: Mapping[str, Any]) -> None:
    assert exact(validate_document(document)) == exact({"a": {"b": 1}})


@pytest.mark.parametrize("name", [Colour.RED, OldColour.RED], ids=["StrEnum", "str and Enum"])
def test_top_level_names_become_plain_strings(name: str) -> None:
    assert exact(validate_document({name: 1, "b": 2})) == exact({"red": 1, "b": 2})


def test_a_stores_own_types_pass_as_they_are() -> None:
    moment = datetime.date(2026, 12, 1)

    copied = validate_document({"a": moment, "b": [{"c": moment}]}, native=(datetime.date,))

    assert copied["a"] is moment
    assert copied["b"][0]["c"] is moment


# What is refused, and what is said


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": math.nan}, "a: NaN is not storable"),
        ({"a": math.inf}, "a: infinity is not storable"),
        ({"guests": [0, 1, {"age": math.nan}]}, "guests[2].age: NaN is not storable"),
        ({"guests": [[-math.inf]]}, "guests[0][0]: -infinity is not storable"),
        ({"a": Metres("nan")}, "a: NaN is not storable"),
        ({"a": 2**63}, "a: an integer of 65 bits does not fit into 64; store it as a string"),
        ({"a": -(2**63) - 1}, "a: an integer of 65 bits does not fit into 64; store it as a string"),
        ({"a": {"b": 10**6000}}, "a.b: an integer of 19933 bits does not fit into 64; store it as a string"),
        (
            {"a": {"b": "ok\ud800"}},
            "a.b: the character 2 of the string is a lone surrogate, which is not Unicode",
        ),
        ({"a\udfff": 1}, r"the field name 'a\udfff' holds a lone surrogate, which is not Unicode"),
        ({"a": [{"\udfff": 1}]}, r"a[0]: the field name '\udfff' holds a lone surrogate, which is not Unicode"),
        ({1: "x"}, "the field name 1 is an int; field names are strings"),
        ({"a": {None: 1}}, "a: the field name None is None; field names are strings"),
        ({"a": [{(1, 2): 1}]}, "a[0]: the field name (1, 2) is a tuple; field names are strings"),
        ({10**6000: 1}, "the field name <int> is an int; field names are strings"),
        ({"": 1}, "a field name is empty, which no dotted path can address"),
        ({"a": {"": 1}}, "a: a field name is empty, which no dotted path can address"),
        ({"$set": 1}, "the field name '$set' begins with '$', which queries keep for operators"),
        ({"a": [{"$b": 1}]}, "a[0]: the field name '$b' begins with '$', which queries keep for operators"),
        ({"a.b": 1}, "the field name 'a.b' holds a '.', which queries keep for paths"),
        ({"a": {"b.": 1}}, "a: the field name 'b.' holds a '.', which queries keep for paths"),
        ({"_id": 1}, "the field name '_id' begins with '_', which stores keep for metadata"),
        ({"a\0": 1}, r"the field name 'a\x00' holds a NUL character"),
        ({"a": {"b": {"\0": 1}}}, r"a.b: the field name '\x00' holds a NUL character"),
        ({"a": b"x"}, "a: a bytes is not storable as it is; declare its field type, schema={'a': 'BinaryField'}"),
        ({"a": object}, "a: a type is not storable; declare a field type that serializes it"),
        ({"a": 1j}, "a: a complex is not storable; declare a field type that serializes it"),
        ({"a": (1, 2)}, "a: a tuple would come back as a list; store a list"),
        ({"a": [{1, 2}]}, "a[0]: a set would come back as a list; store a list"),
        ({"a": frozenset()}, "a: a frozenset would come back as a list; store a list"),
        ({"a": REMOVE}, "a: divan.REMOVE only means something as a top-level field's value in update()"),
        ({"a": [Increment(2)]}, "a[0]: divan.Increment(2) only means something as a top-level field's value in update()"),
    ],
)  # fmt: skip
def test_a_breach_is_refused_naming_its_path(document: Any, message: str) -> None:
    assert refusal(document) == message


@pytest.mark.parametrize(
    ("value", "field_type"),
    [
        (datetime.date(2026, 12, 1), "DateField"),
        (datetime.datetime(2026, 12, 1), "DateTimeField"),
        (datetime.time(9), "TimeField"),
        (datetime.timedelta(1), "DurationField"),
        (decimal.Decimal(1), "DecimalField"),
        (uuid.UUID(int=1), "UUIDField"),
        (type("Birthday", (datetime.date,), {})(2026, 12, 1), "DateField"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_with_a_known_field_type_is_refused_naming_the_field_type(value: Any, field_type: str) -> None:
    for document, path in (({"when": value}, "when"), ({"when": [value]}, "when[0]")):
        message = refusal(document)
        assert message.startswith(f"{path}: a")
        assert message.endswith(f"is not storable as it is; declare its field type, schema={{'when': '{field_type}'}}")


def test_a_value_inside_an_object_is_refused_naming_the_path_to_declare() -> None:
    assert refusal({"guests": [{"born": datetime.date(2000, 1, 1)}]}) == (
        "guests[0].born: a date is not storable as it is; declare its field type, schema={'guests.born': 'DateField'}"
    )


@pytest.mark.parametrize(
    ("data", "kind"),
    [(None, "None"), ([], "a list"), ("text", "a str"), (1, "an int"), ([("a", 1)], "a list"), (object(), "an object")],
)
def test_what_is_no_mapping_is_no_document(data: Any, kind: str) -> None:
    assert refusal(data) == f"a document is a mapping of field names to values, not {kind}"


@pytest.mark.parametrize("kind", [list, dict])
def test_nesting_beyond_the_limit_is_refused(kind: type) -> None:
    assert refusal({"a": nested(MAX_DEPTH, kind)}).endswith(": nested deeper than 100 levels")


@pytest.mark.parametrize("kind", [list, dict])
def test_nesting_far_beyond_the_limit_is_refused_without_recursion(kind: type) -> None:
    assert refusal({"a": nested(100_000, kind)}).endswith(": nested deeper than 100 levels")


def test_a_list_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    assert refusal({"a": value}).endswith(": the document contains itself")


def test_a_document_that_holds_itself_is_refused() -> None:
    document: dict[str, Any] = {}
    document["a"] = {"b": [document]}

    assert refusal(document).endswith(": the document contains itself")


def test_a_refusal_of_shared_references_takes_no_exponential_time() -> None:
    # 2 ** 150 paths lead through this value: a walk that visits each does not end.
    assert refusal({"a": shared(150, [])}).endswith(": nested deeper than 100 levels")


def test_a_refusal_of_a_cycle_behind_shared_references_takes_no_exponential_time() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)

    assert refusal({"a": shared(120, cyclic)}).endswith(": the document contains itself")


def test_a_refused_path_is_short_enough_for_a_line() -> None:
    assert len(refusal({"a": nested(MAX_DEPTH, dict)})) < 200


def test_a_name_refused_once_is_refused_again() -> None:
    for _ in range(2):
        assert "'_a'" in refusal({"_a": 1})


def test_a_name_that_passed_inside_an_object_is_still_refused_at_the_top() -> None:
    validate_document({"a": {"_inner": 1}})

    assert "begins with '_'" in refusal({"_inner": 1})


# Ids


@pytest.mark.parametrize(
    "document_id",
    ["a", "0", " ", "a/b", "a b", "ümlaut", "\U0001f600", "a.b", "...", "-_", "x" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2)],
)  # fmt: skip
def test_an_id_that_every_store_can_use_is_returned(document_id: str) -> None:
    assert check_id(document_id) == document_id


@pytest.mark.parametrize("member", [Colour.RED, OldColour.RED], ids=["StrEnum", "str and Enum"])
def test_an_id_of_a_str_subclass_becomes_its_plain_text(member: str) -> None:
    assert exact(check_id(member)) == exact("red")


@pytest.mark.parametrize(
    ("document_id", "message"),
    [
        ("", "the id is empty; leave it out to have one made"),
        (None, "an id is a string, not None"),
        (7, "an id is a string, not an int"),
        (b"a", "an id is a string, not a bytes"),
        (uuid.UUID(int=1), "an id is a string, not a UUID"),
        ("_design/a", "the id '_design/a' begins with '_', which CouchDB reserves"),
        ("a\0", r"the id 'a\x00' holds a NUL character"),
        (".", "the id '.' would be lost in a URL's path"),
        ("..", "the id '..' would be lost in a URL's path"),
        ("a\ud800", r"the id 'a\ud800' holds a lone surrogate, which is not Unicode"),
        ("x" * (MAX_ID_BYTES + 1), "the id has 2049 characters; at most 2048 bytes of UTF-8 fit"),
        ("x" * 100_000, "the id has 100000 characters; at most 2048 bytes of UTF-8 fit"),
        ("é" * 1025, "the id takes 2050 bytes of UTF-8; at most 2048 fit"),
    ],
    ids=range(13),
)
def test_an_id_that_some_store_can_not_use_is_refused(document_id: Any, message: str) -> None:
    with pytest.raises(InvalidID) as caught:
        check_id(document_id)

    assert str(caught.value) == message


@given(TEXT.filter(lambda text: text and text[0] != "_" and "\0" not in text and text not in (".", "..")))
def test_any_other_text_is_an_id(text: str) -> None:
    assert check_id(text) == text


# Paths


@pytest.mark.parametrize(
    ("path", "names"),
    [("a", ("a",)), ("a.b.c", ("a", "b", "c")), ("a._b", ("a", "_b")), ("a.0", ("a", "0")), ("é. ", ("é", " "))],
)
def test_a_path_is_split_into_its_names(path: str, names: tuple[str, ...]) -> None:
    assert check_path(path) == names


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "a field name is empty, which no dotted path can address"),
        ("a.", "a.: a field name is empty, which no dotted path can address"),
        (".a", "a field name is empty, which no dotted path can address"),
        ("a..b", "a..b: a field name is empty, which no dotted path can address"),
        ("_id", "the field name '_id' begins with '_', which stores keep for metadata"),
        ("a.$b", "a.$b: the field name '$b' begins with '$', which queries keep for operators"),
        (5, "a field name is a string, not an int"),
        (".".join("a" * 101), "a path of 101 names leads deeper than 100 levels"),
    ],
    ids=["empty", "end", "start", "middle", "underscore", "dollar", "number", "too deep"],
)
def test_what_can_be_no_path_is_refused(path: Any, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        check_path(path)

    assert str(caught.value) == message
