"""Internal: finding and counting documents: a scan of the keys, and the reference matcher on their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from divan.backends.support import names_to_fetch
from divan.documents import Document
from divan.query import Explanation, Query, SortKey, finish, project

from divan_redis.connections import Client
from divan_redis.documents import REVISION, Keyspace, decode
from divan_redis.errors import misread

_get_id = attrgetter("id")


def pages(client: Client, keyspace: Keyspace) -> Iterator[list[bytes]]:
    """The keys of the database's documents, page by page, each once; no page is empty."""
    seen: set[bytes] = set()  # SCAN gives a key again when its table shrinks meanwhile
    for page in client.scan(keyspace.pattern):
        keyspace.check(page)
        fresh = [key for key in dict.fromkeys(page) if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh


def documents(client: Client, keyspace: Keyspace, names: Sequence[str] | None = None) -> Iterator[Document]:
    """Every document of the database, in any order.

    Args:
        client: The client to read with.
        keyspace: The database's keys.
        names: The top-level fields to read; `None` for whole documents.
    """
    for keys in pages(client, keyspace):
        if names is None:
            whole = client.read_many(b"HGETALL", keys, other_type=list)
            found = [(key, words) for key, words in zip(keys, whole, strict=True) if words != []]
        else:
            found = _some_fields(client, keys, names)
        for key, words in found:
            yield decode(keyspace.id(key), words)


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
    read = documents(client, keyspace, names_to_fetch(where.tree, sort, fields))
    found: Iterator[Document] = finish(filter(where.matches, read), get_id=_get_id, sort=sort, limit=limit, skip=skip)
    if fields is None:
        return found
    return (Document(project(document, fields), document.id, document.rev) for document in found)


def count(client: Client, keyspace: Keyspace, where: Query) -> int:
    """How many documents match; the keys alone are read if every one does."""
    if not where.tree.items:
        return sum(map(len, pages(client, keyspace)))
    return sum(map(where.matches, documents(client, keyspace, names_to_fetch(where.tree, (), ()))))


def explain(keyspace: Keyspace, where: Query) -> Explanation:
    """How `find` answers: always by a scan."""
    detail = f"SCAN of every key of the server for {keyspace.database}:*, then every document of it"
    return Explanation({}, dict(where), sorted_by_store=False, index=None, scan=True, detail=detail)


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
