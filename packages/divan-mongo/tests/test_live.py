"""`divan-mongo` on a live server: what only MongoDB's own client can see, and what only a server can do wrong."""

from __future__ import annotations

import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import divan
import pytest
from divan.query import finish, parse, parse_sort
from divan.testing.checks.network import closed_port
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.proxy import Proxy
from tests.support.servers import Server

pytest.importorskip("divan_mongo", reason="divan-mongo is not installed: python -m pip install divan-mongo")

import pymongo
from bson import DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from divan_mongo import BSONDate
from pymongo.collection import Collection
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

Raw = Collection[dict[str, Any]]


@pytest.fixture
def database() -> str:
    return f"divan_{uuid.uuid4().hex}"


@pytest.fixture
def open_store(mongo_server: Server, database: str) -> Iterator[Callable[..., divan.Store]]:
    """Opens Stores on this test's own database, which is dropped at the end."""
    stores: list[divan.Store] = []

    def open_one(options: str = "", **arguments: Any) -> divan.Store:
        url = mongo_server.store_url(database)
        if options:
            url += ("&" if "?" in url else "?") + options
        store = divan.open(url, **arguments)
        stores.append(store)
        return store

    yield open_one
    if stores:
        with divan.open(mongo_server.store_url(database)) as last:
            last.backend.client.drop_database(database)  # type: ignore[attr-defined]
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., divan.Store]) -> divan.Store:
    return open_store()


@pytest.fixture
def raw(store: divan.Store) -> Raw:
    """The collection as any other program sees it."""
    collection: Raw = store.backend.db["divan"]
    return collection


class Commands(CommandListener):
    """Notes the commands that reach the server."""

    def __init__(self) -> None:
        self.commands: list[Any] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(event.command)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    @property
    def names(self) -> list[str]:
        return [next(iter(command)) for command in self.commands]


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def counted(open_store: Callable[..., divan.Store], commands: Commands) -> divan.Store:
    """A Store whose commands are noted, holding the documents ``"ada"`` and ``"blaise"``."""
    store = open_store(event_listeners=[commands])
    store.create_many([("ada", {"n": 1}), ("blaise", {"n": 2})])
    commands.commands.clear()
    return store


# Round trips


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda store: store.create({"n": 3}), ["insert"]),
        (lambda store: store.get("ada"), ["find"]),
        (lambda store: store.update("ada", {"m": 1, "n": divan.Increment(1), "x": divan.REMOVE}), ["findAndModify"]),
        (lambda store: store.replace("ada", {"m": 1}), ["update"]),
        (lambda store: store.put("ada", {"m": 1}), ["update"]),
        (lambda store: store.put("new", {"m": 1}), ["update"]),
        (lambda store: store.delete("ada"), ["delete"]),
        (lambda store: store.count({"n": {"$gt": 1}}), ["aggregate"]),
        (lambda store: list(store.find({"n": 1})), ["find"]),
        (lambda store: list(store), ["find"]),
        (lambda store: store.create_many({"n": n} for n in range(1000)), ["insert"]),
        (lambda store: store.get_many(["ada", "blaise", "nobody"]), ["find"]),
        (lambda store: store.update_many({"ada": {"m": 1}, "blaise": {"m": 2}}), ["update", "find"]),
        (lambda store: store.delete_many(["ada", "blaise"]), ["find", "delete"]),
    ],
)  # fmt: skip
def test_a_call_takes_these_round_trips(
    counted: divan.Store, commands: Commands, call: Callable[[divan.Store], object], names: list[str]
) -> None:
    call(counted)
    assert commands.names == names


def test_a_write_with_a_revision_takes_one_round_trip(counted: divan.Store, commands: Commands) -> None:
    rev = counted.update("ada", {"n": 5}).rev
    counted.delete("ada", rev=rev)
    assert commands.names == ["findAndModify", "delete"]


def test_a_bounded_sort_is_left_to_mongodb(counted: divan.Store, commands: Commands) -> None:
    list(counted.find({"n": {"$gte": 1}}, sort="-n", limit=1, skip=1, fields=["n"]))
    (command,) = commands.commands
    assert (command["sort"], command["limit"], command["skip"]) == ({"n": -1, "_id": 1}, 1, 1)


