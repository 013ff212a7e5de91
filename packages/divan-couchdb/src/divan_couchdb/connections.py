"""Internal: requests to one CouchDB database, over connections that any number of threads share."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from http.client import HTTPConnection
from threading import local
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode
from weakref import WeakSet

import couchdb  # type: ignore[import-untyped]
import couchdb.http  # type: ignore[import-untyped]
from divan.errors import ConnectionFailed, DatabaseNotFound, DivanError, StoreClosed, StoreError
from divan.options import Hidden

from divan_couchdb.errors import Conflict, Dropped, TooLong, cause_of, is_foreign, refused, translate
from divan_couchdb.options import Settings
from divan_couchdb.pool import Pool, forget_after_fork
from divan_couchdb.wire import open_socket

Raw = dict[str, Any]
"""A document as it goes over the wire, ``_id`` and ``_rev`` included."""

encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""The JSON text of a request's body, or of a parameter."""


class Answer(NamedTuple):
    """What the server answers to a request that it has taken.

    Attributes:
        status: HTTP status, below 400.
        content: The JSON.
    """

    status: int
    content: Any


class Facts(NamedTuple):
    """What a database says of itself.

    Attributes:
        partitioned: Whether it is partitioned.
        last_id: An id up to which the server lists them, where it needs one to list nearly all; else `None`.
        copies: How many copies of each document a cluster keeps; `None` if the server tells of no cluster.
        waits_for_changes: Whether its feed of changes answers in time where it is asked to wait for one.
    """

    partitioned: bool
    last_id: str | None
    copies: int | None = None
    waits_for_changes: bool = True


class Client:
    """One database, shared between threads.

    Args:
        settings: Where it is, and how to connect to it.

    Attributes:
        settings: What was given.
        database: The `couchdb.Database`, over connections of its own.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._calls = _Calls()
        self._pool = Pool(settings)
        self._base = f"/{quote(settings.database, safe='')}"
        self._headers = Hidden(_headers(settings))
        # A redirect would carry the password to wherever it points, and a request that is repeated behind our back may
        # be done twice: neither is left to the session. Its cache has no lock.
        session = couchdb.Session(timeout=settings.timeout, max_redirects=-1, retryable_errors=())
        session.cache = _NoCache()
        self._native = session.connection_pool = _NativeConnections(settings)
        resource = couchdb.http.Resource(settings.server + self._base, session)
        resource.credentials = settings.credentials
        self.database: Any = couchdb.Database(resource, settings.database)

    def begin(self) -> float:
        """Begin a call: all requests that this thread makes until it begins another one end within ``timeout``.

        Returns:
            When it ends, by `time.monotonic`.
        """
        self._calls.deadline = deadline = time.monotonic() + self.settings.timeout
        return deadline

    @property
    def deadline(self) -> float:
        """When this thread's call ends, by `time.monotonic`."""
        return self._calls.deadline

    def url(self, document_id: str, **parameters: Any) -> str:
        """A document's path: every character that means something in one is escaped.

        Args:
            document_id: The document's id, checked by `divan.validation.check_id`.
            **parameters: What goes behind the ``?``.
        """
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"{self._base}/{quote(document_id, safe='')}{query}"

    def endpoint(self, name: str = "", **parameters: Any) -> str:
        """The path of the database (no name), or of one of its endpoints, such as ``"_find"``."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"{self._base}/{name}{query}" if name else f"{self._base}{query}"

    def read(self, method: str, url: str, body: Any = None, *, document_id: str = "", most: int | None = None) -> Any:
        """Send a request that may be made any number of times; sent once more if the connection drops.

        Args:
            method: HTTP method.
            url: Made by `url` or `endpoint`.
            body: What the request holds, as JSON values; `None` for nothing.
            document_id: The document that a 404 is about; empty if it can only be about the database.
            most: How many bytes of an answer are wanted at most.

        Raises:
            TooLong: if there are more.
            DivanError: for everything that goes wrong.
        """
        text = None if body is None else encode(body).encode()
        try:
            try:
                return self.send(method, url, text, document_id=document_id, most=most).content
            except Dropped:
                return self.send(method, url, text, document_id=document_id, most=most).content
        except Dropped as dropped:
            raise ConnectionFailed(str(dropped)) from dropped
        except Conflict as conflict:
            raise StoreError(f"CouchDB at {self.settings.server} answered 409 ({conflict})") from conflict

    def send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        document_id: str = "",
        writes: bool = False,
        most: int | None = None,
    ) -> Answer:
        """Send one request, once, and return what answers it: every request goes through here.

        Args:
            method: HTTP method.
            url: Made by `url` or `endpoint`.
            body: JSON text.
            document_id: The document that a 404 is about; empty if it can only be about the database.
            writes: Whether documents are to be written, which the database's own functions may refuse.
            most: How many bytes of an answer are wanted at most.

        Raises:
            Conflict: if the server answers 409.
            Dropped: if the connection ended early.
            TooLong: if there is more than the wanted bytes.
            DocumentNotFound, DatabaseNotFound: if the server answers 404, by the reason that it gives.
            DivanError: for everything else that goes wrong.
        """
        deadline = self._calls.deadline
        sent = False
        connection = None
        try:
            request = self._request(method, url, body)
            connection = self._pool.take(deadline)
            status, text = connection.exchange(method, request, deadline, most)
            content = json.loads(text) if status < 400 else None
        except BaseException as error:
            if connection is not None:
                sent = connection.sent
                self._pool.discard(connection)
                connection = None  # the traceback holds this frame, and would keep its socket
            if is_foreign(error) or isinstance(error, DivanError | TooLong) or not isinstance(error, Exception):
                raise
            raise translate(error, self.settings, sent=sent) from error
        self._pool.give_back(connection)
        if status >= 400:
            raise refused(status, text, self.settings, document_id, writes=writes)
        return Answer(status, content)

    def _request(self, method: str, url: str, body: bytes | None) -> Hidden:
        if body is not None:
            kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        else:
            kind = "" if method == "GET" else "Content-Length: 0\r\n"
        return Hidden(f"{method} {url} HTTP/1.1\r\n{self._headers.value}{kind}\r\n".encode() + (body or b""))

    def describe(self) -> Facts:
        """Ask the server for the database.

        Raises:
            DatabaseNotFound: if it is missing.
            StoreError: if what answers is not CouchDB.
        """
        info = self.read("GET", self.endpoint())
        if not isinstance(info, dict) or "db_name" not in info:
            raise StoreError("what answers is not CouchDB: it describes no database; check the URL's host and port")
        properties, cluster = info.get("props"), info.get("cluster")
        copies = cluster.get("n") if isinstance(cluster, dict) else None
        # PouchDB leaves out ids after U+00FF unless it is told how far to go.
        return Facts(
            bool(isinstance(properties, dict) and properties.get("partitioned", False)),
            "\uffff\uffff\uffff" if "adapter" in info else None,
            copies if isinstance(copies, int) else None,
            "adapter" not in info,  # PouchDB waits for ever
        )

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
        except (StoreError, Dropped, Conflict) as error:
            # Somebody else may have made it meanwhile, or we have, and the answer was lost.
            try:
                return self.describe()
            except DatabaseNotFound:
                pass
            if isinstance(error, StoreError):
                raise
            raise ConnectionFailed(f"database {self.settings.database!r} could not be made: {error}") from cause_of(
                error
            )
        return self.describe()

    def close(self) -> None:
        """Close the idle connections, and those in use when they come back."""
        self._pool.close()
        self._native.close()


def _headers(settings: Settings) -> str:
    """The headers that all requests have."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = [f"Host: {host}:{settings.port}", "Accept: application/json", "User-Agent: divan-couchdb"]
    if settings.credentials is not None:
        lines.append(f"Authorization: Basic {b64encode(':'.join(settings.credentials).encode()).decode()}")
    return "".join(f"{line}\r\n" for line in lines)


