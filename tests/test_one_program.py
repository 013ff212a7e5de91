"""One program, one URL after another, the same printed output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.live, pytest.mark.slow]

PROGRAM = Path(__file__).parent / "programs" / "guests.py"


def printed(url: str) -> str:
    environment = {**os.environ, "DIVAN_URL": url, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM)],
        env=environment, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected() -> str:
    output = printed("memory://program")
    assert output.count("\n") > 25
    return output


def test_sqlite_prints_the_same(expected: str, tmp_path: Path) -> None:
    assert printed(f"sqlite:///{tmp_path}/program.db") == expected


@pytest.mark.parametrize(
    "server", ["couchdb_server", "mongo_server", "postgres_server", "redis_server", "redis_cluster"]
)
def test_a_live_store_prints_the_same(expected: str, server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(server).store_url("divan_program", timeout="120", connect_timeout="60")
    assert printed(url) == expected
