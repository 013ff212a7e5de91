"""Internal: `StoreChecks`: what every area of the suite stands on: a Store on a database that holds no document."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import pytest

import divan
from divan import Document, InvalidURL, Store, UnsupportedOperation
from divan.backends.base import BaseDivanBackend
from divan.testing.comparing import ShownURL
from divan.testing.reporting import reported


@dataclass
class _Databases:
    """What the checks of one class share.

    Attributes:
        name: What stands for ``{name}`` in the class's URL.
        stores: The open Stores by URL.
        loaded: For each URL, the name and the documents of the data set that its database holds.
        checks: How many checks have used it.
    """

    name: str = field(default_factory=lambda: new_database_name())
    stores: dict[str, Store] = field(default_factory=dict)
    loaded: dict[str, tuple[str, list[Document]]] = field(default_factory=dict)
    checks: int = 0

    def begin_anew(self) -> None:
        """Have the next check begin with another database."""
        self.close()
        self.stores.clear()
        self.loaded.clear()
        self.checks = 0
        self.name = new_database_name()

    def close(self) -> None:
        for store in self.stores.values():
            try:
                empty(store)
            finally:
                store.close()

    def give_up(self) -> None:
        """Have the next check begin with another Store, and where it can be with another database.

        What a check that failed has left behind (a transaction that never ends, say) may fail all that follow.
        """
        for store in self.stores.values():
            with suppress(Exception):
                empty(store)
            with suppress(Exception):
                store.close()
        self.stores.clear()
        self.loaded.clear()
        self.name = new_database_name()


_DATABASES: Final = pytest.StashKey[_Databases]()
_EMPTIED: Final = pytest.StashKey[set[str]]()


class StoreChecks:
    """The base of every area: give it a URL, or override what opens the Store.

    Attributes:
        url: The URL of the database to test. ``{name}`` in it is replaced by a name that no other run uses.
        limits: The known limits of the server, by the names in `divan.testing.limits`. May also be set on ``self`` in
            a fixture, where they only show once the server runs.
        allow_data: Whether to delete the documents that the database holds when the tests begin.
        threads: How many threads the checks of `Threads` start.
        rounds: How many writes each of those threads makes.
        sequences: How many random sequences of calls `RandomCalls` makes.
        checks_per_database: After how many checks a class begins with another database, where there is ``{name}`` in
            the URL; `None` for never. For a server that keeps something of each deleted document, and is slower for it.
        patience: After how many seconds a call to a server that does not answer is taken to hang for ever.
        has_failed: Whether a check of the class has failed, so that the next one begins with a Store of its own.
    """

    url: ClassVar[str] = ""
    limits: Collection[str] = frozenset()
    allow_data: ClassVar[bool] = False
    threads: int = 8
    rounds: int = 25
    sequences: int = 100
    checks_per_database: ClassVar[int | None] = None
    patience: float = 60.0

    backend_class: type[BaseDivanBackend] = BaseDivanBackend
    has_failed: ClassVar[bool] = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name, function in list(vars(cls).items()):
            if name.startswith("test") and callable(function):
                setattr(cls, name, reported(function))

    def open(self, url: str, **options: Any) -> Store:
        """Open a Store; override it to open one in another way than by URL."""
        return divan.open(url, **options)

    @pytest.fixture
    def store_url(self) -> str:
        """The URL of the database to test; override it where other fixtures know it."""
        if not self.url:
            pytest.fail(f"{type(self).__name__} needs a url, or a fixture store_url of its own", pytrace=False)
        return self.url

    @pytest.fixture
    def fresh_url(self, request: pytest.FixtureRequest, store_url: str) -> str:
        """The URL with ``{name}`` filled in: one name a class, or one a test where the database can't be emptied."""
        databases = _databases(request)
        if type(self).has_failed:
            type(self).has_failed = False
            databases.give_up()
        if self.checks_per_database and "{name}" in store_url and databases.checks >= self.checks_per_database:
            databases.begin_anew()
        databases.checks += 1
        url = ShownURL(store_url.replace("{name}", databases.name))
        store = databases.stores.get(url)
        if "{name}" not in store_url:
            if os.environ.get("PYTEST_XDIST_WORKER") and store_url == self.url and not store_url.startswith("memory:"):
                pytest.fail("several test processes would share one database: write {name} into the url", pytrace=False)
        elif store is not None and not can_empty(store):
            databases.name = new_database_name()
            url = ShownURL(store_url.replace("{name}", databases.name))
        return url

    @pytest.fixture
    def store(self, request: pytest.FixtureRequest, fresh_url: str) -> Store:
        """An open Store on a database that holds no document."""
        _databases(request).loaded.pop(fresh_url, None)
        return self._emptied(request, fresh_url)

    def loaded(
        self, request: pytest.FixtureRequest, url: str, name: str, data: Callable[[], list[Any]]
    ) -> tuple[Store, list[Document]]:
        """A Store whose database holds a data set, and its documents: stored once for the checks that only read it.

        Args:
            request: The check's own.
            url: The fixture `fresh_url`.
            name: What the data set is called.
            data: Makes the fields of its documents, or pairs of an id and fields.
        """
        databases = _databases(request)
        loaded = databases.loaded.get(url)
        if loaded is None or loaded[0] != name:
            databases.loaded.pop(url, None)
            documents = self._emptied(request, url).create_many(data())
            # In plain form, as they were meant: what the store made of them is what the checks look at.
            given = (item[1] if isinstance(item, tuple) else item for item in data())
            documents = [Document(fields, document.id) for fields, document in zip(given, documents, strict=True)]
            loaded = databases.loaded[url] = (name, documents)
        return self._open_shared(request, url), loaded[1]

    @pytest.fixture
    def open_store(self, store: Store, fresh_url: str) -> Iterator[Callable[..., Store]]:
        """Opens further Stores on the same database, with other arguments; closed when the test ends."""
        opened: list[Store] = []

        def open_another(**options: Any) -> Store:
            opened.append(self.open(fresh_url, **options))
            return opened[-1]

        yield open_another
        for another in opened:
            another.close()

    def _open_shared(self, request: pytest.FixtureRequest, url: str) -> Store:
        """The class's Store for this URL, opened at the first call."""
        databases = _databases(request)
        store = databases.stores.get(url)
        if store is None:
            store = self.open(url)
            try:
                self._protect(request, store, url)
            except BaseException:
                store.close()
                raise
            databases.stores[url] = store
        self.backend_class = type(store.backend)
        return store

    def _emptied(self, request: pytest.FixtureRequest, url: str) -> Store:
        """The class's Store for this URL, every document deleted."""
        known = url in _databases(request).stores
        store = self._open_shared(request, url)
        if can_empty(store):
            empty(store)
        elif known or holds_documents(store):
            lacks = "delete()" if can_iterate(store) else "find()"
            pytest.skip(
                f"unsupported: {type(store.backend).__name__} does not implement {lacks}, so the database can't be "
                "emptied; write {name} into the url to have a new one for each test"
            )
        return store

    def _protect(self, request: pytest.FixtureRequest, store: Store, url: str) -> None:
        """Refuse a database that holds somebody's documents."""
        emptied = request.session.stash.setdefault(_EMPTIED, set())
        allowed = self.allow_data or request.config.getoption("--divan-allow-data", default=False)
        if url not in emptied and not allowed and holds_documents(store):
            pytest.fail(refusal(store), pytrace=False)
        emptied.add(url)

    @contextmanager
    def within(self, *limits: str | None) -> Iterator[None]:
        """Report a failure inside as an expected one, if one of `limits` is among the declared limits."""
        try:
            yield
        except UnsupportedOperation:
            raise
        except Exception:
            for limit in limits:
                if limit in self.limits:
                    pytest.xfail(f"limit: {limit}")
            raise

    def refused(self, url: str, **options: Any) -> InvalidURL:
        """The error that an option which the backend does not know ends in."""
        __tracebackhide__ = True
        try:
            store = self.open(url, **options)
        except InvalidURL as error:
            return error
        store.close()
        if self.backend_class.known_options is None:
            pytest.skip(f"unsupported: {self.backend_class.__name__} declares no known_options, and takes any option")
        pytest.fail("an option that the backend does not know was taken")

    def revision(self, document: Document) -> str:
        """The document's revision; ends the check as unsupported where the backend has none."""
        if document.rev is None and not self.backend_class.implements("get_revision_for_document"):
            raise UnsupportedOperation(f"{self.backend_class.__name__} does not implement get_revision_for_document()")
        assert isinstance(document.rev, str), f"a revision is a string, not {document.rev!r}"
        assert document.rev
        return document.rev


