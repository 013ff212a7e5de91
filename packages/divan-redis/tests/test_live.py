"""What only live Redis servers can show of `divan_redis`: round trips, races, faults, clusters, and other tools' documents."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import divan
import pytest
import redis
from divan import Increment, Store
from divan.testing.checks.network import closed_port
from divan.updates import add
from divan_redis import RedisBackend
from divan_redis.errors import translate
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.cluster import RedisCluster

from tests.support import servers
from tests.support.processes import wait_until
from tests.support.proxy import Proxy
from tests.support.resp import call
from tests.support.servers import Server

DOCUMENT = {
    "name": "Ada",
    "guests": 3,
    "price": 1.0,
    "paid": True,
    "note": None,
    "tags": [],
    "room": {"beds": [{}], "view": "Zürich 🏔"},
    "long": 2**63 - 1,
}


def each(*actions: Callable[[], Any]) -> tuple[Callable[[], Any], ...]:
    return actions


def new_name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def database() -> str:
    return new_name()


@pytest.fixture
def store(redis_server: Server, database: str) -> Iterator[Store]:
    yield from emptied(divan.open(redis_server.store_url(database)))


@pytest.fixture
def raw(redis_server: Server) -> Iterator[redis.Redis]:
    """The native client, as any other tool would use it."""
    with closing(redis.Redis(redis_server.host, redis_server.port)) as client:
        yield client


@pytest.fixture(scope="module")
def quiet_server() -> Iterator[Server]:
    """A server that holds nothing else: what others leave there, or left, would give SCAN more pages."""
    with servers.fresh("redis") as own:
        yield own


@pytest.fixture
def proxy(quiet_server: Server) -> Iterator[Proxy]:
    with Proxy(quiet_server.host, quiet_server.port) as proxy:
        yield proxy


@pytest.fixture
def watched(proxy: Proxy, database: str) -> Iterator[Store]:
    """A Store behind the proxy, its two connections made."""
    store = divan.open(f"redis://127.0.0.1:{proxy.port}/{database}", timeout=60, connect_timeout=60)
    store.create({}, id="first")
    list(store)
    yield from emptied(store)


@pytest.fixture
def clustered(redis_cluster: Server, database: str) -> Iterator[Store]:
    yield from emptied(divan.open(redis_cluster.store_url(database)))


def emptied(store: Store) -> Iterator[Store]:
    with store:
        yield store
        if isinstance(store.backend, RedisBackend):
            with suppress(divan.DivanError):
                store.delete_many(store.ids())


# Round trips, counted at the wire


ROUND_TRIPS: dict[str, tuple[int, Callable[[Store], Any]]] = {
    "create": (1, lambda store: store.create(DOCUMENT)),
    "get": (1, lambda store: store.get("first")),
    "get of a missing one": (1, lambda store: store.get("none", None)),
    "update": (1, lambda store: store.update("first", {"a": 1, "b": divan.REMOVE, "c": Increment(1)})),
    "update with rev": (1, lambda store: store.update("first", {"a": 1}, rev=store.get("first").rev)),
    "replace": (1, lambda store: store.replace("first", DOCUMENT)),
    "put": (1, lambda store: store.put("second", DOCUMENT)),
    "delete": (1, lambda store: store.delete("first")),
    "delete with rev": (1, lambda store: store.delete("first", rev=store.get("first").rev)),
    "ping": (1, lambda store: store.ping()),
    "create_many": (1, lambda store: store.create_many([DOCUMENT] * 20)),
    "get_many": (1, lambda store: store.get_many(["first", "none"] * 10)),
    "update_many": (1, lambda store: store.update_many([("first", {"n": n}) for n in range(20)])),
    "delete_many": (1, lambda store: store.delete_many(["first"])),
    "count": (1, lambda store: store.count()),
    "find": (2, lambda store: list(store.find({"a": 1}))),
    "find of some fields": (2, lambda store: list(store.find({"a": 1}, sort="b", fields=["c"]))),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_call_takes_this_many_round_trips(watched: Store, proxy: Proxy, name: str) -> None:
    expected, action = ROUND_TRIPS[name]
    watched.update("first", {})
    proxy.reset()
    action(watched)
    assert proxy.round_trips == expected + name.endswith("with rev")  # which a get comes before


def test_a_call_of_an_open_store_makes_no_connection(watched: Store, proxy: Proxy) -> None:
    proxy.reset()
    for _ in range(20):
        watched.update("first", {"n": Increment(1)})
    assert proxy.connections == 0


def test_find_with_a_limit_stops_reading() -> None:
    with (
        servers.fresh("redis") as own,  # so that nobody else's reads are counted
        divan.open(own.store_url("x")) as store,
        closing(redis.Redis(own.host, own.port)) as raw,
    ):
        store.create_many([{"n": n} for n in range(3000)])
        raw.config_resetstat()
        assert len(list(store.find({"n": {"$gte": 0}}, limit=5))) == 5
        assert 5 <= raw.info("commandstats")["cmdstat_hgetall"]["calls"] < 1500


# Races


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_16_threads_updating_different_fields_lose_none(store: Store) -> None:
    store.create({}, id="shared")

    def work(number: int) -> None:
        for turn in range(200):
            store.update("shared", {f"field{number}": turn, "total": Increment(1)})

    in_threads(16, work)
    assert store.get("shared") == {**{f"field{number}": 199 for number in range(16)}, "total": 3200}


def test_16_threads_incrementing_by_revision_and_retry_lose_none(store: Store) -> None:
    store.create({"n": 0}, id="shared")

    def work(number: int) -> None:
        for _ in range(25):
            while True:
                seen = store.get("shared")
                try:
                    store.update("shared", {"n": seen["n"] + 1}, rev=seen.rev)
                except divan.RevisionConflict:
                    continue
                break

    in_threads(16, work)
    assert store.get("shared")["n"] == 400


def test_16_threads_creating_one_id_make_one(store: Store) -> None:
    made: list[int] = []

    def work(number: int) -> None:
        with suppress(divan.DocumentExists):
            store.create({"by": number}, id="only")
            made.append(number)

    in_threads(16, work)
    assert made == [store.get("only")["by"]]


def test_a_document_made_anew_has_no_revision_of_the_old_one(store: Store) -> None:
    revs = {store.create({}, id="x").rev}
    for _ in range(20):
        revs.add(store.update("x", {}).rev)
    store.delete("x")
    assert store.create({}, id="x").rev not in revs


def test_a_document_that_goes_between_scan_and_read_is_skipped(
    redis_server: Server, store: Store, database: str
) -> None:
    store.create_many([("goes", {}), ("changes", {}), ("stays", {"a": 1})])
    with divan.open(redis_server.store_url(database)) as racing:
        backend: Any = racing.backend
        scan = backend._client.scan

        def scan_then_change(pattern: bytes) -> Iterator[list[bytes]]:
            for page in scan(pattern):
                for key in page:
                    if key.endswith(b":goes"):
                        backend.db.delete(key)
                    if key.endswith(b":changes"):
                        backend.db.set(key, "no hash any more")
                yield page

        backend._client.scan = scan_then_change
        assert racing.get_many(["goes", "stays"]) == [{}, {"a": 1}]
        assert list(racing.find({}, fields=["a"])) == [{"a": 1}]
        store.create({}, id="goes")
        racing.backend.db.delete(f"{database}:changes")
        store.create({}, id="changes")
        assert list(racing) == [{"a": 1}]
        racing.backend.db.delete(f"{database}:changes")


def test_a_document_comes_once_though_scan_gives_its_key_twice() -> None:
    """A table that shrinks between two pages makes SCAN start the bucket under its cursor anew.

    Where the server's random hash puts a bucket's border under the cursor there is nothing to start anew (about one time
    in sixteen), so other keys are tried then.
    """
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:

        def table_size() -> int:
            return int(store.backend.db.memory_stats()["db.0"]["overhead.hashtable.main"])

        backend: Any = store.backend
        scan = backend._client.scan
        scanned: list[bytes] = []

        def recording(pattern: bytes) -> Iterator[list[bytes]]:
            for page in scan(pattern):
                scanned.extend(page)
                yield page

        backend._client.scan = recording
        for attempt in range(30):
            ids = [f"{attempt}-{n}" for n in range(5000)]
            store.create_many([(id, {}) for id in ids])
            full = table_size()
            scanned.clear()
            kept: set[str] = set()
            found: list[str] = []
            for document in store:
                found.append(document.id)
                if len(found) == 2500:
                    kept = {key.decode().removeprefix("x:") for key in scanned[-400:]}  # they share a bucket soon
                    store.delete_many([id for id in ids if id not in kept])
                    wait_until(lambda full=full: table_size() < full / 6, "the table's shrinking")
            assert len(found) == len(set(found))
            assert kept <= set(found)
            if len(scanned) > len(set(scanned)):
                break
            store.delete_many(kept)
        else:
            pytest.fail("SCAN gave no key twice: the test shows nothing")


# Exact values


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**53) - 3, 2**53 + 3),
    st.integers(-20, 20),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS = st.one_of(
    NUMBERS.map(json.dumps),
    st.sampled_from(
        [
            "-0",
            "0",
            " 5 ",
            "1E5",
            "-1e-7",
            "1e22",
            "5e-324",
            "true",
            "null",
            '"7"',
            "[]",
            "[1]",
            "{}",
            '"0x1F"',
            '"nan"',
        ]
    ),
    st.none(),  # no such field
)


@pytest.fixture(scope="module")
def numbers(redis_server: Server) -> Iterator[tuple[Store, redis.Redis, str]]:
    database = new_name()
    with (
        closing(redis.Redis(redis_server.host, redis_server.port)) as client,
        divan.open(redis_server.store_url(database)) as store,
    ):
        yield store, client, f"{database}:x"
        client.delete(f"{database}:x")


@given(text=TEXTS, by=NUMBERS)
@example(text="-0.0", by=0)
@example(text="-0.0", by=-0.0)
@example(text=None, by=-0.0)
@example(text="-0", by=-0.0)
@example(text="0.1", by=0.2)
@example(text="9007199254740993", by=0.0)
@example(text="9223372036854775807", by=1)
@example(text="9223372036854775807", by=-(2**63))
@example(text="-9223372036854775808", by=-1)
@example(text="1e308", by=1e308)
@example(text="-1e308", by=-1e308)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_increment_adds_exactly_as_the_reference_does(
    numbers: tuple[Store, redis.Redis, str], text: str | None, by: int | float
) -> None:
    store, raw, key = numbers
    raw.delete(key)
    raw.hset(key, mapping={"_rev": "7", "other": "[]", "first": "1", **({} if text is None else {"n": text})})
    before = raw.hgetall(key)
    try:
        expected: Any = add("n", 0 if text is None else json.loads(text), by)
    except divan.InvalidDocument as error:
        refusal = str(error)
    else:
        found = store.update("x", {"first": Increment(1), "n": Increment(by)})
        assert (found["n"], type(found["n"]), math.copysign(1, found["n"])) == (
            expected,
            type(expected),
            math.copysign(1, expected),
        )
        assert (found["first"], found["other"], found.rev) == (2, [], "8")
        assert store.get("x") == found
        return
    with pytest.raises(divan.InvalidDocument) as caught:
        store.update("x", {"other": 1, "first": Increment(1), "n": Increment(by)})
    assert str(caught.value) == refusal
    assert raw.hgetall(key) == before


def test_an_update_leaves_other_fields_text_untouched(store: Store, raw: redis.Redis, database: str) -> None:
    key = f"{database}:x"
    texts: dict[Any, Any] = {
        "list": "[]",
        "object": "{}",
        "long": "12345678901234567890123",
        "nested": "[[],{},1.0,1e400]",
        "f": "1.10",
    }
    raw.hset(key, mapping=texts)
    store.update("x", {"a": 1, "n": Increment(1)})
    assert raw.hgetall(key) == {
        b"_rev": b"1",
        b"a": b"1",
        b"n": b"1",
        **{name.encode(): text.encode() for name, text in texts.items()},
    }


def test_every_value_comes_back_exactly(store: Store) -> None:
    made = store.create(DOCUMENT)
    found = store.get(made.id)
    assert json.dumps(found, sort_keys=True) == json.dumps(DOCUMENT, sort_keys=True)
    assert found.rev == made.rev


def test_a_document_may_have_more_fields_than_lua_can_unpack(store: Store) -> None:
    wide = {f"f{n}": n for n in range(9000)}
    store.create(wide, id="x")
    assert store.update("x", dict.fromkeys(wide, True)) == dict.fromkeys(wide, True)
    assert store.replace("x", wide) == store.get("x") == wide
    assert store.update("x", dict.fromkeys(list(wide)[1:], divan.REMOVE)) == {"f0": 0}


def test_an_empty_document_exists(store: Store) -> None:
    store.create({"a": 1}, id="x")
    assert store.update("x", {"a": divan.REMOVE}) == {}
    assert store.get("x") == {}
    assert store.replace("x", {}) == {}
    assert list(store.ids()) == ["x"]


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


# Faults


UNHURRIED = "timeout=3&connect_timeout=60"
"""Of a Store that meets a timeout after calls that have to succeed, or before: they may be slow on a busy machine."""


def test_no_server_is_a_failed_connection() -> None:
    with closed_port() as port, pytest.raises(divan.ConnectionFailed, match="can't be reached"):
        divan.open(f"redis://127.0.0.1:{port}/x")


def test_no_socket_is_a_failed_connection(tmp_path: Path) -> None:
    with pytest.raises(divan.ConnectionFailed):
        divan.open(f"redis+unix:///x?socket={tmp_path}/none.sock")


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_server_that_never_answers_is_a_timeout_at_open(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        port = hung.getsockname()[1]
        with pytest.raises(divan.OperationTimeout, match=r"within 0\.2 s"):
            divan.open(f"{scheme}://127.0.0.1:{port}/x?timeout=0.2")


def test_a_server_that_hangs_is_a_timeout_and_the_store_recovers(proxy: Proxy, database: str) -> None:
    with divan.open(f"redis://127.0.0.1:{proxy.port}/{database}?{UNHURRIED}") as store:
        store.create({"n": 1}, id="x")
        proxy.hang()
        actions = each(
            lambda: store.get("x"),
            lambda: store.update("x", {"n": 2}),
            lambda: store.get_many(["x"]),
            lambda: list(store),
            lambda: store.ping(),
        )

        def work(number: int) -> None:
            with pytest.raises(divan.OperationTimeout):
                actions[number]()

        in_threads(len(actions), work)  # at once, as each takes the whole timeout
        proxy.resume()
        assert store.get("x") == {"n": 1}
        store.delete("x")


def test_a_late_answer_never_meets_another_call(watched: Store, proxy: Proxy) -> None:
    backend = RedisBackend(watched.backend.database, "127.0.0.1", proxy.port, timeout=3, connect_timeout=60)
    backend.create({"n": 1}, document_id="x")
    proxy.swallow_next_answer()
    with pytest.raises(divan.OperationTimeout):
        backend.update("x", {"n": 2})
    assert backend.get_document_for_id("first") == {}
    assert backend.get_document_for_id("x") == {"n": 2}
    backend.close()


def test_a_write_whose_answer_is_lost_is_not_sent_again(watched: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    with pytest.raises(divan.ConnectionFailed):
        watched.update("first", {"n": Increment(1)})
    assert watched.get("first") == {"n": 1}


def test_a_bulk_write_whose_answer_is_lost_is_not_sent_again(watched: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    with pytest.raises(divan.BulkError) as caught:
        watched.update_many([("first", {"n": Increment(1)})])
    assert isinstance(caught.value.errors[0], divan.ConnectionFailed)
    assert watched.get("first") == {"n": 1}


@pytest.mark.parametrize(
    "read", [lambda store: store.get("first"), lambda store: store.get_many(["first"])[0]], ids=["get", "get_many"]
)
def test_a_read_whose_answer_is_lost_is_sent_again(watched: Store, proxy: Proxy, read: Callable[[Store], Any]) -> None:
    proxy.cut_next_answer()
    assert read(watched) == {}


def test_a_read_is_sent_again_a_bounded_number_of_times(watched: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer(times=2)
    with pytest.raises(divan.ConnectionFailed):
        watched.get("first")


def test_retries_0_sends_a_read_once(proxy: Proxy, database: str) -> None:
    with divan.open(f"redis://127.0.0.1:{proxy.port}/{database}?retries=0") as store:
        proxy.cut_next_answer()
        with pytest.raises(divan.ConnectionFailed):
            store.get("x")


def test_connections_that_the_server_closed_are_made_anew(watched: Store, proxy: Proxy) -> None:
    proxy.drop_connections()
    watched.update("first", {"n": Increment(1)})
    assert watched.get("first") == {"n": 1}


def test_an_answer_that_is_no_redis_protocol_is_an_error(watched: Store, proxy: Proxy) -> None:
    proxy.corrupt_next_answer()
    with pytest.raises(divan.StoreError, match="can't be read"):
        watched.get("first")
    assert watched.get("first") == {}


def test_a_scan_does_not_go_on_at_a_restarted_server() -> None:
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:
        store.create_many([{"n": n} for n in range(1500)])
        found = iter(store)
        next(found)
        own.restart()
        with pytest.raises(divan.ConnectionFailed):
            list(found)


def test_a_restarted_server_that_forgot_the_scripts_is_served() -> None:
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:
        own.restart()
        assert store.create({"n": 1}, id="x").id == "x"
        assert store.update("x", {"n": Increment(1)}) == {"n": 2}
        own.restart()
        assert [document.id for document in store.create_many([("a", {}), ("b", {})])] == ["a", "b"]
        assert store.update_many([("a", {"n": 1}), ("a", {"n": Increment(1)})])[1] == {"n": 2}
        own.restart()
        assert store.put("x", {}) == {}
        rev = store.get("x").rev
        call(own.port, "SCRIPT", "FLUSH")
        store.delete("x", rev=rev)
        assert store.get("x", None) is None


def test_a_full_server_is_store_full_and_a_read_only_one_store_read_only() -> None:
    with servers.fresh("redis") as own, divan.open(own.store_url("x")) as store:
        store.create({"n": 1}, id="x")
        call(own.port, "CONFIG", "SET", "maxmemory", "1")
        for write in each(
            lambda: store.create({}),
            lambda: store.update("x", {"a": 1}),
            lambda: store.replace("x", {"a": 1}),
        ):
            with pytest.raises(divan.StoreFull):
                write()
        assert store.get("x") == {"n": 1}
        call(own.port, "CONFIG", "SET", "maxmemory", "0")
        call(own.port, "REPLICAOF", "127.0.0.1", str(own.port))
        for write in each(
            lambda: store.create({}),
            lambda: store.update("x", {"a": 1}),
            lambda: store.delete("x"),
        ):
            with pytest.raises(divan.StoreReadOnly):
                write()
        assert store.get("x") == {"n": 1}


def test_a_closed_store_stays_closed(redis_server: Server, store: Store) -> None:
    other = divan.open(redis_server.store_url(store.backend.database))
    store.create_many([{} for _ in range(1200)])
    found = iter(other)
    next(found)
    other.close()
    with pytest.raises(divan.StoreClosed):
        list(found)
    with pytest.raises(divan.StoreClosed):
        other.get("x")
    with pytest.raises(divan.StoreClosed):
        other.backend.get_document_for_id("x")


# Accounts


def test_the_right_password_opens(redis_auth_server: Server, database: str) -> None:
    with divan.open(redis_auth_server.store_url(database)) as store:
        store.create({}, id="x")
        store.delete("x")
    with divan.open(
        "redis",
        database=database,
        host=redis_auth_server.host,
        port=redis_auth_server.port,
        user=redis_auth_server.extra["acl_user"],
        password=redis_auth_server.password,
    ) as store:
        assert store.count() == 0


@pytest.mark.parametrize("password", ["wr@ng:secret", None])
def test_a_wrong_password_is_refused_and_never_shown(redis_auth_server: Server, password: str | None) -> None:
    with pytest.raises(divan.AuthenticationFailed) as caught:
        divan.open("redis", database="x", host=redis_auth_server.host, port=redis_auth_server.port, password=password)
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in f"{error!s} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("character", list("!#$%&'()*+,/:;=?@[] \"<>\\^`{|}~é"))
def test_a_password_may_hold_every_character_that_a_url_reserves(character: str) -> None:
    from urllib.parse import quote

    password = f"a{character}b"
    with servers.fresh("redis") as own:
        call(own.port, "ACL", "SETUSER", "ada", "on", f">{password}", "~*", "+@all")
        with divan.open(f"redis://ada:{quote(password, safe='')}@127.0.0.1:{own.port}/x") as store:
            assert store.create({}).id
            assert password not in f"{store!r}{store.backend!r}{store.backend.options}"


def test_what_an_account_may_not_do_is_refused(redis_server: Server, database: str) -> None:
    call(redis_server.port, "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@connection", "+@read", "+scan")
    try:
        with divan.open(f"redis://reader:pw@127.0.0.1:{redis_server.port}/{database}") as store:
            assert list(store) == []
            with pytest.raises(divan.AuthenticationFailed):
                store.create({})
            with pytest.raises(divan.AuthenticationFailed):
                store.delete("x")
    finally:
        call(redis_server.port, "ACL", "DELUSER", "reader")


def test_the_commands_that_the_readme_lists_are_enough(redis_server: Server, database: str) -> None:
    readme = Path(__file__).parents[1] / "packages/divan-redis/README.md"
    (line,) = [line for line in readme.read_text().splitlines() if line.startswith("ACL SETUSER divan ")]
    words = line.removeprefix("ACL SETUSER divan ").replace("guests", database).split()
    call(redis_server.port, "ACL", "SETUSER", "divan", *words)
    try:
        with divan.open(f"redis://divan:secret@127.0.0.1:{redis_server.port}/{database}") as store:
            store.create_many([("a", {"n": 1}), ("b", {"n": 1})])
            rev = store.update("a", {"n": Increment(1), "m": divan.REMOVE}).rev
            store.replace("b", {"n": 2})
            store.put("c", {})
            assert store.count({"n": 2}) == 2
            assert len(list(store.find(fields=["n"]))) == 3
            store.delete("a", rev=rev)
            store.delete_many(store.ids())
    finally:
        call(redis_server.port, "ACL", "DELUSER", "divan")


# TLS and sockets


def test_tls_with_the_authority_that_signed_opens(redis_tls_server: Server, database: str) -> None:
    with divan.open(redis_tls_server.store_url(database, ssl_ca_certs=str(redis_tls_server.ca_file))) as store:
        store.create({"a": 1}, id="x")
        assert store.get("x") == {"a": 1}
        store.delete("x")


def test_tls_without_the_authority_is_refused(redis_tls_server: Server) -> None:
    with pytest.raises(divan.ConnectionFailed, match=r"(?i)certificate"):
        divan.open(redis_tls_server.store_url("x"))


def test_tls_by_another_authority_is_refused(redis_tls_server: Server, tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme makes the other authority: pip install trustme")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with pytest.raises(divan.ConnectionFailed, match=r"(?i)certificate"):
        divan.open(redis_tls_server.store_url("x", ssl_ca_certs=str(tmp_path / "other.pem")))


def test_tls_can_be_told_not_to_check(redis_tls_server: Server, database: str) -> None:
    with divan.open(redis_tls_server.store_url(database, ssl_cert_reqs="none")) as store:
        store.ping()


def test_tls_to_a_server_without_it_is_a_failed_connection(redis_server: Server) -> None:
    with pytest.raises(divan.ConnectionFailed):
        divan.open(f"rediss://127.0.0.1:{redis_server.port}/x?connect_timeout=0.3&timeout=0.3")


def test_a_unix_socket_opens(redis_server: Server, store: Store, database: str) -> None:
    if "socket" not in redis_server.extra:
        pytest.skip("this server was not started here, so that its Unix socket is out of reach")
    store.create({"a": 1}, id="x")
    with divan.open(f"redis+unix:///{database}?socket={redis_server.extra['socket']}") as other:
        assert other.get("x") == {"a": 1}


# Options


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://localhost/x?timeout=0", "timeout"),
        ("redis://localhost/x?timeout=soon", "timeout"),
        ("redis://localhost/x?retries=-1", "retries"),
        ("redis://localhost/x?db=one", "db"),
        ("redis://localhost/x?colour=red", "its options are"),
        ("redis://localhost/x?socket=/run/redis.sock", r"redis\+unix"),
        ("redis://localhost/x?service=m", r"redis\+sentinel"),
        ("redis://localhost/x?ssl_cert_reqs=none", "rediss"),
        ("rediss://localhost/x?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://localhost/x?ssl_ca_certs=/none.pem", "no such file"),
        ("redis://one,two/x", r"redis\+cluster"),
        ("redis+cluster://one:0,two/x", "host:port"),
        ("redis+cluster://one,/x", "host:port"),
        ("redis+cluster://localhost/x?db=1", "numbered"),
        ("redis+unix:///x", "socket="),
        ("redis+sentinel://localhost/x", "service="),
    ],
)
def test_an_option_that_can_not_be_used_is_named(url: str, says: str) -> None:
    with pytest.raises(divan.InvalidURL, match=says):
        divan.open(url)


def test_options_given_by_keyword_are_checked_too() -> None:
    with pytest.raises(divan.InvalidURL, match="timeout"):
        divan.open("redis", database="x", timeout=-1)


def test_every_name_is_installed() -> None:
    names = {"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "redis+unix"}
    assert {name for name in names if divan.get_backend(name) is RedisBackend} == names


def test_an_error_of_the_cluster_client_says_its_cause() -> None:
    outer = redis.exceptions.RedisClusterException("cannot be connected")
    outer.__cause__ = redis.TimeoutError("Timeout reading from socket")
    assert isinstance(translate(outer, "here:1", 5), divan.OperationTimeout)


# Cluster


def test_a_cluster_spreads_documents_and_finds_them_all(clustered: Store, database: str) -> None:
    made = clustered.create_many([{"n": n} for n in range(300)])
    assert isinstance(clustered.backend.db, RedisCluster)
    native: Any = clustered.backend.db
    shares = [
        len(list(native.get_redis_connection(node).scan_iter(match=f"{database}:*", count=1000)))
        for node in native.get_primaries()
    ]
    assert sum(shares) == 300
    assert min(shares) > 50
    assert {document.id for document in clustered} == {document.id for document in made}
    assert [document["n"] for document in clustered.find({"n": {"$lt": 5}}, sort="-n", limit=3)] == [4, 3, 2]
    assert (clustered.count(), clustered.count({"n": {"$gte": 200}})) == (300, 100)
    clustered.ping()


def test_a_cluster_document_goes_through_its_life(clustered: Store) -> None:
    made = clustered.create(DOCUMENT, id="x")
    with pytest.raises(divan.DocumentExists):
        clustered.create({}, id="x")
    changed = clustered.update("x", {"guests": Increment(1), "note": divan.REMOVE}, rev=made.rev)
    assert clustered.get("x") == changed == {**{k: v for k, v in DOCUMENT.items() if k != "note"}, "guests": 4}
    with pytest.raises(divan.RevisionConflict):
        clustered.delete("x", rev=made.rev)
    assert clustered.replace("x", {"a": 1}, rev=changed.rev) == {"a": 1}
    clustered.delete("x")
    with pytest.raises(divan.DocumentNotFound):
        clustered.update("x", {})


def test_a_cluster_bulk_answers_item_by_item_in_order(clustered: Store) -> None:
    ids = [f"id{n}" for n in range(100)]
    clustered.create_many([(id, {"n": 0}) for id in ids])
    with pytest.raises(divan.BulkError) as caught:
        clustered.update_many([(id, {"n": Increment(turn)}) for turn in (1, 10) for id in [*ids, "none"]])
    assert sorted(caught.value.errors) == [100, 201]
    assert [document["n"] for document in clustered.get_many(ids)] == [11] * 100
    assert clustered.delete_many(ids) == ids


def test_a_cluster_that_forgot_the_scripts_is_served(clustered: Store) -> None:
    for node in clustered.backend.db.get_primaries():
        call(node.port, "SCRIPT", "FLUSH")
    clustered.create({"n": 1}, id="x")
    for node in clustered.backend.db.get_primaries():
        call(node.port, "SCRIPT", "FLUSH")
    assert clustered.update_many([("x", {"n": Increment(1)}), ("y", {})][:1]) == [{"n": 2}]


def test_16_threads_on_a_cluster_lose_no_update(clustered: Store) -> None:
    clustered.create({}, id="shared")

    def work(number: int) -> None:
        for turn in range(50):
            clustered.update("shared", {f"field{number}": turn, "total": Increment(1)})

    in_threads(16, work)
    assert clustered.get("shared") == {**{f"field{number}": 49 for number in range(16)}, "total": 800}


def test_a_slot_that_moves_takes_its_documents_along(clustered: Store, database: str) -> None:
    native = clustered.backend.db
    clustered.create({"n": 1}, id="x")
    key = f"{database}:x"
    slot = native.keyslot(key)
    source = native.get_node_from_key(key)
    target = next(node for node in native.get_primaries() if node.name != source.name)
    source_id, target_id = call(source.port, "CLUSTER", "MYID"), call(target.port, "CLUSTER", "MYID")

    call(target.port, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", source_id)
    call(source.port, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
    call(source.port, "MIGRATE", "127.0.0.1", str(target.port), key, "0", "30000")
    assert clustered.get("x") == {"n": 1}
    assert clustered.update("x", {"n": Increment(1)}) == {"n": 2}
    assert clustered.update_many([("x", {"n": Increment(1)})]) == [{"n": 3}]

    for port in (target.port, source.port):
        call(port, "CLUSTER", "SETSLOT", str(slot), "NODE", target_id)
    assert clustered.get_many(["x", "none"]) == [{"n": 3}, None]
    assert clustered.update("x", {"n": Increment(1)}) == {"n": 4}
    assert [document.id for document in clustered] == ["x"]


def test_a_cluster_whose_replica_takes_over_is_served(clustered: Store, database: str) -> None:
    clustered.create({"n": 1}, id="x")
    native = clustered.backend.db
    node = native.get_node_from_key(f"{database}:x")
    replica = native.nodes_manager.slots_cache[native.keyslot(f"{database}:x")][1]
    wait_until(lambda: "master_link_status:up" in call(replica.port, "INFO", "replication"), "the replica's link")
    asked = 0.0

    def took_over() -> bool:
        nonlocal asked
        if "role:master" in call(replica.port, "INFO", "replication"):
            return True
        if time.monotonic() > asked + 10:  # a replica gives up after 5 s, as it may have to on a busy machine
            call(replica.port, "CLUSTER", "FAILOVER")
            asked = time.monotonic()
        return False

    wait_until(took_over, "the take-over")
    wait_until(lambda: "role:slave" in call(node.port, "INFO", "replication"), "the stepping down")
    assert clustered.update("x", {"n": Increment(1)}) == {"n": 2}
    assert clustered.get_many(["x"]) == [{"n": 2}]
    assert [document.id for document in clustered] == ["x"]


# Sentinel


def failed_over(port: int, service: str) -> bool:
    """Whether the sentinel begins one: it first has to hear that the replica is fit."""
    with suppress(ValueError):
        return bool(call(port, "SENTINEL", "FAILOVER", service) == "OK")
    return False


def test_a_sentinel_leads_to_the_primary_and_to_the_next_one() -> None:
    with servers.fresh("redis-sentinel") as own:
        service = own.extra["service"]
        with divan.open(own.store_url("x", service=service)) as store:
            store.create({"n": 1}, id="x")
            assert store.update("x", {"n": Increment(1)}) == {"n": 2}
            old = call(own.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            replica = int(own.extra["replica_port"])
            wait_until(lambda: call(replica, "HGET", "x:x", "n") == "2", "the document's reaching the replica")
            wait_until(lambda: failed_over(own.port, service), "the sentinel's readiness for a failover")
            wait_until(
                lambda: call(own.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service) != old,
                "the new primary's election",
            )
            # The sentinel lets the old one take writes for seconds, to drop them when it makes it a replica.
            (primary,) = [process for process in own.processes if process.name == "redis-primary"]
            primary.kill()

            def updated() -> bool:
                with suppress(divan.ConnectionFailed, divan.StoreReadOnly):
                    store.update("x", {"after": True})
                    return True
                return False

            wait_until(updated, "the Store's following")
            assert store.get("x") == {"n": 2, "after": True}
            assert call(replica, "HGET", "x:x", "after") == "true"
        with pytest.raises(divan.ConnectionFailed, match="name no primary: No master found for 'nobody'; check"):
            divan.open(own.store_url("x", service="nobody"))
