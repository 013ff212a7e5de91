"""Internal: every failure of a request, and every refusal of CouchDB's, as one of Divan's errors."""

from __future__ import annotations

import errno
import json
import ssl
from http.client import HTTPException, IncompleteRead
from typing import Any, Final

from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    DocumentNotFound,
    InvalidDocument,
    InvalidID,
    OperationTimeout,
    StoreError,
    StoreFull,
)

from divan_couchdb.options import Settings

_NO_DOCUMENT: Final = ("missing", "deleted")
"""The reasons that CouchDB gives for a 404 if the database is there and the document is not."""

_NO_DATABASE: Final = ("Database does not exist.", "no_db_file")

_NO_ACCESS: Final = (
    "you are not allowed to access this db",
    "you are not authorized to access this db",
    "you are not a db or server admin",
    "you are not a server admin",
    " access is required for this request",
)
"""The server's own reasons, in lower case, for not letting an account write; others are validation functions'."""

_DROPPED: Final = (
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
    IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
_OWN_MODULES: Final = frozenset(
    {"socket", "ssl", "http.client", "email", "encodings", "codecs", "json", "divan_couchdb", "_io"}
)
"""Whose functions raise what goes wrong with a request; by the first part of the module's name, or the whole of it."""


class Conflict(Exception):
    """The document has another revision than the request says, and nothing was written.

    Who makes a write handles it; no user sees it.
    """


class Dropped(Exception):
    """The connection ended before the whole answer was there; no user sees it.

    Args:
        message: What a user is told if that is the end of it.
        sent: Whether the server can have what was asked for: all of the request was sent.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class TooLong(Exception):
    """The answer is longer than the reader wants it, who asks for less then; no user sees it."""


def cause_of(error: BaseException) -> BaseException | None:
    """What a user is shown as the cause of an error: the client's exception where `error` is one that no user sees.

    Args:
        error: What has been caught.
    """
    return error.__cause__ if isinstance(error, Conflict | Dropped | TooLong) else error


def is_foreign(error: BaseException) -> bool:
    """Whether an exception comes from outside of a request: a signal's handler has raised it in the middle of one.

    Args:
        error: What a request has raised.
    """
    if not isinstance(error, OSError | HTTPException | ValueError | TooLong | Dropped | DivanError):
        return True
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = str(traceback.tb_frame.f_globals.get("__name__", ""))
    return module not in _OWN_MODULES and module.partition(".")[0] not in _OWN_MODULES


def translate(error: Exception, settings: Settings, *, sent: bool) -> DivanError | Dropped:
    """Make an error of Divan's of what was raised while one request was made.

    Args:
        error: An exception of Python's HTTP client, or of the network.
        settings: The database that was asked.
        sent: Whether all of the request had been sent.
    """
    server = f"CouchDB at {settings.server}"
    if isinstance(error, TimeoutError):
        return too_late(settings)
    if isinstance(error, _DROPPED) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        return Dropped(
            f"{server} dropped the connection{'; what was asked for may be done' if sent else ''}", sent=sent
        )
    if isinstance(error, ssl.SSLError):
        return ConnectionFailed(
            f"{server}: TLS failed: {error.reason or error}; ?ca_file=… names the authority to trust"
        )
    if isinstance(error, OSError):
        return ConnectionFailed(f"{server} can't be reached: {error}")
    if isinstance(error, HTTPException):
        return StoreError(f"what answers at {settings.server} does not speak as CouchDB does: {error!r}")
    return StoreError(f"{server}: the answer can't be read: {error}")


def too_late(settings: Settings) -> OperationTimeout:
    """Make the error for a call that has not ended within its time."""
    return OperationTimeout(
        f"CouchDB at {settings.server} did not answer within {settings.timeout:g} s; a write may be done or not; "
        "?timeout=… in the URL allows more"
    )


def refused(
    status: int, text: bytes, settings: Settings, document_id: str = "", *, writes: bool = False
) -> DivanError | Conflict:
    """Make an error of Divan's of an answer whose HTTP status is 400 or more.

    Args:
        status: The status.
        text: The answer's body.
        settings: The database that was asked.
        document_id: The document that a 404 is about; empty if it can only be about the database.
        writes: Whether documents were to be written, which the database's own functions may refuse.
    """
    server = f"CouchDB at {settings.server}"
    kind, reason = _details(text)
    if status == 409:
        return Conflict(_told(kind, reason))
    if status == 404:
        if document_id and reason in _NO_DOCUMENT:
            return DocumentNotFound(document_id)
        if reason in _NO_DATABASE:
            return DatabaseNotFound(f"{server} has no database {settings.database!r}; create=true in the URL makes it")
    return refusal(status, kind, reason, server, writes=writes)


def refusal(status: int, kind: str, reason: str, server: str, *, writes: bool = False) -> DivanError:
    """Make an error of Divan's of a refusal: of a request by its HTTP status, or of a bulk request's item by its error.

    Args:
        status: HTTP status, or 0.
        kind: CouchDB's error, such as ``"forbidden"``.
        reason: CouchDB's reason.
        server: Who refused, as it stands in the message.
        writes: Whether documents were to be written, which the database's own functions may refuse.
    """
    told = _told(kind, reason)
    if status == 401 or kind == "unauthorized":
        return AuthenticationFailed(f"{server} refused the credentials ({told}); check the URL's user and password")
    if status == 403 or kind == "forbidden":
        if writes and kind == "forbidden" and not any(words in reason.lower() for words in _NO_ACCESS):
            return InvalidDocument(f"{server}: a validation function of the database refuses the document: {reason}")
        return AuthenticationFailed(f"{server} does not allow this account to do this ({told})")
    if "error_saving_ddoc" in told and ("forbidden" in told or "unauthorized" in told):
        return AuthenticationFailed(f"{server} does not allow this account to make an index ({told})")
    if status == 413:
        return InvalidDocument(f"{server} refuses a document of this size ({told}); its limit is max_document_size")
    if status == 507 or kind == "insufficient_storage":
        return StoreFull(f"{server} has no room left ({told})")
    if kind in ("illegal_docid", "illegal_partition") or (kind == "bad_request" and "partition" in reason.lower()):
        return InvalidID(f"{server} refuses the id ({told})")
    if kind == "doc_validation":
        return InvalidDocument(f"{server} refuses the document ({told})")
    if status >= 500:
        return StoreError(f"{server} answered {status} ({told}); a write may be done or not")
    return StoreError(f"{server} answered {status or 'an item'} ({told})")


def lost_answer(document_id: str) -> ConnectionFailed:
    """Make the error for a write whose answer was lost, and of which nobody can know whether it has been made."""
    return ConnectionFailed(
        f"the connection dropped while document {document_id!r} was written; it may be written or not: get it and see"
    )


def not_sent(document_id: str) -> ConnectionFailed:
    """Make the error for a write that the server would not even take in."""
    return ConnectionFailed(
        f"the connection dropped while document {document_id!r} was sent; nothing was written; CouchDB does so with "
        "what is over its max_http_request_size"
    )


def perhaps(document_id: str) -> ConnectionFailed:
    """Make the error for a write that fewer copies took than a quorum."""
    return ConnectionFailed(
        f"CouchDB wrote document {document_id!r} to fewer copies than it should (202), as while nodes are down or "
        "others write it at once; it may be written or not: get it and see; ?accept_202=true in the URL takes that "
        "for done"
    )


def too_busy(document_id: str, timeout: float) -> OperationTimeout:
    """Make the error for a document that other writers changed before each attempt, for as long as `timeout` allows."""
    return OperationTimeout(
        f"document {document_id!r} was changed by others again and again for {timeout:g} s; nothing was written"
    )


def _details(text: bytes) -> tuple[str, str]:
    """Error and reason in an answer's body; if it is no answer of CouchDB's, its beginning in place of the error."""
    try:
        told: Any = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict) and "error" in told:
        reason = told.get("reason")
        return str(told["error"])[:500], "" if reason is None else str(reason)[:2000]
    return text[:200].decode(errors="replace") or "no reason given", ""


def _told(kind: str, reason: str) -> str:
    return f"{kind}: {reason}" if reason else kind