def test_a_large_result_is_streamed_in_batches(counted: divan.Store, commands: Commands) -> None:
    counted.create_many({"n": n} for n in range(1000))
    commands.commands.clear()
    next(counted.find())
    assert "getMore" not in commands.names


def test_an_empty_document_is_updated_in_bulk(store: divan.Store) -> None:
    store.create({}, id="a")
    assert store.update_many({"a": {}}) == [{}]


# Concurrent writers


def test_updates_of_different_fields_by_16_threads_are_all_kept(store: divan.Store) -> None:
    store.create({}, id="shared")

    def write(thread: int) -> None:
        for number in range(200):
            store.update("shared", {f"field{thread}": number, f"count{thread}": divan.Increment(1)})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    expected = {f"field{thread}": 199 for thread in range(16)} | {f"count{thread}": 200 for thread in range(16)}
    assert store["shared"] == expected


def test_increments_by_revision_and_retry_are_exact(store: divan.Store) -> None:
    store.create({"total": 0}, id="shared")

    def add(_: int) -> None:
        for _ in range(5):
            while True:
                current = store["shared"]
                try:
                    store.update("shared", {"total": current["total"] + 1}, rev=current.rev)
                    break
                except divan.RevisionConflict:
                    continue

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(16)))
    assert store["shared"]["total"] == 80


def test_threads_that_put_one_new_id_all_succeed(store: divan.Store) -> None:
    barrier = threading.Barrier(8)

    def put(number: int) -> None:
        barrier.wait()
        store.put("shared", {"n": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(8)))
    assert store.count() == 1


# What is stored


def test_the_raw_client_reads_a_plain_document(store: divan.Store, raw: Raw) -> None:
    document = store.create({"name": "Ada", "n": 1, "f": 1.0, "l": [{"x": None}], "t": True}, id="ada")
    stored = raw.find_one({"_id": "ada"})
    assert stored == {
        "_id": "ada",
        "_rev": int(document.rev or ""),
        "name": "Ada",
        "n": 1,
        "f": 1.0,
        "l": [{"x": None}],
        "t": True,
    }


def test_a_date_is_stored_as_portable_text_by_default(open_store: Callable[..., divan.Store], raw: Raw) -> None:
    open_store(schema={"day": "DateField"}).create({"day": date(2026, 12, 1)}, id="a")
    assert raw.find_one({"_id": "a"}, {"day": 1}) == {"_id": "a", "day": "2026-12-01"}


def test_long_integers_are_read_as_plain_ints(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "a", "small": Int64(5), "big": 2**63 - 1, "list": [Int64(7)]})
    document = store["a"]
    assert [type(value) for value in (document["small"], document["big"], document["list"][0])] == [int] * 3


def test_a_document_of_another_program_has_revision_0(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "a", "n": 1})
    assert store["a"].rev == "0"
    store.update("a", {"n": 2}, rev="0")
    with pytest.raises(divan.RevisionConflict):
        store.update("a", {"n": 3}, rev="0")


@pytest.mark.parametrize("foreign", ["3-abc", 7.0, 1.5, True, None, {"x": 1}])
def test_a_revision_field_of_another_program_is_taken_over(store: divan.Store, raw: Raw, foreign: Any) -> None:
    raw.insert_one({"_id": "a", "_rev": foreign, "n": 1})
    before = store["a"].rev
    after = store.update("a", {"n": 2}).rev
    assert before != after
    assert store["a"].rev == after
    store.update("a", {"n": 3}, rev=after)


@pytest.mark.parametrize("rev", ["", "-1", "1e3", "9" * 40, "é", "\ud800", "\0", "$where", "0x1", "٣"])
def test_a_revision_that_nobody_gave_is_a_conflict(store: divan.Store, rev: str) -> None:
    store.create({"n": 1}, id="a")
    with pytest.raises(divan.RevisionConflict):
        store.update("a", {"n": 2}, rev=rev)


# Ids


