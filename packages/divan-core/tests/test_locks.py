"""The lock that writers queue up at: one at a time, in the order in which they came, and lost to no interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from divan.backends.locks import FairLock

from tests.support.processes import wait_until


def do_with(lock: FairLock, work: Callable[[], object]) -> None:
    """Do something while holding the lock."""
    turn = lock.acquire()
    assert turn is not None
    try:
        work()
    finally:
        turn.release()


def start_waiting(lock: FairLock, work: Callable[[], object]) -> threading.Thread:
    """A thread that does `work` once it has the lock, and is waiting for it by now."""
    last = lock._last
    thread = threading.Thread(target=do_with, args=(lock, work))
    thread.start()
    wait_until(lambda: lock._last is not last, "the thread's waiting")
    return thread


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    lock = FairLock()
    served: list[int] = []
    threads: list[threading.Thread] = []

    def queue_up() -> None:
        threads.extend(start_waiting(lock, lambda n=n: served.append(n)) for n in range(10))

    do_with(lock, queue_up)
    for thread in threads:
        thread.join()
    assert served == list(range(10))


def test_who_comes_back_at_once_waits_for_those_who_wait_already() -> None:
    lock = FairLock()
    served: list[str] = []
    turn = lock.acquire()
    assert turn is not None
    waiting = start_waiting(lock, lambda: served.append("waited"))
    turn.release()
    do_with(lock, lambda: served.append("came back"))  # at once, which Python's own lock would mostly allow
    waiting.join()
    assert served == ["waited", "came back"]


def test_one_thread_at_a_time_holds_it() -> None:
    lock = FairLock()
    inside: list[int] = []
    wrong: list[int] = []

    def work(number: int) -> None:
        def check() -> None:
            inside.append(number)
            wrong.extend(other for other in inside if other != number)
            inside.remove(number)

        for _ in range(500):
            do_with(lock, check)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert lock.acquire(timeout=0)


def test_who_waits_no_longer_is_left_out() -> None:
    lock = FairLock()
    served: list[str] = []
    turn = lock.acquire()
    assert turn is not None
    given_up: list[object] = []
    impatient = threading.Thread(target=lambda: given_up.extend([lock.acquire(timeout=0), lock.acquire(timeout=0.01)]))
    impatient.start()
    impatient.join()
    assert given_up == [None, None]
    waiting = start_waiting(lock, lambda: served.append("next"))
    turn.release()
    waiting.join()
    assert served == ["next"]
    assert lock.acquire(timeout=0)


def test_a_thread_that_holds_it_does_not_get_it_again() -> None:
    lock = FairLock()
    turn = lock.acquire()
    assert turn is not None
    assert lock.acquire() is None  # at once: the thread could never let go while it waits
    turn.release()
    assert lock.acquire(timeout=0)


INTERRUPTED = """
import signal, threading
from divan.backends.locks import FairLock

class Interrupt(Exception):
    pass

def interrupt(number, frame):
    global armed
    if armed:
        armed = False
        raise Interrupt
    signal.setitimer(signal.ITIMER_REAL, 0.0001)

def other():
    global holder
    while not stopped:
        turn = lock.acquire()
        try:
            holder = "other"
            for _ in range(20):
                if holder != "other":
                    wrong.append(holder)
        finally:
            turn.release()

lock = FairLock()
armed, holder, wrong, stopped, interrupts = False, "", [], [], 0
thread = threading.Thread(target=other)
thread.start()
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.0001)
while interrupts < 10_000:
    try:
        armed = True
        while True:
            turn = lock.acquire()
            try:
                holder = "main"
            finally:
                turn.release()
    except Interrupt:
        interrupts += 1
        signal.setitimer(signal.ITIMER_REAL, 0.00005 + interrupts % 997 * 0.0000003)
signal.setitimer(signal.ITIMER_REAL, 0)
stopped.append(True)
thread.join()
assert lock.acquire(timeout=0) is not None, "the lock was lost"
assert wrong == []
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_ten_thousand_interrupts_lose_no_turn_and_let_nobody_in_beside_another() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
