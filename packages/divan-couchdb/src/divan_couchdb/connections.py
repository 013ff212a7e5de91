"""Internal: requests to one CouchDB database, one at a time, over connections that any number of threads keep open."""

from __future__ import annotations

import json
import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from threading import local
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import couchdb  # type: ignore[import-untyped]
import couchdb.http  # type: ignore[import-untyped]
from divan.errors import ConnectionFailed, DatabaseNotFound, DivanError, StoreClosed, StoreError

from divan_couchdb.errors import Dropped, is_whole_answer, translate
from divan_couchdb.options import Settings

Raw = dict[str, Any]
"""A document as it goes over the wire, ``_id`` and ``_rev`` included."""

encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""The JSON text of a request's body, or of a parameter."""


class Facts(NamedTuple):
    """What a database says of itself.

    Attributes:
        partitioned: Whether it is partitioned.
        last_id: An id after every other one, where the server needs one to list them all; else `None`.
    """

    partitioned: bool
    last_id: str | None


class Client:
    """One database, shared between threads.

    Args:
        settings: Where it is, and how to connect to it.

    Attributes:
        database: The `couchdb.Database`, over the same connections.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # A redirect would carry the password to wherever it points, and a request that is repeated behind our back may
        # be done twice: neither is left to the session. Its cache has no lock.
        session = couchdb.Session(timeout=settings.timeout, max_redirects=-1, retryable_errors=())
        session.cache = _NoCache()
        self._pool = session.connection_pool = _Pool(settings)
        self._session = session
        self._base = f"{settings.server}/{quote(settings.database, safe='')}"
        resource = couchdb.http.Resource(self._base, session)
        resource.credentials = settings.credentials
        self.database: Any = couchdb.Database(resource, settings.database)

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
        """Send a request that may be made any number of times; sent once more if the connection drops.

        Args:
            method: HTTP method.
            url: Made by `url` or `endpoint`.
            body: What the request holds, as JSON values; `None` for nothing.
            document_id: The document that a 404 is about; empty if it can only be about the database.
        """
        text = None if body is None else encode(body).encode()
        try:
            return self.send(method, url, text, document_id=document_id)
        except Dropped:
            return self.send(method, url, text, document_id=document_id)

    def send(self, method: str, url: str, body: bytes | None = None, *, document_id: str = "") -> Any:
        """Send one request, once, and return the JSON that answers it: every request goes through here.

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
            _, _, data = self._session.request(method, url, body, headers, self._settings.credentials)
            text = data.read() if data is not None else b""
            self._pool.share()
            return json.loads(text)
        except Exception as error:
            if is_whole_answer(error):
                self._pool.share()
            else:
                self._pool.abandon(data)
            if isinstance(error, DivanError):
                raise
            raise translate(error, self._settings, document_id) from error

    def describe(self) -> Facts:
        """Ask the server for the database.

        Raises:
            DatabaseNotFound: if it is missing.
            StoreError: if what answers is not CouchDB.
        """
        info = self.read("GET", self.endpoint())
        if not isinstance(info, dict) or "db_name" not in info:
            raise StoreError("what answers is not CouchDB: it describes no database; check the URL's host and port")
        partitioned = bool((info.get("props") or {}).get("partitioned", False))
        # PouchDB orders ids as JavaScript does, and leaves out those after U+00FF unless it is told how far to go.
        return Facts(partitioned, "\uffff\uffff\uffff" if "adapter" in info else None)

    def describe_or_make(self, *, partitioned: bool) -> Facts:
        """Ask the server for the database, and make it if it is missing; one request if it is there.

        Args:
            partitioned: Whether to make it a partitioned one.

        Raises:
            StoreError: if what answers is not CouchDB.
        """
        try:
            return self.describe()
        except DatabaseNotFound:
            pass
        parameters = {"partitioned": "true"} if partitioned else {}
        try:
            self.send("PUT", self.endpoint(**parameters))
        except (StoreError, Dropped):
            # Somebody else may have made it meanwhile, or we have, and the answer was lost.
            try:
                return self.describe()
            except DatabaseNotFound:
                pass
            raise
        return self.describe()

    def close(self) -> None:
        """Close the idle connections, and those in use when they come back."""
        self._pool.close()


