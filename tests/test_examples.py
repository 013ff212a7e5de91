"""The examples, built and installed as strangers' distributions are; and the directory of those that are known."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.directory import DIRECTORY, KNOWN_BACKENDS

from tests.support.distributions import Environment, environment

pytestmark = [pytest.mark.live, pytest.mark.slow]

ROOT = Path(__file__).parent.parent
LMDB, SHOP = ROOT / "examples" / "divan-lmdb", ROOT / "examples" / "divan-shop"

needs_click = pytest.mark.skipif(
    importlib.util.find_spec("click") is None, reason="the command line's extra is not installed"
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The core and the examples, each built into a wheel by its own build backend: distribution → wheel."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the examples, is not installed")
    folder = tmp_path_factory.mktemp("wheels")
    sources = [ROOT / "packages" / "divan-core", LMDB, SHOP]
    # By pip, offline and without a build environment of its own: hatchling is in this one.
    arguments = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    environment().pip("wheel", *arguments, *map(str, sources))
    return {source.name: next(folder.glob(f"{source.name.replace('-', '_')}-*.whl")) for source in sources}


@pytest.fixture(scope="module")
def env(wheels: dict[str, Path]) -> Iterator[Environment]:
    """An environment with the wheels of the core and of both examples; taken out of it at the end."""
    env = environment()
    env.pip("install", "--force-reinstall", *map(str, wheels.values()))
    yield env
    env.pip("uninstall", "--yes", *wheels)


LIST = """
import divan, json
print(json.dumps({info.name: [info.distribution, info.version, info.summary] for info in divan.list_backends()}))
"""


def test_the_cores_wheel_holds_every_template(wheels: dict[str, Path]) -> None:
    source = ROOT / "packages" / "divan-core" / "src"
    templates = {
        path.relative_to(source).as_posix() for path in source.glob("divan/cli/templates/**/*") if path.is_file()
    }

    with zipfile.ZipFile(wheels["divan-core"]) as wheel:
        assert templates
        assert templates <= set(wheel.namelist())


# A backend


@pytest.fixture
def needs_lmdb() -> None:
    if importlib.util.find_spec("lmdb") is None:
        message = "lmdb, the client of the example, is not installed: pip install lmdb"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{message} (what is missing fails the run in CI)", pytrace=False)
        pytest.skip(message)


@pytest.mark.usefixtures("needs_lmdb")
class TestABackendOfAStranger:
    def test_is_listed_with_its_metadata(self, env: Environment) -> None:
        assert json.loads(env.run(LIST))["lmdb"] == ["divan-lmdb", "0.1.0", "Divan's backend for LMDB files."]

    @needs_click
    def test_is_in_order_by_the_command_lines_check(self, env: Environment, tmp_path: Path) -> None:
        printed = env.module("divan.cli", "backends", "--check", "--json", folder=tmp_path)

        row = next(row for row in json.loads(printed) if row["name"] == "lmdb")
        assert row["error"] is None
        assert {"get_document_for_id", "create_many", "update_many", "close"} <= set(row["methods"])

    def test_passes_the_conformance_suite_and_its_own_tests(self, env: Environment, tmp_path: Path) -> None:
        arguments = ["-q", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
        arguments += ["-p", "divan.testing.plugin", "--divan-sequences", "20"]

        summary = env.module("pytest", *arguments, str(LMDB / "tests"), folder=tmp_path).splitlines()[-1]

        found = re.search(r"(\d+) passed", summary)
        assert found, summary
        assert int(found[1]) > 1000
        assert "xfailed" not in summary

    @needs_click
    def test_works_on_the_command_line(self, env: Environment, tmp_path: Path) -> None:
        url = f"lmdb:///{tmp_path.as_posix()}/guests.lmdb"
        rows = '{"_id": "a", "n": 1}\n{"_id": "b", "n": 2}\n'
        env.module("divan.cli", "create", url, "--quiet", folder=tmp_path, stdin=rows)

        printed = env.module("divan.cli", "find", url, "--where", '{"n": {"$gt": 1}}', "--fields", "n", folder=tmp_path)

        assert [json.loads(line)["_id"] for line in printed.splitlines()] == ["b"]

    def test_is_gone_once_it_is_uninstalled(self, env: Environment, wheels: dict[str, Path]) -> None:
        env.pip("uninstall", "--yes", "divan-lmdb")
        try:
            assert "lmdb" not in json.loads(env.run(LIST))
        finally:
            env.pip("install", str(wheels["divan-lmdb"]))


# A serializer plugin


class TestASerializerPluginOfAStranger:
    def test_passes_its_own_tests(self, env: Environment, tmp_path: Path) -> None:
        arguments = ["-q", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]

        assert " passed" in env.module("pytest", *arguments, str(SHOP / "tests"), folder=tmp_path)

    def test_the_example_in_its_readme_runs(self, env: Environment) -> None:
        readme = (SHOP / "README.md").read_text(encoding="utf-8")
        (example,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)

        assert env.run(example) == "1\n"

    @needs_click
    @pytest.mark.parametrize("backend", ["memory", "sqlite"])
    def test_is_named_as_the_source_of_its_field_types(self, env: Environment, tmp_path: Path, backend: str) -> None:
        printed = env.module("divan.cli", "serializers", "--backend", backend, "--json", folder=tmp_path)

        rows = {row["field_type"]: row for row in json.loads(printed)["serializers"]}
        assert rows["PointField"]["source"] == rows["MoneyField"]["source"] == "plugin divan-shop"
        assert rows["DateField"]["source"] == f"backend {backend}"

    def test_is_gone_once_it_is_uninstalled(self, env: Environment, wheels: dict[str, Path]) -> None:
        code = "import divan; divan.open('memory://', schema={'at': 'PointField'}); print('open')"
        assert env.run(code) == "open\n"
        env.pip("uninstall", "--yes", "divan-shop")
        try:
            with pytest.raises(RuntimeError, match="InvalidSchema"):
                env.run(code)
        finally:
            env.pip("install", str(wheels["divan-shop"]))


STORES = ("memory", "sqlite", "couchdb", "mongo", "postgres", "redis")


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind of store."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path.as_posix()}/places.db"
    server = request.getfixturevalue(f"{request.param}_server")
    url: str = server.store_url(f"divan_places_{os.urandom(6).hex()}", timeout="120", connect_timeout="60")
    return url


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of the plugin's hooks, which is not installed here."""
    monkeypatch.syspath_prepend(str(SHOP / "src"))
    yield importlib.import_module("divan_shop.plugin")
    for name in [name for name in sys.modules if name.partition(".")[0] == "divan_shop"]:
        del sys.modules[name]


