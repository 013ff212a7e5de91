"""Connections to one CouchDB server, bounded in time, and kept open between requests by any number of threads."""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from threading import local
from typing import Any

import couchdb.http  # type: ignore[import-untyped]
from divan.errors import ConnectionFailed, StoreClosed


class NoCache:
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
    """The same with TLS; the handshake is a part of connecting."""

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


class Pool:
    """Idle connections to one server, the one used last first; stands in for the session's own pool.

    What the session releases stays with the thread until `share`: after an error the session may release a connection
    twice, and two threads must not come to talk on it.
    """

    def __init__(self, url: str, timeout: float, connect_timeout: float, tls: ssl.SSLContext | None) -> None:
        self._host = url.partition("://")[2]
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._tls = tls
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
