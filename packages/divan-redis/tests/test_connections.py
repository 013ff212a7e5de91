"""Connections to a live server: one is waited for, none is lost to an exception, a fork or `close()`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import divan
import pytest
from divan import Store
from redis.connection import AbstractConnection

pytestmark = pytest.mark.live


def new_name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["redis_server", "redis_cluster", "redis_sentinel", "socket"])
def open_store(request: pytest.FixtureRequest) -> Iterator[Callable[..., Store]]:
    """Opens a Store of one database, given its options, on each kind of server."""
    name = "redis_server" if request.param == "socket" else request.param
    server: Any = request.getfixturevalue(name)
    database = new_name()

    def open_store(**options: Any) -> Store:
        if request.param == "socket":
            if "socket" not in server.extra:
                pytest.skip("this server was not started here, so that its Unix socket is out of reach")
            return divan.open(f"redis+unix:///{database}", socket=server.extra["socket"], **options)
        service = {"service": server.extra["service"]} if request.param == "redis_sentinel" else {}
        return divan.open(server.store_url(database, **service), **options)

    yield open_store
    with open_store() as store:
        store.delete_many(store.ids())


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# One is waited for


@pytest.mark.parametrize("options", [{}, {"max_connections": 2}])
def test_150_threads_wait_for_a_connection(open_store: Callable[..., Store], options: dict[str, Any]) -> None:
    with open_store(timeout=120, **options) as store:
        store.create({"n": 1}, id="x")

        def work(number: int) -> None:
            for _ in range(20):
                assert store.get("x") == {"n": 1}

        in_threads(150, work)


@pytest.mark.parametrize("most", [1, 100])
def test_half_read_finds_keep_no_connection_from_others(open_store: Callable[..., Store], most: int) -> None:
    with open_store(timeout=120, max_connections=most) as store:
        store.create_many([{"n": n} for n in range(1800)])
        half_read = [iter(store.find({"n": {"$gte": 0}})) for _ in range(110)]
        for found in half_read:
            next(found)
        assert store.count() == 1800
        assert len(list(half_read[0])) == 1799


def test_a_loop_over_a_find_may_write_at_the_last_connection(open_store: Callable[..., Store]) -> None:
    with open_store(timeout=120, max_connections=1) as store:
        store.create_many([{"n": n} for n in range(1200)])
        for document in store.find({"n": {"$gte": 0}}):
            store.delete(document)
        assert store.count() == 0


def test_a_call_that_waits_in_vain_says_which_option_allows_more(open_store: Callable[..., Store]) -> None:
    with open_store(timeout=120, max_connections=1) as holder, open_store(timeout=0.2, max_connections=1) as store:
        store.ping()
        holder.create({}, id="x")
        backend: Any = store.backend
        pools = backend._client._servers.all(float("inf"))
        leases = [pool.lease(float("inf")) for pool in pools]
        with pytest.raises(divan.OperationTimeout, match=r"nothing was sent; max_connections="):
            store.update("x", {"n": divan.Increment(1)})
        for lease in leases:
            lease.release()
        assert holder.get("x") == {}


def test_who_waits_for_a_connection_gets_it_before_who_asks_later(redis_server: Any) -> None:
    with divan.open(redis_server.store_url(new_name()), timeout=120, max_connections=1) as store:
        backend: Any = store.backend
        (pool,) = backend._client._servers.all(float("inf"))
        order = []

        def wait() -> None:
            lease = pool.lease(float("inf"))
            order.append("first")
            lease.release()

        for _ in range(20):
            held = pool.lease(float("inf"))
            waiter = threading.Thread(target=wait)
            waiter.start()
            while not pool._process.waiting:
                waiter.join(0.001)
            held.release()
            held = pool.lease(float("inf"))
            order.append("second")
            held.release()
            waiter.join()
        assert order == ["first", "second"] * 20


# None is lost


INTERRUPTED = """
    import signal, sys, threading, time
    import divan

    class Interrupt(Exception):
        pass

    def interrupt(number, frame):
        global interrupts
        interrupts += 1
        raise Interrupt

    interrupts = 0
    kept = []
    store = divan.open(sys.argv[1], max_connections=4, timeout=60, connect_timeout=60)
    store.put("n", {"n": 0})
    signal.signal(signal.SIGALRM, interrupt)
    calls = [
        lambda: store.put("a", {}),
        lambda: store.get("n"),
        lambda: store.update("n", {"n": divan.Increment(1)}),
        lambda: store.get_many(["a", "n"]),
        lambda: list(store.find({"n": {"$gte": 0}})),
        lambda: store.update_many([("n", {"m": 1}), ("n", {"m": 2})]),
        lambda: store.count(),
    ]
    turn = 0
    ends = time.monotonic() + 150  # far more than the interrupts take: it only ends what would go on for ever
    while interrupts < int(sys.argv[2]) and time.monotonic() < ends:
        turn += 1
        try:
            # Each falls a little later in its call than the one before.
            signal.setitimer(signal.ITIMER_REAL, 0.00001 * (1 + turn % 90))
            calls[turn % len(calls)]()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupt as error:
            if turn % 10 == 0:
                kept.append(error)  # and all that its traceback holds
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert interrupts > 300, interrupts
    for call in calls:
        call()
    threads = [threading.Thread(target=lambda: [call() for call in calls]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept.clear()
    pools = store.backend._client._servers.all(float("inf"))
    for pool in pools:
        assert 1 <= len([mark for mark in pool._process.alive.values() if mark() is not None]) <= 4
    store.close()
    for pool in pools:
        assert not [mark for mark in pool._process.alive.values() if mark() is not None]
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the signals are those of POSIX")
@pytest.mark.parametrize(("kind", "number"), [("redis_server", 10_000), ("redis_cluster", 1_000)])
def test_interrupts_lose_no_connection(request: pytest.FixtureRequest, kind: str, number: int) -> None:
    server: Any = request.getfixturevalue(kind)
    url = server.store_url(new_name())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), url, str(number)],
        capture_output=True,
        text=True,
        timeout=400,  # only ends a hang
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with divan.open(url) as store:
        store.delete_many(store.ids())


