"""Whatever another tool may have written under a document's key in a live Redis."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from divan import Store
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fuzzing import use_beside

pytestmark = [pytest.mark.live, pytest.mark.fuzz]

words = st.binary(max_size=12) | st.sampled_from(
    [
        b"1",
        b"-0",
        b"1e999",
        b"NaN",
        b'"\\ud800"',
        b"[1,]",
        b"{" * 200,
        b"9" * 400,
        b' "a" ',
        b"\xff",
        b"_rev",
        b"a",
        b"n",
        b"",
    ]
)
hashes = st.dictionaries(words, words, min_size=1, max_size=4)


@given(value=hashes | st.binary() | st.lists(words, min_size=1, max_size=3))
@example(value={b"a": b"NaN", b"_rev": b"x"})
@example(value={b"a": b"9" * 400})
@example(value={b"_rev": b"9223372036854775807", b"a": b"1"})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_key_is_read_or_named_and_stays_as_it_is(store: Store, raw: redis.Redis, database: str, value: Any) -> None:
    store.put("good", {"a": 1})
    key = f"{database}:odd"
    raw.delete(key)
    if isinstance(value, dict):
        raw.hset(key, mapping=value)
    elif isinstance(value, bytes):
        raw.set(key, value)
    else:
        raw.rpush(key, *value)

    def stored() -> Any:
        kind = raw.type(key)
        return kind, raw.hgetall(key) if kind == b"hash" else raw.dump(key)

    use_beside(store, "odd", stored)
    raw.delete(key)
