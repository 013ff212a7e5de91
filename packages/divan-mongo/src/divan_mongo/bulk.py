"""Internal: batches: one round trip for many documents, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bson import ObjectId, encode
from divan.backends.support import attempt, first_revision, rounds
from divan.documents import Document, copied
from divan.errors import DivanError, DocumentExists, DocumentNotFound, StoreError
from divan.ids import new_id
from divan.updates import Change
from pymongo import ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError

from divan_mongo.documents import build_document, object_id, update_command
from divan_mongo.errors import (
    NOT_INCREMENTABLE,
    changed_unreadably,
    is_taken_id,
    translate,
    translate_code,
    translating,
)
from divan_mongo.pages import read_page, search
from divan_mongo.values import CODEC_OPTIONS

_LARGE: Final = 15 * 2**20  # bytes; a command of MongoDB's takes 16 MiB

_Documents = Collection[dict[str, Any]]


def create_many(
    collection: _Documents, items: Sequence[tuple[str | None, dict[str, Any]]], label: str
) -> list[Document | DivanError]:
    """Insert documents; see `BaseDivanBackend.create_many`."""
    with translating(label):
        return _create_many(collection, items, label)


def _create_many(
    collection: _Documents, items: Sequence[tuple[str | None, dict[str, Any]]], label: str
) -> list[Document | DivanError]:
    results: list[Document | DivanError] = []
    positions: list[int] = []
    raws: list[dict[str, Any]] = []
    taken = _taken(collection, [document_id for document_id, _ in items if document_id])
    for position, (given, data) in enumerate(items):
        document_id = given or new_id()
        if document_id in taken:
            results.append(DocumentExists(document_id))
            continue
        revision = first_revision()
        results.append(build_document(data, document_id, str(revision)))
        positions.append(position)
        raws.append({"_id": document_id, "_rev": revision, **data})
    if raws:
        for index, error in _insert(collection, raws, label).items():
            results[positions[index]] = error
    return results


def _taken(collection: _Documents, ids: Iterable[str]) -> set[str]:
    """Which of the ids are texts of ObjectIds that are there."""
    others = [other for other in map(object_id, ids) if other is not None]
    return {str(raw["_id"]) for raw in collection.find({"_id": {"$in": others}}, {"_id": 1})} if others else set()


def _insert(collection: _Documents, raws: list[dict[str, Any]], label: str) -> dict[int, DivanError]:
    """Insert documents, and return the error of each that failed."""
    try:
        collection.insert_many(raws, ordered=False)
    except BulkWriteError as error:
        return {
            failed["index"]: translate_code(failed["code"], failed, label, raws[failed["index"]]["_id"])
            for failed in _write_errors(error)
        }
    except DocumentTooLarge:
        # The client stopped at one of them, having sent some: each on its own, then.
        attempts = [_insert_again(collection, raw, label) for raw in raws]
        return {index: error for index, error in enumerate(attempts) if error is not None}
    return {}


def _insert_again(collection: _Documents, raw: dict[str, Any], label: str) -> DivanError | None:
    """Insert a document unless it is there already, as this very document."""
    try:
        collection.insert_one(raw)
    except DuplicateKeyError as error:
        same = {"_id": raw["_id"], "_rev": raw["_rev"]}
        return None if collection.find_one(same, {"_id": 1}) else translate(error, label, raw["_id"])
    except DocumentTooLarge as error:
        return translate(error, label, raw["_id"])
    return None


def put_many(
    collection: _Documents,
    items: Sequence[tuple[str, dict[str, Any]]],
    replace: Callable[..., Document],
    label: str,
) -> list[Document | DivanError]:
    """Create or overwrite documents; see `BaseDivanBackend.put_many`.

    Args:
        collection: Where they are.
        items: Id and fields of each.
        replace: Replaces a single document, for what a bulk command can't do.
        label: How messages call the collection.
    """
    results: dict[int, Document | DivanError] = {}
    with translating(label):
        for positions in rounds([document_id for document_id, _ in items]):
            singles: list[int] = []
            sent: list[int] = []
            commands: list[ReplaceOne[dict[str, Any]]] = []
            for position in positions:
                document_id, data = items[position]
                revision = first_revision()
                raw = {"_id": document_id, "_rev": revision, **data}
                if object_id(document_id) or len(encode(raw, codec_options=CODEC_OPTIONS)) > _LARGE:
                    singles.append(position)
                    continue
                sent.append(position)
                commands.append(ReplaceOne({"_id": document_id}, raw, upsert=True))
                results[position] = build_document(data, document_id, str(revision))
            try:
                if commands:
                    collection.bulk_write(commands, ordered=False)
            except BulkWriteError as error:
                for failed in _write_errors(error):
                    position = sent[failed["index"]]
                    if is_taken_id(failed):  # somebody created it meanwhile
                        singles.append(position)
                    else:
                        results[position] = translate_code(failed["code"], failed, label, items[position][0])
            for position in singles:
                document_id, data = items[position]
                results[position] = attempt(replace, document_id, data, None, True)
    return [results[position] for position in range(len(items))]


def get_many(collection: _Documents, ids: Sequence[str], label: str) -> list[Document | DivanError | None]:
    """Fetch documents; see `BaseDivanBackend.get_many`."""
    found = _fetch(collection, ids, label)
    results: list[Document | DivanError | None] = []
    given: set[str] = set()
    for document_id in ids:
        document = found.get(document_id)
        if isinstance(document, Document) and document_id in given:
            document = Document(copied(document), document.id, document.rev)
        results.append(document)
        given.add(document_id)
    return results


def _fetch(collection: _Documents, ids: Iterable[str], label: str) -> dict[str, Document | StoreError]:
    """The documents that are there, by id, or why one can't be read; a string goes before an ObjectId of its text."""
    found: dict[str, Document | StoreError] = {}
    keys = _keys(ids)
    order = [("_id", 1)] if isinstance(keys[-1], ObjectId) else None  # which puts strings before ObjectIds
    with translating(label), search(collection, {"_id": {"$in": keys}}, sort=order) as pages:
        for page in pages:
            for document in read_page(page, label):
                document_id = document.id if isinstance(document, Document) else document.document_id
                if document_id is not None:
                    found.setdefault(document_id, document)
    return found


