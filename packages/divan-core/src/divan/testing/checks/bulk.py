"""Internal: the checks of the bulk calls: batches, order, and one result an item whatever befalls the others."""

from __future__ import annotations

from typing import Any

import pytest

from divan import REMOVE, BulkError, DocumentExists, DocumentNotFound, Increment, InvalidDocument, InvalidID, Store
from divan.ids import new_id
from divan.testing.base import StoreChecks
from divan.testing.comparing import as_json
from divan.testing.reporting import failing


class Bulk(StoreChecks):
    """Many documents at a time."""

    def test_create_many_returns_the_documents_in_order(self, store: Store) -> None:
        documents = store.create_many([{"n": 2}, {"n": 0}, {"n": 1}])
        assert [document["n"] for document in documents] == [2, 0, 1]

    def test_create_many_stores_the_documents(self, store: Store) -> None:
        documents = store.create_many([{"n": 0}, {"n": None}, {"n": [], "m": {}}, {}])
        assert [dict(store.get(document.id)) for document in documents] == [
            {"n": 0},
            {"n": None},
            {"n": [], "m": {}},
            {},
        ]

    def test_create_many_takes_ids(self, store: Store) -> None:
        store.create_many([("a", {"n": 1}), ("b", {"n": 2})])
        assert (store.get("a"), store.get("b")) == ({"n": 1}, {"n": 2})

    def test_create_many_takes_documents_with_ids_and_without(self, store: Store) -> None:
        first, second = store.create_many([("a", {"n": 1}), {"n": 2}])
        assert (first.id, store.get(second.id)) == ("a", {"n": 2})

    def test_create_many_takes_any_iterable(self, store: Store) -> None:
        assert len(store.create_many({"n": number} for number in range(3))) == 3

    def test_create_many_of_nothing_does_nothing(self, store: Store) -> None:
        assert store.create_many([]) == []

    def test_create_many_reports_a_taken_id(self, store: Store) -> None:
        store.create({"n": 0}, id="b")
        error = failing(lambda: store.create_many([("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {1: DocumentExists}

    def test_create_many_stores_the_items_around_a_failed_one(self, store: Store) -> None:
        store.create({"n": 0}, id="b")
        failing(lambda: store.create_many([("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})]))
        assert [store.get(id) for id in "abc"] == [{"n": 1}, {"n": 0}, {"n": 3}]

    def test_create_many_returns_the_items_around_a_failed_one(self, store: Store) -> None:
        error = failing(lambda: store.create_many([{"n": 1}, {"n": float("nan")}, {"n": 3}]))
        first, second, third = error.results
        assert (first["n"], type(second), third["n"]) == (1, InvalidDocument, 3)

    def test_create_many_reports_a_bad_document(self, store: Store) -> None:
        error = failing(lambda: store.create_many([{"n": 1}, {"n": {1, 2}}, {"n": 3}]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {1: InvalidDocument}

    def test_create_many_reports_a_bad_id(self, store: Store) -> None:
        error = failing(lambda: store.create_many([("_a", {"n": 1}), {"n": 2}]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {0: InvalidID}

    def test_create_many_creates_the_first_of_two_with_one_id(self, store: Store) -> None:
        error = failing(lambda: store.create_many([("a", {"n": 1}), ("a", {"n": 2})]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {1: DocumentExists}
        assert store.get("a") == {"n": 1}

    def test_a_bulk_error_says_how_many_failed(self, store: Store) -> None:
        error = failing(lambda: store.create_many([{"n": float("nan")}, {"n": 1}, {"n": float("inf")}]))
        assert "2 of 3" in str(error)

    def test_get_many_returns_the_documents_in_order(self, store: Store) -> None:
        ids = [document.id for document in store.create_many([{"n": 0}, {"n": 1}, {"n": 2}])]
        assert store.get_many([ids[2], ids[0], ids[1]]) == [{"n": 2}, {"n": 0}, {"n": 1}]

    def test_get_many_returns_none_for_a_missing_document(self, store: Store) -> None:
        document = store.create({"n": 1})
        assert store.get_many([new_id(), document.id, new_id()]) == [None, {"n": 1}, None]

    def test_get_many_returns_the_default_for_a_missing_document(self, store: Store) -> None:
        assert store.get_many([new_id()], default={}) == [{}]

    def test_get_many_takes_one_id_twice(self, store: Store) -> None:
        document = store.create({"n": 1})
        assert store.get_many([document.id, document.id]) == [{"n": 1}, {"n": 1}]

    def test_get_many_takes_documents(self, store: Store) -> None:
        document = store.create({"n": 1})
        store.update(document.id, {"n": 2})
        assert store.get_many([document]) == [{"n": 2}]

    def test_get_many_of_nothing_returns_nothing(self, store: Store) -> None:
        assert store.get_many([]) == []

    def test_update_many_merges(self, store: Store) -> None:
        first, second = store.create_many([{"n": 1, "m": 1}, {"n": 2}])
        updated = store.update_many([(first.id, {"n": 5}), (second.id, {"o": None})])
        assert [dict(document) for document in updated] == [{"n": 5, "m": 1}, {"n": 2, "o": None}]

    def test_update_many_is_stored(self, store: Store) -> None:
        first, second = store.create_many([{"n": 1, "m": []}, {"n": 2}])
        store.update_many([(first.id, {"n": 5}), (second.id, {"o": []})])
        assert [dict(store.get(id)) for id in (first.id, second.id)] == [{"n": 5, "m": []}, {"n": 2, "o": []}]

    def test_update_many_takes_a_mapping(self, store: Store) -> None:
        document = store.create({"n": 1})
        assert store.update_many({document.id: {"n": 2}}) == [{"n": 2}]

    def test_update_many_with_no_changes_returns_the_document(self, store: Store) -> None:
        document = store.create({"n": 1})
        assert store.update_many({document.id: {}}) == [{"n": 1}]

    def test_update_many_takes_documents(self, store: Store) -> None:
        document = store.create({"n": 1})
        assert store.update_many([(document, {"n": 2})]) == [{"n": 2}]

    def test_update_many_removes_and_increments(self, store: Store) -> None:
        document = store.create({"n": 1, "m": 1})
        assert store.update_many([(document.id, {"n": Increment(2), "m": REMOVE, "o": 3})]) == [{"n": 3, "o": 3}]

    def test_update_many_applies_two_updates_of_one_document_in_order(self, store: Store) -> None:
        document = store.create({"n": 1})
        updated = store.update_many([(document.id, {"n": 2, "a": 1}), (document.id, {"n": 3, "b": 1})])
        assert [dict(one) for one in updated] == [{"n": 2, "a": 1}, {"n": 3, "a": 1, "b": 1}]
        assert store.get(document.id) == {"n": 3, "a": 1, "b": 1}

    def test_update_many_reports_a_missing_document(self, store: Store) -> None:
        first, last = store.create_many([{"n": 1}, {"n": 2}])
        error = failing(lambda: store.update_many([(first, {"n": 3}), (new_id(), {"n": 4}), (last, {"n": 5})]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {1: DocumentNotFound}
        assert [store.get(id)["n"] for id in (first.id, last.id)] == [3, 5]

    def test_update_many_creates_no_missing_document(self, store: Store) -> None:
        missing = new_id()
        failing(lambda: store.update_many([(missing, {"n": 1})]))
        assert missing not in store

    def test_update_many_reports_what_can_not_be_incremented(self, store: Store) -> None:
        first, last = store.create_many([{"n": "x"}, {"n": 1}])
        error = failing(lambda: store.update_many([(one.id, {"n": Increment(1), "m": 1}) for one in (first, last)]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {0: InvalidDocument}
        assert [dict(store.get(one.id)) for one in (first, last)] == [{"n": "x"}, {"n": 2, "m": 1}]

    def test_update_many_of_nothing_does_nothing(self, store: Store) -> None:
        assert store.update_many({}) == []

    def test_delete_many_deletes(self, store: Store) -> None:
        first, second, third = store.create_many([{"n": 1}, {"n": 2}, {"n": 3}])
        assert store.delete_many([first.id, third]) == [first.id, third.id]
        assert [store.get(one.id, None) for one in (first, second, third)] == [None, {"n": 2}, None]

    def test_delete_many_reports_a_missing_document(self, store: Store) -> None:
        document = store.create({"n": 1})
        error = failing(lambda: store.delete_many([new_id(), document.id]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {0: DocumentNotFound}
        assert document.id not in store

    def test_delete_many_reports_the_second_deletion_of_one_document(self, store: Store) -> None:
        document = store.create({"n": 1})
        error = failing(lambda: store.delete_many([document.id, document.id]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {1: DocumentNotFound}

    def test_delete_many_of_nothing_does_nothing(self, store: Store) -> None:
        assert store.delete_many([]) == []

    def test_bulk_calls_carry_more_than_a_batch(self, store: Store) -> None:
        size = store.backend.batch_size + 3
        documents = store.create_many({"n": number, "list": []} for number in range(size))
        assert [document["n"] for document in documents] == list(range(size))
        ids = [document.id for document in documents]
        updated = store.update_many((id, {"m": number}) for number, id in enumerate(ids))
        assert [document["m"] for document in updated] == list(range(size))
        found = store.get_many(reversed(ids))
        assert as_json(found) == as_json([{"n": n, "m": n, "list": []} for n in reversed(range(size))])
        assert sum(1 for _ in store.ids()) == size
        store.delete_many(ids)
        assert store.count() == 0

    def test_items_of_every_batch_are_reported(self, store: Store) -> None:
        size = store.backend.batch_size
        items: list[Any] = [{"n": number} for number in range(size + 2)]
        for bad in (0, size - 1, size, size + 1):
            items[bad] = {"n": float("nan")}
        error = failing(lambda: store.create_many(items))
        assert sorted(error.errors) == [0, size - 1, size, size + 1]
        assert len(error.results) == size + 2

    def test_a_bulk_error_is_raised_once_all_items_are_done(self, store: Store) -> None:
        size = store.backend.batch_size
        with pytest.raises(BulkError):
            store.create_many([{"n": float("nan")}, *({"n": 1} for _ in range(size))])
        assert store.count() == size
