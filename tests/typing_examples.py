"""The public API as programs use it, for the type checkers: mypy and pyright read this file, nothing runs it."""

# pyright: strict

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, TypedDict, assert_type
from uuid import UUID

import attrs
import divan
import divan.aio
import msgspec
import pydantic
from divan.aio import AsyncResults, AsyncStore
from divan.backends.base import BaseDivanBackend, Serializer
from divan.query import Query
from divan.serializers import DEFAULT_SERIALIZERS
from divan.testing import Conformance


@dataclasses.dataclass
class Guest:
    name: str
    arrival: date
    id: str | None = None
    rev: str | None = None


class Invoice(pydantic.BaseModel):
    number: int
    due: date


@attrs.define
class Room:
    name: str


class Key(msgspec.Struct):
    room: str


class Visit(pydantic.BaseModel):
    id: UUID
    price: Annotated[Decimal, divan.Scaled(2)]


class Stay(TypedDict):
    arrival: date
    nights: int


# Ids and amounts of the class's own


def use_ids_of_a_class(visits: divan.Store[Visit], id: UUID) -> None:
    assert_type(visits.get(id), Visit)
    assert_type(visits.update(id, {"price": divan.Increment(Decimal("0.50"))}), Visit)
    assert_type(visits.get_many([id]), list[Visit | None])
    assert_type(visits.put(id, {"price": Decimal(1)}), Visit)
    visits.delete(id)
    divan.open("memory://", {"room.price": divan.Scaled(2)})


# Opening


def open_in_every_way() -> None:
    assert_type(divan.open(), divan.Store[divan.Document])
    assert_type(divan.open("sqlite:///guests.db"), divan.Store[divan.Document])
    assert_type(divan.open("sqlite:///guests.db", {"arrival": "DateField"}), divan.Store[divan.Document])
    assert_type(divan.open("couchdb", database="guests", host="localhost", port=5984, timeout=5), divan.Store)
    assert_type(divan.open(MinimalBackend, database="guests"), divan.Store[divan.Document])
    assert_type(divan.open("memory://", plugins=[Audit()], allow_scans=False), divan.Store[divan.Document])


def open_with_a_class() -> None:
    assert_type(divan.open("memory://", Guest), divan.Store[Guest])
    assert_type(divan.open("memory://", schema=Guest), divan.Store[Guest])
    assert_type(divan.open("memory://", schema=Invoice), divan.Store[Invoice])
    assert_type(divan.open("memory://", schema=Room), divan.Store[Room])
    assert_type(divan.open("memory://", schema=Key), divan.Store[Key])
    assert_type(divan.open("memory://", schema=Stay), divan.Store[divan.Document])


def first_and_some_fields(store: divan.Store, guests: divan.Store[Guest]) -> None:
    assert_type(store.first({"a": 1}), divan.Document | None)
    assert_type(guests.first({"a": 1}, sort="a"), Guest | None)
    assert_type(guests.first(fields=["name"]), divan.Document | None)
    assert_type(guests.get("ada", fields=["name"]), divan.Document)
    assert_type(guests.get("ada", None, fields=["name"]), divan.Document | None)
    assert_type(guests.get_many(["ada"], fields=["name"]), list[divan.Document | None])
    assert_type(guests.put_many([guests["ada"], ("bob", {"name": "Bob"})]), list[Guest])
    assert_type(guests.exists(), bool)
    assert_type(guests.update("ada", {"a.b": divan.Append(1), "c": divan.Discard("x", None)}), Guest)
    assert_type(guests.page(sort="name").items, list[Guest])
    assert_type(guests.page(after="x"), divan.Page[Guest])


def name_the_type_in_a_signature(store: divan.Store, guests: divan.Store[Guest]) -> tuple[divan.Document, Guest]:
    return store["ada"], guests["ada"]


# Documents


def documents(url: str) -> None:
    with divan.open(url, schema={"arrival": "DateField"}) as guests:
        assert_type(guests, divan.Store[divan.Document])
        ada = guests.create({"name": "Ada", "arrival": date(2026, 12, 1)}, id="ada")
        assert_type(ada, divan.Document)
        assert_type(ada.id, str)
        assert_type(ada.rev, str | None)
        assert_type(ada["name"], Any)

        assert_type(guests.get("ada"), divan.Document)
        assert_type(guests.get("ada", None), divan.Document | None)
        assert_type(guests.get(ada, "none"), divan.Document | str)
        assert_type(guests[ada], divan.Document)
        assert_type("ada" in guests, bool)

        changes = {"phone": divan.REMOVE, "nights": divan.Increment(2), "note": None}
        assert_type(guests.update(ada, changes, rev=ada.rev), divan.Document)
        assert_type(guests.replace("ada", {"name": "Ada"}), divan.Document)
        assert_type(guests.put("ada", {"name": "Ada"}), divan.Document)
        guests.delete(ada, rev=ada.rev)


def queries(guests: divan.Store) -> None:
    found = guests.find({"arrival": {"$gte": date(2026, 12, 1)}}, sort="-arrival", limit=10, skip=1, fields=["name"])
    assert_type(found, Iterator[divan.Document])
    assert_type([guest["name"] for guest in guests.find(sort=["name", "-arrival"])], list[Any])
    assert_type([guest.id for guest in guests], list[str])
    assert_type(guests.ids(), Iterator[str])
    assert_type(guests.count({"$or": [{"name": "Ada"}, {"rooms": {"$size": 2}}]}), int)
    assert_type(guests.ensure_index("arrival", "name"), str | None)
    plan = guests.explain({"name": "Ada"})
    assert_type(plan, divan.Explanation)
    assert_type(plan.scan, bool)
    assert_type(plan.index, str | None)


