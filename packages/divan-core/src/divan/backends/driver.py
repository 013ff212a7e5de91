"""Internal: the contract's full signatures, by which every call from the Store to a driver is typed.

`divan.backends.base.BaseDivanBackend` says what each method means. A driver takes those of the keyword arguments that
its store can answer; the Store passes an argument only to a driver that takes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol

from divan.backends.base import BaseDivanBackend, Change, ChangeEvent, Explanation, Query, SortKey
from divan.updates import Step


class Driver(Protocol):
    """All that a Store may ask of a driver."""

    def create(self, data: dict[str, Any], *, document_id: str = ..., fresh: bool = ...) -> Any: ...

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        *,
        remove: Sequence[str] = ...,
        increment: Mapping[str, int | float] = ...,
        nested: Sequence[Step] = ...,
        rev: str | None = ...,
        document: Any = ...,
    ) -> Any: ...

    def get_id_for_document(self, document: Any) -> str: ...

    def get_document_attr(self, document: Any, field: str) -> Any: ...

    def get_revision_for_document(self, document: Any) -> str | None: ...

    def get_document_for_id(self, document_id: str, *, fields: Sequence[str] = ...) -> Any: ...

    def replace(
        self,
        document_id: str,
        data: dict[str, Any],
        *,
        rev: str | None = ...,
        document: Any = ...,
        upsert: bool = ...,
    ) -> Any: ...

    def delete(self, document_id: str, *, rev: str | None = ..., document: Any = ...) -> None: ...

    def iter_documents(self) -> Iterator[Any]: ...

    def find(
        self,
        where: Query,
        *,
        sort: Sequence[SortKey] = ...,
        limit: int | None = ...,
        skip: int = ...,
        fields: Sequence[str] | None = ...,
    ) -> Iterator[Any]: ...

    def count(self, where: Query) -> int: ...

    def create_many(
        self, items: Sequence[tuple[str | None, dict[str, Any]]], *, fresh: Collection[str] = ...
    ) -> Sequence[Any]: ...

    def put_many(self, items: Sequence[tuple[str, dict[str, Any]]]) -> Sequence[Any]: ...

    def get_many(self, document_ids: Sequence[str], *, fields: Sequence[str] = ...) -> Sequence[Any]: ...

    def update_many(self, changes: Sequence[Change]) -> Sequence[Any]: ...

    def delete_many(self, document_ids: Sequence[str]) -> Sequence[Any]: ...

    def update_matching(self, where: Query, changes: Sequence[Change]) -> Sequence[Any]: ...

    def delete_matching(self, where: Query, document_ids: Sequence[str]) -> Sequence[Any]: ...

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[Sequence[ChangeEvent], str]: ...

    def ensure_index(self, *fields: str) -> str | None: ...

    def explain(self, where: Query, sort: Sequence[SortKey] = ...) -> Explanation: ...

    def ping(self) -> None: ...


_WITH_OPTIONAL_ARGUMENTS: Final = (
    Driver.create, Driver.update, Driver.replace, Driver.delete, Driver.find, Driver.get_document_for_id,
    Driver.get_many,
)  # fmt: skip


def taken_arguments(backend: type[BaseDivanBackend]) -> dict[str, frozenset[str]]:
    """Which of the contract's optional keyword arguments a backend takes.

    Args:
        backend: The driver's class.

    Returns:
        Method → the names of the arguments that it takes, for every method that may take some.
    """
    return {
        method: frozenset(argument for argument in arguments if backend.accepts(method, argument))
        for method, arguments in _optional_arguments().items()
    }


def is_told_of_fresh_ids(backend: type[BaseDivanBackend], method: str) -> bool:
    """Whether a backend's method names the argument ``fresh``; a ``**`` that may take it may also not know it.

    Args:
        backend: The driver's class.
        method: ``"create"`` or ``"create_many"``.
    """
    return "fresh" in inspect.signature(getattr(backend, method)).parameters


def takes_nested_changes(backend: type[BaseDivanBackend]) -> bool:
    """Whether a backend's `update` names the argument ``nested``; a ``**`` that may take it may also not know it.

    Args:
        backend: The driver's class.
    """
    return "nested" in inspect.signature(backend.update).parameters


@cache
def _optional_arguments() -> dict[str, tuple[str, ...]]:
    """Method → its optional keyword arguments."""
    return {
        method.__name__: tuple(
            name
            for name, parameter in inspect.signature(method).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        )
        for method in _WITH_OPTIONAL_ARGUMENTS
    }
