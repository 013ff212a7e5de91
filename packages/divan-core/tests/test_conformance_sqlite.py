"""The sqlite backend under the suite.

The long run: ``pytest -p divan.testing.plugin --divan-sequences=10000 -k random_calls`` on this file.
"""

from __future__ import annotations

import pytest
from divan.testing import Conformance


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the database files of this module go."""
    return str(tmp_path_factory.mktemp("sqlite"))


class TestSQLite(Conformance):
    @pytest.fixture
    def store_url(self, folder: str) -> str:
        # Threads that write at once queue for the file: on a slow disk the last may wait longer than the default.
        return f"sqlite:///{folder}/{{name}}.db?timeout=600"
