"""Internal: keeps the connections of SQLite files out of the children of forks.

A child of a fork inherits what SQLite knows of the locks that its parent holds, and takes them for its own: it would
write to a log that the parent deletes. So every connection is closed before a fork, and opened again when it is needed.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from divan.backends.locks import Turn

_PATIENCE: Final = 1.0  # seconds that a fork waits for the calls that other threads are in


class ForkedFile(Protocol):
    """What a fork asks of a file's connections."""

    def pause_writing(self) -> Turn | None:
        """Before a fork: let no thread write, and close what is not being read from."""

    def close_idle(self) -> bool:
        """Before a fork: close the free readers; whether other threads are in the midst of calls."""

    def start_anew(self) -> None:
        """After a fork, in the child: inherit nothing; or refuse everything, if a connection could not be closed."""


opening: Any = threading.RLock()
"""Held while a connection is opened or closed, and during a fork; another one in a child."""

files: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""Every `ForkedFile` there is."""

inherited: Final[dict[tuple[int, int], list[object]]] = {}
"""The files that were in use when this process was forked, by device and inode, and the parent's connections to them,
which are neither used nor closed here."""

_forking: Final[list[ForkedFile]] = []
_taken: Final[list[Any]] = []  # the locks that a fork has taken: the turns to write, and in the end `opening`
_let_go: Final[Callable[[Any], None]] = type(opening).release


def identity(path: Path) -> tuple[int, int] | None:
    """What file a path names, by device and inode."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def leave_behind(path: Path, *used: object) -> None:
    """Keep what uses the parent's connections to a file from being closed in a child."""
    inherited.setdefault(identity(path) or (0, 0), []).extend(used)


def _before_fork() -> None:
    deadline: float | None = None
    while True:
        for file in list(files):
            if file not in _forking:
                _forking.append(file)
                turn = file.pause_writing()
                if turn is not None:
                    _taken.append(turn)
        _taken.append(opening)
        opening.acquire()
        busy = [file.close_idle() for file in _forking]
        if deadline is None:  # from here on: what the writers took is not the readers'
            deadline = time.monotonic() + _PATIENCE
        if time.monotonic() > deadline or not (any(busy) or set(files).difference(_forking)):
            return
        opening.release()
        _taken.pop()
        time.sleep(0.001)  # until the calls that other threads are in have ended


def _after_fork_in_parent() -> None:
    try:
        any(map(_let_go, _taken))  # all of them in one call of C, for each gives None
    except RuntimeError:
        pass  # an interrupt came before one of them was taken, or after it was let go
    _taken.clear()
    _forking.clear()


def _after_fork_in_child() -> None:
    global opening
    opening = threading.RLock()
    for file in list(files):
        file.start_anew()
    _taken.clear()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
    # Python runs the handler of a signal that came during the fork as the first of these begins, and drops both then.
    os.register_at_fork(after_in_parent=_after_fork_in_parent)
