"""Internal: the checks of `put` with a revision, and of `put_many`."""

from __future__ import annotations

import pytest

from divan import DocumentNotFound, InvalidDocument, InvalidID, RevisionConflict, Store
from divan.ids import new_id
from divan.testing.base import StoreChecks
from divan.testing.comparing import as_json
from divan.testing.reporting import failing


class Puts(StoreChecks):
    """Documents that are created, or overwritten where they exist."""

    def test_a_put_with_the_revision_overwrites(self, store: Store) -> None:
        document = store.create({"a": 1})
        written = store.put(document.id, {"b": 2}, rev=self.revision(document))
        assert (written, store.get(document.id)) == ({"b": 2}, {"b": 2})
        assert written.rev == store.get(document.id).rev != document.rev

    def test_a_put_with_a_revision_from_before_is_refused(self, store: Store) -> None:
        document = store.create({"a": 1})
        before = self.revision(document)
        store.update(document.id, {"a": 2})
        with pytest.raises(RevisionConflict):
            store.put(document.id, {"b": 2}, rev=before)
        assert store.get(document.id) == {"a": 2}

    def test_a_put_with_a_revision_creates_nothing(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.delete(document.id)
        with pytest.raises(RevisionConflict):
            store.put(document.id, {"b": 2}, rev=self.revision(document))
        with pytest.raises(DocumentNotFound):
            store.get(document.id)

    def test_put_many_creates_and_overwrites(self, store: Store) -> None:
        store.put("b", {"n": 1, "old": True})
        written = store.put_many([("a", {"n": 2}), ("b", {"n": 3}), ("c", {"n": []})])
        assert [(one.id, one) for one in written] == [("a", {"n": 2}), ("b", {"n": 3}), ("c", {"n": []})]
        assert store.get_many(["a", "b", "c"]) == written
        assert [one.rev for one in written] == [store.get(id).rev for id in "abc"]

    def test_put_many_takes_a_mapping(self, store: Store) -> None:
        assert store.put_many({"a": {"n": 1}}) == [{"n": 1}]
        assert store.get("a") == {"n": 1}

    def test_put_many_takes_documents(self, store: Store) -> None:
        first, second = store.create_many([{"n": 1}, {"n": 2}])
        first["n"] = 5
        assert store.put_many([first, (second, {"m": 1})]) == [{"n": 5}, {"m": 1}]
        assert store.get_many([first.id, second.id]) == [{"n": 5}, {"m": 1}]

    def test_put_many_of_nothing_does_nothing(self, store: Store) -> None:
        assert store.put_many([]) == []

    def test_the_last_of_several_puts_of_one_document_stays(self, store: Store) -> None:
        store.put("b", {"n": 0})
        written = store.put_many([("a", {"n": 1}), ("b", {"n": 2}), ("a", {"n": 3}), ("b", {"n": 4}), ("a", {"n": 5})])
        assert [one["n"] for one in written] == [1, 2, 3, 4, 5]
        assert store.get_many(["a", "b"]) == [{"n": 5}, {"n": 4}]
        assert [one.rev for one in written[3:]] == [store.get(id).rev for id in "ba"]

    def test_put_many_reports_what_can_not_be_stored(self, store: Store) -> None:
        good = new_id()
        error = failing(lambda: store.put_many([("_a", {}), (good, {"n": 1}), ("b", {"n": float("nan")})]))
        assert {index: type(failure) for index, failure in error.errors.items()} == {0: InvalidID, 2: InvalidDocument}
        assert store.get(good) == {"n": 1}

    def test_an_item_that_is_no_pair_fails_alone(self, store: Store) -> None:
        error = failing(lambda: store.put_many([{"n": 1}, ("a", {"n": 2})]))  # type: ignore[list-item]
        assert {index: type(failure) for index, failure in error.errors.items()} == {0: InvalidDocument}
        assert store.get("a") == {"n": 2}

    def test_put_many_carries_more_than_a_batch(self, store: Store) -> None:
        size = store.backend.batch_size + 3
        ids = [new_id() for _ in range(size)]
        store.put_many([(ids[0], {"old": 1}), (ids[-1], {"old": 1})])
        written = store.put_many((id, {"n": number}) for number, id in enumerate(ids))
        assert as_json(written) == as_json([{"n": number} for number in range(size)])
        assert as_json(store.get_many(ids)) == as_json(written)
