"""What the tests on a live PostgreSQL share: Stores on a table of each test's own, psycopg's connection, and a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import divan
import pytest
from divan import Store

from tests.support.proxy import Proxy
from tests.support.servers import Server

from .live import dropped, new_name


@pytest.fixture
def table() -> str:
    return new_name()


@pytest.fixture
def store(postgres_server: Server, table: str) -> Iterator[Store]:
    yield from dropped(divan.open(postgres_server.store_url(table, timeout="60", connect_timeout="60")))


@pytest.fixture
def raw(store: Store) -> Any:
    """psycopg's own connection, as any other tool would use it."""
    return store.backend.db


@pytest.fixture
def proxy(postgres_server: Server) -> Iterator[Proxy]:
    with Proxy(postgres_server.host, postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
def watched(postgres_server: Server, proxy: Proxy, store: Store, table: str) -> Iterator[Store]:
    """A Store behind the proxy, its connection made."""
    url = postgres_server.behind(proxy).store_url(table, timeout="60", connect_timeout="60")
    with divan.open(url) as watched:
        watched.create({}, id="first")
        yield watched
