"""One process of writers: ``python -m tests.torture.worker URL NAME THREADS SEED LOG``; runs until it is told to end."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import divan

from tests.torture.history import CHAINS, COUNTERS, DOUBT, OK, REFUSED, SHARED

_ended = threading.Event()


class Writer:
    """One thread's writes.

    Args:
        store: The store.
        who: What the thread is called.
        random: Decides what it does.
        log: Where to write down what it does, a file descriptor.
    """

    def __init__(self, store: divan.Store, who: str, random: random.Random, log: int) -> None:
        self._store = store
        self._who = who
        self._random = random
        self._log = log
        self._number = 0
        self._own: list[str] = []

    def run(self) -> None:
        """Write until the process is told to end."""
        calls = [self._increment, self._set, self._chain, self._create, self._create_many, self._delete]
        while not _ended.is_set():
            self._random.choice(calls)()

    def _increment(self) -> None:
        key = self._random.choice(COUNTERS)
        self._write("increment", key, lambda number: self._store.update(key, {"n": divan.Increment(1)}))

    def _set(self) -> None:
        key = self._random.choice(SHARED)
        self._write("set", key, lambda number: self._store.update(key, {self._who: number}))

    def _chain(self) -> None:
        key = self._random.choice(CHAINS)
        try:
            found = self._store.get(key)
        except divan.DivanError:
            return
        self._write(
            "chain", key, lambda number: self._store.update(key, {"n": found["n"] + 1}, rev=found.rev), found.rev
        )

    def _create(self) -> None:
        key = f"{self._who}-{self._number}"
        if self._write("create", key, lambda number: self._store.create({"number": number}, id=key)):
            self._own.append(key)

    def _create_many(self) -> None:
        numbers = range(self._number + 1, self._number + 4)
        self._number += len(numbers)
        keys = [f"{self._who}-many-{number}" for number in numbers]
        for number, key in zip(numbers, keys, strict=True):
            self._note(call="create", key=key, number=number)
        try:
            results: list[Any] = self._store.create_many([(key, {"many": True}) for key in keys])
        except divan.BulkError as error:
            results = error.results
        for number, result in zip(numbers, results, strict=False):
            self._note(number=number, outcome=_outcome(result))

    def _delete(self) -> None:
        if self._own:
            key = self._own.pop()
            self._write("delete", key, lambda number: self._store.delete(key))

    def _write(self, call: str, key: str, make: Callable[[int], Any], parent: str | None = None) -> bool:
        """Make one write, written down before and after; whether it was acknowledged."""
        self._number += 1
        number = self._number
        self._note(call=call, key=key, number=number, parent=parent)
        try:
            result = make(number)
        except divan.DivanError as error:
            result = error
        outcome = _outcome(result)
        self._note(number=number, outcome=outcome)
        return outcome == OK

    def _note(self, **entry: Any) -> None:
        # In one call, so that lines of threads don't mix; what the system has taken outlives a killed process.
        os.write(self._log, json.dumps({"who": self._who, **entry}).encode() + b"\n")


def _outcome(result: Any) -> str:
    if isinstance(result, divan.RevisionConflict | divan.DocumentExists | divan.DocumentNotFound):
        return REFUSED
    if isinstance(result, divan.ConnectionFailed | divan.OperationTimeout):
        return DOUBT
    if isinstance(result, Exception):
        raise result  # a fault of this harness, or one of Divan's: nothing else may come of a network that flaps
    return OK


def main(url: str, name: str, threads: str, seed: str, log: str) -> None:
    """Open the store, and let the threads write until SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda number, frame: _ended.set())
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    store: divan.Store | None = None
    while store is None and not _ended.is_set():
        try:
            store = divan.open(url)
        except (divan.ConnectionFailed, divan.OperationTimeout):
            _ended.wait(0.05)
    if store is None:
        return
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            Writer(store, f"{name}t{number}", random.Random(f"{seed}/{name}/{number}"), descriptor).run()
        except BaseException as error:
            failed.append(error)
            _ended.set()

    running = [threading.Thread(target=run, args=(number,)) for number in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        while thread.is_alive():
            thread.join(0.1)  # and not for ever: Python 3.13.0 handles no signal while it waits so
    store.close()
    if failed:
        raise failed[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
