"""A signal's handler that raises, calls the store or closes it, in the midst of a call of an embedded store."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")

CALLS = """
import gc, itertools, os, signal, sys, threading
import divan
from divan.errors import DivanError, DocumentExists

class Interrupt(Exception):
    pass

def interrupt(number, frame):
    global armed
    if armed:  # no interrupt comes while another one is being dealt with
        armed = False
        raise Interrupt
    signal.setitimer(signal.ITIMER_REAL, 0.0001)

def call_everything(store, n):
    store.put("a", {"n": n})
    assert store.get("a")["n"] == n
    store.update("a", {"m": n})
    store.update("a", {"m": divan.Increment(1)})
    try:
        store.create({"n": 0}, id="a")
    except DocumentExists:
        pass
    store.delete(store.create({}))
    store.create_many([{"n": -1}] * 2)
    store.get_many(["a", "b"])
    for one in store.find({"n": -1}, sort="n", limit=3):
        store.delete(one)
    half_read = store.find({"filler": True})
    next(half_read)
    half_read.close()
    store.count({"n": 1})

def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

url, many = sys.argv[1], int(sys.argv[2])
before = descriptors()
store = divan.open(url)
store.create_many([{"filler": True} for _ in range(100)])
call_everything(store, 0)
"""

RAISING = (
    CALLS
    + """
sys.unraisablehook = lambda _: None  # Python drops an exception that comes as it runs a finalizer

def go_on():
    if not armed:
        raise Interrupt  # which Python dropped

interrupts = 0
armed = False
signal.signal(signal.SIGALRM, interrupt)
while interrupts < many:
    signal.setitimer(signal.ITIMER_REAL, 0.00002 + interrupts % 997 * 0.000003)
    try:
        armed = True
        for n in itertools.count():
            call_everything(store, n)
            go_on()
    except Interrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)

def write():
    store.put("a", {"n": 0})
    written.append(True)

written = []
thread = threading.Thread(target=write)
thread.start()
thread.join()
assert written, "a lock is held"
call_everything(store, 1)
assert sum(1 for _ in store.find({"filler": True})) == 100
if url.startswith("sqlite"):
    with divan.open(url, timeout=0.001) as other:
        other.put("a", {"n": 7})  # which SQLite does not let it, while a transaction is open
    assert store.get("a")["n"] == 7
gc.collect()
assert descriptors() <= before + 20, "descriptors are lost"
store.close()
assert descriptors() <= before, "descriptors are left behind"
"""
)


def run(program: str, *arguments: str) -> None:
    """Run a program, which must end well and say nothing."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_after_ten_thousand_interrupts_every_call_works_and_nothing_is_held(tmp_path: Path) -> None:
    run(RAISING, f"sqlite:///{tmp_path}/a.db", "10000")


@pytest.mark.slow
def test_after_ten_thousand_interrupts_memory_works_and_nothing_is_held() -> None:
    run(RAISING, "memory://a", "10000")


CALLING = """
import os, signal, sys, threading
import divan
from divan.errors import DivanError

url, how = sys.argv[1:]
store = divan.open(url, timeout=60) if url.startswith("sqlite") else divan.open(url)
store.create_many([(f"f{n}", {"n": 0}) for n in range(50)])
seen = {}

def nested(number, frame):
    def note(name, call):
        try:
            call()
            seen[name, "done"] = seen.get((name, "done"), 0) + 1
        except DivanError as error:
            seen[name, type(error).__name__] = str(error)
    if how == "close":
        note("close", store.close)
        return
    note("get", lambda: store.get("f1"))
    note("put", lambda: store.put("nested", {"n": 1}))
    note("update", lambda: store.update("f0", {"n": divan.Increment(1)}))
    note("find", lambda: list(store.find({"n": 0}, limit=1)))
    note("delete_many", lambda: store.delete_many([]))
    signal.setitimer(signal.ITIMER_REAL, 0.0003)

signal.signal(signal.SIGALRM, nested)
signal.setitimer(signal.ITIMER_REAL, 0.0003)
counted = 0
try:
    for n in range(100_000 if how == "close" else 1500):
        store.update("f0", {"n": divan.Increment(1)})
        counted += 1
        store.create_many([(f"g{n}-{m}", {}) for m in range(5)])
except divan.StoreClosed:
    assert how == "close"
signal.setitimer(signal.ITIMER_REAL, 0)
if how == "close":
    assert seen == {("close", "done"): 1}, seen
else:
    nested_updates = seen.get(("update", "done"), 0)
    assert seen["get", "done"] and seen["find", "done"] and nested_updates, seen
    assert store.get("f0")["n"] == counted + nested_updates, (store.get("f0"), counted, seen)
    assert {what for _, what in seen} <= {"done", "StoreError"}, seen
    assert all("handler" in said for (_, what), said in seen.items() if what == "StoreError"), seen
    assert store.count() == 51 + 1500 * 5
store.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["call", "close"])
@pytest.mark.parametrize("scheme", ["sqlite", "memory"])
def test_a_handler_that_calls_or_closes_the_store_waits_for_nothing_and_joins_no_write(
    tmp_path: Path, scheme: str, how: str
) -> None:
    run(CALLING, f"sqlite:///{tmp_path}/a.db" if scheme == "sqlite" else "memory://a", how)
