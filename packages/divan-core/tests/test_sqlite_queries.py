"""What SQLite answers itself is what the reference matcher answers; and how a stream of documents behaves."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.backends.sqlite import SQLiteBackend, filters
from divan.backends.sqlite.abilities import Numbers, abilities
from divan.documents import Document
from divan.errors import InvalidQuery, StoreClosed
from divan.query import Query, finish, parse, parse_sort, project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Few names and values, so that filters hit; `a.b` reaches into objects, `x y` needs quoting, and `é` is never pushed.
FIELDS = ["a", "b", "a.b", "b.a.b", "x y", "a.x y", "é"]
SORTS = [*FIELDS, *(f"-{field}" for field in FIELDS)]
TEXTS = [
    "",
    "[1]",
    "{}",
    "a",
    "b",
    "ab",
    "A",
    "true",
    "1",
    "é",
    "😀",
    "\uffff",
    "a\0",
    "a\0b",
    "\0",
    "\x01",
    'q"\\u0000',
    "\\",
    "/",
]
NUMBERS: list[int | float] = [
    0, -0.0, 1, 1.0, -1, 0.1, math.nextafter(0.1, 1), math.nextafter(0.1, 0), 0.1 + 0.2, 1e308, -1e308, 5e-324, 2**53,
    2**53 + 1, float(2**53), 2**63 - 1, -(2**63), float(2**63), 9007199254740993.0, 123456789.123456789,
]  # fmt: skip

ABLE = abilities()
EXACTNESS = [Numbers.NEAR, Numbers.ORDINARY, Numbers.ALL].index

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)
names = st.sampled_from(["a", "b", "x y", "é"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)
# Most documents have the field that most filters ask for.
documents = st.lists(
    st.one_of(st.builds(lambda value: {"a": value}, values), st.dictionaries(names, values, max_size=4)), max_size=12
)


EVERY_KIND: list[Any] = [
    None, True, False, *NUMBERS, *TEXTS, [], [None], [True], [1], [1.0], ["a"], ["a\0"], ["a", 1, False], [[1]], [{}],
    {}, {"a": 1}, {"b": None}, {"a": {"b": 1}},
]  # fmt: skip


def comparisons(operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(operands, max_size=4)
    return st.one_of(
        st.builds(
            lambda op, value: {op: value},
            st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains"]),
            operands,
        ),
        st.builds(lambda value: {"$prefix": value}, operands.filter(lambda value: isinstance(value, str))),
        st.builds(lambda op, value: {op: value}, st.sampled_from(["$in", "$nin", "$all"]), lists),
        st.builds(lambda value: {"$exists": value}, st.booleans()),
        st.builds(lambda value: {"$size": value}, st.one_of(st.integers(0, 3), st.just(2**63 - 1))),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Documents, and a filter whose operands are drawn from their values as often as not."""
    data = draw(documents)
    seen: list[Any] = []
    stack: list[Any] = list(data)
    while stack:
        value = stack.pop()
        seen.append(value)
        stack.extend(value if isinstance(value, list) else value.values() if isinstance(value, dict) else ())
    operands = st.one_of(values, st.sampled_from(seen)) if seen else values
    asked = st.one_of(st.just("a"), st.sampled_from(FIELDS))
    field = st.builds(lambda name, test: {name: test}, asked, comparisons(operands))
    filters = st.recursive(
        st.one_of(field, st.just({})),
        lambda inner: st.one_of(
            st.builds(lambda one, other: {**one, **other}, inner, inner),
            st.builds(
                lambda op, parts: {op: parts}, st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)
            ),
            st.builds(lambda part: {"$not": part}, inner),
        ),
        max_leaves=4,
    )
    return data, draw(filters)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SQLiteBackend, SQLiteBackend]]:
    """Two tables for the same documents, one with indexes."""
    path = str(tmp_path_factory.mktemp("sqlite") / "pair.db")
    plain, indexed = SQLiteBackend(path, table="plain"), SQLiteBackend(path, table="indexed")
    for fields in (["a"], ["b", "a"], ["a.b"], ["x y", "a"], ["b.a.b"]):
        assert indexed.ensure_index(*fields)
    for backend in (plain, indexed):
        backend._file.write(
            lambda writer: writer.execute("PRAGMA synchronous=OFF")
        )  # thousands of writes that nobody will miss
    yield plain, indexed
    plain.close()
    indexed.close()


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SQLiteBackend]:
    backend = SQLiteBackend(str(tmp_path / "documents.db"))
    yield backend
    backend.close()


