"""Values in a live Redis come back exactly, and an increment adds as the reference does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import divan
import pytest
import redis
from divan import Increment, Store
from divan.updates import add
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.servers import Server

from .live import DOCUMENT, new_name

pytestmark = pytest.mark.live


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
@settings(max_examples=settings.default.max_examples * 4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
