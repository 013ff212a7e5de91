"""Internal: the checks of a Store's life and errors: ping, close, options, and calls that the backend can't answer."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import divan
from divan import BulkError, DivanError, DocumentNotFound, InvalidURL, Store, StoreClosed, UnsupportedOperation
from divan.ids import new_id
from divan.options import Option
from divan.testing.base import StoreChecks
from divan.testing.reporting import behind, failing, lacking

CALLS: Final[dict[str, Callable[[Store], Any]]] = {
    "create": lambda store: store.create({"a": 1}),
    "get": lambda store: store.get("a", None),
    "get_fields": lambda store: store.get("a", None, fields=["a"]),
    "in": lambda store: "a" in store,
    "update": lambda store: store.update("a", {"a": 1}),
    "replace": lambda store: store.replace("a", {"a": 1}),
    "put": lambda store: store.put("a", {"a": 1}),
    "delete": lambda store: store.delete("a"),
    "find": lambda store: list(store.find({"a": 1})),
    "first": lambda store: store.first({"a": 1}),
    "page": lambda store: store.page({"a": 1}),
    "exists": lambda store: store.exists({"a": 1}),
    "count": lambda store: store.count(),
    "iter": lambda store: list(store),
    "ids": lambda store: list(store.ids()),
    "create_many": lambda store: store.create_many([{"a": 1}]),
    "put_many": lambda store: store.put_many({"a": {"a": 1}}),
    "get_many": lambda store: store.get_many(["a"]),
    "update_many": lambda store: store.update_many({"a": {"a": 1}}),
    "delete_many": lambda store: store.delete_many(["a"]),
    "update_where": lambda store: store.update_where({"a": 1}, {"b": 1}),
    "delete_where": lambda store: store.delete_where({"a": 1}),
    "ensure_index": lambda store: store.ensure_index("a"),
    "explain": lambda store: store.explain({"a": 1}),
    "ping": lambda store: store.ping(),
}

REFUSED: Final[tuple[Callable[[Store], Any], ...]] = (
    lambda store: store.create({"a": [{1, 2}]}),
    lambda store: store.create({"a": {"b": [float("nan")]}}),
    lambda store: store.create({"a": ["\ud800"]}),
    lambda store: store.create({"a": 1}, id="_a"),
    lambda store: store.find({"a": {"$in": [[float("nan")]]}}),
    lambda store: store.get(new_id()),
    lambda store: store.update(new_id(), {"a": 1}),
    lambda store: store.delete(new_id()),
    lambda store: [store.create({"a": 1}, id="taken") for _ in range(2)],
    lambda store: store.update(store.create({"a": "1"}).id, {"a": divan.Increment(1)}),
    lambda store: store.update(store.create({"a": 1}).id, {"a": 1}, rev="1-no-revision-of-it"),
    lambda store: store.replace(store.create({"a": 1}).id, {"a": 1}, rev="1-no-revision-of-it"),
    lambda store: store.delete(store.create({"a": 1}).id, rev="1-no-revision-of-it"),
)
"""Calls that end in an error, if the backend can answer them at all."""

# Store call → the backend's methods one of which it needs
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "get": ("get_document_for_id",),
    "get_fields": ("get_document_for_id",),
    "in": ("get_document_for_id",),
    "replace": ("replace",),
    "put": ("replace",),
    "put_many": ("put_many", "replace"),
    "delete": ("delete",),
    "find": ("find", "iter_documents"),
    "first": ("find", "iter_documents"),
    "page": ("find", "iter_documents"),
    "exists": ("find", "iter_documents"),
    "count": ("count", "find", "iter_documents"),
    "iter": ("iter_documents", "find"),
    "ids": ("iter_documents", "find"),
    "get_many": ("get_many", "get_document_for_id"),
    "delete_many": ("delete_many", "delete"),
    "ping": ("ping",),
}

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def _refuses(option: Option, value: object) -> bool:
    """Whether an option's reader refuses a value."""
    try:
        option.read(value)
    except (ValueError, TypeError):
        return True
    return False


