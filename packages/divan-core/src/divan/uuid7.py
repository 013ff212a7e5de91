"""Internal: UUIDv7 in Python alone, for where the compiled package can't be imported, as in a zipapp."""

from __future__ import annotations

import os
import threading
import time
from typing import Final
from uuid import UUID

_COUNTER_BITS: Final = 42
_TAIL_BITS: Final = 32
_VERSION: Final = 7 << 76
_VARIANT: Final = 2 << 62

_last: tuple[int, int] = (0, 0)
_lock = threading.RLock()  # whose holder's signal handler may want an id, too


def _begin_anew() -> None:
    """Count anew in a process that was forked, where nobody would let go of the lock."""
    global _lock, _last
    _lock = threading.RLock()
    _last = (0, 0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def uuid7() -> UUID:
    """A new id that sorts behind all that this process has made: the time in ms, a counter, and 32 random bits.

    The counter begins anew, at random, with each millisecond, and goes on where the clock does not (RFC 9562, 6.2).
    """
    global _last
    with _lock:
        now = time.time_ns() // 1_000_000
        millisecond, counter = _last
        if now > millisecond:
            # The first bit is left for counting up.
            millisecond, counter = now, int.from_bytes(os.urandom(6)) >> 48 - _COUNTER_BITS + 1
        else:
            counter += 1
            if counter >> _COUNTER_BITS:
                millisecond, counter = millisecond + 1, 0
        _last = millisecond, counter
    tail = int.from_bytes(os.urandom(_TAIL_BITS // 8))
    high, low = counter >> 30, counter & (1 << 30) - 1
    return UUID(int=millisecond << 80 | _VERSION | high << 64 | _VARIANT | low << _TAIL_BITS | tail)
