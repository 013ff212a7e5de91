"""The suite's first areas on a live server, for clients that fork, are interrupted, or are at their last connection."""

from __future__ import annotations

import pytest

from tests.support.conformance import Live
from tests.support.odd_clients import Forking, Interrupted, LastConnection, Suite
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.heavy]


class OnPostgres(Live):
    @pytest.fixture
    def store_url(self, postgres_server: Server) -> str:
        return self.use(postgres_server)


class TestPostgresForks(Forking, OnPostgres, Suite):
    pass


class TestPostgresIsInterrupted(Interrupted, OnPostgres, Suite):
    pass


class TestPostgresAtItsLastConnection(LastConnection, OnPostgres, Suite):
    pass
