"""Internal: `state_machine`: random sequences of calls against a backend and the in-memory model, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import divan
from divan import BulkError, DivanError, Document, InvalidDocument, Store
from divan.backends.support import attempt
from divan.ids import new_id
from divan.testing import strategies
from divan.testing.base import can_empty, can_iterate, empty
from divan.testing.comparing import as_json
from divan.testing.reporting import lacking
from divan.updates import split_changes, split_nested

PICKS = st.integers(0, 9)
"""Which of a sequence's few ids a call is about; see `_Calls.pick`."""


def state_machine(
    open_store: Callable[[], AbstractContextManager[Store]], limits: Collection[str] = ()
) -> type[RuleBasedStateMachine]:
    """A state machine that compares a backend with the model; its ``TestCase`` is collected by pytest and unittest.

    After each call the answers and the classes of errors must be equal; revisions are compared in what they do: they
    change at each write, never come back, and refuse a write where the model's refuses it.

    Args:
        open_store: Opens the Store to test; called once a sequence, and left by ``with``. Its documents are deleted.
        limits: The server's limits, by the names in `divan.testing.limits`.
    """
    picks = st.lists(PICKS, max_size=4)
    documents, changes = strategies.documents(limits), strategies.changes(limits)
    filters, sorts = strategies.filters(limits), strategies.sorts()
    wheres: st.SearchStrategy[dict[str, Any]] = st.just({}) | filters

    class Calls(_Calls):
        def __init__(self) -> None:
            super().__init__()
            self._open(open_store(), limits)

        @initialize(items=st.lists(st.tuples(PICKS, documents), min_size=2, max_size=4))
        def fill(self, items: list[tuple[int, dict[str, Any]]]) -> None:
            for pick, data in items:
                self.compare_creation(pick, data)
            for id in [id for id in self.ids if id in self.model]:  # so that each has had another revision
                self.compare_write(id, lambda store, id, rev: store.update(id, {}))

        @rule(pick=PICKS, data=documents)
        def create(self, pick: int, data: dict[str, Any]) -> None:
            self.compare_creation(pick, data)

        @rule(pick=PICKS, picks=picks)
        def get(self, pick: int, picks: list[int]) -> None:
            id, ids = self.pick(pick), [self.pick(pick) for pick in picks]
            self.compare(lambda store: store.get(id))
            self.compare(lambda store: id in store)
            self.compare(lambda store: store.get_many(ids))
            self.compare(lambda store: store.get_many(ids, fields=["a.x", "b"]))

        @rule(pick=PICKS, changes=changes, guarded=st.booleans())
        def update(self, pick: int, changes: dict[str, Any], guarded: bool) -> None:
            self.compare_write(self.pick(pick), lambda store, id, rev: store.update(id, changes, rev=rev), guarded)

        @rule(pick=PICKS, data=documents, guarded=st.booleans())
        def replace(self, pick: int, data: dict[str, Any], guarded: bool) -> None:
            self.compare_write(self.pick(pick), lambda store, id, rev: store.replace(id, data, rev=rev), guarded)

        @rule(pick=PICKS, data=documents, guarded=st.booleans())
        def put(self, pick: int, data: dict[str, Any], guarded: bool) -> None:
            self.compare_write(self.pick(pick), lambda store, id, rev: store.put(id, data, rev=rev), guarded)

        @rule(pick=PICKS, guarded=st.booleans())
        def delete(self, pick: int, guarded: bool) -> None:
            self.compare_write(self.pick(pick), lambda store, id, rev: store.delete(id, rev=rev), guarded)

        @rule(where=wheres, sort=sorts, limit=st.none() | st.integers(0, 3), skip=st.integers(0, 2))
        def find(self, where: dict[str, Any], sort: list[str], limit: int | None, skip: int) -> None:
            if sort:
                self.compare(lambda store: list(store.find(where, sort=sort, limit=limit, skip=skip)))
                self.compare(lambda store: store.first(where, sort=sort))
            else:
                self.compare(lambda store: len(list(store.find(where, limit=limit, skip=skip))))
            self.compare(lambda store: store.count(where))
            self.compare(lambda store: store.exists(where))

        @rule(where=filters, fields=st.none() | st.lists(st.sampled_from(strategies.PATHS), max_size=2))
        def find_in_any_order(self, where: dict[str, Any], fields: list[str] | None) -> None:
            self.compare(lambda store: sorted(store.find(where, fields=fields), key=lambda found: found.id))
            self.compare(lambda store: sorted(store, key=lambda found: found.id))

        @rule(items=st.lists(st.tuples(PICKS, documents), max_size=4))
        def create_many(self, items: list[tuple[int, dict[str, Any]]]) -> None:
            if self.takes_ids:
                ids = [self.pick(pick, new=True) for pick, _ in items]
                pairs = [(id, data) for id, (_, data) in zip(ids, items, strict=True)]
                self.compare_bulk(ids, lambda store: store.create_many(pairs))

        @rule(items=st.lists(st.tuples(PICKS, documents), max_size=4))
        def put_many(self, items: list[tuple[int, dict[str, Any]]]) -> None:
            if self.takes_ids and self.overwrites:
                pairs = [(self.pick(pick), data) for pick, data in items]
                self.compare_bulk([id for id, _ in pairs], lambda store: store.put_many(pairs))

        @rule(items=st.lists(st.tuples(PICKS, changes), max_size=4))
        def update_many(self, items: list[tuple[int, dict[str, Any]]]) -> None:
            pairs = [(self.pick(pick), wanted) for pick, wanted in items if self.can(wanted)]
            self.compare_bulk([id for id, _ in pairs], lambda store: store.update_many(pairs))

        @rule(picks=picks)
        def delete_many(self, picks: list[int]) -> None:
            ids = [self.pick(pick) for pick in picks]
            self.compare_bulk(ids, lambda store: store.delete_many(ids))

        @rule(where=wheres, changes=changes)
        def update_where(self, where: dict[str, Any], changes: dict[str, Any]) -> None:
            if self.can(changes):
                self.compare(lambda store: _outcome(lambda: store.update_where(where, changes)))
                self.compare(lambda store: sorted(store, key=lambda found: found.id))

        @rule(where=filters)
        def delete_where(self, where: dict[str, Any]) -> None:
            self.compare(lambda store: _outcome(lambda: store.delete_where(where)))
            self.compare(lambda store: sorted(store.ids()))

        @precondition(lambda self: self.indexes < 2)
        @rule(field=st.sampled_from(["a", "a.x"]))
        def ensure_index(self, field: str) -> None:
            self.indexes += 1
            self.store.ensure_index(field)

    return Calls


