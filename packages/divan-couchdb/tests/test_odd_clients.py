"""The suite's first areas on a live server, for clients that fork, are interrupted, or are at their last connection."""

from __future__ import annotations

import pytest

from tests.support.conformance import Live
from tests.support.odd_clients import Forking, Interrupted, LastConnection, SmallSuite
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.heavy]


class OnCouchDB(Live):
    @pytest.fixture
    def store_url(self, couchdb_server: Server) -> str:
        return self.use(couchdb_server)


class TestCouchDBForks(Forking, OnCouchDB, SmallSuite):
    pass


class TestCouchDBIsInterrupted(Interrupted, OnCouchDB, SmallSuite):
    pass


class TestCouchDBAtItsLastConnection(LastConnection, OnCouchDB, SmallSuite):
    pass
