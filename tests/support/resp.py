"""As much of Redis' protocol as it takes to see that a server is ready and to join a cluster, with no client library."""

from __future__ import annotations

import socket
from typing import IO, Any


def call(port: int, *words: str, host: str = "127.0.0.1", login: tuple[str, str] | None = None) -> Any:
    """Send one command on a connection of its own and return the answer.

    Args:
        port: The server's port.
        *words: The command and its arguments.
        host: The server's host.
        login: User and password to send first.

    Raises:
        OSError: if the server can't be reached.
        ValueError: if the server answers with an error, which is the message.
    """
    with socket.create_connection((host, port), timeout=60) as connection, connection.makefile("rb") as stream:
        if login:
            connection.sendall(_encode(("AUTH", *login)))
            _decode(stream)
        connection.sendall(_encode(words))
        return _decode(stream)


def answers(port: int) -> bool:
    """Whether a Redis server answers on this port, be it only to ask for a password."""
    try:
        call(port, "PING")
    except OSError:
        return False
    except ValueError as error:
        return str(error).startswith("NOAUTH")
    return True


def _encode(words: tuple[str, ...]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _decode(stream: IO[bytes]) -> Any:
    line = stream.readline()
    if not line:
        raise ConnectionResetError("the server closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise ValueError(rest.decode())
    if kind == b":":
        return int(rest)
    size = int(rest)
    if size < 0:
        return None
    if kind == b"$":
        text = stream.read(size)
        stream.read(2)
        return text.decode()
    return [_decode(stream) for _ in range(size)]
