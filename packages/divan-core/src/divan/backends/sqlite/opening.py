"""Internal: opens an SQLite file: refuses what is none, leaves other programs' tables alone, makes what is missing."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from divan.backends.sqlite.abilities import abilities
from divan.backends.sqlite.errors import primary_code
from divan.backends.sqlite.sql import nul_index_sql, table_sql
from divan.errors import ConnectionFailed, DatabaseNotFound, StoreError

_COLUMNS: Final = {"id", "rev", "body"}
_OLDEST: Final = (3, 35, 0)  # the first with RETURNING

Connect = Callable[[str], sqlite3.Connection]
"""Opens a connection by an SQLite URI."""


def check_file(path: Path, *, create: bool) -> None:
    """Refuse a path at which there can be no database.

    Raises:
        DatabaseNotFound: if the file is missing and may not be made.
        ConnectionFailed: if the path names anything but a file, or a file in a folder that is missing.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        needed = ".".join(map(str, _OLDEST))
        raise ConnectionFailed(f"Python runs SQLite {sqlite3.sqlite_version} here; Divan needs {needed} or newer")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        raise ConnectionFailed(f"{path} can't be opened: {error.strerror}") from error
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise ConnectionFailed(f"{path} is a folder; name a file in it, as in sqlite:///{path}/my.db")
    if mode:
        raise ConnectionFailed(f"{path} is no regular file; name another one")
    if not path.parent.is_dir():
        raise ConnectionFailed(f"{path} can't be made: the folder {path.parent} does not exist; make it first")
    if not create:
        raise DatabaseNotFound(f"the file {path} does not exist; leave out mode=ro and create=false to make it")


def open_first(
    connect: Connect, path: Path, table: str, *, timeout: float, create: bool, read_only: bool
) -> tuple[str, sqlite3.Connection]:
    """Open the first connection to a file, with everything there that Divan needs.

    Args:
        connect: Opens a connection.
        path: The file's absolute path.
        table: The table of documents.
        timeout: How long to wait for another program, in seconds.
        create: Whether to make the file and the table if they are missing.
        read_only: Whether never to write.

    Returns:
        The URI that opens further connections, and this one.

    Raises:
        DatabaseNotFound: if the table is missing and may not be made.
        StoreError: if the table is another program's.
        sqlite3.Error: if SQLite refuses the file.
    """
    mode = "ro" if read_only else "rwc" if create else "rw"
    uri = f"{path.as_uri()}?mode={mode}"
    try:
        return uri, _open(connect, uri, path, table, timeout, create and not read_only)
    except sqlite3.OperationalError as error:
        # In a folder that can't be written, a file with a log that is closed can be read as it lies there.
        if error.sqlite_errorcode not in (sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_CANTOPEN):
            raise
        if Path(f"{path}-wal").exists() or not path.exists():
            raise
        uri = f"{path.as_uri()}?mode=ro&immutable=1"
        return uri, _open(connect, uri, path, table, timeout, create=False)


def _open(connect: Connect, uri: str, path: Path, table: str, timeout: float, create: bool) -> sqlite3.Connection:
    connection = connect(uri)
    try:
        _prepare(connection, path, table, timeout, create)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, table: str, timeout: float, create: bool) -> None:
    """Make sure that the table is there, and that reading and writing don't wait for each other."""
    found = _has_documents(connection, path, table)
    if not found and not create:
        raise DatabaseNotFound(f"{path} has no table {table!r}; leave out mode=ro and create=false to make it")
    missing = [] if found else [table_sql(table)]
    if not abilities().nul and not _has(connection, "index", f"{table}_nul"):
        missing.append(nul_index_sql(table))
    try:
        _use_log(connection, timeout)
        if missing:
            connection.execute("BEGIN IMMEDIATE")
            for statement in missing:
                connection.execute(statement)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        # A file that can't be written is read as it is.
        if not found or primary_code(error) != sqlite3.SQLITE_READONLY:
            raise


def _has_documents(connection: sqlite3.Connection, path: Path, table: str) -> bool:
    if connection.execute("PRAGMA encoding").fetchone()[0] != "UTF-8":
        raise StoreError(f"{path} keeps its text in UTF-16, which does not sort as Divan does; use another file")
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    if not columns:
        return False
    if columns != _COLUMNS or not _has(connection, "table", table):
        raise StoreError(
            f"{path} has a {table!r} of another program, with the columns {', '.join(sorted(columns))}; "
            "give the URL ?table=NAME to keep documents beside it, or name another file"
        )
    return True


def _has(connection: sqlite3.Connection, kind: str, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type=? AND name=? COLLATE NOCASE"
    return connection.execute(query, (kind, name)).fetchone() is not None


def _use_log(connection: sqlite3.Connection, timeout: float) -> None:
    """Switch the file to a write-ahead log, unless it has one; SQLite does not wait for others here, so we do."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
