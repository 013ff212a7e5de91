"""Internal: one connection to a server, whose every step ends by the deadline of the call that it works for."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.connection import Connection, DefaultParser, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ResponseError
from redis.retry import Retry

from divan_redis.errors import raised_by_caller
from divan_redis.options import Settings, connection_options

Command = tuple[bytes, ...]
"""A command's words."""

_PIECE: Final = 50  # commands that are sent at once
_LEAST: Final = 0.001  # a socket takes 0 seconds for "don't wait at all"


# Python drops what a signal's handler raises while a `__del__` runs that is written in Python, as the client's are.
# Those close the socket, which closes itself as it goes. This one is a function in C, in which no handler runs.
_NOTHING: Final = staticmethod(int)

_AnyParser: Any = DefaultParser  # one of two, by what is installed


class _Parser(_AnyParser):  # type: ignore[misc]  # see there
    """The client's parser of answers."""

    __del__ = _NOTHING


class _TimedSocket:
    """A socket whose every operation ends by `deadline`.

    A socket's own timeout bounds one receive: what drips in would never end.
    """

    __slots__ = ("_socket", "deadline")

    def __init__(self, native: Any, deadline: float) -> None:
        self._socket = native
        self.deadline = deadline

    def _limit(self) -> None:
        left = self.deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)

    def recv(self, size: int) -> bytes:
        self._limit()
        received: bytes = self._socket.recv(size)
        return received

    def recv_into(self, buffer: bytearray) -> int:
        self._limit()
        received: int = self._socket.recv_into(buffer)
        return received

    def sendall(self, data: bytes) -> None:
        self._limit()
        self._socket.sendall(data)  # its timeout is for all of them

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _Timed:
    """A client's connection with a deadline; it connects once, and is thrown away when anything has gone wrong.

    Attributes:
        ends: When the call that it works for has to end.
        mark: The weak reference by which its pool counts it.
        server: Which run of which server it leads to; empty if that can't be known, `None` if nobody has asked.
    """

    __del__ = _NOTHING

    ends = 0.0
    mark: Any = None
    server: bytes | None = None
    _connected_by = 0.0
    _poll: Any = None

    # The client's own, most of which is not typed.
    pid: int
    connect: Any
    read_response: Any
    send_packed_command: Any
    _sock: Any

    # The client gives a socket these timeouts anew at each step of connecting: what is left is given each time.

    @property
    def socket_connect_timeout(self) -> float:
        """Seconds that are left to connect."""
        return max(self._connected_by - monotonic(), _LEAST)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: Any) -> None:
        """Nothing: `open` is told."""

    @property
    def socket_timeout(self) -> float:
        """Seconds that are left for the next step of connecting, the TLS handshake."""
        return max(self._connected_by - monotonic(), _LEAST)

    @socket_timeout.setter
    def socket_timeout(self, value: Any) -> None:
        """Nothing: `open` is told."""

    def open(self, seconds: float, ends: float) -> None:
        """Connect, and log in.

        Args:
            seconds: How long connecting may take, TLS included.
            ends: When the call has to end.

        Raises:
            RedisError: the client's, without the frames in which the credentials are at hand.
        """
        self.ends = ends
        self._connected_by = min(monotonic() + seconds, ends)
        try:
            self.connect()
        except Exception as error:
            own = raised_by_caller(error)
            if own is not None:
                raise own from None
            _forget_frames(error)
            raise
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self._sock.fileno(), select.POLLIN)

    def _connect(self) -> Any:
        return _TimedSocket(super()._connect(), self.ends)  # type: ignore[misc]  # of the class beside this one

    def is_quiet(self) -> bool:
        """Whether the server has neither closed the connection nor sent what nobody asked for."""
        if self.pid != os.getpid() or self._sock is None:
            return False
        if self._poll is not None:
            return not self._poll.poll(0)
        return not select.select([self._sock], [], [], 0)[0]

    def exchange(self, commands: Sequence[Command], ends: float) -> list[Any]:
        """What the server answers to each command: its answer, or a `ResponseError`.

        This packs the words itself: a pipeline of redis-py spends twice the time.

        Args:
            commands: The commands, sent without waiting for answers in between.
            ends: When the call has to end.

        Raises:
            RedisError: if the connection is lost, or gives no answers in time; it is of no more use.
        """
        self._sock.deadline = ends
        # In pieces, so that the server works on one while the next is packed.
        pieces = (commands[first : first + _PIECE] for first in range(0, len(commands), _PIECE))
        self.send_packed_command((b"".join(map(_pack, piece)) for piece in pieces), check_health=False)
        results: list[Any] = []
        for _ in commands:
            try:
                results.append(self.read_response())
            except ResponseError as error:
                results.append(error.with_traceback(None))
        return results

    def sever(self) -> None:
        """Have whoever waits for an answer, in another thread, wait no longer."""
        native = self._sock
        if native is not None:
            with suppress(OSError):
                native.shutdown(socket.SHUT_RDWR)


class Wire(_Timed, Connection):  # type: ignore[misc]  # its timeouts are what is left
    """A connection over TCP."""


class SecureWire(_Timed, SSLConnection):  # type: ignore[misc]  # its timeouts are what is left
    """A connection over TLS."""


class SocketWire(_Timed, UnixDomainSocketConnection):  # type: ignore[misc]  # its timeouts are what is left
    """A connection over a Unix socket."""


def new_wire(settings: Settings, address: tuple[str, int], **other: Any) -> Any:
    """A connection, not opened yet.

    Args:
        settings: What the URL asks for.
        address: Host and port of the server; ignored for a Unix socket.
        **other: Options of the client's connection, in place of those of the URL.
    """
    options = connection_options(settings)
    options.update(other)
    options["retry"] = Retry(NoBackoff(), 0)
    options["parser_class"] = _Parser
    secure = options.pop("ssl", False)
    if settings.options["socket"]:
        del options["socket_keepalive"]
        to_socket: Any = SocketWire  # untyped there
        return to_socket(path=settings.options["socket"], **options)
    host, port = address
    return (SecureWire if secure else Wire)(host=host, port=port, **options)


def _forget_frames(error: BaseException | None) -> None:
    """Take the tracebacks off an error and what led to it: the client's frames hold the password while it logs in."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _pack(words: Command) -> bytes:
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


try:
    from hiredis import pack_command  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    pass
else:
    _pack = pack_command  # type: ignore[assignment, unused-ignore]  # the same, in a third of the time
