"""The driver under the suite, on a live server and on a live cluster."""

from __future__ import annotations

import pytest
from divan.testing import Conformance, RandomCalls, Watching

from tests.support.conformance import Live, ManyThreads
from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.heavy]


class OnRedis(Live):
    @pytest.fixture
    def store_url(self, redis_server: Server) -> str:
        return self.use(redis_server)


class OnRedisCluster(Live):
    @pytest.fixture
    def store_url(self, redis_cluster: Server) -> str:
        return self.use(redis_cluster)


class TestRedis(OnRedis, Conformance):
    sequences = 50


class TestRedisCluster(OnRedisCluster, Conformance):
    sequences = 30


class TestWatchedRedis(Live, Watching, RandomCalls):
    """Where the scripts also keep what they have changed."""

    sequences = 20

    @pytest.fixture
    def store_url(self, redis_server: Server) -> str:
        return f"{self.use(redis_server)}&watch=true"


@pytest.mark.slow
class TestManyThreadsOnRedis(OnRedis, ManyThreads):
    pass


@pytest.mark.slow
class TestManyThreadsOnRedisCluster(OnRedisCluster, ManyThreads):
    pass