def test_a_document_with_an_objectid_is_addressed_by_its_text(store: divan.Store, raw: Raw) -> None:
    key = ObjectId()
    raw.insert_one({"_id": key, "n": 1})
    text = str(key)
    assert [document.id for document in store.find({"n": 1})] == [text]
    assert list(store.ids()) == [text]
    assert store.update(text, {"n": divan.Increment(1)}) == {"n": 2}
    assert store.get_many([text]) == [{"n": 2}]
    assert store.update_many({text: {"m": 1}}) == [{"n": 2, "m": 1}]
    store.replace(text, {"m": 2})
    store.put(text, {"m": 3})
    assert raw.find_one() == {"_id": key, "m": 3, "_rev": int(store[text].rev or "")}
    store.delete(text)
    assert raw.count_documents({}) == 0


def test_an_objectid_document_is_read_in_one_round_trip(counted: divan.Store, commands: Commands) -> None:
    key = ObjectId()
    counted.backend.db["divan"].insert_one({"_id": key})
    commands.commands.clear()
    counted.get(str(key))
    assert commands.names == ["find"]


def test_of_two_ids_with_the_same_text_the_string_is_meant(store: divan.Store, raw: Raw) -> None:
    key = ObjectId()
    raw.insert_many([{"_id": key, "n": 1}, {"_id": str(key), "n": 2}])
    store.update(str(key), {"seen": 1})
    store.update_many([(str(key), {"seen": 2})])
    assert (store[str(key)]["n"], store.get_many([str(key)])[0]["n"]) == (2, 2)
    store.delete(str(key))
    assert list(raw.find()) == [{"_id": key, "n": 1}]


def test_an_id_is_taken_by_an_objectid_of_the_same_text(store: divan.Store, raw: Raw) -> None:
    key = ObjectId()
    raw.insert_one({"_id": key})
    with pytest.raises(divan.DocumentExists):
        store.create({}, id=str(key))
    with pytest.raises(divan.BulkError) as failure:
        store.create_many([(str(key), {}), ("other", {})])
    assert list(failure.value.errors) == [0]


def test_a_string_id_that_looks_like_an_objectid_works(store: divan.Store) -> None:
    text = "0123456789abcdef01234567"
    store.put(text, {"n": 1})
    store.put(text, {"n": 2})
    assert [(document.id, dict(document)) for document in store] == [(text, {"n": 2})]


def test_an_objectid_text_in_capitals_is_another_id(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": ObjectId("0123456789abcdef01234567")})
    assert store.get("0123456789ABCDEF01234567", None) is None


# BSON's own types


FOREIGN: dict[str, Any] = {
    "when": datetime(2026, 11, 24, 12, 30, 15, 123000, tzinfo=UTC),
    "decimal": Decimal128("1.10"),
    "bytes": b"\x00\xff",
    "binary": Binary(b"\x01", 128),
    "uuid": Binary.from_uuid(uuid.UUID(int=5)),
    "key": ObjectId("0123456789abcdef01234567"),
    "regex": Regex("^a", "i"),
    "code": Code("f()"),
    "timestamp": Timestamp(1, 2),
    "min": MinKey(),
    "max": MaxKey(),
    "ref": DBRef("other", "a"),
    "long": 2**40,
    "nested": {"list": [{"when": datetime(2026, 1, 1, tzinfo=UTC)}, Decimal128("0E-10")]},
}


def _bytes_of(raw: Raw) -> bytes:
    """The one document's BSON, without its revision."""
    as_bytes = raw.with_options(CodecOptions(document_class=RawBSONDocument))
    return bytes(as_bytes.find_one({}, {"_rev": 0}).raw)  # type: ignore[union-attr]


def test_foreign_values_survive_an_update_of_another_field(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "a", **FOREIGN, "n": 1})
    before = _bytes_of(raw)
    store.update("a", {"n": 1})
    assert _bytes_of(raw) == before


@pytest.mark.parametrize("write", ["put", "replace", "update"])
def test_foreign_values_are_written_back_unchanged(store: divan.Store, raw: Raw, write: str) -> None:
    raw.insert_one({"_id": "a", **FOREIGN})
    before = _bytes_of(raw)
    getattr(store, write)("a", store["a"])
    assert _bytes_of(raw) == before


