"""Internal: the checks of `update`: merging, `REMOVE`, `Increment`, and nothing done where something is refused."""

from __future__ import annotations

from typing import Any, Final

import pytest

from divan import REMOVE, DocumentNotFound, Increment, InvalidDocument, Store
from divan.ids import new_id
from divan.testing.base import StoreChecks
from divan.testing.checks.crud import each_falsy
from divan.testing.comparing import as_json
from divan.testing.limits import BIG_INTS, WHOLE_FLOATS

INT_MAX: Final = 2**63 - 1
INT_MIN: Final = -(2**63)

NO_NUMBERS: Final = {
    "null": None,
    "true": True,
    "false": False,
    "a string": "1",
    "an empty string": "",
    "a list": [1],
    "an object": {"n": 1},
}

SUMS: Final = {
    "int and int": (40, 2, 42, None),
    "int and negative int": (1, -3, -2, None),
    "int and zero": (7, 0, 7, None),
    "int and float": (1, 0.5, 1.5, None),
    "int and whole float": (1, 1.0, 2.0, WHOLE_FLOATS),
    "float and int": (0.25, 2, 2.25, None),
    "float and float": (0.1, 0.2, 0.1 + 0.2, None),
    "whole float and zero": (1.0, 0, 1.0, WHOLE_FLOATS),
    "small ints to zero": (-5, 5, 0, None),
    "int past 2**53": (2**53, 1, 2**53 + 1, BIG_INTS),
    "int to the largest": (INT_MAX - 1, 1, INT_MAX, BIG_INTS),
    "int to the smallest": (INT_MIN + 1, -1, INT_MIN, BIG_INTS),
    "tiny floats": (5e-324, 5e-324, 1e-323, None),
}

OVERFLOWS: Final = {
    "beyond the largest int": (INT_MAX, 1, BIG_INTS),
    "beyond the smallest int": (INT_MIN, -1, BIG_INTS),
    "beyond the largest float": (1.7976931348623157e308, 1.7976931348623157e308, None),
}

each_no_number = pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)