def test_a_field_type_of_a_plugin_works_on_every_backend(store_url: str, plugin: Any) -> None:
    point = importlib.import_module("divan_shop").Point
    munich, ulm, nowhere = point(48.137, 11.575), point(48.4, 9.99), point(0.0, 0.0)
    with divan.open(store_url, schema={"at": "PointField"}, plugins=[plugin]) as places:
        one = places.create({"name": "Munich", "at": munich})
        others = places.create_many([{"name": "Ulm", "at": ulm}, {"name": "both", "at": [munich, ulm]}])
        places.update(one, {"visited": True})
        places.update_many([(others[0], {"at": nowhere})])
        try:
            assert places.get(one)["at"] == munich
            assert [document["at"] for document in places.get_many(others, divan.Document())] == [
                nowhere,
                [munich, ulm],
            ]
            assert [document.id for document in places.find({"at": munich})] == [one.id]
            assert [document.id for document in places.find({"at": {"$contains": ulm}})] == [others[1].id]
            assert [document["at"] for document in places.find({"at": {"$in": [nowhere]}}, sort="name")] == [nowhere]
            with pytest.raises(divan.InvalidQuery):
                places.count({"at": {"$gt": nowhere}})
        finally:
            places.delete_many([one, *others])


@needs_click
def test_a_field_type_of_a_plugin_works_on_the_command_line(env: Environment, tmp_path: Path, store_url: str) -> None:
    typed = ["--schema", "at=PointField"]
    point = {"latitude": 48.137, "longitude": 11.575}

    created = env.module(
        "divan.cli", "create", store_url, json.dumps({"_id": "a", "at": point}), *typed, folder=tmp_path
    )

    assert json.loads(created)["at"] == point
    if not store_url.startswith("memory:"):  # another process' memory is another store
        where = json.dumps({"at": point})
        found = env.module("divan.cli", "find", store_url, "--where", where, *typed, folder=tmp_path)
        assert json.loads(found)["at"] == point
        env.module("divan.cli", "delete", store_url, "a", folder=tmp_path)


# The directory


def test_the_directory_page_and_the_table_agree() -> None:
    page = (ROOT / "docs" / "directory.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(divan-[a-z-]+)` \| (.*?) \| (.*?) \|$", page, flags=re.MULTILINE)

    assert [(distribution, tuple(re.findall(r"`([^`]+)`", names)), about) for distribution, names, about in rows] == [
        (known.distribution, tuple(f"{name}://" for name in known.names), known.about)
        for known in sorted(DIRECTORY, key=lambda known: known.kind)
    ]


def test_the_directory_knows_every_backend_of_this_repository() -> None:
    names = {
        name: project["project"]["name"]
        for project in map(_load, ROOT.glob("packages/*/pyproject.toml"))
        for name in project["project"].get("entry-points", {}).get("divan.backends", {})
    }

    assert names == KNOWN_BACKENDS


def _load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
