"""The Store for coroutines: the same methods, on any backend, under asyncio and trio; needs ``divan-core[aio]``.

    async with divan.aio.open("sqlite:///guests.db") as guests:
        ada = await guests.create({"name": "Ada"})
        async for guest in guests.find({"name": {"$gte": "A"}}, sort="name"):
            ...

Each call runs the plain `divan.Store`'s in a worker thread. A cancelled or timed-out call returns at once. A read is
then simply gone; a write that had begun goes on in the background and may or may not happen, as with
`divan.OperationTimeout`, while one that still waited for a thread never happens.
"""

from __future__ import annotations

try:
    import anyio  # noqa: F401 -- asked for here, so that the error below names the extra
except ImportError as error:
    raise ImportError("divan.aio needs anyio: pip install 'divan-core[aio]'", name=error.name) from error

from divan.aio.opening import DEFAULT_MAX_THREADS, Opening, open
from divan.aio.results import AsyncResults
from divan.aio.store import AsyncStore
from divan.aio.watching import AsyncWatch

__all__ = ["DEFAULT_MAX_THREADS", "AsyncResults", "AsyncStore", "AsyncWatch", "Opening", "open"]