class Update(StoreChecks):
    """Merging fields into a document."""

    def test_update_sets_a_field(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store.update(document.id, {"a": 2}) == {"a": 2}

    def test_update_keeps_the_other_fields(self, store: Store) -> None:
        document = store.create({"a": 1, "b": {"c": [1]}})
        assert store.update(document.id, {"d": 2}) == {"a": 1, "b": {"c": [1]}, "d": 2}

    def test_update_is_stored(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        store.update(document.id, {"b": 3, "c": 4})
        assert store.get(document.id) == {"a": 1, "b": 3, "c": 4}

    def test_update_returns_the_whole_document(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        updated = store.update(document.id, {"b": 3})
        assert (dict(updated), updated.id) == ({"a": 1, "b": 3}, document.id)

    def test_update_takes_a_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store.update(document, {"b": 2}) == {"a": 1, "b": 2}

    def test_update_by_a_stale_document_keeps_what_has_changed_since(self, store: Store) -> None:
        stale = store.create({"a": 1, "b": 1})
        store.update(stale.id, {"a": 2, "c": 3})
        assert store.update(stale, {"b": 2}) == {"a": 2, "b": 2, "c": 3}

    def test_update_leaves_the_other_documents(self, store: Store) -> None:
        first, second = store.create({"a": 1}), store.create({"a": 1})
        store.update(first.id, {"a": 2})
        assert store.get(second.id) == {"a": 1}

    def test_update_replaces_an_object_whole(self, store: Store) -> None:
        document = store.create({"o": {"x": 1, "y": 2}})
        assert store.update(document.id, {"o": {"y": 3}}) == {"o": {"y": 3}}

    def test_update_replaces_a_list_whole(self, store: Store) -> None:
        document = store.create({"l": [1, 2, 3]})
        assert store.update(document.id, {"l": [4]}) == {"l": [4]}

    def test_update_changes_a_fields_type(self, store: Store) -> None:
        document = store.create({"a": {"b": 1}})
        assert store.update(document.id, {"a": "text"}) == {"a": "text"}

    @each_falsy
    def test_update_keeps_a_falsy_value(self, store: Store, value: Any, limit: str | None) -> None:
        document = store.create({"value": "x", "other": 1})
        updated = store.update(document.id, {"value": value})
        with self.within(limit):
            assert as_json(updated) == as_json({"value": value, "other": 1})

    def test_update_stores_none_as_null(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.update(document.id, {"a": None})
        assert store.get(document.id) == {"a": None}

    def test_update_keeps_the_nulls_that_are_there(self, store: Store) -> None:
        document = store.create({"a": None, "o": {"x": None}, "l": [None]})
        assert store.update(document.id, {"b": 1}) == {"a": None, "o": {"x": None}, "l": [None], "b": 1}

    def test_update_keeps_the_empty_lists_that_are_there(self, store: Store) -> None:
        document = store.create({"a": [], "o": {"x": [], "y": {}}})
        assert store.update(document.id, {"b": []}) == {"a": [], "o": {"x": [], "y": {}}, "b": []}

    def test_update_with_no_changes_returns_the_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store.update(document.id, {}) == {"a": 1}

    def test_update_of_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.update(new_id(), {"a": 1})

    def test_update_of_a_missing_document_creates_none(self, store: Store) -> None:
        missing = new_id()
        with pytest.raises(DocumentNotFound):
            store.update(missing, {"a": 1})
        assert store.get(missing, None) is None

    def test_update_of_a_deleted_document_raises(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.delete(document.id)
        with pytest.raises(DocumentNotFound):
            store.update(document.id, {"a": 2})

    def test_update_that_is_refused_changes_nothing(self, store: Store) -> None:
        document = store.create({"a": 1})
        with pytest.raises(InvalidDocument):
            store.update(document.id, {"a": 2, "b": float("nan")})
        assert store.get(document.id) == {"a": 1}


class Removal(StoreChecks):
    """`divan.REMOVE` in an update."""

    def test_remove_removes_a_field(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        assert store.update(document.id, {"a": REMOVE}) == {"b": 2}

    def test_remove_is_stored(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        store.update(document.id, {"a": REMOVE})
        assert store.get(document.id) == {"b": 2}

    def test_remove_of_an_absent_field_changes_nothing(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store.update(document.id, {"b": REMOVE}) == {"a": 1}

    def test_remove_and_set_in_one_update(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        assert store.update(document.id, {"a": REMOVE, "b": 3, "c": 4}) == {"b": 3, "c": 4}

    def test_remove_of_the_last_field_leaves_an_empty_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.update(document.id, {"a": REMOVE})
        assert store.get(document.id) == {}

    def test_remove_of_a_null_removes_the_field(self, store: Store) -> None:
        document = store.create({"a": None, "b": 1})
        assert store.update(document.id, {"a": REMOVE}) == {"b": 1}

    def test_a_removed_field_can_be_set_again(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.update(document.id, {"a": REMOVE})
        assert store.update(document.id, {"a": 2}) == {"a": 2}

    def test_remove_on_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.update(new_id(), {"a": REMOVE})

    def test_remove_means_nothing_in_create(self, store: Store) -> None:
        with pytest.raises(InvalidDocument):
            store.create({"a": REMOVE})

    def test_remove_means_nothing_below_the_top(self, store: Store) -> None:
        document = store.create({"a": {"b": 1}})
        with pytest.raises(InvalidDocument):
            store.update(document.id, {"a": {"b": REMOVE}})


class Increments(StoreChecks):
    """`divan.Increment` in an update."""

    @pytest.mark.parametrize(("start", "by", "total", "limit"), SUMS.values(), ids=SUMS)
    def test_increment_adds(
        self, store: Store, start: int | float, by: int | float, total: int | float, limit: str | None
    ) -> None:
        with self.within(limit):
            document = store.create({"n": start, "other": "x"})
            updated = store.update(document.id, {"n": Increment(by)})
            assert as_json(updated) == as_json({"n": total, "other": "x"})

    def test_increment_is_stored(self, store: Store) -> None:
        document = store.create({"n": 1})
        store.update(document.id, {"n": Increment(2)})
        assert store.get(document.id) == {"n": 3}

    def test_increment_counts_a_missing_field_as_zero(self, store: Store) -> None:
        document = store.create({})
        assert as_json(store.update(document.id, {"n": Increment(5)})) == as_json({"n": 5})

    def test_increment_by_nothing_in_particular_adds_one(self, store: Store) -> None:
        document = store.create({"n": 1})
        assert store.update(document.id, {"n": Increment()}) == {"n": 2}

    def test_increment_set_and_remove_in_one_update(self, store: Store) -> None:
        document = store.create({"n": 1, "a": 1, "b": 1})
        updated = store.update(document.id, {"n": Increment(1), "m": Increment(-1), "a": 2, "b": REMOVE})
        assert updated == {"n": 2, "m": -1, "a": 2}

    @each_no_number
    def test_increment_refuses_what_is_no_number(self, store: Store, value: Any) -> None:
        document = store.create({"n": value})
        with pytest.raises(InvalidDocument):
            store.update(document.id, {"n": Increment(1)})

    @each_no_number
    def test_increment_that_is_refused_changes_nothing(self, store: Store, value: Any) -> None:
        document = store.create({"n": value, "m": 1, "gone": 1})
        with pytest.raises(InvalidDocument):
            store.update(document.id, {"m": Increment(1), "n": Increment(1), "set": 1, "gone": REMOVE})
        assert as_json(store.get(document.id)) == as_json({"n": value, "m": 1, "gone": 1})

    @pytest.mark.parametrize(("start", "by", "limit"), OVERFLOWS.values(), ids=OVERFLOWS)
    def test_increment_refuses_an_overflow(
        self, store: Store, start: int | float, by: int | float, limit: str | None
    ) -> None:
        with self.within(limit):
            document = store.create({"n": start})
            with pytest.raises(InvalidDocument):
                store.update(document.id, {"n": Increment(by)})

    @pytest.mark.parametrize(("start", "by", "limit"), OVERFLOWS.values(), ids=OVERFLOWS)
    def test_increment_that_overflows_changes_nothing(
        self, store: Store, start: int | float, by: int | float, limit: str | None
    ) -> None:
        with self.within(limit):
            document = store.create({"n": start, "m": 1})
            with pytest.raises(InvalidDocument):
                store.update(document.id, {"m": 2, "n": Increment(by)})
            assert as_json(store.get(document.id)) == as_json({"n": start, "m": 1})

    def test_increment_of_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.update(new_id(), {"n": Increment(1)})

    def test_increment_means_nothing_in_create(self, store: Store) -> None:
        with pytest.raises(InvalidDocument):
            store.create({"n": Increment(1)})

    @pytest.mark.parametrize("by", [float("nan"), float("inf"), 2**63], ids=["NaN", "infinity", "65 bits"])
    def test_increment_refuses_what_can_not_be_stored(self, store: Store, by: int | float) -> None:
        document = store.create({"n": 1})
        with pytest.raises(InvalidDocument):
            store.update(document.id, {"n": Increment(by)})
