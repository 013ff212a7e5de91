"""Internal: one connection to a server: one request at a time, each within a deadline."""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
import weakref
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple

from divan.errors import ConnectionFailed
from divan.options import Hidden

from divan_couchdb.errors import TooLong, is_foreign
from divan_couchdb.options import Settings

_CHUNK: Final = 65_536


class Answer(NamedTuple):
    """What a server answers to a request.

    Attributes:
        status: HTTP status.
        text: The body.
    """

    status: int
    text: bytes


class Connection:
    """One connection, and its requests one after the other.

    Args:
        settings: The server.

    Attributes:
        sent: Whether all of the request that was made last has been sent.
        reusable: Whether another request can follow.
        mark: What its pool counts it by.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        self.sent = False
        self.reusable = False
        self.mark: weakref.ref[Connection] | None = None

    def connect(self, deadline: float) -> None:
        """Open it.

        Args:
            deadline: When that must be done, by `time.monotonic`.

        Raises:
            ConnectionFailed: if it takes longer than ``connect_timeout`` or the deadline allows.
            OSError: if it fails otherwise.
        """
        self._socket = open_socket(self._settings, deadline)

    def exchange(self, method: str, request: Hidden, deadline: float, most: int | None = None) -> Answer:
        """Make a request and read the answer.

        Args:
            method: HTTP method.
            request: All its bytes, the password among them.
            deadline: When the whole answer must be there, by `time.monotonic`.
            most: How many bytes of body are wanted at most.

        Raises:
            TooLong: if there are more.
            TimeoutError: if the deadline passes first.
            OSError, HTTPException: if the connection ends early, or the answer is none of HTTP's.
        """
        self.reusable = self.sent = False
        self._send(request, deadline)
        self.sent = True
        assert self._socket is not None
        incoming = _Incoming(self._socket, deadline)
        response = HTTPResponse(incoming, method=method)  # type: ignore[arg-type]  # which only calls its makefile()
        try:
            try:
                response.begin()
            except HTTPException:
                if incoming.has_ended:
                    raise ConnectionResetError("the answer ends within its header") from None
                raise
            if incoming.has_ended:
                raise ConnectionResetError("the answer ends within its header")
            text = response.read() if most is None else _read_at_most(response, most)
            self.reusable = not response.will_close
            return Answer(response.status, text)
        finally:
            response.close()

    def _send(self, request: Hidden, deadline: float) -> None:
        assert self._socket is not None
        self._socket.settimeout(_remaining(deadline))
        if isinstance(self._socket, ssl.SSLSocket):  # whose timeout bounds one part, not all
            view = memoryview(request.value)
            for begin in range(0, len(view), _CHUNK):
                self._socket.settimeout(_remaining(deadline))
                self._socket.sendall(view[begin : begin + _CHUNK])
        else:
            self._socket.sendall(request.value)

    def is_open(self) -> bool:
        """Whether an idle connection can be used: one that has something to read was closed by the server."""
        idle = self._socket
        if idle is None or not self.reusable:
            return False
        try:
            if hasattr(select, "poll"):
                poll = select.poll()
                poll.register(idle, select.POLLIN)
                return not poll.poll(0)
            return not select.select([idle], [], [], 0)[0]
        except (OSError, ValueError) as error:
            if is_foreign(error):
                raise
            return False

    def close(self) -> None:
        """Close it; nothing is sent."""
        if self._socket is not None:
            self._socket.close()


class _Incoming(io.RawIOBase):
    """What comes in on a socket, until a deadline.

    Attributes:
        has_ended: Whether the other end has closed.
    """

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline
        self.has_ended = False

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _CHUNK)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_remaining(self._deadline))
        count = self._socket.recv_into(buffer)
        if not count:
            self.has_ended = True
        return count


def _read_at_most(response: HTTPResponse, most: int) -> bytes:
    if response.length is not None and response.length > most:
        raise TooLong
    parts = []
    count = 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        count += len(part)
        if count > most:
            raise TooLong
    if response.length:  # read1() says nothing of a body that ends too early
        raise ConnectionResetError("the answer ends within its body")
    return b"".join(parts)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time is up")
    return seconds


def open_socket(settings: Settings, deadline: float) -> socket.socket:
    """Connect to the server, TLS included.

    Args:
        settings: The server.
        deadline: When the call must be done that needs it, by `time.monotonic`.

    Raises:
        ConnectionFailed: if it takes longer than ``connect_timeout`` or the deadline allows.
        OSError: if it fails otherwise.
    """
    until = min(deadline, time.monotonic() + settings.connect_timeout)
    try:
        connected = _connect(settings, until)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if settings.tls is not None:
                connected = _secure(connected, settings, settings.tls, until)
            return connected
        except BaseException:
            connected.close()
            raise
    except TimeoutError as error:
        if is_foreign(error):
            raise
        raise ConnectionFailed(
            f"CouchDB at {settings.server} took no connection within {settings.connect_timeout:g} s; "
            "?connect_timeout=… in the URL allows more"
        ) from error


def _connect(settings: Settings, until: float) -> socket.socket:
    """Connect to the first of the host's addresses that answers."""
    failure: OSError | None = None
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        ):
            one = socket.socket(family, kind, protocol)
            try:
                one.settimeout(_remaining(until))
                one.connect(address)
                return one
            except OSError as error:
                one.close()
                if is_foreign(error):
                    raise
                failure = error
            except BaseException:
                one.close()
                raise
        raise failure or OSError("the host has no address")
    finally:
        failure = None  # which would hold this frame, and this frame it


def _secure(plain: socket.socket, settings: Settings, tls: ssl.SSLContext, until: float) -> socket.socket:
    """Speak TLS on a connection; however the other end drips its part of the handshake, it ends in time."""
    secured = tls.wrap_socket(plain, server_hostname=settings.host, do_handshake_on_connect=False)
    try:
        secured.setblocking(False)
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                _wait(secured, select.POLLIN, until)
            except ssl.SSLWantWriteError:
                _wait(secured, select.POLLOUT, until)
    except BaseException:
        secured.close()
        raise


def _wait(one: socket.socket, event: int, until: float) -> None:
    seconds = _remaining(until)
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(one, event)
        poll.poll(seconds * 1000)
    else:
        both = [one]
        select.select(both, both if event == select.POLLOUT else [], [], seconds)
