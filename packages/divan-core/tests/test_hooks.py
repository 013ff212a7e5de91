"""The lifecycle hooks: when each is called and with what, what a veto stops, and that an idle hook costs nothing."""

from __future__ import annotations

import copy
import datetime
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import divan
import pluggy
import pytest
from divan import BulkError, DivanError, Document, InvalidDocument, InvalidPlugin, Store, WriteVetoed, hookimpl
from divan.plugins import Plugins, load_plugins


class Recorder:
    """Notes every call of a hook."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    @hookimpl
    def divan_store_opened(self, store: Store) -> None:
        self.calls.append(("opened", store.name))

    @hookimpl
    def divan_store_closed(self, store: Store) -> None:
        self.calls.append(("closed", store.name))

    @hookimpl
    def divan_before_write(
        self, store: Store, operation: str, document_id: str | None, data: Mapping[str, Any] | None
    ) -> None:
        self.calls.append(("before", operation, document_id, data))

    @hookimpl
    def divan_after_write(self, store: Store, operation: str, document_id: str, document: Document | None) -> None:
        self.calls.append(("after", operation, document_id, copy.copy(document)))


class Before:
    """Does something before each write."""

    def __init__(self, action: Callable[[str, str | None, Any], None]) -> None:
        self._action = action

    @hookimpl
    def divan_before_write(self, operation: str, document_id: str | None, data: Any) -> None:
        self._action(operation, document_id, data)


class After:
    """Does something after each write."""

    def __init__(self, action: Callable[[Any], None]) -> None:
        self._action = action

    @hookimpl
    def divan_after_write(self, document: Any) -> None:
        self._action(document)


def veto(wanted: Callable[[str, str | None, Any], bool] = lambda *_: True) -> Before:
    def action(operation: str, document_id: str | None, data: Any) -> None:
        if wanted(operation, document_id, data):
            raise WriteVetoed(f"no {operation} of {document_id}")

    return Before(action)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def store(recorder: Recorder) -> Iterator[Store]:
    with divan.open("memory://", plugins=[recorder]) as store:
        for id in ("ada", "bob"):
            store.create({"n": 0}, id=id)
        recorder.calls.clear()
        yield store


# When, and with what


WRITES: dict[str, tuple[Callable[[Store], Any], list[tuple[Any, ...]]]] = {
    "create": (lambda store: store.create({"n": 1}, id="new"), [("before", "create", "new", {"n": 1}), ("after", "create", "new", {"n": 1})]),
    "update": (lambda store: store.update("ada", {"m": 1}), [("before", "update", "ada", {"m": 1}), ("after", "update", "ada", {"n": 0, "m": 1})]),
    "update removing": (lambda store: store.update("ada", {"n": divan.REMOVE}), [("before", "update", "ada", {"n": divan.REMOVE}), ("after", "update", "ada", {})]),
    "replace": (lambda store: store.replace("ada", {"m": 1}), [("before", "replace", "ada", {"m": 1}), ("after", "replace", "ada", {"m": 1})]),
    "put new": (lambda store: store.put("new", {"m": 1}), [("before", "put", "new", {"m": 1}), ("after", "put", "new", {"m": 1})]),
    "put over": (lambda store: store.put("ada", {"m": 1}), [("before", "put", "ada", {"m": 1}), ("after", "put", "ada", {"m": 1})]),
    "delete": (lambda store: store.delete("ada"), [("before", "delete", "ada", None), ("after", "delete", "ada", None)]),
    "create_many": (
        lambda store: store.create_many([("x", {"n": 1}), ("y", {"n": 2})]),
        [("before", "create", "x", {"n": 1}), ("before", "create", "y", {"n": 2}), ("after", "create", "x", {"n": 1}), ("after", "create", "y", {"n": 2})],
    ),
    "update_many": (
        lambda store: store.update_many([("ada", {"m": 1}), ("bob", {"n": divan.Increment(1)})]),
        [("before", "update", "ada", {"m": 1}), ("before", "update", "bob", {"n": divan.Increment(1)}), ("after", "update", "ada", {"n": 0, "m": 1}), ("after", "update", "bob", {"n": 1})],
    ),
    "put with rev": (lambda store: store.put("ada", {"m": 1}, rev=store["ada"].rev), [("before", "put", "ada", {"m": 1}), ("after", "put", "ada", {"m": 1})]),
    "put_many": (
        lambda store: store.put_many([("ada", {"n": 1}), ("x", {"n": 2})]),
        [("before", "put", "ada", {"n": 1}), ("before", "put", "x", {"n": 2}), ("after", "put", "ada", {"n": 1}), ("after", "put", "x", {"n": 2})],
    ),
    "update at a path": (lambda store: store.update("ada", {"a.b": 1}), [("before", "update", "ada", {"a.b": 1}), ("after", "update", "ada", {"n": 0, "a": {"b": 1}})]),
    "update_where": (
        lambda store: store.update_where({"_id": "ada"}, {"m": 1}),
        [("before", "update", "ada", {"m": 1}), ("after", "update", "ada", {"n": 0, "m": 1})],
    ),
    "delete_where": (
        lambda store: store.delete_where({"_id": "bob"}),
        [("before", "delete", "bob", None), ("after", "delete", "bob", None)],
    ),
    "delete_many": (
        lambda store: store.delete_many(["ada", "bob"]),
        [("before", "delete", "ada", None), ("before", "delete", "bob", None), ("after", "delete", "ada", None), ("after", "delete", "bob", None)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_a_write_calls_the_hooks_before_and_after_it(store: Store, recorder: Recorder, write: str) -> None:
    call, expected = WRITES[write]

    call(store)

    assert recorder.calls == expected


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{path}"])
def test_a_veto_of_one_match_keeps_the_others_from_nothing(url: str, tmp_path: Path, recorder: Recorder) -> None:
    url = url.format(path=(tmp_path / "test.db").as_posix())
    with divan.open(
        url, plugins=[recorder, veto(lambda operation, id, _: (operation, id) == ("update", "b"))]
    ) as store:
        store.create_many([(id, {"n": 0}) for id in "abc"])
        recorder.calls.clear()
        with pytest.raises(divan.BulkError) as caught:
            store.update_where({}, {"n": 1})
        assert [type(error) for error in caught.value.errors.values()] == [WriteVetoed]
        assert [document["n"] for document in store.get_many(list("abc")) if document] == [1, 0, 1]
        assert sorted(call[2] for call in recorder.calls if call[0] == "after") == ["a", "c"]
        assert store.delete_where({"n": 1}) == 2
        assert sorted(call[2] for call in recorder.calls if call[:2] == ("after", "delete")) == ["a", "c"]


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store["ada"],
        lambda store: store.get_many(["ada"]),
        lambda store: list(store.find({"n": 0})),
        lambda store: (store.first(), store.exists(), store.page(), store.get("ada", fields=["n"])),
        lambda store: (store.count(), list(store), list(store.ids()), "ada" in store),
        lambda store: (store.ping(), store.ensure_index("n"), store.explain({"n": 1})),
    ],
    ids=["get", "get_many", "find", "first", "others", "store"],
)
def test_a_read_calls_none(store: Store, recorder: Recorder, read: Callable[[Store], Any]) -> None:
    read(store)

    assert recorder.calls == []


def test_a_made_id_is_shown_before_the_write(store: Store, recorder: Recorder) -> None:
    document = store.create({})

    assert [call[2] for call in recorder.calls] == [document.id, document.id]


def test_opening_and_closing_call_their_hooks_once() -> None:
    recorder = Recorder()

    store = divan.open("memory://", plugins=[recorder])
    assert recorder.calls == [("opened", "memory")]
    store.close()
    store.close()

    assert recorder.calls == [("opened", "memory"), ("closed", "memory")]


def test_a_write_that_fails_calls_no_hook_after_it(store: Store, recorder: Recorder) -> None:
    for call in (
        lambda: store.create({}, id="ada"),
        lambda: store.update("nobody", {}),
        lambda: store.delete("ada", rev="old"),
    ):
        with pytest.raises(DivanError):
            call()

    assert [call[0] for call in recorder.calls] == ["before", "before", "before"]


def test_a_failed_item_of_a_bulk_call_calls_no_hook_after_it(store: Store, recorder: Recorder) -> None:
    with pytest.raises(BulkError):
        store.create_many([("ada", {}), ("new", {})])

    assert [call[:3] for call in recorder.calls if call[0] == "after"] == [("after", "create", "new")]


def test_bad_data_is_refused_before_any_hook_sees_it(store: Store, recorder: Recorder) -> None:
    with pytest.raises(InvalidDocument):
        store.create({"n": float("nan")})

    assert recorder.calls == []


def test_hooks_see_values_not_stored_forms() -> None:
    recorder = Recorder()
    day = datetime.date(2026, 12, 1)

    with divan.open("memory://", schema={"day": "DateField"}, plugins=[recorder]) as store:
        store.create({"day": day}, id="x")

    assert recorder.calls[1:3] == [("before", "create", "x", {"day": day}), ("after", "create", "x", {"day": day})]


# Vetoes


VETOED: dict[str, Callable[[Store], Any]] = {
    "create": lambda store: store.create({"n": 9}, id="new"),
    "update": lambda store: store.update("ada", {"n": 9}),
    "replace": lambda store: store.replace("ada", {"n": 9}),
    "put": lambda store: store.put("ada", {"n": 9}),
    "delete": lambda store: store.delete("ada"),
}


def contents(store: Store) -> dict[str, Any]:
    return {document.id: (dict(document), document.rev) for document in store}


@pytest.mark.parametrize("operation", VETOED)
def test_a_vetoed_write_writes_nothing(operation: str) -> None:
    recorder = Recorder()
    with (
        divan.open("memory://hooks-veto") as free,
        divan.open("memory://hooks-veto", plugins=[veto(), recorder]) as store,
    ):
        free.put("ada", {"n": 0})
        before = contents(free)

        with pytest.raises(WriteVetoed, match=f"^no {operation} of (ada|new)$"):
            VETOED[operation](store)

        assert contents(free) == before
        assert not [call for call in recorder.calls if call[0] == "after"]


BULK: dict[str, tuple[Callable[[Store], Any], dict[str, Any]]] = {
    "create": (lambda store: store.create_many([("a", {"n": 9}), ("bad", {"n": 9}), ("c", {"n": 9})]), {"ada": 0, "bad": None, "bob": 0, "a": 9, "c": 9}),
    "update": (lambda store: store.update_many([("ada", {"n": 9}), ("bad", {"n": 9}), ("bob", {"n": 9})]), {"ada": 9, "bad": 0, "bob": 9}),
    "delete": (lambda store: store.delete_many(["ada", "bad", "bob"]), {"ada": None, "bad": 0, "bob": None}),
}  # fmt: skip


@pytest.mark.parametrize("operation", BULK)
def test_a_veto_in_a_bulk_call_stops_that_item_alone(operation: str) -> None:
    call, expected = BULK[operation]
    with divan.open("memory://", plugins=[veto(lambda op, id, data: id == "bad" and op == operation)]) as store:
        for id in ("ada", "bob") if operation == "create" else ("ada", "bad", "bob"):
            store.put(id, {"n": 0})

        with pytest.raises(BulkError) as caught:
            call(store)

        assert list(caught.value.errors) == [1]
        assert isinstance(caught.value.errors[1], WriteVetoed)
        assert len(caught.value.results) == 3
        assert dict(zip(expected, store.get_many(list(expected)), strict=True)) == {
            id: None if n is None else {"n": n} for id, n in expected.items()
        }


def test_any_exception_before_a_write_vetoes_it() -> None:
    def action(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    with divan.open("memory://", plugins=[Before(action)]) as store:
        with pytest.raises(WriteVetoed, match=r"^create was refused by a plugin: division by zero$") as caught:
            store.create({})

        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert store.count() == 0


def test_an_error_of_divans_own_goes_through_as_it_is() -> None:
    def action(*_: Any) -> None:
        raise InvalidDocument("age: must not be negative")

    with (
        divan.open("memory://", plugins=[Before(action)]) as store,
        pytest.raises(InvalidDocument, match=r"^age: must not be negative$"),
    ):
        store.create({})


# What a hook can't do


def test_changing_what_a_hook_is_shown_changes_neither_the_document_nor_the_callers_data() -> None:
    def action(operation: str, document_id: str | None, data: Any) -> None:
        data["n"] = 9
        data["tags"].append(9)

    given = {"n": 1, "tags": [1]}
    with divan.open("memory://", plugins=[Before(action)]) as store:
        store.create(given, id="x")

        assert store["x"] == {"n": 1, "tags": [1]}
    assert given == {"n": 1, "tags": [1]}


def raising(*_: Any, **__: Any) -> None:
    raise RuntimeError("the audit log is full")


def test_a_hook_that_raises_after_a_write_is_logged_and_the_write_stands(caplog: pytest.LogCaptureFixture) -> None:
    with divan.open("memory://", plugins=[After(raising)]) as store, caplog.at_level(logging.ERROR, "divan"):
        document = store.create({"n": 1})
        (other,) = store.create_many([{"n": 2}])

        assert (store[document.id], store[other.id]) == ({"n": 1}, {"n": 2})
    assert len(caplog.records) == 2
    assert "divan_after_write" in caplog.text
    assert "the audit log is full" in caplog.text


def test_one_hook_that_raises_keeps_no_other_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    one, other = Recorder(), Recorder()
    with (
        caplog.at_level(logging.CRITICAL, "divan"),
        divan.open("memory://", plugins=[one, After(raising), other]) as store,
    ):
        store.create({}, id="x")

    for recorder in (one, other):
        assert ("after", "create", "x", {}) in recorder.calls


class Grumpy:
    """Raises when a Store is opened and when it is closed."""

    @hookimpl
    def divan_store_opened(self) -> None:
        raising()

    @hookimpl
    def divan_store_closed(self) -> None:
        raising()


def test_a_hook_that_raises_at_opening_or_closing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "divan"), divan.open("memory://", plugins=[Grumpy()]) as store:
        assert store.count() == 0

    assert ["divan_store_opened" in record.message for record in caplog.records] == [True, False]
    assert "divan_store_closed" in caplog.records[1].message


# Plugins given to open()


def test_plugins_given_to_open_are_for_that_store_alone() -> None:
    recorder = Recorder()
    divan.open("memory://", plugins=[recorder]).close()
    recorder.calls.clear()

    with divan.open("memory://") as store:
        store.create({})

    assert recorder.calls == []


def test_several_plugins_are_all_called() -> None:
    recorders = [Recorder(), Recorder(), Recorder()]

    with divan.open("memory://", plugins=iter(recorders)) as store:
        store.create({})

    assert all(len(recorder.calls) == 4 for recorder in recorders)


class Misspelt:
    @hookimpl
    def divan_after_write(self) -> None:
        """A good hook, registered before the bad one is found."""

    @hookimpl
    def divan_befor_write(self) -> None:
        """No such hook."""


class WrongArguments:
    @hookimpl
    def divan_after_write(self) -> None:
        """A good hook, registered before the bad one is found."""

    @hookimpl
    def divan_before_write(self, document: Any) -> None:
        """No such argument."""


@pytest.mark.parametrize(
    ("plugin", "error"),
    [(Misspelt(), "divan_befor_write"), (WrongArguments(), "document")],
    ids=["misspelt", "wrong arguments"],
)
def test_a_plugin_that_can_not_be_registered_leaves_nothing_behind(plugin: Any, error: str) -> None:
    plugins = Plugins()

    with pytest.raises(pluggy.PluginValidationError, match=error):
        plugins.register(plugin, "bad", "some-distribution")

    assert not plugins.implements("divan_after_write")
    assert plugins.manager.get_plugins() == set()
    plugins.register(Recorder(), "good", "some-distribution")
    assert plugins.implements("divan_after_write")


def test_a_name_taken_by_another_plugin_leaves_that_one_registered() -> None:
    plugins = Plugins()
    first = Recorder()
    plugins.register(first, "one", "some-distribution")

    with pytest.raises(ValueError, match="already registered"):
        plugins.register(Recorder(), "one", "some-distribution")

    assert plugins.manager.get_plugins() == {first}


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (
            Misspelt(),
            "the plugin Misspelt can't be used: unknown hook 'divan_befor_write'; divan_before_write is meant",
        ),
        (
            WrongArguments(),
            (
                "the plugin WrongArguments can't be used: divan_before_write has no argument 'document'; it has store, "
                "operation, document_id, data"
            ),
        ),
    ],
    ids=["misspelt", "wrong arguments"],
)
def test_a_plugin_given_to_open_that_is_wrong_fails_the_call(plugin: Any, message: str) -> None:
    with pytest.raises(InvalidPlugin) as caught:
        divan.open("memory://", plugins=[plugin])

    assert str(caught.value) == message
    assert isinstance(caught.value.__cause__, pluggy.PluginValidationError)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("divan_geo", "an object of the type str"),
        (b"divan_geo", "an object of the type bytes"),
        (None, "None"),
        ({"divan_geo": Recorder()}, "an object of the type dict"),
        (Recorder(), "an object of the type Recorder"),
        (Recorder, "the type Recorder"),
        (divan, "the module divan"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plugins_that_are_no_list_are_refused(given: Any, kind: str) -> None:
    with pytest.raises(InvalidPlugin) as caught:
        divan.open("memory://", plugins=given)

    assert str(caught.value) == f"plugins are given in a list, as in plugins=[module], and not as {kind}"


@pytest.mark.parametrize(
    ("item", "kind"),
    [(None, "None"), ("divan_geo", "an object of the type str"), ({}, "an object of the type dict"), (7, "an object of the type int"), (object(), "an object of the type object"), (divan, "the module divan")],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_item_that_is_no_plugin_is_refused(item: Any, kind: str) -> None:
    with pytest.raises(
        InvalidPlugin, match=rf"^plugins: item 2 is {kind}, and has no function marked @divan\.hookimpl"
    ):
        divan.open("memory://", plugins=[Recorder(), item])


def test_a_class_whose_hooks_want_an_instance_is_refused() -> None:
    with pytest.raises(InvalidPlugin, match=r"^plugins: Recorder is a class; give an instance, Recorder\(\)$"):
        divan.open("memory://", plugins=[Recorder])


def test_a_class_whose_hooks_want_no_instance_is_a_plugin() -> None:
    opened = []

    class Counter:
        @staticmethod
        @hookimpl
        def divan_store_opened(store: Store) -> None:
            opened.append(store.name)

    divan.open("memory://", plugins=[Counter]).close()

    assert opened == ["memory"]


def test_a_plugin_that_is_given_twice_is_called_once() -> None:
    recorder = Recorder()

    divan.open("memory://", plugins=[recorder, recorder]).close()

    assert recorder.calls == [("opened", "memory"), ("closed", "memory")]


def wrapped(hook: str, **options: bool) -> Any:
    """A plugin that wraps a hook and notes it."""

    def wrapper() -> Iterator[None]:
        noted.append(hook)
        return (yield)

    noted: list[str] = []
    return SimpleNamespace(**{hook: hookimpl(**options)(wrapper)}, noted=noted)


@pytest.mark.parametrize("hook", [hook for hook in vars(divan.hookspecs) if hook.startswith("divan_")])
@pytest.mark.parametrize("options", [{"wrapper": True}, {"hookwrapper": True}], ids=["wrapper", "hookwrapper"])
def test_a_wrapper_works_or_is_refused_in_words(hook: str, options: dict[str, bool]) -> None:
    plugin = wrapped(hook, **options)

    if hook == "divan_before_write":
        with divan.open("memory://", plugins=[plugin]) as store:
            store.create({})
        assert plugin.noted == [hook]
    else:
        with pytest.raises(
            InvalidPlugin, match=f"^the plugin SimpleNamespace can't be used: {hook} can't be wrapped, since"
        ):
            divan.open("memory://", plugins=[plugin])


# No cost


def test_a_write_calls_no_hook_that_nobody_has_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_PLUGINS", "")
    called: list[str] = []
    manager = load_plugins().manager
    with divan.open("memory://") as store:
        undo = manager.add_hookcall_monitoring(lambda name, *_: called.append(name), lambda *_: None)
        for call, _ in WRITES.values():
            for id in ("ada", "bob"):
                store.put(id, {"n": 0})
            call(store)
            store.delete_many(list(store.ids()))

        assert called == []
        manager.hook.divan_store_opened(store=store)
        undo()

    assert called == ["divan_store_opened"]  # so the calls were watched
