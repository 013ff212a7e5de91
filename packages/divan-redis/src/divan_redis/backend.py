"""`RedisBackend`: one hash per document, changed by scripts, found by scanning."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

from divan.backends.base import BaseDivanBackend, Change, Serializer
from divan.documents import Document
from divan.errors import (
    DatabaseNotFound,
    DivanError,
    DocumentExists,
    DocumentNotFound,
    InvalidDocument,
    InvalidURL,
    RevisionConflict,
    StoreError,
)
from divan.ids import new_id
from divan.query import Comparison, Explanation, Node, Not, Query, SortKey, finish, project
from divan.serializers import DEFAULT_SERIALIZERS
from divan.updates import add

from divan_redis.client import Client
from divan_redis.hashes import REVISION, decode, encode_fields
from divan_redis.opening import KNOWN_OPTIONS, SENTINEL_PORT, Settings
from divan_redis.scripts import CONFLICT, CREATE, DELETE, MISSING, REPLACE, UPDATE


class RedisBackend(BaseDivanBackend):
    """Documents in Redis: the hash ``database:id`` holds a field per top-level key, each value as JSON text.

    A write is one script, atomic and in one round trip; nothing is read first. The hash field ``_rev`` counts the
    writes. A search reads every document of the database: Redis itself has no index that could serve it.
    """

    default_host = "localhost"
    default_port = 6379
    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    exclude_keys = (REVISION.decode(),)
    known_options = KNOWN_OPTIONS
    scheme_ports: ClassVar[Mapping[str, int]] = {"redis+sentinel": SENTINEL_PORT}

    _client: Client
    _prefix: bytes

    def connect(self, database: str, host: str, port: int) -> Any:
        if not database or ":" in database:
            raise InvalidURL(
                f"{database!r} can't name a Redis database of Divan's: it begins the keys, up to the first ':'; "
                "the URL has the form redis://[user[:password]@]host[:port]/name"
            )
        try:
            self._prefix = f"{database}:".encode()
        except UnicodeEncodeError as error:
            raise InvalidURL(f"the database name {database!r} is not Unicode") from error
        settings = Settings(host, port, {**self.options, "scheme": self.scheme})
        self._client = Client(settings)
        if not settings.create and not any(self._pages()):
            self.close()
            raise DatabaseNotFound(
                f"Redis at {settings.shown} holds no document of {database!r}, and create=false wants one"
            )
        return self._client.native

    # One document

    def get_id_for_document(self, document: Document) -> str:
        return document.id

    def get_document_attr(self, document: Document, field: str) -> Any:
        return document[field]

    def get_revision_for_document(self, document: Document) -> str | None:
        return document.rev

    def create(self, data: dict[str, Any], document_id: str | None = None) -> Document:
        document_id = document_id or new_id()
        rev = _first_revision()
        reply = self._client.run(CREATE, self._key(document_id), REVISION, rev, *encode_fields(data))
        return _created(document_id, data, rev, reply)

    def get_document_for_id(self, document_id: str) -> Document:
        words = self._client.read(b"HGETALL", self._key(document_id))
        if not words:
            raise DocumentNotFound(document_id)
        return decode(document_id, words)

    def update(
        self,
        document_id: str,
        data: dict[str, Any],
        remove: Sequence[str] = (),
        increment: Mapping[str, int | float] = {},
        rev: str | None = None,
    ) -> Document:
        arguments = _update_arguments(data, remove, increment, rev)
        reply = self._client.run(UPDATE, self._key(document_id), *arguments)
        return _updated(document_id, increment, rev, reply)

    def replace(self, document_id: str, data: dict[str, Any], rev: str | None = None, upsert: bool = False) -> Document:
        first = _first_revision() if upsert else b""
        reply = self._client.run(REPLACE, self._key(document_id), _expected(rev), first, *encode_fields(data))
        _check(document_id, rev, reply)
        return Document(data, document_id, reply.decode())

    def delete(self, document_id: str, rev: str | None = None) -> None:
        key = self._key(document_id)
        if rev is not None:
            _check(document_id, rev, self._client.run(DELETE, key, _expected(rev)))
        elif not self._client.delete(key):
            raise DocumentNotFound(document_id)

    # Many documents, in one round trip

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Any]:
        made = [(document_id or new_id(), data, _first_revision()) for document_id, data in items]
        replies = self._client.run_many(
            CREATE, [(self._key(document_id), REVISION, rev, *encode_fields(data)) for document_id, data, rev in made]
        )
        return [_attempt(_created, *one, reply) for one, reply in zip(made, replies, strict=True)]

    def get_many(self, document_ids: Sequence[str]) -> list[Any]:
        replies = self._client.read_many(b"HGETALL", [self._key(document_id) for document_id in document_ids])
        return [
            decode(document_id, words) if words else None
            for document_id, words in zip(document_ids, replies, strict=True)
        ]

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        replies = self._client.run_many(
            UPDATE,
            [
                (self._key(change.document_id), *_update_arguments(change.data, change.remove, change.increment, None))
                for change in changes
            ],
        )
        return [
            _attempt(_updated, change.document_id, change.increment, None, reply)
            for change, reply in zip(changes, replies, strict=True)
        ]

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        replies = self._client.delete_many([self._key(document_id) for document_id in document_ids])
        return [
            DocumentNotFound(document_id) if reply == MISSING else reply if isinstance(reply, DivanError) else None
            for document_id, reply in zip(document_ids, replies, strict=True)
        ]

    # Searching

    def iter_documents(self) -> Iterator[Document]:
        return self._documents(None)

    def find(
        self,
        where: Query,
        sort: Sequence[SortKey] = (),
        limit: int | None = None,
        skip: int = 0,
        fields: Sequence[str] | None = None,
    ) -> Iterator[Document]:
        names = None
        if fields is not None:
            names = {*_fields_of(where.tree), *(key.path[0] for key in sort), *(path.split(".")[0] for path in fields)}
        found: Iterator[Document] = filter(where.matches, self._documents(names))
        found = finish(found, get_id=self.get_id_for_document, sort=sort, limit=limit, skip=skip)
        if fields is None:
            return found
        return (Document(project(document, fields), document.id, document.rev) for document in found)

    def count(self, where: Query) -> int:
        if not where.tree.items:
            return sum(map(len, self._pages()))
        return sum(map(where.matches, self._documents(set(_fields_of(where.tree)))))

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        detail = f"SCAN of every key of the server for {self.database}:*, then every document of it"
        return Explanation({}, dict(where), sorted_by_store=False, index=None, scan=True, detail=detail)

    def ping(self) -> None:
        self._client.ping()

    def close(self) -> None:
        self._client.close()

    def _key(self, document_id: str) -> bytes:
        return self._prefix + document_id.encode()

    def _pages(self) -> Iterator[list[bytes]]:
        """The keys of the database's documents, each once."""
        pattern = b"".join(b"\\" + bytes((byte,)) if byte in b"*?[]^-\\" else bytes((byte,)) for byte in self._prefix)
        seen: set[bytes] = set()  # SCAN gives a key again when its table shrinks meanwhile
        for page in self._client.scan(pattern + b"*"):
            fresh = [key for key in dict.fromkeys(page) if key not in seen]
            seen.update(fresh)
            if fresh:
                yield fresh

    def _documents(self, names: set[str] | None) -> Iterator[Document]:
        """Every document; with `names`, no more of it than these top-level fields."""
        for keys in self._pages():
            if names is None:
                whole = self._client.read_many(b"HGETALL", keys, other_type=list)
                found = [(key, words) for key, words in zip(keys, whole, strict=True) if words]
            else:
                found = self._some_fields(keys, sorted(names))
            for key, fields in found:
                yield decode(self._id(key), fields)

    def _some_fields(self, keys: Sequence[bytes], names: Sequence[str]) -> list[tuple[bytes, list[bytes]]]:
        """Key, and name and text in turn of the fields that it has of these."""
        columns = (REVISION, *(name.encode() for name in names))
        nothing = [None] * len(columns)
        rows = self._client.read_many(b"HMGET", keys, *columns, other_type=list)
        # Nothing says that the document is gone by now, or that another tool wrote it, without any of these fields.
        doubtful = [key for key, row in zip(keys, rows, strict=True) if row == nothing]
        gone = {
            key for key, there in zip(doubtful, self._client.read_many(b"EXISTS", doubtful), strict=True) if not there
        }
        return [
            (key, [word for pair in zip(columns, row, strict=True) if pair[1] is not None for word in pair])
            for key, row in zip(keys, rows, strict=True)
            if row and key not in gone
        ]

    def _id(self, key: bytes) -> str:
        try:
            return key[len(self._prefix) :].decode()
        except UnicodeDecodeError as error:
            raise StoreError(f"the key {key!r} is not Unicode, so no id can address it; rename it") from error


