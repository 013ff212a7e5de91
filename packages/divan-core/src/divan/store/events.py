"""Internal: lifecycle events: what a Store tells the plugins of its writes, and their veto on a write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from divan.documents import Document, copied
from divan.errors import DivanError, WriteVetoed
from divan.serializers import Offer


class PluginSet(Protocol):
    """What a Store needs of the loaded plugins; `divan.plugins.Plugins` is it."""

    def serializers(self, backend: str) -> Mapping[str, Sequence[Offer]]:
        """What each plugin gives for each field type on a backend."""

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""

    def ask(self, hook: str, **arguments: Any) -> None:
        """Call a hook; what a plugin raises goes through."""

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook; what a plugin raises is logged."""


class Events:
    """Calls the hooks that concern the writes and the end of one Store.

    Args:
        store: The Store.
        plugins: The loaded plugins.

    Attributes:
        store: What the hooks are given as the Store: the one that its user holds, be it one that wraps another.
        asks: Whether any plugin wants to be asked before a write.
        tells: Whether any plugin wants to be told after one.
    """

    def __init__(self, store: object, plugins: PluginSet) -> None:
        self.store = store
        self._plugins = plugins
        self.asks = plugins.implements("divan_before_write")
        self.tells = plugins.implements("divan_after_write")

    def ask(self, operation: str, document_id: str | None, data: Mapping[str, Any] | None) -> None:
        """Let plugins veto a write.

        Raises:
            WriteVetoed: if a plugin raises; a `DivanError` that it raises goes through as it is.
        """
        shown = copied(data) if isinstance(data, Mapping) else None  # a plugin can't change the caller's
        try:
            self._plugins.ask(
                "divan_before_write", store=self.store, operation=operation, document_id=document_id, data=shown
            )
        except DivanError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise WriteVetoed(f"{operation} was refused by a plugin: {reason}") from error

    def tell(self, operation: str, document_id: str, document: Document | None) -> None:
        """Tell plugins of a write that has happened."""
        self._plugins.notify(
            "divan_after_write", store=self.store, operation=operation, document_id=document_id, document=document
        )

    def closed(self) -> None:
        """Tell plugins that the Store is closed."""
        self._plugins.notify("divan_store_closed", store=self.store)
