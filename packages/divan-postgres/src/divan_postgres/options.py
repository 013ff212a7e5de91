"""Internal: the options of a PostgreSQL URL, declared once, and what a URL asks for, with every part checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from divan.errors import InvalidURL
from divan.options import CREDENTIALS, Hidden, Option, Options, boolean, positive, read_options, seconds, text, whole
from psycopg import pq
from psycopg.conninfo import make_conninfo

_MAX_NAME: Final = 63  # bytes of a name, of which PostgreSQL would cut off what is longer

MAINTENANCE: Final = "postgres"
"""The database that every server has, from which others are made."""


def _table(value: object) -> str:
    name = text(value)
    parts = name.split(".")
    if len(parts) > 2 or not all(0 < len(part.encode()) <= _MAX_NAME and "\0" not in part for part in parts):
        raise ValueError("a table is named table or schema.table, each of at most 63 bytes")
    return name


OPTIONS: Final[Mapping[str, Option]] = {
    "connect_timeout": Option(
        seconds, 5.0, "Seconds that connecting may take, TLS and all of the URL's hosts included."
    ),
    "timeout": Option(
        seconds, 10.0, "Seconds that a call may take, here and on the server; each page of a search is a call."
    ),
    "max_connections": Option(
        positive, 20, "Connections that are open to the server at once, at most; a call waits for one, up to `timeout`."
    ),
    "retries": Option(whole, 1, "How many times a read is sent again after a lost connection; a write never is."),
    "create": Option(
        boolean, True, "Whether a missing database or table is made; with `false`, it is `DatabaseNotFound`."
    ),
    "table": Option(_table, "documents", "The table's name, its schema before it if need be, as in `app.documents`."),
    "concurrently": Option(
        boolean, False, "Whether `ensure_index` lets others write meanwhile, which takes PostgreSQL twice as long."
    ),
    "prepare": Option(
        boolean, True, "Whether statements are prepared on the server; `false` for a pooler that can't keep them."
    ),
}
"""Every option of the driver's own, in the order of the README's table; those of libpq's stand beside them."""

# What is given in another way, and what would change the form of what is answered.
_NOT_OPTIONS: Final = frozenset(
    {"client_encoding", "dbname", "password", "port", "replication", "requiressl", "scram_client_key",
     "scram_server_key", "tty", "user"}
)  # fmt: skip
_LIBPQ: Final = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults()) - _NOT_OPTIONS - {*OPTIONS}
_HOST: Final = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>/[^:]*|[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


def read(backend: str, given: Mapping[str, Any]) -> Options:
    """Check the options that the driver was given: those of `OPTIONS`, and libpq's, which it passes on.

    Raises:
        InvalidURL: naming an unknown option, or one that can't be used.
    """
    passed = {name: Option(_passed, None, "") for name in given if name in _LIBPQ}
    if unknown := [name for name in given if name not in {*OPTIONS, *CREDENTIALS, *passed}]:
        read_options(backend, {name: given[name] for name in given if name in unknown or not passed}, OPTIONS)
    return read_options(backend, given, {**OPTIONS, **passed})


def _passed(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    found = text(value)
    if "\0" in found:
        raise ValueError("it holds a NUL character")
    return found


class Settings:
    """What a URL asks for, with every part checked: what a connection is made from.

    Args:
        database: The database; ``""`` for that of the service, or of the user's name.
        host: Host name, or several with their ports, joined by commas; a folder for the Unix socket in it.
        port: The port of hosts that have none of their own.
        options: The user, the password and the options, as `read` returns them.

    Attributes:
        database: The database.
        options: As they were given.
        shown: Where the server is, for messages.

    Raises:
        InvalidURL: naming what can't be used.
    """

    def __init__(self, database: str, host: str, port: int, options: Options) -> None:
        if "/" in database or "\0" in database or len(database.encode()) > _MAX_NAME:
            raise InvalidURL(
                "a PostgreSQL URL has the form postgresql://host/database; a database's name has at most 63 bytes, and "
                "the table is named by ?table=…"
            )
        self.database = database
        self.options = options
        self._hosts = [("", 0)]  # the service's, or those of libpq's own option
        self.shown = options.get("host") or options.get("hostaddr") or f"service {options.get('service')}"
        is_elsewhere = any(options.get(name) for name in ("host", "hostaddr", "service"))
        if not is_elsewhere or host != "localhost":
            self._hosts = _split_hosts(host, port)
            self.shown = ",".join(name if name.startswith("/") else f"{name}:{port}" for name, port in self._hosts)
        if not database and not options.get("service"):
            raise InvalidURL("the database is missing: write postgresql://host/database")
        self.attempts(None)  # which says what libpq can't understand

    def attempts(self, database: str | None) -> list[Hidden]:
        """What libpq connects by, one a host: else the first that never answers would keep the others from their turn.

        Args:
            database: A database in place of the URL's.

        Raises:
            InvalidURL: if libpq can't understand an option.
        """
        sessions = [self.options.get("target_session_attrs")]
        if sessions == ["prefer-standby"] and len(self._hosts) > 1:
            sessions = ["standby", "any"]
        hosts = self._hosts
        if self.options.get("load_balance_hosts") == "random" and len(hosts) > 1:
            import random

            hosts = random.sample(hosts, len(hosts))
        try:
            return [
                Hidden(self._conninfo(host, port, database, session)) for session in sessions for host, port in hosts
            ]
        except Exception as error:
            problem = str(error).strip()
        raise InvalidURL(f"postgresql: an option can't be used: {problem}")

    def _conninfo(self, host: str, port: int, database: str | None, session: str | None) -> bytes:
        """What libpq connects by, in its own form."""
        options = self.options
        given = {name: options[name] for name in options if name in _LIBPQ and options[name] is not None}
        given |= {"dbname": database or self.database or None, "client_encoding": "UTF8"}
        given |= {"host": host or given.get("host"), "port": port or None, "target_session_attrs": session}
        given |= {"user": options.get("user") or None, "password": options.get("password")}
        given.setdefault("application_name", "divan")
        if len(self._hosts) > 1:
            given.pop("load_balance_hosts", None)
        return make_conninfo(**{name: value for name, value in given.items() if value is not None}).encode()


def _split_hosts(hosts: str, port: int) -> list[tuple[str, int]]:
    """Host and port of each; an IPv6 address stands in brackets, unless it is alone."""
    if "," not in hosts and not hosts.startswith(("[", "/")) and hosts.count(":") > 1:
        return [(hosts, port)]
    found = []
    for part in hosts.split(","):
        match = _HOST.fullmatch(part.strip())
        number = int(match["port"] or port) if match else 0
        if match is None or not 0 < number < 65536:
            raise InvalidURL(f"postgresql: {part!r} is no host, or host:port, of a list joined by commas")
        found.append((match["six"] or match["name"], number))
    return found
