"""Internal: the options of the embedded SQLite backend, and what its URL's parts say about the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from divan.backends.sqlite.sql import is_table_name
from divan.errors import InvalidURL
from divan.options import Option, boolean, one_of, seconds, text


def _table(value: object) -> str:
    name = text(value)
    if not is_table_name(name):
        raise ValueError("a table's name is made of letters, digits and _, up to 64, and no word of SQL's")
    return name


OPTIONS: Final[Mapping[str, Option]] = {
    "timeout": Option(
        seconds,
        10.0,
        "Seconds that a call may wait for other writers; then it is `OperationTimeout`.",
    ),
    "create": Option(boolean, True, "Whether a missing file or table is made; with `false`, it is `DatabaseNotFound`."),
    "mode": Option(
        one_of("rw", "ro"), "rw", "`rw` to read and write; `ro` never to write: a write is `StoreReadOnly`."
    ),
    "table": Option(_table, "documents", "The table's name; several tables of one file are several databases."),
}
"""Every option of the backend, by its name."""


def file_path(database: str, host: str, port: int, options: Mapping[str, Any]) -> str:
    """The path of the file that a URL names.

    Args:
        database: The URL's path.
        host: The URL's host, which SQLite has none of.
        port: The URL's port, or 0.
        options: Where the URL's user and password are, if it has any.

    Raises:
        InvalidURL: if the URL names no file, or anything that SQLite does not have.
    """
    if host not in ("", "file", "localhost") or port:
        raise InvalidURL(f"SQLite has no host, and {host!r} is one: write sqlite:///{database or host}")
    if options.get("user") is not None or options.get("password") is not None:
        raise InvalidURL("SQLite has no users: write sqlite:///path/to/my.db")
    path = str(database)
    if not path:
        raise InvalidURL("the file's path is missing: write sqlite:///my.db, or sqlite:////absolute/path/my.db")
    if path.startswith(":memory:"):
        raise InvalidURL("for documents that are gone with the process write memory://name")
    if "\0" in path:
        raise InvalidURL("the file's path holds a NUL character")
    return path
