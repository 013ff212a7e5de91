"""Internal: what MongoDB's change streams tell of a collection."""

from __future__ import annotations

from typing import Any, Final

from divan.changes import ChangeEvent, Kind, expired
from divan.errors import StoreError, UnsupportedOperation
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from divan_mongo.documents import revision_of
from divan_mongo.errors import translating
from divan_mongo.values import CODEC_OPTIONS

_KINDS: Final[dict[str, Kind]] = {
    "insert": "created",
    "update": "updated",
    "replace": "updated",
    "delete": "deleted",
}
_WANTED: Final[list[dict[str, Any]]] = [
    {"$match": {"operationType": {"$in": list(_KINDS)}}},
    {
        "$project": {
            "operationType": 1,
            "documentKey": 1,
            "fullDocument._rev": 1,
            "updateDescription.updatedFields._rev": 1,
        }
    },
]
_NO_REPLICA_SET: Final = (40573, 40324)
"""The codes by which a server that is alone, or an imitator, says that it has no change streams."""
_EXPIRED: Final = (136, 234, 260, 280, 286)
"""The codes of a token that the server does not know, or whose changes its log has lost."""


def begin(collection: Collection[Any], label: str) -> str:
    """The position of the last change.

    Args:
        collection: The collection.
        label: How messages call it.
    """
    return _read(collection, label, {}, 0, 0)[1]


def read(
    collection: Collection[Any], label: str, position: str, limit: int, wait: float
) -> tuple[list[ChangeEvent], str]:
    """The changes after a position, and the position after them; waits for one if there is none.

    Args:
        collection: The collection.
        label: How messages call it.
        position: What an earlier call gave.
        limit: How many changes to give at most.
        wait: How long to wait, in seconds.
    """
    return _read(collection, label, {"resumeAfter": {"_data": position}}, limit, wait)


def _read(
    collection: Collection[Any], label: str, stage: dict[str, Any], limit: int, wait: float
) -> tuple[list[ChangeEvent], str]:
    """What one batch of a change stream holds, by commands: pymongo's own iterator waits again behind each change."""
    database = collection.database.with_options(codec_options=CODEC_OPTIONS)
    pipeline = [{"$changeStream": stage}, *_WANTED]
    with translating(label):
        try:
            # One session, without which a server would not take the second command for the first one's owner.
            with database.client.start_session() as session:
                answer = database.command(
                    "aggregate", collection.name, pipeline=pipeline, cursor={"batchSize": limit}, session=session
                )["cursor"]
                cursor, found = answer["id"], answer["firstBatch"]
                if not found and wait > 0 and cursor:
                    answer = database.command(
                        "getMore",
                        cursor,
                        collection=collection.name,
                        batchSize=limit,
                        maxTimeMS=max(1, int(wait * 1000)),
                        session=session,
                    )["cursor"]
                    found = answer["nextBatch"]
                if cursor:
                    database.command("killCursors", collection.name, cursors=[cursor], session=session)
        except OperationFailure as error:
            raise _understood(error, label) from error
    return [_event(raw, label) for raw in found], _position(answer.get("postBatchResumeToken"), label)


def _understood(error: OperationFailure, label: str) -> Exception:
    """What an error means to who watches: itself, if nothing else."""
    if error.code in _NO_REPLICA_SET or ("change" in str(error).lower() and "replica set" in str(error).lower()):
        return UnsupportedOperation(
            f"{label} tells of no changes: MongoDB has change streams on replica sets and sharded clusters alone; "
            "start the server with --replSet, be it as the only member, and name the set in the URL with ?replicaSet=…"
        )
    is_unknown = error.code in _EXPIRED or "resume token" in str(error).lower()
    return expired() if is_unknown else error


def _event(raw: Any, label: str) -> ChangeEvent:
    kind = _KINDS[raw["operationType"]]
    id = raw["documentKey"]["_id"]
    updated = raw.get("updateDescription", {}).get("updatedFields", {})
    held = raw.get("fullDocument", updated)
    rev = revision_of(held["_rev"]) if "_rev" in held else None
    return ChangeEvent(kind, id if isinstance(id, str) else str(id), rev, _position(raw["_id"], label))


def _position(token: Any, label: str) -> str:
    data = token.get("_data") if token is not None else None
    if not isinstance(data, str):
        raise StoreError(f"{label} tells no token of its changes that can be read; is it MongoDB 4.2 or newer?")
    return data
