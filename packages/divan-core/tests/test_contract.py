"""The backend contract: what five methods are enough for, what each further one adds, and what is said of a missing one."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import divan
import pytest
from divan import (
    BulkError,
    Document,
    DocumentExists,
    DocumentNotFound,
    Increment,
    InvalidDocument,
    InvalidQuery,
    Store,
    StoreError,
    UnsupportedOperation,
)
from divan.backends.base import (
    OPTIONAL_METHODS,
    REQUIRED_METHODS,
    BaseDivanBackend,
    apply_changes,
)
from divan.backends.memory import MemoryBackend
from divan.query import Query, SortKey, parse
from divan.updates import add, split_changes


class FiveMethods(BaseDivanBackend):
    """The contract's five required methods, over a dict."""

    default_host = ""
    default_port = 0
    exclude_keys = ("id",)

    def connect(self, database: str, host: str, port: int) -> dict[str, dict[str, Any]]:
        return {}

    def create(self, data: dict[str, Any]) -> dict[str, Any]:
        number = str(len(self.db) + 1)
        self.db[number] = {"id": number, **data}
        return dict(self.db[number])

    def update(self, document_id: str, data: dict[str, Any]) -> dict[str, Any]:
        if document_id not in self.db:
            raise DocumentNotFound(document_id)
        self.db[document_id].update(data)
        return dict(self.db[document_id])

    def get_id_for_document(self, document: dict[str, Any]) -> str:
        return str(document["id"])

    def get_document_attr(self, document: dict[str, Any], field: str) -> Any:
        return document[field]


class Reading(FiveMethods):
    """… and the two that read."""

    def get_document_for_id(self, document_id: str) -> dict[str, Any]:
        try:
            return dict(self.db[document_id])
        except KeyError:
            raise DocumentNotFound(document_id) from None

    def iter_documents(self) -> Iterator[dict[str, Any]]:
        return map(dict, list(self.db.values()))


class Full(Reading):
    """… and the rest of what a Store can't do without, each in its shortest form."""

    def create(self, data: dict[str, Any], document_id: str | None = None) -> dict[str, Any]:
        if document_id in self.db:
            raise DocumentExists(str(document_id))
        number = document_id or str(len(self.db) + 1)
        self.db[number] = {"id": number, **data}
        return dict(self.db[number])

    def update(
        self, document_id: str, data: dict[str, Any], remove: Sequence[str] = (), increment: Any = None
    ) -> dict[str, Any]:
        if document_id not in self.db:
            raise DocumentNotFound(document_id)
        self.db[document_id] = apply_changes(self.db[document_id], data, remove, increment or {})
        return dict(self.db[document_id])

    def replace(self, document_id: str, data: dict[str, Any]) -> dict[str, Any]:
        if document_id not in self.db:
            raise DocumentNotFound(document_id)
        self.db[document_id] = {"id": document_id, **data}
        return dict(self.db[document_id])

    def delete(self, document_id: str) -> None:
        if self.db.pop(document_id, None) is None:
            raise DocumentNotFound(document_id)


def opened(cls: type[BaseDivanBackend]) -> Store:
    return divan.open(cls)


# Five methods


def test_five_methods_create() -> None:
    with opened(FiveMethods) as store:
        document = store.create({"name": "Ada", "tags": ["a"]})

    assert (document, document.id, document.rev) == ({"name": "Ada", "tags": ["a"]}, "1", None)


def test_five_methods_update() -> None:
    with opened(FiveMethods) as store:
        document = store.create({"name": "Ada", "age": 36})

        assert store.update(document, {"age": 37}) == {"name": "Ada", "age": 37}
        with pytest.raises(DocumentNotFound):
            store.update("9", {"age": 1})


def test_five_methods_create_many_and_update_many() -> None:
    with opened(FiveMethods) as store:
        one, two = store.create_many([{"n": 1}, {"n": 2}])

        assert store.update_many([(one, {"n": 3}), (two.id, {"m": 4})]) == [{"n": 3}, {"n": 2, "m": 4}]