# The database


def new_database_name() -> str:
    """A name that every store takes for a database, and no other run uses."""
    return f"divan_test_{uuid.uuid4().hex[:12]}"


def can_iterate(store: Store) -> bool:
    """Whether the documents of the database can be listed."""
    return store.backend.implements("find") or store.backend.implements("iter_documents")


def can_empty(store: Store) -> bool:
    """Whether the database can be emptied, or what it holds can't be met again."""
    if not can_iterate(store):
        return not store.backend.accepts("create", "document_id")
    return store.backend.implements("delete") or store.backend.implements("delete_many")


def holds_documents(store: Store) -> bool:
    """Whether the database holds a document, as far as the backend can tell."""
    return can_iterate(store) and next(iter(store.ids()), None) is not None


def empty(store: Store) -> None:
    """Delete every document, as far as the backend can."""
    if can_iterate(store) and can_empty(store):
        store.delete_many(list(store.ids()))


def refusal(store: Store) -> str:
    """Why a database is not tested, and what to do."""
    return (
        f"{store.url} holds documents, and the conformance suite deletes every document that it finds: name an empty "
        "database, or pass --divan-allow-data (allow_data = True in a class) to lose them"
    )


def _databases(request: pytest.FixtureRequest) -> _Databases:
    node = request.node.getparent(pytest.Class)
    assert node is not None, "a check is a method of a class"
    if _DATABASES not in node.stash:
        node.stash[_DATABASES] = _Databases()
        node.addfinalizer(lambda: _end(node))
    databases: _Databases = node.stash[_DATABASES]
    return databases


def _end(node: pytest.Class) -> None:
    """Close what the checks of a class share; where tests of several classes take turns, it may be begun anew."""
    databases = node.stash[_DATABASES]
    del node.stash[_DATABASES]
    if getattr(node.cls, "has_failed", False):
        databases.give_up()
    else:
        databases.close()