class _NoCache:
    """Stands in for the session's cache of answers."""

    def get(self, url: str) -> None:
        return None

    def put(self, url: str, response: Any) -> None:
        pass

    def remove(self, url: str) -> None:
        pass


class _Connection(HTTPConnection):
    """An HTTP connection with one timeout to connect and another one for answers."""

    answer_timeout: float

    def connect(self) -> None:
        _connect(self, super().connect)


class _TLSConnection(HTTPSConnection):
    """An HTTPS connection with one timeout to connect, TLS's handshake included, and another one for answers."""

    answer_timeout: float

    def connect(self) -> None:
        _connect(self, super().connect)


def _connect(connection: _Connection | _TLSConnection, connect: Callable[[], None]) -> None:
    try:
        connect()
    except TimeoutError as error:
        raise ConnectionFailed(
            f"CouchDB at {connection.host}:{connection.port} took no connection within {connection.timeout:g} s; "
            "?connect_timeout=… in the URL allows more"
        ) from error
    connection.sock.settimeout(connection.answer_timeout)


class _Pool:
    """Idle connections to one server, the one used last first; stands in for the session's own pool.

    What the session releases stays with the thread until `share`: after an error the session may release a connection
    twice, and two threads must not come to talk on it.
    """

    def __init__(self, settings: Settings) -> None:
        self._host = settings.server.partition("://")[2]
        self._timeout = settings.timeout
        self._connect_timeout = settings.connect_timeout
        self._tls = settings.tls
        self._idle: deque[HTTPConnection] = deque()
        self._released: set[HTTPConnection] = set()  # by threads that keep theirs
        self._closed = False
        self._thread = _OfThread()

    def get(self, url: str) -> HTTPConnection:
        if self._closed:
            raise StoreClosed("the store is closed; open it again")
        connection = self._take_released()
        while connection is None or not _is_open(connection):
            if connection is not None:
                connection.close()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
                break
        self._thread.in_use = connection
        return connection

    def _connect(self) -> HTTPConnection:
        connection: _Connection | _TLSConnection
        if self._tls is None:
            connection = _Connection(self._host, timeout=self._connect_timeout)
        else:
            connection = _TLSConnection(self._host, timeout=self._connect_timeout, context=self._tls)
        connection.answer_timeout = self._timeout
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def release(self, url: str, connection: HTTPConnection) -> None:
        self._thread.in_use = None
        self._thread.released = connection
        self._released.add(connection)

    def _take_released(self) -> HTTPConnection | None:
        connection, self._thread.released = self._thread.released, None
        if connection is not None:
            self._released.discard(connection)
        return connection

    def share(self) -> None:
        """Let any thread have the connection that this thread has released."""
        connection = self._take_released()
        if connection is not None:
            self._idle.append(connection)
            if self._closed:  # asked only now: closed a moment ago, it has not seen this one
                self._close_idle()

    def abandon(self, body: Any) -> None:
        """Close the connection that this thread has used: half an answer may be left in it."""
        if isinstance(body, couchdb.http.ResponseBody):
            body.resp.close()
            body.conn = None  # else its finalizer reads on, and hands the connection back
        for connection in (self._thread.in_use, self._take_released()):
            if connection is not None:
                connection.close()
        self._thread.in_use = None

    def close(self) -> None:
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        """Close what no thread is using, while others may still take some and bring some back."""
        for connections in (self._idle, self._released):
            with suppress(IndexError, KeyError):
                while True:
                    connections.pop().close()


class _OfThread(local):
    """The connections that one thread has."""

    in_use: HTTPConnection | None = None
    released: HTTPConnection | None = None


def _is_open(connection: HTTPConnection) -> bool:
    """Whether an idle connection can be used: one that has something to read was closed by the server."""
    idle: socket.socket | None = connection.sock
    if idle is None:
        return False
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(idle, select.POLLIN)
            return not poll.poll(0)
        return not select.select([idle], [], [], 0)[0]
    except (OSError, ValueError):
        return False