def test_an_interrupted_set_up_is_never_used_again(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupt(BaseException):
        pass

    send = AbstractConnection.send_packed_command
    left = 0

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal left
        send(self, *args, **kwargs)
        left -= 1
        if left == 0:
            raise Interrupt

    with divan.open(redis_server.store_url(new_name()), max_connections=1) as store:
        monkeypatch.setattr(AbstractConnection, "send_packed_command", interrupted)
        backend: Any = store.backend
        for step in (1, 2, 3):
            for pool in backend._client._servers.all(float("inf")):
                pool.forget_idle()
            left = step
            with pytest.raises(Interrupt):
                store.put("x", {})
            left = 0
            assert store.put("x", {"n": step}) == store.get("x") == {"n": step}
        store.delete("x")


@pytest.mark.parametrize("kind", [TimeoutError, ValueError, OSError, RuntimeError])
def test_an_exception_of_the_callers_own_arrives_as_it_is(redis_server: Any, kind: type[Exception]) -> None:
    code = """
        import signal, sys, divan
        kind = getattr(__builtins__, sys.argv[2])
        own = kind("mine")

        def interrupt(number, frame):
            raise own

        signal.signal(signal.SIGALRM, interrupt)
        store = divan.open(sys.argv[1])
        seen = 0
        for turn in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00001 * (1 + turn % 40))
                store.get("x", None)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except kind as error:
                assert error is own, repr(error)
                seen += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert seen
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), redis_server.store_url(new_name()), kind.__name__],
        capture_output=True,
        text=True,
        timeout=400,  # only ends a hang
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


# Forks and close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_mixes_no_answers(redis_server: Any) -> None:
    code = """
        import os, sys, threading, divan
        store = divan.open(sys.argv[1], max_connections=2)
        store.create_many([(f"id{n}", {"n": n}) for n in range(1200)])
        half_read = iter(store)
        next(half_read)
        stop = threading.Event()
        busy = [threading.Thread(target=lambda: [store.get("id1") for _ in iter(stop.is_set, True)]) for _ in range(4)]
        for thread in busy:
            thread.start()
        children = []
        for _ in range(3):
            pid = os.fork()
            if not pid:
                try:
                    for n in range(300):
                        assert store.get_many([f"id{n}"]) == [{"n": n}]
                    assert len(list(half_read)) == 1199
                    store.close()
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), file=sys.stderr, flush=True)
                    os._exit(1)
            children.append(pid)
        for n in range(300):
            assert store.get_many([f"id{n}"]) == [{"n": n}]
        statuses = [os.waitpid(pid, 0)[1] for pid in children]
        stop.set()
        for thread in busy:
            thread.join()
        assert statuses == [0, 0, 0], statuses
        assert len(list(half_read)) == 1199
        store.delete_many(store.ids())
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), redis_server.store_url(new_name())],
        capture_output=True,
        text=True,
        timeout=400,  # only ends a hang
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("ask", [{}, {"sort": "n"}, {"fields": ["n"]}, {"limit": 5}])
def test_an_iterator_that_is_used_after_close_says_so(redis_server: Any, ask: dict[str, Any]) -> None:
    url = redis_server.store_url(new_name())
    with divan.open(url) as keeper:
        keeper.create_many([{"n": n} for n in range(10)])
        store = divan.open(url)
        found = [store.find({"n": {"$gte": 0}}, **ask), iter(store), store.ids()]
        for iterator in found:
            next(iterator)
        store.close()
        for iterator in found:
            with pytest.raises(divan.StoreClosed):
                next(iterator)
        keeper.delete_many(keeper.ids())


def test_a_call_that_waits_when_the_store_is_closed_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                while line := stream.readline():
                    if line == b"PING\r\n":
                        connection.sendall(b"+PONG\r\n")
                    elif line in (b"SETINFO\r\n", b"LOAD\r\n"):
                        connection.sendall(b"+OK\r\n")
                    elif line == b"HGETALL\r\n":
                        connected.set()

        threading.Thread(target=serve, daemon=True).start()
        store = divan.open(f"redis://127.0.0.1:{listener.getsockname()[1]}/x", timeout=300)
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                store.get("x")
            except BaseException as error:
                ended.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert connected.wait(60)
        store.close()
        waiting.join(60)
        assert [type(error) for error in ended] == [divan.StoreClosed]
