"""What drivers would otherwise each write: nothing here is needed by a driver, and all of it is meant for any.

Beside it, `divan.updates.apply_changes` is what an update means, `divan.query` has the matcher and what finishes a
query for a store that can't, and `divan.options` reads options.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from divan.backends.locks import FairLock
from divan.documents import Document
from divan.errors import DivanError
from divan.query import ID_PATH, And, Comparison, Node, SortKey, comparisons

__all__ = [
    "DocumentAccessors",
    "FairLock",
    "attempt",
    "first_revision",
    "id_bounds",
    "ids_asked_for",
    "matching",
    "names_to_fetch",
    "prefix_end",
    "readable",
    "rounds",
]

_T = TypeVar("_T")
_D = TypeVar("_D", bound=Mapping[str, Any])

# Not the module's own generator: a program that seeds that would get the same numbers at each run.
_random: Final = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


class DocumentAccessors:
    """The accessors of a driver whose documents are `Document`s; named before `BaseDivanBackend` among the bases.

    ``class AcmeBackend(DocumentAccessors, BaseDivanBackend)`` has `get_id_for_document`, `get_document_attr` and
    `get_revision_for_document`, and so revisions as soon as its writes take ``rev``.
    """

    def get_id_for_document(self, document: Document) -> str:
        """The document's id."""
        return document.id

    def get_revision_for_document(self, document: Document) -> str | None:
        """The document's revision."""
        return document.rev

    def get_document_attr(self, document: Document, field: str) -> Any:
        """One of the document's fields; a `KeyError` says that it is not there."""
        return document[field]


def attempt(function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T | DivanError:
    """Make one item's call of a bulk call.

    Args:
        function: What is called for the item.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Returns:
        What the call returns, or the `DivanError` that it raises: the item's result, either way.
    """
    try:
        return function(*args, **kwargs)
    except DivanError as error:
        return error


def first_revision(bits: int = 47) -> int:
    """A number at which a new document's revisions begin: random, and not to be had again by seeding `random`.

    A document that is deleted and made again so never gets a revision back that somebody may still hold.

    Args:
        bits: How large the number may be; 47 leave room to count up in a 64-bit integer, and in a float.

    Returns:
        A number from 1 to ``2**bits``.
    """
    return _random.getrandbits(bits) + 1


def matching(matches: Callable[[_D], bool], documents: Iterable[_D | DivanError]) -> Iterator[_D | DivanError]:
    """The documents that a filter matches, and whatever could not be read: nobody knows whether that would match.

    Args:
        matches: The filter's matcher: ``where.matches``, or that of the part that the store left open.
        documents: What was found: documents, and the `DivanError` of each that can't be read, in its place.
    """
    for document in documents:
        if isinstance(document, DivanError) or matches(document):
            yield document


def readable(documents: Iterable[_T | DivanError]) -> Iterator[_T]:
    """The documents; the first that can't be read is raised as the error that stands in its place.

    Args:
        documents: What was found: documents, and the `DivanError` of each that can't be read, in its place. If it has a
            ``close``, that is called in the end, before an error could keep it and what it holds alive.
    """
    try:
        for document in documents:
            if isinstance(document, DivanError):
                raise document
            yield document
    finally:
        close = getattr(documents, "close", None)
        if close is not None:
            close()


def names_to_fetch(where: Node, sort: Sequence[SortKey], fields: Sequence[str] | None) -> list[str] | None:
    """The top-level fields to fetch for a `find` that is finished in Python.

    Args:
        where: The filter that the matcher still has to check.
        sort: The sort that is still to be done.
        fields: The dotted paths that were asked for; `None` for whole documents.

    Returns:
        Field names, sorted, each once; `None` for whole documents.
    """
    if fields is None:
        return None
    names = {path.partition(".")[0] for path in fields}
    names.update(key.path[0] for key in sort)
    names.update(comparison.path[0] for comparison in comparisons(where))
    return sorted(names - {*ID_PATH})


def ids_asked_for(where: And) -> list[str] | None:
    """The ids of which every document that matches has one, so that it can be fetched by its id.

    Args:
        where: The filter, which the matcher still has to check.

    Returns:
        Ids, each once; `None` if the filter does not say which.
    """
    for item in where.items:
        if isinstance(item, Comparison) and item.path == ID_PATH and item.op in ("$eq", "$in"):
            values = [item.value] if item.op == "$eq" else item.value
            return list(dict.fromkeys(value for value in values if isinstance(value, str)))
    return None


def id_bounds(where: And) -> tuple[str | None, str | None]:
    """Between which ids, by code point, every document that matches has its own.

    Args:
        where: The filter, which the matcher still has to check.

    Returns:
        The first that it can be, and the last; `None` where there is no bound.
    """
    first: list[str] = []
    last: list[str] = []
    for item in where.items:
        if isinstance(item, Comparison) and item.path == ID_PATH and isinstance(item.value, str):
            if item.op in ("$eq", "$gt", "$gte", "$prefix"):
                first.append(item.value)
            if item.op in ("$eq", "$lt", "$lte"):
                last.append(item.value)
            elif item.op == "$prefix" and (end := prefix_end(item.value)) is not None:
                last.append(end)
    return max(first, default=None), min(last, default=None)


def prefix_end(prefix: str) -> str | None:
    """The end of the range, by code point, of all strings that begin so: the least that is greater than all of them.

    Args:
        prefix: The beginning.

    Returns:
        The first string behind the range; `None` if there is none, as for ``""``.
    """
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # what lies between is no Unicode


def rounds(keys: Sequence[Hashable]) -> Iterator[list[int]]:
    """Divide the items of a bulk call into rounds in which no document occurs twice.

    A store that answers for a batch as a whole can't say what became of the first of two changes to one document.

    Args:
        keys: The document's id of each item.

    Yields:
        The positions of one round's items, in order. The second item of a document is in the second round, and so on.
    """
    waiting = list(range(len(keys)))
    while waiting:
        first: dict[Hashable, int] = {}
        later = []
        for position in waiting:
            if keys[position] in first:
                later.append(position)
            else:
                first[keys[position]] = position
        yield list(first.values())
        waiting = later
