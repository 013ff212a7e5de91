"""The documentation is true: its examples run, its settings parse, its links lead somewhere, its tables are complete.

A page is what `README.md`, the packages' and `docs/` hold. Python blocks of one page are one program, shell blocks one
script, each run in a folder of its own; blocks that name a live server are run against the tests' server of that kind.
A block that can't be run here says why, in a comment right before it: ``<!-- not run: the reason -->``.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import divan
import pytest
from divan import errors, hookspecs
from divan.backends.base import OPTIONAL_METHODS
from divan.serializers import DEFAULT_SERIALIZERS
from markdown_it import MarkdownIt
from markdown_it.token import Token

pytestmark = [pytest.mark.live, pytest.mark.slow]

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = sorted(
    page
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "*/README.md",
        "packages/*/README.md",
        "docs/**/*.md",
    )
    for page in ROOT.glob(pattern)
)
PYTHON: Final = ("python",)
SHELL: Final = ("shell", "console")
UNCHECKED: Final = ("", "text", "javascript")
"""Languages of blocks that are neither programs nor settings."""

_NOT_RUN: Final = re.compile(r"<!-- not run: \S.* -->\s*", re.DOTALL)
_LIVE: Final = re.compile(r"\b(couchdb|mongo|mongodb|postgresql|redis)://[^\s/'\"]+/(\w+)")
_CALLS: Final = r"(?:^|&&|;|\||\()\s*"
_SET_UP: Final = re.compile(
    _CALLS + r"(?:python3? -m )?(?:pip|nox|build|pytest|git|redis-cli|psql|npm|apt-get|docker)\b"
)
"""Commands that set up a machine, run tests of their own or look into a server; lines with one are not run."""

_DIVAN: Final = re.compile(_CALLS + r"divan\b")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        language: The first word behind the fence.
        text: What is in it.
        line: The number of its first line in the page, from 1 on.
        run: Whether no comment says that it is not run.
    """

    language: str
    text: str
    line: int
    run: bool


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _blocks(page: Path) -> Iterator[Block]:
    before: Token | None = None
    for token in _tokens(page):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            excused = before is not None and before.type == "html_block" and _NOT_RUN.fullmatch(before.content)
            language = token.info.split()[0] if token.info else ""
            yield Block(language, token.content, token.map[0] + 2, not excused)
        before = token


def _programs(page: Path, languages: tuple[str, ...]) -> list[Block]:
    return [block for block in _blocks(page) if block.language in languages and block.run]


def _commands(block: Block) -> list[str]:
    """The lines of a shell block that are run, the others empty; of a console block those behind its prompt."""
    lines = block.text.splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") if line.startswith("$ ") else "" for line in lines]
    for number, line in enumerate(lines, start=block.line):
        if _SET_UP.search(line) and _DIVAN.search(line):
            raise ValueError(f"line {number} sets up something and calls divan: split it, or say why it is not run")
    return ["" if _SET_UP.search(line) or line.lstrip().startswith("#") else line for line in lines]


def _is_script(page: Path) -> bool:
    return any("".join(_commands(block)) for block in _programs(page, SHELL))


def _pages(wanted: Callable[[Path], object]) -> pytest.MarkDecorator:
    pages = [page for page in PAGES if wanted(page)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.relative_to(ROOT).as_posix())


def _with_lines(parts: list[tuple[int, list[str]]]) -> str:
    """A program whose line numbers are those of the page: where it fails is then told by the page's lines."""
    lines: list[str] = []
    for number, text in parts:
        lines += [""] * (number - 1 - len(lines)) + text
    return "\n".join(lines) + "\n"


