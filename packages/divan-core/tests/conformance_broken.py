"""Backends that are wrong in one way each, under the suite; `test_conformance_suite.py` runs them and reads what came of it."""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import divan
from divan import Document, DocumentNotFound, Store, StoreError, UnsupportedOperation
from divan.backends.base import BaseDivanBackend
from divan.backends.memory import MemoryBackend
from divan.options import Option, Options, seconds
from divan.query import finish
from divan.testing import (
    NEGATIVE_ZERO,
    WHOLE_FLOATS,
    Bulk,
    Conformance,
    Crud,
    Errors,
    GeneratedQueries,
    GoodDocuments,
    Increments,
    Indexes,
    Life,
    Network,
    Numbers,
    Privacy,
    RandomCalls,
    Reading,
    Removal,
    Revisions,
    Secrets,
    StoreChecks,
    Text,
    Threads,
    Update,
)
from divan.updates import add


class Opened(StoreChecks):
    """Opens the class's `backend` in place of a URL's."""

    url = "memory://{name}"
    backend: type[BaseDivanBackend]

    def open(self, url: str, **options: Any) -> Store:
        return divan.open(self.backend, database=url, **options)


# What goes wrong among threads goes wrong at every run: they wait for one another where that takes it.


class Awaiting(MemoryBackend):
    """Lets every thread read before one writes."""

    def connect(self, database, host, port):
        self.all_have_read = threading.Barrier(Threads.threads, timeout=60)
        return super().connect(database, host, port)


class TestLosesConcurrentFields(Opened, Threads):
    class backend(Awaiting):
        def update(self, document_id, data, remove=(), increment=(), rev=None):
            fields = dict(self.get_document_for_id(document_id))
            self.all_have_read.wait()
            return self.replace(document_id, {**fields, **data}, rev=rev)


class TestLosesIncrements(Opened, Threads):
    class backend(Awaiting):
        def update(self, document_id, data, remove=(), increment=(), rev=None):
            fields = self.get_document_for_id(document_id)
            self.all_have_read.wait()
            sums = {name: fields.get(name, 0) + by for name, by in dict(increment).items()}
            return super().update(document_id, {**data, **sums}, remove=remove, rev=rev)


class TestWritesFieldByField(Opened, Threads):
    class backend(MemoryBackend):
        def create(self, data, document_id=None):
            self.half_was_read = threading.Event()  # each check begins with a new document
            return super().create(data, document_id)

        def update(self, document_id, data, remove=(), increment=(), rev=None):
            for name, value in data.items():
                written = super().update(document_id, {name: value}, rev=rev)
                if _is_half(written):
                    self.half_was_read.wait(60)
            return written

        def get_document_for_id(self, document_id):
            return self._noted(super().get_document_for_id(document_id))

        def find(self, where, sort=(), limit=None, skip=0, fields=None):
            return map(self._noted, super().find(where, sort, limit, skip, fields))

        def _noted(self, document):
            if _is_half(document):
                self.half_was_read.set()
            return document


class TestForgetsTheRevisionCheck(Opened, Revisions):
    class backend(MemoryBackend):
        def update(self, document_id, data, remove=(), increment=(), rev=None):
            return super().update(document_id, data, remove, dict(increment))


class TestKeepsTheRevision(Opened, Revisions):
    class backend(MemoryBackend):
        def update(self, document_id, data, remove=(), increment=(), rev=None):
            if not data and not remove and not increment and rev is None:
                return self.get_document_for_id(document_id)
            return super().update(document_id, data, remove, dict(increment), rev)


class TestDeletesWhateverTheRevision(Opened, RandomCalls):
    class backend(MemoryBackend):
        default_port = 1  # as if it had a server: examples are then not shrunk, which takes long

        def delete(self, document_id, rev=None):
            super().delete(document_id)


class TestShowsThePassword(Opened, Secrets):
    class backend(MemoryBackend):
        def __repr__(self) -> str:
            return f"<backend with {dict(self.options)}>"


class TestLogsThePassword(Opened, Secrets):
    class backend(MemoryBackend):
        def connect(self, database, host, port):
            logging.getLogger("broken").debug("connecting with %s", self.options.get("password"))
            return super().connect(database, host, port)


class TestLimitsBeforeItSorts(Opened, GeneratedQueries):
    class backend(MemoryBackend):
        def find(self, where, sort=(), limit=None, skip=0, fields=None):
            return finish(super().find(where, (), limit, skip), get_id=self.get_id_for_document, sort=sort)


