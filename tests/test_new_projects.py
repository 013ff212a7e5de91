"""What ``divan new-backend`` and ``divan new-serializers`` write is in the style of this repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from divan.cli import main

SETTINGS = Path(__file__).parents[1] / "pyproject.toml"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["new-backend", "new-serializers"])
def test_it_passes_the_repositorys_own_linter_settings(tmp_path: Path, command: str) -> None:
    assert main([command, "a-name-of-thirty-characters-ok", "--into", str(tmp_path)]) == 0

    (written,) = tmp_path.iterdir()
    for mode in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *mode, "--config", str(SETTINGS), "."]
        done = subprocess.run(ruff, cwd=written, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
