"""A TCP proxy on a thread of the test process: counts what passes at the wire, and makes connections fail on demand."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, Self

AnswerFault = Literal[
    "cut", "first byte", "half", "all but one", "swallow", "corrupt", "garble", "delay", "reset", "half-close", "drip"
]
"""What may befall an answer: it is cut (before, behind its first byte, in its middle, before its last byte), kept back,
replaced by nonsense, garbled, late, lost with its connection, followed by no more, or sent byte by byte."""

_KEPT: Final[dict[str, Callable[[int], int]]] = {
    "cut": lambda length: 0,
    "first byte": lambda length: 1,
    "half": lambda length: length // 2,
    "all but one": lambda length: length - 1,
}
"""A fault that cuts an answer → how many of its bytes are sent."""

_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Linux' option by which closing a connection resets it."""
_CHUNK = 65_536
_FIN_WAIT1 = 4  # Linux' number of the state in which the other end does not know yet that a connection is closed


class Proxy:
    """Forwards connections to a server; stopped by `stop` or at the end of a ``with`` block.

    Args:
        host: The server's host.
        port: The server's port.
        http: Whether to read HTTP/1.1 requests out of the traffic, into `requests`.
        certificate: Certificate chain's and private key's files, to speak TLS with the client and none with the server.

    Attributes:
        port: Where to connect instead.
        round_trips: How many times a client has sent something after an answer, or first on its connection.
        requests: ``"GET /guests/ada"``, … in order of arrival, with `http`.
        connections: How many connections were made.
    """

    host = "127.0.0.1"

    def __init__(self, host: str, port: int, *, http: bool = False, certificate: tuple[str, str] | None = None) -> None:
        self._target = (host, port)
        self._http = http
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._answer_faults: list[AnswerFault] = []
        self._lost_requests = 0
        self._silent = False
        self._stopped = False
        self.round_trips = 0
        self.requests: list[str] = []
        self.connections = 0
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> Self:
        """Begin to accept connections."""
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the listener and every connection."""
        self._stopped = True
        self._close_listener()
        self.drop_connections()

    def _close_listener(self) -> None:
        # shutdown() wakes the thread in accept(); close() alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reset(self) -> None:
        """Set the counters to 0."""
        with self._lock:
            self.round_trips = 0
            self.requests = []
            self.connections = 0

    # Faults

    def drop_connections(self) -> None:
        """Close every connection that is open now, and return when both ends can tell; new ones are served."""
        with self._lock:  # which a connection's own threads wait for before they close it
            for one in self._open:
                _shut_down(one)
            for one in self._open:
                _wait_for_peer(one)
                _close(one)
            self._open.clear()

    def fail_next_answer(self, fault: AnswerFault, times: int = 1) -> None:
        """Let the next request reach the server, and have its answer meet a fault.

        Args:
            fault: Which.
            times: How many answers meet it.
        """
        with self._lock:
            self._answer_faults += [fault] * times

    def cut_next_answer(self, times: int = 1) -> None:
        """Let the next request reach the server, and close its connection in place of the answer."""
        self.fail_next_answer("cut", times)

    def swallow_next_answer(self) -> None:
        """Let the next request reach the server, and send nothing back; the connection stays open."""
        self.fail_next_answer("swallow")

    def corrupt_next_answer(self) -> None:
        """Let the next request reach the server, and answer the client with bytes that are no answer's."""
        self.fail_next_answer("corrupt")

    def lose_next_request(self) -> None:
        """Close the next request's connection before the server has seen anything of it."""
        with self._lock:
            self._lost_requests += 1

    def clear_faults(self) -> None:
        """Forget the faults that no request has met yet."""
        with self._lock:
            self._answer_faults.clear()
            self._lost_requests = 0

    def refuse(self) -> None:
        """Close every connection, and refuse new ones until `listen`; the port stays this proxy's own."""
        self._close_listener()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, self.port))  # without listening: whoever connects is refused
        self.drop_connections()

    def listen(self) -> None:
        """Accept connections again after `refuse`."""
        self._listener.listen(128)
        self.start()

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        with self._lock:
            return len(self._open) // 2

    def hang(self) -> None:
        """From now on accept connections and requests, and pass nothing on."""
        self._silent = True

    def resume(self) -> None:
        """End what `hang` began, for new connections."""
        self.drop_connections()  # first, so that none of what they were sent meanwhile is passed on after all
        self._silent = False

    # Forwarding

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self.connections += 1
        try:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            server = socket.create_connection(self._target)
        except OSError:
            _close(client)
            return
        with suppress(OSError):  # what has hung up already is seen below
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
            stopped = self._stopped
        if stopped:  # while this one was being made
            self._hang_up(client, server)
            return
        link = _Link()
        threading.Thread(target=self._pump_answers, args=(server, client, link), daemon=True).start()
        reader = _HTTPReader() if self._http else None
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                with self._lock:
                    if link.answered:
                        self.round_trips += 1
                        link.answered = False
                    if reader:
                        self.requests += reader.feed(data)
                    if self._lost_requests and not self._silent:
                        self._lost_requests -= 1
                        break
                    passes = not self._silent and client in self._open
                if passes:
                    server.sendall(data)
        self._hang_up(client, server)

    def _pump_answers(self, server: socket.socket, client: socket.socket, link: _Link) -> None:
        swallowing = False
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                with self._lock:
                    fault = self._answer_faults.pop(0) if self._answer_faults and not link.answered else ""
                    link.answered = True
                if fault == "corrupt":
                    data = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"_id":'
                elif fault == "garble":
                    data = bytes(byte ^ 0xFF for byte in data)
                elif fault == "delay":
                    time.sleep(0.1)  # the fault itself
                elif fault == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                    break
                elif fault == "half-close":
                    client.shutdown(socket.SHUT_WR)
                elif fault == "drip":
                    for number in range(len(data)):
                        client.sendall(data[number : number + 1])
                        time.sleep(0.05)  # the fault itself: each byte is in time
                    continue
                elif fault in _KEPT:
                    client.sendall(data[: _KEPT[fault](len(data))])
                    break
                swallowing = swallowing or fault in ("swallow", "half-close")
                if not self._silent and not swallowing:
                    client.sendall(data)
        self._hang_up(server, client)

    def _hang_up(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open -= set(ends)
        for one in ends:
            _close(one)


class _Link:
    """One connection's state: whether the server has spoken since the client last did."""

    answered = True


class _HTTPReader:
    """Finds the request lines in one connection's stream of requests."""

    def __init__(self) -> None:
        self._buffer = b""
        self._body = 0

    def feed(self, data: bytes) -> list[str]:
        """The requests whose head ends in this chunk."""
        self._buffer += data
        found: list[str] = []
        while True:
            skipped = min(self._body, len(self._buffer))
            self._buffer = self._buffer[skipped:]
            self._body -= skipped
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if self._body or not end:
                return found
            self._buffer = rest
            first, *headers = head.decode("latin-1").split("\r\n")
            for header in headers:
                name, _, value = header.partition(":")
                if name.lower() == "content-length":
                    self._body = int(value)
                elif name.lower() == "transfer-encoding":
                    raise AssertionError("this proxy reads no chunked requests")
            found.append(first.rpartition(" ")[0])


def _wait_for_peer(one: socket.socket) -> None:
    """Return when the other end's system has heard of a shutdown, which it may take a moment to; at once but on Linux."""
    if sys.platform == "linux":
        deadline = time.monotonic() + 10.0
        with suppress(OSError):
            while one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _FIN_WAIT1:
                if time.monotonic() > deadline:  # it holds more unread than its system takes, and will have to be told
                    return
                time.sleep(0.001)  # between two polls


def _close(one: socket.socket) -> None:
    _shut_down(one)
    with suppress(OSError):
        one.close()


def _shut_down(one: socket.socket) -> None:
    """Wake the thread that reads from it, which close() alone does not."""
    with suppress(OSError):
        is_reset = one.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_NO_LINGER)) == _NO_LINGER
        # TLS' own would take the cipher from under that thread.
        socket.socket.shutdown(one, socket.SHUT_RD if is_reset else socket.SHUT_RDWR)
