"""Programs that are packed: by PyInstaller into a folder, and by zipapp into one file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipapp
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import divan
import importlib_metadata
import pytest
from packaging.requirements import Requirement

from tests.support.servers import Server

PROGRAM = """
import json
import sys

import divan

told = {"backends": [backend.name for backend in divan.list_backends()]}
for url in sys.argv[1:]:
    with divan.open(url, schema={"arrival": "DateField"}) as guests:
        ada = guests.create({"name": "Ada"})
        told[guests.name] = [ada.id, guests.update(ada.id, {"arrival": "2026-12-01"})["name"], guests.count()]
print(json.dumps(told))
"""
# Of what the environment of the tests holds: what the program has no use for, and would take minutes to pack.
LEFT_OUT = (
    "IPython", "anyio", "attr", "attrs", "bson", "cattrs", "click", "couchdb", "django", "hypothesis", "jinja2",
    "mypy", "numpy", "opentelemetry", "pandas", "psycopg", "pydantic", "pygments", "pymongo", "pytest", "rich",
    "setuptools", "tkinter", "trio", "unittest",
)  # fmt: skip


def told_by(command: list[str], folder: Path) -> dict[str, list[object]]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[object]] = json.loads(done.stdout)
    return told


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.heavy
def test_a_program_that_pyinstaller_has_packed_finds_its_backends(tmp_path: Path, redis_server: Server) -> None:
    pytest.importorskip("PyInstaller", reason="PyInstaller, which packs the program, is not installed")
    (tmp_path / "guests.py").write_text(PROGRAM, encoding="utf-8")
    left_out = [word for name in LEFT_OUT for word in ("--exclude-module", name)]
    built = subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", *left_out, "guests.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr

    database = f"t{tmp_path.name.lower().replace('-', '_')}"
    program = tmp_path / "dist" / "guests" / "guests"
    told = told_by([str(program), "sqlite:///guests.db", redis_server.store_url(database)], tmp_path)

    assert {"memory", "sqlite", "redis"} <= set(told["backends"])
    assert told["sqlite"][1:] == told["redis"][1:] == ["Ada", 1]
    with divan.open(f"sqlite:///{tmp_path.as_posix()}/guests.db") as guests:
        assert [guest.id for guest in guests] == [told["sqlite"][0]]
    with divan.open(redis_server.store_url(database)) as guests:
        assert guests.delete_many(guests.ids()) == [told["redis"][0]]


def test_a_zipapp_starts_and_stores(tmp_path: Path) -> None:
    """What divan-core needs in one file, but for the compiled package that makes ids, which no zip file can hold."""
    source = tmp_path / "app"
    shutil.copytree(Path(divan.__file__).parent, source / "divan", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    for distribution in _needed("divan-core"):
        for file in distribution.files or ():
            path = Path(str(distribution.locate_file(file)))
            if path.suffix in (".py", "") or file.parts[0].endswith(".dist-info"):
                (source / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, source / file)
    zipapp.create_archive(source, tmp_path / "guests.pyz")

    told = told_by([sys.executable, "-I", "-S", "guests.pyz", "sqlite:///guests.db", "memory://"], tmp_path)

    assert told["backends"] == ["memory", "sqlite"]
    assert told["sqlite"][1:] == told["memory"][1:] == ["Ada", 1]
    assert {UUID(str(told[name][0])).version for name in ("sqlite", "memory")} == {7}


def _needed(name: str) -> Iterator[importlib_metadata.Distribution]:
    """A distribution and those that it requires, without extras, if they are Python alone."""
    waiting, seen = [name], set()
    while waiting:
        name = waiting.pop()
        distribution = importlib_metadata.distribution(name)
        if name in seen or any(file.suffix == ".so" for file in distribution.files or ()):
            continue
        seen.add(name)
        yield distribution
        requirements = map(Requirement, distribution.requires or ())
        waiting += [one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
