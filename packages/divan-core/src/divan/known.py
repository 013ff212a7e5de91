"""Backends that are known to exist: what to `pip install` for a name that is not installed."""

from __future__ import annotations

from typing import Final

KNOWN_BACKENDS: Final = {
    "couchdb": "divan-couchdb",
    "couchdbs": "divan-couchdb",
    "memory": "divan-core",
    "mongo": "divan-mongo",
    "mongodb": "divan-mongo",
    "mongodb+srv": "divan-mongo",
    "redis": "divan-redis",
    "redis+cluster": "divan-redis",
    "redis+sentinel": "divan-redis",
    "redis+unix": "divan-redis",
    "rediss": "divan-redis",
    "rediss+cluster": "divan-redis",
    "sqlite": "divan-core",
}
"""Name → distribution."""