class TestSortsByUTF16(Opened, Text):
    class backend(MemoryBackend):
        def find(self, where, sort=(), limit=None, skip=0, fields=None):
            found = list(super().find(where, (), None, 0, fields))
            return iter(sorted(found, key=lambda one: [str(one.get(key.field)).encode("utf-16-be") for key in sort]))


class TestMakesWholeFloatsIntsAndSaysSo(Opened, Numbers):
    limits = {WHOLE_FLOATS}  # noqa: RUF012 - as an author writes it

    class backend(MemoryBackend):
        def _swap(self, document_id, old, new):
            return super()._swap(document_id, old, new and (new[0], _without_whole_floats(new[1])))


class TestLosesTheSignOfZeroAndSaysSo(Opened, Numbers):
    limits = {NEGATIVE_ZERO}  # noqa: RUF012 - as an author writes it

    class backend(MemoryBackend):
        def _swap(self, document_id, old, new):
            return super()._swap(document_id, old, new and (new[0], _without_negative_zeros(new[1])))


class TestBreaksForGood(Opened, Crud):
    """The deletion of a missing document breaks what it was made on, and whatever is called on that from then on."""

    class backend(MemoryBackend):
        is_broken = False

        def delete(self, document_id, rev=None):
            if document_id not in self.db:
                self.is_broken = True
            self._check()
            super().delete(document_id, rev)

        def create(self, data, document_id=None):
            self._check()
            return super().create(data, document_id)

        def get_document_for_id(self, document_id):
            self._check()
            return super().get_document_for_id(document_id)

        def find(self, where, sort=(), limit=None, skip=0, fields=None):
            self._check()
            return super().find(where, sort, limit, skip, fields)

        def _check(self):
            if self.is_broken:
                raise StoreError("broken for good")


class TestMakesEmptyListsObjects(Opened, GoodDocuments):
    class backend(MemoryBackend):
        def create(self, data, document_id=None):
            return super().create({name: value if value != [] else {} for name, value in data.items()}, document_id)


class TestUpdateMergesDeep(Opened, Update):
    class backend(MemoryBackend):
        def update(self, document_id, data, remove=(), increment=(), rev=None):
            fields = self.get_document_for_id(document_id)
            merged = {
                name: {**fields[name], **value}
                if isinstance(value, dict) and isinstance(fields.get(name), dict)
                else value
                for name, value in data.items()
            }
            return super().update(document_id, merged, remove, dict(increment), rev)


class TestIncrementsBeforeItLooks(Opened, Increments):
    class backend(MemoryBackend):
        def update(self, document_id, data, remove=(), increment=(), rev=None):
            document = super().update(document_id, data, remove, {}, rev)
            for name, by in dict(increment).items():
                document = super().update(document_id, {name: add(name, document.get(name, 0), by)})
            return document


class TestRaisesItsClientsError(Opened, Crud):
    class backend(MemoryBackend):
        def get_document_for_id(self, document_id):
            number, fields = self.db[document_id]
            return Document(dict(fields), document_id, str(number))


class TestShowsMetadata(Opened, Crud):
    class backend(MemoryBackend):
        def get_document_for_id(self, document_id):
            document = super().get_document_for_id(document_id)
            document["_id"] = document_id
            return document


class TestOverridesWhatItCanNotDo(Opened, Reading):
    class backend(MemoryBackend):
        def find(self, where, sort=(), limit=None, skip=0, fields=None):
            raise UnsupportedOperation(f"{type(self).__name__} does not implement find()")

        def iter_documents(self):
            return iter(())


class TestReadsNoOption(Opened, Errors):
    class backend(MemoryBackend):
        known_options: ClassVar = {"timeout": Option(seconds, 10, "Seconds that a call may take.")}

        def read_options(self, given):
            return Options(given)


class Connected(Opened):
    """A backend that speaks to a server at first, so that it can be sent to another port."""

    url = "broken://127.0.0.1:1/{name}"

    def open(self, url: str, **options: Any) -> Store:
        authority = url.split("/")[2]
        host, port = authority.rpartition("@")[2].split(":")
        return divan.open(self.backend, database=url, host=host, port=int(port), **options)


class TestWaitsForEver(Connected, Network):
    patience = 0.3

    class backend(MemoryBackend):
        default_port = 1

        def connect(self, database, host, port):
            if port != 1:
                socket.create_connection((host, port)).recv(1)
            return super().connect(database, "", 0)


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1):
            self.request.sendall(data)


