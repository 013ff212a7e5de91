"""What the tests on a live CouchDB share: the raw client, a database of each test's own, a Store, and a proxy before it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import couchdb  # type: ignore[import-untyped]
import divan
import pytest
from divan import Store

from tests.support.proxy import Proxy
from tests.support.servers import Server


@pytest.fixture
def raw_server(couchdb_server: Server) -> Iterator[couchdb.Server]:
    """The server through the raw client."""
    raw = couchdb.Server(f"http://{couchdb_server.host}:{couchdb_server.port}")
    if couchdb_server.user is not None:
        raw.resource.credentials = (couchdb_server.user, couchdb_server.password)
    yield raw
    for connections in raw.resource.session.connection_pool.conns.values():
        for connection in connections:
            connection.close()


@pytest.fixture
def database(raw_server: couchdb.Server) -> Iterator[str]:
    """The name of a database that is not there yet."""
    name = f"divan_test_{uuid.uuid4().hex}"
    yield name
    if name in raw_server:
        raw_server.delete(name)


@pytest.fixture
def store(couchdb_server: Server, database: str) -> Iterator[Store]:
    with divan.open(couchdb_server.store_url(database)) as opened:
        yield opened


@pytest.fixture
def raw(raw_server: couchdb.Server, store: Store, database: str) -> couchdb.Database:
    """The store's database through the raw client."""
    return raw_server[database]


@pytest.fixture
def proxy(couchdb_server: Server) -> Iterator[Proxy]:
    with Proxy(couchdb_server.host, couchdb_server.port, http=True) as started:
        yield started


@pytest.fixture
def wired(couchdb_server: Server, database: str, proxy: Proxy) -> Iterator[Store]:
    """A Store whose traffic goes through `proxy`, the counters at 0."""
    with divan.open(couchdb_server.behind(proxy).store_url(database)) as opened:
        proxy.reset()
        yield opened
