"""Internal: sorts, cuts and projects what a store found, as the reference does, where the store does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any, TypeVar

from divan.errors import DivanError
from divan.query.matching import MISSING, resolve, sort_key
from divan.query.tree import ID_PATH, SortKey
from divan.validation import INT_MAX

_D = TypeVar("_D", bound=Mapping[str, Any])


class _Reversed:
    """Orders the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(other.key == self.key)

    __hash__ = None  # type: ignore[assignment]


def document_order(sort: Sequence[SortKey], get_id: Callable[[_D], str]) -> Callable[[_D], tuple[Any, ...]]:
    """A key function that orders documents by `sort`, ties by id."""

    def order(document: _D) -> tuple[Any, ...]:
        keys = [sort_key(get_id(document) if key.path == ID_PATH else resolve(document, key.path)) for key in sort]
        return (
            *(_Reversed(value) if key.descending else value for key, value in zip(sort, keys, strict=True)),
            get_id(document),
        )

    return order


def finish(
    documents: Iterable[_D],
    *,
    get_id: Callable[[_D], str],
    sort: Sequence[SortKey] = (),
    limit: int | None = None,
    skip: int = 0,
) -> Iterator[_D]:
    """Sort, skip and limit a stream of documents as the reference does.

    A sort without a limit holds all the documents at once; one with a limit, at most ``skip + limit`` of them.

    Args:
        documents: The documents that match; a `DivanError` may stand for one that can't be read.
        get_id: A document's id, by which ties are broken.
        sort: The sort's keys; without any, the order of `documents` is kept.
        limit: How many to yield at most.
        skip: How many to leave out first.
    """
    stop = None if limit is None else min(skip + limit, INT_MAX)
    if limit == 0:
        return iter(())
    if not sort:
        return islice(documents, skip, stop)
    order = document_order(sort, get_id)
    unreadable: list[Any] = []  # what stands for a document has no place in the order: it comes first
    readable = _apart(documents, unreadable)
    if stop is None:
        found = sorted(readable, key=order)
    else:
        from heapq import nsmallest  # only a store that can't sort needs it

        found = nsmallest(stop, readable, key=order)
    return chain(unreadable, islice(found, skip, stop))


def _apart(documents: Iterable[_D], unreadable: list[Any]) -> Iterator[_D]:
    """The documents, without the errors that stand for some: those are put into the list."""
    for document in documents:
        if isinstance(document, DivanError):
            unreadable.append(document)
        else:
            yield document


def project(document: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The document with nothing but the named fields.

    Args:
        document: Any document.
        fields: Dotted paths to keep; one that is not there is left out.
    """
    result: dict[str, Any] = {}
    for path in _outermost(tuple(fields)):
        value = resolve(document, path)
        if value is MISSING:
            continue
        target = result
        for name in path[:-1]:
            target = target.setdefault(name, {})
        target[path[-1]] = value
    return result


@lru_cache(maxsize=64)
def _outermost(fields: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The fields' paths, without those inside a field that is kept whole anyway."""
    paths = dict.fromkeys(tuple(field.split(".")) for field in fields)
    return tuple(path for path in paths if not any(path[:length] in paths for length in range(1, len(path))))
