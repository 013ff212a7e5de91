"""What the tests on a live Redis share: Stores on a database of each test's own, the raw client, and a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import divan
import pytest
import redis
from divan import Store

from tests.support import servers
from tests.support.proxy import Proxy
from tests.support.servers import Server

from .live import emptied, new_name


@pytest.fixture
def database() -> str:
    return new_name()


@pytest.fixture
def store(redis_server: Server, database: str) -> Iterator[Store]:
    yield from emptied(divan.open(redis_server.store_url(database)))


@pytest.fixture
def raw(redis_server: Server) -> Iterator[redis.Redis]:
    """The native client, as any other tool would use it."""
    with closing(redis.Redis(redis_server.host, redis_server.port)) as client:
        yield client


@pytest.fixture(scope="module")
def quiet_server() -> Iterator[Server]:
    """A server that holds nothing else: what others leave there, or left, would give SCAN more pages."""
    with servers.fresh("redis") as own:
        yield own


@pytest.fixture
def proxy(quiet_server: Server) -> Iterator[Proxy]:
    with Proxy(quiet_server.host, quiet_server.port) as proxy:
        yield proxy


@pytest.fixture
def watched(proxy: Proxy, database: str) -> Iterator[Store]:
    """A Store behind the proxy, its two connections made."""
    store = divan.open(f"redis://127.0.0.1:{proxy.port}/{database}", timeout=60, connect_timeout=60)
    store.create({}, id="first")
    list(store)
    yield from emptied(store)


@pytest.fixture
def clustered(redis_cluster: Server, database: str) -> Iterator[Store]:
    yield from emptied(divan.open(redis_cluster.store_url(database)))
