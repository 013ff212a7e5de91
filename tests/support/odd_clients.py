"""Clients that fork, that are interrupted, or that are at their last connection: for them the suite has to hold as well.

Each is a base of a class of the suite. Before every few calls of the Store to its driver it does what is odd about it, on
that same driver; what the checks then see must be the same.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar, Final

import divan
import pytest
from divan import DocumentNotFound, Store
from divan.backends.base import OPTIONAL_METHODS, BaseDivanBackend
from divan.query import parse
from divan.testing import Bulk, Conformance, Crud, Update
from divan.testing.base import StoreChecks

_CALLS: Final = frozenset({"create", "update", *OPTIONAL_METHODS} - {"get_revision_for_document", "close"})
_SECONDS_OF_A_CHILD: Final = 120


class _Brief(Bulk, Update, Crud):
    """Calls of every kind, one by one and in bulk, without the checks that take more time than all others."""

    test_bulk_calls_carry_more_than_a_batch = None  # type: ignore[assignment]
    test_items_of_every_batch_are_reported = None  # type: ignore[assignment]
    test_a_bulk_error_is_raised_once_all_items_are_done = None  # type: ignore[assignment]


_IS_WHOLE: Final = bool(os.environ.get("DIVAN_TEST_WHOLE"))

Suite: Final[Any] = Conformance if _IS_WHOLE else _Brief
"""What is run for these clients: a part of the suite, or with ``DIVAN_TEST_WHOLE`` in the environment all of it."""

SmallSuite: Final[Any] = Conformance if _IS_WHOLE else Crud
"""What is run on servers that take ten times as long."""


class OddClient(StoreChecks):
    """Does something odd before every few calls to a driver.

    Attributes:
        every: Before how many calls it is done once.
    """

    every: ClassVar[int] = 5

    def open(self, url: str, **options: Any) -> Store:
        store = super().open(url, **options)
        # The Store calls its driver by this name alone, and puts another in its place when it is closed.
        store._backend = _Disturbed(store.backend, self.disturb, self.every)
        return store

    def disturb(self, driver: BaseDivanBackend) -> None:
        """Do what is odd; to be overridden."""
        raise NotImplementedError


class _Disturbed:
    """A driver before whose calls something is done."""

    def __init__(self, driver: BaseDivanBackend, disturb: Callable[[BaseDivanBackend], None], every: int) -> None:
        self._driver = driver
        self._disturb = disturb
        self._every = every
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name in _CALLS and threading.current_thread() is threading.main_thread():
            self._calls += 1
            if self._calls % self._every == 0:
                self._disturb(self._driver)
        return found


class Forking(OddClient):
    """Forks, and has the child use the driver too."""

    def disturb(self, driver: BaseDivanBackend) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads don't survive a fork; none is asked to
            child = os.fork()
        if child == 0:
            os._exit(_use_in_child(driver))
        assert os.waitpid(child, 0)[1] == 0, "the driver does not work in the child of a fork"


def _use_in_child(driver: BaseDivanBackend) -> int:
    """0 if the driver answers, or says in words that it can't after this fork."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_SECONDS_OF_A_CHILD)
    warnings.simplefilter("ignore")  # clients that notice the fork say so
    try:
        return 0 if driver.get_many(["nobody"]) == [None] else 1
    except divan.ConnectionFailed as error:
        return 0 if "forked" in str(error) else 2
    except BaseException:
        return 3


class LastConnection(OddClient):
    """Has no connection but one, and leaves searches half-read.

    Attributes:
        held: The searches, of which the latest are kept.
    """

    held: ClassVar[list[Iterator[Any]]] = []

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def searches(cls) -> Iterator[None]:
        """Let go of the searches in the end."""
        yield
        cls.held.clear()

    def open(self, url: str, **options: Any) -> Store:
        return super().open(url, max_connections=1, **options)

    def disturb(self, driver: BaseDivanBackend) -> None:
        found = driver.find(parse(None))
        next(found, None)
        self.held[:] = [*self.held[-3:], found]


class _Interrupt(Exception):
    """What the signal handler raises."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may come within a finalizer
class Interrupted(OddClient):
    """Is interrupted in the midst of a call by a signal handler that raises."""

    is_waiting: ClassVar[bool] = False
    delays: ClassVar[random.Random] = random.Random(20261126)

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def handler(cls) -> Iterator[None]:
        """Handle the timer's signal."""
        before = signal.signal(signal.SIGALRM, cls._handle)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.collect()  # what an interrupt left to be collected would warn in the midst of somebody else's test

    @classmethod
    def _handle(cls, number: int, frame: FrameType | None) -> None:
        if cls.is_waiting:
            raise _Interrupt

    def disturb(self, driver: BaseDivanBackend) -> None:
        cls = type(self)
        with suppress(_Interrupt):  # a second one, if the first came late
            try:
                cls.is_waiting = True
                # Again and again: a finalizer may swallow one.
                signal.setitimer(signal.ITIMER_REAL, self.delays.uniform(0.00002, 0.0005), 0.1)
                while True:
                    with suppress(DocumentNotFound):
                        driver.get_document_for_id("nobody")
            except _Interrupt:
                cls.is_waiting = False
        cls.is_waiting = False
        signal.setitimer(signal.ITIMER_REAL, 0)
