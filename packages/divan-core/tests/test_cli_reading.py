"""What the commands of ``divan`` read: JSON in every shape that is valid, and how far they got where it is not."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.cli.scanning import scan
from hypothesis import given
from hypothesis import strategies as st

from tests.support.commands import Run, runner


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("DIVAN_URL", raising=False)
    return f"sqlite:///{tmp_path.as_posix()}/test.db"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capsys, monkeypatch)


# Shapes


@pytest.mark.parametrize(
    "text",
    [
        '[{"n":1},{"n":2}\n]',
        '[{"n":1}\n,{"n":2}\n]\n',
        '[\n{"n":1},\n\n{"n":2}]',
        '{"n":1}{"n":2}',
        '{"n":1} {\n"n":2}',
        '{\n  "n": 1\n}\n{\n  "n": 2\n}\n',
        '{"n":\n1\n}\n[{"n":2}]',
        '[{"n":1}][{"n":2}]',
        '[]{"n":1}[ ]{"n":2}[\n]',
        '\x1e{"n":1}\n\x1e{"n":2}\n',
        '\x1e{"n":\n1}\n\x1e[{"n":2}]\n',
        '\ufeff{"n":1}\r\n{"n":2}\r\n',
    ],
)
def test_json_that_is_valid_is_read_whatever_its_line_breaks(run: Run, url: str, text: str) -> None:
    ended = run("create", url, stdin=text)
    assert ended.err == ""
    assert [row["n"] for row in ended.rows] == [1, 2]


def test_an_object_that_holds_an_empty_one_and_a_line_break(run: Run, url: str) -> None:
    assert run("create", url, stdin='{"a":{}\n}').row["a"] == {}


_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_documents = st.dictionaries(_texts, _values, max_size=4)


@st.composite
def _files(draw: st.DrawFn) -> tuple[list[Any], str]:
    """Documents, and a text that holds them one after another, some of them in lists."""
    documents: list[Any] = []
    text = ""
    for group in draw(st.lists(st.lists(_documents, max_size=3), max_size=4)):
        options: dict[str, Any] = {
            "indent": draw(st.sampled_from([None, 0, 2])),
            "ensure_ascii": draw(st.booleans()),
            "separators": draw(st.sampled_from([None, (",", ":"), ("\n, ", " : ")])),
        }
        values = [group] if draw(st.booleans()) else group
        for value in values:
            text += draw(st.sampled_from(["", "\x1e", " ", "\r\n"])) + json.dumps(value, **options)
        documents += group
    return documents, text + draw(st.sampled_from(["", "\n"]))


@given(_files(), st.integers(1, 40))
def test_any_text_gives_its_documents_however_it_comes(file: tuple[list[Any], str], size: int) -> None:
    documents, text = file
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    # As text: 0.0 is not -0.0, and 1 is not 1.0.
    assert json.dumps([found.value for found in scan(pieces, "x")]) == json.dumps(documents)


@given(_documents, st.integers(1, 5), st.data())
def test_a_text_that_is_cut_is_refused_however_it_comes(document: Any, size: int, data: st.DataObject) -> None:
    text = json.dumps(document)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    pieces = (cut[at : at + size] for at in range(0, len(cut), size))
    with pytest.raises(divan.InvalidDocument, match=r"^x, line 1: no JSON: .* \(column \d+\)$"):
        list(scan(pieces, "x"))


@pytest.mark.parametrize("shape", ["lines", "list", "rows"])
def test_no_more_is_held_than_the_longest_document(shape: str) -> None:
    before, between, after = {
        "lines": ("", "\n", ""),
        "list": ("[", ",", "]"),
        "rows": ('{"total_rows":20000,"offset":0,"rows":[\n', ",\n", "\n]}"),
    }[shape]
    document = json.dumps({"id": "a", "key": "a", "value": "x" * 1000})

    def pieces() -> Iterator[str]:
        yield before + document
        for _ in range(200):
            yield (between + document) * 100
        yield after

    tracemalloc.start()
    try:
        assert sum(1 for _ in scan(pieces(), "x")) == 20_001
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # of 20 million characters
    finally:
        tracemalloc.stop()


def test_a_document_of_many_pieces_is_not_begun_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"n": list(range(100_000))}
    text = json.dumps(document)
    read = 0

    def pieces() -> Iterator[str]:
        nonlocal read
        for at in range(0, len(text), 1000):
            read += 1
            yield text[at : at + 1000]

    begun = 0
    decode = json.JSONDecoder.raw_decode

    def counting(decoder: json.JSONDecoder, *arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        return decode(decoder, *arguments)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counting)
    assert [found.value for found in scan(pieces(), "x")] == [document]
    assert begun < 15 < read


# CouchDB's dumps

_DUMP = [
    {"id": "ada", "key": "ada", "value": {"rev": "1-a"}, "doc": {"_id": "ada", "_rev": "1-a", "n": 1}},
    {"id": "gone", "key": "gone", "value": {"rev": "2-b", "deleted": True}, "doc": None},
    {"key": "nobody", "error": "not_found"},
    {"id": "bob", "key": "bob", "value": {"rev": "1-c"}, "doc": {"_id": "bob", "_rev": "1-c", "n": 2}},
]


@pytest.mark.parametrize(
    "text",
    [
        '{"total_rows":4,"offset":0,"rows":[\r\n' + ",\r\n".join(map(json.dumps, _DUMP)) + "\r\n]}\n",
        json.dumps({"total_rows": 4, "offset": 0, "rows": _DUMP, "update_seq": "5-x"}, indent=2),
        json.dumps({"offset": 0, "rows": _DUMP, "total_rows": 4}),
        json.dumps({"total_rows": 4, "rows": _DUMP, "offset": None, "update_seq": 5}) + '{"total_rows":0,"rows":[]}',
    ],
)
def test_a_dump_of_couchdb_gives_its_documents(run: Run, url: str, text: str) -> None:
    ended = run("create", url, stdin=text)
    assert ended.err == ""
    assert [(row["_id"], row["n"]) for row in ended.rows] == [("ada", 1), ("bob", 2)]


def test_a_dump_of_couchdb_without_documents_says_what_to_ask_for(run: Run, url: str) -> None:
    row = '{"id":"ada","key":"ada","value":{"rev":"1-a"}}'
    ended = run("create", url, stdin=f'{{"total_rows":1,"offset":0,"rows":[\r\n{row}\r\n]}}\n')
    assert ended.code == 5
    assert "include_docs=true" in ended.err


def test_a_document_with_rows_of_its_own_is_one(run: Run, url: str) -> None:
    report = {"total_rows": 2, "rows": [{"name": "x"}]}
    created = run("create", url, stdin=json.dumps(report)).row
    assert {name: created[name] for name in report} == report


# What is no JSON


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ('{"n": 1}\n{"n": }', "line 2", "Expecting value (column 7)"),
        ('{"n": 1}\n{\n"n" \n}', "line 2", "(line 4, column 1)"),
        ('{"n": 1}\n{"n": 1,, }', "line 2", "(column 9)"),
        ('[{"n": 1},]', "line 1", "no JSON: "),
        ('[{"n": 1}\n{"n": 2}]', "line 2", "Expecting ','"),
        ('{"n": 1},\n{"n": 2}', "line 1", "Expecting value (column 9)"),
        ('[{"n": 1},\n3]', "line 2, item 2", "a number"),
        ('{"n": 1}\n{"n": NaN}', "line 2", "NaN"),
        ('{"n": 1}\n{"n": "\n"}', "line 2", "control character"),
        ('{"n": 1}\n' + "[" * 100_000, "line 2", "nested"),
    ],
)
def test_an_error_names_the_place(run: Run, url: str, text: str, place: str, problem: str) -> None:
    ended = run("create", url, stdin=text)
    assert ended.code == 5
    assert ended.err.count("\n") == 1
    assert place in ended.err
    assert problem in ended.err
    assert run("count", url).out == "1\n"


@pytest.mark.parametrize(
    ("command", "lines", "told"),
    [
        ("create", ['{"_id": "one"}'], "; 1 document before it was stored\n"),
        ("put", ['{"_id": "one"}', '{"_id": "two"}'], "; 2 documents before it were stored\n"),
        ("update", ['{"_id": "nobody"}'], "; nothing before it was stored\n"),
    ],
)
def test_a_broken_line_tells_how_many_were_stored(
    run: Run, url: str, command: str, lines: list[str], told: str
) -> None:
    run("create", url, "{}")
    ended = run(command, url, stdin="\n".join([*lines, '{"_id": ']))
    assert ended.err.endswith(told)


def test_ids_that_end_with_an_error_tell_how_many_were_deleted(run: Run, url: str) -> None:
    run("create", url, '{"_id": "ada"}')
    assert run("delete", url, "-", stdin='ada\n{"_id"').err.endswith("; 1 document before it was deleted\n")


def test_text_that_ends_in_the_middle_of_a_character_tells_how_far_it_got(run: Run, url: str) -> None:
    ended = run("create", url, stdin=b'{"n": 1}\n{"n": "\xc3')
    assert ended.code == 5
    assert "line 2: this is not UTF-8 text; 1 document before it was stored" in ended.err


def test_utf_16_is_told(run: Run, url: str) -> None:
    ended = run("create", url, stdin='{"n": 1}'.encode("utf-16"))
    assert ended.code == 5
    assert "UTF-16" in ended.err


@pytest.mark.parametrize("command", ["put", "update", "replace"])
def test_a_document_that_has_changed_does_not_keep_the_others_from_being_written(
    run: Run, url: str, command: str
) -> None:
    old = run("create", url, stdin='{"_id": "a"}{"_id": "b"}{"_id": "c"}').out
    run("update", url, "b", '{"new": true}')
    ended = run(command, url, "--if-unchanged", stdin=old)
    assert ended.code == 4
    assert [row["_id"] for row in ended.rows] == ["a", "c"]
    assert ended.err.startswith("Error: standard input, line 2: ")


# All or nothing


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from divan.backends.sqlite import SQLiteBackend

    monkeypatch.setattr(SQLiteBackend, "batch_size", 2)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("bad", "code", "told"),
    [
        ('{"_id": ', 5, "no JSON"),
        ('{"_id": "d", "$x": 1}', 5, "'$x'"),
        ('{"_id": "taken"}', 4, "'taken'"),
        ('{"_id": "c"}', 4, "'c'"),
        ('{"_id": "d", "day": "tomorrow"}', 5, "DateField"),
    ],
)
def test_a_batch_of_which_a_document_would_be_refused_is_not_created(
    run: Run, url: str, bad: str, code: int, told: str
) -> None:
    run("create", url, '{"_id": "taken"}')
    lines = ['{"_id": "a"}', '{"_id": "b"}', '{"_id": "c"}', bad, '{"_id": "e"}', '{"_id": "f"}']
    ended = run("create", url, "--all-or-nothing", "--schema", "day=DateField", "--quiet", stdin="\n".join(lines))
    assert ended.code == code
    assert told in ended.err
    assert "2 documents before it were stored" in ended.err
    assert sorted(run("ids", url).out.split()) == ["a", "b", "taken"]


@pytest.mark.usefixtures("small_batches")
def test_a_batch_of_which_an_update_would_fail_is_not_updated(run: Run, url: str) -> None:
    run("create", url, stdin='{"_id": "a", "n": 1}{"_id": "b", "n": "x"}')
    ended = run("update", url, "-", "--all-or-nothing", "--increment", "n=1", stdin='{"_id": "a"}{"_id": "b"}')
    assert ended.code == 5
    assert "line 1: n: " in ended.err
    assert "nothing of this batch was stored" in ended.err
    assert run("get", url, "a").row["n"] == 1


@pytest.mark.usefixtures("small_batches")
def test_batches_of_which_nothing_would_be_refused_are_written(run: Run, url: str) -> None:
    lines = [f'{{"_id": "{n}", "n": {n}}}' for n in range(5)]
    for command in ("create", "put", "update", "replace"):
        ended = run(command, url, "--all-or-nothing", stdin="\n".join(lines))
        assert (ended.err, ended.code) == ("", 0)
        assert [row["n"] for row in ended.rows] == list(range(5))


def test_all_or_nothing_does_not_go_with_revisions(run: Run, url: str) -> None:
    run("create", url, stdin='{"_id": "a"}{"_id": "b"}')
    assert run("put", url, "--all-or-nothing", "--if-unchanged", stdin=run("find", url).out).code == 2
