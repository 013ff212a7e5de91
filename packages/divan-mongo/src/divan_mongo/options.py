"""Internal: the options of a URL, Divan's own and pymongo's, as they are declared, read, and given to `MongoClient`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from divan.errors import InvalidURL
from divan.options import (
    CREDENTIALS,
    Option,
    Options,
    boolean,
    is_secret,
    one_of,
    positive,
    seconds,
    shown_option,
    text,
)
from divan.options import read_options as read_declared
from pymongo.common import VALIDATORS, validate
from pymongo.errors import ConfigurationError

OPTIONS: Final[Mapping[str, Option]] = {
    "collection": Option(
        text, "divan", "The collection; it can also be written behind the database: `/database.collection`."
    ),
    "create": Option(boolean, True, "Whether a missing collection is made; with `false`, it is `DatabaseNotFound`."),
    "timeout": Option(
        seconds, 30.0, "Seconds that a call may take, all its attempts included; each page of a listing is a call."
    ),
    "connect_timeout": Option(seconds, 5.0, "Seconds that connecting may take, TLS and finding a server included."),
    "max_connections": Option(
        positive, 100, "Connections that are open to a server at once, at most; a call waits for one, up to `timeout`."
    ),
    "types": Option(
        one_of("native", "portable"),
        "portable",
        "`portable` stores field types as every other store does, `native` in BSON's own types.",
    ),
}
"""Divan's own options; beside them, a URL takes pymongo's."""

# Documents are decoded as Divan needs them, and credentials have their place in the URL.
_CLIENT_OPTIONS: Final = frozenset(VALIDATORS) - {
    "datetime_conversion", "document_class", "password", "type_registry", "tz_aware", "tzinfo",
    "unicode_decode_error_handler", "username", "uuidrepresentation",
}  # fmt: skip


def read_options(path: str, given: Mapping[str, Any]) -> Options:
    """Check and read what a URL says, or what was given by keyword.

    Args:
        path: ``"database"`` or ``"database.collection"``.
        given: Option → its text, or any value given by keyword; ``user`` and ``password`` among them.

    Returns:
        Every option of `OPTIONS`, as it was read or its default, the collection that the path names in its place; and
        of ``user``, ``password`` and pymongo's options, those that were given, as they were.

    Raises:
        InvalidURL: naming what is wrong, and for an unknown option the known ones.
    """
    own, client = Options(), Options()
    for name in given:
        if name in OPTIONS or name in CREDENTIALS:
            own[name] = given[name]
        else:
            _check_client_option(name, given[name], given)
            client[name] = given[name]
    options = read_declared("mongo", own, OPTIONS)
    options.update(client)
    _settle_connections(options, own)
    database, in_path = split_path(path)
    if in_path:
        collection = options["collection"] if own.get("collection") is not None else in_path
        if collection != in_path:
            raise InvalidURL(
                f"mongo: the URL names two collections, {in_path!r} and {collection!r}; leave one of them out"
            )
        options["collection"] = in_path
    _check_names(database, options["collection"])
    return options


def split_path(path: str) -> tuple[str, str]:
    """The database and the collection that a URL's path names; ``""`` for what it does not name.

    Args:
        path: ``"database"`` or ``"database.collection"``.
    """
    database, _, collection = path.partition(".")
    return database, collection


def client_arguments(options: Options) -> Options:
    """What `MongoClient` takes by keyword: pymongo's own options, the timeouts, user and password.

    Args:
        options: From `read_options`.
    """
    arguments = Options({name: options[name] for name in options if name not in OPTIONS and name not in CREDENTIALS})
    given = {name.lower() for name in arguments}
    for name, wait in (
        ("socketTimeoutMS", options["timeout"]),
        ("waitQueueTimeoutMS", options["timeout"]),
        ("connectTimeoutMS", min(options["timeout"], options["connect_timeout"])),
        ("serverSelectionTimeoutMS", options["connect_timeout"]),
    ):
        if name.lower() not in given:
            arguments[name] = max(1, round(wait * 1000))
    if "maxpoolsize" not in given:
        arguments["maxPoolSize"] = options["max_connections"]
    if "retryreads" not in given:
        arguments["retryReads"] = False  # it would give a second try as long as the first; see `divan_mongo.calls`
    # Credentials go beside the URI, so that no error about the URI can hold them.
    if options.get("user") is not None:
        arguments["username"] = options["user"]
        arguments["password"] = options.get("password")
    return arguments


def call_seconds(options: Options) -> float | None:
    """How long a call may take, in seconds: pymongo's ``timeoutMS`` or ``socketTimeoutMS`` if given, else ``timeout``.

    Args:
        options: From `read_options`.

    Returns:
        The time; `None` for any, which pymongo writes as 0.
    """
    given = {name.lower(): name for name in options}
    for name in ("timeoutms", "sockettimeoutms"):
        if name in given:
            found: float | None = validate(given[name], options[given[name]])[1]
            return found or None
    wait: float = options["timeout"]
    return wait


def _settle_connections(options: Options, own: Mapping[str, Any]) -> None:
    """Let ``max_connections`` say what pymongo's ``maxPoolSize`` does; two that differ are refused."""
    for name in options:
        if name.lower() == "maxpoolsize" and options[name] is not None:
            size = validate(name, options[name])[1]
            if own.get("max_connections") is not None and options["max_connections"] != size:
                raise InvalidURL(
                    f"mongo: max_connections={options['max_connections']} and {name}={size} say the same and differ; "
                    "leave one of them out"
                )
            options["max_connections"] = size


def _check_client_option(name: str, value: Any, given: Mapping[str, Any]) -> None:
    """Refuse an option that pymongo does not have or can't read; it reads the others once more."""
    if name.lower() not in _CLIENT_OPTIONS:
        close = difflib.get_close_matches(name.lower(), [*OPTIONS, *_CLIENT_OPTIONS], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InvalidURL(
            f"mongo has no option {shown_option(name, given)}{hint}; its options are {', '.join(sorted(OPTIONS))}, and "
            f"pymongo's: {', '.join(sorted(_CLIENT_OPTIONS))}"
        )
    try:
        validate(name, value)
    except (ConfigurationError, ValueError, TypeError, OSError) as error:
        if is_secret(name) or name.lower() == "authmechanismproperties":
            raise InvalidURL(f"mongo: the option {name}=*** can't be used") from None
        raise InvalidURL(f"mongo: the option {name}={value!r} can't be used: {error}") from error


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
