"""The driver under the suite, on a live server."""

from __future__ import annotations

import pytest
from divan.testing import Conformance

from tests.support.conformance import Live, ManyThreads
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.heavy]


class OnCouchDB(Live):
    # CouchDB keeps a stub of each document that is deleted, and PouchDB looks at all of them whenever it is asked.
    checks_per_database = 25

    @pytest.fixture
    def store_url(self, couchdb_server: Server) -> str:
        return self.use(couchdb_server)


class TestCouchDB(OnCouchDB, Conformance):
    sequences = 30


@pytest.mark.slow
class TestManyThreadsOnCouchDB(OnCouchDB, ManyThreads):
    rounds = 80  # 1,280 writes of one document: each costs PouchDB more than the one before, by all of its revisions
