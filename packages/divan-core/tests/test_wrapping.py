"""What wraps a Store offers every call of it: a new method of `Store` can't be forgotten there."""

from __future__ import annotations

import inspect
from typing import Any

import divan
import pytest
from divan import Store
from divan.aio import AsyncStore
from divan.store.tracing import TracedStore


def methods(cls: type) -> dict[str, Any]:
    """The public methods that a class defines itself, and iteration."""
    return {
        name: member
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and (name[0] != "_" or name == "__iter__")
    }


CALLS = methods(Store)


@pytest.mark.parametrize("name", CALLS)
def test_every_method_of_a_store_is_traced(name: str) -> None:
    assert name in methods(TracedStore)
    assert parameters(methods(TracedStore)[name]) == parameters(CALLS[name])


@pytest.mark.parametrize("name", [name for name in CALLS if name != "__iter__"])
def test_every_method_of_a_store_is_a_coroutine_or_an_async_iterator_of_divan_aio(name: str) -> None:
    assert name in methods(AsyncStore)
    assert parameters(methods(AsyncStore)[name]) == parameters(CALLS[name])


@pytest.mark.parametrize("name", methods(AsyncStore))
def test_every_method_of_divan_aio_is_documented_where_it_stands(name: str) -> None:
    assert methods(AsyncStore)[name].__doc__


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of each parameter."""
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(method).parameters.values()
    ]


def test_plugins_and_the_caller_hold_one_and_the_same_store() -> None:
    class Watch:
        def __init__(self) -> None:
            self.stores: list[Any] = []

        @divan.hookimpl
        def divan_store_opened(self, store: Store) -> None:
            self.stores.append(store)

        @divan.hookimpl
        def divan_after_write(self, store: Store) -> None:
            self.stores.append(store)

        @divan.hookimpl
        def divan_call_started(self, call: Any) -> None:
            self.stores.append(call.store)

        @divan.hookimpl
        def divan_store_closed(self, store: Store) -> None:
            self.stores.append(store)

    watch = Watch()
    with divan.open("memory://", plugins=[watch]) as store:
        store.create({"name": "Ada"})

    assert len(watch.stores) == 4
    assert all(seen is store for seen in watch.stores)


def test_a_traced_store_answers_as_a_store_does() -> None:
    class Trace:
        def __init__(self) -> None:
            self.calls: list[str] = []

        @divan.hookimpl
        def divan_call_started(self, call: Any) -> None:
            self.calls.append(call.operation)

    trace = Trace()
    with divan.open("memory://", plugins=[trace]) as store:
        ada = store.create({"name": "Ada"})
        assert isinstance(store, Store)
        assert store[ada.id] == {"name": "Ada"}
        assert ada.id in store
        assert list(store) == [{"name": "Ada"}]
        assert repr(store) == "<Store memory:///>"
    with pytest.raises(divan.StoreClosed):
        store.count()

    assert trace.calls == ["create", "get", "get", "iter", "count"]
