"""The commands of ``divan``: documents in and out, exit codes, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.cli import exits

from tests.support.commands import Ended, Run, runner

ADA = {"_id": "ada", "name": "Ada", "age": 36}
BOB = {"_id": "bob", "name": "Bob", "age": 20.0}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("DIVAN_URL", raising=False)
    return f"sqlite:///{tmp_path.as_posix()}/test.db"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capsys, monkeypatch)


@pytest.fixture
def two(run: Run, url: str) -> str:
    """The URL of a store that holds Ada and Bob."""
    assert run("create", url, "--quiet", stdin=f"{json.dumps(ADA)}\n{json.dumps(BOB)}\n").code == 0
    return url


def without_rev(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_rev"}


# Create and get


def test_what_is_created_is_printed_as_stored(run: Run, url: str) -> None:
    created = run("create", url, '{"name": "Ada"}').row
    assert list(created) == ["_id", "_rev", "name"]
    assert run("get", url, created["_id"]).row == created


def test_the_url_may_stand_in_the_environment(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_URL", url)
    run("create", '{"_id": "ada"}')
    assert run("get", "ada").row["_id"] == "ada"


def test_a_url_in_front_beats_the_environment(run: Run, two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_URL", "memory://")
    assert run("count", two).out == "2\n"


def test_an_id_that_looks_like_a_url_needs_the_stores_url_before_it(run: Run, url: str) -> None:
    run("create", url, "--id", "https://example.com/", '{"n": 1}')
    assert run("get", url, "https://example.com/").row["n"] == 1


def test_the_id_is_the_options_or_the_documents(run: Run, url: str) -> None:
    assert run("create", url, "--id", "one", "{}").row["_id"] == "one"
    assert run("create", url, '{"_id": "two", "_rev": "of another store"}').row["_id"] == "two"


def test_json_lines_make_one_document_each(run: Run, url: str) -> None:
    ended = run("create", url, stdin='{"n": 1}\n\n{"n": 2, "_id": "two"}\n{"n": 3}')
    assert [row["n"] for row in ended.rows] == [1, 2, 3]
    assert run("count", url).out == "3\n"


@pytest.mark.parametrize("text", ['[{"n": 1}, {"n": 2}]', '[\n {"n": 1},\n {"n": 2}\n]', '{"n": 1}\n[{"n": 2}]'])
def test_a_list_makes_one_document_an_item(run: Run, url: str, text: str) -> None:
    assert [row["n"] for row in run("create", url, stdin=text).rows] == [1, 2]


def test_one_document_may_stand_over_several_lines(run: Run, url: str) -> None:
    assert run("create", url, "-", stdin='{\n  "n": 1\n}\n').row["n"] == 1


def test_a_document_may_stand_in_a_file(run: Run, url: str, tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    file.write_text('{"n": 1}\n{"n": 2}\n', encoding="utf-8")
    assert len(run("create", url, f"@{file}").rows) == 2


def test_thousands_of_lines_are_stored_in_order(run: Run, url: str) -> None:
    lines = "".join(f'{{"_id": "d{n:05}", "n": {n}}}\n' for n in range(1234))
    assert [row["n"] for row in run("create", url, stdin=lines).rows] == list(range(1234))


def test_no_line_is_no_document_and_no_error(run: Run, url: str) -> None:
    assert run("create", url, stdin="") == Ended(0, "", "")


def test_a_failed_line_is_told_and_the_others_are_stored(run: Run, two: str) -> None:
    ended = run("create", two, stdin='{"_id": "cyd"}\n{"_id": "ada"}\n{"_id": "dan"}\n')
    assert ended.code == 4
    assert [row["_id"] for row in ended.rows] == ["cyd", "dan"]
    assert ended.err.startswith("Error: standard input, line 2: ")
    assert ended.err.count("\n") == 1


def test_lines_that_fail_in_different_ways_exit_1(run: Run, two: str) -> None:
    assert run("create", two, stdin='{"_id": "ada"}\n{"$x": 1}\n').code == 1


def test_lines_before_a_broken_one_are_stored(run: Run, url: str) -> None:
    ended = run("create", url, stdin='{"_id": "one"}\n{"_id": \n{"_id": "three"}\n')
    assert ended.code == 5
    assert "standard input, line 2: " in ended.err
    assert run("ids", url).out == "one\n"


def test_numbers_keep_their_type(run: Run, url: str) -> None:
    run("create", url, '{"_id": "n", "int": 1, "float": 1.0, "big": 9007199254740993, "small": 1e-7}')
    assert '"int": 1, "float": 1.0, "big": 9007199254740993, "small": 1e-07' in run("get", url, "n").out


def test_text_is_printed_as_it_is(run: Run, url: str) -> None:
    assert "Zoë 🛋" in run("create", url, '{"name": "Zoë 🛋"}').out


def test_several_documents_are_got_at_once_and_a_missing_one_is_told(run: Run, two: str) -> None:
    ended = run("get", two, "ada", "nobody", "bob")
    assert ended.code == 3
    assert [without_rev(row) for row in ended.rows] == [ADA, BOB]
    assert ended.err == "Error: no document has the id 'nobody'\n"


@pytest.mark.parametrize("stdin", ["ada\nbob\n", '{"_id": "ada"}\n{"_id": "bob", "x": 1}\n', "ada\r\n\nbob"])
def test_ids_may_be_piped_in(run: Run, two: str, stdin: str) -> None:
    assert [row["_id"] for row in run("get", two, "-", stdin=stdin).rows] == ["ada", "bob"]


# Put, update, replace, delete


def test_put_creates_and_overwrites(run: Run, two: str) -> None:
    assert without_rev(run("put", two, "ada", '{"n": 1}').row) == {"_id": "ada", "n": 1}
    assert without_rev(run("put", two, "new", stdin='{"n": 2}').row) == {"_id": "new", "n": 2}


def test_what_find_prints_can_be_put_into_another_store(run: Run, two: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path.as_posix()}/other.db"
    run("create", other, '{"_id": "ada", "old": true}')
    assert run("put", other, "--quiet", stdin=run("find", two).out) == Ended(0, "", "")
    assert [without_rev(row) for row in run("find", other, "--sort", "name").rows] == [ADA, BOB]


def test_put_of_a_line_without_an_id_is_an_error(run: Run, url: str) -> None:
    ended = run("put", url, stdin='{"_id": "one"}\n{"n": 2}\n')
    assert ended.code == 5
    assert "standard input, line 2: " in ended.err


def test_update_merges(run: Run, two: str) -> None:
    updated = run("update", two, "ada", '{"age": null, "phone": {"home": 1}}').row
    assert without_rev(updated) == {"_id": "ada", "name": "Ada", "age": None, "phone": {"home": 1}}


def test_update_removes_and_increments_without_a_document(run: Run, two: str) -> None:
    updated = run("update", two, "ada", "--remove", "name", "--increment", "age=1", "--increment", "visits=0.5").row
    assert without_rev(updated) == {"_id": "ada", "age": 37, "visits": 0.5}


def test_update_takes_many_documents_with_their_ids(run: Run, two: str) -> None:
    ended = run("update", two, "--increment", "age=1", stdin='{"_id": "ada", "x": 1}\n{"_id": "bob"}\n')
    assert ended.code == 2  # with --increment alone, standard input is only read where - says so
    ended = run("update", two, "-", "--increment", "age=1", stdin='{"_id": "ada", "x": 1}\n{"_id": "bob"}\n')
    assert [without_rev(row) for row in ended.rows] == [{**ADA, "age": 37, "x": 1}, {**BOB, "age": 21.0}]


@pytest.mark.parametrize("command", ["update", "replace"])
def test_a_write_with_an_old_revision_is_refused(run: Run, two: str, command: str) -> None:
    old = run("get", two, "ada").row["_rev"]
    new = run("update", two, "ada", '{"n": 1}').row["_rev"]
    assert run(command, two, "ada", "{}", "--rev", old).code == 4
    assert run(command, two, "ada", "{}", "--rev", new).code == 0


@pytest.mark.parametrize("command", ["update", "replace"])
def test_a_write_can_be_told_to_heed_the_revision_in_the_document(run: Run, two: str, command: str) -> None:
    printed = run("get", two, "ada").out
    assert run(command, two, "--if-unchanged", stdin=printed).code == 0
    assert run(command, two, "--if-unchanged", stdin=printed).code == 4
    assert run(command, two, stdin=printed).code == 0
    assert run(command, two, "ada", "{}", "--if-unchanged").code == 5


def test_replace_needs_the_document_to_exist(run: Run, two: str) -> None:
    assert without_rev(run("replace", two, "ada", '{"n": 1}').row) == {"_id": "ada", "n": 1}
    assert run("replace", two, "nobody", "{}").code == 3


def test_delete_prints_nothing(run: Run, two: str) -> None:
    assert run("delete", two, "ada") == Ended(0, "", "")
    assert run("ids", two).out == "bob\n"


def test_delete_takes_what_find_prints(run: Run, two: str) -> None:
    assert run("delete", two, "-", stdin=run("find", two).out).code == 0
    assert run("count", two).out == "0\n"


def test_delete_tells_a_missing_document_and_deletes_the_others(run: Run, two: str) -> None:
    ended = run("delete", two, "ada", "nobody", "bob")
    assert ended.code == 3
    assert "'nobody'" in ended.err
    assert run("count", two).out == "0\n"


def test_delete_with_an_old_revision_is_refused(run: Run, two: str) -> None:
    old = run("get", two, "ada").row["_rev"]
    run("update", two, "ada", "{}")
    assert run("delete", two, "ada", "--rev", old).code == 4


# Find, count, ids, explain


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--where", '{"age": {"$gt": 20}}'], ["ada"]),
        (["-w", '{"age": 20}'], ["bob"]),
        (["--sort", "-name"], ["bob", "ada"]),
        (["--sort", "nothing", "--sort=-age"], ["ada", "bob"]),
        (["--sort", "name", "--limit", "1"], ["ada"]),
        (["--sort", "name", "--skip", "1", "-n", "5"], ["bob"]),
        (["--limit", "0"], []),
        (["--prefix", "b"], ["bob"]),
        (["--prefix", "a", "--where", '{"age": 20}'], []),
        (["--where", '{"_id": {"$gt": "ada"}}'], ["bob"]),
    ],
)
def test_find(run: Run, two: str, options: list[str], ids: list[str]) -> None:
    assert [row["_id"] for row in run("find", two, *options).rows] == ids


@pytest.mark.parametrize("fields", [["--fields", "name"], ["--fields", "none, name"], ["--fields", '["name"]']])
def test_find_prints_only_the_fields_asked_for(run: Run, two: str, fields: list[str]) -> None:
    (row,) = run("find", two, "-n", "1", "--sort", "name", *fields).rows
    assert without_rev(row) == {"_id": "ada", "name": "Ada"}


def test_the_filter_may_stand_in_a_file(run: Run, two: str, tmp_path: Path) -> None:
    file = tmp_path / "where.json"
    file.write_text('{"name": "Ada"}', encoding="utf-8")
    assert run("find", two, "--where", f"@{file}").row["_id"] == "ada"


def test_first_prints_the_first_match(run: Run, two: str) -> None:
    ended = run("first", two, "--sort", "-age", "--fields", "name")
    assert (ended.code, ended.row["_id"], ended.row["name"]) == (0, "ada", "Ada")
    assert run("first", two, "--where", '{"age": 7}') == (3, "", "")


def test_exists_prints_the_answer_and_ends_with_it(run: Run, two: str) -> None:
    assert run("exists", two, "--where", '{"age": 36}') == (0, "true\n", "")
    assert run("exists", two, "--prefix", "a") == (0, "true\n", "")
    assert run("exists", two, "--where", '{"age": 7}') == (3, "false\n", "")


def test_get_prints_some_fields(run: Run, two: str) -> None:
    assert set(run("get", two, "ada", "--fields", "age").row) == {"_id", "_rev", "age"}
    assert [set(row) for row in run("get", two, "ada", "bob", "--fields", "age").rows] == [{"_id", "_rev", "age"}] * 2


def test_put_takes_a_revision(run: Run, two: str) -> None:
    row = run("get", two, "ada").row
    assert run("put", two, "ada", '{"name": "Ada L."}', "--rev", row["_rev"]).code == 0
    assert run("put", two, "ada", '{"name": "Mine"}', "--rev", row["_rev"]).code == 4
    assert run("put", two, "--if-unchanged", json.dumps(row)).code == 4
    assert run("get", two, "ada").row["name"] == "Ada L."


def test_update_where_says_how_many(run: Run, two: str) -> None:
    where = ("--where", '{"age": {"$gte": 30}}')
    assert run("update", two, *where, '{"old": true}', "--dry-run") == (0, "1\n", "")
    assert run("count", two, "-w", '{"old": true}').out == "0\n"
    assert run("update", two, *where, '{"old": true}', "--increment", "age=1") == (0, "1\n", "")
    assert (run("get", two, "ada").row["age"], run("get", two, "bob").row["age"]) == (37, 20.0)
    assert run("update", two, "--where", "{}", "--remove", "age") == (0, "2\n", "")
    assert run("count", two, "-w", '{"age": {"$exists": true}}').out == "0\n"


def test_delete_where_says_how_many(run: Run, two: str) -> None:
    where = ("--where", '{"age": {"$lt": 30}}')
    assert run("delete", two, *where, "--dry-run") == (0, "1\n", "")
    assert run("delete", two, *where) == (0, "1\n", "")
    assert run("ids", two).out == "ada\n"


@pytest.mark.parametrize(
    "words",
    [
        ["update", "URL", "ada", '{"a": 1}', "--where", "{}"],
        ["update", "URL", '{"_id": "ada", "a": 1}', "--where", "{}"],
        ["update", "URL", '[{"a": 1}, {"a": 2}]', "--where", "{}"],
        ["update", "URL", "ada", '{"a": 1}', "--dry-run"],
        ["update", "URL", '{"a": 1}', "--where", "{}", "--rev", "1"],
        ["delete", "URL", "ada", "--where", "{}"],
        ["delete", "URL", "ada", "--dry-run"],
        ["delete", "URL"],
    ],
)
def test_a_filter_and_single_documents_are_not_given_together(run: Run, two: str, words: list[str]) -> None:
    ended = run(*[two if word == "URL" else word for word in words])
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert run("count", two).out == "2\n"


def test_page_ends_with_the_option_that_gives_the_next(run: Run, two: str) -> None:
    ended = run("page", two, "--sort", "age", "--limit", "1")
    assert (ended.code, ended.row["_id"]) == (0, "bob")
    option, token = ended.err.split()
    assert option == "--after"
    ended = run("page", two, "--sort", "age", "--limit", "1", "--after", token)
    assert (ended.code, ended.row["_id"], ended.err) == (0, "ada", "")
    assert run("page", two, "--sort", "-age", "--after", token).code == 5


def test_update_takes_paths_and_items_of_lists(run: Run, two: str) -> None:
    words = ["--append", 'tags="quiet"', "--append", "log=[1,[2]]", "--increment", "stays.count=2"]
    assert run("update", two, "ada", '{"address.city": "London"}', *words).code == 0
    row = run("get", two, "ada").row
    assert (row["tags"], row["log"], row["stays"], row["address"]) == (
        ["quiet"], [1, [2]], {"count": 2}, {"city": "London"},
    )  # fmt: skip
    assert run("update", two, "ada", "--discard", 'tags="quiet"', "--remove", "address.city", "-q").code == 0
    row = run("get", two, "ada").row
    assert (row["tags"], row["address"]) == ([], {})
    assert run("update", two, "ada", "--append", "tags=1", "--discard", "tags=2").code == 2
    assert run("update", two, "ada", '{"name.first": 1}').code == 5


def test_count_takes_a_filter(run: Run, two: str) -> None:
    assert run("count", two, "-w", '{"age": {"$gt": 20}}').out == "1\n"


def test_a_query_that_would_scan_can_be_refused(run: Run, two: str) -> None:
    assert run("find", two, "-w", '{"age": 20}', "--no-scan").code == 5
    run("ensure-index", two, "age")
    assert run("find", two, "-w", '{"age": 20}', "--no-scan").row["_id"] == "bob"


def test_ensure_index_prints_the_indexs_name(run: Run, two: str) -> None:
    with divan.open(two) as store:
        name = store.ensure_index("age", "name")
    assert run("ensure-index", two, "age", "name").row == {"index": name}


@pytest.mark.parametrize("words", [["explain"], ["find", "--explain"]])
def test_explain(run: Run, two: str, words: list[str]) -> None:
    row = run(words[0], two, *words[1:], "-w", '{"age": {"$gt": 20}}').row
    assert row["scan"] is True
    assert {**row["pushed"], **row["residual"]} == {"age": {"$gt": 20}}


def test_ids_are_lines(run: Run, two: str) -> None:
    assert sorted(run("ids", two).out.splitlines()) == ["ada", "bob"]
    assert sorted(row["_id"] for row in run("ids", two, "--json").rows) == ["ada", "bob"]


@pytest.mark.parametrize("id", ["two\nlines", '{"_id": 1}'])
def test_an_id_that_is_no_line_needs_json(run: Run, url: str, id: str) -> None:
    run("create", url, json.dumps({"_id": id}))
    assert "use --json" in run("ids", url).err
    assert run("ids", url, "--json").row == {"_id": id}
    assert run("delete", url, "-", stdin=run("ids", url, "--json").out).code == 0


def test_ping_says_that_the_store_answered(run: Run, two: str) -> None:
    row = run("ping", two).row
    assert row["ok"] is True
    assert row["url"] == two


# Field types


@pytest.fixture
def typed(run: Run, url: str) -> str:
    guests = [
        {
            "_id": "ada",
            "arrival": "2026-12-01",
            "paid": "10.50",
            "seen": "2026-01-02T03:04:05+01:00",
            "stay": 86400000000,
        },
        {"_id": "bob", "arrival": "2026-12-24", "paid": 7, "seen": None},
    ]
    lines = "\n".join(map(json.dumps, guests))
    ended = run("create", url, *SCHEMA, stdin=lines)
    assert ended.err == ""
    return url


TYPES = {"arrival": "DateField", "paid": "DecimalField", "seen": "DateTimeField", "stay": "DurationField"}
SCHEMA = [word for field, field_type in TYPES.items() for word in ("--schema", f"{field}={field_type}")]


def test_typed_values_are_read_and_printed_in_stored_form(run: Run, typed: str) -> None:
    assert without_rev(run("get", typed, "ada", *SCHEMA).row) == {
        "_id": "ada",
        "arrival": "2026-12-01",
        "paid": "10.50",
        "seen": "2026-01-02T02:04:05.000000Z",
        "stay": 86400000000,
    }


def test_what_is_printed_with_a_schema_is_what_is_stored(run: Run, typed: str) -> None:
    assert run("find", typed, *SCHEMA).out == run("find", typed).out


@pytest.mark.parametrize(
    "where",
    [
        {"arrival": {"$lt": "2026-12-24"}},
        {"arrival": "2026-12-01"},
        {"arrival": {"$not": {"$in": ["2026-12-24"]}}},
        {"$or": [{"paid": "10.50"}, {"$not": {"arrival": {"$exists": True}}}]},
        {"$and": [{"seen": "2026-01-02T02:04:05Z"}]},
        {"seen": {"$gte": "2026-01-02T00:00:00-01:00"}},
    ],
)
def test_typed_values_are_asked_for_in_any_form_of_theirs(run: Run, typed: str, where: dict[str, Any]) -> None:
    assert [row["_id"] for row in run("find", typed, *SCHEMA, "-w", json.dumps(where)).rows] == ["ada"]


def test_a_range_of_what_does_not_sort_is_refused(run: Run, typed: str) -> None:
    assert run("find", typed, *SCHEMA, "-w", '{"paid": {"$gt": "9"}}').code == 5


@pytest.mark.parametrize("form", ["json", "file"])
def test_the_schema_may_be_json(run: Run, typed: str, tmp_path: Path, form: str) -> None:
    text = json.dumps(TYPES)
    if form == "file":
        file = tmp_path / "schema.json"
        file.write_text(text, encoding="utf-8")
        text = f"@{file}"
    assert run("find", typed, "--schema", text, "-w", '{"seen": "2026-01-02T03:04:05+01:00"}').row["_id"] == "ada"


@pytest.mark.parametrize("schema", ["arrival", "=DateField", "arrival=", '{"arrival": 1}', "[]", "@nosuchfile", "{"])
def test_a_schema_that_is_none_exits_5(run: Run, url: str, schema: str) -> None:
    assert run("find", url, "--schema", schema).code == 5


def test_an_unknown_field_type_exits_5(run: Run, two: str) -> None:
    ended = run("find", two, "--schema", "arrival=DateFeild")
    assert ended.code == 5
    assert "did you mean 'DateField'" in ended.err


def test_a_value_that_does_not_fit_its_type_is_refused(run: Run, url: str) -> None:
    ended = run("create", url, *SCHEMA, '{"arrival": "tomorrow"}')
    assert ended.code == 5
    assert "arrival: " in ended.err
    assert "DateField" in ended.err


# Errors and exit codes


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["get", "URL", "nobody"], 3, "'nobody'"),
        (["update", "URL", "nobody", "{}"], 3, "'nobody'"),
        (["create", "URL", '{"_id": "ada"}'], 4, "'ada'"),
        (["create", "URL", '{"x": NaN}'], 5, "NaN"),
        (["create", "URL", '{"x": -Infinity}'], 5, "Infinity"),
        (["create", "URL", '{"x": 1e999}'], 5, "infinity"),
        (["create", "URL", '{"x": 9223372036854775808}'], 5, "64"),
        (["create", "URL", f'{{"x": {"9" * 5000}}}'], 5, "digits"),
        (["create", "URL", '{"x": "\\ud800"}'], 5, "surrogate"),
        (["create", "URL", '{"a.b": 1}'], 5, "'.'"),
        (["create", "URL", '{"_attachments": 1}'], 5, "'_'"),
        (["create", "URL", '{"_id": 7.5}'], 5, "an id is a string"),
        (["create", "URL", '{"_id": ""}'], 5, "empty"),
        (["create", "URL", "{"], 5, "no JSON"),
        (["create", "URL", "3"], 5, "a number"),
        (["create", "URL", '["x"]'], 5, "item 1"),
        (["create", "URL", "@nosuchfile.json"], 5, "nosuchfile.json"),
        (["create", "URL", "[" * 100_000], 5, "nested"),
        (["find", "URL", "-w", '{"x": {"$where": "1"}}'], 5, "$where"),
        (["find", "URL", "-w", "[]"], 5, "--where"),
        (["find", "URL", "-w", ""], 5, "--where"),
        (["find", "URL", "-w", '{"x": NaN}'], 5, "NaN"),
        (["find", "URL", "--sort", ""], 5, "sort"),
        (["update", "URL", "ada", "--increment", "age"], 5, "FIELD=N"),
        (["update", "URL", "ada", "--increment", "age=x"], 5, "--increment age=x"),
        (["update", "URL", "ada", "--increment", "age=true"], 5, "no number"),
        (["update", "URL", "ada", "--increment", "name=1"], 5, "name"),
        (["update", "URL", "ada", "--increment", "age=1", "--remove", "age"], 2, "age"),
        (["update", "URL", "ada", '{"age": 1}', "--remove", "age"], 2, "age"),
        (["update", "URL", "ada", '{"_id": "bob"}'], 2, "'bob'"),
        (["update", "URL", '{"x": 1}'], 2, "ID"),
        (["get", "URL"], 2, "ID"),
        (["get"], 2, "ID"),
        (["get", "ada"], 2, "DIVAN_URL"),
        (["count", "URL", "more"], 2, "'more'"),
        (["find", "URL", "--limit", "-1"], 2, "-1"),
        (["find", "URL", "--limit", "x"], 2, "x"),
        (["find", "URL", "--frobnicate"], 2, "--frobnicate"),
        (["frobnicate"], 2, "frobnicate"),
        (["find", "sqlite:///x.db?frobnicate=1"], 2, "frobnicate"),
        (["find", "sqlite://"], 2, "sqlite"),
        (["find", "nosuchstore://x"], 7, "nosuchstore"),
        (["serializers", "--backend", "nosuchstore"], 7, "nosuchstore"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(run: Run, two: str, words: list[str], code: int, told: str) -> None:
    ended = run(*(two if word == "URL" else word for word in words))
    assert ended.code == code
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert told in ended.err


def test_input_that_is_not_utf_8_is_told(run: Run, url: str) -> None:
    ended = run("create", url, stdin=b'{"x": "\xff"}\n')
    assert ended.code == 5
    assert "UTF-8" in ended.err


def test_a_byte_order_mark_is_no_error(run: Run, url: str) -> None:
    assert run("create", url, stdin=b'\xef\xbb\xbf{"n": 1}\n').row["n"] == 1


def test_one_id_and_many_documents_do_not_go_together(run: Run, url: str) -> None:
    assert run("put", url, "one", stdin='{"n": 1}\n{"n": 2}\n').code == 2
    assert run("create", url, "--id", "one", stdin='{"n": 1}\n{"n": 2}\n').code == 2
    assert run("put", url, "one", stdin="").code == 2
    assert run("count", f"{url}?create=true").out == "0\n"


def test_every_error_class_has_its_exit_code() -> None:
    expected = {
        divan.InvalidURL("x"): 2,
        divan.DocumentNotFound("x"): 3,
        divan.DocumentExists("x"): 4,
        divan.RevisionConflict("x"): 4,
        divan.InvalidID("x"): 5,
        divan.InvalidQuery("x"): 5,
        divan.InvalidSchema("x"): 5,
        divan.AuthenticationFailed("x"): 6,
        divan.DatabaseNotFound("x"): 6,
        divan.OperationTimeout("x"): 6,
        divan.BackendLoadError("x"): 7,
        divan.AmbiguousBackend("x"): 7,
        divan.PluginConflict("x"): 7,
        divan.UnsupportedOperation("x"): 8,
        divan.WriteVetoed("x"): 9,
        divan.StoreReadOnly("x"): 9,
        divan.StoreFull("x"): 9,
        divan.StoreError("x"): 1,
        ValueError("x"): 1,
    }
    assert {error: exits.code_of(error) for error in expected} == expected


def test_the_exit_codes_stand_in_the_help(run: Run) -> None:
    out = run("--help").out
    for code, meaning, _ in exits.CODES:
        assert f"{code:>3}  {meaning}" in out


def test_a_traceback_comes_only_if_asked_for(run: Run, two: str) -> None:
    assert "Traceback" not in run("get", two, "nobody").err
    for words in (["get", two, "nobody", "--traceback"], ["--traceback", "get", two, "nobody"]):
        err = run(*words).err
        assert err.startswith("Traceback")
        assert err.endswith("Error: no document has the id 'nobody'\n")


def test_an_error_shows_no_control_characters(run: Run, two: str) -> None:
    err = run("get", two, "\x1b[31mred\nline").err
    assert err.count("\n") == 1
    assert "\x1b" not in err


# What is installed


def test_backends_are_a_table(run: Run) -> None:
    out = run("backends").out
    assert [line.split()[:2] for line in out.splitlines() if "sqlite" in line] == [["sqlite", "divan-core"]]


def test_backends_as_json(run: Run) -> None:
    listed = json.loads(run("backends", "--json").out)
    infos = divan.list_backends()
    assert [(row["name"], row["distribution"], row["version"], row["summary"]) for row in listed] == [
        (info.name, info.distribution, info.version, info.summary) for info in infos
    ]


def test_a_check_shows_what_the_backends_can_do(run: Run) -> None:
    listed = {row["name"]: row for row in json.loads(run("backends", "--check", "--json").out)}
    assert listed["memory"]["default_port"] == 0
    assert listed["memory"]["error"] is None
    assert "delete" in listed["memory"]["methods"]
    assert "ensure_index" not in listed["memory"]["methods"]
    assert "embedded" in run("backends", "--check").out


def test_serializers_say_where_they_come_from(run: Run) -> None:
    listed = json.loads(run("serializers", "--json").out)
    rows = {row["field_type"]: row for row in listed["serializers"]}
    assert rows["DateField"]["source"] == "core"
    assert rows["DecimalField"]["ordered"] is False
    assert "CharField" in listed["stored_as_is"]


def test_serializers_of_a_backend_say_which_layer_won(run: Run) -> None:
    listed = json.loads(run("serializers", "--backend", "memory", "--json").out)
    rows = {row["field_type"]: row for row in listed["serializers"]}
    assert rows["DateField"]["source"] == "backend memory"
    assert rows["DateField"]["layers"] == ["backend memory", "core"]
    assert "backend memory" in run("serializers", "--backend", "memory").out


def test_the_version(run: Run) -> None:
    assert run("--version").out.startswith("divan-core ")


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    assert run().out == run("--help").out


@pytest.mark.parametrize("command", ["create", "find", "backends", "conformance"])
def test_every_command_has_help(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: divan {command} ")


# Tables


def test_a_table_can_be_asked_for(run: Run, two: str) -> None:
    lines = run("find", two, "--sort", "name", "--table").out.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith((" _id", " ada", " bob"))] == [
        ["_id", "name", "age"],
        ["ada", "Ada", "36"],
        ["bob", "Bob", "20.0"],
    ]
    assert lines[-1] == "2 documents"


def test_one_document_is_a_table_of_its_fields(run: Run, two: str) -> None:
    lines = run("get", two, "ada", "--table").out.splitlines()
    assert [line.split() for line in lines if "name" in line] == [["name", "Ada"]]


def test_a_table_shows_text_as_it_is_but_for_control_characters(run: Run, url: str) -> None:
    run("create", url, '{"x": "[bold]:smile:[/] \\u001b[31m\\u202e", "y": {"z": "\\u009b"}}')
    out = run("find", url, "--table").out
    assert "[bold]:smile:[/] \\x1b[31m\\u202e" in out
    assert '{"z": "\\u009b"}' in out
