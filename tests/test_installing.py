"""What the first page says of installing from a clone works word for word, on a machine that has nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
API_PAGES = sorted(path.stem for path in ROOT.glob("docs/api/*.md"))

pytestmark = pytest.mark.slow


def _commands(page: str) -> list[str]:
    """The page's commands that install from the folder of wheels."""
    return re.findall(r"^pip install --find-links .*$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels in ``dist``, as `nox -s wheels` leaves them."""
    folder = tmp_path_factory.mktemp("clone")
    for package in ("divan-core", "divan-couchdb"):
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
        subprocess.run([*command, str(ROOT / "packages" / package)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_page_installs_from_the_built_wheels(page: str, folder: Path, tmp_path: Path) -> None:
    commands = _commands(page)
    assert len(commands) == 2
    venv.EnvBuilder(with_pip=True, symlinks=sys.platform != "win32").create(tmp_path)
    scripts = tmp_path / ("Scripts" if sys.platform == "win32" else "bin")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "DIVAN_"))}
    # Nothing is fetched: the wheels are what is tested, and what they depend on is no part of the clone.
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**kept, **offline, "PATH": os.pathsep.join([str(scripts), os.environ["PATH"]])}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    found = subprocess.run(
        [str(scripts / "python"), "-m", "pip", "list"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert {"divan-core", "divan-couchdb"} <= set(found.split())


def test_the_page_leads_to_the_docstrings_of_every_module_that_the_site_describes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    api = text.partition("\n## API\n")[2].partition("\n## ")[0]
    described = {
        module
        for page in API_PAGES
        for module in re.findall(
            r"^# (divan\S*)$", (ROOT / f"docs/api/{page}.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert described
    assert [module for module in sorted(described) if f"[`{module}`]" not in api] == []
