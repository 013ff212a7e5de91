"""From a URL's parts and options to an open CouchDB database."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from divan.errors import DatabaseNotFound, InvalidURL, StoreError
from divan.urls import boolean, seconds

from divan_couchdb.client import Client, Dropped

_NAME: Final = re.compile(r"[a-z][a-z0-9_$()+/-]*")
_MAX_NAME: Final = 238
"""CouchDB's own limit, so that the name of a shard's file fits into 255 bytes."""


KNOWN_OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "ca_file": str,
    "connect_timeout": seconds,
    "create": boolean,
    "partitioned": boolean,
    "timeout": seconds,
    "verify": boolean,
}


def make_client(database: str, host: str, port: int, options: Mapping[str, Any]) -> Client:
    """A client for a database; nothing is sent yet.

    Raises:
        InvalidURL: if the database, the host, the user or an option can't be one.
    """
    if not _NAME.fullmatch(database) or len(database) > _MAX_NAME:
        raise InvalidURL(
            f"{database!r} can't name a CouchDB database: a name has at most {_MAX_NAME} characters, of a-z, 0-9 and "
            "_$()+-/, and begins with a letter; the URL has the form couchdb://[user[:password]@]host[:port]/name"
        )
    if not host or re.search(r"[\s/?#@,\\%]", host):
        raise InvalidURL(f"{host!r} is no host name; CouchDB takes one host, or that of a load balancer")
    user, password = options.get("user"), options.get("password")
    credentials = None
    if user or password:
        if ":" in (user or ""):
            raise InvalidURL(
                "a user name with ':' in it can't be sent to CouchDB, which takes what follows for the password"
            )
        credentials = (user or "", password or "")
    secure = options.get("scheme") == "couchdbs"
    where = f"[{host}]" if ":" in host else host
    return Client(
        f"{'https' if secure else 'http'}://{where}:{port}",
        database,
        credentials=credentials,
        timeout=_checked("timeout", options.get("timeout", 30.0)),
        connect_timeout=_checked("connect_timeout", options.get("connect_timeout", 5.0)),
        tls=_tls(options) if secure else None,
    )


def _checked(name: str, value: Any) -> float:
    """A number of seconds that was given by keyword, and so was not parsed."""
    try:
        return seconds(value)
    except ValueError as error:
        raise InvalidURL(f"couchdb: the option {name}={value!r} can't be used: {error}") from None


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext:
    ca_file = options.get("ca_file")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # an SSLError, for a file without a certificate, is an OSError
        raise InvalidURL(f"couchdb: ca_file={ca_file!r} can't be read as certificates: {error}") from error
    if not options.get("verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Facts(NamedTuple):
    """What a database says of itself.

    Attributes:
        partitioned: Whether it is partitioned.
        last_id: An id after every other one, where the server needs one to list them all; else `None`.
    """

    partitioned: bool
    last_id: str | None


def prepare(client: Client, options: Mapping[str, Any]) -> Facts:
    """Make the database if it is missing and may be made; one request if it is there.

    Raises:
        DatabaseNotFound: if it is missing, and the options say not to make it.
        StoreError: if what answers is not CouchDB.
    """
    try:
        return describe(client)
    except DatabaseNotFound:
        if not options.get("create", True):
            raise
    parameters = {"partitioned": "true"} if options.get("partitioned", False) else {}
    try:
        client.send("PUT", client.endpoint(**parameters))
    except (StoreError, Dropped):
        # Somebody else may have made it meanwhile, or we have, and the answer was lost.
        try:
            return describe(client)
        except DatabaseNotFound:
            pass
        raise
    return describe(client)


def describe(client: Client) -> Facts:
    """Ask for the database."""
    info = client.read("GET", client.endpoint())
    if not isinstance(info, dict) or "db_name" not in info:
        raise StoreError("what answers is not CouchDB: it describes no database; check the URL's host and port")
    partitioned = bool((info.get("props") or {}).get("partitioned", False))
    # PouchDB orders ids as JavaScript does, and leaves out those after U+00FF unless it is told how far to go.
    return Facts(partitioned, "\uffff\uffff\uffff" if "adapter" in info else None)
