"""Internal: one call to MongoDB: bounded in time as a whole, and out of the reach of what a signal handler raises."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal's own getsignal makes enums, and takes ten times as long
import os
import signal
import threading
import weakref
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final, TypeVar

import pymongo
from divan.errors import DivanError, OperationTimeout
from pymongo import MongoClient

from divan_mongo.errors import is_dropped, translating

_T = TypeVar("_T")

_HARMLESS: Final = frozenset({signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, None})
_NAMES: Final = ("USR1", "USR2", "PIPE", "ALRM", "CHLD", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "IO")
# Not those that end a program, which most programs handle, and which would cost all of them the way to another thread.
_SIGNALS: Final = tuple(int(getattr(signal, f"SIG{name}")) for name in _NAMES if hasattr(signal, f"SIG{name}"))


class Calls:
    """Makes the calls of one Store.

    pymongo does not survive an exception that a signal handler raises inside it: its pool stays locked, and counts
    connections that nobody has. Handlers run in the main thread alone. So where the main thread calls, and the program
    handles timers or other signals by which it could interrupt itself, the call is made in a thread of the Store's. The
    exception then reaches the caller at once, and the call comes to its end unharmed. A call that follows waits for
    that end, and never overtakes. After an exception by a signal that ends a program (SIGINT, SIGTERM), closing is all
    that is left to do, and does not wait for a lock that nobody will release.

    Args:
        seconds: How long a call may take, from its beginning to its end; `None` for as long as it takes.
        label: How messages call the collection.

    Attributes:
        seconds: How long a call may take.
        client: What the calls are made by; `None` until it is open.
        resends: Whether pymongo sends a write a second time if the connection breaks.
    """

    client: MongoClient[Any] | None = None
    resends = True

    def __init__(self, seconds: float | None, label: str) -> None:
        self.seconds = seconds
        self._label = label
        self._worker: _Worker | None = None
        self._is_closed = False
        self._was_interrupted = False

    def run(self, function: Callable[..., _T], *args: Any) -> _T:
        """Make a call that ends in time: every wait in it, for a connection or an answer, is bounded by what is left.

        Args:
            function: What makes the call; whatever it sends is bounded.
            *args: Its arguments.
        """
        return self._run(monotonic(), function, args)

    def _run(self, began: float, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
        """Make a call in what is left of its time; a server is looked for first if none is known."""
        if self.client is not None and not self.client.nodes:
            self._make(self._find_server, self.client, began)
        # A context of its own, since an exception could keep pymongo.timeout() from setting this thread's back.
        context = copy_context()
        if threading.current_thread() is threading.main_thread() and _may_raise():
            result: _T = self._run_aside(_Job(context, self._in_time, (began, function, args)))
            return result
        try:
            return context.run(self._in_time, began, function, args)
        except (DivanError, GeneratorExit):
            raise
        except BaseException:
            self._was_interrupted = True
            raise

    def _find_server(self, client: MongoClient[Any], began: float) -> None:
        """Wait for a server where none is known: within a call's bound, pymongo would take all of its time for that."""
        seconds = client.options.server_selection_timeout
        left = self._left(began)
        with translating(self._label):
            copy_context().run(
                _within, seconds if left is None else min(left, seconds), client.admin.command, ("ping",)
            )

    def read(self, function: Callable[..., _T], *args: Any) -> _T:
        """Make a call that ends in time, a second time if the connection broke; see `run`.

        Args:
            function: What makes the call, and changes nothing.
            *args: Its arguments.
        """
        began = monotonic()
        try:
            return self._run(began, function, args)
        except DivanError as error:
            if not is_dropped(error):
                raise
        return self._run(began, function, args)

    def write(self, function: Callable[..., _T], *args: Any) -> _T:
        """Make a write of a single document, within the time of a call.

        Where pymongo sends a write a second time, `run` bounds both; elsewhere the time of the one answer is bounded by
        the connection, which costs nothing.

        Args:
            function: What makes the call.
            *args: Its arguments.
        """
        return self.run(function, *args) if self.resends else self._make(function, *args)

    def begin(self, function: Callable[..., _T], *args: Any) -> _T:
        """Read what takes one command: a document, or the first page of a scan.

        The time of the answer is bounded by the connection; `run` would also have the server bound all the work on a
        scan's cursor. A connection that broke is replaced if little time has passed.

        Args:
            function: What sends the command.
            *args: Its arguments.
        """
        began = monotonic()
        try:
            return self._make(function, *args)
        except DivanError as error:
            if not is_dropped(error) or (self.seconds and monotonic() - began > self.seconds / 10):
                raise
        return self._make(function, *args)

    def _make(self, function: Callable[..., _T], *args: Any) -> _T:
        if threading.current_thread() is threading.main_thread():
            if _may_raise():
                result: _T = self._run_aside(_Job(copy_context(), function, args))
                return result
            try:
                return function(*args)
            except (DivanError, GeneratorExit):
                raise
            except BaseException:
                self._was_interrupted = True
                raise
        return function(*args)

    def close(self, client: MongoClient[Any]) -> None:
        """Close the client, and end the thread.

        Args:
            client: What the calls were made by.
        """
        self.client = None
        if self._was_interrupted:
            threading.Thread(target=client.close, name="divan-mongo-close", daemon=True).start()
        else:
            self.run(client.close)
        self.end()

    def end(self) -> None:
        """End the thread; calls are made without it from here on."""
        self._is_closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _run_aside(self, job: _Job) -> Any:
        """Have a job done by the thread, and wait for it."""
        if self._is_closed:
            return job.context.run(job.function, *job.args)
        worker = self._worker
        if worker is None or worker.process != os.getpid():
            worker = self._worker = _Worker()
        try:
            worker.jobs.put(job)
            job.done.acquire()
        except BaseException:
            job.is_abandoned = True
            raise
        if job.error is None:
            return job.result
        try:
            raise job.error
        finally:
            del job  # which the error's traceback would hold, and it the error

    def _in_time(self, began: float, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
        """Make a call in what is left of its time."""
        return _within(self._left(began), function, args)

    def _left(self, began: float) -> float | None:
        """How many seconds a call has left; `None` if it may take as long as it takes.

        Raises:
            OperationTimeout: if none are left.
        """
        if self.seconds is None:
            return None
        left = self.seconds - (monotonic() - began)
        if left <= 0:
            raise OperationTimeout(
                f"{self._label}: no answer within {self.seconds:g} s, for a connection was lost, or an earlier call "
                "that was interrupted has not ended; raise timeout= if the server is slow"
            )
        return left


class _Job:
    """What the thread is to do, and what came of it."""

    __slots__ = ("args", "context", "done", "error", "function", "is_abandoned", "result")

    def __init__(self, context: Context, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.context = context
        self.function = function
        self.args = args
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_abandoned = False

    def run(self) -> None:
        if self.is_abandoned:
            return
        try:
            self.result = self.context.run(self.function, *self.args)
        except BaseException as error:  # whatever it is, it is the caller's
            self.error = error
        finally:
            self.done.release()
        if self.is_abandoned and isinstance(self.result, MongoClient):
            self.result.close()


class _Worker:
    """A thread that does jobs, one after the other.

    Attributes:
        jobs: What is to be done.
        process: The process that the thread is in; a fork takes none along.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # Whatever happens from here on, the thread ends with this object.
        weakref.finalize(self, self.jobs.put, None).atexit = False
        threading.Thread(target=_work, args=(self.jobs,), name="divan-mongo", daemon=True).start()

    def end(self) -> None:
        """Have the thread end as soon as it has done what it was given."""
        self.jobs.put(None)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # and what it holds, until the next one comes


def _may_raise() -> bool:
    """Whether the program handles a signal by code of its own, which may raise."""
    try:
        return not _HARMLESS.issuperset(map(_signal.getsignal, _SIGNALS))
    except TypeError:  # a handler that can't be hashed
        return True


def _within(seconds: float | None, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
    pymongo.timeout(seconds).__enter__()  # for good: the context is this call's alone, and setting it back takes time
    return function(*args)
