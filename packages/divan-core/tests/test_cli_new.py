"""``divan new-backend`` and ``divan new-serializers``: what they write works at once, and what they refuse."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from divan.cli import main

from tests.support.distributions import Environment, environment

pytest.importorskip("click", reason="the command line's extra is not installed")
pytest.importorskip("jinja2", reason="the command line's extra is not installed")

KINDS = ("new-backend", "new-serializers")
each_kind = pytest.mark.parametrize("command", KINDS)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in an empty folder; its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        return (main(words), *capsys.readouterr())

    return run


def texts(folder: Path) -> dict[str, str]:
    """The files of a folder: path → text."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


# What is written


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (
            "new-backend",
            {
                *(f"src/divan_acme/{room}.py" for room in ("backend", "options", "errors", "documents", "folder")),
                *(f"tests/test_{subject}.py" for subject in ("conformance", "options", "folder")),
            },
        ),
        ("new-serializers", {"src/divan_acme/plugin.py", "src/divan_acme/fields.py", "tests/test_fields.py"}),
    ],
)
def test_a_distribution_is_complete(run: Run, tmp_path: Path, command: str, own: set[str]) -> None:
    assert run(command, "acme")[0] == 0

    common = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore", ".github/workflows/ci.yml"}
    common |= {"src/divan_acme/__init__.py", "src/divan_acme/py.typed"}
    assert set(texts(tmp_path / "divan-acme")) >= common | own


@each_kind
def test_nothing_of_a_template_is_left_over(run: Run, tmp_path: Path, command: str) -> None:
    run(command, "acme")

    written = texts(tmp_path / "divan-acme")
    assert [
        path for path, text in written.items() if re.search(r"<<|>>|<%|%>|<#|#>|jinja|__module__|dot_", path + text)
    ] == []


@each_kind
def test_the_next_commands_are_printed(run: Run, command: str) -> None:
    code, printed, errors = run(command, "acme")

    assert (code, errors) == (0, "")
    assert [line.strip() for line in printed.splitlines()[2:]] == [
        "cd divan-acme",
        "python -m pip install -e '.[test]'",
        "python -m pytest",
    ]


def test_the_scheme_the_module_and_the_class_are_named_after_it(run: Run, tmp_path: Path) -> None:
    run("new-backend", "acme-cloud2")

    project = tomllib.loads(texts(tmp_path / "divan-acme-cloud2")["pyproject.toml"])["project"]
    assert project["name"] == "divan-acme-cloud2"
    assert project["entry-points"]["divan.backends"] == {"acme-cloud2": "divan_acme_cloud2.backend:AcmeCloud2Backend"}


def test_a_name_that_begins_with_divan_is_not_doubled(run: Run, tmp_path: Path) -> None:
    run("new-backend", "divan-acme")

    assert [path.name for path in tmp_path.iterdir()] == ["divan-acme"]


def test_the_core_that_wrote_it_is_what_it_needs(run: Run, tmp_path: Path) -> None:
    run("new-serializers", "acme")

    project = tomllib.loads(texts(tmp_path / "divan-acme")["pyproject.toml"])["project"]
    assert re.fullmatch(r"divan-core>=\d+\.\d+,<\d+(\.\d+)?", project["dependencies"][0])


@each_kind
def test_the_metadata_promises_no_more_than_what_its_ci_tests(run: Run, tmp_path: Path, command: str) -> None:
    run(command, "acme")

    written = texts(tmp_path / "divan-acme")
    classifiers = tomllib.loads(written["pyproject.toml"])["project"]["classifiers"]
    workflow = written[".github/workflows/ci.yml"]
    (versions,) = re.findall(r"^ *python: (\[.*\])$", workflow, flags=re.MULTILINE)
    tested = [f"Programming Language :: Python :: {version}" for version in json.loads(versions)]
    assert [line for line in classifiers if re.search(r":: Python :: \d+\.", line)] == tested
    assert set(re.findall(r"runs-on: (\w+)", workflow)) == {"ubuntu"}
    assert [line for line in classifiers if line.startswith("Operating System")] == [
        "Operating System :: POSIX :: Linux"
    ]


@pytest.mark.parametrize("author", ["Zoë", 'Ann "The" O\\Neill'])
def test_the_author_stands_in_licence_and_metadata(run: Run, tmp_path: Path, author: str) -> None:
    run("new-backend", "acme", "--author", author)

    written = texts(tmp_path / "divan-acme")
    assert tomllib.loads(written["pyproject.toml"])["project"]["authors"] == [{"name": author}]
    assert author in written["LICENSE"]


def test_it_goes_into_another_folder_if_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()

    run("new-backend", "acme", "--into", "projects")

    assert (tmp_path / "projects" / "divan-acme" / "pyproject.toml").is_file()


# What is refused


@each_kind
def test_a_folder_that_is_there_is_left_as_it_is(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "divan-acme").mkdir()
    (tmp_path / "divan-acme" / "mine").write_text("mine", encoding="utf-8")

    code, printed, errors = run(command, "acme")

    assert (code, printed) == (1, "")
    assert errors.startswith("Error: divan-acme exists already, and is left as it is; ")
    assert texts(tmp_path / "divan-acme") == {"mine": "mine"}


