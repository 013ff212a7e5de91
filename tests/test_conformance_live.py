"""The drivers under the suite, on live servers; a server's known limits are reported by name."""

from __future__ import annotations

import pytest

from divan.testing import Conformance
from tests.servers import Server


class Live(Conformance):
    """Against one server, in a database of its own."""

    def use(self, server: Server) -> str:
        self.limits = server.limits
        return server.store_url("{name}").replace("%7Bname%7D", "{name}")


class TestCouchDB(Live):
    sequences = 30

    @pytest.fixture
    def store_url(self, couchdb_server: Server) -> str:
        return self.use(couchdb_server)


class TestMongo(Live):
    sequences = 50

    @pytest.fixture
    def store_url(self, mongo_server: Server) -> str:
        return self.use(mongo_server)


class TestRedis(Live):
    @pytest.fixture
    def store_url(self, redis_server: Server) -> str:
        return self.use(redis_server)


class TestRedisCluster(Live):
    sequences = 50

    @pytest.fixture
    def store_url(self, redis_cluster: Server) -> str:
        return self.use(redis_cluster)