def fill(backend: SQLiteBackend, data: list[dict[str, Any]]) -> list[Document]:
    backend.delete_many([document.id for document in backend.iter_documents()])
    # Ids neither in the order of the rows nor all of one length.
    items = [(f"{(index * 7) % 13}{'é' * (index % 3)}{index // 13}", fields) for index, fields in enumerate(data)]
    return list(backend.create_many(items))


@pytest.mark.parametrize("nul", [True, False], ids=["nul", "no nul"])
@pytest.mark.parametrize("numbers", Numbers)
@pytest.mark.parametrize(
    "op",
    ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$all", "$contains", "$prefix", "$size", "$exists"],
)
def test_each_operator_tells_every_kind_of_value_from_every_other(
    pair: tuple[SQLiteBackend, SQLiteBackend], monkeypatch: pytest.MonkeyPatch, op: str, numbers: Numbers, nul: bool
) -> None:
    able(monkeypatch, numbers)
    values = [value for value in EVERY_KIND if nul or "\\u0000" not in json.dumps(value)]
    operands: list[Any] = values
    if op in ("$in", "$nin", "$all"):
        operands = [[], *([value] for value in values), *([one, other] for one, other in pairwise(values))]
    elif op == "$prefix":
        operands = [value for value in values if isinstance(value, str)]
    elif op == "$size":
        operands = [0, 1, 2, 3, 2**63 - 1]
    elif op == "$exists":
        operands = [True, False]
    for backend in pair:
        made = fill(backend, [{}, *({"a": value} for value in values), *({"b": {"a": value}} for value in values)])
        for operand in operands:
            for where in ({"a": {op: operand}}, {"a": {"$not": {op: operand}}}, {"b.a": {op: operand}}):
                query = parse(where)
                expected = sorted(one.id for one in made if query.matches(one))
                assert sorted(one.id for one in backend.find(query)) == expected, where


def able(patch: pytest.MonkeyPatch, numbers: Numbers) -> None:
    """Let the backend take this SQLite for one that is exact in less."""
    least = min(numbers, ABLE.numbers, key=EXACTNESS)
    patch.setattr(filters, "abilities", lambda: ABLE._replace(numbers=least))


def shown(found: Any) -> list[str]:
    return [f"{document.id} {document!r}" for document in found]


@settings(
    max_examples=settings.default.max_examples * 3,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    case=cases(),
    sort=st.lists(st.sampled_from(SORTS), max_size=3),
    limit=st.one_of(st.none(), st.integers(0, 5), st.just(2**61)),
    skip=st.one_of(st.just(0), st.integers(0, 3), st.just(2**62)),
    numbers=st.sampled_from(Numbers),
)
def test_a_query_answers_as_the_reference_matcher_with_and_without_indexes(
    pair: tuple[SQLiteBackend, SQLiteBackend],
    case: tuple[list[dict[str, Any]], dict[str, Any]],
    sort: list[str],
    limit: int | None,
    skip: int,
    numbers: Numbers,
) -> None:
    data, where = case
    query = parse(where)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "abilities", lambda: ABLE._replace(numbers=min(numbers, ABLE.numbers, key=EXACTNESS)))
        check_query(pair, data, query, sort, limit, skip)


def check_query(
    pair: tuple[SQLiteBackend, SQLiteBackend],
    data: list[dict[str, Any]],
    query: Query,
    sort: list[str],
    limit: int | None,
    skip: int,
) -> None:
    keys = parse_sort(sort)
    for backend in pair:
        matching = [document for document in fill(backend, data) if query.matches(document)]
        expected = list(finish(matching, get_id=lambda one: one.id, sort=keys, limit=limit, skip=skip))
        found = list(backend.find(query, sort=keys, limit=limit, skip=skip))
        if sort:
            assert shown(found) == shown(expected)
        else:
            assert len(found) == len(expected)
            assert set(shown(found)) <= set(shown(matching))
        assert [one.id for one in backend.find(query, sort=keys, limit=limit, skip=skip, fields=())] == [
            one.id for one in found
        ]
        assert backend.count(query) == len(matching)


