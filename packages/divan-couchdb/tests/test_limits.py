"""Bounds of time and of connections, forks, and exceptions that a signal's handler raises in the middle of a request."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import divan
import pytest
from divan import Store
from divan.errors import ConnectionFailed, OperationTimeout, StoreClosed
from divan.testing.checks.network import server
from divan_couchdb import CouchDBBackend

from tests.support.couch_script import CouchScript

pytestmark = pytest.mark.slow

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _open(port: int, scheme: str = "couchdb", **options: Any) -> Store:
    return divan.open(f"{scheme}://127.0.0.1:{port}/guests", **options)


@pytest.fixture
def script() -> Iterator[CouchScript]:
    with CouchScript() as started:
        yield started.on("GET", "/ada", (200, {"_id": "ada", "_rev": "1-a", "n": 1}), stays=True)


# Time


def _drip(*parts: bytes, first: bytes = b"") -> Callable[[socket.socket], None]:
    """Answers the first request whole, and the next ones by a few bytes at a time, for ever."""
    about = json.dumps({"db_name": "guests"}).encode()

    def serve(connection: socket.socket) -> None:
        def answer() -> None:
            with suppress(OSError):
                connection.recv(65_536)
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(about) + about)
                connection.recv(65_536)
                connection.sendall(first)
                while True:
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(0.05)

        threading.Thread(target=answer, daemon=True).start()

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        _drip(b" ", first=HEAD + b"Content-Length: 1000000\r\n\r\n"),
        _drip(b"1\r\n \r\n", first=HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        _drip(b" " * 60_000, first=HEAD + b"\r\n"),
        _drip(b"X", first=b"HTTP/1.1 200 OK\r\nX-"),
        _drip(b"H"),
    ],
    ids=["body", "chunks", "endless", "header", "status"],
)
@pytest.mark.parametrize(
    "call",
    [lambda store: store.get("ada"), lambda store: store.update("ada", {"n": 1}), lambda store: list(store)],
    ids=["get", "update", "iter"],
)
def test_an_answer_that_drips_ends_in_time(
    answer: Callable[[socket.socket], None], call: Callable[[Store], object]
) -> None:
    with server(answer) as port, _open(port, timeout=0.6) as store:
        began = time.monotonic()
        with pytest.raises(OperationTimeout, match="timeout="):
            call(store)
        assert 0.5 < time.monotonic() - began < 30  # and not as long as it drips, which is for ever


def test_tls_to_a_server_that_speaks_none_ends_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        def serve() -> None:
            with suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x3f\xff")
                while True:
                    connection.sendall(b"\x02")
                    time.sleep(0.05)

        threading.Thread(target=serve, daemon=True).start()

    for answer in (drip, lambda connection: None):
        with server(answer) as port:
            began = time.monotonic()
            with pytest.raises(ConnectionFailed):
                _open(port, "couchdbs", connect_timeout=0.5, timeout=60)
            assert time.monotonic() - began < 45


# Connections


def test_a_call_waits_for_a_connection(script: CouchScript) -> None:
    with _open(script.port, max_connections=2) as store, ThreadPoolExecutor(30) as pool:
        assert list(pool.map(lambda _: store.get("ada")["n"], range(300))) == [1] * 300
        backend = store.backend
        assert isinstance(backend, CouchDBBackend)
        assert len(backend._client._pool._open) <= 2


def test_a_call_that_gets_no_connection_in_time_names_the_option(script: CouchScript) -> None:
    held = threading.Event()
    script.on("GET", "/slow", lambda path, body: (held.wait(60), (200, {"_id": "slow", "_rev": "1-a"}))[1])
    with _open(script.port, max_connections=1) as store, ThreadPoolExecutor(1) as pool:
        backend = store.backend
        assert isinstance(backend, CouchDBBackend)
        slow = pool.submit(store.get, "slow")
        while not any("slow" in path for _, path, _ in script.requests):
            time.sleep(0.001)
        backend._client.settings = replace(backend._client.settings, timeout=0.2)
        with pytest.raises(OperationTimeout, match="max_connections="):
            store.get("ada")
        held.set()
        slow.result()
        assert store.get("ada") == {"n": 1}


def test_nothing_is_left_open_after_close(script: CouchScript) -> None:
    store = _open(script.port)
    store.get("ada")
    backend = store.backend
    assert isinstance(backend, CouchDBBackend)
    store.close()
    assert not backend._client._pool._open
    with pytest.raises(StoreClosed):
        store.get("ada")


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_each_side_of_a_fork_has_its_own_connections(script: CouchScript) -> None:
    script.on("GET", "/", lambda path, body: (200, {"_id": path[8:], "_rev": "1-a"}), stays=True)
    with _open(script.port) as store:
        store.get("ada")
        children = []
        for number in range(3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads: the server's
                child = os.fork()
            if not child:
                right = all(store.get(f"{number}-{one}").id == f"{number}-{one}" for one in range(100))
                os._exit(0 if right else 1)
            children.append(child)
        assert all(store.get(f"parent-{one}").id == f"parent-{one}" for one in range(100))
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


# Exceptions of a signal's handler


class TimeLimit(Exception):
    """What a program raises that has waited long enough."""


class OSLimit(TimeoutError):
    """One that looks like a failure of the network."""


@contextmanager
def _interrupts(error: type[Exception], seed: int) -> Iterator[Callable[[], None]]:
    """A handler that raises at random; call the result to have it raise once, soon."""
    chance = random.Random(seed)

    def interrupt(number: int, frame: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 3e-3)) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [TimeLimit, OSLimit])
def test_what_a_signals_handler_raises_comes_as_it_is_and_breaks_nothing(
    script: CouchScript, error: type[Exception]
) -> None:
    done = (201, {"ok": True, "id": "ada", "rev": "2-b"})
    script.on("PUT", "/ada", (409, {"error": "conflict"})).on("PUT", "/ada", done, stays=True)
    interrupted = 0
    with _open(script.port, max_connections=2) as store:
        with _interrupts(error, 1) as arm:
            for _ in range(1500):
                try:
                    arm()
                    for _ in range(3):
                        store.put("ada", {"n": 1})
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except error as caught:
                    interrupted += type(caught) is error
        assert interrupted > 100
        backend = store.backend
        assert isinstance(backend, CouchDBBackend)
        with ThreadPoolExecutor(8) as pool:  # every connection can be had, and no writer is taken to be in a queue
            list(pool.map(lambda _: store.put("ada", {"n": 1}), range(40)))
        assert not any(queue.writers for queue in backend._documents._queues._queues)
        assert len(backend._client._pool._open) <= 2


def test_a_handlers_exception_within_a_receive_is_not_translated(script: CouchScript) -> None:
    def wait(path: str, body: Any) -> Any:
        select.select([], [], [], 0.3)
        return 200, {"_id": "slow", "_rev": "1-a"}

    script.on("GET", "/slow", wait, stays=True)
    with _open(script.port) as store:

        def interrupted_get() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            store.get("slow")

        for error in (TimeLimit, OSLimit, ValueError, ConnectionResetError):

            def interrupt(number: int, frame: object, error: type[Exception] = error) -> None:
                raise error

            before = signal.signal(signal.SIGALRM, interrupt)
            try:
                with pytest.raises(error) as caught:
                    interrupted_get()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            assert type(caught.value) is error
        assert store.get("ada") == {"n": 1}
