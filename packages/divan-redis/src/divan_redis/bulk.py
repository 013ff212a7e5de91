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
    new_revision,
    update_arguments,
    updated,
)
from divan_redis.scripts import CREATE, UPDATE


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


def get_many(client: Client, keyspace: Keyspace, document_ids: Sequence[str]) -> list[Document | None]:
    """Fetch documents; `None` for one that is not there.

    Args:
        client: The client to read with.
        keyspace: The database's keys.
        document_ids: The id of each.
    """
    replies = client.read_many(b"HGETALL", [keyspace.key(document_id) for document_id in document_ids])
    return [
        decode(document_id, words) if words else None for document_id, words in zip(document_ids, replies, strict=True)
    ]


def update_many(client: Client, keyspace: Keyspace, changes: Sequence[Change]) -> list[Document | DivanError]:
    """Update documents.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        changes: What to change, one document each; a document may come several times.
    """
    replies = client.run_many(
        UPDATE,
        [
            (keyspace.key(change.document_id), *update_arguments(change.data, change.remove, change.increment))
            for change in changes
        ],
    )
    return [
        attempt(updated, change.document_id, change.increment, None, reply)
        for change, reply in zip(changes, replies, strict=True)
    ]


def delete_many(client: Client, keyspace: Keyspace, document_ids: Sequence[str]) -> list[DivanError | None]:
    """Delete documents; `None` for one that is gone now.

    Args:
        client: The client to write with.
        keyspace: The database's keys.
        document_ids: The id of each.
    """
    replies = client.delete_many([keyspace.key(document_id) for document_id in document_ids])
    return [attempt(deleted, document_id, reply) for document_id, reply in zip(document_ids, replies, strict=True)]
