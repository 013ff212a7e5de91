"""The pytest plugin of all tests: one live server of each kind as a fixture, the order, and the settings of hypothesis."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support import servers
from tests.support.servers import Server

# How fast a machine is decides over no test with generated values, and in CI nothing is left to chance.
_ALIKE = os.environ.get("CI") == "true"
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=_ALIKE)
settings.register_profile("brief", settings.get_profile("unhurried"), max_examples=20)
settings.register_profile("fuzz", settings.get_profile("unhurried"), max_examples=2000, derandomize=False)
settings.load_profile("unhurried")


def pytest_report_header() -> list[str]:
    """Which servers this run would use, at the top of its output."""
    return ["servers:", *(f"  {line}" for line in servers.describe())]


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: if it came last, it would keep one worker busy while the others have ended.

    The suite's checks that ask a live server hundreds of generated questions are marked here, as they are inherited.
    """
    for item in items:
        if item.name.startswith("test_generated_") and item.get_closest_marker("live"):
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)


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
def mongo_set() -> Server:
    """MongoDB as a replica set of one member, which tells of changes."""
    return _server("mongo-set")


@pytest.fixture(scope="session")
def postgres_server() -> Server:
    """PostgreSQL that believes every user."""
    return _server("postgres")


@pytest.fixture(scope="session")
def postgres_auth_server() -> Server:
    """PostgreSQL that wants a user and a password."""
    return _server("postgres-auth")


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
