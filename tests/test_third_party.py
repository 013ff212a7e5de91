"""A stranger's distributions, built, installed with pip, used and removed, in an environment of their own."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.distributions import DICT_BACKEND, Distribution, Environment, backend, environment

pytestmark = pytest.mark.slow

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "divan-shoebox"
version = "0.3"
description = "Documents in a shoebox"
requires-python = ">=3.11"
dependencies = ["divan-core"]

[project.entry-points."divan.backends"]
shoebox = "divan_shoebox.backend:DictBackend"
shoe = "divan_shoebox.backend:DictBackend"
"""

LIST = """
import divan, json
print(json.dumps([[i.name, list(i.aliases), i.distribution, i.version, i.summary] for i in divan.list_backends()]))
"""

USE = """
import divan, sys
with divan.open(sys.argv[1]) as store:
    document = store.create({"name": "Ada", "tags": []})
    store.update(document, {"name": "Ada L."})
    print(type(store.backend).__module__, document.id, store.backend.db)
"""

ASK = """
import divan, sys
try:
    print(divan.get_backend(sys.argv[1]).__module__)
except divan.DivanError as error:
    print(f"{type(error).__name__}: {error}")
    print(f"cause: {type(error.__cause__).__name__}: {error.__cause__}")
"""


@pytest.fixture(scope="module")
def env() -> Environment:
    return environment()


@pytest.fixture
def installed(env: Environment, tmp_path: Path) -> Iterator[Any]:
    """Installs distributions with pip, and uninstalls them at the end."""
    names: list[str] = []

    def install(*distributions: Distribution) -> None:
        names.extend(distribution.name for distribution in distributions)
        env.pip("install", *(str(distribution.wheel(tmp_path)) for distribution in distributions))

    yield install
    if names:
        env.pip("uninstall", "--yes", *names)


def listed(env: Environment, **variables: str) -> dict[str, list[Any]]:
    return {f"{row[2]}:{row[0]}": row for row in json.loads(env.run(LIST, **variables))}


@pytest.fixture(scope="module")
def shoebox(env: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A project written from the contract alone, built by its own build backend and installed with pip."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the project, is not installed")
    folder = tmp_path_factory.mktemp("shoebox")
    package = folder / "divan_shoebox"
    package.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "backend.py").write_text(DICT_BACKEND, encoding="utf-8")
    env.pip("install", "--no-build-isolation", str(folder))
    yield
    env.pip("uninstall", "--yes", "divan-shoebox")


@pytest.mark.usefixtures("shoebox")
class TestAProjectWrittenFromTheContractAlone:
    def test_is_listed_with_its_metadata(self, env: Environment) -> None:
        assert listed(env)["divan-shoebox:shoe"] == [
            "shoe",
            ["shoebox"],
            "divan-shoebox",
            "0.3",
            "Documents in a shoebox",
        ]

    @pytest.mark.parametrize("url", ["shoebox://attic", "shoe://attic", "divan-shoebox:shoebox://attic"])
    def test_works_by_url(self, env: Environment, url: str) -> None:
        assert env.run(USE, url) == "divan_shoebox.backend 1 {1: {'name': 'Ada L.', 'tags': []}}\n"

    def test_works_by_the_url_in_the_environment(self, env: Environment) -> None:
        assert env.run("import divan; print(divan.open())", DIVAN_URL="shoebox://attic") == "<Store shoebox://attic/>\n"

    @pytest.mark.skipif(importlib.util.find_spec("click") is None, reason="the command line's extra is not installed")
    def test_is_shown_by_the_command_line(self, env: Environment) -> None:
        printed = env.divan("backends", "--json")

        assert "divan-shoebox" in printed
        assert "Documents in a shoebox" in printed

    def test_is_hidden_by_an_allowlist_that_does_not_name_it(self, env: Environment) -> None:
        assert "divan-shoebox:shoe" not in listed(env, DIVAN_PLUGINS="")
        assert "divan-shoebox:shoe" in listed(env, DIVAN_PLUGINS="Divan_Shoebox")