def _first_revision() -> bytes:
    """A number to count from: random, so that a document made anew never has a revision of the old one."""
    return b"%d" % random.getrandbits(48)


def _expected(rev: str | None) -> bytes:
    return b"" if rev is None else f"={rev}".encode(errors="surrogatepass")  # it is the caller's, and never checked


def _check(document_id: str, rev: str | None, reply: Any) -> None:
    """Raise what a script's reply says is wrong."""
    if isinstance(reply, DivanError):
        raise reply
    if reply == MISSING:
        raise DocumentNotFound(document_id)
    if reply == CONFLICT:
        raise RevisionConflict(document_id, rev)


def _created(document_id: str, data: dict[str, Any], rev: bytes, reply: Any) -> Document:
    if isinstance(reply, DivanError):
        raise reply
    if reply == MISSING:
        raise DocumentExists(document_id)
    return Document(data, document_id, rev.decode())


def _update_arguments(
    data: Mapping[str, Any], remove: Sequence[str], increment: Mapping[str, int | float], rev: str | None
) -> list[bytes]:
    sets = encode_fields(data)
    return [
        _expected(rev),
        b"%d" % len(sets),
        b"%d" % len(remove),
        *sets,
        *(name.encode() for name in remove),
        *encode_fields(increment),
    ]


def _updated(document_id: str, increment: Mapping[str, int | float], rev: str | None, reply: Any) -> Document:
    if isinstance(reply, list):
        return decode(document_id, reply)
    _check(document_id, rev, reply)
    # The name and the text of a field that can't be added to: the reference says why.
    name, _, text = reply.partition(b"\0")
    field = name.decode()
    add(field, decode(document_id, (name, text))[field], increment[field])
    raise InvalidDocument(f"{field}: the sum does not fit into 64 bits")


def _attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except DivanError as error:
        return error


def _fields_of(node: Node) -> Iterator[str]:
    """The top-level fields that a filter looks at."""
    if isinstance(node, Comparison):
        yield node.path[0]
    elif isinstance(node, Not):
        yield from _fields_of(node.item)
    else:
        yield from chain.from_iterable(map(_fields_of, node.items))
