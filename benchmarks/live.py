"""The rows that every live store has: Divan and the raw client on the same server, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle, islice
from typing import Any, Protocol

import divan

from benchmarks.documents import make_document
from benchmarks.harness import Pair, Row, Run, Sample, Settings, timed
from tests.support import servers

CHANGES = {"score": 17.25, "active": True, "phone": "+351 210 000 000"}
NESTED_CHANGES = {"address.city": "Porto", "stats.visits": divan.Increment(1)}
PAGE = 20
CORPUS = 10_000
BULK = 1_000


class Raw(Protocol):
    """One database through a store's own client, as a careful developer would use it."""

    def create(self, document: dict[str, Any]) -> str:
        """Store a document under a client-made id, which is returned."""

    def get(self, document_id: str) -> dict[str, Any]:
        """The document's fields."""

    def update(self, document_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Merge fields without losing another writer's; the new document."""

    def update_nested(self, document_id: str) -> dict[str, Any]:
        """Set ``address.city``, and add 1 to ``stats.visits``, without losing another writer's; the new document."""

    def delete(self, document_id: str) -> None:
        """Delete a document."""

    def create_many(self, documents: Iterable[dict[str, Any]]) -> list[str]:
        """Store documents in one batch; their ids."""

    def scan(self) -> Iterator[dict[str, Any]]:
        """All documents, streamed."""


class SearchedRaw(Raw, Protocol):
    """A store's own client where the store has indexes."""

    def index(self, field: str) -> None:
        """Make an index on a field, and after it on the id."""

    def first(self, name: str) -> dict[str, Any] | None:
        """The first document with a name, by the index."""

    def exists(self, name: str) -> bool:
        """Whether there is a document with a name, by the index."""

    def page(self, after: tuple[str, str]) -> list[dict[str, Any]]:
        """The `PAGE` documents that come after a name and an id, by these, by the index."""


class Sides:
    """Divan's Store and the raw client, each with a database of its own on one server."""

    def __init__(self, store: divan.Store, raw: Raw) -> None:
        self.store = store
        self.raw = raw

    def fill(self, documents: int) -> tuple[list[str], list[str]]:
        """Store so many documents on both sides; the ids in each."""
        store_ids: list[str] = []
        raw_ids: list[str] = []
        for start in range(0, documents, BULK):
            batch = [make_document(number) for number in range(start, min(start + BULK, documents))]
            store_ids += [document.id for document in self.store.create_many(batch)]
            raw_ids += self.raw.create_many(batch)
        return store_ids, raw_ids


def repeat(function: Callable[[Any], object], arguments: Iterable[Any]) -> Run:
    """Times so many calls, each with the next argument; the arguments start over at their end."""
    ahead = cycle(list(arguments))

    def run(operations: int) -> None:
        for argument in islice(ahead, operations):
            function(argument)

    return timed(run)


def live_rows(kind: str, connect: Callable[[servers.Server, str], Raw]) -> list[Row]:
    """A store's rows.

    Args:
        kind: What `tests.support.servers` calls the server, which is the rows' first name too.
        connect: Opens an empty database of a name through the store's own client.
    """

    @contextmanager
    def sides() -> Iterator[Sides]:
        # A server of the row's own: some of those that the tests use slow down as they fill.
        with servers.fresh(kind) as server, divan.open(server.store_url("bench_divan")) as store:
            yield Sides(store, connect(server, "bench_raw"))

    @contextmanager
    def create(settings: Settings) -> Iterator[Pair]:
        documents = [make_document(number) for number in range(CORPUS)]
        with sides() as both:
            yield Pair(repeat(both.store.create, documents), repeat(both.raw.create, documents))

    @contextmanager
    def get(settings: Settings) -> Iterator[Pair]:
        with sides() as both:
            store_ids, raw_ids = both.fill(BULK)
            yield Pair(repeat(both.store.get, store_ids), repeat(both.raw.get, raw_ids))

    @contextmanager
    def update(settings: Settings) -> Iterator[Pair]:
        with sides() as both:
            store_ids, raw_ids = both.fill(BULK)
            yield Pair(
                repeat(lambda document_id: both.store.update(document_id, CHANGES), store_ids),
                repeat(lambda document_id: both.raw.update(document_id, CHANGES), raw_ids),
            )

    @contextmanager
    def update_nested(settings: Settings) -> Iterator[Pair]:
        with sides() as both:
            store_ids, raw_ids = both.fill(BULK)
            yield Pair(
                repeat(lambda document_id: both.store.update(document_id, NESTED_CHANGES), store_ids),
                repeat(both.raw.update_nested, raw_ids),
            )

    @contextmanager
    def delete(settings: Settings) -> Iterator[Pair]:
        with sides() as both:

            def deleting(fill: Callable[[Sequence[dict[str, Any]]], list[str]], one: Callable[[str], object]) -> Run:
                def run(operations: int) -> Sample:
                    ids = fill([make_document(number) for number in range(operations)])
                    return repeat(one, ids)(operations)

                return run

            yield Pair(
                deleting(lambda batch: [document.id for document in both.store.create_many(batch)], both.store.delete),
                deleting(both.raw.create_many, both.raw.delete),
            )

    @contextmanager
    def create_many(settings: Settings) -> Iterator[Pair]:
        documents = [make_document(number) for number in range(BULK)]
        with sides() as both:
            yield Pair(
                timed(lambda operations: both.store.create_many(documents[:operations])),
                timed(lambda operations: both.raw.create_many(documents[:operations])),
            )

    @contextmanager
    def scan(settings: Settings) -> Iterator[Pair]:
        def through(documents: Callable[[], Iterable[object]]) -> Run:
            return timed(lambda operations: sum(1 for _ in islice(documents(), operations)))

        with sides() as both:
            both.fill(CORPUS)
            yield Pair(through(both.store.find), through(both.raw.scan))

    def single(name: str, prepare: Callable[[Settings], AbstractContextManager[Pair]], what: str) -> Row:
        return Row(f"{kind}.{name}", f"{name}()", what, prepare, operations=300, clock="cpu", target=1.15, rounds=11)

    def bulk(name: str, prepare: Callable[[Settings], AbstractContextManager[Pair]], what: str, size: int) -> Row:
        # A throughput of 0.9 × the raw client's is 1 / 0.9 of its time.
        return Row(f"{kind}.{name}", what, "the same", prepare, operations=size, unit="document", target=1.11, rounds=7)

    return [
        single("create", create, "the client's write"),
        single("get", get, "the client's read"),
        single("update", update, "the client's atomic update"),
        single("update_nested", update_nested, "the client's atomic update of nested fields"),
        single("delete", delete, "the client's delete"),
        bulk("create_many", create_many, "create_many() of 1,000", BULK),
        bulk("scan", scan, "find() of 10,000", CORPUS),
    ]


def search_rows(kind: str, connect: Callable[[servers.Server, str], SearchedRaw]) -> list[Row]:
    """The rows of a store that has indexes: one document of 10,000 by an index, and a page in the midst of them.

    Args:
        kind: As for `live_rows`.
        connect: As for `live_rows`.
    """

    @contextmanager
    def filled() -> Iterator[tuple[divan.Store, SearchedRaw]]:
        with servers.fresh(kind) as server, divan.open(server.store_url("bench_divan")) as store:
            raw = connect(server, "bench_raw")
            Sides(store, raw).fill(CORPUS)
            store.ensure_index("name")
            raw.index("name")
            yield store, raw

    def sides(settings: Settings) -> tuple[divan.Store, SearchedRaw]:
        return settings.shared(f"{kind} search", filled)

    names = [make_document(number)["name"] for number in range(0, CORPUS, 37)]

    @contextmanager
    def first(settings: Settings) -> Iterator[Pair]:
        store, raw = sides(settings)
        yield Pair(repeat(lambda name: store.first({"name": name}), names), repeat(raw.first, names))

    @contextmanager
    def exists(settings: Settings) -> Iterator[Pair]:
        store, raw = sides(settings)
        yield Pair(repeat(lambda name: store.exists({"name": name}), names), repeat(raw.exists, names))

    @contextmanager
    def page(settings: Settings) -> Iterator[Pair]:
        store, raw = sides(settings)
        tokens, places = page_starts(store)
        yield Pair(
            repeat(lambda token: store.page(sort="name", limit=PAGE, after=token), tokens), repeat(raw.page, places)
        )

    return [
        Row(
            f"{kind}.{name}",
            f"{name}() by an index",
            "the client's query",
            prepare,
            300,
            clock="cpu",
            target=1.15,
            rounds=11,
        )
        for name, prepare in (("first", first), ("exists", exists), ("page", page))
    ]


def page_starts(store: divan.Store) -> tuple[list[str | None], list[tuple[str, str]]]:
    """Where some pages by name begin: their tokens, and the names and ids before them."""
    tokens: list[str | None] = []
    places = []
    token: str | None = None
    for _ in range(20):
        page = store.page(sort="name", limit=PAGE, after=token)
        token = page.next
        tokens.append(token)
        places.append((page.items[-1]["name"], page.items[-1].id))
    return tokens, places
