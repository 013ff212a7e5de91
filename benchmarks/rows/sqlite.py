"""The sqlite backend over `sqlite3` with `json`, written as a careful developer would for the same promises."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import divan
from uuid_utils import uuid7

from benchmarks.documents import GROUPS, make_document
from benchmarks.harness import Pair, Row, Run, Settings, timed
from benchmarks.live import NESTED_CHANGES, PAGE, page_starts

CORPUS = 100_000
NAMES = [make_document(number)["name"] for number in range(0, CORPUS, 37)]
GROUP_QUERY = "SELECT id, rev, body FROM documents WHERE json_extract(body, '$.group') = ?"
NAME_QUERY = "SELECT id, rev, body FROM documents WHERE json_extract(body, '$.name') = ?"
PAGE_QUERY = (
    "SELECT id, rev, body FROM documents WHERE (json_extract(body, '$.name'), id) > (?, ?) "
    f"ORDER BY json_extract(body, '$.name'), id LIMIT {PAGE}"
)

Found = tuple[str, int, dict[str, Any]]

# Made once: json.dumps with these arguments would make one a call.
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Raw:
    """One table, a row a document: what the program would have without Divan.

    It is durable when a write returns (write-ahead log, synchronous), makes a UUIDv7 for an id, and counts a revision
    up at every write. An update reads, merges and writes in one transaction: no other writer's field is lost.
    """

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.execute = self.connection.execute
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = FULL")
        self.execute("CREATE TABLE documents (id TEXT PRIMARY KEY, rev INTEGER NOT NULL, body TEXT NOT NULL)")

    def index(self, field: str) -> None:
        self.execute(f"CREATE INDEX by_{field} ON documents (json_extract(body, '$.{field}'))")

    def create(self, document: dict[str, Any]) -> Found:
        document_id = str(uuid7())
        self.execute("INSERT INTO documents VALUES (?, 1, ?)", (document_id, _dump(document)))
        return document_id, 1, document

    def create_many(self, documents: Iterable[dict[str, Any]], batch_size: int) -> list[Found]:
        created: list[Found] = []
        documents = iter(documents)
        while batch := [(str(uuid7()), 1, document) for document in islice(documents, batch_size)]:
            rows = [(document_id, rev, _dump(document)) for document_id, rev, document in batch]
            self.execute("BEGIN IMMEDIATE")
            try:
                self.connection.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
            except BaseException:
                self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")
            created.extend(batch)
        return created

    def get(self, document_id: str) -> Found:
        row = self.execute("SELECT id, rev, body FROM documents WHERE id = ?", (document_id,)).fetchone()
        if row is None:
            raise KeyError(document_id)
        return row[0], row[1], json.loads(row[2])

    def update(self, document_id: str, changes: dict[str, Any]) -> Found:
        return self._change(document_id, lambda document: document.update(changes))

    def update_nested(self, document_id: str) -> Found:
        def change(document: dict[str, Any]) -> None:
            document.setdefault("address", {})["city"] = "Porto"
            stats = document.setdefault("stats", {})
            stats["visits"] = stats.get("visits", 0) + 1

        return self._change(document_id, change)

    def _change(self, document_id: str, change: Callable[[dict[str, Any]], None]) -> Found:
        self.execute("BEGIN IMMEDIATE")
        try:
            row = self.execute("SELECT rev, body FROM documents WHERE id = ?", (document_id,)).fetchone()
            if row is None:
                raise KeyError(document_id)
            rev, document = row[0] + 1, json.loads(row[1])
            change(document)
            self.execute("UPDATE documents SET rev = ?, body = ? WHERE id = ?", (rev, _dump(document), document_id))
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")
        return document_id, rev, document

    def scan(self) -> Iterator[Found]:
        for document_id, rev, body in self.execute("SELECT id, rev, body FROM documents"):
            yield document_id, rev, json.loads(body)

    def first(self, name: str) -> Found:
        document_id, rev, body = self.execute(f"{NAME_QUERY} LIMIT 1", (name,)).fetchone()
        return document_id, rev, json.loads(body)

    def exists(self, name: str) -> bool:
        statement = "SELECT 1 FROM documents WHERE json_extract(body, '$.name') = ? LIMIT 1"
        return self.execute(statement, (name,)).fetchone() is not None

    def page(self, after: tuple[str, str]) -> list[Found]:
        return [(document_id, rev, json.loads(body)) for document_id, rev, body in self.execute(PAGE_QUERY, after)]

    def query(self, statement: str, value: object) -> list[Found]:
        return [(document_id, rev, json.loads(body)) for document_id, rev, body in self.execute(statement, (value,))]


class Sides(NamedTuple):
    """Both databases, filled alike, and the ids in each."""

    store: divan.Store
    raw: Raw
    store_ids: list[str]
    raw_ids: list[str]


@contextmanager
def _fill(folder: Path, documents: int, *indexed: str) -> Iterator[Sides]:
    """Both databases with so many documents and these fields indexed."""
    folder.mkdir()
    with divan.open(f"sqlite:///{folder.as_posix()}/divan.db") as store:
        raw = Raw(folder / "raw.db")
        store_ids = [document.id for document in store.create_many(map(make_document, range(documents)))]
        batch_size = store.backend.batch_size
        raw_ids = [found[0] for found in raw.create_many(map(make_document, range(documents)), batch_size)]
        for field in indexed:
            store.ensure_index(field)
            raw.index(field)
        random.Random(1).shuffle(store_ids)
        random.Random(1).shuffle(raw_ids)
        yield Sides(store, raw, store_ids, raw_ids)
        raw.connection.close()


def _corpus(settings: Settings) -> Sides:
    """The databases of the rows that only read."""
    return settings.shared("sqlite corpus", lambda: _fill(settings.folder / "corpus", CORPUS, "group", "name"))


def _repeat(function: Callable[[Any], object], arguments: Iterable[Any]) -> Run:
    """Times so many calls, each with the next argument; the arguments are made ahead and start over at their end."""
    ahead = cycle(list(arguments))

    def repeat(operations: int) -> None:
        for argument in islice(ahead, operations):
            function(argument)

    return timed(repeat)


@contextmanager
def _create(settings: Settings) -> Iterator[Pair]:
    documents = [make_document(number) for number in range(10_000)]
    with _fill(settings.folder / "create", 0) as sides:
        yield Pair(_repeat(sides.store.create, documents), _repeat(sides.raw.create, documents))


@contextmanager
def _get(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)
    yield Pair(_repeat(sides.store.get, sides.store_ids), _repeat(sides.raw.get, sides.raw_ids))


@contextmanager
def _update(settings: Settings) -> Iterator[Pair]:
    changes = {"score": 17.25, "active": True, "phone": "+351 210 000 000"}
    with _fill(settings.folder / "update", 10_000) as sides:
        store, raw = sides.store, sides.raw
        yield Pair(
            _repeat(lambda document_id: store.update(document_id, changes), sides.store_ids),
            _repeat(lambda document_id: raw.update(document_id, changes), sides.raw_ids),
        )


@contextmanager
def _create_many(settings: Settings) -> Iterator[Pair]:
    documents = [make_document(number) for number in range(10_000)]
    with _fill(settings.folder / "create_many", 0) as sides:
        size = sides.store.backend.batch_size
        yield Pair(
            timed(lambda operations: sides.store.create_many(islice(documents, operations))),
            timed(lambda operations: sides.raw.create_many(islice(documents, operations), size)),
        )


@contextmanager
def _scan(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)

    def scan(documents: Callable[[], Iterable[object]]) -> Run:
        return timed(lambda operations: sum(1 for _ in islice(documents(), operations)))

    yield Pair(scan(sides.store.find), scan(sides.raw.scan))


@contextmanager
def _query(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)
    store, raw = sides.store, sides.raw
    explanation = store.explain({"group": 1})
    if explanation.residual or not explanation.index:
        raise RuntimeError(f"this row is about a query that the store answers by an index, and this is: {explanation}")
    if len(list(store.find({"group": 1}))) != len(raw.query(GROUP_QUERY, 1)):
        raise RuntimeError("the two sides do not find the same documents")
    yield Pair(
        _repeat(lambda group: list(store.find({"group": group})), range(GROUPS)),
        _repeat(lambda group: raw.query(GROUP_QUERY, group), range(GROUPS)),
    )


@contextmanager
def _query_one(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)
    store, raw = sides.store, sides.raw
    yield Pair(
        _repeat(lambda name: list(store.find({"name": name})), NAMES),
        _repeat(lambda name: raw.query(NAME_QUERY, name), NAMES),
    )


@contextmanager
def _update_nested(settings: Settings) -> Iterator[Pair]:
    with _fill(settings.folder / "update_nested", 10_000) as sides:
        yield Pair(
            _repeat(lambda document_id: sides.store.update(document_id, NESTED_CHANGES), sides.store_ids),
            _repeat(sides.raw.update_nested, sides.raw_ids),
        )


@contextmanager
def _first(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)
    yield Pair(_repeat(lambda name: sides.store.first({"name": name}), NAMES), _repeat(sides.raw.first, NAMES))


@contextmanager
def _exists(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)
    yield Pair(_repeat(lambda name: sides.store.exists({"name": name}), NAMES), _repeat(sides.raw.exists, NAMES))


@contextmanager
def _page(settings: Settings) -> Iterator[Pair]:
    sides = _corpus(settings)
    tokens, places = page_starts(sides.store)
    yield Pair(
        _repeat(lambda token: sides.store.page(sort="name", limit=PAGE, after=token), tokens),
        _repeat(sides.raw.page, places),
    )


ROWS = [
    Row("sqlite.create", "create()", "INSERT", _create, operations=500, target=1.5),
    Row("sqlite.get", "get()", "SELECT by id", _get, operations=5_000, target=1.5),
    Row("sqlite.update", "update() of 3 fields", "SELECT, merge, UPDATE", _update, operations=500, target=1.5),
    Row(
        "sqlite.create_many", "create_many()", "executemany() in the same batches", _create_many,
        operations=10_000, unit="document", target=1.3,
    ),
    Row("sqlite.scan", "find()", "SELECT all", _scan, operations=CORPUS, unit="document", target=1.3),
    Row(
        "sqlite.query", "find() by an index, 100 of 100,000", "SELECT by an index", _query,
        operations=200, unit="query", target=1.3,
    ),
    Row(
        "sqlite.query_one", "find() by an index, 1 of 100,000", "SELECT by an index", _query_one,
        operations=2_000, unit="query", target=1.5,
    ),
    Row(
        "sqlite.update_nested", "update() of 2 nested fields", "SELECT, change, UPDATE", _update_nested,
        operations=500, target=1.5, clock="cpu",
    ),
    Row("sqlite.first", "first() by an index", "SELECT by an index", _first, operations=2_000, target=1.5, clock="cpu"),
    Row("sqlite.exists", "exists() by an index", "SELECT 1", _exists, operations=2_000, target=1.5, clock="cpu"),
    Row("sqlite.page", "page() of 20 by an index", "SELECT by them", _page, operations=500, target=1.5, clock="cpu"),
]  # fmt: skip
