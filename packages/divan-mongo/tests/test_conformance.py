"""The driver under the suite, on a live server."""

from __future__ import annotations

import pytest
from divan.testing import Conformance, Watching

from tests.support.conformance import Live, ManyThreads
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.heavy]


class OnMongo(Live):
    checks_per_database = 50  # SecantusDB, which stands in for MongoDB, gets slower with what a collection has held

    @pytest.fixture
    def store_url(self, mongo_server: Server) -> str:
        return self.use(mongo_server)


class TestMongo(OnMongo, Conformance):
    sequences = 50


class TestMongoSet(Live, Watching):
    """A replica set, which alone tells of changes."""

    @pytest.fixture
    def store_url(self, mongo_set: Server) -> str:
        return self.use(mongo_set)


@pytest.mark.slow
class TestManyThreadsOnMongo(OnMongo, ManyThreads):
    pass
