"""What the tests on a live MongoDB share: Stores on a database of each test's own, and the raw collection."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import divan
import pytest

from tests.support.servers import Server

from .live import Commands, Raw


@pytest.fixture
def database() -> str:
    return f"divan_{uuid.uuid4().hex}"


@pytest.fixture
def open_store(mongo_server: Server, database: str) -> Iterator[Callable[..., divan.Store]]:
    """Opens Stores on this test's own database, which is dropped at the end."""
    stores: list[divan.Store] = []

    def open_one(options: str = "", **arguments: Any) -> divan.Store:
        url = mongo_server.store_url(database)
        if options:
            url += ("&" if "?" in url else "?") + options
        store = divan.open(url, **arguments)
        stores.append(store)
        return store

    yield open_one
    if stores:
        with divan.open(mongo_server.store_url(database)) as last:
            last.backend.client.drop_database(database)  # type: ignore[attr-defined]
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., divan.Store]) -> divan.Store:
    return open_store()


@pytest.fixture
def raw(store: divan.Store) -> Raw:
    """The collection as any other program sees it."""
    collection: Raw = store.backend.db["divan"]
    return collection


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def counted(open_store: Callable[..., divan.Store], commands: Commands) -> divan.Store:
    """A Store whose commands are noted, holding the documents ``"ada"`` and ``"blaise"``."""
    store = open_store(event_listeners=[commands])
    store.create_many([("ada", {"n": 1}), ("blaise", {"n": 2})])
    commands.commands.clear()
    return store