def test_numbers_are_narrowed_down_to_more_than_sqlite_can_be_off_by(monkeypatch: pytest.MonkeyPatch) -> None:
    able(monkeypatch, Numbers.NEAR)
    for number in NUMBERS:
        low, high = filters.plan_query("documents", parse({"a": number}).tree, ()).parameters
        four_bits = 4 * math.ulp(number)
        assert low <= number - four_bits
        assert high >= number + four_bits


def test_a_filter_is_planned_once_for_each_shape() -> None:
    def plan(where: dict[str, Any]) -> tuple[str, tuple[Any, ...], int]:
        before = filters._plan_of_shape.cache_info().misses
        found = filters.plan_query("shapes", parse(where).tree, parse_sort("b"))
        assert dict(Query(found.pushed)) == dict(parse(where))
        return found.where + found.order, found.parameters, filters._plan_of_shape.cache_info().misses - before

    first, second = plan({"a": "x", "b": {"$gt": "y"}}), plan({"a": "z", "b": {"$gt": ""}})
    assert (first[1:], second) == ((("x", "y"), 1), (first[0], ("z", ""), 0))
    assert plan({"a": 1, "b": {"$gt": "y"}})[2] == 1


def test_a_long_in_is_answered_by_the_index(backend: SQLiteBackend) -> None:
    backend.ensure_index("n")
    backend.create_many([(f"d{n}", {"n": n if n % 2 else str(n)}) for n in range(100)])
    query = parse({"n": {"$in": [*range(5000), "4", None, True]}})
    assert backend.count(query) == 51
    assert backend.explain(query).index == "documents_by_n"


@pytest.mark.parametrize(
    "where",
    [
        {"$or": [{"n": n} for n in range(2000)]},
        {"$and": [{"n": {"$ne": -n}} for n in range(2000)]},
        {"n": {"$all": list(range(2000))}},
        {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"$not": {"n": 3}}}}}}}}}},
    ],
    ids=["or", "and", "all", "not"],
)
def test_a_filter_larger_than_sqlite_takes_is_answered(backend: SQLiteBackend, where: dict[str, Any]) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(10)])
    query = parse(where)
    expected = {one.id for one in backend.iter_documents() if query.matches(one)}
    assert {one.id for one in backend.find(query)} == expected


def test_a_deep_path_is_answered(backend: SQLiteBackend) -> None:
    path = ["a"] * 99
    fields: Any = 1
    for name in path:
        fields = {name: fields}
    backend.create(fields, "deep")
    assert [one.id for one in backend.find(parse({".".join(path): 1}), sort=parse_sort(".".join(path)))] == ["deep"]


def test_indexes_on_names_that_differ_in_case_are_two(backend: SQLiteBackend) -> None:
    backend.ensure_index("name")
    backend.ensure_index("Name")
    assert backend.explain(parse({"Name": "x"})).scan is False


def test_ensuring_an_index_twice_gives_its_name_twice(backend: SQLiteBackend) -> None:
    assert backend.ensure_index("a.b", "c") == backend.ensure_index("a.b", "c") == "documents_by_a.b,c"


def test_no_index_is_made_on_a_name_that_json_may_write_in_several_ways(backend: SQLiteBackend) -> None:
    assert backend.ensure_index("é") is None


def test_an_index_on_nothing_is_refused(backend: SQLiteBackend) -> None:
    with pytest.raises(InvalidQuery, match="at least one field"):
        backend.ensure_index()