def test_five_methods_serialize_and_validate() -> None:
    with divan.open(FiveMethods, schema={"day": "DateField"}) as store:
        assert store.create({"day": datetime.date(2026, 12, 1)}) == {"day": datetime.date(2026, 12, 1)}
        assert store.backend.db["1"]["day"] == "2026-12-01"
        with pytest.raises(InvalidDocument):
            store.create({"n": float("nan")})


def test_five_methods_may_hand_out_documents_that_are_no_mappings() -> None:
    class Objects(FiveMethods):
        def create(self, data: dict[str, Any]) -> Any:
            return SimpleNamespace(**super().create(data))

        def get_id_for_document(self, document: Any) -> str:
            return str(document.id)

        def get_document_attr(self, document: Any, field: str) -> Any:
            return getattr(document, field)

    with opened(Objects) as store:
        document = store.create({"name": "Ada"})

    assert (document, document.id) == ({"name": "Ada"}, "1")


def test_a_driver_that_returns_nothing_is_an_error_and_no_missing_document() -> None:
    class Silent(FiveMethods):
        def create(self, data: dict[str, Any]) -> Any:
            return None

    with opened(Silent) as store, pytest.raises(StoreError, match=r"^Silent returned NoneType in place of a document$"):
        store.create({"a": 1})


LACKING: dict[str, tuple[Callable[[Store], Any], str]] = {
    "get": (lambda store: store.get("1"), "get_document_for_id()"),
    "get with a default": (lambda store: store.get("1", None), "get_document_for_id()"),
    "store[id]": (lambda store: store["1"], "get_document_for_id()"),
    "in": (lambda store: "1" in store, "get_document_for_id()"),
    "get_many": (lambda store: store.get_many(["1"]), "get_document_for_id()"),
    "create with an id": (lambda store: store.create({}, id="a"), "create(document_id=…)"),
    "replace": (lambda store: store.replace("1", {}), "replace()"),
    "replace with rev": (lambda store: store.replace("1", {}, rev="1"), "replace()"),
    "delete": (lambda store: store.delete("1"), "delete()"),
    "delete with rev": (lambda store: store.delete("1", rev="1"), "delete()"),
    "update with REMOVE": (lambda store: store.update("1", {"a": divan.REMOVE}), "update(remove=…)"),
    "update with Increment": (lambda store: store.update("1", {"a": Increment(1)}), "update(increment=…)"),
    "update with rev": (lambda store: store.update("1", {"a": 2}, rev="1"), "update(rev=…)"),
    "find": (lambda store: list(store.find()), "find()"),
    "update_where": (lambda store: store.update_where({}, {}), "update(rev=…)"),
    "delete_where": (lambda store: store.delete_where({}), "delete()"),
    "first": (lambda store: store.first(), "find()"),
    "exists": (lambda store: store.exists(), "find()"),
    "iter": (lambda store: list(store), "iter_documents()"),
    "ids": (lambda store: list(store.ids()), "iter_documents()"),
    "count": (lambda store: store.count(), "count()"),
    "ping": (lambda store: store.ping(), "ping()"),
}


@pytest.mark.parametrize("call", LACKING)
def test_what_needs_more_is_refused_naming_the_method_that_is_missing(call: str) -> None:
    function, method = LACKING[call]

    with opened(FiveMethods) as store:
        store.create({"a": 1})
        with pytest.raises(UnsupportedOperation) as caught:
            function(store)
        assert str(caught.value) == f"FiveMethods does not implement {method}"
        assert isinstance(caught.value, NotImplementedError)
        assert store.backend.db == {"1": {"id": "1", "a": 1}}


def test_put_needs_more_too() -> None:
    with opened(FiveMethods) as store:
        with pytest.raises(UnsupportedOperation, match=r"^FiveMethods does not implement "):
            store.put("a", {})
        with pytest.raises(divan.BulkError, match="FiveMethods does not implement "):
            store.put_many({"a": {}})