def many_at_once(guests: divan.Store) -> None:
    assert_type(guests.create_many({"n": n} for n in range(3)), list[divan.Document])
    assert_type(guests.create_many([("ada", {"name": "Ada"}), ("blaise", {})]), list[divan.Document])
    assert_type(guests.update_many({"ada": {"n": divan.Increment()}}), list[divan.Document])
    assert_type(guests.update_many([(guests["ada"], {"n": 1})]), list[divan.Document])
    assert_type(guests.delete_many(["ada", guests["blaise"]]), list[str])
    try:
        guests.delete_many(guests.ids())
    except divan.BulkError as error:
        for position, failure in error.errors.items():
            assert_type(position, int)
            assert_type(failure, divan.DivanError)


def instances(guests: divan.Store[Guest]) -> None:
    ada = guests.create(Guest("Ada", date(2026, 12, 1)))
    assert_type(ada, Guest)
    assert_type(ada.arrival, date)
    assert_type(guests.create({"name": "Ada", "arrival": date(2026, 12, 1)}), Guest)
    assert_type(guests.get("ada", None), Guest | None)
    assert_type(guests.update(ada, {"arrival": date(2027, 1, 1)}, rev=ada.rev), Guest)
    assert_type(guests.put("ada", ada), Guest)
    assert_type(next(guests.find({"name": "Ada"})), Guest)
    assert_type([guest.name for guest in guests], list[str])
    assert_type(guests.create_many([ada, ("blaise", Guest("Blaise", date(2026, 12, 2)))]), list[Guest])


# Errors


def errors(store: divan.Store, ada: divan.Document) -> str:
    try:
        store.update(ada, {"name": "Ada"}, rev=ada.rev)
    except divan.RevisionConflict as error:
        assert_type(error.document_id, str)
        return error.document_id
    except (divan.ConnectionFailed, divan.OperationTimeout) as error:
        return str(error)
    return ada.id


# What is installed


def installed() -> None:
    assert_type(divan.list_backends(), list[divan.BackendInfo])
    assert_type([backend.distribution for backend in divan.list_backends()], list[str])
    assert_type(divan.get_backend("sqlite"), type[BaseDivanBackend])


# Coroutines


async def coroutines(url: str) -> None:
    async with divan.aio.open(url, schema=Guest) as guests:
        assert_type(guests, AsyncStore[Guest])
        ada = await guests.create(Guest("Ada", date(2026, 12, 1)))
        assert_type(ada, Guest)
        assert_type(await guests.get("ada", None), Guest | None)
        assert_type(guests.find(sort="name"), AsyncResults[Guest])
        assert_type([guest.name async for guest in guests.find({"name": "Ada"})], list[str])
        assert_type(await guests.count(), int)
        assert_type(await guests.create_many([ada]), list[Guest])
    plain = await divan.aio.open(url)
    assert_type(plain, AsyncStore[divan.Document])
    assert_type(await plain["ada"], divan.Document)
    await plain.close()


# A backend


class MinimalBackend(BaseDivanBackend):
    default_host = "localhost"
    default_port = 7777
    exclude_keys = ("key",)

    db: dict[str, dict[str, Any]]

    def connect(self, database: str, host: str, port: int) -> dict[str, dict[str, Any]]:
        return {}

    def create(self, data: dict[str, Any]) -> dict[str, Any]:
        key = str(len(self.db))
        self.db[key] = {**data, "key": key}
        return self.db[key]

    def update(self, document_id: str, data: dict[str, Any]) -> dict[str, Any]:
        self.db[document_id] |= data
        return self.db[document_id]

    def get_id_for_document(self, document: dict[str, Any]) -> str:
        key: str = document["key"]
        return key

    def get_document_attr(self, document: dict[str, Any], field: str) -> Any:
        return document[field]


class FullerBackend(MinimalBackend):
    """What a driver overrides takes further keyword arguments with defaults."""

    default_serializers: ClassVar[Mapping[str, Serializer]] = DEFAULT_SERIALIZERS
    known_options = {"timeout": float}  # noqa: RUF012 -- as the author of a driver writes it

    def create(self, data: dict[str, Any], document_id: str | None = None) -> dict[str, Any]:
        if document_id is not None and document_id in self.db:
            raise divan.DocumentExists(document_id)
        return super().create(data)

    def get_document_for_id(self, document_id: str) -> dict[str, Any]:
        try:
            return self.db[document_id]
        except KeyError as error:
            raise divan.DocumentNotFound(document_id) from error

    def iter_documents(self) -> Iterator[dict[str, Any]]:
        return iter(list(self.db.values()))

    def find(self, where: Query) -> Iterator[dict[str, Any]]:
        return (document for document in self.db.values() if where.matches(document))


class TestFuller(Conformance):
    url = "fuller://{name}"


# A plugin


class Audit:
    @divan.hookimpl
    def divan_serializers(self, backend: str) -> dict[str, Serializer]:
        return {"ComplexField": {"serialize": str, "deserialize": complex, "ordered": False}}

    @divan.hookimpl
    def divan_before_write(self, operation: str, data: Mapping[str, Any] | None) -> None:
        if operation == "create" and not data:
            raise divan.WriteVetoed("an empty document")

    @divan.hookimpl
    def divan_after_write(self, store: divan.Store[Any], document_id: str, document: divan.Document | None) -> None:
        assert_type(store.url, str)
