"""One document and many on SQLite: what is written, byte by byte, and what other programs wrote."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from divan.backends.base import Change, apply_changes
from divan.backends.sqlite import SQLiteBackend
from divan.documents import Document
from divan.errors import DocumentExists, DocumentNotFound, InvalidDocument, RevisionConflict, StoreError
from divan.query import parse, parse_sort
from hypothesis import given, settings
from hypothesis import strategies as st

HARD: dict[str, Any] = {
    "z": 1.0, "a": 2**63 - 1, "b": -(2**63), "c": [], "d": {}, "e": "nul \0, quote \", slash / \\, \x1f\x7f\u2028 é 😀",
    "f": 1e308, "g": -0.0, "h": 5e-324, "i": [[], {}, [1.0, None, True]], "first name": {"b": 1, "a": 2}, "é": "é",
}  # fmt: skip


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SQLiteBackend]:
    backend = SQLiteBackend(str(tmp_path / "documents.db"))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteBackend]:
    backend = SQLiteBackend(str(tmp_path_factory.mktemp("sqlite") / "documents.db"))
    backend._file.write(
        lambda writer: writer.execute("PRAGMA synchronous=OFF")
    )  # hundreds of writes that nobody will miss
    yield backend
    backend.close()


def body(backend: SQLiteBackend, document_id: str) -> str:
    (text,) = backend.db.execute("SELECT body FROM documents WHERE id=?", (document_id,)).fetchone()
    return str(text)


def test_a_document_is_stored_as_the_json_that_any_tool_reads(backend: SQLiteBackend) -> None:
    backend.create(dict(HARD), "x")
    assert body(backend, "x") == json.dumps(HARD, ensure_ascii=False, separators=(",", ":"))


def test_a_document_comes_back_as_it_was(backend: SQLiteBackend) -> None:
    backend.create(dict(HARD), "x")
    assert repr(backend.get_document_for_id("x")) == repr(Document(HARD, "x", backend["x"].rev))


def test_a_row_that_another_program_wrote_is_read_and_updated(backend: SQLiteBackend) -> None:
    other = sqlite3.connect(backend.database)
    other.execute("INSERT INTO documents (id, body) VALUES ('x', ?)", ('\n{"a": 1,\n "b": [1, 2]}\n',))
    other.commit()
    other.close()
    assert backend["x"] == {"a": 1, "b": [1, 2]}
    assert backend.update("x", {"a": 2}) == {"a": 2, "b": [1, 2]}


UNREADABLE: list[Any] = [
    "", "{", "[1]", "1", '{"a": NaN}', '{"a": 1} {}', '{"a":' + "[" * 100_000, b"\xff", b'{"a": 1}', 5, "{'a': 1}",
    '{"a": 1' + "0" * 5000 + "}", '{"a": 1}\0{',
]  # fmt: skip
NO_TEXT: Final = '{"a": 1, "b": "\xff"}'  # put there as bytes that are no UTF-8


def put_body(backend: SQLiteBackend, document_id: str, text: Any) -> None:
    """Put a body into the file as another program would."""
    if text is NO_TEXT:
        text = text.encode("latin-1")
        backend.db.execute("INSERT INTO documents (id, body) VALUES (?, CAST(? AS TEXT))", (document_id, text))
    else:
        backend.db.execute("INSERT INTO documents (id, body) VALUES (?, ?)", (document_id, text))


def row(backend: SQLiteBackend, document_id: str) -> tuple[Any, ...]:
    (found,) = backend.db.execute(
        "SELECT rev, typeof(body), CAST(body AS BLOB) FROM documents WHERE id=?", (document_id,)
    )
    return tuple(found)


@pytest.mark.parametrize("text", [*UNREADABLE, NO_TEXT])
def test_a_row_that_is_no_document_is_an_error_that_names_it(backend: SQLiteBackend, text: Any) -> None:
    put_body(backend, "odd one", text)
    backend.create({"a": 1}, "x")
    with pytest.raises(StoreError, match="odd one") as caught:
        backend.get_document_for_id("odd one")
    assert caught.value.document_id == "odd one"
    good, odd, missing = backend.get_many(["x", "odd one", "none"])
    assert (good, missing) == ({"a": 1}, None)
    assert isinstance(odd, StoreError)
    assert odd.document_id == "odd one"


@pytest.mark.parametrize("text", [*UNREADABLE, NO_TEXT])
def test_an_update_of_what_can_not_be_read_is_not_made(backend: SQLiteBackend, text: Any) -> None:
    put_body(backend, "odd one", text)
    backend.create({"a": 1}, "x")
    before = row(backend, "odd one")
    for _ in range(3):
        for changes in ({"data": {"b": 1}}, {"data": {}, "remove": ["a"]}, {"data": {}, "increment": {"n": 1}}):
            with pytest.raises(StoreError) as caught:
                backend.update("odd one", **changes)
            assert caught.value.document_id == "odd one"
        good, odd = backend.update_many([Change("x", {"b": 1}), Change("odd one", {"b": 1})])
        assert good == {"a": 1, "b": 1}
        assert isinstance(odd, StoreError)
    assert row(backend, "odd one") == before


@pytest.mark.parametrize("text", ['{"a": 1e999}', '{"a": "\\ud800"}'])
def test_an_update_of_what_only_json_can_hold_is_made_or_is_an_error(backend: SQLiteBackend, text: str) -> None:
    put_body(backend, "x", text)
    before = row(backend, "x")
    try:
        updated = backend.update("x", {"b": 1})
    except StoreError:
        assert row(backend, "x") == before
    else:
        assert repr(backend["x"]) == repr(updated)


def test_an_update_changes_what_is_read_where_a_name_stands_twice(backend: SQLiteBackend) -> None:
    put_body(backend, "x", '{"a": 1, "a": 2}')
    assert backend.update("x", {"a": 5}) == {"a": 5}
    assert backend["x"] == {"a": 5}


def listed(documents: Iterable[Any]) -> tuple[list[str], list[str | None]]:
    """The ids of the documents, and those that the errors name."""
    found = list(documents)
    errors = [one for one in found if isinstance(one, StoreError)]
    return [one.id for one in found if isinstance(one, Document)], [error.document_id for error in errors]


@pytest.mark.parametrize("text", ["{", NO_TEXT, "[1]"])
def test_a_listing_goes_on_after_what_can_not_be_read(backend: SQLiteBackend, text: Any) -> None:
    backend.create_many([(f"d{n:04}", {"a": 1, "n": n}) for n in range(700)])
    put_body(backend, "odd one", text)
    backend.create_many([(f"e{n:04}", {"a": 1, "n": 700 + n}) for n in range(700)])
    ids = [f"d{n:04}" for n in range(700)] + [f"e{n:04}" for n in range(700)]
    asked = parse({"a": 1})
    odd: list[str | None] = ["odd one"]
    found, errors = listed(backend.iter_documents())
    assert (sorted(found), errors) == (ids, odd)
    if text != "[1]":  # which SQLite can read, and in which there is no field
        found, errors = listed(backend.find(asked))
        assert (sorted(found), errors) == (ids, odd)
        found, errors = listed(backend.find(asked, fields=["n"]))
        assert (sorted(found), errors) == (ids, odd)
    if text == "{":  # which SQLite can neither sort nor count
        found, errors = listed(backend.find(asked, sort=parse_sort("-n"), skip=5, limit=10))
        assert (found, errors) == (ids[::-1][5:15], odd)
        with pytest.raises(StoreError, match="odd one"):
            backend.count(parse({"n": {"$gte": 0}, "é": {"$exists": False}}))
    for limit in (10, 600, 1300):
        found, errors = listed(backend.find(asked, skip=40, limit=limit))
        assert len(set(found)) + len(errors) == limit
    assert backend.count(parse(None)) == 1401
    assert len(listed(backend.find(parse(None), fields=()))[0]) == 1401


def test_an_index_over_what_can_not_be_read_is_an_error_that_names_it(backend: SQLiteBackend) -> None:
    put_body(backend, "odd one", "{")
    with pytest.raises(StoreError, match="odd one") as caught:
        backend.ensure_index("a")
    assert caught.value.document_id == "odd one"
    backend.delete("odd one")
    assert backend.ensure_index("a")


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)
field_names = st.sampled_from(["a", "b", "c", "x y", "x-y", "7", "é", 'q"', "a/b", "\\", "$"])


@settings(max_examples=settings.default.max_examples * 3 // 2, deadline=None)
@given(
    before=st.dictionaries(field_names, json_values, max_size=5),
    data=st.dictionaries(field_names, json_values, max_size=3),
    remove=st.lists(field_names, max_size=2, unique=True),
    in_batch=st.booleans(),
)
def test_an_update_does_what_the_reference_does_to_the_byte(
    shared: SQLiteBackend, before: dict[str, Any], data: dict[str, Any], remove: list[str], in_batch: bool
) -> None:
    data = {name: value for name, value in data.items() if name not in remove}
    old = shared.replace("x", before, upsert=True)
    if in_batch:
        (new,) = shared.update_many([Change("x", data, tuple(remove))])
    else:
        new = shared.update("x", data, remove=remove)
    expected = apply_changes(before, data, remove)
    assert body(shared, "x") == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    assert repr(dict(new)) == repr(expected)
    assert int(new.rev or 0) == int(old.rev or 0) + 1


def test_an_update_of_very_many_fields_is_done(backend: SQLiteBackend) -> None:
    backend.create({"keep": 1}, "x")
    assert backend.update("x", {f"f{n}": n for n in range(5000)})["f4999"] == 4999


def test_an_increment_is_exact(backend: SQLiteBackend) -> None:
    backend.create({"n": 2**53, "f": 0.1}, "x")
    updated = backend.update("x", {"other": None}, increment={"n": 1, "f": 0.2, "new": 3})
    assert dict(updated) == {"n": 2**53 + 1, "f": 0.1 + 0.2, "other": None, "new": 3}


@pytest.mark.parametrize("value", [2**63 - 1, "1", True, None, [1]])
def test_an_increment_that_fails_changes_nothing(backend: SQLiteBackend, value: Any) -> None:
    before = backend.create({"n": value}, "x")
    with pytest.raises(InvalidDocument, match="n: "):
        backend.update("x", {"other": 1}, increment={"n": 1})
    after = backend["x"]
    assert (after, after.rev) == (before, before.rev)


def test_an_update_with_the_revision_it_has_is_done(backend: SQLiteBackend) -> None:
    made = backend.create({"a": 1}, "x")
    assert backend.update("x", {"é": 1}, rev=backend.update("x", {"a": 2}, rev=made.rev).rev) == {"a": 2, "é": 1}


@pytest.mark.parametrize("rev", ["1", "", "x", "9" * 30])
@pytest.mark.parametrize("write", ["update", "merge", "replace", "put", "delete"])
def test_a_write_with_another_revision_is_refused(backend: SQLiteBackend, write: str, rev: str) -> None:
    before = backend.create({"a": 1}, "x")
    with pytest.raises(RevisionConflict, match="'x' has changed"):
        attempt(backend, write, rev)
    assert (dict(backend["x"]), backend["x"].rev) == ({"a": 1}, before.rev)


@pytest.mark.parametrize("rev", [None, "1"])
@pytest.mark.parametrize("write", ["update", "merge", "replace", "delete"])
def test_a_write_to_a_missing_document_is_refused(backend: SQLiteBackend, write: str, rev: str | None) -> None:
    with pytest.raises(DocumentNotFound):
        attempt(backend, write, rev)


def attempt(backend: SQLiteBackend, write: str, rev: str | None) -> None:
    if write == "update":
        backend.update("x", {"a": 2}, rev=rev)
    elif write == "merge":
        backend.update("x", {"é": 2}, rev=rev)
    elif write == "replace":
        backend.replace("x", {"a": 2}, rev=rev)
    elif write == "put":
        backend.replace("x", {"a": 2}, rev=rev, upsert=True)
    else:
        backend.delete("x", rev=rev)


def test_every_write_makes_a_new_revision(backend: SQLiteBackend) -> None:
    revisions = [
        backend.create({"a": 1}, "x").rev,
        backend.update("x", {}).rev,
        backend.update("x", {"a": 1}).rev,
        backend.update("x", {}, increment={"a": 0}).rev,
        backend.replace("x", {"a": 1}).rev,
        backend.replace("x", {"a": 1}, upsert=True).rev,
        backend.update_many([Change("x", {})])[0].rev,
    ]
    assert len(set(revisions)) == len(revisions)
    assert backend["x"].rev == revisions[-1]


def test_a_document_that_is_made_again_never_gets_an_old_revision(backend: SQLiteBackend) -> None:
    import random

    revisions = set()
    for _ in range(50):
        random.seed(0)
        revisions.add(backend.create({}, "x").rev)
        revisions.add(backend.update("x", {}).rev)
        backend.delete("x")
    assert len(revisions) == 100


def test_creating_a_taken_id_is_refused(backend: SQLiteBackend) -> None:
    backend.create({"a": 1}, "x")
    with pytest.raises(DocumentExists, match="'x' exists already"):
        backend.create({"a": 2}, "x")
    assert backend["x"] == {"a": 1}


def test_a_document_without_an_id_gets_one(backend: SQLiteBackend) -> None:
    one, other = backend.create({}), backend.create({})
    assert backend[one.id].id != backend[other.id].id


def test_a_batch_of_creations_reports_each_taken_id(backend: SQLiteBackend) -> None:
    backend.create({"n": 0}, "b")
    results = backend.create_many([("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3}), ("a", {"n": 4})])
    assert [type(item) for item in results] == [Document, DocumentExists, Document, DocumentExists]
    assert [(one.id, one["n"], one.rev) for one in backend.get_many(["a", "b", "c"]) if one] == [
        ("a", 1, results[0].rev),
        ("b", 0, backend["b"].rev),
        ("c", 3, results[2].rev),
    ]


def test_a_batch_of_updates_is_applied_in_order_and_reports_each_failure(backend: SQLiteBackend) -> None:
    backend.create({"n": 1, "t": "x"}, "a")
    results = backend.update_many(
        [
            Change("a", {"n": 2}),
            Change("gone", {"n": 2}),
            Change("a", {"lost": 1}, (), {"t": 1}),
            Change("a", {"é": 1}, ("t",), {"n": 5}),
        ]
    )
    assert [type(item) for item in results] == [Document, DocumentNotFound, InvalidDocument, Document]
    assert backend["a"] == {"n": 7, "é": 1}
    assert backend["a"].rev == results[3].rev


def test_a_batch_of_deletions_reports_each_missing_document(backend: SQLiteBackend) -> None:
    backend.create_many([("a", {}), ("b", {})])
    results = backend.delete_many(["a", "nope", "b", "a"])
    assert [type(item) for item in results] == [type(None), DocumentNotFound, type(None), DocumentNotFound]
    assert list(backend.iter_documents()) == []


def test_many_are_fetched_in_the_order_asked_for(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(3000)])
    ids = [f"d{n}" for n in range(2999, -1, -2)]
    found = backend.get_many([*ids, "nope", ids[0], 'q"\\é'])
    assert [one and one["n"] for one in found] == [*range(2999, -1, -2), None, 2999, None]


@pytest.mark.parametrize("document_id", ["a'b", 'a"b', "a%b", "é😀", "a b", "x" * 2048, "1", "null", "[1]"])
def test_any_id_works(backend: SQLiteBackend, document_id: str) -> None:
    backend.create({"a": 1}, document_id)
    backend.update(document_id, {"a": 2})
    assert backend.get_many([document_id]) == [{"a": 2}]
    assert [one.id for one in backend.iter_documents()] == [document_id]
    backend.delete(document_id)


def test_a_large_document_comes_back(backend: SQLiteBackend) -> None:
    backend.create({"text": "é" * 1_000_000}, "x")
    assert len(backend.update("x", {"n": 1})["text"]) == 1_000_000


def test_the_accessors_answer_for_a_document(backend: SQLiteBackend) -> None:
    made = backend.create({"a": 1}, "x")
    assert backend.get_id_for_document(made) == "x"
    assert backend.get_revision_for_document(made) == made.rev
    assert backend.get_value_for_field(made, "a") == 1
    with pytest.raises(AttributeError, match="no field 'b'"):
        backend.get_value_for_field(made, "b")


def test_the_native_handle_works_beside_the_store(backend: SQLiteBackend) -> None:
    backend.create({"a": 1}, "x")
    backend.db.execute("BEGIN")
    assert backend.db.execute("SELECT json_extract(body, '$.a') FROM documents").fetchone() == (1,)
    backend.update("x", {"a": 2})
    backend.db.execute("COMMIT")
    assert backend.db.execute("SELECT json_extract(body, '$.a') FROM documents").fetchone() == (2,)
