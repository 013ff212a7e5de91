"""The lock that writers queue up at: one at a time, in the order in which they came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest
from divan.backends.locks import FairLock

from tests.support.processes import wait_until


def start_waiting(lock: FairLock, work: Callable[[], None]) -> threading.Thread:
    """A thread that does `work` once it has the lock, and is waiting for it by now."""
    before = len(lock._waiting)

    def run() -> None:
        with lock:
            work()

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: len(lock._waiting) > before, "the thread's waiting")
    return thread


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    lock = FairLock()
    served: list[int] = []
    with lock:
        threads = [start_waiting(lock, lambda n=n: served.append(n)) for n in range(10)]
    for thread in threads:
        thread.join()
    assert served == list(range(10))


def test_who_comes_back_at_once_waits_for_those_who_wait_already() -> None:
    lock = FairLock()
    served: list[str] = []
    lock.acquire()
    waiting = start_waiting(lock, lambda: served.append("waited"))
    lock.release()
    with lock:  # at once, which Python's own lock would mostly allow
        served.append("came back")
    waiting.join()
    assert served == ["waited", "came back"]


def test_one_thread_at_a_time_holds_it() -> None:
    lock = FairLock()
    inside: list[int] = []
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(500):
            with lock:
                inside.append(number)
                wrong.extend(other for other in inside if other != number)
                inside.remove(number)

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
    lock.acquire()
    assert not lock.acquire(timeout=0)
    assert not lock.acquire(timeout=0.01)
    waiting = start_waiting(lock, lambda: served.append("next"))
    lock.release()
    waiting.join()
    assert served == ["next"]
    assert lock.acquire(timeout=0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_an_interrupted_waiter_leaves_the_queue() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    lock = FairLock()
    lock.acquire()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptedError):
            lock.acquire()
    finally:
        signal.signal(signal.SIGALRM, before)
    lock.release()
    assert lock.acquire(timeout=0)


def test_an_error_inside_releases_it() -> None:
    lock = FairLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    assert lock.acquire(timeout=0)
