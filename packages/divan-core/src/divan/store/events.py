"""Lifecycle events: what the Store tells the plugins of its calls and writes, and their veto on a write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from divan.documents import Document
from divan.errors import DivanError, WriteVetoed

if TYPE_CHECKING:
    from divan.plugins import Plugins
    from divan.store import Store


_CALLS: Final = (
    "create", "get", "update", "replace", "put", "delete", "find", "count", "explain", "ids", "ensure_index",
    "create_many", "get_many", "update_many", "delete_many", "ping",
)  # fmt: skip
_ABOUT_ONE: Final = frozenset({"get", "update", "replace", "put", "delete"})


class Call:
    """One call of a Store's method, from its start to its end.

    Attributes:
        store: The Store.
        operation: The method's name.
        document_id: The document's id, where the call names one.
        batch_size: How many items a bulk call was given, where that can be told.
    """

    __slots__ = ("__weakref__", "batch_size", "document_id", "operation", "store")

    def __init__(self, store: Store[Any], operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.store = store
        self.operation = operation
        self.document_id: str | None = None
        self.batch_size: int | None = None
        first: Any = args[0] if args else next(iter(kwargs.values()), None)
        if operation in _ABOUT_ONE:
            target = getattr(first, "id", first)
            self.document_id = target if isinstance(target, str) else None
        elif operation.endswith("_many") and hasattr(first, "__len__"):
            self.batch_size = len(first)


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
        if plugins.implements("divan_call_started") or plugins.implements("divan_call_ended"):
            for name in _CALLS:
                setattr(store, name, self._traced(name, getattr(store, name)))
            setattr(store, "_iterate", self._traced("iter", store._iterate))  # noqa: B010 -- replaces a method

    def ask(self, operation: str, document_id: str | None, data: Mapping[str, Any] | None) -> None:
        """Let plugins veto a write.

        Raises:
            WriteVetoed: if a plugin raises; a `DivanError` that it raises goes through as it is.
        """
        shown = _copy(data) if isinstance(data, Mapping) else None
        try:
            self._hook.divan_before_write(store=self._store, operation=operation, document_id=document_id, data=shown)
        except DivanError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise WriteVetoed(f"{operation} was refused by a plugin: {reason}") from error

    def tell(self, operation: str, document_id: str, document: Document | None) -> None:
        """Tell plugins of a write that has happened."""
        self._notify(
            "divan_after_write", store=self._store, operation=operation, document_id=document_id, document=document
        )

    def opened(self) -> None:
        """Tell plugins that the Store is open."""
        self._notify("divan_store_opened", store=self._store)

    def closed(self) -> None:
        """Tell plugins that the Store is closed."""
        self._notify("divan_store_closed", store=self._store)

    def _notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook whose failure must reach neither the caller nor the other plugins."""
        # One by one, the last registered first, as pluggy does: in one call, the first that raises ends it.
        for implementation in reversed(getattr(self._hook, hook).get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception:
                import logging  # 3 ms that `import divan` need not spend

                logging.getLogger("divan").exception("a plugin's %s raised for %r", hook, self._store)

    def _traced(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """A Store's method that tells plugins of its start and end (an iterator's: when it is used up or closed)."""

        @wraps(method)
        def traced(*args: Any, **kwargs: Any) -> Any:
            call = Call(self._store, name, args, kwargs)
            self._notify("divan_call_started", call=call)
            try:
                result = method(*args, **kwargs)
            except BaseException as error:
                self._notify("divan_call_ended", call=call, error=error)
                raise
            if isinstance(result, Iterator):
                return self._results(call, result)
            self._notify("divan_call_ended", call=call, error=None)
            return result

        return traced

    def _results(self, call: Call, results: Iterator[Any]) -> Iterator[Any]:
        failure: BaseException | None = None
        try:
            yield from results
        except GeneratorExit:
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            self._notify("divan_call_ended", call=call, error=failure)


def _copy(value: Any) -> Any:
    """A copy that shares no container with the caller's data, so that a plugin can't change those."""
    if isinstance(value, Mapping):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
