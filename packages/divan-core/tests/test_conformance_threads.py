"""Many threads that write the same documents of an embedded backend lose no update."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.conformance import PATIENCE, ManyThreads

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


class TestManyThreadsOnMemory(ManyThreads):
    url = "memory://{name}"


class TestManyThreadsOnSQLite(ManyThreads):
    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/{{name}}.db?timeout={PATIENCE}"