def _on_live_servers(text: str, request: pytest.FixtureRequest) -> str:
    """The text with the tests' servers in its URLs, and for each database one that nobody else uses."""
    run = uuid.uuid4().hex[:8]

    def replaced(match: re.Match[str]) -> str:
        kind = {"mongodb": "mongo", "postgresql": "postgres"}.get(match[1], match[1])
        url: str = request.getfixturevalue(f"{kind}_server").store_url(f"docs_{run}_{match[2]}")
        return url

    return _LIVE.sub(replaced, text)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DIVAN_")}
    scripts = str(Path(sys.executable).parent)
    return kept | {"PATH": os.pathsep.join([scripts, os.environ["PATH"]]), "NO_COLOR": "1", "PYTHONUTF8": "1"}


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@_pages(lambda page: _programs(page, PYTHON))
def test_the_python_blocks_of_a_page_run_as_one_program(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = _with_lines([(block.line, block.text.splitlines()) for block in _programs(page, PYTHON)])
    program = tmp_path / "program" / page.name
    folder = tmp_path / "folder"
    program.parent.mkdir()
    folder.mkdir()
    program.write_text(_on_live_servers(text, request), encoding="utf-8")
    _run([sys.executable, "-X", "dev", "-W", "error", str(program)], folder)


@_pages(_is_script)
def test_the_commands_of_a_page_run_as_one_script(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = _with_lines([(block.line, _commands(block)) for block in _programs(page, SHELL)])
    program = tmp_path / "program" / page.name
    folder = tmp_path / "folder"
    program.parent.mkdir()
    folder.mkdir()
    program.write_text(_on_live_servers(text, request), encoding="utf-8")
    _run(["bash", "-euo", "pipefail", str(program)], folder)


@_pages(lambda page: any(_blocks(page)))
def test_every_block_is_of_a_language_that_is_checked_and_settings_parse(page: Path) -> None:
    for block in _blocks(page):
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        else:
            known = (*PYTHON, *SHELL, *UNCHECKED)
            assert block.language in known, f"line {block.line}: nobody checks blocks of {block.language!r}"


@_pages(lambda page: any(_blocks(page)))
def test_a_comment_that_excuses_a_block_stands_right_before_one(page: Path) -> None:
    excused = [block for block in _blocks(page) if not block.run]
    assert len(excused) == page.read_text(encoding="utf-8").count("<!-- not run")


# Links. Those within docs/ are checked where the site is built, which also knows the pages made from docstrings.


def _links(page: Path) -> Iterator[str]:
    for token in _tokens(page):
        for child in token.children or ():
            target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
            if isinstance(target, str):
                yield target


def _anchors(page: Path) -> set[str]:
    tokens = _tokens(page)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    plain = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@_pages(lambda page: "docs" not in page.relative_to(ROOT).parts and any(_links(page)))
def test_the_links_of_a_page_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in _links(page):
        parts = urlsplit(link)
        if parts.scheme in ("http", "https", "mailto"):
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if parts.fragment:
            assert parts.fragment in _anchors(target), f"{link} names no heading"


# Tables that must name all there is


def _text(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_the_errors_page_names_every_error() -> None:
    classes = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == "divan.errors" and name[0] != "_"
    ]
    missing = [
        name for name in classes if f"`{name}`" not in _text("errors.md") and f".{name}`" not in _text("errors.md")
    ]
    assert missing == []


def test_the_hooks_page_names_every_hook_with_its_arguments() -> None:
    hooks = [value for name, value in vars(hookspecs).items() if name.startswith("divan_")]
    signatures = [f"`{hook.__name__}({', '.join(inspect.signature(hook).parameters)})`" for hook in hooks]
    assert [signature for signature in signatures if signature not in _text("hooks.md")] == []


def test_the_field_types_page_names_every_field_type() -> None:
    assert [name for name in DEFAULT_SERIALIZERS if f"`{name}`" not in _text("field-types.md")] == []


def test_the_authors_guide_names_every_method_that_a_backend_may_override() -> None:
    guide = _text("writing-a-backend.md")
    assert [method for method in OPTIONAL_METHODS if f"`{method}" not in guide] == []


def test_the_command_line_page_shows_every_exit_code() -> None:
    from divan.cli.exits import describe

    rows = [line.split(maxsplit=1) for line in describe().splitlines()]
    assert [code for code, meaning in rows if f"| {code} | {meaning} |" not in _text("command-line.md")] == []


def test_the_site_describes_every_public_name_of_the_package() -> None:
    described = "".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/**/*.md"))
    assert [name for name in divan.__all__ if f"`{name}`" not in described and f"divan.{name}" not in described] == []


# The border between what is public and what is not


def _named_on_api_pages() -> set[str]:
    """The modules and names on the API pages, and what they are parts of."""
    names = set()
    for page in ROOT.glob("docs/api/*.md"):
        for name in re.findall(r"\bdivan(?:_[a-z]+)?(?:\.\w+)*", page.read_text(encoding="utf-8")):
            parts = name.split(".")
            names |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return names


def _says_nothing(path: Path, module: str, named: set[str]) -> bool:
    if module in named or any(part.startswith("_") for part in module.split(".")):
        return False
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return not docstring.startswith("Internal: ")


def test_every_module_is_on_an_api_page_or_says_that_it_is_internal() -> None:
    named = _named_on_api_pages()
    modules = {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for source in ROOT.glob("packages/*/src")
        for path in source.rglob("*.py")
    }
    assert [module for module, path in sorted(modules.items()) if _says_nothing(path, module, named)] == []
