"""`CouchDBBackend`: one CouchDB document per document, each write checked by its revision."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from divan.backends.base import BaseDivanBackend, Change, Serializer, apply_changes
from divan.documents import Document
from divan.errors import DocumentExists, DocumentNotFound, InvalidDocument
from divan.ids import new_id
from divan.query import Explanation, Query, SortKey, finish, project
from divan.serializers import DEFAULT_SERIALIZERS
from divan.validation import check_id

from divan_couchdb.bulk import Bulk
from divan_couchdb.client import Client, Conflict, encode
from divan_couchdb.mango import is_indexable, selector
from divan_couchdb.opening import KNOWN_OPTIONS, describe, make_client, prepare
from divan_couchdb.reading import Raw, Reader
from divan_couchdb.writing import Writer

_REVISION: Final = re.compile(r"[0-9]+-[0-9A-Za-z]+")
_CONTAINERS: Final = frozenset({dict, list})


class CouchDBBackend(BaseDivanBackend):
    """Documents in a CouchDB database, plain as any other program of CouchDB's reads and writes them.

    CouchDB writes a whole document if it still has the revision that the writer has seen. So an update reads, merges
    and writes, and begins again where another writer came between; when it is handed what this driver returned, it need
    not read. Attachments are left as they are: not shown, and not lost by a write.
    """

    default_host = "localhost"
    default_port = 5984
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys = ("_id", "_rev")
    known_options = KNOWN_OPTIONS
    batch_size = 1000

    _client: Client

    def connect(self, database: str, host: str, port: int) -> Any:
        """Open the database, made if it is missing and ``create`` allows it; the handle is a `couchdb.Database`."""
        client = make_client(database, host, port, {**self.options, "scheme": self.scheme})
        try:
            facts = prepare(client, self.options)
        except BaseException:
            client.close()
            raise
        self._client = client
        self._partitioned = facts.partitioned
        timeout = float(self.options.get("timeout", 30.0))
        self._reader = Reader(client, facts.last_id)
        self._bulk = Bulk(client, self._reader, timeout)
        self._writer = Writer(client, timeout)
        return client.database

    def close(self) -> None:
        self._client.close()

    def ping(self) -> None:
        describe(self._client)

    # What a document is

    def get_id_for_document(self, document: Any) -> str:
        return document.id if isinstance(document, Document) else str(document["_id"])

    def get_revision_for_document(self, document: Any) -> str | None:
        return document.rev if isinstance(document, Document) else document["_rev"]

    def get_document_attr(self, document: Any, field: str) -> Any:
        return document[field]

    # One document

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        if document_id is None:
            document_id = new_id()
        try:
            rev = self._writer.put(document_id, data)
        except Conflict as error:
            raise DocumentExists(document_id) from error
        return _written(data, {**data, "_id": document_id, "_rev": rev})

    def get_document_for_id(self, document_id: str) -> Document:
        return _document(self._writer.get(document_id))

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
        document: Any = None,
    ) -> Document:
        def attempt(stored: Raw | None) -> Document:
            merged = None
            if stored is not None:
                try:
                    merged = apply_changes(stored, data, remove, increment)
                except InvalidDocument:
                    pass  # what is stored by now may do
            if merged is None:
                merged = apply_changes(self._writer.get_checked(document_id, rev), data, remove, increment)
            return _document({**merged, "_id": document_id, "_rev": self._writer.put(document_id, merged)})

        known = _known(document, document_id, rev)
        return self._writer.retry(document_id, rev, attempt, known, repeatable=not increment)

    def replace(
        self, document_id: str, data: dict[str, Any], rev: str | None = None, document: Any = None, upsert: bool = False
    ) -> Document:
        def attempt(stored: Raw | None) -> Document:
            if stored is None:
                try:
                    stored = self._writer.get_checked(document_id, rev)
                except DocumentNotFound:
                    if not upsert or rev is not None:
                        raise
                    stored = {}
            kept: Raw = {name: stored[name] for name in ("_rev", "_attachments") if name in stored}
            body = {**data, **kept}
            return _document({**body, "_id": document_id, "_rev": self._writer.put(document_id, body)})

        return self._writer.retry(document_id, rev, attempt, _known(document, document_id, rev))

    def delete(self, document_id: str, rev: str | None = None, document: Any = None) -> None:
        if rev is not None and not _REVISION.fullmatch(rev):
            self._writer.get_checked(document_id, rev)  # which it can't be: PouchDB would take none for any

        def attempt(stored: Raw | None) -> None:
            current = (stored or self._writer.get_checked(document_id, rev))["_rev"]
            self._writer.delete(document_id, current)

        known = {"_rev": rev} if rev is not None else _known(document, document_id, None)
        self._writer.retry(document_id, rev, attempt, known)

    # Many documents

    def iter_documents(self) -> Iterator[Document]:
        return map(_document, self._reader.all())

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        wanted = selector(where.tree)
        stop = None if limit is None or sort else skip + limit
        if wanted:
            found = self._reader.matching(wanted, _names(where, sort, fields), stop)
        else:
            found = self._reader.all(bodies=bool(where or sort or fields is None or fields), limit=stop)
        if where:
            found = filter(where.matches, found)
        if sort or limit is not None or skip:
            found = finish(found, get_id=_raw_id, sort=sort, limit=limit, skip=skip)
        if fields is None:
            return map(_document, found)
        return (Document(project(raw, fields), raw["_id"], raw["_rev"]) for raw in found)

    def count(self, where: Query) -> int:
        if not where:
            return self._reader.count()
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
                results[index] = _written(data, body)
            else:
                results[index] = DocumentExists(body["_id"]) if isinstance(outcome, Conflict) else outcome
        return results

    def get_many(self, document_ids: Sequence[str]) -> list[Any]:
        if not document_ids:
            return []
        found = self._reader.many(document_ids)
        return [_document(found[id]) if id in found else None for id in document_ids]

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        def change(index: int, stored: Raw) -> Raw:
            one = changes[index]
            return apply_changes(stored, one.data, one.remove, one.increment)

        ids = [check_id(one.document_id) for one in changes]
        return self._bulk.rewrite(ids, change, _document, repeatable=lambda index: not changes[index].increment)

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        def change(index: int, stored: Raw) -> Raw:
            return {**stored, "_deleted": True}

        return self._bulk.rewrite([check_id(id) for id in document_ids], change, lambda raw: None, bodies=False)

    # Indexes

    def ensure_index(self, *fields: str) -> str | None:
        """Make a Mango index; `None` for a path that Mango does not read as the query language does."""
        if not all(map(is_indexable, fields)):
            return None
        name = "divan-" + "-".join(fields)
        if len(name) > 100 or any("-" in field for field in fields):  # too long, or another list's name as well
            name = f"divan-{hashlib.sha256(encode(fields).encode()).hexdigest()[:32]}"
        body: dict[str, Any] = {"index": {"fields": list(fields)}, "ddoc": name, "name": name, "type": "json"}
        if self._partitioned:
            body["partitioned"] = False  # a query asks all partitions
        url = self._client.endpoint("_index")

        def attempt(_: object) -> str:
            self._client.read("POST", url, body)
            return name

        # Two that make the same index at once meet in its design document.
        made = self._writer.retry(f"_design/{name}", None, attempt)
        self._reader.forget_indexes()
        return made

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        wanted = selector(where.tree)
        index = self._reader.index_for(wanted) if wanted else None
        detail = ""
        if wanted:
            plan = self._client.read("POST", self._client.endpoint("_explain"), {"selector": wanted, "limit": 1})
            detail = json.dumps(plan, ensure_ascii=False)
        return Explanation(
            pushed=wanted, residual=dict(where), sorted_by_store=False, index=index, scan=index is None, detail=detail
        )


def _document(raw: Raw) -> Document:
    """What the Store hands out: the fields, copied, so that `raw` stays as it is stored, for a later write."""
    document = _written(raw, raw)
    del document["_id"], document["_rev"]
    document.pop("_attachments", None)
    return document


def _written(fields: Mapping[str, Any], raw: Raw) -> Document:
    """The same for fields that have just been written, and what is stored of them."""
    document = Document(fields, raw["_id"], raw["_rev"], raw)
    for name, value in document.items():
        if value.__class__ in _CONTAINERS:
            document[name] = _copy(value)
    return document


def _copy(value: Any) -> Any:
    if value.__class__ is dict:
        return {name: _copy(item) if item.__class__ in _CONTAINERS else item for name, item in value.items()}
    return [_copy(item) if item.__class__ in _CONTAINERS else item for item in value]


def _known(document: Any, document_id: str, rev: str | None) -> Raw | None:
    """What this driver returned for the document, if it can stand in for reading it again."""
    if not isinstance(document, dict) or document.get("_id") != document_id:
        return None
    if rev is not None and document.get("_rev") != rev:
        return None
    return document


def _raw_id(raw: Raw) -> str:
    return str(raw["_id"])


def _names(where: Query, sort: Sequence[SortKey], fields: Sequence[str] | None) -> list[str] | None:
    """The top-level names to fetch; `None` for whole documents."""
    if fields is None:
        return None
    names = {path.partition(".")[0] for path in (*fields, *(key.field for key in sort), *_paths(where))}
    return sorted(names) if not any("\\" in name for name in names) else None


def _paths(where: Mapping[str, Any]) -> Iterator[str]:
    """The dotted paths that a filter in normal form names."""
    for name, value in where.items():
        if not name.startswith("$"):
            yield name
        elif isinstance(value, Mapping):
            yield from _paths(value)
        else:
            for part in value:
                yield from _paths(part)
