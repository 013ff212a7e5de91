"""Internal: the checks of watching: each change is told, in order for each document, and none is missed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue

import pytest

from divan import ChangeEvent, Increment, InvalidQuery, Store, StoreClosed, UnsupportedOperation, Watch
from divan.testing.base import StoreChecks
from divan.testing.reporting import reported


class Watching(StoreChecks):
    """The changes of a store, as `watch` tells them: a store may tell several of one document as the last of them."""

    @pytest.fixture
    @reported
    def watched(self, store: Store) -> Store:
        """A Store with three documents, whose server tells of changes."""
        try:
            store.watch(wait=0)
        except UnsupportedOperation as error:
            if not self.backend_class.implements("read_changes"):
                raise
            pytest.skip(f"unsupported: {error}")
        store.create_many([("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})])
        return store

    def until(self, watch: Iterable[ChangeEvent], enough: Callable[[dict[str, str | None]], bool]) -> list[ChangeEvent]:
        """What is told until that is enough: given the last revision of each document, `None` of one that is gone."""
        told: list[ChangeEvent] = []
        known: dict[str, str | None] = {}
        for event in watch:
            told.append(event)
            known[event.id] = event.rev
            if enough(known):
                return told
        pytest.fail(f"no more was told than {told!r}")

    def watch(self, store: Store, since: str | None = None) -> Watch:
        """A watch that ends when there is no more hope."""
        return store.watch(since, wait=self.patience)

    def test_a_creation_an_update_and_a_deletion_are_told(self, watched: Store) -> None:
        watch = self.watch(watched)
        created = watched.create({"n": 1}, id="x")
        assert next(watch)[:3] == ("created", "x", created.rev)
        updated = watched.update("x", {"n": 2})
        assert next(watch)[:3] == ("updated", "x", updated.rev)
        replaced = watched.put("x", {"n": 3})
        assert next(watch)[:3] == ("updated", "x", replaced.rev)
        watched.delete("x")
        assert next(watch)[:3] == ("deleted", "x", None)

    def test_nothing_is_told_of_before(self, watched: Store) -> None:
        assert list(watched.watch(wait=0)) == []

    def test_bulk_writes_are_told(self, watched: Store) -> None:
        watch = self.watch(watched)
        watched.put_many({"a": {"n": 10}, "d": {"n": 4}})
        watched.update_many([("b", {"n": 20}), ("d", {"n": Increment(1)})])
        watched.delete_many(["c"])
        expected = {id: watched[id].rev for id in ("a", "b", "d")} | {"c": None}
        self.until(watch, lambda known: known == expected)

    def test_writes_by_filter_are_told(self, watched: Store) -> None:
        watch = self.watch(watched)
        watched.update_where({"n": {"$gte": 2}}, {"at.depth": True})
        watched.delete_where({"n": 1})
        expected = {id: watched[id].rev for id in ("b", "c")} | {"a": None}
        self.until(watch, lambda known: known == expected)

    def test_a_write_that_fails_is_not_told(self, watched: Store) -> None:
        watch = self.watch(watched)
        with pytest.raises(Exception, match="a"):
            watched.create({"n": 1}, id="a")
        with pytest.raises(Exception, match="nobody"):
            watched.update("nobody", {"n": 1})
        last = watched.update("c", {"n": 5})
        assert [event.id for event in self.until(watch, lambda known: known.get("c") == last.rev)] == ["c"]

    def test_the_writes_of_others_are_told(self, watched: Store, open_store: Callable[..., Store]) -> None:
        watch = self.watch(watched)
        other = open_store()
        rev = other.update("a", {"n": 5}).rev
        self.until(watch, lambda known: known == {"a": rev})

    def test_a_watch_goes_on_behind_each_token(self, watched: Store, open_store: Callable[..., Store]) -> None:
        watch = self.watch(watched)
        token = watch.token
        for number in range(5):
            watched.create({"n": number}, id=f"new {number}")
        told = [next(watch) for _ in range(5)]
        assert {event.id for event in told} == {f"new {number}" for number in range(5)}
        other = open_store()
        for index, since in enumerate([token, *(event.token for event in told)]):
            again = self.watch(other, since)
            assert [next(again)[:3] for _ in told[index:]] == [event[:3] for event in told[index:]]
            assert again.token == (told[-1].token if told[index:] else since)

    def test_a_token_is_text_for_a_url(self, watched: Store) -> None:
        token = watched.watch(wait=0).token
        assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    @pytest.mark.parametrize("token", ["", "x", "ZWxzZSA1", "é"])
    def test_what_is_no_token_of_a_watch_is_refused(self, watched: Store, token: str) -> None:
        with pytest.raises(InvalidQuery, match="token"):
            watched.watch(token)

    @pytest.mark.parametrize("wait", [-1, float("nan"), "1", True])
    def test_what_is_no_time_to_wait_is_refused(self, watched: Store, wait: float) -> None:
        with pytest.raises(InvalidQuery, match="wait takes seconds"):
            watched.watch(wait=wait)

    def test_it_tells_whether_it_is_behind(self, watched: Store) -> None:
        watch = self.watch(watched)
        rev = watched.update("a", {"n": 5}).rev
        assert next(watch)[:3] == ("updated", "a", rev)
        assert not watch.is_behind()

    def test_who_waits_is_told(self, watched: Store) -> None:
        watch = self.watch(watched)
        told: SimpleQueue[ChangeEvent | None] = SimpleQueue()
        waiting = threading.Thread(target=lambda: told.put(next(watch, None)))
        waiting.start()
        rev = watched.update("b", {"n": 5}).rev
        event = told.get(timeout=self.patience)
        waiting.join()
        assert event is not None
        assert event[:3] == ("updated", "b", rev)

    def test_a_closed_watch_ends_for_who_waits(self, watched: Store) -> None:
        watch = watched.watch()
        ended = threading.Thread(target=lambda: list(watch))
        ended.start()
        watch.close()
        ended.join(self.patience)
        assert not ended.is_alive()
        assert list(watch) == []

    def test_a_closed_watch_gives_nothing_that_it_has_read_ahead(self, watched: Store) -> None:
        watch = self.watch(watched)
        watched.put_many({"d": {}, "e": {}})
        next(watch)
        watch.close()
        assert list(watch) == []

    def test_a_closed_store_ends_a_watch(self, watched: Store, open_store: Callable[..., Store]) -> None:
        other = open_store()
        watch = other.watch()
        other.close()
        with pytest.raises(StoreClosed):
            next(watch)

    def test_no_acknowledged_write_is_missed(self, watched: Store, open_store: Callable[..., Store]) -> None:
        """Eight writers, and a reader that is gone again and again and goes on behind its token."""
        watch = self.watch(watched)

        def write(number: int) -> None:
            for round in range(4):
                watched.put(f"own {number}", {"round": round})
                watched.update("a", {"n": Increment(1), f"by {number}": round})
            if number % 2:
                watched.delete(f"own {number}")

        writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for writer in writers:
            writer.start()
        known: dict[str, str | None] = {}
        token = watch.token
        for _ in range(6):
            watch = self.watch(open_store(), token)
            for _ in range(3):
                event = next(watch)
                known[event.id], token = event.rev, event.token
        for writer in writers:
            writer.join()
        expected = {f"own {number}": None if number % 2 else watched[f"own {number}"].rev for number in range(8)}
        expected["a"] = watched["a"].rev
        if known != expected:
            rest = self.watch(watched, token)
            self.until(rest, lambda later: {**known, **later} == expected)
