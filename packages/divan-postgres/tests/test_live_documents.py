"""What is stored on a live PostgreSQL: exact values, other tools' rows, long strings in indexes, sums, and searches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import divan
import pytest
from divan import Increment, Store
from divan_postgres.documents import decode, encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.live

TEXTS = st.text(st.sampled_from('\0\1\2\\"-0.1e+u{[,') | st.characters(codec="utf-8"))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)
FLOATS = (-0.0, 0.0, 1.0, 1e15, 1e16, 2.0**63, 1e308, -1e308, 5e-324, 0.1, 1e-7, 123456789.125)


@pytest.mark.parametrize(
    "value", [*FLOATS, 0, 2**63 - 1, -(2**63), "\0", "\1\2\0\1", "e+", "-0.0", "\\u0000", '"1e+16"']
)
def test_a_value_comes_back_as_it_was(store: Store, value: Any) -> None:
    document = {"v": value, "in": [value, {"k\1": value}]}
    store.create(document, id="a")
    assert repr(sorted(store.get("a").items())) == repr(sorted(document.items()))
    assert [found.id for found in store.find({"v": value})] == ["a"]
    store.ensure_index("v")
    assert [found.id for found in store.find({"v": {"$in": [value, "x"]}})] == ["a"]


@given(PLAIN)
def test_json_is_written_so_that_it_is_read_as_it_was(document: dict[str, Any]) -> None:
    assert repr(decode(encode(document))) == repr(document)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.sampled_from(FLOATS), st.floats(allow_nan=False)),
    st.one_of(
        st.integers(-(2**63), 2**63 - 1), st.sampled_from(FLOATS), st.floats(allow_nan=False, allow_infinity=False)
    ),
)
def test_a_sum_is_python_s(store: Store, value: Any, by: Any) -> None:
    with divan.open("memory://") as reference:
        outcomes = []
        for one in (reference, store):
            try:
                one.put("a", {} if value is None else {"n": value})
                alone = repr(one.update("a", {"n": Increment(by)})["n"])
                one.put("a", {} if value is None else {"n": value})
                outcomes.append((alone, repr(one.update_many([("a", {"n": Increment(by)})])[0]["n"])))
            except (divan.InvalidDocument, divan.BulkError) as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]


def test_rows_of_other_tools_are_read_and_changed(store: Store, raw: Any, table: str) -> None:
    raw.execute(f"INSERT INTO {table} (id, body) VALUES ('a', '{{\"n\": 1.50}}')")
    first = store.get("a")
    assert first == {"n": 1.5}
    assert store.update("a", {"n": Increment(1)}, rev=first.rev) == {"n": 2.5}
    raw.execute(f"UPDATE {table} SET body = '{{\"n\": 7}}', rev = rev + 1 WHERE id = 'a'")
    with pytest.raises(divan.RevisionConflict):
        store.update("a", {"n": 8}, rev=first.rev)
    with pytest.raises(divan.RevisionConflict):
        store.delete("a", rev="no revision of PostgreSQL's")


def test_a_row_that_can_not_be_read_hides_no_other(store: Store, raw: Any, table: str) -> None:
    store.create_many([("a", {"n": 1}), ("c", {"n": 1})])
    raw.execute(
        f"INSERT INTO {table} (id, body) VALUES ('b', %s)", (json.dumps({"n": 1})[:-1] + f', "m": {"9" * 5000}}}',)
    )
    with pytest.raises(divan.StoreError, match="'b'"):
        store.get("b")
    found = store.find({"n": 1}, sort="_id")
    assert next(found).id == "a"
    with pytest.raises(divan.StoreError, match="'b'"):
        next(found)


def test_no_string_is_too_long_for_an_index(store: Store) -> None:
    fields = [f"f{number}" for number in range(12)]
    store.ensure_index(*fields)
    texts = ["𝄞" * 63, "𝄞" * 64, "𝄞" * 65, "𝄞" * 5000, "𝄞" * 64 + "a", "b"]
    store.create_many([(str(number), dict.fromkeys(fields, text)) for number, text in enumerate(texts)])
    for number, text in enumerate(texts):
        assert [found.id for found in store.find({"f0": text})] == [str(number)]
        for operator, wanted in (
            ("$gt", [other > text for other in texts]),
            ("$lte", [other <= text for other in texts]),
            ("$prefix", [other.startswith(text) for other in texts]),
        ):
            expected = {str(at) for at, is_wanted in enumerate(wanted) if is_wanted}
            assert {found.id for found in store.find({"f0": {operator: text}})} == expected
    ordered = [found["f0"] for found in store.find(sort="f0")]
    assert ordered == sorted(texts)
    assert not store.explain({"f0": texts[0]}).scan


@pytest.mark.parametrize("where", [{"a": "x"}, {"a": {"$gte": 5}}, {"a": {"$in": ["x", "y"]}}, {"a": {"$prefix": "x"}}])
def test_an_index_serves_what_it_is_for(store: Store, where: dict[str, Any]) -> None:
    assert store.explain(where).scan
    name = store.ensure_index("a", "b")
    assert store.ensure_index("a", "b") == name
    assert store.explain(where, sort=["a", "b"]).index == name
    assert not store.explain(where).scan


def test_a_half_read_search_lends_its_connection_and_goes_on(postgres_server: Any, store: Store, table: str) -> None:
    store.create_many([{"n": number} for number in range(2500)])
    with divan.open(postgres_server.store_url(table), max_connections=1) as single:
        searches: list[Iterator[Any]] = [single.find({"n": {"$gte": 0}}, sort="n") for _ in range(3)]
        begun = [next(search)["n"] for search in searches]
        single.create({"n": 5000})
        assert begun == [0, 0, 0]
        for search in searches:
            assert [found["n"] for found in search] == list(range(1, 2500))


def test_a_search_shows_the_table_as_it_was(store: Store) -> None:
    store.create_many([(f"{number:04}", {"n": number}) for number in range(1500)])
    seen = []
    for document in store.find(sort="-n"):
        seen.append(document.id)
        if len(seen) % 100 == 1:
            store.update(document, {"n": -document["n"]})
            store.create({"n": document["n"] - 1})
    assert len(seen) == len(set(seen)) == 1500
