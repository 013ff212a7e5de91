"""Internal: every failure of the `couchdb` client, and every refusal of CouchDB's, as one of Divan's errors."""

from __future__ import annotations

import errno
import ssl
from http.client import HTTPException, IncompleteRead
from typing import Any, Final

import couchdb  # type: ignore[import-untyped]
import couchdb.http  # type: ignore[import-untyped]
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

_DROPPED: Final = (
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
    IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
_DROPPED_NUMBERS: Final = ((errno.ECONNRESET,), (errno.EPIPE,), (errno.ECONNABORTED,))
"""What the client raises of its own has nothing but the number."""

_STATUS: Final = {
    couchdb.Unauthorized: 401,
    couchdb.Forbidden: 403,
    couchdb.ResourceNotFound: 404,
    couchdb.ResourceConflict: 409,
    couchdb.PreconditionFailed: 412,
}


class Conflict(Exception):
    """The document has another revision than the request says (409); who makes a write handles it, no user sees it.

    Args:
        told: What the server said.
        repeated: Whether the request was sent twice, the answer to its first time lost.
    """

    def __init__(self, told: str = "", *, repeated: bool = False) -> None:
        super().__init__(told)
        self.repeated = repeated


class Dropped(ConnectionFailed):
    """The connection ended before the whole answer was there; the server may have done what was asked."""


class LostAnswer(ConnectionFailed):
    """A write whose answer was lost may have been made or not, and making it again could do it twice."""


class TooLarge(InvalidDocument):
    """The server refuses a request of this size (413)."""


def translate(error: Exception, settings: Settings, document_id: str) -> DivanError | Conflict:
    """Make an error of Divan's of what the client raised for one request.

    Args:
        error: The client's exception.
        settings: The database that was asked.
        document_id: The document that a 404 is about; empty if it can only be about the database.
    """
    server = f"CouchDB at {settings.server}"
    if isinstance(error, couchdb.HTTPError):
        return _translate_status(error, server, settings.database, document_id)
    if isinstance(error, TimeoutError):
        return OperationTimeout(
            f"{server} did not answer within {settings.timeout:g} s; ?timeout=… in the URL allows more"
        )
    if isinstance(error, _DROPPED) or (type(error) is OSError and error.args[:1] in _DROPPED_NUMBERS):
        return Dropped(f"{server} dropped the connection; what was asked for may be done")
    if isinstance(error, ssl.SSLError):
        return ConnectionFailed(
            f"{server}: TLS failed: {error.reason or error}; ?ca_file=… names the authority to trust"
        )
    if isinstance(error, OSError):
        return ConnectionFailed(f"{server} can't be reached: {error}")
    if isinstance(error, HTTPException | couchdb.http.RedirectLimit):
        return StoreError(f"what answers at {settings.server} does not speak as CouchDB does: {error!r}")
    return StoreError(f"{server}: the answer can't be read: {error}")


def _translate_status(error: Any, server: str, database: str, document_id: str) -> DivanError | Conflict:
    """Make an error of Divan's of an HTTP status from 400."""
    status, kind, reason = _details(error)
    if status == 409:
        return Conflict(_told(kind, reason))
    if status == 404:
        if document_id and reason in _NO_DOCUMENT:
            return DocumentNotFound(document_id)
        if reason in _NO_DATABASE:
            return DatabaseNotFound(f"{server} has no database {database!r}; create=true in the URL makes it")
    return refusal(status, kind, reason, server)


def refusal(status: int, kind: str, reason: str, server: str) -> DivanError:
    """Make an error of Divan's of a refusal: of a request by its HTTP status, or of a bulk request's item by its error.

    Args:
        status: HTTP status, or 0.
        kind: CouchDB's error, such as ``"forbidden"``.
        reason: CouchDB's reason.
        server: Who refused, as it stands in the message.
    """
    told = _told(kind, reason)
    if status == 401 or kind == "unauthorized":
        return AuthenticationFailed(f"{server} refused the credentials ({told}); check the URL's user and password")
    if status == 403 or kind == "forbidden":
        return AuthenticationFailed(f"{server} does not allow this account to do this ({told})")
    if status == 413:
        return TooLarge(f"{server} refuses a document of this size ({told}); its limit is max_document_size")
    if status == 507 or kind == "insufficient_storage":
        return StoreFull(f"{server} has no room left ({told})")
    if kind == "illegal_docid" or (kind == "bad_request" and "partition" in reason.lower()):
        return InvalidID(f"{server} refuses the id ({told})")
    if kind == "doc_validation":
        return InvalidDocument(f"{server} refuses the document ({told})")
    return StoreError(f"{server} answered {status or 'an item'} ({told})")


def lost_answer(document_id: str) -> LostAnswer:
    """Make the error for a write that may have been made, and must not be made twice."""
    return LostAnswer(
        f"the connection dropped while document {document_id!r} was written; it may be written or not: get it and see"
    )


def too_busy(document_id: str, timeout: float) -> OperationTimeout:
    """Make the error for a document that other writers changed before each attempt, for as long as `timeout` allows."""
    return OperationTimeout(
        f"document {document_id!r} was changed by others again and again for {timeout:g} s; nothing was written"
    )


def is_whole_answer(error: Exception) -> bool:
    """Whether the client raised this for a whole answer of CouchDB's, behind which its connection can be used again."""
    return isinstance(error, couchdb.HTTPError) and type(_detail(error)) is tuple


def _details(error: Any) -> tuple[int, str, str]:
    """Status, error and reason of an exception that the client raised for a status."""
    status = error.args[0][0] if type(error) is couchdb.ServerError else _STATUS.get(type(error), 0)
    detail = _detail(error)
    if type(detail) is tuple:
        return status, str(detail[0]), "" if detail[1] is None else str(detail[1])
    text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
    return status, text[:200] or "no reason given", ""


def _detail(error: Any) -> Any:
    """What the answer's body said: an error and a reason, or text that is no answer of CouchDB's."""
    detail = error.args[0] if error.args else ""
    return detail[1] if type(error) is couchdb.ServerError else detail


def _told(kind: str, reason: str) -> str:
    return f"{kind}: {reason}" if reason else kind
