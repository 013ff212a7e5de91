"""The suite's first areas on a live server, for clients that fork, are interrupted, or are at their last connection."""

from __future__ import annotations

import pytest

from tests.support.conformance import Live
from tests.support.odd_clients import Forking, Interrupted, LastConnection, SmallSuite
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.heavy]


class OnMongo(Live):
    @pytest.fixture
    def store_url(self, mongo_server: Server) -> str:
        return self.use(mongo_server)


class TestMongoForks(Forking, OnMongo, SmallSuite):
    pass


class TestMongoIsInterrupted(Interrupted, OnMongo, SmallSuite):
    pass


class TestMongoAtItsLastConnection(LastConnection, OnMongo, SmallSuite):
    pass
