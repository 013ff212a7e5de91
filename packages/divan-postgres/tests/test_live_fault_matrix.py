"""Every fault at every call of a Store on a live PostgreSQL."""

from __future__ import annotations

import pytest

from tests.support.faults import FaultMatrix
from tests.support.servers import Server


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.heavy
class TestPostgresFaults(FaultMatrix):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, postgres_server: Server) -> Server:
        return postgres_server
