"""What the tests on a live PostgreSQL call by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress

import divan
from divan import Store
from divan_postgres.sql import identifier


def new_name() -> str:
    """A table's name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


def dropped(store: Store) -> Iterator[Store]:
    """The body of a fixture: gives the Store, and closes it with its table gone."""
    with store:
        yield store
        with suppress(divan.StoreClosed):
            store.backend.db.execute(f"DROP TABLE IF EXISTS {identifier(store.backend.options['table'])}")
