"""Internal: the calls on many documents: one round trip, or on a cluster one a node; one result an item, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from divan.backends.support import attempt
from divan.documents import Document
from divan.errors import DivanError
from divan.ids import new_id
from divan.updates import Change

from divan_redis.connections import Client
from divan_redis.documents import (
    Keyspace,
    create_arguments,
    created,
    decode,
    deleted,
    expected,
    is_doubtful,
    new_revision,
    read_doubtful,
    replace_arguments,
    replaced,
    update_arguments,
    updated,
)
from divan_redis.scripts import CREATE, DELETE, REPLACE, UPDATE


def create_many(
    client: Client, keyspace: Keyspace, items: Sequence[tuple[str | None, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Create documents.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        items: Id and fields of each; without an id, one is made.
    """
    made = [(document_id or new_id(), data, new_revision()) for document_id, data in items]
    replies = client.run_many(
        CREATE, [(keyspace.key(document_id), *create_arguments(data, rev)) for document_id, data, rev in made]
    )
    return [attempt(created, *document, reply) for document, reply in zip(made, replies, strict=True)]


def put_many(
    client: Client, keyspace: Keyspace, items: Sequence[tuple[str, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Create documents, or overwrite those that exist.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        items: Id and fields of each; a document may come several times.
    """
    replies = client.run_many(
        REPLACE,
        [(keyspace.key(document_id), *replace_arguments(data, None, upsert=True)) for document_id, data in items],
    )
    return [
        attempt(replaced, document_id, data, None, reply)
        for (document_id, data), reply in zip(items, replies, strict=True)
    ]


def get_many(client: Client, keyspace: Keyspace, document_ids: Sequence[str]) -> list[Document | None]:
    """Fetch documents; `None` for one that is not there.

    Args:
        client: The client to read with.
        keyspace: The database's keys.
        document_ids: The id of each.
    """
    replies = client.read_many(b"HGETALL", [keyspace.key(document_id) for document_id in document_ids])
    found = map(decode, document_ids, replies)
    return [document if words else None for document, words in zip(found, replies, strict=True)]


def run_update(client: Client, keyspace: Keyspace, change: Change, rev: str | None = None) -> Any:
    """What `UPDATE` returns at last, told of the fields that it was not sure of and that can be read.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        change: What to change.
        rev: The revision that the document must have; `None` for any.

    Raises:
        StoreError: if a field can't be read; nothing was changed.
    """
    key = keyspace.key(change.document_id)
    readable: dict[bytes, bytes] = {}
    while True:
        arguments = update_arguments(change.data, change.remove, change.increment, rev, readable)
        reply = client.run(UPDATE, key, *arguments)
        if not is_doubtful(reply):
            return reply
        read_doubtful(change.document_id, reply, readable)


def update_many(client: Client, keyspace: Keyspace, changes: Sequence[Change]) -> list[Document | DivanError]:
    """Update documents.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        changes: What to change, one document each; a document may come several times.
    """
    seen: set[str] = set()
    items = []
    for change in changes:
        again = change.document_id in seen
        seen.add(change.document_id)
        arguments = update_arguments(change.data, change.remove, change.increment, again=again)
        items.append((keyspace.key(change.document_id), *arguments))
    replies = client.run_many(UPDATE, items)
    return [attempt(_updated, client, keyspace, change, reply) for change, reply in zip(changes, replies, strict=True)]


def _updated(client: Client, keyspace: Keyspace, change: Change, reply: Any) -> Document:
    """The document as `UPDATE` has left it; run again, if it was not sure of a field that can be read."""
    if is_doubtful(reply):
        reply = run_update(client, keyspace, change)
    return updated(change.document_id, change.increment, None, reply)


def delete_many(client: Client, keyspace: Keyspace, document_ids: Sequence[str]) -> list[DivanError | None]:
    """Delete documents; `None` for one that is gone now.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        document_ids: The id of each.
    """
    replies = client.run_many(DELETE, [(keyspace.key(document_id), expected(None)) for document_id in document_ids])
    return [
        attempt(deleted, document_id, None, reply) for document_id, reply in zip(document_ids, replies, strict=True)
    ]
