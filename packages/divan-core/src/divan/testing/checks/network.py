"""Internal: the checks of servers that fail: none there, one that never answers, one that talks nonsense.

An embedded store (``default_port`` 0) has no server, and the checks say so.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from divan import ConnectionFailed, DivanError, InvalidURL, OperationTimeout, Store
from divan.testing.base import StoreChecks
from divan.testing.comparing import ShownURL

_AUTHORITY = re.compile(r"(?P<scheme>[^:/?#]+://)(?P<userinfo>(?:[^@/?#]*@)?)(?P<hosts>[^/?#]*)")


def at_port(url: str, port: int, userinfo: str | None = None) -> str:
    """The URL with its hosts replaced by a port of this machine, and its user and password if others are given."""
    found = _AUTHORITY.match(url)
    if found is None:
        pytest.skip("not applicable: this store is not opened by a URL")
    login = found["userinfo"] if userinfo is None else f"{userinfo}@"
    return ShownURL(f"{found['scheme']}{login}127.0.0.1:{port}{url[found.end() :]}")


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens, and nobody else can begin to."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # held without listening: whoever connects is refused
        yield int(holder.getsockname()[1])


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does one thing with each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                with contextlib.suppress(OSError):
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            listener.close()
            thread.join()
            for connection in held:
                connection.close()


class Relay:
    """Passes on what a client and a server send each other, until it falls silent."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._is_silent = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """Pass nothing on from now on, and close nothing."""
        self._is_silent = True

    def stop(self) -> None:
        """Close every connection, and take no more."""
        for one in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._ends += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if not self._is_silent:
                    other.sendall(data)
            other.shutdown(socket.SHUT_WR)


def outcome(call: Callable[[], Any], patience: float) -> Any:
    """What the call returns or raises; fails if it has not ended in time."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(call())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(patience)
    if not ended:
        pytest.fail(f"the call has not ended after {patience:g} seconds", pytrace=False)
    return ended[0]


def open_impatiently(checks: StoreChecks, url: str, seconds: float = 1.0) -> Store:
    """Open a Store that gives up after so long, as far as its backend has the options by their usual names."""
    options = {"timeout": seconds, "connect_timeout": seconds}
    known = checks.backend_class.known_options
    if known is not None:
        return checks.open(url, **{name: value for name, value in options.items() if name in known})
    try:
        return checks.open(url, **options)
    except InvalidURL:
        return checks.open(url)


def _nothing(connection: socket.socket) -> None:
    """Hold the connection and never answer."""


def _hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff nonsense \r\n\r\n" * 8)
    connection.shutdown(socket.SHUT_RDWR)


class Network(StoreChecks):
    """Servers that fail."""

    @pytest.fixture
    def reach(self, store: Store, fresh_url: str) -> Callable[[int], Any]:
        """What opening the store at another port of this machine, and writing to it, ends with."""
        if self.backend_class.default_port == 0:
            pytest.skip(f"not applicable: {self.backend_class.__name__} is embedded and has no server")
        if fresh_url.split("://")[0].endswith("+srv"):
            pytest.skip("not applicable: the URL names servers by DNS records")

        def reach(port: int) -> Any:
            def use() -> Any:
                with open_impatiently(self, at_port(fresh_url, port)) as opened:
                    return opened.create({"a": 1})

            return outcome(use, self.patience)

        return reach

    def test_no_server_is_a_failed_connection(self, reach: Callable[[int], Any]) -> None:
        with closed_port() as port:
            result = reach(port)
        assert isinstance(result, ConnectionFailed), repr(result)

    def test_a_server_that_never_answers_is_given_up(self, reach: Callable[[int], Any]) -> None:
        with server(_nothing) as port:
            result = reach(port)
        assert isinstance(result, OperationTimeout | ConnectionFailed), repr(result)

    def test_a_server_that_falls_silent_is_given_up(self, store: Store, fresh_url: str) -> None:
        """A call that was sent and is not answered ends too; of several servers another one may answer it."""
        backend = store.backend
        if backend.default_port == 0 or "," in backend.host or fresh_url.split("://")[0].endswith("+srv"):
            pytest.skip("not applicable: this store has no server of a single host")
        document = store.create({"a": 1})
        relay = Relay(backend.host, backend.port)
        try:
            opened = _open_through(self, at_port(fresh_url, relay.port))
            assert opened.get(document.id) == {"a": 1}
            relay.fall_silent()
            result = outcome(lambda: opened.get(document.id), self.patience)
        finally:
            relay.stop()
        opened.close()
        assert isinstance(result, OperationTimeout | ConnectionFailed) or result == {"a": 1}, repr(result)

    def test_a_server_that_hangs_up_is_a_failed_connection(self, reach: Callable[[int], Any]) -> None:
        with server(_hang_up) as port:
            result = reach(port)
        assert isinstance(result, OperationTimeout | ConnectionFailed), repr(result)

    def test_a_server_that_talks_nonsense_is_an_error_of_divan(self, reach: Callable[[int], Any]) -> None:
        with server(_nonsense) as port:
            result = reach(port)
        assert isinstance(result, DivanError), repr(result)

    def test_the_clients_own_error_is_chained(self, reach: Callable[[int], Any]) -> None:
        with closed_port() as port:
            result = reach(port)
        assert isinstance(result, ConnectionFailed), repr(result)
        assert result.__cause__ is not None


def _open_through(checks: StoreChecks, url: str) -> Store:
    """Open a Store with the shortest time to give up after in which this machine can open it."""
    for seconds in (1.0, 5.0):
        with contextlib.suppress(DivanError):
            return open_impatiently(checks, url, seconds)
    try:
        return open_impatiently(checks, url, 30.0)
    except DivanError as error:
        pytest.skip(f"not applicable: this store can't be opened through a relay: {error}")
