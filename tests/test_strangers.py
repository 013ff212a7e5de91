"""What strangers built against the first release's documentation works with today's core, unchanged."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.distributions import Environment, environment

pytestmark = pytest.mark.slow

STRANGERS = Path(__file__).parent / "strangers"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each stranger's folder, away from this repository: distribution → path."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the distributions, is not installed")
    folder = tmp_path_factory.mktemp("strangers")
    names = ["divan-lmdb", "divan-shop"]
    return {name: Path(shutil.copytree(STRANGERS / name, folder / name)) for name in names}


@pytest.fixture(scope="module")
def env(sources: dict[str, Path]) -> Iterator[Environment]:
    """An environment with both, each built by its own build backend; taken out of it at the end."""
    env = environment()
    env.pip("install", "--force-reinstall", "--no-build-isolation", *map(str, sources.values()))
    yield env
    env.pip("uninstall", "--yes", *sources)


@pytest.fixture(scope="module")
def needs_lmdb() -> None:
    if importlib.util.find_spec("lmdb") is None:
        message = "lmdb, the client of the stranger's backend, is not installed: pip install lmdb"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{message} (what is missing fails the run in CI)", pytrace=False)
        pytest.skip(message)


def passed(env: Environment, folder: Path, *arguments: str) -> int:
    """How many of a stranger's tests pass, if none fails."""
    settings = ["-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider"]
    summary = env.module("pytest", *settings, *arguments, str(folder / "tests"), folder=folder).splitlines()[-1]
    found = re.search(r"(\d+) passed", summary)
    assert found, summary
    assert "xfailed" not in summary
    return int(found[1])


@pytest.mark.usefixtures("needs_lmdb")
def test_a_backend_passes_todays_conformance_suite_and_its_own_tests(
    env: Environment, sources: dict[str, Path]
) -> None:
    # Few repetitions: every check by name is there, and the newest suite runs at length on drivers of today.
    few = ["--divan-sequences", "3", "--divan-threads", "4", "--divan-rounds", "5"]

    assert passed(env, sources["divan-lmdb"], "-p", "divan.testing.plugin", *few) > 1000


def test_a_plugin_passes_its_own_tests(env: Environment, sources: dict[str, Path]) -> None:
    assert passed(env, sources["divan-shop"]) > 10


OPEN = """
import divan, sys
for options in ({"timeout": -1}, {"map_size": -1}, {"map_size": "-1"}, {"sync": "perhaps"}):
    try:
        divan.open(f"lmdb:///{sys.argv[1]}/guests.lmdb", **options)
    except divan.InvalidURL as error:
        print(error)
"""


@pytest.mark.usefixtures("needs_lmdb")
def test_an_option_that_a_backend_would_refuse_in_a_url_is_refused_by_keyword(env: Environment, tmp_path: Path) -> None:
    assert env.run(OPEN, tmp_path.as_posix()).splitlines() == [
        "lmdb has no option 'timeout'; its options are: create, map_size, sync",
        "lmdb: the option map_size=-1 can't be used: give a number of bytes from 1048576",
        "lmdb: the option map_size='-1' can't be used: give a number of bytes from 1048576",
        "lmdb: the option sync='perhaps' can't be used: give true or false",
    ]
