"""The drivers under the suite, on live servers; a server's known limits are reported by name."""

from __future__ import annotations

import divan
import pytest
from divan.query import parse
from divan.testing import BIG_INTS, TINY_FLOATS, Conformance, LostUpdates, generate
from divan.testing.base import StoreChecks

from tests.support.servers import Server

PATIENT = {"timeout": "600", "connect_timeout": "60"}
"""Many threads take turns at one document: how long one waits for its own is up to the machine, and no failure."""


class Live(StoreChecks):
    """Against one server, in a database of its own."""

    def use(self, server: Server) -> str:
        self.limits = server.limits
        if server.product == "SecantusDB":
            # Seen with pymongo alone: once a field is indexed, {"$lt": 1} no longer finds 5e-324.
            self.limits = server.limits | {TINY_FLOATS}
        return database_url(server, "{name}")


class OnCouchDB(Live):
    @pytest.fixture
    def store_url(self, couchdb_server: Server) -> str:
        return self.use(couchdb_server)


class OnMongo(Live):
    @pytest.fixture
    def store_url(self, mongo_server: Server) -> str:
        return self.use(mongo_server)


class OnRedis(Live):
    @pytest.fixture
    def store_url(self, redis_server: Server) -> str:
        return self.use(redis_server)


class OnRedisCluster(Live):
    @pytest.fixture
    def store_url(self, redis_cluster: Server) -> str:
        return self.use(redis_cluster)


class TestCouchDB(OnCouchDB, Conformance):
    sequences = 30


class TestMongo(OnMongo, Conformance):
    sequences = 50


class TestRedis(OnRedis, Conformance):
    sequences = 50


class TestRedisCluster(OnRedisCluster, Conformance):
    sequences = 30


class ManyThreads(LostUpdates):
    threads = 16
    rounds = 200


class TestManyThreadsOnMemory(ManyThreads):
    url = "memory://{name}"


class TestManyThreadsOnSQLite(ManyThreads):
    @pytest.fixture
    def store_url(self, tmp_path: object) -> str:
        return f"sqlite:///{tmp_path}/{{name}}.db?timeout={PATIENT['timeout']}"


class TestManyThreadsOnCouchDB(OnCouchDB, ManyThreads):
    pass


class TestManyThreadsOnMongo(OnMongo, ManyThreads):
    pass


class TestManyThreadsOnRedis(OnRedis, ManyThreads):
    pass


class TestManyThreadsOnRedisCluster(OnRedisCluster, ManyThreads):
    pass


def database_url(server: Server, name: str) -> str:
    return server.store_url(name, **PATIENT).replace("%7Bname%7D", "{name}")


def test_the_same_filters_find_the_same_ids_on_every_store(
    tmp_path: object, couchdb_server: Server, mongo_server: Server, redis_server: Server, redis_cluster: Server
) -> None:
    servers = [couchdb_server, mongo_server, redis_server, redis_cluster]
    big_ints = all(BIG_INTS not in server.limits for server in servers)
    documents = [(f"document {at:03}", data) for at, data in enumerate(generate.documents(200, big_ints=big_ints))]
    filters = generate.filters(500, big_ints=big_ints)
    expected = [[id for id, data in documents if parse(where).matches(data)] for where in filters]
    urls = ["memory://same_filters", f"sqlite:///{tmp_path}/same_filters.db"]
    wrong: dict[str, list[dict[str, object]]] = {}
    for url in [*urls, *(database_url(server, "divan_same_filters") for server in servers)]:
        with divan.open(url) as store:
            store.delete_many(list(store.ids()))  # of an earlier run on a server that is still there
            store.create_many(documents)
            found = [sorted(document.id for document in store.find(where, fields=[])) for where in filters]
            wrong[store.name] = [
                where for where, got, wanted in zip(filters, found, expected, strict=True) if got != wanted
            ]
            store.delete_many(list(store.ids()))
    assert {name: found for name, found in wrong.items() if found} == {}
