"""Internal: the checks of documents that expire, by a clock that the checks set."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from divan import REMOVE, Document, DocumentExists, DocumentNotFound, InvalidDocument, RevisionConflict, Store
from divan.backends.support import attempt
from divan.testing.checks.concurrency import LostUpdates
from divan.testing.reporting import failing, reported

_START: Final = datetime(2026, 12, 1, 12, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_CALLS: Final = 40
_IDS: Final = tuple(f"d{number}" for number in range(6))


class Clock:
    """A clock that stands still until it is set.

    Attributes:
        now: What it shows.
    """

    def __init__(self) -> None:
        self.now = _START

    def __call__(self) -> datetime:
        """What time it is."""
        return self.now


class Expiry(LostUpdates):
    """What has expired is not there for any call, and nothing else is lost."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock of `expiring`."""
        return Clock()

    @pytest.fixture
    @reported
    def expiring(self, open_store: Callable[..., Store], clock: Clock) -> Store:
        """A Store whose documents expire by ``until``."""
        return open_store(expires="until", clock=clock)

    def test_a_document_is_there_until_the_moment_itself(self, expiring: Store, clock: Clock) -> None:
        expiring.create({"until": _START + _SECOND, "n": 1}, id="a")
        clock.now = _START + _SECOND - timedelta(milliseconds=1)
        assert expiring.get("a")["until"] == _START + _SECOND
        assert (expiring.count(), list(expiring.ids())) == (1, ["a"])
        clock.now = _START + _SECOND
        assert expiring.get("a", None) is None
        assert (expiring.count(), list(expiring.ids())) == (0, [])

    def test_what_has_no_moment_never_expires(self, expiring: Store, store: Store, clock: Clock) -> None:
        expiring.put_many([("a", {"n": 1}), ("b", {"until": None})])
        strange: list[Any] = ["", 7, ["2020-01-01T00:00:00.000000Z"]]
        store.put_many((id, {"until": value}) for id, value in zip("cde", strange, strict=True))
        clock.now = datetime(2100, 1, 1, tzinfo=UTC)
        assert sorted(expiring.ids()) == ["a", "b", "c", "d", "e"]
        assert expiring.purge() == 0

    def test_no_read_sees_what_has_expired(self, expiring: Store, clock: Clock) -> None:
        _fill(expiring)
        clock.now += _SECOND
        with pytest.raises(DocumentNotFound):
            expiring.get("old")
        with pytest.raises(DocumentNotFound):
            expiring.get("old", fields=["n"])
        assert expiring.get("new", fields=["n"]) == {"n": 1}
        assert ("old" in expiring, "new" in expiring) == (False, True)
        assert [one and one.id for one in expiring.get_many(["old", "new"])] == [None, "new"]
        assert expiring.get_many(["old", "new"], fields=["n"]) == [None, {"n": 1}]
        for where in ({}, {"n": 1}, {"_id": {"$in": ["old", "new"]}}, {"$or": [{"n": 1}, {"_id": "old"}]}):
            assert [one.id for one in expiring.find(where)] == ["new"]
            assert expiring.count(where) == 1
            assert [one.id for one in expiring.page(where, limit=1).items] == ["new"]
            first = expiring.first(where, sort="-n", fields=["n"])
            assert first is not None
            assert first.id == "new"
        assert not expiring.exists({"_id": "old"})
        assert [one.id for one in expiring] == list(expiring.ids()) == ["new"]
        assert list(expiring.ids(prefix="o")) == []

    def test_no_write_reaches_what_has_expired(self, expiring: Store, store: Store, clock: Clock) -> None:
        rev = self.revision(_fill(expiring)["old"])
        clock.now += _SECOND
        before = store.get("old")
        writes: list[Callable[[], Any]] = [
            lambda: expiring.update("old", {"n": 2}),
            lambda: expiring.update("old", {"until": REMOVE}),
            lambda: expiring.update("old", {"address.city": "Paris"}),
            lambda: expiring.update("old", {"n": 2}, rev=rev),
            lambda: expiring.replace("old", {"n": 2}),
            lambda: expiring.replace("old", {"n": 2}, rev=rev),
            lambda: expiring.delete("old"),
            lambda: expiring.delete("old", rev=rev),
        ]
        for write in writes:
            with pytest.raises(DocumentNotFound):
                write()
        with pytest.raises(RevisionConflict):
            expiring.put("old", {"n": 2}, rev=rev)
        error = failing(lambda: expiring.update_many([("old", {"n": 2}), ("new", {"n": 3})]))
        assert {index: type(one) for index, one in error.errors.items()} == {0: DocumentNotFound}
        assert type(failing(lambda: expiring.delete_many(["old"])).errors[0]) is DocumentNotFound
        assert expiring.update_where({}, {"n": 4}) == 1
        assert expiring.delete_where({"n": 4}) == 1
        assert [(one, one.rev) for one in store] == [(before, before.rev)]

    def test_the_id_of_what_has_expired_can_be_taken(self, expiring: Store, clock: Clock) -> None:
        _fill(expiring)
        clock.now += _SECOND
        expiring.create({"n": 5}, id="old")
        assert expiring.get("old") == {"n": 5}
        with pytest.raises(DocumentExists):
            expiring.create({"n": 6}, id="old")
        expiring.put("new", {"n": 7, "until": clock.now})
        assert [one.id for one in expiring.create_many([("new", {"n": 8})])] == ["new"]
        assert type(failing(lambda: expiring.create_many([("new", {}), ("more", {})])).errors[0]) is DocumentExists
        expiring.put("old", {"until": clock.now})
        expiring.put("old", {"n": 9})
        assert expiring.get("old") == {"n": 9}

    def test_what_is_no_moment_is_refused(self, expiring: Store) -> None:
        expiring.create({"n": 1}, id="a")
        for value in (datetime(2030, 1, 1), "2030-01-01T00:00:00", "soon", 7, [_START], {"at": _START}):
            for write in (expiring.put, expiring.update):
                with pytest.raises(InvalidDocument, match="until"):
                    write("a", {"until": value})
        with pytest.raises(InvalidDocument, match="until"):
            expiring.update("a", {"until.at": 1})
        assert expiring.get("a") == {"n": 1}

    def test_purge_deletes_what_has_expired(self, expiring: Store, store: Store, clock: Clock) -> None:
        expiring.create_many({"n": n, "until": _START + n * _SECOND} for n in range(40))
        clock.now += 19 * _SECOND
        assert expiring.purge() == 20
        assert sorted(document["n"] for document in store) == list(range(20, 40))
        assert expiring.purge() == 0

    def test_one_of_many_takes_an_expired_id(self, expiring: Store, clock: Clock) -> None:
        _fill(expiring)
        clock.now += _SECOND
        taken = self.together(lambda number: expiring.create({"by": number}, id="old"))
        winners = [one for one in taken if isinstance(one, Document)]
        assert [type(one) for one in taken if one not in winners] == [DocumentExists] * (self.threads - 1)
        assert [expiring.get("old")] == winners

    def test_at_the_moment_itself_nothing_expired_is_seen_and_nothing_prolonged_lost(
        self, expiring: Store, store: Store, clock: Clock
    ) -> None:
        moment, later = _START + _SECOND, _START + 60 * _SECOND
        ids = [f"d{n:02}" for n in range(self.rounds)]
        expiring.create_many((id, {"until": moment, "n": 0}) for id in ids)

        def read(id: str) -> None:
            has_come = clock.now >= moment
            seen = [expiring.get(id, None), *expiring.find({"_id": id})]
            assert not has_come or all(one is None or one["until"] == later for one in seen)

        def work(number: int) -> Any:
            if number == 0:
                for id in ids[: len(ids) // 2]:
                    read(id)
                clock.now = moment
                return expiring.purge()
            for id in ids[number:] + ids[:number]:
                read(id)
            if number == 1:
                return expiring.purge()
            mine = ids[number :: self.threads]
            answers = [attempt(expiring.update, id, {"until": later}) for id in mine]
            for id in ids:
                read(id)
            return [answer.id for answer in answers if isinstance(answer, Document)]

        results = self.done(work)
        prolonged = sorted(id for result in results[2:] for id in result)
        assert sorted(expiring.ids()) == prolonged
        assert sum(results[:2]) + expiring.purge() == len(ids) - len(prolonged)
        assert sorted(store.ids()) == prolonged

    def test_generated_calls_answer_as_a_model_does(self, expiring: Store, store: Store, clock: Clock) -> None:
        for seed in range(max(1, self.sequences // 20)):
            store.delete_where({})
            clock.now = _START
            _Sequence(expiring, clock, random.Random(seed)).run()


class _Sequence:
    """Calls of a Store whose documents expire, beside a model that is a dict.

    Args:
        store: The Store.
        clock: Its clock.
        chance: Makes the calls.
    """

    def __init__(self, store: Store, clock: Clock, chance: random.Random) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._model: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Make the calls, and compare what each answers and what is there after it."""
        calls = (self._create, self._put, self._update, self._replace, self._delete, self._purge)
        for _ in range(_CALLS):
            self._clock.now += self._chance.randrange(3) * _SECOND
            self._chance.choice(calls)(self._chance.choice(_IDS))
            alive = {id: fields for id, fields in self._model.items() if self._is_alive(id)}
            assert {one.id: dict(one) for one in self._store.find()} == alive
            assert self._store.count({"n": {"$gte": 0}}) == len(alive)

    def _is_alive(self, id: str) -> bool:
        until = self._model[id].get("until") if id in self._model else None
        return id in self._model and (until is None or until > self._clock.now)

    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"n": self._chance.randrange(100)}
        if self._chance.random() < 0.8:
            data["until"] = self._chance.choice((None, *(self._clock.now + n * _SECOND for n in range(5))))
        return data

    def _create(self, id: str) -> None:
        data = self._data()
        self._expect(not self._is_alive(id), DocumentExists, self._store.create, data, id=id)
        if not self._is_alive(id):
            self._model[id] = data

    def _put(self, id: str) -> None:
        self._model[id] = self._data()
        self._store.put(id, self._model[id])

    def _update(self, id: str) -> None:
        data = self._data()
        if "until" not in data and self._chance.random() < 0.5:
            data["until"] = REMOVE
        self._expect(self._is_alive(id), DocumentNotFound, self._store.update, id, data)
        if self._is_alive(id):
            merged = {**self._model[id], **data}
            self._model[id] = {name: value for name, value in merged.items() if value is not REMOVE}

    def _replace(self, id: str) -> None:
        data = self._data()
        self._expect(self._is_alive(id), DocumentNotFound, self._store.replace, id, data)
        if self._is_alive(id):
            self._model[id] = data

    def _delete(self, id: str) -> None:
        self._expect(self._is_alive(id), DocumentNotFound, self._store.delete, id)
        if self._is_alive(id):
            del self._model[id]

    def _purge(self, _: str) -> None:
        expired = [id for id in self._model if not self._is_alive(id)]
        assert self._store.purge() == len(expired)
        for id in expired:
            del self._model[id]

    def _expect(
        self, succeeds: bool, error: type[Exception], call: Callable[..., Any], *args: Any, **given: Any
    ) -> None:
        answer = attempt(call, *args, **given)
        assert isinstance(answer, error) is not succeeds, f"{call.__name__}{args}: {answer!r}"
        assert succeeds is not isinstance(answer, Exception), f"{call.__name__}{args}: {answer!r}"


def _fill(store: Store) -> dict[str, Document]:
    """Store one document that expires in a second, and one that does later."""
    pairs = [("old", {"until": _START + _SECOND, "n": 1}), ("new", {"until": _START + 60 * _SECOND, "n": 1})]
    return {document.id: document for document in store.create_many(pairs)}
