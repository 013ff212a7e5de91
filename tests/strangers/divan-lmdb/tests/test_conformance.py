"""The conformance suite on LMDB files."""

from __future__ import annotations

import pytest
from divan.testing import Conformance


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the files of this module go."""
    return tmp_path_factory.mktemp("lmdb").as_posix()


class TestLMDB(Conformance):
    @pytest.fixture
    def store_url(self, folder: str) -> str:
        return f"lmdb:///{folder}/{{name}}.lmdb?sync=false"
