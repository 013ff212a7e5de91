"""``divan backends NAME``: one backend, and the options of its URLs as its class declares them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.cli import main

from tests.support.distributions import DICT_BACKEND, Distribution, backend

pytest.importorskip("click", reason="the command line's extra is not installed")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; its exit code, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        return (main(words), *capsys.readouterr())

    return run


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs the distribution ``divan-shoebox``, whose class ends in some further lines."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*lines: str) -> None:
        source = "\n".join(["from divan.options import Option, seconds, text", DICT_BACKEND])
        source += "".join(f"\n    {line}" for line in lines)
        made = backend("divan-shoebox", "shoebox", "shoeboxes", source=source)
        Distribution(made.name, made.files, made.entry_points, version="1.5", summary="Notes in a shoebox").unpack(
            tmp_path
        )

    yield install
    sys.modules.pop("divan_shoebox", None)


def rows(printed: str) -> list[list[str]]:
    """The cells of the lines of a table."""
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed.splitlines() if line.strip()
    ]


def test_a_backend_is_described_with_its_options(run: Run, install: Callable[..., None]) -> None:
    install(
        "known_options = {",
        "    'timeout': Option(seconds, 10.0, 'Seconds to wait.'),",
        "    'create': Option(bool, True, 'Whether to make it.'),",
        "    'label': Option(text, None, 'What stands on it.'),",
        "    'lid': text,",
        "}",
    )

    code, printed, errors = run("backends", "shoebox")

    assert (code, errors) == (0, "")
    lines = rows(printed)
    assert lines[:6] == [
        ["name", "shoebox"],
        ["aliases", "shoeboxes"],
        ["distribution", "divan-shoebox"],
        ["version", "1.5"],
        ["entry point", "divan_shoebox:DictBackend"],
        ["summary", "Notes in a shoebox"],
    ]
    assert lines[6] == ["option", "default", "about"]
    assert lines[8:] == [
        ["timeout", "10", "Seconds to wait."],
        ["create", "true", "Whether to make it."],
        ["label", "none", "What stands on it."],
        ["lid"],
    ]


@pytest.mark.parametrize("name", ["shoebox", "shoeboxes", "divan-shoebox:shoebox"])
def test_json_holds_the_same(run: Run, install: Callable[..., None], name: str) -> None:
    install("known_options = {'timeout': Option(seconds, 10.0, 'Seconds to wait.'), 'lid': text}")

    found: dict[str, Any] = json.loads(run("backends", name, "--json")[1])

    assert {key: found[key] for key in ("name", "aliases", "version", "value")} == {
        "name": "shoebox",
        "aliases": ["shoeboxes"],
        "version": "1.5",
        "value": "divan_shoebox:DictBackend",
    }
    assert found["options"] == [
        {"name": "timeout", "default": 10.0, "about": "Seconds to wait."},
        {"name": "lid", "default": None, "about": None},
    ]
    assert found["further_options"] is False


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("pass", "shoebox checks its options itself"), ("known_options = {}", "shoebox has no options")],
)
def test_a_backend_without_declared_options_says_so(
    run: Run, install: Callable[..., None], line: str, sentence: str
) -> None:
    install(line)

    assert run("backends", "shoebox")[1].splitlines()[-1] == sentence


def test_a_backend_that_passes_options_on_says_so(run: Run, install: Callable[..., None]) -> None:
    install("known_options = {'lid': text}", "def read_options(self, given): return super().read_options(given)")

    assert "shoebox takes further options" in run("backends", "shoebox")[1]
    assert json.loads(run("backends", "shoebox", "--json")[1])["further_options"] is True


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_default_of_a_secret_is_not_shown(run: Run, install: Callable[..., None], form: list[str]) -> None:
    install("known_options = {'api_key': Option(text, 'Zq7vKx2pLw', 'The key.')}")

    code, printed, errors = run("backends", "shoebox", *form)

    assert code == 0
    assert "Zq7vKx2pLw" not in printed + errors
    assert "***" in printed


def test_what_its_module_prints_does_not_spoil_the_output(run: Run, install: Callable[..., None]) -> None:
    install("print('hello')")

    assert json.loads(run("backends", "shoebox", "--json")[1])["name"] == "shoebox"


@pytest.mark.parametrize("name", ["sqlite", "memory"])
def test_every_declared_option_of_our_own_is_there(run: Run, name: str) -> None:
    found = json.loads(run("backends", name, "--json")[1])

    assert [option["name"] for option in found["options"]] == list(divan.get_backend(name).known_options or ())


@pytest.mark.parametrize("name", ["nosuch", "divan-core:nosuch"])
def test_a_name_that_is_not_installed_is_the_error_of_open(run: Run, name: str) -> None:
    with pytest.raises(divan.BackendNotFound) as caught:
        divan.get_backend(name)

    assert run("backends", name) == (7, "", f"Error: {caught.value}\n")


def test_a_backend_that_can_not_be_imported_says_why(run: Run, install: Callable[..., None]) -> None:
    install("raise RuntimeError('no lid')")

    code, printed, errors = run("backends", "shoebox")

    assert (code, printed) == (7, "")
    assert "RuntimeError: no lid" in errors


def test_a_check_is_about_all_backends(run: Run) -> None:
    code, printed, errors = run("backends", "memory", "--check")

    assert (code, printed) == (2, "")
    assert "leave NAME out" in errors