@each_kind
@pytest.mark.parametrize(
    "name", ["", "divan-", "2acme", "a_b", "a--b", "-a", "a-", "a.b", "a/b", "../a", "ä", "a" * 31, "a b"]
)
def test_a_name_that_is_none_for_a_distribution_and_a_url_is_refused(
    run: Run, tmp_path: Path, command: str, name: str
) -> None:
    code, printed, errors = run(command, "--", name)

    assert (code, printed) == (2, "")
    assert "is no name for a distribution and a URL" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "hint"), [("Acme", "acme"), ("my_store", "my-store"), ("a.b", "a-b")])
def test_a_name_that_would_do_is_proposed(run: Run, name: str, hint: str) -> None:
    assert f"a letter first, such as {hint} (" in run("new-backend", name)[2]


@pytest.mark.parametrize(
    ("command", "name", "reason"),
    [
        ("new-backend", "memory", "divan-core has a backend of this name"),
        ("new-backend", "mongodb", "divan-mongo has a backend of this name"),
        ("new-backend", "redis", "divan-redis exists already"),
        ("new-backend", "core", "divan-core exists already"),
        ("new-serializers", "couchdb", "divan-couchdb exists already"),
    ],
)
def test_a_name_that_is_taken_is_refused(run: Run, tmp_path: Path, command: str, name: str, reason: str) -> None:
    code, _, errors = run(command, name)

    assert code == 1
    assert f"the name {name!r} is taken: {reason}; choose another one" in errors
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_an_installed_distribution_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "divan_here.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    code, _, errors = run("new-backend", "here")

    assert code == 1
    assert "the name 'here' is taken: divan-here is installed here" in errors


def test_a_file_is_no_folder_to_write_into(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, _, errors = run("new-backend", "acme", "--into", "file")

    assert code == 2
    assert "is a file" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# It works


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One distribution of each kind, by the longest name that there may be."""
    folder = tmp_path_factory.mktemp("written")
    names = dict(zip(KINDS, ("a-name-of-thirty-characters-ok", "b-name-of-thirty-characters-ok"), strict=True))
    for command, name in names.items():
        assert main([command, name, "--into", str(folder)]) == 0
    return {command: folder / f"divan-{name}" for command, name in names.items()}


def called(command: list[str], folder: Path) -> str:
    """Run a program in a folder; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DIVAN_", "PYTHON", "PIP_"))}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(written: dict[str, Path]) -> Iterator[Environment]:
    """An environment with both, installed as their README says, but for the index that would be asked."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the distributions, is not installed")
    if importlib.util.find_spec("filelock") is None:
        pytest.skip("filelock, the client of the new backend, is not installed")
    env = environment()
    for folder in written.values():
        env.pip("install", "--no-build-isolation", "--editable", f"{folder}[test]")
    yield env
    env.pip("uninstall", "--yes", *(folder.name for folder in written.values()))


@pytest.mark.slow
@each_kind
def test_it_passes_its_own_tests_at_once(installed: Environment, written: dict[str, Path], command: str) -> None:
    # Fewer random sequences than an author runs; the rest of the suite is as it is.
    fewer = ["-p", "divan.testing.plugin", "--divan-sequences", "10"] if command == "new-backend" else []

    summary = called([str(installed.python), "-m", "pytest", "-q", *fewer], written[command]).splitlines()[-1]

    found = re.search(r"(\d+) passed", summary)
    assert found, summary
    assert int(found[1]) > (1000 if command == "new-backend" else 20)


@pytest.mark.slow
def test_a_new_backend_is_listed_and_opens_by_its_url(
    installed: Environment, written: dict[str, Path], tmp_path: Path
) -> None:
    name = written["new-backend"].name.removeprefix("divan-")
    url = f"{name}:///{tmp_path.as_posix()}/guests"

    assert f'"name": "{name}"' in installed.divan("backends", "--check", "--json")
    installed.divan("create", url, '{"_id": "ada", "name": "Ada"}')
    assert '"name": "Ada"' in installed.divan("find", url)


@pytest.mark.slow
def test_new_field_types_are_listed_with_their_source(installed: Environment, written: dict[str, Path]) -> None:
    printed = installed.divan("serializers", "--backend", "sqlite", "--json")

    assert f'"field_type": "WeekField", "source": "plugin {written["new-serializers"].name}"' in printed


@pytest.mark.slow
@each_kind
def test_the_example_in_its_readme_runs(
    installed: Environment, written: dict[str, Path], tmp_path: Path, command: str
) -> None:
    readme = (written[command] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)

    assert called([str(installed.python), "-c", example], tmp_path).strip()


@pytest.mark.slow
@each_kind
def test_it_builds(installed: Environment, written: dict[str, Path], tmp_path: Path, command: str) -> None:
    arguments = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path)]

    installed.pip("wheel", *arguments, str(written[command]))

    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"{written[command].name.replace('-', '_')}-0.1.0-py3-none-any.whl"


TOOLS = {
    "ruff format": ["ruff", "format", "--check", "."],
    "ruff check": ["ruff", "check", "."],
    "mypy": ["mypy"],
}


@pytest.mark.slow
@each_kind
@pytest.mark.parametrize("tool", TOOLS)
def test_it_passes_the_linters(written: dict[str, Path], command: str, tool: str) -> None:
    program, *arguments = TOOLS[tool]
    if importlib.util.find_spec(program) is None:
        pytest.skip(f"{program} is not installed")
    called([sys.executable, "-m", program, *arguments], written[command])
