"""Internal: the checks of changes at paths and to lists: what they mean, what is refused, and none that is lost."""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from divan import REMOVE, Append, Discard, DocumentNotFound, Increment, InvalidDocument, RevisionConflict, Store
from divan.ids import new_id
from divan.testing import strategies
from divan.testing.checks.concurrency import LostUpdates
from divan.testing.comparing import as_json
from divan.testing.reporting import failing
from divan.updates import Step, apply_changes, split_changes, split_nested

_DATA: Final[dict[str, Any]] = {
    "name": "Ada", "null": None, "n": 1, "tags": ["a", "b", "a", 1, 1.0, True, [1], {"x": 1}],
    "address": {"city": "London", "geo": {"lat": 51.5, "seen": 2}, "old": 1}, "empty": {},
}  # fmt: skip

CHANGES: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "a nested field": ({"address.city": "Paris"}, {"address": {**_DATA["address"], "city": "Paris"}}),
    "a field two levels down": (
        {"address.geo.lat": 48.9},
        {"address": {**_DATA["address"], "geo": {"lat": 48.9, "seen": 2}}},
    ),
    "a nested field that is not there": ({"address.zip": None}, {"address": {**_DATA["address"], "zip": None}}),
    "objects that are not there": ({"a.b.c": [1]}, {"a": {"b": {"c": [1]}}}),
    "within an empty object": ({"empty.a.b": {}}, {"empty": {"a": {"b": {}}}}),
    "siblings": (
        {"address.city": "Paris", "address.geo.lat": 0, "address.old": REMOVE, "address.geo.seen": Increment(3)},
        {"address": {"city": "Paris", "geo": {"lat": 0, "seen": 5}}},
    ),
    "beside top-level fields": (
        {"address.city": "Paris", "name": "Bob", "null": REMOVE, "n": Increment(1), "x": 2},
        {"address": {**_DATA["address"], "city": "Paris"}, "name": "Bob", "null": ..., "n": 2, "x": 2},
    ),
    "a removal": ({"address.geo": REMOVE}, {"address": {"city": "London", "old": 1}}),
    "a removal of what is not there": ({"address.none": REMOVE, "none.none": REMOVE}, {}),
    "an increment of what is not there": ({"stats.visits": Increment(2)}, {"stats": {"visits": 2}}),
    "an object in place of another": ({"address.geo": {}}, {"address": {**_DATA["address"], "geo": {}}}),
    "an append": ({"tags": Append("c", None)}, {"tags": [*_DATA["tags"], "c", None]}),
    "an append of lists and objects": ({"tags": Append([], {"y": []})}, {"tags": [*_DATA["tags"], [], {"y": []}]}),
    "an append of nothing": ({"tags": Append(), "more": Append()}, {"more": []}),
    "an append to what is not there": ({"more": Append(1), "a.b": Append(2)}, {"more": [1], "a": {"b": [2]}}),
    "a discard": ({"tags": Discard("a")}, {"tags": ["b", 1, 1.0, True, [1], {"x": 1}]}),
    "a discard of a number": ({"tags": Discard(1)}, {"tags": ["a", "b", "a", True, [1], {"x": 1}]}),
    "a discard of lists and objects": ({"tags": Discard([1.0], {"x": 1})}, {"tags": _DATA["tags"][:6]}),
    "a discard of what is not there": ({"tags": Discard("z"), "none": Discard(1), "no.ne": Discard(1)}, {}),
}
"""Changes, and what becomes of the fields that they touch; ``...`` for one that is gone."""

REFUSED: Final[dict[str, dict[str, Any]]] = {
    "through a string": {"name.first": "Ada"},
    "through null": {"null.a": 1},
    "through a number": {"n.a.b": 1},
    "through a list": {"tags.0": 1},
    "a removal through a string": {"name.first": REMOVE},
    "an increment of a string": {"address.city": Increment(1)},
    "an increment of an object": {"address.geo": Increment(1)},
    "an increment beyond 64 bits": {"address.old": Increment(2**63 - 1)},
    "an append to a string": {"name": Append(1)},
    "an append to null": {"null": Append(1)},
    "an append to an object": {"address.geo": Append(1)},
    "a discard from a string": {"address.city": Discard("L")},
    "a path and one that leads through it": {"address": {}, "address.city": "Paris"},
    "a removal and a path through it": {"address.geo": REMOVE, "address.geo.lat": 1},
    "an empty name": {"address..city": 1},
    "a name that stores keep": {"_id.a": 1},
    "a name that begins with a dollar": {"address.$city": 1},
    "NaN": {"address.city": float("nan")},
    "an append of NaN": {"tags": Append(1, float("nan"))},
    "an append of a set": {"tags": Append({1})},
}


