"""What a driver's `test_conformance.py` builds on: the suite on a live server, and threads that lose no update."""

from __future__ import annotations

from typing import Final

from divan.testing import TINY_FLOATS, LostUpdates
from divan.testing.base import StoreChecks

from tests.support.server import Server

PATIENCE: Final = "600"
"""Seconds: many threads take turns at one document, and how long one waits for its own is up to the machine."""


class Live(StoreChecks):
    """Checks on one server, in a database of their own: a fixture ``store_url`` returns what `use` does."""

    def use(self, server: Server) -> str:
        """The URL of a database on a server, whose known limits are reported by name."""
        self.limits = server.limits
        if server.product == "SecantusDB":
            # Seen with pymongo alone: once a field is indexed, {"$lt": 1} no longer finds 5e-324.
            self.limits = server.limits | {TINY_FLOATS}
        return database_url(server, "{name}")


def database_url(server: Server, name: str) -> str:
    """The URL of a database whose Store waits for as long as it takes; ``{name}`` in the name stays."""
    return server.store_url(name, timeout=PATIENCE, connect_timeout="60").replace("%7Bname%7D", "{name}")


class ManyThreads(LostUpdates):
    """The suite's checks for lost updates with more threads, each of which writes more often."""

    threads = 16
    rounds = 200