def test_a_driver_that_knows_neither_fields_nor_put_many_has_both() -> None:
    with opened(Full) as store:
        store.create({"a": 1, "b": {"c": 2, "d": 3}}, id="x")
        assert store.get("x", fields=["b.c"]) == {"b": {"c": 2}}
        assert store.get_many(["x", "y"], fields=["a"]) == [{"a": 1}, None]
        assert store.put_many([("x", {"n": 1}), ("y", {"n": 2}), ("x", {"n": 3})]) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert store.get_many(["x", "y"]) == [{"n": 3}, {"n": 2}]


def test_a_driver_that_knows_no_nested_changes_has_the_fields_written_by_revision() -> None:
    class Older(MemoryBackend):
        def update(self, document_id: str, data: dict[str, Any], **arguments: Any) -> Any:  # type: ignore[override]
            calls.append((data, arguments.get("remove"), set(arguments)))
            return super().update(document_id, data, **arguments)

    calls: list[Any] = []
    with divan.open(Older, database="") as store:
        store.create({"a": {"b": 1, "c": 2}, "list": [1], "n": 1}, id="x")
        changes = {"a.b": divan.REMOVE, "list": divan.Append(2), "n": divan.REMOVE, "o.p": Increment(3)}
        assert store.update("x", changes) == {"a": {"c": 2}, "list": [1, 2], "o": {"p": 3}}
        ((data, remove, arguments),) = calls
        assert (data, remove) == ({"a": {"c": 2}, "list": [1, 2], "o": {"p": 3}}, ("n",))
        assert arguments == {"remove", "rev"}
        assert store.update_many({"x": {"o.p": Increment(1)}}) == [{"a": {"c": 2}, "list": [1, 2], "o": {"p": 4}}]


def test_nested_changes_need_a_revision_or_a_driver_that_makes_them() -> None:
    with opened(Full) as store:
        store.create({}, id="x")
        with pytest.raises(UnsupportedOperation, match=r"^Full does not implement update\(rev=…\)$"):
            store.update("x", {"a.b": 1})


def test_a_driver_that_takes_fields_is_told_of_them_and_may_return_more() -> None:
    asked = []

    class Selective(Full):
        def get_document_for_id(self, document_id: str, fields: Sequence[str] = ()) -> dict[str, Any]:
            asked.append(tuple(fields))
            return super().get_document_for_id(document_id)

        def get_many(self, document_ids: Sequence[str], fields: Sequence[str] = ()) -> list[Any]:
            asked.append(tuple(fields))
            return super().get_many(document_ids)

    with opened(Selective) as store:
        store.create({"a": 1, "b": 2}, id="x")
        assert store.get("x", fields=["a"]) == {"a": 1}
        assert store.get_many(["x"], fields=["b"]) == [{"b": 2}]
    assert ("a",) in asked
    assert ("b",) in asked


@pytest.mark.parametrize(
    ("call", "method"),
    [
        (lambda store: store.create_many([("a", {})]), "create(document_id=…)"),
        (lambda store: store.update_many([("1", {"a": divan.REMOVE})]), "update(remove=…)"),
        (lambda store: store.delete_many(["1"]), "delete()"),
    ],
    ids=["create_many", "update_many", "delete_many"],
)
def test_a_bulk_call_reports_what_is_missing_for_each_item(call: Callable[[Store], Any], method: str) -> None:
    with opened(FiveMethods) as store:
        store.create({"a": 1})
        with pytest.raises(BulkError) as caught:
            call(store)

    assert [str(error) for error in caught.value.errors.values()] == [f"FiveMethods does not implement {method}"]
    assert all(isinstance(error, UnsupportedOperation) for error in caught.value.errors.values())


def test_indexes_and_close_are_no_business_of_a_store_without_them() -> None:
    with opened(FiveMethods) as store:
        assert store.ensure_index("a") is None


# Defaults and required methods


@pytest.mark.parametrize("attribute", ["default_host", "default_port"])
def test_an_undefined_default_is_refused_naming_class_and_attribute(attribute: str) -> None:
    values: dict[str, Any] = {"default_host": "", "default_port": 0}
    del values[attribute]
    cls = type("Unfinished", (BaseDivanBackend,), {"connect": lambda *arguments: None, **values})

    with pytest.raises(NotImplementedError, match=f"^Unfinished must define {attribute}$"):
        cls("x")