@pytest.mark.parametrize(
    ("where", "sort", "index"),
    [
        ({"age": 5}, None, "documents_by_age"),
        ({"age": {"$gte": 5, "$lt": 7}}, "-age", "documents_by_age"),
        ({"age": {"$in": [1, 2]}}, None, "documents_by_age"),
        ({"age": None}, None, "documents_by_age"),
        ({"age": {"$exists": False}}, None, "documents_by_age"),
        ({"city": "Rome"}, "age", "documents_by_city,age"),
        ({"$or": [{"age": 1}, {"city": "Rome"}]}, None, "documents_by_age, documents_by_city,age"),
    ],
)
def test_an_index_serves_the_query(backend: SQLiteBackend, where: dict[str, Any], sort: str | None, index: str) -> None:
    backend.ensure_index("age")
    backend.ensure_index("city", "age")
    explanation = backend.explain(parse(where), parse_sort(sort))
    assert (explanation.index, explanation.scan, explanation.residual) == (index, False, {})
    assert explanation.sorted_by_store is bool(sort)


@pytest.mark.parametrize("where", [{"age": 5}, {"age": {"$gt": 5}}])
@pytest.mark.parametrize("sort", ["age", "-age"])
def test_a_sort_by_an_index_does_not_sort_again(backend: SQLiteBackend, where: dict[str, Any], sort: str) -> None:
    backend.ensure_index("age")
    detail = backend.explain(parse(where), parse_sort(sort)).detail
    assert "FOR ORDER BY" not in detail


@pytest.mark.parametrize(
    ("where", "pushed", "residual"),
    [
        ({"a": 1, "é": 2}, {"a": {"$eq": 1}}, {"é": {"$eq": 2}}),
        ({"a": [1]}, {}, {"a": {"$eq": [1]}}),
        ({"a": {"$in": [1, {}]}}, {}, {"a": {"$in": [1, {}]}}),
        ({"a": "x\0"}, {}, {"a": {"$eq": "x\0"}}),
        (
            {"$or": [{"a": 1}, {"a": {}}], "b": True},
            {"b": {"$eq": True}},
            {"$or": [{"a": {"$eq": 1}}, {"a": {"$eq": {}}}]},
        ),
    ],
)
def test_explain_tells_what_sqlite_answers(
    backend: SQLiteBackend, where: dict[str, Any], pushed: dict[str, Any], residual: dict[str, Any]
) -> None:
    explanation = backend.explain(parse(where))
    assert (explanation.pushed, explanation.residual) == (pushed, residual)
    assert explanation.scan


def test_without_an_index_a_query_scans(backend: SQLiteBackend) -> None:
    explanation = backend.explain(parse({"age": 5}))
    assert (explanation.index, explanation.scan) == (None, True)


@pytest.mark.parametrize("test", [{"$eq": 5}, {"$gt": 5, "$lt": 6.5}, {"$in": [5, 6.5]}])
def test_an_index_narrows_down_numbers_that_sqlite_may_misread(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch, test: dict[str, Any]
) -> None:
    backend.ensure_index("n")
    able(monkeypatch, Numbers.NEAR)
    query = parse({"n": test})
    explanation = backend.explain(query)
    assert (explanation.index, explanation.scan, explanation.residual) == ("documents_by_n", False, dict(query))


@pytest.mark.parametrize("sort", ["t", "-t"])
def test_strings_with_nul_sort_as_the_reference(backend: SQLiteBackend, sort: str) -> None:
    texts = ["b", "a\0c", "a", "a\0b", "a\x01", ""]
    made = backend.create_many([(f"d{n}", {"t": text}) for n, text in enumerate(texts)])
    expected = [one.id for one in finish(made, get_id=lambda one: str(one.id), sort=parse_sort(sort))]
    assert [one.id for one in backend.find(parse({}), sort=parse_sort(sort))] == expected


def test_nul_in_a_row_that_another_program_wrote_is_seen(backend: SQLiteBackend) -> None:
    with sqlite3.connect(backend.database) as other:
        other.execute("INSERT INTO documents (id, body) VALUES (?, ?)", ("n", '{"t": "a\\u0000b"}'))
    other.close()
    assert [one.id for one in backend.find(parse({"t": {"$gt": "a"}}))] == ["n"]
    assert list(backend.find(parse({"t": "a"}))) == []
    assert backend.count(parse({"t": {"$contains": "b"}})) == 1


def test_nul_in_another_field_changes_no_answer(backend: SQLiteBackend) -> None:
    backend.create_many([("n", {"other": "\0"}), ("a", {"t": "a", "other": ""}), ("b", {"t": "b"})])
    assert [one.id for one in backend.find(parse({"t": {"$gte": "a"}}), sort=parse_sort("-t"))] == ["b", "a"]


