"""`CouchDBBackend`: one CouchDB document per document, each write checked by its revision."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from divan.backends.base import BaseDivanBackend, Change, Serializer, Step, apply_changes
from divan.backends.support import DocumentAccessors
from divan.changes import ChangeEvent
from divan.documents import Document
from divan.errors import DocumentExists, DocumentNotFound, InvalidDocument
from divan.ids import new_id
from divan.query import Explanation, Query, SortKey, project
from divan.serializers import DEFAULT_SERIALIZERS
from divan.validation import check_id

from divan_couchdb import changes
from divan_couchdb.answers import Claim, Writer
from divan_couchdb.bulk import Bulk
from divan_couchdb.connections import Client, Raw
from divan_couchdb.documents import Documents, is_revision, known_as, replaced, to_document, to_written_document
from divan_couchdb.errors import Conflict, cause_of
from divan_couchdb.indexes import index_name
from divan_couchdb.options import OPTIONS, read_settings
from divan_couchdb.queries import Queries


class CouchDBBackend(DocumentAccessors, BaseDivanBackend):
    """Documents in a CouchDB database, plain as any other program of CouchDB's reads and writes them.

    CouchDB writes a whole document if it still has the revision that the writer has seen. So an update reads, merges
    and writes, and begins again where another writer came between; when it is handed what this driver returned, it need
    not read. Attachments are left as they are: not shown, and not lost by a write.
    """

    default_host = "localhost"
    default_port = 5984
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys = ("_id", "_rev")
    known_options = OPTIONS
    takes_id_field = True
    batch_size = 1000

    _client: Client

    def connect(self, database: str, host: str, port: int) -> Any:
        """Open the database, made if it is missing and ``create`` allows it; the handle is a `couchdb.Database`."""
        client = Client(read_settings(database, host, port, self.scheme, self.options))
        client.begin()
        try:
            if self.options["create"]:
                facts = client.describe_or_make(partitioned=self.options["partitioned"])
            else:
                facts = client.describe()
        except BaseException:
            client.close()
            raise
        self._client = client
        self._facts = facts
        writer = Writer(client, facts.copies)
        self._documents = Documents(client, writer)
        self._queries = Queries(client, facts)
        self._bulk = Bulk(client, self._queries, writer)
        return client.database

    def close(self) -> None:
        self._client.close()

    def ping(self) -> None:
        self._client.begin()
        self._client.describe()

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None, fresh: bool = False) -> Document:
        self._client.begin()
        if document_id is None:
            document_id, fresh = new_id(), True
        try:
            rev = self._documents.put(document_id, data, Claim.OWN if fresh else Claim.EXACT)
        except Conflict as error:
            raise DocumentExists(document_id) from cause_of(error)
        return to_written_document(data, {**data, "_id": document_id, "_rev": rev})

    def get_document_for_id(self, document_id: str) -> Document:
        self._client.begin()
        return to_document(self._documents.get(document_id))

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        nested: Sequence[Step] = (),
        rev: str | None = None,
        document: Any = None,
    ) -> Document:
        self._client.begin()
        claim = Claim.EQUAL if rev is None and not increment and not nested else Claim.EXACT

        def write(stored: Raw | None) -> Document:
            merged = None
            if stored is not None:
                try:
                    merged = apply_changes(stored, data, remove, increment, nested)
                except InvalidDocument:
                    pass  # what is stored by now may do
            if merged is None:
                current = self._documents.get(document_id, rev)
                merged = apply_changes(current, data, remove, increment, nested)
            written = self._documents.put(document_id, merged, claim)
            return to_document({**merged, "_id": document_id, "_rev": written})

        return self._documents.retry(document_id, rev, write, known_as(document, document_id, rev))

    def replace(
        self, document_id: str, data: dict[str, Any], rev: str | None = None, document: Any = None, upsert: bool = False
    ) -> Document:
        self._client.begin()
        claim = Claim.EQUAL if rev is None else Claim.EXACT

        def write(stored: Raw | None) -> Document:
            if stored is None:
                try:
                    stored = self._documents.get(document_id, rev)
                except DocumentNotFound:
                    if not upsert or rev is not None:
                        raise
                    stored = {}
            body = replaced(stored, data)
            written = self._documents.put(document_id, body, claim)
            return to_document({**body, "_id": document_id, "_rev": written})

        return self._documents.retry(document_id, rev, write, known_as(document, document_id, rev))

    def delete(self, document_id: str, rev: str | None = None, document: Any = None) -> None:
        self._client.begin()
        claim = Claim.EQUAL if rev is None else Claim.EXACT
        if rev is not None and not is_revision(rev):
            self._documents.get(document_id, rev)  # which it can't be: PouchDB would take none for any

        def write(stored: Raw | None) -> None:
            current = (stored or self._documents.get(document_id, rev))["_rev"]
            self._documents.delete(document_id, current, claim)

        known = {"_rev": rev} if rev is not None else known_as(document, document_id, None)
        self._documents.retry(document_id, rev, write, known)

    # Many documents

    def iter_documents(self) -> Iterator[Document]:
        return map(to_document, self._queries.all())

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        found = self._queries.find(where, sort, limit, skip, fields)
        if fields is None:
            return map(to_document, found)
        return (Document(project(raw, fields), raw["_id"], raw["_rev"]) for raw in found)

    def count(self, where: Query) -> int:
        if not where:
            self._client.begin()
            return self._queries.count()
        return sum(1 for _ in self.find(where, fields=()))

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]], fresh: Collection[str] = ()) -> list[Any]:
        self._client.begin()
        results: list[Any] = [None] * len(items)
        sent: dict[str, tuple[int, dict[str, Any]]] = {}
        claims: dict[str, Claim] = {}
        for index, (given, data) in enumerate(items):
            document_id = new_id() if given is None else check_id(given)
            if document_id in sent:
                results[index] = DocumentExists(document_id)
            else:
                sent[document_id] = (index, data)
                claims[document_id] = Claim.OWN if given is None or document_id in fresh else Claim.EXACT
        bodies: list[Raw] = [{**data, "_id": document_id} for document_id, (_, data) in sent.items()]
        outcomes = self._bulk.write(bodies, claims)
        for body, (index, data), outcome in zip(bodies, sent.values(), outcomes, strict=True):
            if isinstance(outcome, str):
                body["_rev"] = outcome
                results[index] = to_written_document(data, body)
            else:
                results[index] = DocumentExists(body["_id"]) if isinstance(outcome, Conflict) else outcome
        return results

    def get_many(self, document_ids: Sequence[str]) -> list[Any]:
        if not document_ids:
            return []
        self._client.begin()
        found = self._queries.many(document_ids)
        results: list[Any] = []
        for document_id in document_ids:
            raw = found.get(document_id)
            results.append(to_document(raw) if isinstance(raw, dict) else raw)
        return results

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        def change(index: int, stored: Raw) -> Raw:
            one = changes[index]
            return apply_changes(stored, one.data, one.remove, one.increment, one.nested)

        def is_exact(index: int) -> bool:
            return bool(changes[index].increment or changes[index].nested)

        self._client.begin()
        ids = [check_id(one.document_id) for one in changes]
        return self._bulk.rewrite(ids, change, to_document, is_exact=is_exact)

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        def change(index: int, stored: Raw) -> Raw:
            return {**stored, "_deleted": True}

        self._client.begin()
        return self._bulk.rewrite([check_id(id) for id in document_ids], change, lambda raw: None, bodies=False)

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
        if position is None:
            return [], changes.begin(self._client)
        return changes.read(self._client, self._facts, position, limit, wait)

    # Indexes

    def ensure_index(self, *fields: str) -> str | None:
        """Make a Mango index; `None` for a path that Mango does not read as the query language does."""
        name = index_name(fields)
        if name is None:
            return None
        self._client.begin()
        # Two that make the same index at once meet in its design document.
        self._documents.retry(f"_design/{name}", None, lambda _: self._queries.indexes.make(name, fields))
        return name

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        self._client.begin()
        return self._queries.explain(where, sort)
