"""`CouchDBBackend`: one CouchDB document per document, each write checked by its revision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from divan.backends.base import BaseDivanBackend, Change, Serializer, apply_changes
from divan.backends.support import DocumentAccessors
from divan.documents import Document
from divan.errors import DocumentExists, DocumentNotFound, InvalidDocument
from divan.ids import new_id
from divan.query import Explanation, Query, SortKey, project
from divan.serializers import DEFAULT_SERIALIZERS
from divan.validation import check_id

from divan_couchdb.bulk import Bulk
from divan_couchdb.connections import Client, Raw
from divan_couchdb.documents import Documents, is_revision, known_as, replaced, to_document, to_written_document
from divan_couchdb.errors import Conflict
from divan_couchdb.options import OPTIONS, read_settings
from divan_couchdb.queries import Queries, index_name


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
    batch_size = 1000

    _client: Client

    def connect(self, database: str, host: str, port: int) -> Any:
        """Open the database, made if it is missing and ``create`` allows it; the handle is a `couchdb.Database`."""
        client = Client(read_settings(database, host, port, self.scheme, self.options))
        try:
            if self.options["create"]:
                facts = client.describe_or_make(partitioned=self.options["partitioned"])
            else:
                facts = client.describe()
        except BaseException:
            client.close()
            raise
        self._client = client
        timeout = self.options["timeout"]
        self._documents = Documents(client, timeout)
        self._queries = Queries(client, facts)
        self._bulk = Bulk(client, self._queries, timeout)
        return client.database

    def close(self) -> None:
        self._client.close()

    def ping(self) -> None:
        self._client.describe()

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        if document_id is None:
            document_id = new_id()
        try:
            rev = self._documents.put(document_id, data)
        except Conflict as error:
            raise DocumentExists(document_id) from error
        return to_written_document(data, {**data, "_id": document_id, "_rev": rev})

    def get_document_for_id(self, document_id: str) -> Document:
        return to_document(self._documents.get(document_id))

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
        document: Any = None,
    ) -> Document:
        repeatable = rev is None and not increment

        def write(stored: Raw | None) -> Document:
            merged = None
            if stored is not None:
                try:
                    merged = apply_changes(stored, data, remove, increment)
                except InvalidDocument:
                    pass  # what is stored by now may do
            if merged is None:
                merged = apply_changes(self._documents.get(document_id, rev), data, remove, increment)
            written = self._documents.put(document_id, merged, repeatable=repeatable)
            return to_document({**merged, "_id": document_id, "_rev": written})

        return self._documents.retry(document_id, rev, write, known_as(document, document_id, rev))

    def replace(
        self, document_id: str, data: dict[str, Any], rev: str | None = None, document: Any = None, upsert: bool = False
    ) -> Document:
        def write(stored: Raw | None) -> Document:
            if stored is None:
                try:
                    stored = self._documents.get(document_id, rev)
                except DocumentNotFound:
                    if not upsert or rev is not None:
                        raise
                    stored = {}
            body = replaced(stored, data)
            written = self._documents.put(document_id, body, repeatable=rev is None)
            return to_document({**body, "_id": document_id, "_rev": written})

        return self._documents.retry(document_id, rev, write, known_as(document, document_id, rev))

    def delete(self, document_id: str, rev: str | None = None, document: Any = None) -> None:
        if rev is not None and not is_revision(rev):
            self._documents.get(document_id, rev)  # which it can't be: PouchDB would take none for any

        def write(stored: Raw | None) -> None:
            current = (stored or self._documents.get(document_id, rev))["_rev"]
            self._documents.delete(document_id, current)

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
            return self._queries.count()
        return sum(1 for _ in self.find(where, fields=()))

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Any]:
        results: list[Any] = [None] * len(items)
        sent: dict[str, tuple[int, dict[str, Any]]] = {}
        for index, (given, data) in enumerate(items):
            document_id = new_id() if given is None else check_id(given)
            if document_id in sent:
                results[index] = DocumentExists(document_id)
            else:
                sent[document_id] = (index, data)
        bodies: list[Raw] = [{**data, "_id": document_id} for document_id, (_, data) in sent.items()]
        outcomes = self._bulk.write(bodies)
        for body, (index, data), outcome in zip(bodies, sent.values(), outcomes, strict=True):
            if isinstance(outcome, str):
                body["_rev"] = outcome
                results[index] = to_written_document(data, body)
            else:
                results[index] = DocumentExists(body["_id"]) if isinstance(outcome, Conflict) else outcome
        return results

    def get_many(self, document_ids: Sequence[str]) -> list[Document | None]:
        if not document_ids:
            return []
        found = self._queries.many(document_ids)
        return [to_document(found[id]) if id in found else None for id in document_ids]

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        def change(index: int, stored: Raw) -> Raw:
            one = changes[index]
            return apply_changes(stored, one.data, one.remove, one.increment)

        ids = [check_id(one.document_id) for one in changes]
        return self._bulk.rewrite(ids, change, to_document, repeatable=lambda index: not changes[index].increment)

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        def change(index: int, stored: Raw) -> Raw:
            return {**stored, "_deleted": True}

        return self._bulk.rewrite([check_id(id) for id in document_ids], change, lambda raw: None, bodies=False)

    # Indexes

    def ensure_index(self, *fields: str) -> str | None:
        """Make a Mango index; `None` for a path that Mango does not read as the query language does."""
        name = index_name(fields)
        if name is None:
            return None
        # Two that make the same index at once meet in its design document.
        self._documents.retry(f"_design/{name}", None, lambda _: self._queries.make_index(name, fields))
        return name

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        return self._queries.explain(where)
