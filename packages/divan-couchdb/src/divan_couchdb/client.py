"""One CouchDB database over HTTP: requests by the `couchdb` client, bounded in time, failures turned into ours."""

from __future__ import annotations

import errno
import json
import ssl
from http.client import HTTPException, IncompleteRead
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode

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

from divan_couchdb.connections import NoCache, Pool

encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_MISSING: Final = ("missing", "deleted")
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


class Conflict(Exception):
    """The document has another revision than the request says (409); every caller of a write handles it."""


class Dropped(ConnectionFailed):
    """The connection ended before the whole answer was there; the server may have done what was asked."""


class TooLarge(InvalidDocument):
    """The server refuses a request of this size (413)."""


class Client:
    """One database, shared between threads.

    Args:
        url: The server's URL, without credentials.
        database: The database's name.
        credentials: User and password, or `None`.
        timeout: Seconds to wait for each part of an answer.
        connect_timeout: Seconds to wait for a connection.
        tls: How to check the server, for ``https``.

    Attributes:
        database: The `couchdb.Database`, over the same connections.
    """

    def __init__(
        self,
        url: str,
        database: str,
        *,
        credentials: tuple[str, str] | None,
        timeout: float,
        connect_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        # A redirect would carry the password to wherever it points, and a request that is repeated behind our back may
        # be done twice: neither is left to the session. Its cache has no lock.
        session = couchdb.Session(timeout=timeout, max_redirects=-1, retryable_errors=())
        session.cache = NoCache()
        self._pool = session.connection_pool = Pool(url, timeout, connect_timeout, tls)
        self._session = session
        self._server = url
        self._name = database
        self._credentials = credentials
        self._timeout = timeout
        self._base = f"{url}/{quote(database, safe='')}"
        resource = couchdb.http.Resource(self._base, session)
        resource.credentials = credentials
        self.database: Any = couchdb.Database(resource, database)

    def url(self, document_id: str, **parameters: Any) -> str:
        """A document's URL: every character that means something in one is escaped.

        Args:
            document_id: The document's id, checked by `divan.validation.check_id`.
            **parameters: What goes behind the ``?``.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"{self._base}/{quote(document_id, safe='')}{query}"

    def endpoint(self, name: str = "", **parameters: Any) -> str:
        """The URL of the database (no name), or of one of its endpoints, such as ``"_find"``."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"{self._base}/{name}{query}" if name else f"{self._base}{query}"

    def read(self, method: str, url: str, body: Any = None, *, document_id: str = "") -> Any:
        """Send a request that changes nothing; sent once more if the connection drops."""
        text = None if body is None else encode(body).encode()
        try:
            return self.send(method, url, text, document_id=document_id)
        except Dropped:
            return self.send(method, url, text, document_id=document_id)

    def send(self, method: str, url: str, body: bytes | None = None, *, document_id: str = "") -> Any:
        """Send one request and return the JSON that answers it.

        Args:
            method: HTTP method.
            url: Made by `url` or `endpoint`.
            body: JSON text.
            document_id: The document that a 404 is about; empty if it can only be about the database.

        Raises:
            Conflict: if the server answers 409.
            DocumentNotFound, DatabaseNotFound: if it answers 404, by the reason that it gives.
            Dropped: if the connection ended early.
            DivanError: for everything else that goes wrong.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        data = None
        try:
            _, _, data = self._session.request(method, url, body, headers, self._credentials)
            text = data.read() if data is not None else b""
            self._pool.share()
            return json.loads(text)
        except Exception as error:
            if isinstance(error, couchdb.HTTPError) and type(_detail(error)) is tuple:
                self._pool.share()
            else:
                self._pool.abandon(data)
            self._raise(error, document_id)

    def close(self) -> None:
        """Close the idle connections, and those in use when they come back."""
        self._pool.close()

    def _raise(self, error: Exception, document_id: str) -> NoReturn:
        """Turn an exception of the client into ours."""
        if isinstance(error, DivanError):
            raise error
        if isinstance(error, couchdb.HTTPError):
            raise self._translate(error, document_id) from error
        where = self._server
        if isinstance(error, TimeoutError):
            raise OperationTimeout(
                f"CouchDB at {where} did not answer within {self._timeout:g} s; ?timeout=… in the URL allows more"
            ) from error
        if isinstance(error, _DROPPED) or (type(error) is OSError and error.args[:1] in _DROPPED_NUMBERS):
            raise Dropped(f"CouchDB at {where} dropped the connection; what was asked for may be done") from error
        if isinstance(error, ssl.SSLError):
            raise ConnectionFailed(
                f"CouchDB at {where}: TLS failed: {error.reason or error}; ?ca_file=… names the authority to trust"
            ) from error
        if isinstance(error, OSError):
            raise ConnectionFailed(f"CouchDB at {where} can't be reached: {error}") from error
        if isinstance(error, HTTPException | couchdb.http.RedirectLimit):
            raise StoreError(f"what answers at {where} does not speak as CouchDB does: {error!r}") from error
        raise StoreError(f"CouchDB at {where}: the answer can't be read: {error}") from error

    def _translate(self, error: Any, document_id: str) -> Exception:
        """Our exception for an HTTP status from 400."""
        status, kind, reason = _details(error)
        where = f"CouchDB at {self._server}"
        told = f"{kind}: {reason}" if reason else kind
        if status == 409:
            return Conflict(told)
        if status == 404:
            if document_id and reason in _MISSING:
                return DocumentNotFound(document_id)
            if reason in _NO_DATABASE:
                return DatabaseNotFound(f"{where} has no database {self._name!r}; create=true in the URL makes it")
        return refusal(status, kind, reason, where)


def refusal(status: int, kind: str, reason: str, where: str) -> DivanError:
    """Our exception for what CouchDB refuses, a request by its HTTP status or an item of a bulk request by its error.

    Args:
        status: HTTP status, or 0.
        kind: CouchDB's error, such as ``"forbidden"``.
        reason: CouchDB's reason.
        where: Who refused it.
    """
    told = f"{kind}: {reason}" if reason else kind
    if status == 401 or kind == "unauthorized":
        return AuthenticationFailed(f"{where} refused the credentials ({told}); check the URL's user and password")
    if status == 403 or kind == "forbidden":
        return AuthenticationFailed(f"{where} does not allow this account to do this ({told})")
    if status == 413:
        return TooLarge(f"{where} refuses a document of this size ({told}); its limit is max_document_size")
    if status == 507 or kind == "insufficient_storage":
        return StoreFull(f"{where} has no room left ({told})")
    if kind == "illegal_docid" or (kind == "bad_request" and "partition" in reason.lower()):
        return InvalidID(f"{where} refuses the id ({told})")
    if kind == "doc_validation":
        return InvalidDocument(f"{where} refuses the document ({told})")
    return StoreError(f"{where} answered {status or 'an item'} ({told})")


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


_STATUS: Final = {
    couchdb.Unauthorized: 401,
    couchdb.Forbidden: 403,
    couchdb.ResourceNotFound: 404,
    couchdb.ResourceConflict: 409,
    couchdb.PreconditionFailed: 412,
}