def _keys(ids: Iterable[str]) -> list[str | ObjectId]:
    texts = list(dict.fromkeys(ids))
    return [*texts, *(other for other in map(object_id, texts) if other is not None)]


def update_many(
    collection: _Documents, changes: Sequence[Change], update: Callable[..., Document], label: str
) -> list[Document | DivanError]:
    """Update documents; see `BaseDivanBackend.update_many`.

    Args:
        collection: Where they are.
        changes: What to change.
        update: Updates a single document, for what a bulk command can't do.
        label: How messages call the collection.
    """
    results: dict[int, Document | DivanError] = {}
    with translating(label):
        # The second change of one document waits for the next round, so that the first answers with its own outcome.
        for positions in rounds([change.document_id for change in changes]):
            batch = [(position, changes[position]) for position in positions]
            results.update(_update(collection, batch, update, label))
    return [results[position] for position in range(len(changes))]


def _update(
    collection: _Documents, batch: list[tuple[int, Change]], update: Callable[..., Document], label: str
) -> dict[int, Document | DivanError]:
    results: dict[int, Document | DivanError] = {}
    singles: list[tuple[int, Change]] = []
    sent: list[tuple[int, Change]] = []
    commands: list[UpdateOne] = []
    for position, change in batch:
        command = update_command(change)
        # One that is too large would stop the client in the midst of a batch, with the others sent or not sent.
        # Of one that a document has to take, MongoDB would not say whether it did.
        if command is None or change.nested or object_id(change.document_id) or len(encode(command)) > _LARGE:
            singles.append((position, change))
        else:
            sent.append((position, change))
            commands.append(UpdateOne({"_id": change.document_id}, command))
    try:
        if commands:
            collection.bulk_write(commands, ordered=False)
    except BulkWriteError as error:
        for failed in _write_errors(error):
            position, change = sent[failed["index"]]
            if failed["code"] in NOT_INCREMENTABLE:
                singles.append((position, change))
            else:
                results[position] = translate_code(failed["code"], failed, label, change.document_id)
    for position, change in singles:
        results[position] = attempt(update, change)
    rest = [(position, change.document_id) for position, change in sent if position not in results]
    found = _fetch(collection, [document_id for _, document_id in rest], label) if rest else {}
    for position, document_id in rest:
        # MongoDB counts the documents that an unordered batch found, and does not say which: those that are there.
        document = found.get(document_id)
        if isinstance(document, StoreError):
            document = changed_unreadably(label, document.__cause__, document_id)
        results[position] = DocumentNotFound(document_id) if document is None else document
    return results


def delete_many(collection: _Documents, ids: Sequence[str], label: str) -> list[DivanError | None]:
    """Delete documents; see `BaseDivanBackend.delete_many`.

    Two round trips: MongoDB counts what it deleted, and does not say which ones were there.
    """
    present: dict[str, str | ObjectId] = {}
    with translating(label):
        for raw in collection.find({"_id": {"$in": _keys(ids)}}, {"_id": 1}).to_list():
            key = raw["_id"]
            if isinstance(key, str) or str(key) not in present:
                present[str(key)] = key
        if present:
            collection.delete_many({"_id": {"$in": list(present.values())}})
    return [
        None if present.pop(document_id, None) is not None else DocumentNotFound(document_id) for document_id in ids
    ]


def _write_errors(error: BulkWriteError) -> list[dict[str, Any]]:
    """The items that failed; an error that concerns the whole batch, or leaves in doubt whether it lasts, is raised."""
    failed: list[dict[str, Any]] = error.details["writeErrors"]
    if not failed or error.details["writeConcernErrors"]:
        raise error
    return failed
