"""The driver under the suite, on a live server."""

from __future__ import annotations

import pytest
from divan.testing import Conformance

from tests.support.conformance import Live, ManyThreads
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.heavy]


class OnPostgres(Live):
    @pytest.fixture
    def store_url(self, postgres_server: Server) -> str:
        return self.use(postgres_server)


class TestPostgres(OnPostgres, Conformance):
    sequences = 50


@pytest.mark.slow
class TestManyThreadsOnPostgres(OnPostgres, ManyThreads):
    pass
