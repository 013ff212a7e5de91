"""Which commands reach a live MongoDB, call by call."""

from __future__ import annotations

from collections.abc import Callable

import divan
import pytest

from .live import Commands

pytestmark = pytest.mark.live


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
        (lambda store: list(store.find({"_id": {"$prefix": "a"}}, sort="_id")), ["find"]),
        (lambda store: store.count({"_id": {"$in": ["ada", "nobody"]}}), ["aggregate"]),
        (lambda store: list(store), ["find"]),
        (lambda store: store.create_many({"n": n} for n in range(1000)), ["insert"]),
        (lambda store: store.put("ada", {"m": 1}, rev=store.get("ada").rev), ["find", "update"]),
        (lambda store: store.put_many({"ada": {"m": 1}, "new": {"m": 2}}), ["update"]),
        (lambda store: store.get("ada", fields=["n"]), ["find"]),
        (lambda store: store.first({"n": {"$gt": 0}}, sort="n"), ["find"]),
        (lambda store: store.exists({"n": {"$gt": 0}}), ["find"]),
        (lambda store: store.page({"n": {"$gt": 0}}, sort="n", limit=1), ["find"]),
        (lambda store: store.page(limit=1), ["find"]),
        (lambda store: store.update("ada", {"a.b": 1, "c": divan.Append(1), "d.e": divan.REMOVE}), ["findAndModify"]),
        (lambda store: store.update("ada", {"a.n": divan.Increment(1), "c": divan.Discard("x")}), ["findAndModify"]),
        (lambda store: store.update("ada", {"c": divan.Discard([1])}), ["find", "findAndModify"]),
        (lambda store: store.update_where({"_id": "ada"}, {"a": 1}), ["find", "findAndModify"]),
        (lambda store: store.delete_where({"_id": "ada"}), ["find", "delete"]),
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
