"""What a server may answer: an answer of a wrong shape is an error, and one that never ends is over in time."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import divan
import pytest
from divan import Increment, Store

pytestmark = pytest.mark.slow

Answer = bytes | Callable[["Handler"], None]


class Handler(socketserver.StreamRequestHandler):
    """Answers as told; what comes with a connection is answered as Redis does, until the server has turned odd."""

    def handle(self) -> None:
        with suppress(OSError):
            while words := self._read():
                answer = self.server.answer_to(words)  # type: ignore[attr-defined]
                if callable(answer):
                    answer(self)
                else:
                    self.wfile.write(answer)

    def _read(self) -> list[bytes]:
        first = self.rfile.readline()
        words = []
        for _ in range(int(first[1:] or 0)):
            size = int(self.rfile.readline()[1:])
            words.append(self.rfile.read(size + 2)[:-2])
        return words


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.odd: Answer | None = None
        self.asked: list[list[bytes]] = []

    def answer_to(self, words: list[bytes]) -> Answer:
        if words[0] == b"PING" and self.odd is None:
            return b"+PONG\r\n"
        if words[0] in (b"CLIENT", b"SELECT") or words[:2] == [b"SCRIPT", b"LOAD"]:
            return b"+OK\r\n"
        if words[0] == b"INFO":
            return b"$9\r\nrun_id:1\r\r\n"
        self.asked.append(words)
        assert self.odd is not None
        return self.odd


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def store_of(server: Server, **options: Any) -> Iterator[Store]:
    with divan.open(f"redis://127.0.0.1:{server.server_address[1]}/x", **options) as store:
        yield store


CALLS: dict[str, Callable[[Store], Any]] = {
    "get": lambda store: store.get("a"),
    "in": lambda store: "a" in store,
    "create": lambda store: store.create({"n": 1}, id="a"),
    "put": lambda store: store.put("a", {"n": 1}),
    "replace": lambda store: store.replace("a", {"n": 1}),
    "update": lambda store: store.update("a", {"n": 1}),
    "increment": lambda store: store.update("a", {"n": Increment(1)}),
    "update with rev": lambda store: store.update("a", {"n": 1}, rev="1"),
    "delete": lambda store: store.delete("a"),
    "delete with rev": lambda store: store.delete("a", rev="1"),
    "get_many": lambda store: store.get_many(["a", "b"]),
    "create_many": lambda store: store.create_many([("a", {}), ("b", {})]),
    "update_many": lambda store: store.update_many([("a", {"n": 1}), ("b", {"n": Increment(1)})]),
    "delete_many": lambda store: store.delete_many(["a", "b"]),
    "count": lambda store: store.count(),
    "count of some": lambda store: store.count({"n": 1}),
    "find": lambda store: list(store.find({"n": 1})),
    "iter": lambda store: list(store),
    "ids": lambda store: list(store.ids()),
    "ping": lambda store: store.ping(),
}

SHAPES = {
    "number": b":5\r\n",
    "negative number": b":-1\r\n",
    "no string": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "empty list": b"*0\r\n",
    "empty string": b"$0\r\n\r\n",
    "status": b"+OK\r\n",
    "string": b"$3\r\nabc\r\n",
    "strange text": b"$2\r\n\xff\xfe\r\n",
    "odd list": b"*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n",
    "list of numbers": b"*2\r\n:1\r\n:2\r\n",
    "list with nothing": b"*2\r\n$1\r\na\r\n$-1\r\n",
    "nested list": b"*2\r\n*1\r\n*0\r\n*2\r\n:1\r\n+x\r\n",
    "list of a list": b"*1\r\n*1\r\n:1\r\n",
    "list of an empty list": b"*1\r\n*0\r\n",
    "list with an error": b"*2\r\n$1\r\na\r\n-ERR inside\r\n",
    "fields of a document that was never counted": b"*2\r\n$1\r\nn\r\n$3\r\nabc\r\n",
    "page of numbers": b"*2\r\n$1\r\n0\r\n*2\r\n:1\r\n:2\r\n",
    "page of other keys": b"*2\r\n$1\r\n0\r\n*1\r\n$3\r\ny:a\r\n",
    "page with a word for a position": b"*2\r\n$3\r\nend\r\n*0\r\n",
    "a field handed back": b"*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
    "map": b"%1\r\n$1\r\na\r\n$1\r\n1\r\n",
    "deep nest": b"*1\r\n" * 100_000 + b":1\r\n",
    "long number": b":" + b"9" * 5000 + b"\r\n",
    "no length": b"$abc\r\n",
    "too long a string": b"$99999999999999999999999\r\n",
    "too long a list": b"*99999999999999999999999\r\n",
    "negative length": b"$-5\r\n",
    "unknown type": b"?what\r\n",
    "unknown error": b"-WHAT is this\r\n",
    "no error": b"-\r\n",
    **{
        text.partition(" ")[0]: b"-%b\r\n" % text.encode()
        for text in (
            "NOSCRIPT no such script",
            "MOVED 5 127.0.0.1:1",
            "ASK 5 127.0.0.1:1",
            "MOVED there once",
            "TRYAGAIN later",
            "CLUSTERDOWN for now",
            "CROSSSLOT here",
            "WRONGTYPE of value",
            "READONLY replica",
            "BUSY with a script",
            "LOADING its data",
            "NOAUTH at all",
            "NOPERM for this",
            "ERR syntax error",
            "OOM command not allowed",
            "EXECABORT at once",
        )
    },
}

# What is an answer of these commands after all, and what it says.
RIGHT: dict[tuple[str, str], Any] = {
    ("get", "empty list"): [divan.DocumentNotFound],
    ("in", "empty list"): [False],
    ("get_many", "empty list"): [[None, None]],
    ("iter", "empty list"): [[]],
    ("create", "string"): None,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_a_wrong_shape_is_an_error(shape: str) -> None:
    with serving() as server:
        for name, call in CALLS.items():
            # Short, for the shapes that have the client wait for more.
            with store_of(server, timeout=0.3 if shape.startswith(("too long", "deep", "negative l")) else 60) as store:
                server.odd = SHAPES[shape]
                outcome = outcome_of(call, store)
                server.odd = None
            for one in outcome:
                if not isinstance(one, divan.StoreError | divan.ConnectionFailed | divan.OperationTimeout):
                    assert [one] == RIGHT.get((name, shape)), f"{name} takes {shape}"


def outcome_of(call: Callable[[Store], Any], store: Store) -> list[Any]:
    """What a call returns, or its error, or the results of the items of a bulk call."""
    try:
        return [call(store)]
    except divan.BulkError as error:
        return error.results
    except divan.DocumentNotFound:
        return [divan.DocumentNotFound]
    except divan.DivanError as error:
        return [error]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "url", ["redis://:pw@{}/x?db=1", "redis+cluster://{}/x?retries=1", "redis+sentinel://{}/x?service=m"]
)
def test_a_server_that_answers_oddly_from_the_first_is_not_opened(url: str, shape: str) -> None:
    with serving() as server:
        server.answer_to = lambda words: SHAPES[shape]  # type: ignore[method-assign]
        short = shape.startswith(("too long", "deep", "negative l"))
        with pytest.raises((divan.StoreError, divan.ConnectionFailed, divan.OperationTimeout)):
            divan.open(url.format(f"127.0.0.1:{server.server_address[1]}") + f"&timeout={0.3 if short else 60}")


def page(cursor: int) -> bytes:
    text = b"%d" % cursor
    return b"*2\r\n$%d\r\n%b\r\n*0\r\n" % (len(text), text)


@pytest.mark.parametrize("cursors", [[5], [3, 1, 2], [7, *range(100, 220)]])
def test_a_scan_that_goes_in_circles_ends(cursors: list[int]) -> None:
    with serving() as server, store_of(server, timeout=60) as store:
        turn = 0

        def circle(handler: Handler) -> None:
            nonlocal turn
            turn += 1
            handler.wfile.write(page(cursors[turn % len(cursors)]))

        server.odd = circle
        for call in (store.count, lambda: list(store.ids()), lambda: store.count({"n": 1})):
            with pytest.raises(divan.StoreError, match="never comes to an end"):
                call()


def test_a_scan_of_more_pages_than_the_server_s_keys_fill_ends() -> None:
    with serving() as server, store_of(server, timeout=60) as store:
        turn = 0

        def ever_new(handler: Handler) -> None:
            nonlocal turn
            turn += 1
            handler.wfile.write(b":5\r\n" if server.asked[-1] == [b"DBSIZE"] else page(turn))
            server.asked.clear()

        server.odd = ever_new
        with pytest.raises(divan.StoreError, match="Redis holds 5 keys, and SCAN has not come to an end"):
            store.count()


# Time. The bounds are far above the timeout, for busy machines, and far below what the fault took: it went on for ever.


def drip(handler: Handler) -> None:
    """A long answer, of which a byte comes now and then."""
    handler.wfile.write(b"$1000000\r\n")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)  # the fault itself: each byte is in time


def drip_numbers(handler: Handler) -> None:
    """Whole answers, one now and then, though never all that are waited for."""
    while True:
        handler.wfile.write(b"*0\r\n")
        time.sleep(0.05)  # the fault itself: each answer is in time


def flood(handler: Handler) -> None:
    """A line without end."""
    while True:
        handler.wfile.write(b"+" * 4096)
        time.sleep(0.001)  # so that the test does not fill the memory


@pytest.mark.parametrize("answer", [drip, flood], ids=["drip", "flood"])
def test_a_call_ends_in_time_though_the_answer_does_not(answer: Answer) -> None:
    with serving() as server:
        for name, call in CALLS.items():
            with store_of(server, timeout=0.4) as store:
                server.odd = answer
                began = time.monotonic()
                with pytest.raises((divan.OperationTimeout, divan.BulkError)) as caught:
                    call(store)
                took = time.monotonic() - began
                if isinstance(caught.value, divan.BulkError):
                    assert {type(error) for error in caught.value.errors.values()} == {divan.OperationTimeout}, name
                assert 0.3 < took < 60, name
                server.odd = None


def test_many_answers_that_drip_share_one_timeout() -> None:
    with serving() as server, store_of(server, timeout=0.5) as store:
        server.odd = drip_numbers
        with pytest.raises(divan.OperationTimeout):
            store.get_many([f"id{n}" for n in range(500)])


def test_the_second_try_of_a_read_shares_the_timeout_of_the_first() -> None:
    def slow_end(handler: Handler) -> None:
        time.sleep(0.3)  # the fault itself
        handler.connection.shutdown(2)

    with serving() as server, store_of(server, timeout=0.5, retries=1000) as store:
        server.odd = slow_end
        with pytest.raises((divan.OperationTimeout, divan.ConnectionFailed)):
            store.get("a")
        assert len(server.asked) <= 2


def test_a_tls_handshake_that_is_never_answered_ends_with_connect_timeout() -> None:
    with serving() as server:
        server.odd = drip
        began = time.monotonic()
        with pytest.raises(divan.ConnectionFailed):
            divan.open(f"rediss://127.0.0.1:{server.server_address[1]}/x?connect_timeout=0.3&timeout=300")
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel"])
def test_opening_ends_in_time_though_the_answer_does_not(scheme: str) -> None:
    with serving() as server:
        server.odd = drip
        server.answer_to = lambda words: drip  # type: ignore[method-assign]
        service = "&service=m" if scheme.endswith("sentinel") else ""
        hosts = f"127.0.0.1:{server.server_address[1]}"
        if not scheme.endswith("redis"):
            hosts = ",".join([hosts] * 3)
        with pytest.raises(divan.OperationTimeout if not service else divan.ConnectionFailed):
            divan.open(f"{scheme}://{hosts}/x?timeout=0.5{service}")
