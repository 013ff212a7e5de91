"""What the commands of ``divan`` make of the store's URL: nothing is made by reading, and what was meant is told."""

from __future__ import annotations

from pathlib import Path

import divan
import pytest

from tests.support.commands import Run, runner


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.delenv("DIVAN_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return runner(capsys, monkeypatch)


_READING = [
    ["get", "ada"],
    ["get", "-"],
    ["find"],
    ["find", "--explain"],
    ["first"],
    ["exists"],
    ["count"],
    ["ids"],
    ["explain"],
    ["ping"],
    ["update", "ada", "{}"],
    ["update", "--where", "{}", "{}"],
    ["replace", "ada", "{}"],
    ["delete", "ada"],
    ["delete", "--where", "{}"],
]


def _on(url: str, words: list[str]) -> list[str]:
    return [words[0], url, *words[1:]]


@pytest.mark.parametrize("words", _READING, ids=" ".join)
def test_a_command_that_creates_no_document_makes_no_file(run: Run, words: list[str], tmp_path: Path) -> None:
    ended = run(*_on("sqlite:///geusts.db", words))
    assert ended.code == 6
    assert ended.out == ""
    assert ended.err == f"Error: the file {tmp_path / 'geusts.db'} does not exist; divan create and divan put make it\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", _READING, ids=" ".join)
def test_a_command_that_creates_no_document_makes_no_table(run: Run, words: list[str]) -> None:
    run("create", "sqlite:///guests.db", "{}")
    ended = run(*_on("sqlite:///guests.db?table=rooms", words))
    assert ended.code == 6
    assert "has no table 'rooms'; divan create and divan put make it" in ended.err
    with pytest.raises(divan.DatabaseNotFound):
        divan.open("sqlite:///guests.db?table=rooms&create=false")


def test_a_url_that_says_so_has_the_file_made(run: Run, tmp_path: Path) -> None:
    assert run("count", "sqlite:///new.db?create=true").out == "0\n"
    assert (tmp_path / "new.db").exists()


def test_a_url_that_wants_nothing_made_is_heeded_by_every_command(run: Run, tmp_path: Path) -> None:
    assert run("create", "sqlite:///new.db?create=false", "{}").code == 6
    assert run("put", "sqlite:///new.db?mode=ro", "ada", "{}").code == 6
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_told_as_a_missing_file(run: Run) -> None:
    assert "does not exist; divan create and divan put make it" in run("count", "sqlite:///no/such.db").err


def test_an_emptied_store_is_no_missing_one(run: Run) -> None:
    run("create", "sqlite:///guests.db", '{"_id": "ada"}')
    run("delete", "sqlite:///guests.db", "ada")
    assert run("count", "sqlite:///guests.db").out == "0\n"


@pytest.mark.parametrize("command", ["create", "put", "ensure-index"])
def test_a_command_that_writes_makes_the_file(run: Run, command: str, tmp_path: Path) -> None:
    words = {"create": ["{}"], "put": ["ada", "{}"], "ensure-index": ["name"]}[command]
    assert run(command, "sqlite:///new.db", *words).code == 0
    assert (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("guests.db", "sqlite:///guests.db"),
        ("./guests.db", "sqlite:///./guests.db"),
        ("/srv/guests.sqlite3", "sqlite:////srv/guests.sqlite3"),
        ("sqlite:guests.db", "sqlite:///guests.db"),
        ("sqlite:/guests.db", "sqlite:///guests.db"),
        ("sqlite3://guests.db", "sqlite"),
        ("mongo//localhost/guests", "mongo://localhost/guests"),
        ("mongdb://localhost/guests", "mongodb"),
        ("SQLITE:///guests.db", "sqlite"),
        ("CouchDB://localhost/guests", "couchdb"),
        ("http://localhost:5984/guests", "couchdb"),
    ],
)
def test_a_url_that_is_none_is_answered_with_the_one_that_was_meant(run: Run, word: str, meant: str) -> None:
    for words in (["count", word], ["get", word, "ada"], ["create", word, "{}"]):
        ended = run(*words)
        assert ended.code in (2, 7)
        assert ended.err.count("\n") == 1
        assert f"did you mean {meant!r}?" in ended.err
    with pytest.raises(divan.BackendNotFound) as raised:
        divan.open(word)
    assert f"did you mean {meant!r}?" in str(raised.value)


def test_a_file_beside_a_url_in_the_environment_is_answered_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_URL", "memory://")
    assert "did you mean 'sqlite:///guests.db'?" in run("count", "guests.db").err


@pytest.mark.parametrize("word", ["mongo//ada:secret@host/guests", "sqlite:ada:secret@host.db", "secret@guests.db"])
def test_what_may_hold_a_password_is_not_shown(word: str) -> None:
    with pytest.raises(divan.DivanError) as raised:
        divan.open(word)
    assert "secret" not in str(raised.value)


def test_an_id_that_is_taken_is_told_in_words_of_the_command_line(run: Run) -> None:
    run("create", "sqlite:///guests.db", '{"_id": "ada"}')
    assert "()" not in run("create", "sqlite:///guests.db", '{"_id": "ada"}').err