class NestedUpdates(LostUpdates):
    """Changes at paths, and to lists."""

    @pytest.mark.parametrize(("changes", "expected"), CHANGES.values(), ids=CHANGES)
    def test_update_changes(self, store: Store, changes: dict[str, Any], expected: dict[str, Any]) -> None:
        whole = {name: value for name, value in {**_DATA, **expected}.items() if value is not ...}
        document = store.create(_DATA)
        updated = store.update(document.id, changes)
        assert (updated, store.get(document.id)) == (whole, whole)
        assert updated.rev == store.get(document.id).rev

    @pytest.mark.parametrize(("changes", "expected"), CHANGES.values(), ids=CHANGES)
    def test_update_many_changes(self, store: Store, changes: dict[str, Any], expected: dict[str, Any]) -> None:
        whole = {name: value for name, value in {**_DATA, **expected}.items() if value is not ...}
        first, second = store.create_many([_DATA, {"n": 1}])
        updated = store.update_many([(first.id, changes), (second.id, {"n": 2}), (second.id, {"o.p": 3})])
        assert updated == [whole, {"n": 2}, {"n": 2, "o": {"p": 3}}]
        assert store.get_many([first.id, second.id]) == [whole, {"n": 2, "o": {"p": 3}}]

    @pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
    def test_what_can_not_be_changed_is_refused(self, store: Store, changes: dict[str, Any]) -> None:
        document, other = store.create_many([_DATA, {}])
        with pytest.raises(InvalidDocument):
            store.update(document.id, {**changes, "x": 1})
        error = failing(lambda: store.update_many([(document.id, {**changes, "x": 1}), (other.id, {"a.b": 1})]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {0: InvalidDocument}
        assert store.get_many([document.id, other.id]) == [_DATA, {"a": {"b": 1}}]

    def test_the_error_names_what_is_on_the_way(self, store: Store) -> None:
        document = store.create({"a": {"b": 7}})
        with pytest.raises(InvalidDocument, match=r"a\.b\.c\.d: a\.b holds"):
            store.update(document.id, {"a.b.c.d": 1})

    def test_the_callers_changes_stay_as_they_are(self, store: Store) -> None:
        items = [[1]]
        document = store.create({"a": {"b": items}})
        updated = store.update(document.id, {"a.b": Append(items), "c.d": items})
        updated["c"]["d"].append(2)
        assert (items, store.get(document.id)) == ([[1]], {"a": {"b": [[1], [[1]]]}, "c": {"d": [[1]]}})

    def test_a_missing_document_is_missing(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.update(new_id(), {"a.b": 1})

    def test_a_revision_guards_a_path(self, store: Store) -> None:
        document = store.create({"a": {"b": 1}})
        before = self.revision(document)
        after = store.update(document.id, {"a.c": 2}, rev=before)
        with pytest.raises(RevisionConflict):
            store.update(document.id, {"a.c": 3}, rev=before)
        assert store.get(document.id) == {"a": {"b": 1, "c": 2}}
        assert store.get(document.id).rev == after.rev

    def test_update_where_takes_paths(self, store: Store) -> None:
        store.create_many({"a": {"n": number}, "tags": []} for number in range(4))
        assert store.update_where({"a.n": {"$gte": 2}}, {"a.n": Increment(10), "tags": Append("x")}) == 2
        assert sorted((document["a"]["n"], document["tags"]) for document in store) == [
            (0, []), (1, []), (12, ["x"]), (13, ["x"]),
        ]  # fmt: skip

    def test_field_types_are_applied_at_a_path(self, store: Store, open_store: Any) -> None:
        from datetime import date

        typed = open_store(schema={"room.since": "DateField", "days": "DateField"})
        document = store.create({"room": {"n": 1}, "days": ["2026-12-01"]})
        day = date(2026, 12, 24)
        updated = typed.update(document.id, {"room.since": day, "days": Append(day)})
        assert updated == {"room": {"n": 1, "since": day}, "days": [date(2026, 12, 1), day]}
        assert store.get(document.id)["room"] == {"n": 1, "since": "2026-12-24"}
        assert typed.update(document.id, {"days": Discard(date(2026, 12, 1))})["days"] == [day]

    def test_sequences_of_changes_answer_as_the_reference(self, request: pytest.FixtureRequest, store: Store) -> None:
        wanted = request.config.getoption("--divan-sequences", default=None)

        @settings(
            phases={Phase.generate},  # a sequence is short as it is
            max_examples=wanted or self.sequences,
            derandomize=wanted is None,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategies.fields(self.limits), st.lists(strategies.changes(self.limits), min_size=1, max_size=5))
        def check(fields: dict[str, Any], sequence: list[dict[str, Any]]) -> None:
            document = store.create(fields)
            for changes in sequence:
                try:
                    fields = _changed(fields, changes)
                except InvalidDocument as error:
                    with pytest.raises(InvalidDocument, match=re.escape(str(error))):
                        store.update(document.id, changes)
                else:
                    updated = store.update(document.id, changes)
                    assert as_json(updated, self.limits) == as_json(fields, self.limits)
            assert as_json(store.get(document.id), self.limits) == as_json(fields, self.limits)

        check()

    def test_writers_of_sibling_paths_lose_nothing(self, store: Store) -> None:
        document = store.create({"stats": {}})

        def work(number: int) -> None:
            for round in range(self.rounds):
                store.update(document.id, {f"stats.by.f{number}": round, "stats.all": Increment(1)})

        self.done(work)
        expected = {f"f{number}": self.rounds - 1 for number in range(self.threads)}
        assert store.get(document.id) == {"stats": {"by": expected, "all": self.threads * self.rounds}}

    def test_appends_of_many_lose_nothing(self, store: Store) -> None:
        document = store.create({})
        self.done(lambda number: [store.update(document.id, {"log": Append([number, n])}) for n in range(self.rounds)])
        log = store.get(document.id)["log"]
        assert len(log) == self.threads * self.rounds
        for number in range(self.threads):
            assert [n for one, n in log if one == number] == list(range(self.rounds))


def _changed(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The fields after an update, by the reference for what that means.

    Raises:
        InvalidDocument: if a change can't be made.
    """
    plain, nested = split_nested(changes)
    data, remove, increment = split_changes(plain)
    return apply_changes(fields, data, remove, increment, itertools.starmap(_step, nested.items()))


def _step(path: tuple[str, ...], value: Any) -> Step:
    if value is REMOVE:
        return Step(path, "remove")
    if isinstance(value, Increment):
        return Step(path, "increment", value.by)
    if isinstance(value, Append):
        return Step(path, "append", list(value.items))
    if isinstance(value, Discard):
        return Step(path, "discard", list(value.items))
    return Step(path, "set", value)
