"""Fixtures of the tests across packages: one live server of each kind, found by `tests.servers`."""

from __future__ import annotations

import os

import pytest

from tests import servers
from tests.servers import Server


def pytest_report_header() -> list[str]:
    """Which servers this run would use, at the top of its output."""
    return ["servers:", *(f"  {line}" for line in servers.describe())]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest classes: one that came last would keep one worker busy while the others have ended."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/test_conformance_live.py"))


def _server(kind: str) -> Server:
    try:
        return servers.get(kind)
    except servers.ServerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{missing} (a missing server fails the run in CI)", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def couchdb_server() -> Server:
    """CouchDB, or what speaks its protocol, with an admin."""
    return _server("couchdb")


@pytest.fixture(scope="session")
def mongo_server() -> Server:
    """MongoDB, or what speaks its protocol."""
    return _server("mongo")


@pytest.fixture(scope="session")
def mongo_auth_server() -> Server:
    """MongoDB that wants a user and a password."""
    return _server("mongo-auth")


@pytest.fixture(scope="session")
def redis_server() -> Server:
    """Redis without a password."""
    return _server("redis")


@pytest.fixture(scope="session")
def redis_auth_server() -> Server:
    """Redis with a password and an ACL user."""
    return _server("redis-auth")


@pytest.fixture(scope="session")
def redis_tls_server() -> Server:
    """Redis with TLS by a certificate of its own authority."""
    return _server("redis-tls")


@pytest.fixture(scope="session")
def redis_cluster() -> Server:
    """A Redis Cluster of six processes."""
    return _server("redis-cluster")


@pytest.fixture(scope="session")
def redis_sentinel() -> Server:
    """A Redis primary and replica behind a sentinel."""
    return _server("redis-sentinel")
