"""The suite's first areas on the embedded stores, for clients that fork, or are interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
from divan.testing.base import StoreChecks

from tests.support.odd_clients import Forking, Interrupted, Suite

pytestmark = pytest.mark.slow


class OnSQLite(StoreChecks):
    @pytest.fixture
    def store_url(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        folder: Path = tmp_path_factory.getbasetemp()
        return f"sqlite:///{folder}/{type(self).__name__}-{{name}}.db?timeout=600"


class TestSQLiteForks(Forking, OnSQLite, Suite):
    pass


class TestSQLiteIsInterrupted(Interrupted, OnSQLite, Suite):
    pass


class TestMemoryIsInterrupted(Interrupted, Suite):
    url = "memory://{name}"
