"""`MongoBackend`: one document of MongoDB for each document of the Store, in plain form, its revision beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, NoReturn

from divan.backends.base import BaseDivanBackend, Change, Serializer
from divan.documents import Document
from divan.errors import (
    AuthenticationFailed,
    DatabaseNotFound,
    DivanError,
    DocumentExists,
    DocumentNotFound,
    RevisionConflict,
)
from divan.ids import new_id
from divan.query import Explanation, Query, SortKey
from divan.updates import add
from pymongo import MongoClient, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from divan_mongo import bulk, explain
from divan_mongo.documents import (
    build_document,
    by_id,
    make_document,
    new_revision,
    object_id,
    revision_filter,
    update_command,
)
from divan_mongo.errors import CLIENT_ERRORS, INDEX_CONFLICTS, NOT_INCREMENTABLE, is_taken_id, translate
from divan_mongo.filters import Filter, plan
from divan_mongo.options import Settings, auth_sources, make_client, read_settings
from divan_mongo.search import Search, is_sorted, mongo_order
from divan_mongo.values import CODEC_OPTIONS, NATIVE_SERIALIZERS, NATIVE_TYPES, PORTABLE_SERIALIZERS

_ATTEMPTS: Final = 100


class MongoBackend(BaseDivanBackend):
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
    default_serializers: ClassVar[Mapping[str, Serializer]] = PORTABLE_SERIALIZERS
    exclude_keys = ("_id", "_rev")
    known_options = None  # pymongo's own options are checked by pymongo
    native_types = NATIVE_TYPES
    batch_size = 1000

    client: MongoClient[dict[str, Any]]
    collection: Collection[dict[str, Any]]

    def connect(self, database: str, host: str, port: int) -> Database[dict[str, Any]]:
        options = {**self.options, "scheme": self.scheme}
        settings = read_settings(database, options)
        self._where = f"mongo {host if ',' in host else f'{host}:{port}'}/{settings.database}.{settings.collection}"
        if settings.native:
            self.default_serializers = NATIVE_SERIALIZERS  # type: ignore[misc]  # this Store's alone
        sources = auth_sources(settings, options)
        for source in sources:
            self.client = make_client(settings, host, port, options, source)
            try:
                self._enter(settings)
                break
            except AuthenticationFailed:
                self.client.close()
                if source == sources[-1]:
                    raise
            except BaseException:
                self.client.close()
                raise
        handle = self.client[settings.database]
        self.collection = handle.get_collection(settings.collection, codec_options=CODEC_OPTIONS)
        self._search = Search(self.collection, self._where, checks_decimals=settings.native)
        return handle

    def _enter(self, settings: Settings) -> None:
        """Ask for the collection, which tells whether the server, the credentials and the collection are good."""
        try:
            with self._translated():
                names = self.client[settings.database].list_collection_names(
                    filter={"name": settings.collection}, authorizedCollections=True
                )
        except ValueError as error:  # of the preparation that SCRAM prescribes for passwords
            if isinstance(error, DivanError):
                raise
            raise AuthenticationFailed(f"{self._where}: user or password can't be used: {error}") from error
        if not names and not settings.create:
            raise DatabaseNotFound(f"{self._where} does not exist; leave out create=false to have it made")

    def ping(self) -> None:
        with self._translated():
            self.client.admin.command("ping")

    def close(self) -> None:
        self.client.close()

    def get_id_for_document(self, document: Document) -> str:
        return document.id

    def get_revision_for_document(self, document: Document) -> str | None:
        return document.rev

    def get_document_attr(self, document: Document, field: str) -> Any:
        return document[field]

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        document_id = document_id or new_id()
        revision = new_revision()
        try:
            if (other := object_id(document_id)) and self.collection.find_one(other, {"_id": 1}):
                raise DocumentExists(document_id)
            self.collection.insert_one({"_id": document_id, "_rev": revision, **data})
        except CLIENT_ERRORS as error:
            raise translate(error, self._where, document_id) from error
        return build_document(data, document_id, str(revision))

    def get_document_for_id(self, document_id: str) -> Document:
        where, order = by_id(document_id)
        try:
            raw = self.collection.find_one(where, sort=order)
        except CLIENT_ERRORS as error:
            raise translate(error, self._where) from error
        if raw is None:
            raise DocumentNotFound(document_id)
        return make_document(raw)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        command = update_command(data, remove, increment)
        if command is None:
            return self._merge(document_id, data, remove, increment, rev)
        where, order = by_id(document_id)
        if rev is not None:
            where["_rev"] = revision_filter(rev)
        try:
            raw = self.collection.find_one_and_update(where, command, sort=order, return_document=ReturnDocument.AFTER)
        except OperationFailure as error:
            if error.code in NOT_INCREMENTABLE:
                return self._merge(document_id, data, remove, increment, rev)
            raise translate(error, self._where, document_id) from error
        except CLIENT_ERRORS as error:
            raise translate(error, self._where, document_id) from error
        if raw is None:
            self._refuse(document_id, rev)
        return make_document(raw)

    def _merge(
        self,
        document_id: str,
        data: Mapping[str, Any],
        remove: Sequence[str],
        increment: Mapping[str, int | float],
        rev: str | None,
    ) -> Document:
        """Read, add, and write if nothing has changed: the update that ``$inc`` can't do, or does otherwise."""
        with self._translated(document_id):
            for _ in range(_ATTEMPTS):
                where, order = by_id(document_id)
                if rev is not None:
                    where["_rev"] = revision_filter(rev)
                raw = self.collection.find_one(where, sort=order)
                if raw is None:
                    self._refuse(document_id, rev)
                seen = {"_id": raw["_id"], "_rev": raw.get("_rev")}
                sums = {name: add(name, raw.get(name, 0), by) for name, by in increment.items()}
                command: dict[str, Any] = {"$set": {**data, **sums, "_rev": new_revision()}}
                if remove:
                    command["$unset"] = dict.fromkeys(remove, "")
                raw = self.collection.find_one_and_update(seen, command, return_document=ReturnDocument.AFTER)
                if raw is not None:
                    return make_document(raw)
        raise RevisionConflict(document_id, rev)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        revision = new_revision()
        stored = {"_rev": revision, **data}
        where, order = by_id(document_id)
        if rev is not None:
            where["_rev"] = revision_filter(rev)
            upsert = False
        with self._translated(document_id):
            if order is None:
                written = self._put(where, stored, upsert)
            else:  # a text that is an ObjectId's too
                old = self.collection.find_one_and_replace(where, stored, {"_id": 1}, sort=order)
                written = old is not None or (upsert and self._put({"_id": document_id}, stored, upsert=True))
        if not written:
            self._refuse(document_id, rev)
        return build_document(data, document_id, str(revision))

    def _put(self, where: Filter, stored: dict[str, Any], upsert: bool) -> bool:
        """Whether the document was replaced, or with `upsert` created."""
        try:
            result = self.collection.replace_one(where, stored, upsert=upsert)
        except DuplicateKeyError as error:
            if not upsert or not is_taken_id(error.details):
                raise
            result = self.collection.replace_one(where, stored)  # somebody created it meanwhile
        return bool(result.matched_count) or result.upserted_id is not None

    def delete(self, document_id: str, rev: str | None = None) -> None:
        where, order = by_id(document_id)
        if rev is not None:
            where["_rev"] = revision_filter(rev)
        with self._translated():
            if order is None:
                deleted = self.collection.delete_one(where).deleted_count == 1
            else:
                deleted = self.collection.find_one_and_delete(where, {"_id": 1}, sort=order) is not None
        if not deleted:
            self._refuse(document_id, rev)

    def _refuse(self, document_id: str, rev: str | None) -> NoReturn:
        """Say why a write found no document: it is not there, or has another revision."""
        if rev is not None:
            with self._translated():
                if self.collection.find_one(by_id(document_id)[0], {"_id": 1}) is not None:
                    raise RevisionConflict(document_id, rev)
        raise DocumentNotFound(document_id)

    # Many documents

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Document | DivanError]:
        with self._translated():
            return bulk.create_many(self.collection, items, self._where)

    def get_many(self, document_ids: Sequence[str]) -> list[Document | None]:
        with self._translated():
            return bulk.get_many(self.collection, document_ids)

    def update_many(self, changes: Sequence[Change]) -> list[Document | DivanError]:
        with self._translated():
            return bulk.update_many(self.collection, changes, self.update, self._where)

    def delete_many(self, document_ids: Sequence[str]) -> list[DivanError | None]:
        with self._translated():
            return bulk.delete_many(self.collection, document_ids)

    # Queries

    def iter_documents(self) -> Iterator[Document]:
        return self._search.rows({})

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        return self._search.find(where, sort, limit, skip, fields)

    def count(self, where: Query) -> int:
        with self._translated():
            return self._search.count(where)

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        todo = plan(where.tree)
        with self._translated():
            return explain.explain(self.collection, todo, mongo_order(sort) if is_sorted(todo, sort) else None)

    def ensure_index(self, *fields: str) -> str | None:
        # The id at the end lets the index serve a sort by the field too, ties broken by id.
        keys = [*((field, 1) for field in dict.fromkeys(fields)), ("_id", 1)]
        with self._translated():
            try:
                return self.collection.create_index(keys)
            except OperationFailure as error:
                if error.code not in INDEX_CONFLICTS:
                    raise
                existing = self.collection.index_information()
                names = [name for name, index in existing.items() if list(map(tuple, index["key"])) == keys]
                if not names:
                    raise
                return names[0]  # somebody made the same index under another name

    @contextmanager
    def _translated(self, document_id: str = "") -> Iterator[None]:
        try:
            yield
        except CLIENT_ERRORS as error:
            raise translate(error, self._where, document_id) from error
