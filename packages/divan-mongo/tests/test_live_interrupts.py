"""Exceptions that a signal handler raises in the midst of calls to a live MongoDB."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.slow]

# In a process of its own, since it handles a signal. What hangs is ended with its traceback, and fails the test.
_INTERRUPTED = """
import contextlib, faulthandler, random, signal, sys
import divan

faulthandler.dump_traceback_later(500, exit=True)

class Interrupted(Exception): ...

raises = False

def handle(number, frame):
    global raises
    if raises:
        raises = False
        raise Interrupted
    signal.setitimer(signal.ITIMER_REAL, 0.0001)  # it came before a call was there to be interrupted

signal.signal(signal.SIGALRM, handle)
store = divan.open(sys.argv[1])
store.create_many((f"id{number}", {"n": number}) for number in range(300))
calls = [
    lambda: store.put("a", {}),
    lambda: store.get("id1"),
    lambda: store.update("id2", {"n": 0}),
    lambda: store.get_many(["id1", "id2"]),
    lambda: sum(1 for _ in store.find({"n": {"$gte": 0}})),
]
left = int(sys.argv[2])
while left:
    call = random.choice(calls[:3] if left % 50 else calls)
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00002, 0.001))
        raises = True
        while True:
            call()
    except Interrupted:
        left -= 1

for call in calls:
    call()
assert store.get("id3") == {"n": 3}
store.close()
print("whole")
"""


def test_a_store_survives_10_000_exceptions_of_a_signal_handler(mongo_server: Server, database: str) -> None:
    command = [sys.executable, "-c", _INTERRUPTED, mongo_server.store_url(database), "10000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.stdout.strip(), done.returncode) == ("whole", 0), done.stderr[-4000:]
