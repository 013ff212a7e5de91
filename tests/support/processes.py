"""A server process of the tests: started on a free loopback port, watched until it answers, stopped by its process id."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Far more than a busy machine needs: only what has gone wrong without ending waits so long.
_START_SECONDS = 180.0
_STOP_SECONDS = 60.0

_running: list[Process] = []
_folders: list[Path] = []
_held_ports: list[socket.socket] = []
_lock = threading.RLock()
_owner = os.getpid()


class ServerFailed(RuntimeError):
    """A server that is there could not be started; the message ends with what it printed."""


class Process:
    """One server program, started as it is made.

    Args:
        name: What the errors call it.
        command: Program and arguments.
        folder: Its working folder, where its output goes to ``output.log``.
        ready: Whether it answers; asked until it does.
        seconds: How long it may take to answer.

    Attributes:
        pid: Its process id.

    Raises:
        ServerFailed: if the process ends before it is ready, or `seconds` pass.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        ready: Callable[[], bool],
        seconds: float = _START_SECONDS,
    ) -> None:
        self.name = name
        self.log = folder / "output.log"
        self.command = list(command)
        self._folder = folder
        self._ready = ready
        self._seconds = seconds
        self.start()

    def start(self) -> None:
        """Run the program, and return when it answers; also after `stop` or `kill`."""
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches the test run alone, which then stops it in order
            )
        self.pid = self._popen.pid
        with _lock:
            _running.append(self)
        _stop_on_sigterm()
        self._wait()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def _wait(self) -> None:
        deadline = time.monotonic() + self._seconds
        while not self._ready():
            if not self.alive:
                self.stop()
                raise ServerFailed(f"{self.name} ended with status {self._popen.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(f"{self.name} did not answer within {self._seconds:g} s:\n{self.output()}")
            time.sleep(0.02)  # between two polls

    def output(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End it in order, by force if it takes too long; returns when it is gone."""
        self._end(force=False)

    def kill(self) -> None:
        """End it at once, as a crash does; returns when it is gone."""
        self._end(force=True)

    def _end(self, *, force: bool) -> None:
        if self.alive:
            if force:
                self._popen.kill()
            else:
                self._popen.terminate()
            try:
                self._popen.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        with _lock:
            if self in _running:
                _running.remove(self)


def wait_until(ready: Callable[[], bool], what: str, seconds: float = _START_SECONDS) -> None:
    """Return as soon as `ready` is true.

    Raises:
        ServerFailed: saying `what` did not happen, if `seconds` pass.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ServerFailed(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)  # between two polls


def free_port(*, bus: bool = False) -> int:
    """A loopback port that nothing listens on; with `bus`, one whose number plus 10,000 is free too.

    Where the system allows it, as Linux does, it stays the caller's until the run ends, before its server starts and
    after it stops: nobody else is given it, be it to listen or to connect from, while a server that sets SO_REUSEADDR,
    as all of them do, may bind it.
    """
    while True:
        first = _hold(0)
        assert first is not None  # the system chooses among the free ones
        port: int = first.getsockname()[1]
        if not bus:
            _keep(first)
            return port
        if port + 10_000 > 65_535:
            first.close()
            port -= 20_000
            first = _hold(port) if port > 1024 else None
        second = _hold(port + 10_000) if first else None
        if first and second:
            _keep(first, second)
            return port
        if first:
            first.close()


def _hold(port: int) -> socket.socket | None:
    """A socket bound to a port, or to any with 0, that does not listen; None if the port is taken."""
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", port))
    except OSError:
        held.close()
        if not port:
            raise
        return None
    return held


def _keep(*held: socket.socket) -> None:
    """Hold these ports until the run ends, where that leaves them to their servers; elsewhere, let them go."""
    for one in held:  # only now: it would have let them be bound to a port that somebody else holds
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if all(map(_is_left_to_a_server, held)):
        with _lock:
            _held_ports.extend(held)
    else:
        for one in held:
            one.close()


def _is_left_to_a_server(held: socket.socket) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(held.getsockname())
            server.listen()
        except OSError:
            return False
    return True


def temporary_folder(name: str) -> Path:
    """A new folder that is removed when the run ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"divan-{name}-"))
    with _lock:
        _folders.append(folder)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder that `temporary_folder` made."""
    shutil.rmtree(folder, ignore_errors=True)


def _stop_on_sigterm() -> None:
    """Have a run that is asked to end do so in order: unless somebody handles SIGTERM, it ends a process on the spot."""
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@atexit.register
def stop_all() -> None:
    """Stop every process that is still running and remove the folders; called when the run ends, however it does."""
    if os.getpid() != _owner:  # a forked child must not stop its parent's servers
        return
    with _lock:
        for process in list(_running):
            process.stop()
        for folder in _folders:
            remove_folder(folder)
        _folders.clear()
        for held in _held_ports:
            held.close()
        _held_ports.clear()
