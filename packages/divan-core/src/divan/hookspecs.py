"""The hooks that a plugin may implement. Each is optional; a plugin's module is registered under ``divan.plugins``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from divan.documents import Document
    from divan.store import Store
    from divan.store.tracing import Call

hookspec = pluggy.HookspecMarker("divan")
hookimpl = pluggy.HookimplMarker("divan")
"""Marks a plugin's function as the implementation of the hook that it is named after."""


@hookspec
def divan_serializers(backend: str) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[empty-body]
    """Field types that the plugin teaches: field type name → serializer dictionary.

    A dictionary holds ``"serialize"`` and ``"deserialize"``, and may hold ``"ordered": False`` (stored forms do not
    sort like the values) and ``"override": True`` (beats the backend's own serializer).

    Args:
        backend: The name of the backend that is being opened, such as ``"mongo"``.
    """


@hookspec
def divan_store_opened(store: Store[Any]) -> None:
    """A Store has been opened. What this raises is logged, and the Store stays open."""


@hookspec
def divan_store_closed(store: Store[Any]) -> None:
    """A Store has been closed. What this raises is logged."""


@hookspec
def divan_before_write(
    store: Store[Any], operation: str, document_id: str | None, data: Mapping[str, Any] | None
) -> None:
    """A document is about to be written; raise `divan.WriteVetoed` to refuse it, and nothing is written.

    In a bulk call it is called for each document, and a veto fails that one alone. Any other exception refuses the
    write too.

    Args:
        store: The Store.
        operation: ``"create"``, ``"update"``, ``"replace"``, ``"put"`` or ``"delete"``.
        document_id: The document's id; `None` where the store will make it.
        data: The fields or changes as the caller gave them; `None` for a deletion. Changing it changes nothing.
    """


@hookspec
def divan_after_write(store: Store[Any], operation: str, document_id: str, document: Document | None) -> None:
    """A document has been written. What this raises is logged: the write has happened.

    Args:
        store: The Store.
        operation: As for `divan_before_write`.
        document_id: The document's id.
        document: The document as stored; `None` for a deletion.
    """


@hookspec
def divan_call_started(call: Call) -> None:
    """A method of a Store has been called, for tracing. What this raises is logged.

    Args:
        call: The call; the same object is given to `divan_call_ended`.
    """


@hookspec
def divan_call_ended(call: Call, error: BaseException | None) -> None:
    """A call has ended; one that gives an iterator, when that ends. What this raises is logged.

    Args:
        call: The call that `divan_call_started` was given.
        error: What it raised, or `None`.
    """