def _outcome(write: Callable[[], int]) -> Any:
    """How many documents were written to; if some could not be, how many met which error."""
    try:
        return write()
    except BulkError as error:
        return Counter(type(result).__name__ for result in error.results)


class _Calls(RuleBasedStateMachine):
    """What the rules of the state machine stand on.

    Attributes:
        store: The Store to test.
        model: A memory Store that is given the same calls.
        ids: The few ids that calls are about: those that the Store made, and such as it may be given.
        revisions: For each id, the pairs of revisions (Store, model) that writes have made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ids = ["a", "c/1", "😀", "\uffff"]
        self.revisions: dict[str, list[tuple[str | None, str | None]]] = {}
        self.indexes = 0
        self._opened: AbstractContextManager[Store] | None = None

    def _open(self, opened: AbstractContextManager[Store], limits: Collection[str]) -> None:
        self.store = opened.__enter__()
        self._opened = opened
        self.model = divan.open("memory://")
        self.limits = limits
        self.backend = type(self.store.backend)
        self.takes_ids = self.backend.accepts("create", "document_id")
        self.overwrites = self.backend.implements("put_many") or self.backend.implements("replace")
        if not (self.takes_ids and can_empty(self.store)):
            self.ids = [new_id() for _ in self.ids]
        empty(self.store)
        if can_iterate(self.store):
            for left in self.store:  # by a backend that can't delete
                self.model.create(left, id=left.id)

    def teardown(self) -> None:
        if self._opened is None:
            return
        try:
            if can_iterate(self.store):
                self.compare(lambda store: sorted(store.find(), key=lambda found: found.id))
            empty(self.store)
            self.model.close()
        finally:
            self._opened.__exit__(None, None, None)

    def pick(self, number: int, *, new: bool = False) -> str:
        """One of the ids: four times in five that of a document that exists, or with `new`, of none."""
        there = [id for id in self.ids if id in self.model]
        free = [id for id in self.ids if id not in self.model]
        likely, unlikely = (free, there) if new else (there, free)
        chosen = likely if (number < 8 and likely) or not unlikely else unlikely
        return chosen[number % len(chosen)]

    def can(self, changes: Mapping[str, Any]) -> bool:
        """Whether the backend takes such changes; in a bulk call, those that it does not would hide the others."""
        _, remove, increment = split_changes(changes)
        takes = self.backend.accepts
        try:
            _, nested = split_nested(changes)
        except InvalidDocument:
            nested = {}
        if nested and not (takes("update", "rev") and self.backend.implements("get_document_for_id")):
            return False
        return not (remove and not takes("update", "remove")) and not (increment and not takes("update", "increment"))

    def compare(
        self, call: Callable[[Store], Any], model_call: Callable[[Store], Any] | None = None
    ) -> tuple[Any, Any]:
        """Make a call on both; what each answered. A call that the backend lacks a method for is not made."""
        answer = attempt(call, self.store)
        if isinstance(answer, DivanError) and lacking(answer, self.backend):
            return None, None
        expected = attempt(model_call or call, self.model)
        assert self._shown(answer) == self._shown(expected), f"the store: {answer!r}; the model: {expected!r}"
        return answer, expected

    def compare_creation(self, pick: int, data: dict[str, Any]) -> None:
        """Create a document on both, under an id that is likely to be free, or the one that the Store makes."""
        if self.takes_ids:
            id = self.pick(pick, new=True)
            self._wrote(id, *self.compare(lambda store: store.create(data, id=id)))
            return
        answer = attempt(self.store.create, data)
        id = answer.id if isinstance(answer, Document) else new_id()
        self.ids.append(id)
        expected = attempt(self.model.create, data, id=id)
        assert self._shown(answer) == self._shown(expected), f"the store: {answer!r}; the model: {expected!r}"
        self._wrote(id, answer, expected)

    def compare_write(self, id: str, write: Callable[..., Any], guarded: bool = False) -> None:
        """Write to one document on both.

        Args:
            id: The document's id.
            write: The write; called with a Store, and with ``id`` and ``rev``, which may be `None`.
            guarded: Whether to give a revision: the one that the last write made, after two that others made before.
        """
        pairs = self.revisions.get(id, [])
        given = dict.fromkeys([pairs[0], pairs[-2], pairs[-1]] if guarded and len(pairs) > 1 else [(None, None)])
        for mine, models in given:
            call, model_call = partial(write, id=id, rev=mine), partial(write, id=id, rev=mine and models)
            self._wrote(id, *self.compare(call, model_call))

    def compare_bulk(self, ids: Sequence[str], call: Callable[[Store], list[Any]]) -> None:
        """Make a bulk write on both, whose items are about these ids."""
        answer, expected = self.compare(call)
        if isinstance(answer, BulkError):
            answer, expected = answer.results, expected.results
        for id, one, other in zip(ids, answer or (), expected or (), strict=False):
            self._wrote(id, one, other)

    def _wrote(self, id: str, answer: Any, expected: Any) -> None:
        """Take down the revisions that a write made, which must be new."""
        if not isinstance(answer, Document):
            return
        pairs = self.revisions.setdefault(id, [])
        if answer.rev is not None:
            assert answer.rev not in [rev for rev, _ in pairs], f"the revision {answer.rev!r} has been before"
        pairs.append((answer.rev, expected.rev))

    def _shown(self, answer: Any) -> Any:
        """An answer in a form in which what must be equal is equal."""
        if isinstance(answer, BulkError):
            return (BulkError, self._shown(answer.results))
        if isinstance(answer, DivanError):
            return type(answer)
        if isinstance(answer, Document):
            return (answer.id, as_json(answer, self.limits))
        if isinstance(answer, Mapping):
            return as_json(answer, self.limits)
        if isinstance(answer, list):
            return [self._shown(item) for item in answer]
        return answer
