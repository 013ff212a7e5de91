"""Whatever comes from outside: URLs, filters, documents, the command line's input, and the bytes in a SQLite file.

What once broke something is kept as an example. `nox -s fuzz` tries for as long as it is told to.
"""

from __future__ import annotations

import io
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import divan
import pytest
from divan import Store
from divan.cli import exits, main
from divan.query import parse
from divan.urls import parse_url
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fuzzing import answered, filters, junk, listed, texts, use_beside

pytestmark = pytest.mark.fuzz

CODES = {exits.OK, exits.FAILED, *(code for code, _, _ in exits.CODES)}


# URLs

urls = texts | st.builds(
    "{}://{}{}/{}{}".format,
    st.sampled_from(["sqlite", "memory", "SQLITE", "", "a b", "1"]) | texts,
    st.just("") | st.builds("{}:{}@".format, texts, texts),
    st.sampled_from(["", "host", "host:1", "host:x", "[::1]:2", "[::1", "a,b:3", ":"]) | texts,
    texts,
    st.just("") | st.builds("?{}={}".format, texts, texts),
)


@given(urls)
@example("sqlite://[::1/x")
@example("memory://a:b@c:99999999999/d")
@example("memory:///%ff%fe")
@example("memory://\ud800:x@h/d")
def test_any_url_is_read_or_refused(url: str) -> None:
    try:
        parsed = parse_url(url)
    except divan.InvalidURL:
        return
    assert "://" in str(parsed)


@given(st.text(st.sampled_from("abcXYZ019%/?#[]@:&=+ ;é😀"), min_size=8), texts, texts)
def test_no_part_of_a_password_is_shown(password: str, host: str, query: str) -> None:
    url = f"memory://user:{password}@{host}/db?{query}"
    try:
        shown = f"{parse_url(url)} {parse_url(url)!r}"
    except divan.InvalidURL as error:
        shown = str(error)
    assert password not in shown.replace(host, "").replace(query, "")


# Documents and filters


@given(junk)
@example({"a": {"b": float("nan")}})
@example({1: 2})
def test_any_document_is_stored_as_it_is_or_refused(document: Any) -> None:
    with divan.open("memory://") as store:
        if answered(store.create, document):
            (found,) = store
            assert json.loads(json.dumps(found)) == found
        else:
            assert store.count() == 0


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """The same documents in memory and in SQLite."""
    path = tmp_path_factory.mktemp("fuzz") / "documents.db"
    opened = [divan.open("memory://"), divan.open(f"sqlite:///{path}")]
    documents: list[Any] = [{"a": 1, "b": "x"}, {"a": {"b": [1, None]}}, {"a": "é"}, {"list": [{"a": 1}]}, {}]
    for store in opened:
        store.create_many((f"id{number}", document) for number, document in enumerate(documents))
    yield opened
    for store in opened:
        store.close()


@given(where=filters)
@example({"a": {"$in": [{}, [], "\ud800"]}})
@example({"a": {"$prefix": None}})
@example({"$or": [{"_id": 1}, {"a.b": {"$size": True}}]})
def test_any_filter_answers_as_the_reference_does_or_is_refused(stores: list[Store], where: Any) -> None:
    try:
        query = parse(where)
    except divan.InvalidQuery:
        for store in stores:
            with pytest.raises(divan.InvalidQuery):
                store.find(where)
        return
    expected = sorted(document.id for document in stores[0] if query.matches(document))
    for store in stores:
        assert sorted(document.id for document in store.find(where)) == expected
        assert store.count(where) == len(expected)


@given(st.dictionaries(texts, junk, max_size=3))
def test_an_update_is_made_whole_or_not_at_all(changes: dict[str, Any]) -> None:
    with divan.open("memory://") as store:
        store.put("a", {"n": 1})
        if answered(store.update, "a", changes):
            assert set(store["a"]) == {"n", *(path.partition(".")[0] for path in changes)}
        else:
            assert store["a"] == {"n": 1}


# The command line

COMMANDS = (["create"], ["put"], ["update"], ["get", "-"], ["delete", "-"], ["update", "id0"], ["replace", "id0"])

lines = st.binary() | st.builds(
    b"\n".join,
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [b"{}", b'{"_id": "id0"}', b"[", b"]", b"null", b'{"a": 1e999}', b"\xef\xbb\xbf{}", b"\x1e{}"]
        )
        | st.builds(
            lambda value: json.dumps(value).encode(), st.dictionaries(texts, st.integers() | texts, max_size=3)
        ),
        max_size=6,
    ),
)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/cli.db"


@given(command=st.sampled_from(COMMANDS), data=lines)
@example(["create"], b"\x80abc")
@example(["create"], b'[{"a": 1},\n{"a": 2}]')
@example(["update", "id0"], b"[]")
@example(["get", "-"], b"\0\n")
def test_any_input_of_a_command_ends_with_a_code_of_the_table(target: str, command: list[str], data: bytes) -> None:
    words = [command[0], target, *command[1:]]
    code, output = _run(words, data)
    assert code in CODES
    assert "Traceback" not in output


@given(st.lists(texts.filter(lambda text: "\0" not in text), max_size=4))
def test_any_words_of_a_command_end_with_a_code_of_the_table(words: list[str]) -> None:
    code, output = _run(["find", "memory://", *words], b"")
    assert code in CODES
    assert "Traceback" not in output


def _run(words: list[str], data: bytes) -> tuple[int, str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(data))
    try:
        with redirect_stdout(out), redirect_stderr(out):
            code = main(words)
    finally:
        sys.stdin = before
    out.flush()
    return code, out.buffer.getvalue().decode(errors="replace")  # type: ignore[attr-defined]


# What other programs may have written into a SQLite file


def nested(depth: int) -> str:
    """A document whose field holds objects in objects."""
    return '{"a":' * depth + "1" + "}" * depth


bodies = (
    st.binary()
    | texts.filter(lambda text: not any("\ud800" <= character <= "\udfff" for character in text))
    | st.sampled_from(
        [
            '{"a":1}',
            '{"a":NaN}',
            '{"a":1,"a":2}',
            "[1]",
            "null",
            '{"a":',
            ' {"a": 1} ',
            '{"a":"\\ud800"}',
            '{"a":1e999}',
        ]
    )
    | st.sampled_from([b'{"a":1}', b"\xff{}", 5, 1.5, "{" * 2000, nested(150), nested(900)])
)


@given(body=bodies, rev=st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text("19a", max_size=3))
@example(body='{"a":"\\ud800"}', rev=1)
@example(body="[" * 900, rev=1)
@example(body=nested(900), rev=1)
@example(body=b"\xff\xfe", rev=2**63 - 1)
def test_any_row_of_a_sqlite_table_is_read_or_named_and_stays_as_it_is(body: Any, rev: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "foreign.db"
        with divan.open(f"sqlite:///{path}") as store:
            store.put("good", {"a": 1})
            with closing(sqlite3.connect(path)) as raw:
                raw.execute("INSERT INTO documents VALUES ('odd', ?, ?)", (rev, body))
                raw.commit()
                assert listed(store) == {"good", "odd"}
                use_beside(store, "odd", lambda: _row(raw))


def _row(raw: sqlite3.Connection) -> Any:
    query = "SELECT CAST(body AS BLOB), typeof(body), rev FROM documents WHERE id='odd'"
    return raw.execute(query).fetchone()
