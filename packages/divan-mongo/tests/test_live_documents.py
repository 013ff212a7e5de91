"""Documents in a live MongoDB: what other programs see or wrote, ids, increments, and what the server refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import divan
import pytest
from bson import Int64, ObjectId

from .live import Commands, Raw

pytestmark = pytest.mark.live


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


def test_a_batch_with_an_update_that_is_too_large_counts_each_increment_once(store: divan.Store) -> None:
    store.create_many((f"{number}", {"n": 0}) for number in range(6))
    changes: dict[str, dict[str, Any]] = {f"{number}": {"n": divan.Increment(1)} for number in range(6)}
    for number in range(4):
        changes[f"{number}"]["text"] = "x" * (13 * 2**20)  # together more than a message to MongoDB holds
    changes["5"]["text"] = "x" * (17 * 2**20)
    with pytest.raises(divan.BulkError) as failure:
        store.update_many(changes)
    assert [type(result) for result in failure.value.results] == [divan.Document] * 5 + [divan.InvalidDocument]
    assert [store.get(f"{number}")["n"] for number in range(6)] == [1, 1, 1, 1, 1, 0]


def test_put_of_a_new_document_sends_its_id_in_the_replacement(counted: divan.Store, commands: Commands) -> None:
    counted.put("new", {"n": 1})
    (command,) = commands.commands
    assert command["updates"][0]["u"]["_id"] == "new"