class Life(StoreChecks):
    """From open to close."""

    def test_ping_answers(self, store: Store) -> None:
        store.ping()

    def test_ping_answers_again(self, store: Store) -> None:
        store.ping()
        store.create({"a": 1})
        store.ping()

    @each_call
    def test_a_closed_store_refuses(self, open_store: Callable[..., Store], call: Callable[[Store], Any]) -> None:
        closed = open_store()
        closed.close()
        with pytest.raises(StoreClosed):
            call(closed)

    @pytest.mark.parametrize(
        "start",
        [
            lambda store: store.find(),
            lambda store: store.find({"a": {"$gte": 0}}, sort="a"),
            lambda store: store.find({"a": {"$gte": 0}}, fields=["a"]),
            lambda store: store.ids(),
            iter,
        ],
        ids=["find", "find with a sort", "find of some fields", "ids", "iter"],
    )
    def test_an_iterator_of_a_store_that_was_closed_meanwhile_refuses(
        self, open_store: Callable[..., Store], start: Callable[[Store], Iterator[Any]]
    ) -> None:
        closed = open_store()
        closed.create_many([{"a": n} for n in range(5)])
        found = start(closed)
        next(found)
        closed.close()
        with pytest.raises(StoreClosed):
            next(found)

    def test_an_iterator_can_be_closed(self, store: Store) -> None:
        store.create_many([{"a": n} for n in range(5)])
        found: Any = store.find({"a": {"$gte": 0}})
        next(found)
        found.close()
        assert list(found) == []

    def test_a_store_can_be_closed_twice(self, open_store: Callable[..., Store]) -> None:
        closed = open_store()
        closed.close()
        closed.close()

    def test_closing_one_store_leaves_the_others_open(self, store: Store, open_store: Callable[..., Store]) -> None:
        open_store().close()
        assert store.create({"a": 1}) == {"a": 1}

    def test_with_closes_the_store(self, open_store: Callable[..., Store]) -> None:
        with open_store() as opened:
            opened.create({"a": 1})
        with pytest.raises(StoreClosed):
            opened.create({"a": 1})

    def test_with_closes_the_store_after_an_error(self, open_store: Callable[..., Store]) -> None:
        with pytest.raises(ZeroDivisionError), open_store() as opened:
            raise ZeroDivisionError
        with pytest.raises(StoreClosed):
            opened.create({"a": 1})

    def test_the_backend_is_at_hand(self, store: Store) -> None:
        assert store.backend.db is not None

    def test_a_document_that_the_backend_hands_out_can_be_asked_for_its_fields(self, store: Store) -> None:
        document = store.create({"a": 1, "b": None})
        raw = store.backend[document.id]
        values = [store.backend.get_value_for_field(raw, field) for field in ("a", "b")]
        assert (values, store.backend.get_id_for_document(raw)) == ([1, None], document.id)

    def test_a_field_that_is_not_there_is_an_attribute_error(self, store: Store) -> None:
        document = store.create({"a": 1})
        with pytest.raises(AttributeError):
            store.backend.get_value_for_field(store.backend[document.id], "nothing")


class Errors(StoreChecks):
    """Errors that say what was wrong."""

    def test_an_unknown_option_is_refused(self, store: Store, fresh_url: str) -> None:
        error = self.refused(fresh_url, no_such_option="x")
        assert "no_such_option" in str(error)

    def test_an_unknown_option_in_the_url_is_refused(self, store: Store, fresh_url: str) -> None:
        if type(self).open is not StoreChecks.open:
            pytest.skip("not applicable: this store is not opened by a URL")
        error = self.refused(f"{fresh_url}{'&' if '?' in fresh_url else '?'}no_such_option=x")
        assert "no_such_option" in str(error)

    def test_an_unknown_option_is_answered_with_the_known_ones(self, store: Store, fresh_url: str) -> None:
        known = self.backend_class.known_options
        if known is None:
            pytest.skip(f"not applicable: {self.backend_class.__name__} checks its options itself")
        error = self.refused(fresh_url, no_such_option="x")
        assert [name for name in known if name not in str(error)] == []

    def test_an_option_that_its_reader_refuses_is_refused_by_keyword(self, store: Store, fresh_url: str) -> None:
        known = self.backend_class.known_options
        if known is None:
            pytest.skip(f"not applicable: {self.backend_class.__name__} checks its options itself")
        nonsense = object()
        taken = []
        for name, declared in known.items():
            if isinstance(declared, Option) and _refuses(declared, nonsense):
                try:
                    self.open(fresh_url, **{name: nonsense}).close()
                except InvalidURL:
                    continue
                taken.append(name)
        assert taken == []

    def test_a_missing_document_is_named(self, store: Store) -> None:
        missing = new_id()
        with pytest.raises(DocumentNotFound) as caught:
            store.update(missing, {"a": 1})
        assert caught.value.document_id == missing
        assert missing in str(caught.value)

    def test_a_missing_document_in_bulk_is_named(self, store: Store) -> None:
        missing = new_id()
        error = failing(lambda: store.update_many({missing: {"a": 1}}))
        assert missing in str(error.errors[0])

    def test_no_exception_of_the_drivers_own_shows_behind_an_error(self, store: Store) -> None:
        homes = {"divan", type(store.backend).__module__.partition(".")[0]}
        for refused in REFUSED:
            try:
                refused(store)
            except UnsupportedOperation:
                continue
            except DivanError as error:
                inner = [one for one in behind(error) if type(one).__module__.partition(".")[0] in homes]
                assert [one for one in inner if not isinstance(one, DivanError)] == []

    def test_errors_can_be_pickled(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound) as caught:
            store.update(new_id(), {"a": 1})
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (DocumentNotFound, str(caught.value))

    @pytest.mark.parametrize("call", NEEDS)
    def test_a_call_works_or_names_the_method_that_the_backend_lacks(self, store: Store, call: str) -> None:
        implemented = [method for method in NEEDS[call] if self.backend_class.implements(method)]
        error: BaseException | None = None
        try:
            CALLS[call](store)
        except (DocumentNotFound, BulkError, UnsupportedOperation) as caught:
            error = caught
        named = None if error is None else lacking(error, self.backend_class)
        if implemented:
            # It may still lack an argument: put() needs create(document_id=…) or replace(upsert=…).
            assert named is None or "=…" in named, f"{implemented[0]}() is implemented, and yet: {named}"
        else:
            assert named is not None, (
                f"{self.backend_class.__name__} implements none of {NEEDS[call]}, and yet it answers"
            )

    def test_every_error_is_a_divan_error(self) -> None:
        errors = [value for value in vars(divan).values() if isinstance(value, type) and issubclass(value, Exception)]
        assert [error for error in errors if not issubclass(error, DivanError | Warning)] == []