def test_a_foreign_date_is_an_aware_datetime(store: divan.Store, raw: Raw) -> None:
    raw.insert_one({"_id": "a", **FOREIGN})
    assert store["a"]["when"] == FOREIGN["when"]
    assert isinstance(store["a"]["when"], datetime)


def test_foreign_values_are_found_and_sorted_by(store: divan.Store, raw: Raw) -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    raw.insert_many([{"_id": f"{day.day}", "when": day} for day in days])
    after = {"when": {"$gt": BSONDate.of(days[1])}}
    assert [document.id for document in store.find(after, sort="when")] == ["2", "3"]
    assert store.count(after) == 2
    assert [document.id for document in store.find(sort="-when")] == ["3", "2", "1"]


def test_a_foreign_value_beside_an_object_is_refused_rather_than_answered_wrongly(store: divan.Store) -> None:
    with pytest.raises(divan.InvalidQuery, match="split the filter"):
        list(store.find({"$or": [{"n": {"$gt": Decimal128("9")}}, {"o": {"x": 1}}]}))


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), b"x", uuid.UUID(int=1), Decimal(1)])
def test_a_python_value_with_no_field_type_is_refused_as_on_every_store(store: divan.Store, value: object) -> None:
    with pytest.raises(divan.InvalidDocument):
        store.create({"x": value})


SCHEMA = {
    "day": "DateField",
    "at": "DateTimeField",
    "price": "DecimalField",
    "ref": "UUIDField",
    "time": "TimeField",
    "span": "DurationField",
}
VALUES: dict[str, Any] = {
    "day": date(2026, 12, 1),
    "at": datetime(2026, 12, 1, 9, 30, 0, 250000, tzinfo=UTC),
    "price": Decimal("19.90"),
    "ref": uuid.UUID(int=7),
    "time": datetime(2026, 1, 1, 9, 30, 0, 1).time(),
    "span": timedelta(microseconds=1),
}


def test_native_types_are_stored_as_bson_and_read_back(open_store: Callable[..., divan.Store], raw: Raw) -> None:
    native = open_store("types=native", schema=SCHEMA)
    assert native.create(VALUES, id="a") == VALUES
    assert native["a"] == VALUES
    assert raw.find_one({}, {"_id": 0, "_rev": 0, "time": 0, "span": 0}) == {
        "day": datetime(2026, 12, 1),
        "at": datetime(2026, 12, 1, 9, 30, 0, 250000),
        "price": Decimal128("19.90"),
        "ref": Binary.from_uuid(VALUES["ref"]),
    }


