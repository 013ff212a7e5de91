"""Small distributions that tests write, build into wheels and install, as a stranger would publish them."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DICT_BACKEND = '''
"""A backend over a Python dict, written from the contract's five required methods alone."""

from divan.backends.base import BaseDivanBackend


class DictBackend(BaseDivanBackend):
    default_host = ""
    default_port = 0

    def connect(self, database, host, port):
        return {}

    def create(self, data):
        number = len(self.db) + 1
        self.db[number] = dict(data)
        return {"number": number, **data}

    def update(self, document_id, data):
        self.db[int(document_id)].update(data)
        return {"number": int(document_id), **self.db[int(document_id)]}

    def get_id_for_document(self, document):
        return str(document["number"])

    def get_document_attr(self, document, field):
        return document[field]
'''
"""The source of a module that holds `DictBackend`."""


@dataclass(frozen=True)
class Distribution:
    """One distribution, as its wheel holds it.

    Attributes:
        name: Its name.
        files: Path in site-packages → text; importable modules.
        entry_points: Group → entry point's name → value; or the text of ``entry_points.txt``.
        version: Its version.
        summary: Its one-line description.
        metadata: The bytes of ``METADATA``; `None` for those of the fields above.
    """

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    entry_points: Mapping[str, Mapping[str, str]] | str = field(default_factory=dict)
    version: str = "1.0"
    summary: str = "A distribution of the tests"
    metadata: bytes | None = None

    @property
    def info(self) -> str:
        """The name of its metadata folder."""
        return f"{self.name.replace('-', '_')}-{self.version}.dist-info"

    def _contents(self) -> dict[str, bytes]:
        if isinstance(self.entry_points, str):
            entry_points = self.entry_points
        else:
            entry_points = "\n".join(
                f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
                for group, entries in self.entry_points.items()
            )
        metadata = self.metadata
        if metadata is None:
            lines = [
                "Metadata-Version: 2.1",
                f"Name: {self.name}",
                f"Version: {self.version}",
                f"Summary: {self.summary}",
            ]
            metadata = "\n".join([*lines, ""]).encode()
        contents = {path: text.encode() for path, text in self.files.items()}
        contents[f"{self.info}/METADATA"] = metadata
        contents[f"{self.info}/WHEEL"] = (
            b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        contents[f"{self.info}/entry_points.txt"] = entry_points.encode()
        record = "".join(f"{path},,\n" for path in [*contents, f"{self.info}/RECORD"])
        contents[f"{self.info}/RECORD"] = record.encode()
        return contents

    def wheel(self, folder: Path) -> Path:
        """Build its wheel into a folder."""
        path = folder / f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in self._contents().items():
                archive.writestr(name, content)
        return path

    def unpack(self, folder: Path) -> None:
        """Put into a folder what pip would put there."""
        for name, content in self._contents().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def remove(self, folder: Path) -> None:
        """Take out of a folder what `unpack` put there."""
        shutil.rmtree(folder / self.info)
        for name in self.files:
            (folder / name).unlink()


def backend(name: str, entry: str, *further: str, module: str = "", source: str = DICT_BACKEND) -> Distribution:
    """A distribution with one backend module.

    Args:
        name: The distribution's name.
        entry: The backend's name.
        *further: Its aliases.
        module: The module's name; the distribution's if it is empty.
        source: The module's text, which defines ``DictBackend``.
    """
    module = module or name.replace("-", "_")
    entries = dict.fromkeys((entry, *further), f"{module}:DictBackend")
    return Distribution(name, {f"{module}.py": source}, {"divan.backends": entries})


class Environment:
    """A virtual environment with a pip of its own, which sees what the tests' environment has installed."""

    def __init__(self, folder: Path) -> None:
        builder = venv.EnvBuilder(with_pip=True, symlinks=sys.platform != "win32")
        builder.create(folder)
        scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = scripts / "python"
        (site,) = self.run("import sysconfig; print(sysconfig.get_path('purelib'))").split()
        # As a site folder, so that the editable installs in it work too.
        parent = sysconfig.get_path("purelib")
        Path(site, "tests-environment.pth").write_text(f"import site; site.addsitedir({parent!r})\n", encoding="utf-8")

    def run(self, code: str, *arguments: str, **environment: str) -> str:
        """Run code in a fresh interpreter; what it prints."""
        return self._call(["-c", code, *arguments], environment)

    def divan(self, *arguments: str) -> str:
        """Run the command line; what it prints."""
        return self._call(["-m", "divan.cli", *arguments], {})

    def module(self, name: str, *arguments: str, folder: Path, stdin: str = "") -> str:
        """Run a module in a folder; what it prints.

        Args:
            name: The module's name.
            *arguments: What it is given.
            folder: Where it runs.
            stdin: What it reads from standard input.
        """
        return self._call(["-m", name, *arguments], {}, folder, stdin)

    def pip(self, *arguments: str) -> None:
        """Run this environment's pip, which asks no index."""
        command, *rest = arguments
        offline = ["--no-index", "--no-deps"] if command == "install" else []
        self._call(["-m", "pip", "--disable-pip-version-check", "--quiet", command, *offline, *rest], {})

    def _call(
        self, arguments: list[str], environment: Mapping[str, str], folder: Path | None = None, stdin: str = ""
    ) -> str:
        own = ("DIVAN_", "PYTHON", "PYTEST_", "PIP_")  # settings of this run, and of no other
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=folder,
            env={**kept, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout


@functools.cache
def environment() -> Environment:
    """The run's one `Environment`; removed when the run ends."""
    folder = Path(tempfile.mkdtemp(prefix="divan-environment-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Environment(folder)
