"""What the tests on a live Redis call by name: a document of every kind of value, names, and threads that may not fail."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import divan
from divan import Store
from divan_redis import RedisBackend

DOCUMENT = {
    "name": "Ada",
    "guests": 3,
    "price": 1.0,
    "paid": True,
    "note": None,
    "tags": [],
    "room": {"beds": [{}], "view": "Zürich 🏔"},
    "long": 2**63 - 1,
}


def each(*actions: Callable[[], Any]) -> tuple[Callable[[], Any], ...]:
    """Several actions, for a loop over them."""
    return actions


def new_name() -> str:
    """A database's name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


def emptied(store: Store) -> Iterator[Store]:
    """The body of a fixture: gives the Store, and closes it with no document left."""
    with store:
        yield store
        if isinstance(store.backend, RedisBackend):
            with suppress(divan.DivanError):
                store.delete_many(store.ids())


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Have as many threads do a piece of work at once; what any of them raises is raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise BaseExceptionGroup("threads failed", failures)