def test_native_types_lose_microseconds_and_zones(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    local = datetime(2026, 12, 1, 9, 30, 0, 250999, tzinfo=timezone(timedelta(hours=2)))
    assert native.create({"at": local})["at"] == datetime(2026, 12, 1, 7, 30, 0, 250000, tzinfo=UTC)
    assert native.create({"at": datetime(2026, 12, 1)})["at"] == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_decimal_too_long_for_bson_is_refused(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    with pytest.raises(divan.InvalidDocument, match="price"):
        native.create({"price": Decimal("1" * 40)})


def test_either_form_is_read_whatever_the_option_says(open_store: Callable[..., divan.Store]) -> None:
    portable, native = open_store(schema=SCHEMA), open_store("types=native", schema=SCHEMA)
    portable.create(VALUES, id="portable")
    native.create(VALUES, id="native")
    assert portable["native"] == native["portable"] == VALUES


def test_native_decimals_and_dates_compare_as_numbers_and_dates(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    native.create_many(
        (price, {"price": Decimal(price), "day": date(2026, 1, int(price))}) for price in ("9", "10", "11")
    )
    assert [document.id for document in native.find({"price": {"$gt": Decimal("9.5")}}, sort="-price")] == ["11", "10"]
    assert [document.id for document in native.find(sort="price", limit=2)] == ["9", "10"]
    assert native.count({"day": {"$lte": date(2026, 1, 10)}}) == 2
    assert native.count({"price": Decimal("9.0")}) == 1


def test_a_sort_that_mongodb_cannot_do_refuses_native_decimals(open_store: Callable[..., divan.Store]) -> None:
    native = open_store("types=native", schema=SCHEMA)
    native.create({"price": Decimal(9), "n": 1})
    with pytest.raises(divan.InvalidQuery, match="price"):
        list(native.find(sort=["n", "price"]))


# Increments


@pytest.mark.parametrize(
    ("stored", "by"),
    [
        (2**63 - 1, 1),
        (-(2**63), -1),
        (1.7e308, 1.7e308),
        ("1", 1),
        (True, 1),
        (None, 1),
        ([1], 1),
        ({"x": 1}, 1.5),
    ],
)
def test_an_increment_without_a_sum_changes_nothing(store: divan.Store, stored: Any, by: float) -> None:
    before = store.create({"n": stored, "other": 1}, id="a")
    with pytest.raises(divan.InvalidDocument, match="n:"):
        store.update("a", {"n": divan.Increment(by), "other": 2, "new": 1})
    with pytest.raises(divan.BulkError):
        store.update_many({"a": {"n": divan.Increment(by), "other": 2}})
    assert (store["a"], store["a"].rev) == (before, before.rev)


@pytest.mark.parametrize(
    ("stored", "by", "total"),
    [
        (2**31 - 1, 1, 2**31),
        (2**62, 2**62 - 1, 2**63 - 1),
        (1, 0.5, 1.5),
        (0.5, 1, 1.5),
        (1.0, 1, 2.0),
        (1e308, -1e308, 0.0),
        (1, 1.7e308, 1.7e308),
    ],
)
def test_an_increment_answers_the_exact_sum(store: divan.Store, stored: float, by: float, total: float) -> None:
    store.create({"n": stored}, id="a")
    result = store.update("a", {"n": divan.Increment(by), "missing": divan.Increment(by)})
    assert (result["n"], type(result["n"]), result["missing"]) == (total, type(total), by)


# Queries


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 2**31, 2**53 + 1, 2**63 - 1, 0.0, 1.0, 0.5, 1e308, -0.0]),
    st.sampled_from(["", "a", "b", "ab", "A", "é", "😀", "\uffff", "a\0b", "^", ".", "$", "\\d"]),
)
_names = st.sampled_from(["a", "b", "0"])
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=2)),
    max_leaves=4,
)
_documents = st.lists(st.dictionaries(st.sampled_from(["f", "g"]), _values, max_size=2), min_size=1, max_size=8)
_fields = st.sampled_from(["f", "g", "f.a", "f.b", "f.0", "f.a.b", "g.a"])
_conditions = st.one_of(
    st.builds(
        lambda op, value: {op: value},
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains"]),
        _values,
    ),
    st.builds(lambda op, values: {op: values}, st.sampled_from(["$in", "$nin", "$all"]), st.lists(_values, max_size=3)),
    st.booleans().map(lambda there: {"$exists": there}),
    st.integers(0, 3).map(lambda size: {"$size": size}),
)
_filters = st.recursive(
    st.dictionaries(_fields, _conditions, max_size=2),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=3,
)
_sorts = st.lists(st.builds(lambda sign, field: sign + field, st.sampled_from(["", "-"]), _fields), max_size=2)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(_documents, st.lists(_filters, min_size=1, max_size=4), _sorts, st.integers(0, 3), st.integers(1, 4))
def test_find_answers_as_the_reference_matcher(
    store: divan.Store,
    raw: Raw,
    documents: list[dict[str, Any]],
    filters: list[dict[str, Any]],
    sort: list[str],
    skip: int,
    limit: int,
) -> None:
    raw.delete_many({})
    created = store.create_many((f"{number}", document) for number, document in enumerate(documents))
    for where in filters:
        query = parse(where)
        matching = [document for document in created if query.matches(document)]
        assert {document.id for document in store.find(where)} == {document.id for document in matching}
        assert store.count(where) == len(matching)
        expected = finish(matching, get_id=lambda document: document.id, sort=parse_sort(sort), limit=limit, skip=skip)
        found = list(store.find(where, sort=sort, limit=limit, skip=skip))
        if sort:
            assert [document.id for document in found] == [document.id for document in expected]
        else:
            assert len(found) == len(list(expected))


