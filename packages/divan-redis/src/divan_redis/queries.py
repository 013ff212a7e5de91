"""Internal: finding and counting documents: a scan of the keys, and the reference matcher on their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from divan.backends.support import ids_asked_for, names_to_fetch
from divan.documents import Document
from divan.query import (
    ID_PATH,
    And,
    Comparison,
    Explanation,
    Query,
    SortKey,
    comparisons,
    compile_matcher,
    finish,
    project,
)

from divan_redis.connections import Client
from divan_redis.documents import REVISION, Keyspace, decode
from divan_redis.errors import misread

_EVERYTHING: Final = And(())
_PAGE: Final = 500
_get_id = attrgetter("id")


def pages(client: Client, keyspace: Keyspace, prefix: str = "") -> Iterator[list[bytes]]:
    """The keys of the database's documents, page by page, each once; no page is empty.

    Args:
        client: The client to read with.
        keyspace: The database's keys.
        prefix: How the documents' ids begin; ``""`` for all of them.
    """
    seen: set[bytes] = set()  # SCAN gives a key again when its table shrinks meanwhile
    for page in client.scan(keyspace.pattern(prefix)):
        keyspace.check(page)
        fresh = [key for key in dict.fromkeys(page) if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh


def documents(
    client: Client, keyspace: Keyspace, where: And = _EVERYTHING, names: Sequence[str] | None = None
) -> Iterator[Document]:
    """The documents of the database, in any order.

    Args:
        client: The client to read with.
        keyspace: The database's keys.
        where: A filter: what it asks of the id is answered before a document is read, and nothing else of it.
        names: The top-level fields to read; `None` for whole documents.
    """
    for keys in _pages(client, keyspace, where):
        if names is None:
            whole = client.read_many(b"HGETALL", keys, other_type=list)
            found = [(key, words) for key, words in zip(keys, whole, strict=True) if words != []]
        else:
            found = _some_fields(client, keys, names)
        for key, words in found:
            yield decode(keyspace.id(key), words)


def _pages(client: Client, keyspace: Keyspace, where: And) -> Iterator[list[bytes]]:
    """The keys at which there may be documents that match, page by page."""
    about_id = _about_id(where)
    if not about_id.items:
        yield from pages(client, keyspace)
        return
    ids = ids_asked_for(where)
    matches = compile_matcher(about_id)
    if ids is not None:
        keys = [keyspace.key(id) for id in ids if matches(Document((), id))]
        for begin in range(0, len(keys), _PAGE):
            yield keys[begin : begin + _PAGE]
        return
    for page in pages(client, keyspace, _prefix_of(where)):
        keys = [key for key in page if matches(Document((), keyspace.id(key)))]
        if keys:
            yield keys


def _about_id(where: And) -> And:
    """The part of a filter that can be answered before a document is read."""
    return And(tuple(item for item in where.items if all(part.path == ID_PATH for part in comparisons(item))))


def _prefix_of(where: And) -> str:
    """The longest beginning that the filter asks of every id; ``""`` if it asks for none."""
    found = [item.value for item in where.items if isinstance(item, Comparison) and item[:2] == (ID_PATH, "$prefix")]
    return max(found, key=len, default="")


def find(
    client: Client,
    keyspace: Keyspace,
    where: Query,
    sort: Sequence[SortKey],
    limit: int | None,
    skip: int,
    fields: Sequence[str] | None,
) -> Iterator[Document]:
    """The documents that match, found and finished as `BaseDivanBackend.find` says."""
    read = documents(client, keyspace, where.tree, names_to_fetch(where.tree, sort, fields))
    found: Iterator[Document] = finish(filter(where.matches, read), get_id=_get_id, sort=sort, limit=limit, skip=skip)
    if fields is None:
        return found
    return (Document(project(document, fields), document.id, document.rev) for document in found)


def count(client: Client, keyspace: Keyspace, where: Query) -> int:
    """How many documents match; the keys alone are read if nothing but their ids is asked for."""
    if all(part.path == ID_PATH for part in comparisons(where.tree)) and ids_asked_for(where.tree) is None:
        return sum(map(len, _pages(client, keyspace, where.tree)))
    read = documents(client, keyspace, where.tree, names_to_fetch(where.tree, (), ()))
    return sum(map(where.matches, read))


def explain(keyspace: Keyspace, where: Query) -> Explanation:
    """How `find` answers: by the ids that are asked for, or by a scan of all keys."""
    about_id = _about_id(where.tree)
    left = And(tuple(item for item in where.tree.items if item not in about_id.items))
    ids = ids_asked_for(where.tree)
    if ids is None:
        pattern = keyspace.pattern(_prefix_of(where.tree)).decode()
        wanted = "every document of it whose id matches" if about_id.items else "every document of it"
        detail = f"SCAN of every key of the server for {pattern}, then {wanted}"
    else:
        detail = f"HGETALL of {len(ids)} keys"
    return Explanation(
        dict(Query(about_id)),
        dict(Query(left)),
        sorted_by_store=False,
        index=None if ids is None else "the keys",
        scan=ids is None,
        detail=detail,
    )


def _some_fields(client: Client, keys: Sequence[bytes], names: Sequence[str]) -> list[tuple[bytes, list[bytes]]]:
    """Each key at which there is a document, with name and text in turn of those of these fields that it has."""
    columns = (REVISION, *(name.encode() for name in names))
    nothing = [None] * len(columns)
    rows = client.read_many(b"HMGET", keys, *columns, other_type=list)
    for row in rows:
        if not isinstance(row, list) or len(row) not in (0, len(columns)):
            raise misread(row)
    # Nothing says that the document is gone by now, or that another tool wrote it, without any of these fields.
    doubtful = [key for key, row in zip(keys, rows, strict=True) if row == nothing]
    gone = set()
    for key, there in zip(doubtful, client.read_many(b"EXISTS", doubtful), strict=True):
        if there not in (0, 1):
            raise misread(there)
        if there == 0:
            gone.add(key)
    return [
        (key, [word for pair in zip(columns, row, strict=True) if pair[1] is not None for word in pair])
        for key, row in zip(keys, rows, strict=True)
        if row and key not in gone
    ]
