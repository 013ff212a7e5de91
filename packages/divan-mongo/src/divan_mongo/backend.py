"""`MongoBackend`: one document of MongoDB for each document of the Store, in plain form, its revision beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from bson.errors import InvalidBSON
from divan.backends.base import BaseDivanBackend
from divan.backends.support import DocumentAccessors, first_revision
from divan.changes import ChangeEvent
from divan.documents import Document
from divan.errors import DivanError, DocumentExists, DocumentNotFound, RevisionConflict, StoreError
from divan.ids import new_id
from divan.options import Options
from divan.query import Explanation, Query, SortKey
from divan.updates import Change, Step
from pymongo import MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from divan_mongo import bulk, changes
from divan_mongo.calls import Calls
from divan_mongo.connections import Address, open_client, resends_writes
from divan_mongo.documents import (
    build_document,
    by_id,
    make_document,
    object_id,
    takes,
    update_command,
    update_command_from,
)
from divan_mongo.errors import (
    CLIENT_ERRORS,
    NOT_INCREMENTABLE,
    changed_unreadably,
    is_taken_id,
    translate,
    translating,
)
from divan_mongo.filters import Filter
from divan_mongo.options import OPTIONS, call_seconds, read_options, split_path
from divan_mongo.queries import Queries, projection
from divan_mongo.values import CODEC_OPTIONS, NATIVE_TYPES, SerializersByOption

_ATTEMPTS: Final = 100


class MongoBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in a collection of MongoDB, reached through pymongo.

    A document's id is MongoDB's ``_id``: a string, or an ObjectId that is addressed by its text. Its revision is a
    number in ``_rev``, which begins at random and grows with every update; a document without one, which another
    program wrote, has the revision ``"0"``.

    Attributes:
        client: The `MongoClient`.
        db: The `Database`.
        collection: The `Collection` with the documents.
    """

    default_host = "localhost"
    default_port = 27017
    default_serializers = SerializersByOption()
    exclude_keys = ("_id", "_rev")
    known_options = OPTIONS  # and pymongo's, which `read_options` passes through
    takes_id_field = True
    native_types = NATIVE_TYPES
    batch_size = 1000

    client: MongoClient[dict[str, Any]]
    collection: Collection[dict[str, Any]]

    def read_options(self, given: Mapping[str, Any]) -> Options:
        return read_options(self.database, given)

    def connect(self, database: str, host: str, port: int) -> Database[dict[str, Any]]:
        name, _ = split_path(database)
        address = Address(self.scheme, host, port, name)
        self._label = address.label(self.options["collection"])
        self._calls = Calls(call_seconds(self.options), self._label)
        try:
            self.client = self._calls.begin(open_client, address, self.options)
        except BaseException:
            self._calls.end()
            raise
        self._calls.client = self.client
        self._calls.resends = resends_writes(self.client)
        handle = self.client[name]
        self.collection = handle.get_collection(self.options["collection"], codec_options=CODEC_OPTIONS)
        self._queries = Queries(
            self.collection, self._label, self._calls, checks_decimals=self.options["types"] == "native"
        )
        return handle

    def ping(self) -> None:
        self._calls.read(self._ping)

    def _ping(self) -> None:
        with translating(self._label):
            self.client.admin.command("ping")

    def close(self) -> None:
        self._calls.close(self.client)

    # One document. What every program does most catches the client's errors itself, which takes less time.

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        return self._calls.write(self._create, data, document_id or new_id())

    def _create(self, data: dict[str, Any], document_id: str) -> Document:
        revision = first_revision()
        try:
            if (other := object_id(document_id)) and self.collection.find_one(other, {"_id": 1}):
                raise DocumentExists(document_id)
            self.collection.insert_one({"_id": document_id, "_rev": revision, **data})
        except CLIENT_ERRORS as error:
            raise translate(error, self._label, document_id) from error
        return build_document(data, document_id, str(revision))

    def get_document_for_id(self, document_id: str, fields: Sequence[str] | None = None) -> Document:
        return self._calls.begin(self._get, document_id, fields)

    def _get(self, document_id: str, fields: Sequence[str] | None) -> Document:
        where, order = by_id(document_id)
        try:
            raw = self.collection.find_one(where, projection(fields), sort=order)
        except CLIENT_ERRORS as error:
            raise translate(error, self._label, document_id) from error
        if raw is None:
            raise DocumentNotFound(document_id)
        return make_document(raw)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        nested: Sequence[Step] = (),
        rev: str | None = None,
    ) -> Document:
        return self._calls.write(self._update, Change(document_id, data, tuple(remove), increment, tuple(nested)), rev)

    def _update(self, change: Change, rev: str | None = None) -> Document:
        document_id = change.document_id
        where, order = by_id(document_id, rev)
        command = update_command(change)
        conditions = takes(change.nested)
        # Of two documents whose ids have the same text, it must not be the other one that takes the change.
        if command is None or (conditions and order is not None):
            return self._update_here(change, rev)
        if conditions:
            where["$and"] = conditions
        try:
            raw = self.collection.find_one_and_update(where, command, sort=order, return_document=ReturnDocument.AFTER)
        except InvalidBSON as error:
            raise changed_unreadably(self._label, error, document_id) from error
        except CLIENT_ERRORS as error:
            if getattr(error, "code", None) in NOT_INCREMENTABLE:
                return self._update_here(change, rev)
            raise translate(error, self._label, document_id) from error
        if raw is None:
            if conditions:
                return self._update_here(change, rev)
            self._refuse(document_id, rev)
        if raw.get("_rev").__class__ is float:
            raw = self._with_whole_revision(raw)
        return make_document(raw)

    def _with_whole_revision(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Give a document a revision of Divan's in place of another program's float, which may be too large to grow."""
        seen = {"_id": raw["_id"], "_rev": raw["_rev"]}
        command = {"$set": {"_rev": first_revision()}}
        with translating(self._label):
            return self.collection.find_one_and_update(seen, command, return_document=ReturnDocument.AFTER) or raw

    def _update_here(self, change: Change, rev: str | None) -> Document:
        """Read, change, and write if nothing has changed: the update that MongoDB can't make, or makes otherwise."""
        document_id = change.document_id
        where, order = by_id(document_id, rev)
        with translating(self._label, document_id):
            for _ in range(_ATTEMPTS):
                raw = self.collection.find_one(where, sort=order)
                if raw is None:
                    self._refuse(document_id, rev)
                seen = {"_id": raw["_id"], "_rev": {"$eq": raw.get("_rev")}}
                command = update_command_from(raw, change)
                raw = self.collection.find_one_and_update(seen, command, return_document=ReturnDocument.AFTER)
                if raw is not None:
                    return make_document(raw)
        raise RevisionConflict(document_id, rev)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        return self._calls.write(self._replace, document_id, data, rev, upsert and rev is None)

    def _replace(self, document_id: str, data: dict[str, Any], rev: str | None, upsert: bool) -> Document:
        revision = first_revision()
        where, order = by_id(document_id, rev)
        with translating(self._label, document_id):
            if order is None:
                is_written = self._replace_text(document_id, where, revision, data, upsert)
            else:  # a text that is an ObjectId's too
                old = self.collection.find_one_and_replace(where, {"_rev": revision, **data}, {"_id": 1}, sort=order)
                is_written = old is not None or (
                    upsert and self._replace_text(document_id, {"_id": document_id}, revision, data, upsert)
                )
        if not is_written:
            self._refuse(document_id, rev)
        return build_document(data, document_id, str(revision))

    def _replace_text(
        self, document_id: str, where: Filter, revision: int, data: Mapping[str, Any], upsert: bool
    ) -> bool:
        """Whether the document whose id is this very string was replaced, or with `upsert` created."""
        stored = {"_id": document_id, "_rev": revision, **data}  # with its id, which some servers make up otherwise
        try:
            result = self.collection.replace_one(where, stored, upsert=upsert)
        except DuplicateKeyError as error:
            if not upsert or not is_taken_id(error.details):
                raise
            result = self.collection.replace_one(where, stored)  # somebody created it meanwhile
        return bool(result.matched_count) or result.upserted_id is not None

    def delete(self, document_id: str, rev: str | None = None) -> None:
        self._calls.write(self._delete, document_id, rev)

    def _delete(self, document_id: str, rev: str | None) -> None:
        where, order = by_id(document_id, rev)
        with translating(self._label):
            if order is None:
                is_deleted = self.collection.delete_one(where).deleted_count == 1
            else:
                is_deleted = self.collection.find_one_and_delete(where, {"_id": 1}, sort=order) is not None
        if not is_deleted:
            self._refuse(document_id, rev)

    def _refuse(self, document_id: str, rev: str | None) -> NoReturn:
        """Say why a write found no document: it is not there, or has another revision."""
        if rev is not None:
            with translating(self._label):
                if self.collection.find_one(by_id(document_id)[0], {"_id": 1}) is not None:
                    raise RevisionConflict(document_id, rev)
        raise DocumentNotFound(document_id)

    # Many documents

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Document | DivanError]:
        return self._calls.run(bulk.create_many, self.collection, items, self._label)

    def put_many(self, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Document | DivanError]:
        return self._calls.run(bulk.put_many, self.collection, items, self._replace, self._label)

    def get_many(self, document_ids: Sequence[str]) -> list[Document | DivanError | None]:
        return self._calls.read(bulk.get_many, self.collection, document_ids, self._label)

    def update_many(self, changes: Sequence[Change]) -> list[Document | DivanError]:
        return self._calls.run(bulk.update_many, self.collection, changes, self._update, self._label)

    def delete_many(self, document_ids: Sequence[str]) -> list[DivanError | None]:
        return self._calls.run(bulk.delete_many, self.collection, document_ids, self._label)

    # Queries

    def iter_documents(self) -> Iterator[Document | StoreError]:
        return self._queries.iter_documents()

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document | StoreError]:
        return self._queries.find(where, sort, limit, skip, fields)

    def count(self, where: Query) -> int:
        return self._queries.count(where)

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        return self._queries.explain(where, sort)

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
        if position is None:
            return [], self._calls.begin(changes.begin, self.collection, self._label)
        wait = wait if self._calls.seconds is None else min(wait, self._calls.seconds / 2)
        return self._calls.begin(changes.read, self.collection, self._label, position, limit, wait)

    def ensure_index(self, *fields: str) -> str | None:
        return self._queries.ensure_index(fields)
