"""Internal: what an error of SQLite's means: the one place where its result codes become Divan's errors."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from divan.errors import (
    ConnectionFailed,
    DivanError,
    InvalidDocument,
    OperationTimeout,
    StoreError,
    StoreFull,
    StoreReadOnly,
)

_UNREADABLE: Final = ("malformed JSON", "JSON cannot hold BLOB values", "Could not decode to UTF-8")
_NO_ROOM: Final = 1 << 20  # bytes

Translate = Callable[[sqlite3.Error, Path, float], DivanError]
"""Says what SQLite's error means, given the file and how long SQLite waits for another program, in seconds."""


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension; 0 for an error of Python's module."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_taken(error: sqlite3.Error) -> bool:
    """Whether a row was refused because its id is there already."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)


def is_unreadable(error: BaseException | None) -> bool:
    """Whether an error, or what a `StoreError` came from, says that SQLite or its module can't read a document."""
    return isinstance(error, sqlite3.Error) and str(error).startswith(_UNREADABLE)


def translate(error: sqlite3.Error, path: Path, timeout: float) -> DivanError:
    """Say what SQLite's error means to a call that reads or writes documents.

    Args:
        error: SQLite's error.
        path: The file.
        timeout: How long SQLite waited for another program, in seconds.
    """
    code = primary_code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OperationTimeout(f"{path} was locked by another program for {timeout:g} s; nothing was written")
    if code == sqlite3.SQLITE_READONLY:
        return StoreReadOnly(f"{path} can be read, but not written: {error}")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _has_no_room(path)):
        return StoreFull(f"there is no room left for {path}; nothing was written")
    if code == sqlite3.SQLITE_TOOBIG:
        return InvalidDocument("the document is larger than SQLite takes, which is a billion bytes")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(f"{path} is damaged: {error}; restore it from a backup")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(f"{path}: SQLite refused with {name}: {error}")


def translate_opening(error: sqlite3.Error | UnicodeDecodeError, path: Path, timeout: float) -> DivanError:
    """Say what SQLite's error means to who opens the file.

    Args:
        error: SQLite's error; or that its text can't be read, for it quotes a damaged schema.
        path: The file.
        timeout: How long SQLite waited for another program, in seconds.
    """
    if isinstance(error, UnicodeDecodeError):
        return ConnectionFailed(f"{path} is damaged: its schema is no text; restore it from a backup")
    code = primary_code(error)
    if code == sqlite3.SQLITE_CORRUPT:
        return ConnectionFailed(f"{path} is damaged: {error}; restore it from a backup")
    if code == sqlite3.SQLITE_NOTADB:
        return ConnectionFailed(f"{path} is a file, but no SQLite database; name another one")
    translated = translate(error, path, timeout)
    if isinstance(translated, OperationTimeout | StoreFull):
        return translated
    return ConnectionFailed(f"{path} can't be opened: {error}")


def translate_ping(error: sqlite3.Error, path: Path, timeout: float) -> DivanError:
    """Say what SQLite's error means to who only asks for a sign of life: that there is none, whatever the reason.

    Args:
        error: SQLite's error.
        path: The file.
        timeout: How long SQLite waited for another program, in seconds.
    """
    return ConnectionFailed(f"{path} can't be read: {error}")


def _has_no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _NO_ROOM
    except OSError:
        return False