@pytest.mark.parametrize("position", [0, 40, 399])
@pytest.mark.parametrize("sort", [["n"], ["-n"], ["k", "n"], ["-k", "-n"]])
def test_lists_among_the_sort_values_come_in_the_reference_order(
    backend: SQLiteBackend, position: int, sort: list[str]
) -> None:
    data: list[dict[str, Any]] = [{"n": n, "k": n % 3} for n in range(400)]
    data[position]["n"] = [10]
    data[position // 2]["n"] = [9]
    made = backend.create_many([(f"d{n}", fields) for n, fields in enumerate(data)])
    keys = parse_sort(sort)
    for limit in (None, 5, 200, 390):
        expected = list(finish(made, get_id=lambda one: str(one.id), sort=keys, limit=limit, skip=2))
        assert shown(backend.find(parse({}), sort=keys, limit=limit, skip=2)) == shown(expected)


def test_a_sorted_stream_with_lists_shows_one_moment(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n:03}", {"n": n if n < 200 else [n]}) for n in range(210)])
    found = backend.find(parse({}), sort=parse_sort("n"))
    first = next(found)
    backend.delete_many([f"d{n:03}" for n in range(210)])
    assert [first.id, *(one.id for one in found)] == [f"d{n:03}" for n in range(210)]


def test_a_projection_keeps_the_named_fields(backend: SQLiteBackend) -> None:
    made = backend.create({"a": {"b": 1, "c": 2}, "d": 3}, "x")
    (found,) = backend.find(parse({}), fields=("a.b", "nothing"))
    assert found == project(made, ("a.b", "nothing"))
    assert (found.id, found.rev) == (made.id, made.rev)


def test_a_stream_shows_the_store_as_it_was_when_it_began(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n:04}", {"n": n}) for n in range(1500)])
    found = backend.find(parse({}))
    next(found)
    for n in range(1500):
        backend.update(f"d{n:04}", {"n": -1})
    backend.create({}, "late")
    assert [one["n"] for one in found] == list(range(1, 1500))


def test_writing_while_iterating_ends(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(300)])
    for document in backend.iter_documents():
        backend.create({"copy_of": document.id})
    assert backend.count(parse({})) == 600


def test_a_stream_may_be_used_up_in_another_thread(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(1500)])
    found = backend.find(parse({}))
    next(found)
    counted: list[int] = []
    thread = threading.Thread(target=lambda: counted.append(sum(1 for _ in found)))
    thread.start()
    thread.join()
    assert counted == [1499]


def test_a_forgotten_stream_lets_the_log_be_emptied(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(1500)])
    found = backend.find(parse({}))
    next(found)
    backend.create({"n": 0})
    assert backend.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
    found.close()  # type: ignore[attr-defined]
    busy, _, _ = backend.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


def test_a_small_answer_holds_nothing_while_it_is_read(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(20)])
    found = backend.find(parse({}), sort=parse_sort("n"))
    next(found)
    backend.create({"n": 0})
    assert backend.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert sum(1 for _ in found) == 19


def test_a_stream_of_large_documents_is_read_in_small_batches(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"text": "x" * 200_000}) for n in range(60)])
    assert sum(len(one["text"]) for one in backend.iter_documents()) == 60 * 200_000


def test_a_stream_begun_before_close_says_that_the_store_is_closed(tmp_path: Path) -> None:
    backend = SQLiteBackend(str(tmp_path / "a.db"))
    backend.create_many([(f"d{n}", {}) for n in range(1500)])
    found = backend.iter_documents()
    next(found)
    backend.close()
    with pytest.raises(StoreClosed, match="open it again"):
        list(found)
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_the_ids_of_many_matches_of_a_string_condition_are_streamed(tmp_path: Path) -> None:
    with divan.open(f"sqlite:///{tmp_path}/many.db") as store:
        store.create_many([{"kind": "guest"}] * 1_000)
        found = [document.id for document in store.find({"kind": "guest"}, fields=[])]
    assert len(set(found)) == 1_000
