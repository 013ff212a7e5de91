"""``divan doctor``, and what strangers' distributions in a bad state do to the rest: nothing."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import divan
import importlib_metadata
import pytest

from tests.support.distributions import DICT_BACKEND, Distribution, backend

pytestmark = pytest.mark.slow

pytest.importorskip("click", reason="the command line's extra is not installed")


class Site(NamedTuple):
    """A folder of distributions that nobody has checked, on the path of the processes that are run."""

    folder: Path

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "divan.cli", *words, **environment)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # What whoever runs the tests may have set, and would show in what the commands print, is left out.
        personal = ("DIVAN_", "_DIVAN", "NO_COLOR", "FORCE_COLOR", "TTY_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(personal)}
        return subprocess.run(
            [sys.executable, *arguments],
            env={**kept, "PYTHONPATH": str(self.folder), "PYTHONIOENCODING": "utf-8", **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    def report(self, code: int, **environment: str) -> dict[str, Any]:
        """What `divan doctor --json` says; `code` is how it has to exit."""
        ended = self.run("doctor", "--json", **environment)
        assert ended.returncode == code, ended.stderr + ended.stdout
        report: dict[str, Any] = json.loads(ended.stdout)
        return report


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site").mkdir()
    return Site(tmp_path / "site")


def plugin(name: str, source: str) -> Distribution:
    module = name.replace("-", "_")
    return Distribution(name, {f"{module}.py": source}, {"divan.plugins": {"main": module}})


GEO = """
import divan

@divan.hookimpl
def divan_serializers(backend):
    return {"GeoField": {"serialize": str, "deserialize": float}}
"""


# Strangers in a bad state

BAD_SOURCES = {
    "raises": "raise ValueError('broken\\nin two lines')",
    "hangs": "import time\ntime.sleep(1)",
    "exits": "raise SystemExit(3)",
}
OTHER_PYTHONS = {
    "bytecode of another Python": ("odd.pyc", b"\x00\x00\r\n" + bytes(12)),
    "an extension for another Python": ("odd.cpython-36m-other.so", b"\x7fELF"),
}
BAD = (*BAD_SOURCES, *OTHER_PYTHONS, "a malformed entry point", "entry points that can't be read", "no version")


def install_bad(site: Site, how: str, group: str) -> None:
    """A distribution ``odd`` with an entry point of a group, in a bad state."""
    entries: Any = {group: {"odd": "odd:DictBackend" if group == "divan.backends" else "odd"}}
    source = DICT_BACKEND if group == "divan.backends" else GEO
    metadata = None
    if how == "a malformed entry point":
        entries = f"[{group}]\nodd = no module!\n"
    if how == "entry points that can't be read":
        entries = f"[{group}]\nodd\n= odd\n"
    if how == "no version":
        metadata = b"Metadata-Version: 2.1\nName: odd\n"
    files = {} if how in OTHER_PYTHONS else {"odd.py": BAD_SOURCES.get(how, source)}
    Distribution("odd", files, entries, metadata=metadata).unpack(site.folder)
    if how in OTHER_PYTHONS:
        name, content = OTHER_PYTHONS[how]
        (site.folder / name).write_bytes(content)


COMMANDS = """
import sys
from divan.cli import main
for words in (["--help"], ["backends"], *[line.split() for line in sys.argv[1:]]):
    code = main(words)
    print(f"{words[0]} exits {code}, odd is {'imported' if 'odd' in sys.modules else 'not imported'}", file=sys.stderr)