def test_an_uninstalled_backend_is_gone(env: Environment, tmp_path: Path) -> None:
    distribution = backend("divan-carton", "carton")
    env.pip("install", str(distribution.wheel(tmp_path)))
    assert "divan-carton:carton" in listed(env)

    env.pip("uninstall", "--yes", "divan-carton")

    assert "divan-carton:carton" not in listed(env)
    assert "BackendNotFound: no installed backend is called 'carton'" in env.run(ASK, "carton")


def test_a_backend_whose_module_raises_breaks_nothing_but_itself(env: Environment, installed: Any) -> None:
    installed(backend("divan-broken", "broken", source="1 / 0"), backend("divan-carton", "carton"))

    assert {"divan-broken:broken", "divan-carton:carton", "divan-core:memory"} <= set(listed(env))
    assert env.run(USE, "carton://x").startswith("divan_carton 1 ")
    answer = env.run(ASK, "broken").splitlines()
    assert answer == [
        (
            "BackendLoadError: the backend 'broken' of divan-broken (divan_broken:DictBackend) can't be loaded: "
            "ZeroDivisionError: division by zero; reinstall or remove divan-broken"
        ),
        "cause: ZeroDivisionError: division by zero",
    ]


def test_two_distributions_that_claim_one_name_are_both_shown_and_told_apart(env: Environment, installed: Any) -> None:
    installed(backend("divan-carton", "box"), backend("other-carton", "box"))

    assert {"divan-carton:box", "other-carton:box"} <= set(listed(env))
    assert env.run(ASK, "box").startswith(
        "AmbiguousBackend: divan-carton and other-carton both claim the backend 'box'"
    )
    assert env.run(ASK, "other-carton:box") == "other_carton\n"
    assert env.run(USE, "divan-carton:box://x").startswith("divan_carton 1 ")


def test_a_distribution_installed_while_a_process_runs_is_seen_by_it(
    env: Environment, installed: Any, tmp_path: Path
) -> None:
    wheel = backend("divan-carton", "carton").wheel(tmp_path)
    code = """
import divan, subprocess, sys
def seen():
    return "carton" in [info.name for info in divan.list_backends()]
def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], check=True)
answers = [seen()]
pip("install", "--no-index", "--no-deps", sys.argv[1])
answers.append(seen())
divan.open("carton://x").create({})
pip("uninstall", "--yes", "divan-carton")
answers.append(seen())
print(answers)
"""

    assert env.run(code, str(wheel)) == "[False, True, False]\n"


def test_a_serializer_plugin_teaches_every_backend_and_a_broken_one_is_reported(
    env: Environment, installed: Any
) -> None:
    source = """
import divan

@divan.hookimpl
def divan_serializers(backend):
    return {"RgbField": {"serialize": lambda rgb: "#%02x%02x%02x" % rgb, "deserialize": lambda text: tuple(bytes.fromhex(text[1:]))}}
"""
    installed(
        Distribution("divan-rgb", {"divan_rgb.py": source}, {"divan.plugins": {"rgb": "divan_rgb"}}),
        Distribution("divan-bad", {"divan_bad.py": "1 / 0"}, {"divan.plugins": {"bad": "divan_bad"}}),
        backend("divan-carton", "carton"),
    )
    code = """
import divan, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with divan.open(sys.argv[1], schema={"colour": "RgbField"}) as store:
        document = store.create({"colour": (255, 0, 16)})
print(document["colour"])
print(*(f"{w.category.__name__}: {w.message}" for w in caught), sep="\\n")
"""

    for url in ("memory://", "carton://"):
        colour, warning = env.run(code, url).splitlines()
        assert colour == "(255, 0, 16)"
        assert warning.startswith(
            "PluginWarning: the plugin 'bad' of divan-bad was skipped: ZeroDivisionError: division by zero"
        )
