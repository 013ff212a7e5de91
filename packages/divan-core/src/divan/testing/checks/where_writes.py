"""Internal: the checks of `update_where` and `delete_where`, alone and beside other writers."""

from __future__ import annotations

from typing import Any, Final

import pytest

from divan import REMOVE, Document, DocumentNotFound, Increment, InvalidDocument, InvalidQuery, Store
from divan.backends.support import attempt
from divan.query import parse
from divan.testing import generate
from divan.testing.checks.concurrency import LostUpdates
from divan.testing.limits import TINY_FLOATS
from divan.testing.reporting import failing, reported

_COUNT: Final = 24


class WhereWrites(LostUpdates):
    """Updates and deletions of whatever matches."""

    @pytest.fixture
    @reported
    def crowd(self, store: Store) -> Store:
        """A Store with some numbered documents, of which every third is open."""
        store.create_many((f"d{n:02}", {"n": n, "open": n % 3 == 0, "hits": 0}) for n in range(_COUNT))
        return store

    def test_update_where_updates_each_match_once(self, crowd: Store) -> None:
        assert crowd.update_where({"open": True}, {"hits": Increment(1), "seen": [True]}) == _COUNT // 3
        for document in crowd:
            is_open = document["n"] % 3 == 0
            assert (document["hits"], document.get("seen")) == ((1, [True]) if is_open else (0, None))

    def test_update_where_may_change_what_the_filter_asks_for(self, crowd: Store) -> None:
        assert crowd.update_where({"n": {"$gte": 20}}, {"n": 30, "open": REMOVE}) == 4
        assert crowd.count({"n": 30, "open": {"$exists": False}}) == 4
        assert crowd.count() == _COUNT

    def test_update_where_by_id(self, crowd: Store) -> None:
        assert crowd.update_where({"_id": {"$prefix": "d0"}}, {"low": True}) == 10
        assert sorted(document.id for document in crowd.find({"low": True})) == [f"d{n:02}" for n in range(10)]

    def test_update_where_gives_new_revisions(self, crowd: Store) -> None:
        before = {document.id: self.revision(document) for document in crowd}
        crowd.update_where({"open": True}, {"seen": True})
        changed = {document.id for document in crowd if document.rev != before[document.id]}
        assert changed == {f"d{n:02}" for n in range(0, _COUNT, 3)}

    def test_delete_where_deletes_each_match(self, crowd: Store) -> None:
        assert crowd.delete_where({"open": True}) == _COUNT // 3
        assert sorted(document["n"] for document in crowd) == [n for n in range(_COUNT) if n % 3]

    def test_nothing_matches(self, crowd: Store) -> None:
        assert crowd.update_where({"n": 100}, {"n": 0}) == 0
        assert crowd.delete_where({"n": 100}) == 0
        assert crowd.count() == _COUNT

    def test_an_empty_filter_matches_everything(self, crowd: Store) -> None:
        assert crowd.update_where({}, {"seen": True}) == _COUNT
        assert crowd.count({"seen": True}) == _COUNT
        assert crowd.delete_where({}) == _COUNT
        assert crowd.count() == 0

    @pytest.mark.parametrize("where", [None, {"$where": "1"}, {"n": {"$near": 1}}, "open"])
    def test_what_is_no_filter_writes_nothing(self, crowd: Store, where: Any) -> None:
        with pytest.raises(InvalidQuery):
            crowd.update_where(where, {"n": 0})
        with pytest.raises(InvalidQuery):
            crowd.delete_where(where)
        assert (crowd.count(), crowd.count({"n": 0})) == (_COUNT, 1)

    def test_what_can_not_be_stored_changes_nothing(self, crowd: Store) -> None:
        with pytest.raises(InvalidDocument):
            crowd.update_where({}, {"seen": True, "bad": float("nan")})
        assert not crowd.exists({"seen": True})

    def test_a_document_that_can_not_be_changed_does_not_keep_the_others_from_it(self, crowd: Store) -> None:
        crowd.update("d05", {"hits": "many"})
        error = failing(lambda: crowd.update_where({}, {"hits": Increment(1)}))
        assert [(type(failure), failure.document_id) for failure in error.errors.values()] == [  # type: ignore[attr-defined]
            (InvalidDocument, "d05")
        ]
        assert (len(error.results), crowd.count({"hits": 1})) == (_COUNT, _COUNT - 1)
        assert crowd.get("d05")["hits"] == "many"

    def test_what_a_generated_filter_matches_is_updated_and_deleted(self, store: Store) -> None:
        documents = store.create_many(generate.documents(40, big_ints=False))
        filters = [where for where in generate.filters(60, big_ints=False) if 0 < len(_ids(where, documents)) < 20]
        assert len(filters) > 10
        expected = _ids(filters[10], documents)
        with self.within(TINY_FLOATS):  # an index of an earlier check may serve a filter
            for number, where in enumerate(filters[:10]):
                assert store.update_where(where, {"marked": number}) == len(_ids(where, documents))
                assert {document.id for document in store.find({"marked": number})} == _ids(where, documents)
            assert store.delete_where(filters[10]) == len(expected)
        assert {document.id for document in documents} - set(store.ids()) == expected

    def test_each_document_is_claimed_by_one_of_many(self, crowd: Store) -> None:
        counts = self.done(lambda number: crowd.update_where({"by": {"$exists": False}}, {"by": number}))
        assert sum(counts) == _COUNT
        owners = [document["by"] for document in crowd]
        assert [owners.count(number) for number in range(self.threads)] == counts

    def test_each_document_is_deleted_by_one_of_many(self, crowd: Store) -> None:
        counts = self.done(lambda number: crowd.delete_where({"open": True}))
        assert sum(counts) == _COUNT // 3
        assert crowd.count() == _COUNT - _COUNT // 3

    def test_what_ceases_to_match_is_left_alone(self, crowd: Store) -> None:
        ids = [document.id for document in crowd.find({"open": True})]

        def close(id: str) -> bool:
            return not isinstance(attempt(crowd.update, id, {"open": False}), DocumentNotFound)

        def work(number: int) -> Any:
            if number % 2:
                return [id for id in ids[number % len(ids) :: 2] if close(id)]
            return crowd.delete_where({"open": True})

        results = self.done(work)
        closed = {id for result in results if isinstance(result, list) for id in result}
        assert closed <= set(crowd.ids())
        deleted = sum(result for result in results if not isinstance(result, list))
        assert crowd.count() == _COUNT - deleted

    def test_what_others_write_meanwhile_is_kept(self, crowd: Store) -> None:
        def work(number: int) -> Any:
            if number:
                return [crowd.update(f"d{n:02}", {"hits": Increment(1), f"by{number}": n}) for n in range(_COUNT)]
            return crowd.update_where({"hits": {"$gte": 0}}, {"seen": True})

        assert self.done(work)[0] == _COUNT
        expected = {f"by{number}" for number in range(1, self.threads)}
        for document in crowd:
            assert (document["seen"], document["hits"]) == (True, self.threads - 1)
            assert expected <= set(document)


def _ids(where: dict[str, Any], documents: list[Document]) -> set[str]:
    """The ids of those of the documents that a filter matches."""
    return {document.id for document in filter(parse(where).matches, documents)}