def test_a_deep_filter_is_left_to_the_matcher(store: divan.Store) -> None:
    store.create({"n": 1}, id="a")
    where: dict[str, Any] = {"n": 1}
    for _ in range(90):
        where = {"$not": where}
    assert [document.id for document in store.find(where)] == ["a"]


def test_a_projection_keeps_only_what_was_asked_for(store: divan.Store) -> None:
    store.create({"a": {"x": 1, "y": 2}, "b": [{"x": 1}], "c": 3, "d": {"x": 1}}, id="a")
    found = list(store.find({"c": 3, "d": {"x": 1}}, sort=["c", "d"], fields=["a.x", "b.x"]))
    assert found == [{"a": {"x": 1}}]
    assert found[0].rev == store["a"].rev


def test_an_index_serves_a_search_and_a_scan_can_be_refused(open_store: Callable[..., divan.Store]) -> None:
    store = open_store(allow_scans=False)
    store.create_many({"n": n, "m": n} for n in range(10))
    name = store.ensure_index("n")
    assert store.explain({"n": {"$gte": 5}}).index == name
    assert len(list(store.find({"n": {"$gte": 5}}, sort="n"))) == 5
    with pytest.raises(divan.InvalidQuery):
        list(store.find({"m": 5}))


def test_an_index_that_another_program_made_is_used(store: divan.Store, raw: Raw) -> None:
    raw.create_index([("n", 1), ("_id", 1)], name="theirs")
    assert store.ensure_index("n") == "theirs"


def test_explain_tells_what_the_matcher_finishes(store: divan.Store) -> None:
    explanation = store.explain({"n": {"$gt": 1}, "o": {"x": 1}}, sort="n")
    assert explanation.pushed == {"n": {"$gt": 1}}
    assert explanation.residual == {"o": {"$eq": {"x": 1}}}
    assert explanation.sorted_by_store


# Refused by the server


def test_a_unique_index_refuses_a_document_whose_id_is_free(store: divan.Store, raw: Raw) -> None:
    raw.create_index("email", unique=True)
    store.create({"email": "a@example.org"}, id="a")
    for write in (
        lambda: store.create({"email": "a@example.org"}, id="b"),
        lambda: store.put("b", {"email": "a@example.org"}),
    ):
        with pytest.raises(divan.InvalidDocument, match="email"):
            write()
    with pytest.raises(divan.BulkError) as failure:
        store.create_many([("b", {"email": "a@example.org"}), ("c", {"email": "c@example.org"})])
    assert isinstance(failure.value.errors[0], divan.InvalidDocument)
    assert "c" in store


def test_a_document_beyond_16_mib_is_refused_alone(store: divan.Store) -> None:
    huge = {"x": "a" * (17 * 2**20)}
    with pytest.raises(divan.InvalidDocument, match="16 MiB"):
        store.create(huge)
    with pytest.raises(divan.BulkError) as failure:
        store.create_many([("a", {}), ("b", huge), ("c", {})])
    assert [type(error) for error in failure.value.errors.values()] == [divan.InvalidDocument]
    assert sorted(store.ids()) == ["a", "c"]


# Opening