def test_an_empty_host_and_port_zero_are_definitions() -> None:
    backend = FiveMethods("x")

    assert (backend.database, backend.host, backend.port) == ("x", "", 0)


def test_host_and_port_fall_back_to_the_defaults_unless_given() -> None:
    class Network(FiveMethods):
        default_host = "localhost"
        default_port = 1234

        def connect(self, database: str, host: str, port: int) -> Any:
            return (database, host, port)

    assert Network("x").db == ("x", "localhost", 1234)
    assert Network("x", "h", 7).db == ("x", "h", 7)
    assert Network("x", "", 0).db == ("x", "", 0)


def test_connect_finds_the_options() -> None:
    seen: dict[str, Any] = {}

    class Curious(FiveMethods):
        def connect(self, database: str, host: str, port: int) -> Any:
            seen.update(self.options)
            return {}

    Curious("x", user="ada", password="s3cret", timeout=5)

    assert seen == {"user": "ada", "password": "s3cret", "timeout": 5}


def test_what_connect_returns_is_the_native_handle() -> None:
    class Handing(FiveMethods):
        handle: Any = None

        def connect(self, database: str, host: str, port: int) -> Any:
            return self.handle

    assert Handing("x").db is None
    for handle in ({}, 0, "", object()):
        Handing.handle = handle
        assert Handing("x").db is handle


def test_a_driver_whose_handle_changes_may_have_it_as_a_property() -> None:
    class Changing(BaseDivanBackend):
        default_host = ""
        default_port = 0
        asked = 0

        @property
        def db(self) -> int:
            self.asked += 1
            return self.asked

        def connect(self, database: str, host: str, port: int) -> None:
            assert self.asked == 0

    backend = Changing("x")
    assert (backend.db, backend.db) == (1, 2)


def test_a_backend_hides_its_secrets_when_printed() -> None:
    backend = FiveMethods("x", user="ada", password="s3cret", api_token="s3cret")

    assert repr(backend) == "<FiveMethods 'x' at :0 {'user': 'ada', 'password': '***', 'api_token': '***'}>"


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "connect": ("x", "", 0),
    "create": ({},),
    "update": ("1", {}),
    "get_id_for_document": ({},),
    "get_document_attr": ({}, "a"),
}


@pytest.mark.parametrize("method", REQUIRED_METHODS)
def test_a_required_method_raises_naming_class_and_method_until_overridden(method: str) -> None:
    class Bare(BaseDivanBackend):
        default_host = ""
        default_port = 0

    backend = object.__new__(Bare)

    with pytest.raises(NotImplementedError, match=rf"^Bare does not implement {method}\(\)$"):
        getattr(backend, method)(*ARGUMENTS[method])


def test_a_backend_without_connect_can_not_be_made() -> None:
    class Bare(BaseDivanBackend):
        default_host = ""
        default_port = 0

    with pytest.raises(NotImplementedError, match=r"^Bare does not implement connect\(\)$"):
        divan.open(Bare)


@pytest.mark.parametrize("method", ["get_document_for_id", "delete", "get_revision_for_document"])
def test_an_optional_method_without_fallback_raises_until_overridden(method: str) -> None:
    with pytest.raises(UnsupportedOperation, match=rf"^FiveMethods does not implement {method}\(\)$"):
        getattr(FiveMethods("x"), method)("1")


# What the contract gives


def test_a_backend_is_indexed_by_id() -> None:
    backend = Reading("x")
    backend.create({"a": 1})

    assert backend["1"] == backend.get_document_for_id("1") == {"id": "1", "a": 1}
    with pytest.raises(DocumentNotFound):
        backend["2"]


def test_a_template_gets_a_field_or_an_attribute_error() -> None:
    backend = FiveMethods("x")
    document = backend.create({"a": 1})

    assert backend.get_value_for_field(document, "a") == 1
    with pytest.raises(AttributeError, match=r"^the document has no field 'b'$") as caught:
        backend.get_value_for_field(document, "b")
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("failure", [KeyError("a"), ValueError("a"), RuntimeError("a"), TypeError("a")])
def test_any_failure_to_get_a_field_is_an_attribute_error(failure: Exception) -> None:
    class Failing(FiveMethods):
        def get_document_attr(self, document: Any, field: str) -> Any:
            raise failure

    with pytest.raises(AttributeError, match=r"^the document has no field 'a'$"):
        Failing("x").get_value_for_field({}, "a")


