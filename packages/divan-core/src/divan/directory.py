"""Internal: the backends and plugins that are known: one table, for `pip install` hints and the docs' directory."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Known(NamedTuple):
    """One line of the directory.

    Attributes:
        kind: Whether it is a backend, or adds something to all of them.
        names: The names that a URL can begin with; a plugin has none.
        distribution: What to `pip install`.
        about: What it is for, in one line.
    """

    kind: Literal["backend", "plugin"]
    names: tuple[str, ...]
    distribution: str
    about: str


DIRECTORY: Final = (
    Known("backend", ("couchdb", "couchdbs"), "divan-couchdb", "CouchDB, one server or a cluster"),
    Known("backend", ("memory",), "divan-core", "This process's memory, for tests and for trying things out"),
    Known(
        "backend",
        ("mongo", "mongodb", "mongodb+srv"),
        "divan-mongo",
        "MongoDB, one server, a replica set or a sharded cluster",
    ),
    Known("backend", ("postgresql", "postgres"), "divan-postgres", "PostgreSQL, as JSONB in a table"),
    Known(
        "backend",
        ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "redis+unix"),
        "divan-redis",
        "Redis, Redis Cluster and Redis Sentinel",
    ),
    Known("backend", ("sqlite",), "divan-core", "One SQLite file, for many threads and processes at once"),
)
"""Every known backend and plugin, sorted by kind and name. A new one is added by a pull request with its line."""

KNOWN_BACKENDS: Final = {name: known.distribution for known in DIRECTORY for name in known.names}
"""Name or alias → distribution."""
