"""Internal: the options of a CouchDB URL, declared once, and the settings that the whole URL makes."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from divan.errors import InvalidURL
from divan.options import Option, boolean, file, positive, seconds

OPTIONS: Final[Mapping[str, Option]] = {
    "create": Option(boolean, True, "Whether a missing database is made; with `false`, it is `DatabaseNotFound`."),
    "partitioned": Option(
        boolean,
        False,
        "Whether a database that has to be made is a partitioned one, in which every id has the form partition:key.",
    ),
    "connect_timeout": Option(seconds, 5.0, "Seconds that connecting may take, TLS included."),
    "timeout": Option(
        seconds,
        30.0,
        "Seconds that a call may take, all its attempts included; each page of a listing and each batch is a call.",
    ),
    "max_connections": Option(
        positive, 100, "Connections that are open at once, at most; a call waits for one, up to `timeout`."
    ),
    "w": Option(
        positive,
        None,
        "Copies of a document that a cluster writes before it says done; unless given, its own quorum: most of them.",
    ),
    "accept_202": Option(
        boolean,
        False,
        "Whether a write counts as done that fewer copies took (202), as while nodes of a cluster are down.",
    ),
    "ca_file": Option(
        file, None, "File with the authorities that couchdbs:// trusts; unless given, it trusts the system's."
    ),
    "verify": Option(
        boolean,
        True,
        "Whether couchdbs:// checks the server's certificate; with false it takes any, and so anybody for the server.",
    ),
}

_NAME: Final = re.compile(r"[a-z][a-z0-9_$()+/-]*")
_MAX_NAME: Final = 238
"""CouchDB's own limit, so that the name of a shard's file fits into 255 bytes."""

_NO_HOST: Final = re.compile(r"[\s/?#@,\\%]")
"""What stands in no host name."""

_TLS_SCHEME: Final = "couchdbs"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a connection to one database needs, checked.

    Attributes:
        server: The server's URL, without credentials.
        host: Its host name or address.
        port: Its port number.
        database: The database's name.
        credentials: User and password, or `None`; never shown.
        timeout: Seconds within which a call ends.
        connect_timeout: Seconds to wait for a connection.
        max_connections: How many connections are open at most.
        w: How many copies a write asks for; `None` for the cluster's own quorum.
        accept_202: Whether a write counts as done that fewer copies took.
        tls: How to check the server, for ``https``; `None` for ``http``.
    """

    server: str
    host: str
    port: int
    database: str
    credentials: tuple[str, str] | None = field(repr=False)
    timeout: float
    connect_timeout: float
    max_connections: int
    w: int | None
    accept_202: bool
    tls: ssl.SSLContext | None


def read_settings(database: str, host: str, port: int, scheme: str, options: Mapping[str, Any]) -> Settings:
    """Check a URL's parts and make settings of them; nothing is sent.

    Args:
        database: The database's name.
        host: A host name or address.
        port: A port number.
        scheme: The URL's scheme; ``"couchdbs"`` asks for TLS.
        options: The user, the password and every option of `OPTIONS`, as they were read.

    Raises:
        InvalidURL: if the database, the host or the user can't be one, or ``ca_file`` holds no certificates.
    """
    if not _NAME.fullmatch(database) or len(database) > _MAX_NAME:
        raise InvalidURL(
            f"{database!r} can't name a CouchDB database: a name has at most {_MAX_NAME} characters, of a-z, 0-9 and "
            "_$()+-/, and begins with a letter; the URL has the form couchdb://[user[:password]@]host[:port]/name"
        )
    if not host or _NO_HOST.search(host):
        raise InvalidURL(f"{host!r} is no host name; CouchDB takes one host, or that of a load balancer")
    secure = scheme == _TLS_SCHEME
    address = f"[{host}]" if ":" in host else host
    return Settings(
        server=f"{'https' if secure else 'http'}://{address}:{port}",
        host=host,
        port=port,
        database=database,
        credentials=_credentials(options),
        timeout=options["timeout"],
        connect_timeout=options["connect_timeout"],
        max_connections=options["max_connections"],
        w=options["w"],
        accept_202=options["accept_202"],
        tls=_tls(options["ca_file"], options["verify"]) if secure else None,
    )


def _credentials(options: Mapping[str, Any]) -> tuple[str, str] | None:
    user = options.get("user") or ""
    if ":" in user:
        raise InvalidURL(
            "a user name with ':' in it can't be sent to CouchDB, which takes what follows for the password"
        )
    if not user and not options.get("password"):
        return None
    return user, options.get("password") or ""


def _tls(ca_file: str | None, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # an SSLError, for a file without a certificate, is an OSError
        raise InvalidURL(f"couchdb: ca_file={ca_file!r} can't be read as certificates: {error}") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
