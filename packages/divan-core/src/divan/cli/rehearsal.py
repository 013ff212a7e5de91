"""Internal: carries out a batch in memory first, so that a batch that would fail in part is not sent at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import divan
from divan.errors import BulkError
from divan.plugins import Plugins, load_plugins


class Rehearsal:
    """Tells what a bulk call would answer, by that call on a memory store with copies of the documents concerned.

    What another program writes between that and the call itself can still be in its way, and so can a plugin's veto.

    Args:
        store: The store that the batch is for.
        schema: Its schema.
        run: The bulk call: a store and a batch → the results.
    """

    def __init__(
        self, store: divan.Store, schema: Mapping[str, str], run: Callable[[divan.Store, list[Any]], list[Any]]
    ) -> None:
        self._store = store
        self._schema = schema
        self._run = run
        self._plugins = _SerializersAlone(load_plugins(()))

    def results(self, batch: list[Any]) -> list[Any]:
        """One entry an item: what the call would give for it, or the `DivanError` that would refuse it.

        Raises:
            DivanError: if the store does not give the documents that are there.
        """
        from divan.backends.memory import MemoryBackend  # as a driver is imported: when it is needed

        ids = [item[0] for item in batch if isinstance(item, tuple) and isinstance(item[0], str)]
        copies = [document for document in self._store.get_many(ids) if document is not None]
        scratch: divan.Store = divan.Store(
            MemoryBackend(""),
            name=self._store.name,
            url="memory://",
            schema=self._schema or None,
            expires=self._store.expires,
            plugins=self._plugins,
        )
        with scratch:
            try:
                scratch.put_many(copies)
                return list(self._run(scratch, batch))
            except BulkError as error:
                return error.results


class _SerializersAlone:
    """Plugins that give their field types, and are told of nothing: a rehearsal is no write."""

    def __init__(self, plugins: Plugins) -> None:
        self.serializers = plugins.serializers

    def implements(self, hook: str) -> bool:
        return False

    def ask(self, hook: str, **arguments: Any) -> None:
        """Ask nobody."""

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell nobody."""
