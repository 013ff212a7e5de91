"""Lifecycle events: what the Store tells the plugins, and the veto that they have on a write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from divan.documents import Document
from divan.errors import DivanError, WriteVetoed

if TYPE_CHECKING:
    from divan.plugins import Plugins
    from divan.store import Store


class Events:
    """Calls the lifecycle hooks for one Store.

    Args:
        store: The Store that the hooks are told of.
        plugins: The loaded plugins.

    Attributes:
        before_write: Whether any plugin wants to be asked before a write.
        after_write: Whether any plugin wants to be told after one.
    """

    def __init__(self, store: Store[Any], plugins: Plugins) -> None:
        self._store = store
        self._hook = plugins.manager.hook
        self.before_write = plugins.implements("divan_before_write")
        self.after_write = plugins.implements("divan_after_write")

    def ask(self, operation: str, document_id: str | None, data: Mapping[str, Any] | None) -> None:
        """Let plugins veto a write.

        Raises:
            WriteVetoed: if a plugin raises; a `DivanError` that it raises goes through as it is.
        """
        shown = dict(data) if isinstance(data, Mapping) else None
        try:
            self._hook.divan_before_write(store=self._store, operation=operation, document_id=document_id, data=shown)
        except DivanError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise WriteVetoed(f"{operation} was refused by a plugin: {reason}") from error

    def tell(self, operation: str, document_id: str, document: Document | None) -> None:
        """Tell plugins of a write that has happened."""
        self._notify("divan_after_write", operation=operation, document_id=document_id, document=document)

    def opened(self) -> None:
        """Tell plugins that the Store is open."""
        self._notify("divan_store_opened")

    def closed(self) -> None:
        """Tell plugins that the Store is closed."""
        self._notify("divan_store_closed")

    def _notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook whose failure must not reach the caller."""
        try:
            getattr(self._hook, hook)(store=self._store, **arguments)
        except Exception:
            import logging  # 3 ms that `import divan` need not spend

            logging.getLogger("divan").exception("a plugin's %s raised for %r", hook, self._store)
