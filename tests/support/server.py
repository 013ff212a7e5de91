"""What the tests know of a server that they run against: `Server`, its known limits, and `ServerMissing`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from tests.support.processes import Process
from tests.support.proxy import Proxy

# The first four are called as in `divan.testing.limits`, which needs pytest.

BIG_INTS: Final = "ints beyond 2**53"
"""The server computes with JavaScript's numbers, so that longer integers lose digits."""

WHOLE_FLOATS: Final = "1.0 becomes 1"
"""The server computes with JavaScript's numbers, so that a float without a fraction comes back as an int."""

NEGATIVE_ZERO: Final = "-0.0 becomes 0.0"
"""The server loses the sign of zero."""

SCRIPT_NAMES: Final = "names of JavaScript's own"
"""The server keeps documents as JavaScript objects: a field called ``__proto__`` gets lost or does harm."""

LOSES_ON_KILL: Final = "loses data on SIGKILL"
"""The server keeps acknowledged writes in memory for a while, or for good."""

TLS_BY_RELAY: Final = "tls by a relay"
"""The server program was built without TLS: a relay in the test process speaks it for the server."""

OPEN_READS: Final = "reads need no password"
"""The server lets anyone read; wrong credentials are refused all the same."""

USER: Final = "divan tests"
PASSWORD: Final = "p@ss:w/r ?d#[1]%&=+;!"
"""Holds the characters that a URL reserves. No semicolon behind a space: there CouchDB's ini file would cut it."""


class ServerMissing(Exception):
    """No such server is to be found here; the message ends with the command that would provide it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server to test against.

    Attributes:
        kind: ``"couchdb"``, ``"mongo"``, ``"postgres"``, ``"redis"``, ``"redis-auth"``, ….
        url: A Divan URL without a database, the credentials percent-encoded in it.
        product: What it is, such as ``"PouchDB Server"``.
        version: Its version, as it says itself.
        limits: The known limits of this server: `BIG_INTS`, `WHOLE_FLOATS`, ….
        processes: Its processes, the one that listens at `port` first; none if it was not started here.
        query: What the URL needs behind the database, ``?`` left out.
        ca_file: The certificate authority to trust, for TLS.
        extra: What only one kind has: ``socket`` (Redis), ``service`` (Sentinel), ``acl_user`` (Redis with ACL),
            ``database`` (PostgreSQL: the one in which each database of the tests is a table).
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
        if "database" in self.extra:  # a table is made, and gone, in a hundredth of the time
            options = {"table": database, **options}
            database = self.extra["database"]
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