_echo = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo)
_echo.daemon_threads = True
threading.Thread(target=_echo.serve_forever, daemon=True).start()


class TestHasNoDeadline(Connected, Network):
    """Asks its server at each call, and waits for the answer as long as it takes."""

    url = f"broken://127.0.0.1:{_echo.server_address[1]}/{{name}}"
    patience = 0.3

    class backend(MemoryBackend):
        default_port = 1

        def connect(self, database, host, port):
            self.connection = socket.create_connection((host, port))
            return super().connect(database, "", 0)

        def get_document_for_id(self, document_id):
            self.connection.sendall(b"x")
            self.connection.recv(1)
            return super().get_document_for_id(document_id)

        def close(self):
            self.connection.close()


class TestRaisesItsSocketsErrors(Connected, Network):
    class backend(MemoryBackend):
        default_port = 1

        def connect(self, database, host, port):
            if port != 1:
                with socket.create_connection((host, port), timeout=0.1) as connection:
                    connection.recv(1)
                raise TimeoutError
            return super().connect(database, "", 0)


# Right, as far as they go: each lacks something, and nothing may fail.


class Partly(
    Opened, Crud, Privacy, Update, Removal, Increments, Revisions, Reading, Indexes, Bulk, Life, Errors, Threads
):
    threads = 4
    rounds = 2


class TestWithoutGet(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        get_document_for_id = BaseDivanBackend.get_document_for_id


class TestWithoutDelete(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        delete = BaseDivanBackend.delete


class TestWithoutReplace(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        replace = BaseDivanBackend.replace


class TestWithoutRevisions(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        get_revision_for_document = BaseDivanBackend.get_revision_for_document

        def update(self, document_id, data, remove=(), increment=()):
            return _without_revision(super().update(document_id, data, remove, dict(increment)))

        def replace(self, document_id, data, upsert=False):
            return _without_revision(super().replace(document_id, data, upsert=upsert))

        def delete(self, document_id):
            super().delete(document_id)

        def create(self, data, document_id=None):
            return _without_revision(super().create(data, document_id))

        def get_document_for_id(self, document_id):
            return _without_revision(super().get_document_for_id(document_id))

        def find(self, where, sort=(), limit=None, skip=0, fields=None):
            return map(_without_revision, super().find(where, sort, limit, skip, fields))


class TestWithoutFind(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        find = BaseDivanBackend.find


class TestWithIterationForFind(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        find = BaseDivanBackend.find

        def iter_documents(self):
            return MemoryBackend.find(self, divan.query.parse(None))


class TestWithoutArgumentsAndPing(Partly, RandomCalls):
    sequences = 20

    class backend(MemoryBackend):
        ping = BaseDivanBackend.ping

        def create(self, data):
            return super().create(data)

        def update(self, document_id, data):
            return super().update(document_id, data)

        def replace(self, document_id, data):
            return super().replace(document_id, data)

        def delete(self, document_id):
            return super().delete(document_id)

        def find(self, where):
            return super().find(where)


class TestFiveMethods(Opened, Conformance):
    class backend(BaseDivanBackend):
        default_host = ""
        default_port = 0
        exclude_keys = ("_id",)

        def connect(self, database, host, port):
            return {}

        def create(self, data):
            self.db[f"document {len(self.db)}"] = data
            return {"_id": f"document {len(self.db) - 1}", **data}

        def update(self, document_id, data):
            if document_id not in self.db:
                raise DocumentNotFound(document_id)
            self.db[document_id] = {**self.db[document_id], **data}
            return {"_id": document_id, **self.db[document_id]}

        def get_id_for_document(self, document):
            return document["_id"]

        def get_document_attr(self, document, field):
            return document[field]


def _is_half(document: Document) -> bool:
    """Whether a write that sets two fields to one value has set one of them alone."""
    return document.get("a") != document.get("b")


def _without_revision(document: Document) -> Document:
    document.rev = None
    return document


def _without_whole_floats(value: Any) -> Any:
    return _with_floats(value, lambda number: int(number) if number.is_integer() else number)


def _without_negative_zeros(value: Any) -> Any:
    return _with_floats(value, lambda number: number + 0.0)


def _with_floats(value: Any, change: Callable[[float], float]) -> Any:
    if isinstance(value, dict):
        return {name: _with_floats(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item, change) for item in value]
    return change(value) if isinstance(value, float) else value
