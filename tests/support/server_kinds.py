"""The kinds of live servers: which there are, and what the environment names in place of one to start."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from tests.support import couchdb_kind, mongo_kind, postgres_kind, redis_kind
from tests.support.server import Server, ServerMissing

_VARIABLES = {
    "couchdb": "DIVAN_TEST_COUCHDB_URL",
    "mongo": "DIVAN_TEST_MONGO_URL",
    "postgres": "DIVAN_TEST_POSTGRES_URL",
    "redis": "DIVAN_TEST_REDIS_URL",
    "redis-cluster": "DIVAN_TEST_REDIS_CLUSTER_URL",
}
_SUMMARIES = {
    "couchdb": couchdb_kind.summary,
    "mongo": mongo_kind.summary,
    "postgres": postgres_kind.summary,
    "redis": redis_kind.summary,
}
_ABOUT = {
    "couchdb": couchdb_kind.about,
    "mongo": mongo_kind.about,
    "postgres": postgres_kind.about,
    "redis": redis_kind.about,
    "redis-cluster": redis_kind.about,
}
_SCHEMES = {"http": "couchdb", "https": "couchdbs"}


def kinds(*, own: bool = False) -> dict[str, Callable[[], Server]]:
    """Kind → what finds and starts it; with `own`, the environment is left out."""
    found: dict[str, Callable[[], Server]] = {
        "couchdb": couchdb_kind.start,
        "mongo": mongo_kind.start,
        "mongo-auth": partial(mongo_kind.start, auth=True),
        "mongo-set": partial(mongo_kind.start, replicated=True),
        "postgres": postgres_kind.start,
        "postgres-auth": partial(postgres_kind.start, auth=True),
        "redis": redis_kind.start,
        "redis-auth": partial(redis_kind.start, auth=True),
        "redis-tls": redis_kind.start_tls,
        "redis-cluster": redis_kind.start_cluster,
        "redis-sentinel": redis_kind.start_sentinel,
    }
    if not own:
        for kind, variable in _VARIABLES.items():
            if url := os.environ.get(variable):
                found[kind] = partial(_from_environment, kind, url)
    return found


def summary(kind: str) -> str:
    """What would be used for a kind, and its version; nothing is started."""
    variable = _VARIABLES[kind]
    if url := os.environ.get(variable):
        try:
            return f"{_from_environment(kind, url)}, from {variable}"
        except Exception as error:  # whatever its client raises: the tests that need it fail, and not the whole run
            return f"{variable} is set, but no such server answers: {type(error).__name__}"
    try:
        return _SUMMARIES[kind]()
    except ServerMissing as missing:
        return f"missing: {missing}"


def _from_environment(kind: str, url: str) -> Server:
    parts = urlsplit(url)
    base = f"{_SCHEMES.get(parts.scheme, parts.scheme)}://{parts.netloc}"
    product, number, limits = _ABOUT[kind](base)
    return Server(kind, base, product, number, frozenset(limits), query=parts.query)
