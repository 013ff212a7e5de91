"""Internal: opens an SQLite file: refuses what is none, leaves other programs' tables alone, makes what is missing."""

from __future__ import annotations

import math
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
_LONGEST: Final = 2**31 - 1  # milliseconds

Connect = Callable[[str], sqlite3.Cursor]
"""Opens a connection by an SQLite URI, and gives its cursor."""


def wait_until(cursor: sqlite3.Cursor, deadline: float) -> None:
    """Let SQLite wait for other programs until a time, in `time.monotonic`'s seconds, from the next statement on."""
    left = max(0, math.ceil((deadline - time.monotonic()) * 1000))
    cursor.execute(f"PRAGMA busy_timeout={min(left, _LONGEST)}")


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
    if not create:
        raise DatabaseNotFound(f"the file {path} does not exist; leave out mode=ro and create=false to make it")
    if not path.parent.is_dir():
        raise ConnectionFailed(f"{path} can't be made: the folder {path.parent} does not exist; make it first")


def open_first(
    connect: Connect, path: Path, table: str, *, timeout: float, create: bool, read_only: bool
) -> tuple[str, sqlite3.Cursor]:
    """Open the first connection to a file, with everything there that Divan needs.

    Args:
        connect: Opens a connection.
        path: The file's absolute path.
        table: The table of documents.
        timeout: How long to wait for other programs, in seconds, all in all.
        create: Whether to make the file and the table if they are missing.
        read_only: Whether never to write.

    Returns:
        The URI that opens further connections, which makes no file, and the cursor of this one.

    Raises:
        DatabaseNotFound: if the table is missing and may not be made.
        StoreError: if the table is another program's.
        sqlite3.Error: if SQLite refuses the file.
    """
    place = path.as_uri()
    first, further = ("ro", "ro") if read_only else ("rwc" if create else "rw", "rw")
    deadline = time.monotonic() + timeout
    try:
        cursor = connect(f"{place}?mode={first}")
        _prepare(cursor, path, table, deadline, create and not read_only)
        uri = f"{place}?mode={further}"
    except sqlite3.OperationalError as error:
        # In a folder that can't be written, a file with a log that is closed can be read as it lies there.
        if error.sqlite_errorcode not in (sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_CANTOPEN):
            raise
        if Path(f"{path}-wal").exists() or not path.exists():
            raise
        uri = f"{place}?mode=ro&immutable=1"
        cursor = connect(uri)
        _prepare(cursor, path, table, deadline, create=False)
    wait_until(cursor, time.monotonic() + timeout)
    return uri, cursor


def _prepare(cursor: sqlite3.Cursor, path: Path, table: str, deadline: float, create: bool) -> None:
    """Make sure that the table is there, and that reading and writing don't wait for each other."""
    try:
        wait_until(cursor, deadline)
        found = _has_documents(cursor, path, table)
        if not found and not create:
            raise DatabaseNotFound(f"{path} has no table {table!r}; leave out mode=ro and create=false to make it")
        missing = [] if found else [table_sql(table)]
        if not abilities().nul and not _has(cursor, "index", f"{table}_nul"):
            missing.append(nul_index_sql(table))
        try:
            _use_log(cursor, deadline)
            if missing:
                wait_until(cursor, deadline)
                cursor.execute("BEGIN IMMEDIATE")
                for statement in missing:
                    cursor.execute(statement)
                cursor.execute("COMMIT")
        except sqlite3.Error as error:
            # A file that can't be written is read as it is.
            if not found or primary_code(error) != sqlite3.SQLITE_READONLY:
                raise
    except BaseException:
        cursor.connection.close()
        raise


def _has_documents(cursor: sqlite3.Cursor, path: Path, table: str) -> bool:
    """Whether there is a table in which documents can be kept.

    Raises:
        StoreError: if there is one in which they can't be.
    """
    if cursor.execute("PRAGMA encoding").fetchone()[0] != "UTF-8":
        raise StoreError(f"{path} keeps its text in UTF-16, which does not sort as Divan does; use another file")
    types = {row[1]: row[2] for row in cursor.execute(f"PRAGMA table_info({table})")}
    if not types:
        return False
    otherwise = "give the URL ?table=NAME to keep documents beside it, or name another file"
    if types.keys() != _COLUMNS or not _has(cursor, "table", table):
        columns = ", ".join(sorted(types))
        raise StoreError(f"{path} has a {table!r} of another program, with the columns {columns}; {otherwise}")
    if not _is_text(types["id"]):
        kind = types["id"] or "of no type"
        raise StoreError(f"in {path} the ids of {table!r} are {kind}, and documents have TEXT ids; {otherwise}")
    if not _is_unique(cursor, table):
        raise StoreError(
            f"in {path} the ids of {table!r} are not unique, so that two documents could have one; make its column id "
            f"the PRIMARY KEY, or {otherwise}"
        )
    return True


def _is_text(declared: str) -> bool:
    """Whether SQLite keeps what a column of this type gets as text, whatever it looks like."""
    name = declared.upper()
    return "INT" not in name and any(part in name for part in ("CHAR", "CLOB", "TEXT"))


def _is_unique(cursor: sqlite3.Cursor, table: str) -> bool:
    """Whether no two rows can have the same id, to the byte, and rows with ids of another case are others."""
    for _, name, unique, _, partial, *_ in cursor.execute(f"PRAGMA index_list({table})").fetchall():
        columns = cursor.execute("SELECT name, coll, key FROM pragma_index_xinfo(?)", (name,)).fetchall()
        if unique and not partial and [column[:2] for column in columns if column[2]] == [("id", "BINARY")]:
            return True
    return False


def _has(cursor: sqlite3.Cursor, kind: str, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type=? AND name=? COLLATE NOCASE"
    return cursor.execute(query, (kind, name)).fetchone() is not None


def _use_log(cursor: sqlite3.Cursor, deadline: float) -> None:
    """Switch the file to a write-ahead log, unless it has one; SQLite does not wait for others here, so we do."""
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    while True:
        wait_until(cursor, deadline)
        try:
            cursor.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
