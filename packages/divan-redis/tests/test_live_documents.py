"""Documents in a live Redis: what other tools see or wrote, databases and ids."""

from __future__ import annotations

import divan
import pytest
import redis
from divan import Increment, Store

from tests.support.servers import Server

from .live import each, new_name

pytestmark = pytest.mark.live


# Other tools


def test_the_raw_client_reads_a_plain_hash(store: Store, raw: redis.Redis, database: str) -> None:
    made = store.create({"name": "Ada", "tags": [], "n": 1.0, "room": {"ü": None}}, id="x")
    assert raw.hgetall(f"{database}:x") == {
        b"_rev": (made.rev or "").encode(),
        b"name": b'"Ada"',
        b"tags": b"[]",
        b"n": b"1.0",
        b"room": '{"ü":null}'.encode(),
    }


def test_a_hash_of_the_raw_client_is_a_document(store: Store, raw: redis.Redis, database: str) -> None:
    raw.hset(f"{database}:x", mapping={"name": '"Ada"', "n": " 1\n", "tags": '[ "a" ]'})
    found = store.get("x")
    assert (dict(found), found.rev) == ({"name": "Ada", "n": 1, "tags": ["a"]}, "0")
    assert list(store.find({"n": 1})) == [found]
    assert [document.id for document in store.find(fields=["none"])] == ["x"]
    assert store.count({"none": {"$exists": False}}) == 1
    assert store.update("x", {"n": Increment(1)}, rev=found.rev).rev == "1"
    with pytest.raises(divan.RevisionConflict):
        store.replace("x", {}, rev="0")
    with pytest.raises(divan.RevisionConflict):
        store.delete("x", rev="")


@pytest.mark.parametrize(
    "text", ["Ada", "", "1,2", '1,"b":2', "NaN", "Infinity", "{", '"\\ud800', b"\xff", "[" * 100_000]
)
def test_a_field_without_json_is_an_error_that_names_it(
    store: Store, raw: redis.Redis, database: str, text: str | bytes
) -> None:
    raw.hset(f"{database}:x", mapping={"fine": "1", "name": text})
    for read in each(
        lambda: store.get("x"),
        lambda: list(store),
        lambda: store.get_many(["x"]),
        lambda: store.update("x", {}),
    ):
        with pytest.raises(divan.StoreError, match=r"document 'x': the hash field 'name' holds no JSON"):
            read()


def test_a_counter_that_is_no_number_stops_a_write_before_it_changes_anything(
    store: Store, raw: redis.Redis, database: str
) -> None:
    raw.hset(f"{database}:x", mapping={"_rev": "mine", "a": "1"})
    for write in each(lambda: store.update("x", {"a": 2}), lambda: store.replace("x", {"a": 2})):
        with pytest.raises(divan.StoreError, match="not an integer"):
            write()
    assert raw.hgetall(f"{database}:x") == {b"_rev": b"mine", b"a": b"1"}


def test_a_key_of_another_type_is_no_document(store: Store, raw: redis.Redis, database: str) -> None:
    raw.set(f"{database}:counter", "1")
    raw.rpush(f"{database}:queue", "1")
    store.create({"a": 1}, id="x")
    try:
        assert list(store.ids()) == ["x"]
        assert (store.count(), store.count({"a": 1}), len(list(store.find(fields=["a"])))) == (1, 1, 1)
        for touch in each(
            lambda: store.get("counter"),
            lambda: store.get_many(["x", "queue"]),
            lambda: store.update("queue", {"a": 1}),
            lambda: store.put("counter", {}),
            lambda: store.delete("queue", rev="1"),
        ):
            with pytest.raises(divan.StoreError, match="holds no hash"):
                touch()
        with pytest.raises(divan.DocumentExists):
            store.create({}, id="counter")
        with pytest.raises(divan.BulkError) as caught:
            store.update_many([("x", {"b": 1}), ("queue", {"b": 1})])
        assert isinstance(caught.value.errors[1], divan.StoreError)
        assert raw.get(f"{database}:counter") == b"1"
    finally:
        raw.delete(f"{database}:counter", f"{database}:queue")


def test_a_key_that_is_no_text_is_an_error_that_names_it(store: Store, raw: redis.Redis, database: str) -> None:
    key = database.encode() + b":\xff"
    raw.hset(key, "a", "1")
    with pytest.raises(divan.StoreError, match=r"xff' is not Unicode"):
        list(store.ids())
    raw.delete(key)


# Databases and ids


def test_databases_do_not_see_each_other(redis_server: Server) -> None:
    base = new_name()
    names = [base, f"{base}x", f"{base}*", f"{base}?", f"[{base[0]}]{base[1:]}", f"{base}\\", f"^{base}", f"{base}-é"]
    stores = [divan.open(redis_server.store_url(name)) for name in names]
    try:
        for name, store in zip(names, stores, strict=True):
            store.create({"in": name}, id="x")
            store.create({"in": name}, id="x:y")
        for name, store in zip(names, stores, strict=True):
            assert [(document["in"], document.id) for document in store.find(sort="id")] == [(name, "x"), (name, "x:y")]
            assert store.count() == 2
    finally:
        for store in stores:
            store.delete_many(store.ids())
            store.close()


@pytest.mark.parametrize("name", ["", "a:b", ":"])
def test_a_database_name_that_could_reach_another_is_refused(redis_server: Server, name: str) -> None:
    with pytest.raises(divan.InvalidURL, match="redis://"):
        divan.open(redis_server.store_url(name))


def test_numbered_databases_are_apart(redis_server: Server, store: Store, database: str) -> None:
    store.create({}, id="zero")
    with divan.open(redis_server.store_url(database, db="2")) as second:
        assert list(second.ids()) == []
        second.create({}, id="two")
        assert list(store.ids()) == ["zero"]
        second.delete("two")


def test_a_number_that_the_server_lacks_is_a_missing_database(redis_server: Server) -> None:
    with pytest.raises(divan.DatabaseNotFound):
        divan.open(redis_server.store_url("x", db="9999"))


def test_create_false_wants_a_document(redis_server: Server, store: Store, database: str) -> None:
    with pytest.raises(divan.DatabaseNotFound, match=database):
        divan.open(redis_server.store_url(database, create="false"))
    store.create({}, id="x")
    with divan.open(redis_server.store_url(database, create="false")) as found:
        assert "x" in found


@pytest.mark.parametrize(
    "id", ["a/b", "a?b#c", "100%", " ", "a:b", "*", "[x]", "{tag}", "\\", "🦊", "x" * 500, "-", "\r\n"]
)
def test_an_odd_id_is_its_own_document(store: Store, id: str) -> None:
    store.create({"mine": True}, id=id)
    assert store.get(id) == {"mine": True}
    assert list(store.ids()) == [id]
    assert store.update(id, {"n": Increment(1)})["n"] == 1
    store.delete(id)
    assert store.get(id, None) is None