def test_the_collection_is_named_in_the_path_or_by_an_option(
    open_store: Callable[..., divan.Store], mongo_server: Server, database: str
) -> None:
    open_store("collection=guests.old").create({"n": 1}, id="a")
    with divan.open(mongo_server.store_url(f"{database}.guests.old")) as store:
        assert store["a"] == {"n": 1}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mongo://localhost", "names no database"),
        ("mongo://localhost/a b", "no name for a database"),
        ("mongo://localhost/a.b?collection=c", "two collections"),
        ("mongo://localhost/a.system.users", "no name for a collection"),
        ("mongo://localhost/a?replicaset=x&reed=1", "no option 'reed'.*its options are.*readpreference"),
        ("mongo://localhost/a?timeout=soon", "timeout='soon'"),
        ("mongo://localhost/a?timeout=0", "greater than 0"),
        ("mongo://localhost/a?types=bson", "native or portable"),
        ("mongo://localhost/a?create=perhaps", "true or false"),
        ("mongo://localhost/a?tls=maybe", "tls='maybe'"),
        ("mongo://localhost/a?tlsCAFile=/no/such/file", "tlsCAFile"),
        ("mongo://localhost/a?w=0", "w=0"),
        ("mongo://localhost/a?username=ada", "no option 'username'"),
        ("mongo://ada@localhost/a", "password"),
        ("mongo://a,,b/a", "mongo"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, message: str) -> None:
    with pytest.raises(divan.InvalidURL, match=message):
        divan.open(url)


def test_pymongos_own_options_are_passed_on(open_store: Callable[..., divan.Store]) -> None:
    store = open_store("readPreference=secondaryPreferred&w=1&retryWrites=false&maxPoolSize=7&directConnection=true")
    options = store.backend.client.options  # type: ignore[attr-defined]
    assert options.pool_options.max_pool_size == 7
    assert (options.read_preference.mongos_mode, options.retry_writes) == ("secondaryPreferred", False)


def test_timeouts_are_set_by_default_and_by_option(open_store: Callable[..., divan.Store]) -> None:
    default = open_store().backend.client.options  # type: ignore[attr-defined]
    assert (default.pool_options.socket_timeout, default.server_selection_timeout) == (30, 5)
    given = open_store("timeout=20&connect_timeout=31").backend.client.options  # type: ignore[attr-defined]
    assert (given.pool_options.socket_timeout, given.pool_options.connect_timeout) == (20, 20)
    own = open_store("timeout=20&socketTimeoutMS=70000").backend.client.options  # type: ignore[attr-defined]
    assert own.pool_options.socket_timeout == 70


def test_every_host_of_a_url_is_tried() -> None:
    with closed_port() as one, closed_port() as other:
        ports = [one, other]
        error = _refusal(ports)
    assert isinstance(error, divan.ConnectionFailed), repr(error)
    assert all(f"127.0.0.1:{port}: " in str(error) for port in ports)


def _refusal(ports: list[int]) -> divan.DivanError:
    """The error of opening what refuses: on a busy machine pymongo's threads need more time to try every host."""
    hosts = [f"127.0.0.1:{port}" for port in ports]
    for seconds in (1, 5, 30):
        with pytest.raises(divan.DivanError) as failure:
            divan.open(f"mongo://{','.join(hosts)}/a?connect_timeout={seconds}")
        if all(f"{host}: " in str(failure.value) for host in hosts):
            break
    return failure.value


@pytest.mark.parametrize("name", ["mongo", "mongodb", "mongodb+srv"])
def test_every_name_of_the_backend_is_found(name: str) -> None:
    assert divan.get_backend(name).__name__ == "MongoBackend"


def test_a_missing_collection_is_refused_where_none_is_to_be_made(open_store: Callable[..., divan.Store]) -> None:
    with pytest.raises(divan.DatabaseNotFound, match="create=false"):
        open_store("create=false")
    open_store().create({})
    assert open_store("create=false").count() == 1


# Servers that fail


def test_the_right_password_opens_and_a_wrong_one_does_not(mongo_auth_server: Server, database: str) -> None:
    url = mongo_auth_server.store_url(database)
    with divan.open(url) as store:
        store.create({"n": 1})
        store.backend.client.drop_database(database)  # type: ignore[attr-defined]
    wrong = uuid.uuid4().hex
    with pytest.raises(divan.AuthenticationFailed) as failure:
        divan.open(url, password=wrong)
    assert wrong not in "".join(traceback.format_exception(failure.value))


def test_no_password_is_refused_where_one_is_wanted(mongo_auth_server: Server, database: str) -> None:
    with pytest.raises(divan.AuthenticationFailed):
        divan.open(f"mongo://{mongo_auth_server.host}:{mongo_auth_server.port}/{database}")


