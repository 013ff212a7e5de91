"""Internal: PostgreSQL's errors as Divan's: which of them says what, and what to do about it."""

from __future__ import annotations

from typing import Final

import psycopg
from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    OperationTimeout,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from psycopg import errors


class Late(Exception):
    """The time for a call was up while it waited for the server."""


class Unreachable(Exception):
    """No connection could be opened.

    Attributes:
        is_refused: Whether the server refused the credentials.
        is_late: Whether the time was up.
    """

    def __init__(self, message: str, *, is_refused: bool = False, is_late: bool = False) -> None:
        super().__init__(message)
        self.is_refused = is_refused
        self.is_late = is_late


class Misread(Exception):
    """The server answered with what is no answer to such a statement."""


NATIVE_ERRORS: Final = (psycopg.Error, Late, Unreachable, Misread)
"""What is raised below a call, and translated."""

_ACCOUNT: Final = "the README lists what an account needs"

# SQLSTATE, or its class → what it is, and what to do about it.
_KINDS: Final[dict[str, tuple[type[DivanError], str]]] = {
    "08": (ConnectionFailed, "a write may have happened, or may not"),
    "25006": (StoreReadOnly, "connect to the primary, as target_session_attrs=read-write does"),
    "28": (AuthenticationFailed, "check user and password"),
    "3D000": (DatabaseNotFound, "create=true makes it"),
    "3F000": (DatabaseNotFound, "make the schema, or name another by table=schema.table"),
    "42501": (AuthenticationFailed, _ACCOUNT),
    "42P01": (DatabaseNotFound, "somebody dropped it; open the store again, and create=true makes it"),
    "42703": (StoreError, "somebody changed the table"),
    "53100": (StoreFull, "make room on the server's disk"),
    "53300": (ConnectionFailed, "raise the server's max_connections, or lower the store's"),
    "55P03": (OperationTimeout, "nothing was changed; somebody else holds a lock"),
    "57014": (OperationTimeout, "nothing was changed; timeout=… gives it longer"),
    "57P": (ConnectionFailed, "try again when the server is up; a write may have happened, or may not"),
}

CONTENDED: Final = frozenset({"40001", "40P01"})
"""Somebody else was first, so that nothing was done, and may be tried again."""

UNPREPARED: Final = frozenset({"0A000", "26000"})
"""A prepared statement is gone, or was made for a table that has changed since; nothing was done."""

DOCUMENTS: Final = ("22", "54", "23")
"""Classes of errors that one document of many may be to blame for."""

_LOGIN: Final = (
    "authentication failed", "no password supplied", "password", "pg_hba.conf", 'role "', "permission denied"
)  # fmt: skip


def is_refusal(message: str) -> bool:
    """Whether a server that refused a connection did so for the credentials; nothing but its words says so."""
    return any(words in message for words in _LOGIN)


def translate(error: Exception, shown: str, timeout: float) -> DivanError:
    """Divan's error for one that was raised below a call.

    Args:
        error: What was raised.
        shown: What server it is and where.
        timeout: Seconds that it had to answer.
    """
    if isinstance(error, Late):
        return OperationTimeout(
            f"{shown} did not answer within {timeout:g} s; a write may have happened; timeout=… gives it longer"
        )
    if isinstance(error, Unreachable):
        if error.is_refused:
            return AuthenticationFailed(f"{shown} refuses: {error}; check user and password")
        return ConnectionFailed(f"{shown} can't be reached: {error}; check that it runs, host and port")
    if isinstance(error, Misread):
        return StoreError(f"{shown} gave an answer that can't be read: {error}; is it PostgreSQL?")
    text = " ".join(str(error).split()) or type(error).__name__
    state = getattr(error, "sqlstate", None)
    if state is None:  # it is libpq's own
        return ConnectionFailed(f"{shown} ended the connection: {text}; a write may have happened, or may not")
    for known in (state, state[:3], state[:2]):
        if known in _KINDS:
            kind, advice = _KINDS[known]
            return kind(f"{shown}: {text}; {advice}")
    if isinstance(error, errors.IntegrityError):
        return StoreError(f"{shown} refuses the document: {text}; the table has a rule that another tool made")
    return StoreError(f"{shown} refused: {text}")
