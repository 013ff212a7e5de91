"""What stands in a URL: hosts, credentials, the collection, Divan's options, and pymongo's own, as a `MongoClient`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from divan.errors import ConnectionFailed, InvalidURL
from divan.options import boolean, is_secret, seconds, shown_option
from pymongo import MongoClient
from pymongo.common import VALIDATORS, validate
from pymongo.errors import ConfigurationError, InvalidURI

DEFAULT_COLLECTION: Final = "divan"
SRV_SCHEME: Final = "mongodb+srv"

_TIMEOUT: Final = 30.0
_CONNECT_TIMEOUT: Final = 5.0
_FROM_THE_URL: Final = ("scheme", "user", "password")


class Settings(NamedTuple):
    """What was asked for, checked.

    Attributes:
        database: MongoDB's database.
        collection: The collection in it.
        native: Whether field types use BSON's own types.
        create: Whether a collection that does not exist is made.
        client: What `MongoClient` takes by keyword; credentials excluded.
    """

    database: str
    collection: str
    native: bool
    create: bool
    client: dict[str, Any]


def read_settings(path: str, options: Mapping[str, Any]) -> Settings:
    """Check a URL's path and options.

    Args:
        path: ``"database"`` or ``"database.collection"``.
        options: Option → its text, or any value given by keyword.

    Raises:
        InvalidURL: naming what is wrong, and for an unknown option the known ones.
    """
    own: dict[str, Any] = {}
    client: dict[str, Any] = {}
    for name, value in options.items():
        if name in _OWN:
            own[name] = _parse(name, value, _OWN[name])
        elif name not in _FROM_THE_URL:
            client[name] = _parse(name, value, _client_option(name, options))
    database, _, in_path = path.partition(".")
    collection = own.get("collection", in_path or DEFAULT_COLLECTION)
    if in_path and in_path != collection:
        raise InvalidURL(f"mongo: the URL names two collections, {in_path!r} and {collection!r}; leave one of them out")
    _check_names(database, collection)
    timeout, connect_timeout = own.get("timeout", _TIMEOUT), own.get("connect_timeout", _CONNECT_TIMEOUT)
    given = {name.lower() for name in client}
    # Not timeoutMS: that would bound a whole scan, and costs every operation some CPU. It can be given, though.
    for name, wait in (
        ("socketTimeoutMS", timeout),
        ("connectTimeoutMS", min(timeout, connect_timeout)),
        ("serverSelectionTimeoutMS", connect_timeout),
    ):
        if name.lower() not in given:
            client[name] = max(1, round(wait * 1000))
    return Settings(database, collection, own.get("types", False), own.get("create", True), client)


def make_client(
    settings: Settings, host: str, port: int, options: Mapping[str, Any], auth_source: str | None
) -> MongoClient[dict[str, Any]]:
    """A client for these hosts; nothing is sent yet, but for the DNS query that ``mongodb+srv`` needs.

    Args:
        settings: From `read_settings`.
        host: A host, several with their ports and commas between them, or a Unix socket's path.
        port: The port of hosts that name none.
        options: Where the URL's scheme, user and password are.
        auth_source: The database that knows the user; `None` for pymongo's choice.

    Raises:
        InvalidURL: if pymongo can't understand the hosts, or the options contradict each other.
        ConnectionFailed: if the hosts of ``mongodb+srv`` can't be looked up.
    """
    srv = options.get("scheme") == SRV_SCHEME
    hosts = ",".join(map(_quote_host, host.split(",")))
    # Credentials go beside the URI, so that no error about the URI can hold them.
    arguments = dict(settings.client)
    if options.get("user") is not None:
        arguments["username"] = options["user"]
        arguments["password"] = options.get("password")
        if auth_source is not None:
            arguments["authSource"] = auth_source
    try:
        uri = f"{SRV_SCHEME if srv else 'mongodb'}://{hosts}/"
        client: MongoClient[dict[str, Any]] = MongoClient(uri, port, **arguments)
    except (ConfigurationError, InvalidURI, ValueError, TypeError, OSError) as error:
        cause = error.__cause__ or error.__context__
        if srv and type(cause).__module__.partition(".")[0] == "dns":
            raise ConnectionFailed(f"mongo: the hosts of {host} can't be looked up: {error}") from error
        raise InvalidURL(f"mongo: {host}: {error}") from error
    if not client.options.write_concern.acknowledged:
        client.close()
        raise InvalidURL("mongo: w=0 would leave every write unanswered; give w=1 or more, or w=majority")
    return client


def auth_sources(settings: Settings, options: Mapping[str, Any]) -> list[str | None]:
    """The databases to look for the user in, in turn.

    A MongoDB URL means the database that it names; most users are in ``admin``, though.

    Args:
        settings: From `read_settings`.
        options: Where the URL's scheme and user are.
    """
    given = {name.lower(): value for name, value in settings.client.items()}
    mechanism = str(given.get("authmechanism", "SCRAM"))
    if (
        options.get("user") is None
        or options.get("scheme") == SRV_SCHEME
        or "authsource" in given
        or not mechanism.startswith("SCRAM")
    ):
        return [None]
    return list(dict.fromkeys([settings.database, "admin"]))


def _quote_host(host: str) -> str:
    if host.startswith("/"):
        return quote(host, safe="")
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _check_names(database: str, collection: str) -> None:
    if not database:
        raise InvalidURL("mongo: the URL names no database, as mongo://localhost/guests does")
    if any(character in database for character in ' "$/\\\0') or len(database.encode()) > 63:
        raise InvalidURL(f'mongo: {database!r} is no name for a database: at most 63 bytes, without space " $ / and \\')
    if (
        not collection
        or any(character in collection for character in "$\0")
        or collection.startswith((".", "system."))
        or collection.endswith(".")
        or ".." in collection
    ):
        raise InvalidURL(f"mongo: {collection!r} is no name for a collection: no $, no empty part, not system.…")


def _parse(name: str, value: Any, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(value)
    except (ConfigurationError, ValueError, TypeError, OSError) as error:
        if is_secret(name) or name.lower() == "authmechanismproperties":
            raise InvalidURL(f"mongo: the option {name}=*** can't be used") from None
        raise InvalidURL(f"mongo: the option {name}={value!r} can't be used: {error}") from error


def _client_option(name: str, given: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What checks an option of pymongo's own; pymongo then reads it once more."""
    if name.lower() not in _CLIENT_OPTIONS:
        close = difflib.get_close_matches(name.lower(), [*_OWN, *_CLIENT_OPTIONS], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InvalidURL(
            f"mongo has no option {shown_option(name, given)}{hint}; its options are {', '.join(_OWN)}, and pymongo's: "
            f"{', '.join(sorted(_CLIENT_OPTIONS))}"
        )

    def check(value: Any) -> Any:
        validate(name, value)
        return value

    return check


def _switch(value: Any) -> bool:
    return value if isinstance(value, bool) else boolean(str(value))


def _types(value: Any) -> bool:
    if value not in ("native", "portable"):
        raise ValueError("give native or portable")
    return bool(value == "native")


_OWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "collection": str,
    "connect_timeout": seconds,
    "create": _switch,
    "timeout": seconds,
    "types": _types,
}
# Documents are decoded as Divan needs them, and credentials have their place in the URL.
_CLIENT_OPTIONS: Final = frozenset(VALIDATORS) - {
    "datetime_conversion", "document_class", "password", "type_registry", "tz_aware", "tzinfo",
    "unicode_decode_error_handler", "username", "uuidrepresentation",
}  # fmt: skip
