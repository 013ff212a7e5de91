"""A short soak of each store: nothing grows with operations, cycles, threads, tasks and forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIZES = ["--operations", "3000", "--cycles", "50", "--threads", "200", "--tasks", "2000", "--forks", "10"]


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("sqlite", []),
        ("memory", []),
        ("postgres", []),
        ("redis", []),
        ("couchdb", ["--operations", "400", "--threads", "30", "--tasks", "300", "--cycles", "20"]),
        ("mongo", ["--operations", "600", "--threads", "50", "--tasks", "300", "--cycles", "10"]),
    ],
)
def test_nothing_grows_with_what_a_store_is_used_for(name: str, sizes: list[str]) -> None:
    """Servers whose stand-ins are slow get fewer calls; `nox -s soak` makes as many as it is told to."""
    command = [sys.executable, "-m", "tests.soak", name, *SIZES, *sizes]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert f"{name}: " in done.stdout
