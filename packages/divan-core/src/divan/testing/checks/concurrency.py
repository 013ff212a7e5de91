"""Internal: the checks of many threads that share one Store: no update is lost, no half document is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from divan import DocumentExists, DocumentNotFound, Increment, RevisionConflict, Store, UnsupportedOperation
from divan.backends.support import attempt
from divan.testing.base import StoreChecks


class LostUpdates(StoreChecks):
    """Many threads that write to one document; `threads` and `rounds` say how many, and how often each does."""

    @pytest.fixture(autouse=True)
    def sizes(self, request: pytest.FixtureRequest) -> None:
        """Take the sizes that the command line gives."""
        self.threads = request.config.getoption("--divan-threads", default=None) or self.threads
        self.rounds = request.config.getoption("--divan-rounds", default=None) or self.rounds

    def together(self, work: Callable[[int], Any]) -> list[Any]:
        """Run ``work(number)`` in every thread, all started at once; what each returned, or the error it raised."""
        barrier = threading.Barrier(self.threads)

        def run(number: int) -> Any:
            barrier.wait()
            return attempt(work, number)

        with ThreadPoolExecutor(self.threads) as pool:
            results = list(pool.map(run, range(self.threads)))
        for result in results:
            if isinstance(result, UnsupportedOperation):
                raise result
        return results

    def done(self, work: Callable[[int], Any]) -> list[Any]:
        """Run ``work(number)`` in every thread, all started at once; what each returned. An error ends the check."""
        results = self.together(work)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def test_updates_of_different_fields_are_all_kept(self, store: Store) -> None:
        document = store.create({})

        def work(number: int) -> None:
            for round in range(self.rounds):
                store.update(document.id, {f"field {number}": round, f"other {number}": [round]})

        self.done(work)
        expected: dict[str, Any] = {f"field {number}": self.rounds - 1 for number in range(self.threads)}
        expected |= {f"other {number}": [self.rounds - 1] for number in range(self.threads)}
        assert store.get(document.id) == expected

    def test_increments_by_revision_and_retry_add_up(self, store: Store) -> None:
        document = store.create({"n": 0})
        self.revision(document)
        rounds = max(1, self.rounds // 4)

        def work(number: int) -> None:
            for _ in range(rounds):
                while True:
                    current = store.get(document.id)
                    try:
                        store.update(document.id, {"n": current["n"] + 1}, rev=current.rev)
                        break
                    except RevisionConflict:
                        continue

        self.done(work)
        assert store.get(document.id) == {"n": self.threads * rounds}


class Threads(LostUpdates):
    """Many threads on one Store."""

    def test_every_updates_answer_holds_what_it_wrote(self, store: Store) -> None:
        document = store.create({})

        def work(number: int) -> list[int]:
            return [store.update(document.id, {f"f{number}": n})[f"f{number}"] for n in range(self.rounds)]

        assert self.done(work) == [list(range(self.rounds))] * self.threads

    def test_increments_add_up(self, store: Store) -> None:
        document = store.create({"n": 0})

        def work(number: int) -> None:
            for _ in range(self.rounds):
                store.update(document.id, {"n": Increment(1), f"n{number}": Increment(2)})

        self.done(work)
        expected = {f"n{number}": 2 * self.rounds for number in range(self.threads)}
        assert store.get(document.id) == {"n": self.threads * self.rounds, **expected}

    def test_one_of_many_writes_with_one_revision_is_done(self, store: Store) -> None:
        document = store.create({"winner": None})
        rev = self.revision(document)
        results = self.together(lambda number: store.update(document.id, {"winner": number}, rev=rev))
        won = [number for number, result in enumerate(results) if not isinstance(result, Exception)]
        assert {type(result) for result in results if isinstance(result, Exception)} <= {RevisionConflict}
        assert (len(won), store.get(document.id)) == (1, {"winner": won[0]})

    def test_one_of_many_creations_with_one_id_is_done(self, store: Store) -> None:
        def work(number: int) -> Any:
            return store.create({"n": number}, id="ada")

        results = self.together(work)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, DocumentExists):
                raise result
        won = [number for number, result in enumerate(results) if not isinstance(result, Exception)]
        assert (len(won), store.get("ada")) == (1, {"n": won[0]})

    def test_one_of_many_deletions_is_done(self, store: Store) -> None:
        document = store.create({"n": 1})
        results = self.together(lambda number: store.delete(document.id))
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, DocumentNotFound):
                raise result
        assert sum(result is None for result in results) == 1

    def test_many_puts_of_one_document_are_all_done(self, store: Store) -> None:
        self.done(lambda number: [store.put("ada", {"n": number, "copy": number}) for _ in range(5)])
        document = store.get("ada")
        assert document["n"] == document["copy"]

    def test_creations_make_as_many_documents(self, store: Store) -> None:
        created = self.done(lambda number: [store.create({"n": number}).id for _ in range(self.rounds)])
        ids = {id for ids in created for id in ids}
        assert len(ids) == self.threads * self.rounds == store.count()

    def test_bulk_creations_make_as_many_documents(self, store: Store) -> None:
        self.done(lambda number: store.create_many([{"n": number}] * self.rounds))
        assert store.count() == self.threads * self.rounds

    @pytest.mark.parametrize("read", ["get", "find", "get_many"])
    def test_no_reader_sees_half_an_update(self, store: Store, read: str) -> None:
        document = store.create({"a": 0, "b": 0, "c": {"d": 0}})
        reads: dict[str, Callable[[], Any]] = {
            "get": lambda: store.get(document.id),
            "find": lambda: next(store.find({"a": {"$gte": 0}})),
            "get_many": lambda: store.get_many([document.id])[0],
        }

        written = threading.Event()

        def work(number: int) -> None:
            if number:
                while not written.is_set():
                    seen = reads[read]()
                    assert seen["a"] == seen["b"] == seen["c"]["d"]
                return
            try:
                for round in range(self.rounds):
                    store.update(document.id, {"a": round, "b": round, "c": {"d": round}})
            finally:
                written.set()

        self.done(work)

    def test_answers_are_not_mixed_up(self, store: Store) -> None:
        documents = store.create_many({"n": number} for number in range(self.threads))

        def work(number: int) -> list[Any]:
            return [store.get(documents[number].id)["n"] for _ in range(self.rounds)]

        assert self.done(work) == [[number] * self.rounds for number in range(self.threads)]
