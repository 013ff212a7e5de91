"""What every package has alike: its changelog's form, and what its source distribution takes along to test itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

FOLDERS = sorted(path.parent for path in Path(__file__).parents[1].glob("packages/*/pyproject.toml"))
each_package = pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])


@each_package
def test_a_changelog_begins_with_what_is_unreleased_and_knows_the_version(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (folder / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]

    assert lines[0] == f"# Changes to {project['name']}"
    assert headings[0] == "Unreleased"
    assert project["version"] in headings
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", heading) for heading in headings[1:])
    assert all(not line or line.startswith(("## ", "- ", "  ")) for line in lines[lines.index("## Unreleased") :])


@each_package
def test_a_source_distribution_takes_along_what_its_tests_share(folder: Path) -> None:
    targets = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]

    assert targets["sdist"]["force-include"] == {
        f"../../{shared}": shared for shared in ("conftest.py", "pytest.ini", "tests/__init__.py", "tests/support")
    }