class _Calls(local):
    """The call that a thread is in."""

    deadline = 0.0


# The native handle


class _NoCache:
    """Stands in for the session's cache of answers."""

    def get(self, url: str) -> None:
        return None

    def put(self, url: str, response: Any) -> None:
        pass

    def remove(self, url: str) -> None:
        pass


class _NativeConnection(HTTPConnection):
    """A connection of the native handle's, to the same server by the same means."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.host, settings.port, timeout=settings.timeout)
        self._settings = settings

    def connect(self) -> None:
        self.sock = open_socket(self._settings, time.monotonic() + self._settings.connect_timeout)
        self.sock.settimeout(self.timeout)


class _NativeConnections:
    """The native handle's connections, one a thread; stands in for the session's own pool.

    After an error the session may release a connection twice, and two threads must not come to talk on it: what a
    thread has used stays with it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closed = False
        self.forget()
        forget_after_fork(self)

    def forget(self) -> None:
        """Begin without connections: those of before a fork are the other process's."""
        self._thread = _OfThread()
        self._all: WeakSet[HTTPConnection] = WeakSet()

    def get(self, url: str) -> HTTPConnection:
        if self._closed:
            raise StoreClosed("the store is closed; open it again")
        connection, self._thread.released = self._thread.released, None
        if connection is None:
            connection = _NativeConnection(self._settings)
            connection.connect()
            self._all.add(connection)
        return connection

    def release(self, url: str, connection: HTTPConnection) -> None:
        self._thread.released = connection

    def close(self) -> None:
        self._closed = True
        for connection in list(self._all):
            connection.close()


class _OfThread(local):
    """The connection that one thread has used."""

    released: HTTPConnection | None = None
