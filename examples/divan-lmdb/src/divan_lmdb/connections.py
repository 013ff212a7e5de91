"""The open LMDB files of this process: LMDB allows each to be open once, so Stores on one file share it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import lmdb

_lock = threading.Lock()
_open: dict[str, tuple[lmdb.Environment, int]] = {}


def acquire(path: Path, *, map_size: int, sync: bool) -> lmdb.Environment:
    """The environment of a file: the one that is open, or a new one with these options.

    Raises:
        lmdb.Error: if LMDB refuses the file.
    """
    key = os.path.realpath(path)
    with _lock:
        known = _open.get(key)
        if known is not None:
            environment, users = known
        else:
            environment = lmdb.open(key, subdir=False, map_size=map_size, sync=sync, max_readers=1024)
            users = 0
        _open[key] = (environment, users + 1)
    return environment


def release(path: Path) -> None:
    """Close the environment of a file when nobody uses it any more."""
    key = os.path.realpath(path)
    with _lock:
        environment, users = _open.pop(key)
        if users > 1:
            _open[key] = (environment, users - 1)
        else:
            environment.close()