"""


@pytest.mark.parametrize("how", BAD)
def test_a_backend_in_a_bad_state_is_not_touched_by_what_does_not_ask_for_it(
    site: Site, tmp_path: Path, how: str
) -> None:
    install_bad(site, how, "divan.backends")
    backend("divan-floppy", "floppy").unpack(site.folder)

    url = f"sqlite:///{tmp_path.as_posix()}/test.db"
    divan.open(url).close()

    ended = site.python("-c", COMMANDS, f"count {url}", "create floppy://x {}")

    assert ended.stderr.splitlines() == [
        f"{command} exits 0, odd is not imported" for command in ("--help", "backends", "count", "create")
    ]
    assert {"floppy", "memory", "sqlite"} <= {line.split()[0] for line in ended.stdout.splitlines() if line.split()}


@pytest.mark.parametrize("how", BAD)
def test_a_plugin_in_a_bad_state_is_not_touched_by_help_and_listing(site: Site, how: str) -> None:
    install_bad(site, how, "divan.plugins")

    ended = site.python("-c", COMMANDS)

    assert ended.stderr.splitlines() == [
        f"{command} exits 0, odd is not imported" for command in ("--help", "backends")
    ]


@pytest.mark.parametrize("how", BAD)
def test_a_store_opens_beside_a_plugin_in_a_bad_state(site: Site, tmp_path: Path, how: str) -> None:
    install_bad(site, how, "divan.plugins")
    plugin("divan-geo", GEO).unpack(site.folder)
    url = f"sqlite:///{tmp_path.as_posix()}/test.db"

    ended = site.run("create", url, '{"_id": "a", "at": "1.5"}', "--schema", "at=GeoField")

    if how == "no version":  # it works, and gives the same field type
        assert ended.returncode == 7
        assert "GeoField is given by two plugins, divan-geo and odd" in ended.stderr
        return
    assert json.loads(ended.stdout)["at"] == "1.5"
    assert all(line.startswith("Warning: the plugin 'odd' of odd was skipped: ") for line in ended.stderr.splitlines())


def test_a_plugin_that_is_not_allowed_costs_no_import(site: Site, tmp_path: Path) -> None:
    install_bad(site, "hangs", "divan.plugins")
    url = f"sqlite:///{tmp_path.as_posix()}/test.db"
    divan.open(url).close()

    ended = site.python("-c", COMMANDS, f"count {url}", DIVAN_PLUGINS="")

    assert ended.stderr.splitlines()[-1] == "count exits 0, odd is not imported"


REASONS = {
    "raises": "ValueError: broken in two lines",
    "exits": "SystemExit: 3",
    "bytecode of another Python": "bad magic number in 'odd'",
    "an extension for another Python": "No module named 'odd'",
    "a malformed entry point": "Invalid object reference",
}


@pytest.mark.parametrize("how", REASONS)
def test_a_broken_backend_is_a_problem_with_its_reason_and_the_way_out(site: Site, how: str) -> None:
    install_bad(site, how, "divan.backends")

    report = site.report(1)

    (problem,) = report["problems"]
    assert problem.startswith("the backend 'odd' of odd (")
    assert REASONS[how] in problem
    assert problem.endswith("; reinstall or remove odd")
    assert {
        row["name"]: row["error"] is not None for row in report["backends"] if row["name"] in ("memory", "odd")
    } == {
        "memory": False,
        "odd": True,
    }


@pytest.mark.parametrize("how", REASONS)
def test_a_broken_plugin_is_a_problem_with_its_reason_and_the_way_out(site: Site, how: str) -> None:
    install_bad(site, how, "divan.plugins")

    report = site.report(1)

    (problem,) = report["problems"]
    assert problem.startswith("the plugin 'odd' of odd can't be used: ")
    assert REASONS[how].partition(" in two")[0] in problem
    assert problem.endswith("; reinstall it, remove it, or leave it out of DIVAN_PLUGINS")
    assert [row["state"] for row in report["plugins"]] == ["broken"]


@pytest.mark.parametrize("group", ["divan.backends", "divan.plugins"])
def test_entry_points_that_can_not_be_read_are_a_problem(site: Site, group: str) -> None:
    install_bad(site, "entry points that can't be read", group)
    Distribution("nobodys", {}, "[other]\nodd\n= odd\n").unpack(site.folder)

    (problem,) = site.report(1)["problems"]

    assert problem.startswith("the entry points of odd can't be read")
    assert problem.endswith("; reinstall or remove odd")


def test_a_plugin_whose_hook_fails_is_a_problem(site: Site) -> None:
    plugin("divan-geo", GEO.replace("return", "raise ValueError('no map')\n    return")).unpack(site.folder)

    assert site.report(1)["problems"] == [
        (
            "the plugin 'main' of divan-geo can't be used: ValueError: no map; reinstall it, remove it, or leave it out "
            "of DIVAN_PLUGINS"
        )
    ]


# Conflicts


def test_two_backends_of_one_name_are_a_problem_that_names_both(site: Site) -> None:
    for name in ("divan-floppy", "rival-floppy"):
        backend(name, "floppy").unpack(site.folder)

    report = site.report(1)

    assert report["problems"] == [
        f"the backend 'floppy' of {one} shares a name with {other}:floppy: open it as {one}:floppy://…, or uninstall one"
        for one, other in (("divan-floppy", "rival-floppy"), ("rival-floppy", "divan-floppy"))
    ]


def test_two_plugins_for_one_field_type_are_a_problem_that_names_both(site: Site) -> None:
    for name in ("divan-geo", "rival-geo"):
        plugin(name, GEO).unpack(site.folder)

    (problem,) = site.report(1)["problems"]

    assert "GeoField is given by two plugins, divan-geo and rival-geo: " in problem
    assert "uninstall one" in problem
    assert "DIVAN_PLUGINS" in problem


def test_serializers_of_a_backend_name_both_plugins_that_conflict_and_how_to_choose(site: Site) -> None:
    for name in ("divan-geo", "rival-geo"):
        plugin(name, GEO).unpack(site.folder)

    listed = json.loads(site.run("serializers", "--backend", "sqlite", "--json").stdout)

    row = next(row for row in listed["serializers"] if row["field_type"] == "GeoField")
    assert row["source"] is None
    assert row["layers"] == ["plugin divan-geo", "plugin rival-geo"]
    assert row["error"].startswith("conflict: GeoField is given by two plugins, divan-geo and rival-geo: ")


# In good health


def test_an_installation_in_order_has_no_problems(site: Site) -> None:
    report = site.report(0)

    assert report["problems"] == []
    assert report["python"] == f"{platform.python_implementation()} {platform.python_version()}"
    assert report["platform"] == platform.platform()
    assert report["sqlite3"] == sqlite3.sqlite_version
    assert report["packages"]["divan-core"] == importlib_metadata.version("divan-core")
    assert report["requirements"]["pluggy"] == importlib_metadata.version("pluggy")
    assert {"memory", "sqlite"} <= {row["name"] for row in report["backends"]}
    assert report["environment"] == {"DIVAN_URL": None, "DIVAN_PLUGINS": None}


def test_the_client_of_a_strangers_backend_is_shown_with_its_version(site: Site) -> None:
    metadata = b"Metadata-Version: 2.1\nName: divan-floppy\nVersion: 3\nRequires-Dist: Floppy_Client>=1; extra == 'x'\n"
    Distribution("divan-floppy", {}, {"divan.plugins": {}}, version="3", metadata=metadata).unpack(site.folder)
    Distribution("floppy-client", version="1.44").unpack(site.folder)

    report = site.report(0)

    assert report["packages"]["divan-floppy"] == "3"
    assert report["requirements"]["floppy_client"] == "1.44"


def test_a_plugin_is_shown_as_loaded_or_as_skipped_and_is_then_not_imported(site: Site) -> None:
    plugin("divan-geo", GEO + "print('imported')").unpack(site.folder)
    row = {"name": "main", "distribution": "divan-geo", "version": "1.0", "value": "divan_geo", "error": None}

    (loaded,) = site.report(0)["plugins"]
    assert loaded == {**row, "state": "loaded", "import_seconds": loaded["import_seconds"]}
    ended = site.run("doctor", "--json", DIVAN_PLUGINS="")
    assert json.loads(ended.stdout)["plugins"] == [{**row, "state": "skipped", "import_seconds": None}]
    assert "imported" not in ended.stderr


def test_a_module_that_prints_does_not_spoil_the_report(site: Site) -> None:
    backend("divan-floppy", "floppy", source=f"print('hello')\n{DICT_BACKEND}").unpack(site.folder)

    assert "floppy" in {row["name"] for row in site.report(0)["backends"]}


def test_the_text_tells_the_same(site: Site) -> None:
    healthy = site.run("doctor")
    plugin("divan-geo", "1 / 0").unpack(site.folder)
    broken = site.run("doctor")

    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert healthy.stdout.endswith("No plugins are installed.\nNothing is broken.\n")
    assert sqlite3.sqlite_version in healthy.stdout
    assert (broken.returncode, broken.stderr) == (1, "")
    assert broken.stdout.splitlines()[-1].startswith(
        "problem: the plugin 'main' of divan-geo can't be used: ZeroDivisionError: division by zero; "
    )


# The URL in the environment


def test_the_url_is_shown_without_its_secrets(site: Site) -> None:
    ended = site.run("doctor", "--json", DIVAN_URL="sqlite://me:s3cr3t@host/db?token=t0k3n")

    assert json.loads(ended.stdout)["environment"]["DIVAN_URL"] == "sqlite://me:***@host/db?token=***"
    assert "s3cr3t" not in ended.stdout + ended.stderr
    assert "t0k3n" not in ended.stdout + ended.stderr


def test_a_url_that_can_not_be_understood_is_a_problem_and_not_shown(site: Site) -> None:
    ended = site.run("doctor", "--json", DIVAN_URL="sqlite://me:s3c/r3t@host/db")

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["problems"][0].startswith("DIVAN_URL: sqlite://…: ")
    assert "s3c" not in ended.stdout + ended.stderr
    assert "r3t" not in ended.stdout + ended.stderr


def test_a_url_of_a_backend_that_is_not_installed_is_a_problem(site: Site) -> None:
    (problem,) = site.report(1, DIVAN_URL="punchcard://host/db")["problems"]

    assert problem.startswith("DIVAN_URL: no installed backend is called 'punchcard'; installed are: ")


# What is slow, unknown, or in the way

SLOW = f"import time\ntime.sleep(0.6)\n{GEO}"


def test_the_time_of_each_import_is_told_and_a_slow_plugin_is_named(site: Site) -> None:
    plugin("divan-slow", SLOW).unpack(site.folder)
    backend("divan-floppy", "floppy").unpack(site.folder)

    report = site.report(0)

    assert all(row["import_seconds"] > 0 for row in [*report["backends"], *report["plugins"]])
    (note,) = report["notes"]
    assert note.startswith("importing the plugin 'main' of divan-slow takes ")
    assert note.endswith(
        "which every program waits for at its first open(); leave it out of DIVAN_PLUGINS where it is not needed"
    )
    assert f"note: {note[:40]}" in site.run("doctor").stdout


@pytest.mark.parametrize(
    ("named", "advice"),
    [("divan-goe", "divan-geo is meant"), ("acme", "installed are "), ("divan_geo, divan-goe", "divan-geo is meant")],
)
def test_a_name_in_divan_plugins_that_allows_nothing_is_a_problem(site: Site, named: str, advice: str) -> None:
    plugin("divan-geo", GEO).unpack(site.folder)

    (problem,) = site.report(1, DIVAN_PLUGINS=named)["problems"]

    wrong = named.rpartition(", ")[2]
    assert problem.startswith(f"DIVAN_PLUGINS names {wrong!r}, and no such distribution gives a backend or plugin; ")
    assert advice in problem


@pytest.mark.parametrize("named", ["", "divan-geo", "Divan_GEO,", " divan.geo ,divan-core"])
def test_names_in_divan_plugins_that_are_installed_are_no_problem(site: Site, named: str) -> None:
    plugin("divan-geo", GEO).unpack(site.folder)
    assert site.report(0, DIVAN_PLUGINS=named)["problems"] == []


def test_a_package_that_claims_a_name_of_the_cores_is_a_problem_with_three_ways_out(site: Site) -> None:
    backend("acme-sqlite", "sqlite").unpack(site.folder)

    (problem,) = site.report(1)["problems"]

    assert problem == (
        "acme-sqlite has a backend 'sqlite', which is a name of divan-core's own, so that sqlite:// is ambiguous: "
        "uninstall acme-sqlite, leave it out of DIVAN_PLUGINS, or open divan-core:sqlite://…"
    )
    assert site.report(0, DIVAN_PLUGINS="")["problems"] == []


@pytest.mark.parametrize("chosen", [(), ("--backend", "sqlite")])
def test_serializers_name_a_broken_plugin_once_and_exit_as_the_table_says(site: Site, chosen: tuple[str, ...]) -> None:
    hook = "@divan.hookimpl\ndef divan_serializers(backend):\n    raise ValueError(f'not on {backend}')\n"
    plugin("divan-odd", f"import divan\n\n{hook}").unpack(site.folder)

    ended = site.run("serializers", *chosen)

    assert ended.returncode == 7
    assert (ended.stdout + ended.stderr).count("divan-odd") == 1
    listed = json.loads(site.run("serializers", "--json", *chosen).stdout)
    assert [entry["distribution"] for entry in listed["broken_plugins"]] == ["divan-odd"]


@pytest.mark.parametrize("words", [("backends", "--check"), ("backends", "--check", "--json")])
def test_the_check_of_backends_reports_entry_points_that_can_not_be_read(site: Site, words: tuple[str, ...]) -> None:
    install_bad(site, "entry points that can't be read", "divan.backends")

    ended = site.run(*words)

    assert ended.returncode == 1
    assert "the entry points of odd can't be read" in ended.stderr
    assert "reinstall or remove odd" in ended.stderr
