"""Soak stores, and report what they left behind: descriptors, threads, memory."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

import divan
import divan.aio
from divan import Increment, Store

from tests.support import servers

STORES: Final = ("sqlite", "memory", "postgres", "redis", "couchdb", "mongo")
_IDS: Final = 200
_SECONDS_TO_SETTLE: Final = 60.0
"""How long threads and sockets may take to end that were told to."""
_MEGABYTES: Final = 40.0
"""By how much the process may grow: allocators keep some of what threads and bulk calls needed at their peak."""


class Held(NamedTuple):
    """What a process holds.

    Attributes:
        descriptors: Open files and sockets.
        threads: Threads.
        megabytes: Resident memory.
    """

    descriptors: int
    threads: int
    megabytes: float

    @classmethod
    def now(cls) -> Held:
        """What this process holds, when what it can let go of is gone."""
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        return cls(
            len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000
        )

    def outgrown(self, before: Held) -> list[str]:
        """In what it has grown beyond what it held before."""
        grown = []
        if self.descriptors > before.descriptors:
            grown.append(f"descriptors {before.descriptors} → {self.descriptors}")
        if self.threads > before.threads:
            grown.append(f"threads {before.threads} → {self.threads}")
        if self.megabytes > before.megabytes + _MEGABYTES:
            grown.append(f"memory {before.megabytes:.0f} → {self.megabytes:.0f} MB")
        return grown


@contextmanager
def _url(name: str) -> Iterator[str]:
    database = f"soak{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        if name == "memory":
            yield f"memory://{database}"
        elif name == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            yield f"sqlite:///{folder}/soak.db?timeout=600"
        else:
            yield stack.enter_context(servers.fresh(name)).store_url(database, timeout="600", connect_timeout="60")


def operate(store: Store, count: int, seed: int) -> None:
    """Make calls of every kind on a few documents, one after the other.

    Args:
        store: The Store.
        count: How many calls.
        seed: What they are drawn from.
    """
    draw = random.Random(seed)
    for number in range(count):
        id = f"id{draw.randrange(_IDS)}"
        kind = number % 20
        if kind < 8:
            store.get(id, None)
        elif kind < 12:
            store.put(id, {"n": number, "text": "x" * 50})
        elif kind < 16:
            try:
                store.update(id, {"m": Increment(1)})
            except divan.DocumentNotFound:
                store.put(id, {"n": 0})
        elif kind == 16:
            store.get_many([id, "nobody"])
        elif kind == 17:
            try:
                store.update_many({id: {"k": 1}})
            except divan.BulkError as error:
                if not isinstance(error.errors[0], divan.DocumentNotFound):
                    raise
        elif kind == 18 and number % 400 == 18:
            next(store.find({"n": {"$gte": 0}}), None)  # and left half-read
        elif kind == 19:
            try:
                store.delete(id)
            except divan.DocumentNotFound:
                pass


def _cycle(url: str, count: int) -> None:
    for number in range(count):
        with divan.open(url) as store:
            store.put("cycle", {"n": number})
            assert store["cycle"] == {"n": number}


def _in_threads(store: Store, count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda number: operate(store, 20, number), range(count)))


async def _in_tasks(url: str, count: int) -> None:
    async with divan.aio.open(url) as store:
        await store.put("task", {"n": 0})
        found = await asyncio.gather(*(store.get("task") for _ in range(count)))
        assert found == [{"n": 0}] * count


def _in_forks(store: Store, count: int) -> None:
    for number in range(count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            warnings.simplefilter("ignore")
            try:
                operate(store, 5, number)
            except BaseException:
                os._exit(1)
            os._exit(0)
        operate(store, 5, number)  # while the child does so
        assert os.waitpid(child, 0)[1] == 0, "a child of a fork failed"


def soak(name: str, operations: int, cycles: int, threads: int, tasks: int, forks: int) -> list[str]:
    """Soak one store; in what the process has grown.

    Args:
        name: The store.
        operations: How many calls on one Store.
        cycles: How often another one is opened and closed.
        threads: How many threads make calls at once.
        tasks: How many tasks do.
        forks: How often the process forks.
    """

    def everything(operations: int, cycles: int, threads: int, tasks: int, forks: int) -> None:
        with divan.open(url) as store:
            operate(store, operations, seed=1)
            _in_threads(store, threads)
        asyncio.run(_in_tasks(url, tasks))
        _cycle(url, cycles)
        if name != "memory":  # which no child shares
            with divan.open(url) as store:
                _in_forks(store, forks)

    began = time.monotonic()
    with _url(name) as url:
        # What is made once, and what memory the peak of many threads takes.
        everything(max(1, operations // 50), 20, threads, tasks, 2)
        before = Held.now()
        everything(operations, cycles, threads, tasks, forks)
        after = Held.now()
        settled = time.monotonic() + _SECONDS_TO_SETTLE
        while after.outgrown(before) and time.monotonic() < settled:
            time.sleep(0.1)  # between two looks
            after = Held.now()
    grown = after.outgrown(before)
    print(
        f"{name}: {operations} operations, {cycles} cycles of open and close, {threads} threads, {tasks} tasks, {forks} forks "
        f"in {time.monotonic() - began:.0f} s; descriptors {before.descriptors} → {after.descriptors}, threads "
        f"{before.threads} → {after.threads}, memory {before.megabytes:.1f} → {after.megabytes:.1f} MB"
        + (f": GROWN: {'; '.join(grown)}" if grown else ""),
        flush=True,
    )
    return grown


def main() -> int:
    """Soak the stores that are named, or all."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("stores", nargs="*", help=f"{', '.join(STORES)}; all of them if none is named")
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--forks", type=int, default=100)
    given = parser.parse_args()
    unknown = [name for name in given.stores if name not in STORES]
    if unknown:
        parser.error(f"no store is called {', '.join(unknown)}; there are {', '.join(STORES)}")
    sizes = given.operations, given.cycles, given.threads, given.tasks, given.forks
    return 1 if [grown for name in given.stores or STORES if (grown := soak(name, *sizes))] else 0


if __name__ == "__main__":
    sys.exit(main())