def test_an_open_store_never_shows_its_password(mongo_auth_server: Server, database: str) -> None:
    with divan.open(mongo_auth_server.store_url(database)) as store:
        assert str(mongo_auth_server.password) not in f"{store!r} {store.backend!r} {store.backend.options}"


def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    with closed_port() as port:
        error = _refusal([port])
    assert isinstance(error, divan.ConnectionFailed), repr(error)
    assert f"127.0.0.1:{port}" in str(error)


def test_a_server_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(divan.OperationTimeout):
        divan.open(f"mongo://127.0.0.1:{listener.getsockname()[1]}/a?connect_timeout=1")


def test_the_hosts_of_a_srv_name_that_does_not_exist_cannot_be_reached() -> None:
    with pytest.raises(divan.ConnectionFailed, match="can't be looked up"):
        divan.open("mongodb+srv://cluster.example.invalid/a?connect_timeout=0.5")


# After its first question pymongo's monitor asks nothing more, so that no fault of the proxy's meets its answer.
_ALONE = "directConnection=true&serverMonitoringMode=poll&heartbeatFrequencyMS=3600000"


@pytest.fixture
def proxied(mongo_server: Server, database: str) -> Iterator[tuple[divan.Store, Proxy]]:
    """A Store that talks through a proxy, holding the document ``"ada"``."""
    if mongo_server.user is not None:
        pytest.skip("the server in the environment wants credentials")
    with (
        Proxy(mongo_server.host, mongo_server.port) as proxy,
        divan.open(f"mongo://127.0.0.1:{proxy.port}/{database}?{_ALONE}") as store,
    ):
        store.create({"n": 1}, id="ada")
        yield store, proxy
    with divan.open(mongo_server.store_url(database)) as last:
        last.backend.client.drop_database(database)  # type: ignore[attr-defined]


def test_a_server_that_stops_answering_times_out(proxied: tuple[divan.Store, Proxy], database: str) -> None:
    patient, proxy = proxied
    patient.close()  # which says goodbye, and would wait for an answer
    with _open_impatiently(f"mongo://127.0.0.1:{proxy.port}/{database}?{_ALONE}") as store:
        proxy.hang()
        with pytest.raises(divan.OperationTimeout):
            store.update("ada", {"n": 2})


def _open_impatiently(url: str) -> divan.Store:
    """A Store with the shortest timeout within which this machine can open it."""
    for seconds in (1.5, 6):
        with suppress(divan.OperationTimeout):
            return divan.open(f"{url}&timeout={seconds}&connect_timeout={seconds}")
    return divan.open(f"{url}&timeout=30&connect_timeout=30")


def test_a_lost_answer_creates_no_second_document(proxied: tuple[divan.Store, Proxy]) -> None:
    store, proxy = proxied
    proxy.cut_next_answer()
    try:
        store.create({"n": 2}, id="blaise")
    except divan.ConnectionFailed:
        pass  # the server keeps no record of retryable writes
    assert sorted(store.ids()) == ["ada", "blaise"]


def test_a_dropped_connection_is_replaced_for_a_read(proxied: tuple[divan.Store, Proxy]) -> None:
    store, proxy = proxied
    proxy.drop_connections()
    assert store["ada"] == {"n": 1}


def test_an_answer_that_cannot_be_read_is_an_error(proxied: tuple[divan.Store, Proxy]) -> None:
    store, proxy = proxied
    proxy.corrupt_next_answer()
    with pytest.raises(divan.DivanError) as failure:
        store.update("ada", {"n": 2})
    assert not isinstance(failure.value, divan.DocumentNotFound)


def test_an_iterator_outlives_no_closed_store(open_store: Callable[..., divan.Store]) -> None:
    store = open_store()
    store.create_many({"n": n} for n in range(500))
    iterator = iter(store)
    next(iterator)
    store.close()
    with pytest.raises(divan.StoreClosed):
        list(iterator)


def test_the_native_client_is_at_hand(store: divan.Store) -> None:
    assert isinstance(store.backend.db, pymongo.database.Database)
