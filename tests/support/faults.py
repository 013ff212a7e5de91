"""Every fault at every call: the matrix that a driver's tests adopt, with a server and a URL of their own.

A lane is one call, on a Store and a database of its own behind a proxy of its own. Each fault meets the calls of all
lanes at once, since what waits for a timeout costs time and no work. Of every cell it is then asked:

- the call has ended: with the right answer, or with an error that Divan's documentation names for a lost server;
- what it acknowledged is there, and what it did not acknowledge is there once or not at all;
- the same Store works as soon as the fault is over, and holds no more connections than before.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import divan
import pytest
from divan import Store

from tests.support import servers
from tests.support.fault_calls import (
    CALLS,
    FAULTS,
    NAMED,
    PATIENCE,
    SEEDS,
    Call,
    Documents,
    Fault,
    Outcome,
    judge,
    outcome_of,
)
from tests.support.processes import wait_until
from tests.support.proxy import Proxy
from tests.support.servers import Server

_L = TypeVar("_L")


@dataclass
class Lane:
    """One call, with what it is made on.

    Attributes:
        name: The call's name.
        call: The call.
        proxy: What the Stores reach the server through.
        stores: The Store with much time, and the one with little.
        steady: A Store on the same database that no fault meets.
    """

    name: str
    call: Call
    proxy: Proxy
    stores: tuple[Store, Store]
    steady: Store

    def reset(self) -> None:
        """Bring the database to `SEEDS`."""
        there = self.documents()
        self.steady.delete_many([id for id in there if id not in SEEDS])
        for id, fields in SEEDS.items():
            if there.get(id) != fields:
                self.steady.put(id, fields)

    def documents(self) -> Documents:
        """What the database holds."""
        return {document.id: dict(document) for document in self.steady}

    def meet(self, fault: Fault) -> list[str]:
        """Make the call under a fault of the network's; what was wrong about it, and with the Store afterwards."""
        self.reset()
        store = self.stores[fault.is_slow]
        fault.begin(self.proxy)
        try:
            outcome = outcome_of(self.call, store)
        finally:
            fault.end(self.proxy)
        wrong = self.judged(outcome)
        if fault.is_harmless and outcome[1] is not None:
            wrong.append(f"raised {outcome[1]!r}, though nothing was lost")
        return [*wrong, *self.recover(store)]

    def judged(self, outcome: Outcome) -> list[str]:
        """What is wrong about how a call has ended, and about what it left."""
        return judge(self.call, *outcome, self.documents())

    def recover(self, store: Store) -> list[str]:
        """What is wrong with the Store after the fault."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                found = store.get("c")
            except divan.OperationTimeout as error:  # a busy machine may be slower than a Store with little time
                if time.monotonic() > ends:
                    return [f"does not work again: {error!r}"]
            except Exception as error:
                return [f"does not work again: {error!r}"]
            else:
                return [] if found == SEEDS["c"] else [f"gave {found!r} afterwards"]


class FaultMatrix:
    """Every fault at every call; a driver's test class gives it a server.

    Attributes:
        seconds: The timeout of the Stores with little time.
        connections: How many connections of a Store to its server stay open.
    """

    seconds: ClassVar[float] = 0.7
    connections: ClassVar[int] = 3

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Server:
        """The server that the lanes share; to be overridden."""
        raise NotImplementedError

    @classmethod
    def open(cls, server: Server, database: str, seconds: float) -> Store:
        """Open a Store whose calls end after so many seconds."""
        return divan.open(server.store_url(database), timeout=seconds, connect_timeout=60)

    @classmethod
    def drop(cls, store: Store) -> None:
        """Remove a Store's database from the server."""
        store.delete_many(list(store.ids()))

    @classmethod
    def revive(cls, store: Store) -> None:
        """Make a Store's database anew on a server that has lost it."""

    @pytest.fixture(scope="class")
    @classmethod
    def lanes(cls, server: Server) -> Iterator[list[Lane]]:
        """A lane for each call."""
        with ExitStack() as stack:
            yield [cls._lane(stack, server, name, call) for name, call in CALLS.items()]

    @classmethod
    def _lane(cls, stack: ExitStack, server: Server, name: str, call: Call) -> Lane:
        database = f"faults{uuid.uuid4().hex[:12]}"
        steady = stack.enter_context(cls.open(server, database, PATIENCE))
        stack.callback(cls.drop, steady)
        proxy = stack.enter_context(Proxy(server.host, server.port))
        stores = []
        for seconds in (PATIENCE, cls.seconds):
            stores.append(cls._opened(server.behind(proxy), database, seconds))
            stack.callback(_close, stores[-1])
        return Lane(name, call, proxy, (stores[0], stores[1]), steady)

    @classmethod
    def _opened(cls, server: Server, database: str, seconds: float) -> Store:
        while True:
            # A busy machine may be slower than a Store with little time.
            with suppress(divan.OperationTimeout, divan.ConnectionFailed):
                return cls.open(server, database, seconds)

    @pytest.mark.parametrize("name", FAULTS)
    def test_a_fault_at_every_call(
        self, lanes: list[Lane], name: str, record_property: Callable[[str, object], None]
    ) -> None:
        fault = FAULTS[name]
        _at_once(lanes, lambda lane: lane.meet(fault))
        record_property("cells", len(lanes))

    @pytest.mark.parametrize("name", ["stopped and continued"])
    def test_a_stopped_server_at_every_call(
        self, lanes: list[Lane], server: Server, name: str, record_property: Callable[[str, object], None]
    ) -> None:
        """What it got to hear too late it may still do when it goes on: at any time, and so once or not at all."""
        if server.process is None:
            pytest.skip("the server in the environment is not this test's to stop")
        _at_once(lanes, lambda lane: lane.reset())
        outcomes: dict[str, Outcome] = {}
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            _at_once(lanes, lambda lane: outcomes.__setitem__(lane.name, outcome_of(lane.call, lane.stores[1])))
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        _at_once(lanes, lambda lane: [*lane.judged(outcomes[lane.name]), *lane.recover(lane.stores[1])])
        record_property("cells", len(lanes))

    def test_a_killed_server_at_every_call(
        self, server: Server, record_property: Callable[[str, object], None]
    ) -> None:
        """It is started again on the same port; what it held is its own affair, and that of the torture."""
        if server.process is None:
            pytest.skip("the server in the environment is not this test's to kill")
        with servers.fresh(server.kind) as own, ExitStack() as stack:
            opened = {}
            for name in CALLS:
                database = f"faults{uuid.uuid4().hex[:12]}"
                opened[name] = stack.enter_context(self.open(own, database, PATIENCE))
                opened[name].create_many(SEEDS.items())
            own.kill()
            _at_once(opened, lambda name: _misnamed(name, outcome_of(CALLS[name], opened[name])))
            own.restart()
            for store in opened.values():
                self.revive(store)

            def works_again(name: str) -> list[str]:
                opened[name].put("c", SEEDS["c"])
                return [] if opened[name].get("c") == SEEDS["c"] else ["does not work again"]

            _at_once(opened, works_again)
        record_property("cells", len(CALLS))

    def test_no_fault_leaves_a_connection_behind(self, lanes: list[Lane]) -> None:
        def is_tidy(lane: Lane) -> bool:
            return lane.proxy.open_connections <= 2 * self.connections

        wait_until(lambda: all(map(is_tidy, lanes)), "no more connections than the Stores keep", PATIENCE)

    @pytest.mark.parametrize("name", [name for name in FAULTS if name != "delayed"])
    def test_a_fault_while_a_store_is_opened(self, server: Server, name: str) -> None:
        fault = FAULTS[name]
        database = f"faults{uuid.uuid4().hex[:12]}"
        with self.open(server, database, PATIENCE) as steady, Proxy(server.host, server.port) as proxy:
            behind = server.behind(proxy)
            fault.begin(proxy)
            seconds = self.seconds if fault.is_slow else PATIENCE
            opened, error = outcome_of(Call(lambda _: self.open(behind, database, seconds)), steady)
            fault.end(proxy)
            assert error is None or isinstance(error, NAMED), repr(error)
            if opened is not None:
                _close(opened)
            with self.open(behind, database, PATIENCE) as store:
                store.put("a", {"n": 1})
                assert store.get("a") == {"n": 1}
            self.drop(steady)

    def test_no_thread_is_left_behind(self, server: Server) -> None:
        """Of a Store that met silence and loss, and was closed."""
        before = set(threading.enumerate())
        database = f"faults{uuid.uuid4().hex[:12]}"
        with self.open(server, database, PATIENCE) as steady, Proxy(server.host, server.port) as proxy:
            store = self._opened(server.behind(proxy), database, self.seconds)
            proxy.hang()
            with pytest.raises(NAMED):
                store.put("a", {})
            proxy.resume()
            proxy.drop_connections()
            _close(store)
            self.drop(steady)
        wait_until(
            lambda: not {one for one in threading.enumerate() if one not in before}, "no further thread", PATIENCE
        )


def _at_once(lanes: Collection[_L], work: Callable[[_L], list[str] | None]) -> None:
    """Have each lane do its work, all at once, and fail with what was wrong."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        found = zip(lanes, pool.map(work, lanes), strict=True)
        wrong = [f"{getattr(lane, 'name', lane)}: {', '.join(reasons)}" for lane, reasons in found if reasons]
    assert wrong == []


def _misnamed(name: str, outcome: Outcome) -> list[str]:
    """What is wrong about the end of a call whose server is gone; where there are no indexes, some ask nothing of it."""
    if name in ("explain", "ensure_index") and outcome == (True, None):
        return []
    error = outcome[1]
    errors = list(error.errors.values()) if isinstance(error, divan.BulkError) else [error]
    return [f"ended with {one!r}" for one in errors if not isinstance(one, NAMED)]


def _close(store: Store) -> None:
    with suppress(divan.DivanError):
        store.close()
