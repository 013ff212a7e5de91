"""What other tools keep on a live server is left as it is: keys that are no documents, times to live, unreadable fields."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import divan
import pytest
import redis
from divan import Increment, Store
from divan_redis import RedisBackend
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.live


@pytest.fixture
def database() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def store(redis_server: Any, database: str) -> Iterator[Store]:
    with divan.open(redis_server.store_url(database)) as store:
        yield store
        for key in store.backend.db.keys(f"{database}:*"):
            store.backend.db.delete(key)


@pytest.fixture
def raw(redis_server: Any) -> Iterator[redis.Redis]:
    """The native client, as any other tool would use it."""
    with closing(redis.Redis(redis_server.host, redis_server.port)) as client:
        yield client


# Keys that are no documents


OTHERS: dict[str, Callable[[redis.Redis, str], Any]] = {
    "string": lambda raw, key: raw.set(key, "held"),
    "list": lambda raw, key: raw.rpush(key, "held"),
    "set": lambda raw, key: raw.sadd(key, "held"),
    "zset": lambda raw, key: raw.zadd(key, {"held": 1}),
    "stream": lambda raw, key: raw.xadd(key, {"held": 1}),
}

WRITES: dict[str, Callable[[Store], Any]] = {
    "put": lambda store: store.put("lock", {"n": 1}),
    "replace": lambda store: store.replace("lock", {"n": 1}),
    "replace with rev": lambda store: store.replace("lock", {"n": 1}, rev="1"),
    "update": lambda store: store.update("lock", {"n": Increment(1)}),
    "delete": lambda store: store.delete("lock"),
    "delete with rev": lambda store: store.delete("lock", rev="1"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_document_is_never_touched(store: Store, raw: redis.Redis, database: str, kind: str) -> None:
    key = f"{database}:lock"
    OTHERS[kind](raw, key)
    before = raw.dump(key)
    for name, write in WRITES.items():
        with pytest.raises(divan.StoreError, match=rf"{key}.*holds no hash, so it is no document"):
            write(store)
        assert raw.dump(key) == before, name
    with pytest.raises(divan.DocumentExists, match=rf"'lock' is taken by a Redis key of the type {kind}") as caught:
        store.create({"n": 1}, id="lock")
    assert "put()" not in str(caught.value)
    assert raw.dump(key) == before


@pytest.mark.parametrize("kind", OTHERS)
def test_a_bulk_call_leaves_what_is_no_document(store: Store, raw: redis.Redis, database: str, kind: str) -> None:
    key = f"{database}:lock"
    OTHERS[kind](raw, key)
    before = raw.dump(key)
    calls: dict[type[Exception], list[Callable[[], Any]]] = {
        divan.DocumentExists: [lambda: store.create_many([("lock", {}), ("a", {"n": 1})])],
        divan.StoreError: [
            lambda: store.update_many([("lock", {"n": 1}), ("a", {"n": 2})]),
            lambda: store.delete_many(["lock", "a"]),
        ],
    }
    for kind_of_error, some in calls.items():
        for call in some:
            with pytest.raises(divan.BulkError) as caught:
                call()
            assert {index: type(error) for index, error in caught.value.errors.items()} == {0: kind_of_error}
            assert "put()" not in str(caught.value)
    assert raw.dump(key) == before
    assert "a" not in store


def test_deleting_says_what_is_missing(store: Store) -> None:
    store.create({}, id="a")
    with pytest.raises(divan.BulkError) as caught:
        store.delete_many(["none", "a"])
    assert isinstance(caught.value.errors[0], divan.DocumentNotFound)
    with pytest.raises(divan.DocumentNotFound):
        store.delete("a")


# Times to live


@pytest.mark.parametrize(
    "write",
    [
        lambda store, rev: store.put("x", {"b": 2}),
        lambda store, rev: store.replace("x", {"b": 2}),
        lambda store, rev: store.replace("x", {"b": 2}, rev=rev),
        lambda store, rev: store.replace("x", {}),
        lambda store, rev: store.update("x", {"a": divan.REMOVE, "b": 2}),
    ],
    ids=["put", "replace", "replace with rev", "replace by nothing", "update"],
)
def test_a_time_to_live_stays(
    store: Store, raw: redis.Redis, database: str, write: Callable[[Store, str | None], Any]
) -> None:
    made = store.create({"a": 1, "c": [1, 2]}, id="x")
    raw.pexpire(f"{database}:x", 1_000_000)
    written = write(store, made.rev)
    assert 500_000 < int(str(raw.pttl(f"{database}:x"))) <= 1_000_000
    assert store.get("x") == written
    assert store.get("x").rev == written.rev != made.rev


def test_a_document_without_a_time_to_live_gets_none(store: Store, raw: redis.Redis, database: str) -> None:
    store.create({"a": 1}, id="x")
    store.put("x", {"b": 1})
    assert raw.pttl(f"{database}:x") == -1


def test_a_replaced_document_keeps_no_old_field(store: Store) -> None:
    wide = {f"f{n}": n for n in range(9000)}
    store.create(wide, id="x")
    assert store.put("x", {"f1": "new", "g": 1}) == store.get("x") == {"f1": "new", "g": 1}


# Fields that can't be read


UNREADABLE: list[str | bytes] = [
    "Ada", "", "1,2", '1,"b":2', "NaN", "-Infinity", "[1,NaN]", "{", "[1,]", "[,1]", '{"a"}', '{"a":1,}', "{1:2}", "[01]",
    "01", "+1", "1.", ".5", "[1.]", "1e", "1e5.3", "--1", "[1 2]", "tru", "[true false]", "'a'", '"a', 'a"', '"a"b"', '"\\x"',
    '"\\u12g4"', '"\\"', '["\\\\"]"]', '"\n"', '["\x00"]', '[1]]', "[[1]", "[1},{2]", "1 2", '"a" "b"', "0x10", "[\\n1]",
    b"\xff", b'"\xc3"', b'["\xed\xa0\x80"]', b'"\xf5\x80\x80\x80"', "[" * 100_000, "9" * 5000, "[" + "9" * 5000 + "]",
]  # fmt: skip


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: repr(text[:12]))
def test_an_update_that_raises_has_not_been_made(
    store: Store, raw: redis.Redis, database: str, text: str | bytes
) -> None:
    key = f"{database}:x"
    raw.hset(key, mapping={"_rev": "7", "n": "1", "bad": text})
    before = raw.hgetall(key)
    for _ in range(3):
        with pytest.raises(divan.StoreError, match="document 'x': the hash field 'bad' holds no JSON text"):
            store.update("x", {"n": Increment(1)})
        with pytest.raises(divan.StoreError, match="'bad'"):
            store.update("x", {"m": 1, "n": divan.REMOVE}, rev="7")
    store.create({"n": 1}, id="y")
    with pytest.raises(divan.BulkError) as caught:
        store.update_many([("x", {"n": Increment(1)}), ("y", {"n": Increment(1)})])
    assert {index: type(error) for index, error in caught.value.errors.items()} == {0: divan.StoreError}
    assert raw.hgetall(key) == before
    assert store.get("y") == {"n": 2}


def test_changes_of_one_document_keep_their_order(store: Store, raw: redis.Redis, database: str) -> None:
    raw.hset(f"{database}:x", mapping={"odd": "[ 1 ]"})
    changes = [("x", {"a": 1}), ("x", {"a": 2, "odd": 2}), ("x", {"a": 3, "odd": Increment(1)})]
    assert store.update_many(changes)[2] == store.get("x") == {"a": 3, "odd": 3}


def test_a_change_mends_a_document_that_the_change_before_could_not(
    store: Store, raw: redis.Redis, database: str
) -> None:
    raw.hset(f"{database}:x", mapping={"bad": "Ada"})
    with pytest.raises(divan.BulkError) as caught:
        store.update_many([("x", {"a": 1}), ("x", {"bad": 2}), ("x", {"b": 3})])
    assert list(caught.value.errors) == [0]
    assert store.get("x") == {"bad": 2, "b": 3}


def test_a_field_whose_name_can_not_be_read_stops_an_update(store: Store, raw: redis.Redis, database: str) -> None:
    raw.hset(f"{database}:x", mapping={b"\xff": "1", b"n": "1"})
    with pytest.raises(divan.StoreError):
        store.update("x", {"n": Increment(1)})
    assert raw.hget(f"{database}:x", "n") == b"1"


def test_an_update_may_mend_what_can_not_be_read(store: Store, raw: redis.Redis, database: str) -> None:
    raw.hset(f"{database}:x", mapping={"n": "1", "bad": "Ada", "worse": "{"})
    assert store.update("x", {"bad": "Ada", "worse": divan.REMOVE, "n": Increment(1)}) == {"n": 2, "bad": "Ada"}


@pytest.mark.parametrize(
    "text", [" 1", '[ "a" ]', '{"a" : 1}', "[1\n]", "\t{}", "[" * 150 + "]" * 150], ids=lambda text: repr(text[:9])
)
def test_what_can_be_read_though_it_is_written_unusually_is_left_as_it_is(
    store: Store, raw: redis.Redis, database: str, text: str
) -> None:
    raw.hset(f"{database}:x", mapping={"n": "1", "odd": text})
    assert store.update("x", {"n": Increment(1)})["n"] == 2
    assert store.update_many([("x", {"n": Increment(1)}), ("x", {"n": Increment(1)})])[1]["n"] == 4
    assert raw.hget(f"{database}:x", "odd") == text.encode()


TEXTS = st.text(st.characters(codec="utf-8"))
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="$.\0"), min_size=1, max_size=4)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(value=VALUES)
def test_an_update_beside_any_value_takes_one_round_trip(redis_server: Any, value: Any) -> None:
    with divan.open(redis_server.store_url("update-beside-any-value")) as store:
        backend: Any = store.backend
        store.put("x", {"value": value})
        ran = []
        run = backend._client.run
        backend._client.run = lambda *arguments: ran.append(arguments[0]) or run(*arguments)
        assert store.update("x", {"n": 1}) == {"value": value, "n": 1}
        assert len(ran) == 1
        backend._client.run = run
        store.delete("x")


# Names of databases, and secrets


@pytest.mark.parametrize("url", ["redis://localhost/0", "redis://localhost/15", "redis+cluster://localhost/0"])
def test_the_number_of_a_database_is_not_taken_for_its_name(url: str) -> None:
    number = url.rpartition("/")[2]
    with pytest.raises(divan.InvalidURL, match=rf"redis://host/name .*redis://host/name\?db={number}"):
        divan.open(url)


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel"])
def test_no_password_is_in_the_variables_of_a_traceback(redis_auth_server: Any, scheme: str) -> None:
    of_sentinel = {"service": "m", "sentinel_password": "s3cr3t-w0rd"} if scheme == "redis+sentinel" else {}
    options = {"password": "s3cr3t-w0rd", **of_sentinel}
    with pytest.raises(divan.AuthenticationFailed) as caught:
        RedisBackend("x", redis_auth_server.host, redis_auth_server.port, scheme=scheme, **options)
    error: BaseException | None = caught.value
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals["__name__"].startswith(("divan_redis", "redis")):
                for name, value in trace.tb_frame.f_locals.items():
                    assert "s3cr3t-w0rd" not in repr(value), (trace.tb_frame, name)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