def test_what_a_backend_can_do_is_read_from_what_it_overrides() -> None:
    assert [method for method in (*REQUIRED_METHODS, *OPTIONAL_METHODS) if FiveMethods.implements(method)] == list(
        REQUIRED_METHODS
    )
    assert Reading.implements("iter_documents")
    assert not Reading.implements("find")


@pytest.mark.parametrize(
    ("function", "accepted"),
    [
        (lambda self, data: None, False),
        (lambda self, data, document_id=None: None, True),
        (lambda self, data, *, document_id=None: None, True),
        (lambda self, data, **rest: None, True),
        (lambda self, data, *rest: None, False),
        (lambda self, data, document_id=None, /: None, False),
        (functools.wraps(Full.create)(lambda *args, **kwargs: None), True),
    ],
    ids=["none", "with default", "keyword only", "**", "*", "positional only", "wrapped"],
)
def test_which_arguments_a_backend_takes_is_read_from_its_signature(function: Any, accepted: bool) -> None:
    cls: Any = type("Some", (FiveMethods,), {"create": function})

    assert cls.accepts("create", "document_id") is accepted


# Further keyword arguments


class Recorder(Full):
    """Notes what it is called with, and takes all that a driver may take."""

    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def create(self, data: dict[str, Any], **arguments: Any) -> dict[str, Any]:  # type: ignore[override]
        self.calls.append(("create", arguments))
        return super().create(data, **arguments)

    def update(  # type: ignore[override]
        self, document_id: str, data: dict[str, Any], **arguments: Any
    ) -> dict[str, Any]:
        self.calls.append(("update", dict(arguments)))
        for name in ("rev", "document"):
            arguments.pop(name, None)
        return super().update(document_id, data, **arguments)

    def delete(self, document_id: str, rev: str | None = None, document: Any = None) -> None:
        self.calls.append(("delete", {"rev": rev, "document": document}))
        super().delete(document_id)

    def find(self, where: Query, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.calls.append(("find", arguments))
        return super().find(where)


@pytest.fixture
def recorder() -> Iterator[Store]:
    Recorder.calls.clear()
    with opened(Recorder) as store:
        yield store


def test_a_driver_that_takes_further_arguments_gets_them(recorder: Store) -> None:
    document = recorder.create({"a": 1}, id="x")
    recorder.update("x", {"b": 2, "c": divan.REMOVE, "d": Increment(2)}, rev="7")
    recorder.update(document, {"b": 3})
    list(recorder.find({"a": 1}, sort="-a", limit=5, skip=1, fields=["a"]))
    recorder.delete(document, rev="8")

    assert recorder.backend.calls == [  # type: ignore[attr-defined]
        ("create", {"document_id": "x"}),
        ("update", {"remove": ("c",), "increment": {"d": 2}, "rev": "7"}),
        ("update", {"document": {"id": "x", "a": 1}}),
        ("find", {"sort": (SortKey("a", True, ("a",)),), "limit": 5, "skip": 1, "fields": ("a",)}),
        ("delete", {"rev": "8", "document": {"id": "x", "a": 1}}),
    ]


def test_a_driver_that_takes_none_gets_none() -> None:
    calls = []

    class Plain(Full):
        def find(self, where: Query) -> Iterator[dict[str, Any]]:
            calls.append(dict(where))
            return super().find(where)

    with opened(Plain) as store:
        store.create({"a": 1})
        list(store.find({"a": 1}, sort="a", limit=1, skip=0, fields=["a"]))

    assert calls == [{"a": {"$eq": 1}}]


def test_limit_and_skip_reach_no_driver_that_leaves_the_sort_to_the_store() -> None:
    class Unsorted(Recorder):
        def find(  # type: ignore[override]
            self, where: Query, limit: int | None = None, skip: int = 0
        ) -> Iterator[dict[str, Any]]:
            self.calls.append(("find", {"limit": limit, "skip": skip}))
            found = list(super().find(where))
            return iter(found[skip:][:limit])

    with opened(Unsorted) as store:
        for n in (3, 1, 2):
            store.create({"n": n})
        Unsorted.calls.clear()

        assert [d["n"] for d in store.find(sort="n", limit=1, skip=1)] == [2]
        assert [d["n"] for d in store.find(limit=1, skip=1)] == [1]
    assert [arguments for name, arguments in Unsorted.calls if arguments] == [
        {"limit": None, "skip": 0},
        {"limit": 1, "skip": 1},
    ]


# The Store does what a driver does not, and answers as memory does


DOCUMENTS: list[dict[str, Any]] = [
    {"name": "Ada", "age": 36, "home": {"city": "London"}},
    {"name": "Bob", "age": 17},
    {"name": "Cyd", "age": None, "home": {"city": "Paris", "zip": 1}},
    {"name": "Dan", "tags": ["a"]},
    {"name": "Eve", "age": 17.0},
]


def filled(cls: type[BaseDivanBackend]) -> Store:
    store = opened(cls)
    for number, document in enumerate(DOCUMENTS):
        store.create(document, id=str(number))
    return store


class FindOnly(Full):
    """Overrides `find`, and leaves `iter_documents` to the contract."""

    iter_documents = BaseDivanBackend.iter_documents

    def find(self, where: Query) -> Iterator[dict[str, Any]]:
        return (dict(document) for document in list(self.db.values()) if where.matches(document))


SAME: dict[str, Callable[[Store], Any]] = {
    "find": lambda store: sorted(d.id for d in store.find({"age": {"$gte": 17}})),
    "find all": lambda store: sorted(d.id for d in store.find()),
    "sort": lambda store: [(d.id, d) for d in store.find(sort="age")],
    "sort descending": lambda store: [d.id for d in store.find(sort=["-age", "-name"])],
    "sort and slice": lambda store: [d.id for d in store.find(sort="-name", limit=2, skip=1)],
    "slice": lambda store: len(list(store.find(limit=2, skip=1))),
    "slice beyond": lambda store: list(store.find(limit=2, skip=9)),
    "limit 0": lambda store: list(store.find(limit=0)),
    "fields": lambda store: [(d.id, d) for d in store.find(sort="name", fields=["name", "home.city"])],
    "no fields": lambda store: [(d.id, d) for d in store.find(sort="name", fields=[])],
    "sort by what is left out": lambda store: list(store.find(sort="age", limit=3, fields=["name"])),
    "count": lambda store: store.count(),
    "count some": lambda store: store.count({"home.city": {"$exists": True}}),
    "iter": lambda store: sorted((d.id, d["name"]) for d in store),
    "ids": lambda store: sorted(store.ids()),
    "get_many": lambda store: store.get_many(["3", "9", "0", "3"], default="none"),
    "get": lambda store: store.get("9", "none"),
    "in": lambda store: ("1" in store, "9" in store),
    "put new": lambda store: (store.put("new", {"a": 1}), store["new"]),
    "put over": lambda store: (store.put("0", {"a": 1}), store["0"]),
    "replace": lambda store: (store.replace("0", {"a": 1}), store["0"]),
    "update": lambda store: (store.update("0", {"age": divan.REMOVE, "n": Increment(2), "b": None}), store["0"]),
    "update_many": lambda store: (store.update_many([("0", {"a": 1}), ("1", {"n": Increment(1)})]), store["1"]),
    "delete": lambda store: [store.delete("0"), "0" in store],  # type: ignore[func-returns-value]
    "delete_many": lambda store: (store.delete_many(["0", "1"]), sorted(store.ids())),
    "create_many": lambda store: [(d.id, d) for d in store.create_many([("x", {"a": 1}), ("y", {"a": 2})])],
    "allow_scans": lambda store: store.explain({"age": 1}).residual,
}  # fmt: skip


def bulk_failure(call: Callable[[], Any]) -> list[Any]:
    with pytest.raises(BulkError) as caught:
        call()
    return [type(item) if isinstance(item, Exception) else item for item in caught.value.results]


FAILING: dict[str, Callable[[Store], Any]] = {
    "create_many": lambda store: bulk_failure(lambda: store.create_many([("0", {}), ("x", {"a": 1}), ("x", {}), ("y", {"$": 1})])),
    "update_many": lambda store: bulk_failure(lambda: store.update_many([("0", {"name": 1}), ("9", {}), ("0", {"name": Increment(1)}), ("1", {"name": Increment(1)})])),
    "delete_many": lambda store: bulk_failure(lambda: store.delete_many(["0", "9", "0", "1"])),
}  # fmt: skip


@pytest.mark.parametrize("cls", [Full, FindOnly], ids=["iter_documents", "find"])
@pytest.mark.parametrize("call", SAME)
def test_the_fallbacks_answer_as_memory_does(cls: type[BaseDivanBackend], call: str) -> None:
    with filled(cls) as store, filled(MemoryBackend) as memory:
        assert SAME[call](store) == SAME[call](memory)


@pytest.mark.parametrize("call", FAILING)
def test_the_fallbacks_fail_item_by_item_as_memory_does(call: str) -> None:
    with filled(Full) as store, filled(MemoryBackend) as memory:
        assert FAILING[call](store) == FAILING[call](memory)
        assert sorted(store.find(), key=lambda d: d.id) == sorted(memory.find(), key=lambda d: d.id)


def test_a_fallback_streams() -> None:
    read = []

    class Counting(Full):
        def iter_documents(self) -> Iterator[dict[str, Any]]:
            for document in super().iter_documents():
                read.append(document["id"])
                yield document

    with filled(Counting) as store:
        next(store.find())

    assert read == ["0"]


def test_put_survives_that_somebody_else_creates_the_document_meanwhile() -> None:
    class Raced(Full):
        def create(self, data: dict[str, Any], document_id: str | None = None) -> dict[str, Any]:
            super().create({"by": "somebody else"}, document_id)
            return super().create(data, document_id)

    with opened(Raced) as store:
        assert store.put("a", {"by": "us"}) == {"by": "us"}
        assert store["a"] == {"by": "us"}


def test_a_query_that_would_scan_is_refused_where_scans_are() -> None:
    with divan.open(Full, allow_scans=False) as store:
        store.create({"a": 1}, id="x")

        with pytest.raises(InvalidQuery, match=r"would read every document, .* ensure_index\(\) on 'a' may serve it$"):
            store.find({"a": 1})
        with pytest.raises(InvalidQuery, match="would read every document"):
            store.count({"a": 1})
        assert store["x"] == {"a": 1}
        assert store.count() == 1


# Merging in Python


@pytest.mark.parametrize(
    ("value", "by", "total"),
    [(1, 2, 3), (1, 0.5, 1.5), (0.5, 1, 1.5), (2**63 - 2, 1, 2**63 - 1), (-(2**63) + 1, -1, -(2**63)), (1.5, -1.5, 0.0)],
)  # fmt: skip
def test_increments_keep_integers_and_floats_apart(value: Any, by: Any, total: Any) -> None:
    result = add("n", value, by)

    assert (result, type(result)) == (total, type(total))


@pytest.mark.parametrize(
    ("value", "by", "message"),
    [
        ("1", 1, "n: Increment adds to a number, and the field holds str"),
        (None, 1, "n: Increment adds to a number, and the field holds NoneType"),
        (True, 1, "n: Increment adds to a number, and the field holds bool"),
        ([1], 1, "n: Increment adds to a number, and the field holds list"),
        (2**63 - 1, 1, "n: the sum does not fit into 64 bits"),
        (-(2**63), -1, "n: the sum does not fit into 64 bits"),
        (1.7e308, 1.7e308, "n: the sum is not a finite number"),
    ],
)
def test_a_sum_that_can_not_be_stored_is_refused(value: Any, by: Any, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        add("n", value, by)

    assert str(caught.value) == message


def test_changes_are_divided_into_what_to_set_remove_and_add() -> None:
    assert split_changes({"a": None, "b": divan.REMOVE, "c": Increment(2), "d": 0}) == (
        {"a": None, "d": 0},
        ("b",),
        {"c": 2},
    )


def test_changes_are_merged_at_the_top_level_without_changing_the_original() -> None:
    document = {"a": {"x": 1}, "b": 2, "c": 3}

    merged = apply_changes(document, {"a": {"y": 2}}, remove=("b", "missing"), increment={"c": 1, "d": 1.5})

    assert merged == {"a": {"y": 2}, "c": 4, "d": 1.5}
    assert document == {"a": {"x": 1}, "b": 2, "c": 3}


def test_memory_hands_out_copies_all_the_way_down() -> None:
    with opened(MemoryBackend) as store:
        created = store.create({"tags": [{"a": 1}]}, id="x")
        for document in (
            created,
            store["x"],
            next(store.find()),
            next(store.find(fields=["tags"])),
            store.update("x", {}),
        ):
            document["tags"][0]["a"] = 2

            assert store["x"] == {"tags": [{"a": 1}]}


def test_a_query_for_everything_reaches_the_driver_as_a_query() -> None:
    seen: list[Any] = []

    class Curious(Full):
        def find(self, where: Query) -> Iterator[dict[str, Any]]:
            seen.append(where)
            return super().find(where)

    with opened(Curious) as store:
        assert (list(store.find()), list(store.find({})), store.count()) == ([], [], 0)
    assert seen == [parse(None)] * 3
    assert all(isinstance(where, Query) for where in seen)


def test_a_document_that_a_driver_made_itself_is_adopted() -> None:
    class Making(FiveMethods):
        def create(self, data: dict[str, Any]) -> Any:
            return Document(data, "made", "7")

    with opened(Making) as store:
        document = store.create({"a": 1})

    assert (document, document.id, document.rev) == ({"a": 1}, "made", "7")


class RemovesOnly(Full):
    """A driver whose update takes `remove`, and no `increment`."""

    def update(self, document_id: str, data: dict[str, Any], remove: Sequence[str] = ()) -> dict[str, Any]:
        document = super().update(document_id, data)
        for name in remove:
            self.db[document_id].pop(name, None)
            document.pop(name, None)
        return document


def test_a_bulk_update_asks_a_driver_only_for_what_its_changes_need() -> None:
    with opened(RemovesOnly) as store:
        store.create({"n": 1, "m": 2}, id="a")
        assert store.update_many({"a": {"n": divan.REMOVE}}) == [{"m": 2}]
        assert bulk_failure(lambda: store.update_many({"a": {"m": Increment(1)}})) != []
        assert store.get("a") == {"m": 2}


@pytest.mark.parametrize("cls", [Reading, Full, FindOnly], ids=["reading", "full", "find"])
def test_the_store_finishes_what_asks_for_the_id(cls: type[BaseDivanBackend]) -> None:
    with divan.open(cls, database="") as store:
        first, second = (store.create({"n": n}).id for n in (1, 2))
        assert [found.id for found in store.find({"_id": {"$gt": first}, "n": {"$lt": 3}})] == [second]
        assert [found.id for found in store.find(sort="-_id", limit=1)] == [second]
        assert list(store.find({"_id": {"$in": [second, "none"]}}, fields=["_id"])) == [{}]
        assert store.count({"$not": {"_id": first}}) == 1
        assert list(store.ids(prefix=second)) == [second]
        explanation = store.explain({"_id": {"$prefix": first}, "n": 1}, sort="_id")
        assert parse(explanation.residual) == parse({"n": 1, "_id": {"$prefix": first}})
        assert explanation.scan


def test_a_document_asked_for_by_its_id_is_fetched_by_it() -> None:
    class Listed(Full):
        def iter_documents(self) -> Iterator[dict[str, Any]]:
            raise AssertionError("nothing is listed")

    with divan.open(Listed, database="", allow_scans=False) as store:
        store.put("a", {"n": 1})
        assert list(store.find({"_id": "a", "n": 1})) == [{"n": 1}]
        assert list(store.find({"_id": "a", "n": 2})) == []
        assert store.count({"_id": {"$in": ["a", "b"]}}) == 1
