"""Internal: every error of pymongo and bson as the Divan error that fits."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, Final

from bson.errors import BSONError, InvalidBSON
from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DivanError,
    DocumentExists,
    InvalidDocument,
    InvalidURL,
    OperationTimeout,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidName,
    InvalidOperation,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

CLIENT_ERRORS: Final = (PyMongoError, BSONError, OverflowError)
"""Whatever the client raises of its own."""

UNREADABLE: Final = (BSONError, ValueError, OverflowError)
"""What decoding BSON raises."""

DUPLICATE_KEY: Final = 11000
NOT_INCREMENTABLE: Final = (2, 14)
"""The codes of a ``$inc`` on what is no number, or to a sum beyond 64 bits."""

INDEX_CONFLICTS: Final = (85, 86)
"""The codes of an index that is there under another name, or with other options."""

_AUTHENTICATION: Final = {11, 13, 18, 8000}
_TIMEOUTS: Final = {24, 50, 64, 89, 202, 262}
_UNREACHABLE: Final = {6, 7, 91, 189, 9001, 10058, 11600, 11602, 13436}
_READ_ONLY: Final = {10107, 13435}
_FULL: Final = {14031}
_UNFIT_DOCUMENT: Final = {121, 171, 10334, 17280, 17419, 17420, 17421}
_RETRYABLE: Final = (_UNREACHABLE | _READ_ONLY) - {10058}
_PERHAPS: Final = "a write may or may not have happened"
_TOO_LARGE: Final = "the document is larger than the 16 MiB that MongoDB takes; split it"
_APPENDED: Final = re.compile(
    r" \(configured timeouts:[^)]*\)|, Timeout: .*|, Topology Description: .*|, full error: .*", re.DOTALL
)


class translating:
    """Raises the Divan error for one of the client's: ``with translating(label): collection.find_one()``.

    Args:
        label: How messages call the collection: host, database and collection, without credentials.
        document_id: The id that is written, if it is one.
    """

    __slots__ = ("_document_id", "_label")

    def __init__(self, label: str, document_id: str = "") -> None:
        self._label = label
        self._document_id = document_id

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, CLIENT_ERRORS):
            raise translate(error, self._label, self._document_id) from error


def translate(error: Exception, label: str, document_id: str = "") -> DivanError:
    """The Divan error for one of the client's.

    Args:
        error: One of `CLIENT_ERRORS`.
        label: How messages call the collection: host, database and collection, without credentials.
        document_id: The id that was written, if it was one.
    """
    if isinstance(error, BSONError):
        if isinstance(error, DocumentTooLarge):
            return InvalidDocument(_TOO_LARGE)
        if isinstance(error, InvalidBSON):
            return unreadable(label, error, document_id)
        return InvalidDocument(f"the document can't be written as BSON: {error}")
    if isinstance(error, OverflowError):
        return InvalidDocument("an integer does not fit into 64 bits")
    if isinstance(error, InvalidOperation) or type(error).__name__ == "_PoolClosedError":
        return StoreClosed(f"the connection to {label} is closed")
    if isinstance(error, ConfigurationError | InvalidURI | InvalidName):
        return InvalidURL(f"{label}: {error}")
    if isinstance(error, ServerSelectionTimeoutError):
        return _no_server(error, label)
    if isinstance(error, WaitQueueTimeoutError):
        return OperationTimeout(
            f"no connection to {label} became free in time: all are in use, and nothing was sent; raise the option "
            "max_connections, or timeout"
        )
    if isinstance(error, BulkWriteError) and (doubts := (error.details or {}).get("writeConcernErrors")):
        error = WriteConcernError(str(doubts[0].get("errmsg")), doubts[0].get("code"), doubts[0])
    if isinstance(error, WriteConcernError):
        found = translate_code(error.code, error.details or {}, label, document_id)
        return type(found)(f"{found}; {_PERHAPS}")
    if isinstance(error, PyMongoError) and error.timeout:
        return OperationTimeout(f"{label} did not answer in time; {_PERHAPS}")
    if isinstance(error, OperationFailure):
        return translate_code(error.code, error.details or {}, label, document_id)
    if isinstance(error, ConnectionFailure):
        return ConnectionFailed(f"the connection to {label} failed: {_reason(error)}; {_PERHAPS}")
    return StoreError(f"{label}: {_reason(error)}")


def translate_code(code: int | None, details: Any, label: str, document_id: str = "") -> DivanError:
    """The Divan error for an error that the server answered.

    Args:
        code: MongoDB's error code.
        details: The server's answer, or one entry of a bulk answer's ``writeErrors``.
        label: How messages call the collection.
        document_id: The id that was written, if it was one.
    """
    message = str(details.get("errmsg", "no reason given"))
    if code == DUPLICATE_KEY or code == 11001:
        if is_taken_id(details):
            return DocumentExists(document_id)
        keys = list(details["keyPattern"])
        return InvalidDocument(f"a unique index on {', '.join(keys)} in {label} holds these values already")
    if code in _AUTHENTICATION:
        return AuthenticationFailed(
            f"{label} refused: {message}; check user and password, the account's roles, and the option authSource"
        )
    if code in _TIMEOUTS:
        return OperationTimeout(f"{label} did not answer in time: {message}; {_PERHAPS}")
    if code in _UNREACHABLE:
        return ConnectionFailed(f"{label} is not ready: {message}; {_PERHAPS}")
    if code in _READ_ONLY:
        return StoreReadOnly(f"{label} is no primary and takes no writes: {message}")
    if code in _FULL:
        return StoreFull(f"{label} has no room left: {message}")
    if code in (10334, 17419, 17420):
        return InvalidDocument(_TOO_LARGE)
    if code in _UNFIT_DOCUMENT:
        return InvalidDocument(f"{label} refused the document: {message}")
    if code == 73:
        return InvalidURL(f"{label} is no name for a collection: {message}")
    return StoreError(f"{label} refused the operation: {message} (code {code})")


def unreadable(label: str, reason: object, document_id: str | None) -> StoreError:
    """The error that stands for a document that can't be decoded.

    Args:
        label: How messages call the collection.
        reason: What is wrong with it.
        document_id: The document's id; `None` or ``""`` if that can't be read either.
    """
    named = f" {document_id!r}" if document_id else ""
    return StoreError(f"{label}: the document{named} can't be read: {reason}", document_id=document_id or None)


def changed_unreadably(label: str, reason: object, document_id: str) -> StoreError:
    """The error for an update that was carried out, and whose document can't be decoded.

    Args:
        label: How messages call the collection.
        reason: What is wrong with the document.
        document_id: Its id.
    """
    return StoreError(
        f"{label}: the document {document_id!r} was changed as it should be, and can't be read: {reason}",
        document_id=document_id,
    )


def is_dropped(error: DivanError) -> bool:
    """Whether a connection broke, or a server was stepping down, so that a second try may find what the first did not.

    Args:
        error: From `translate`, raised from the client's own.
    """
    cause = error.__cause__
    if isinstance(cause, OperationFailure):
        return cause.code in _RETRYABLE
    return isinstance(cause, AutoReconnect) and not cause.timeout


def is_taken_id(details: Any) -> bool:
    """Whether a duplicate key is a document's id, and not the key of some other unique index."""
    return list((details or {}).get("keyPattern", ["_id"])) == ["_id"]


def _no_server(error: ServerSelectionTimeoutError, label: str) -> DivanError:
    """Tell a server that is not there from one that is there and does not answer."""
    reason = _reason(error)
    silent = "timed out" in reason or "No servers found yet" in reason
    if silent and "refused" not in reason:
        return OperationTimeout(f"{label} did not answer in time: {reason}")
    return ConnectionFailed(f"{label} can't be reached: {reason}; is MongoDB running there?")


def _reason(error: Exception) -> str:
    """The message without what pymongo appends to it: its timeouts, and the topology at length."""
    return _APPENDED.sub("", str(error)).replace("\n", " ").strip()
