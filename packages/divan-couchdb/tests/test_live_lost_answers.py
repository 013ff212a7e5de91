"""Writes to a live CouchDB whose answer is lost: done, or not done, or said to be perhaps done; never done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import divan
import pytest
from divan import Store
from divan.errors import BulkError, ConnectionFailed, DocumentExists, RevisionConflict
from divan_couchdb import CouchDBBackend
from divan_couchdb.errors import Dropped

pytestmark = pytest.mark.live

Lose = Callable[..., None]


@pytest.fixture
def lose(store: Store, monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Have the next write lose its answer.

    Args:
        arrives: Whether the request reaches the server.
        then: What others do meanwhile.
    """
    backend = store.backend
    assert isinstance(backend, CouchDBBackend)
    send = backend._client.send

    def arrange(*, arrives: bool, then: Callable[[], object] = lambda: None) -> None:
        def lost(*arguments: Any, **named: Any) -> Any:
            if not named.get("writes"):
                return send(*arguments, **named)
            monkeypatch.undo()
            if arrives:
                send(*arguments, **named)
            then()
            raise Dropped("lost", sent=True)

        monkeypatch.setattr(backend._client, "send", lost)

    return arrange


@pytest.fixture
def other(couchdb_server: Any, store: Store, database: str) -> Any:
    """Another program's Store of the same database."""
    with divan.open(couchdb_server.store_url(database)) as opened:
        yield opened


def _update(**changes: Any) -> Callable[[Store], object]:
    return lambda store: store.update("ada", changes)


WRITES: list[Callable[[Store], object]] = [
    lambda store: store.update("ada", {"n": divan.Increment(1)}),
    lambda store: store.update("ada", {"held": True}, rev=store.get("ada").rev),
    lambda store: store.update("ada", {"n": 2}),
    lambda store: store.replace("ada", {"n": 2}),
    lambda store: store.put("ada", {"n": 2}),
    lambda store: store.delete("ada"),
    lambda store: store.update_many([("ada", {"n": divan.Increment(1)})]),
    lambda store: store.update_many([("ada", {"n": 2})]),
    lambda store: store.delete_many(["ada"]),
]
NAMES = ["increment", "rev", "update", "replace", "put", "delete", "update_many+", "update_many", "delete_many"]

CREATIONS: list[Callable[[Store], object]] = [
    lambda store: store.create({"n": 1}, id="ada"),
    lambda store: store.put("ada", {"n": 1}),
    lambda store: store.create_many([("ada", {"n": 1})]),
]
CREATION_NAMES = ["create", "put", "create_many"]


def _fails_perhaps(call: Callable[[], object]) -> None:
    with pytest.raises((ConnectionFailed, BulkError)) as caught:
        call()
    error = caught.value.errors[0] if isinstance(caught.value, BulkError) else caught.value
    assert type(error) is ConnectionFailed
    assert "may be written or not" in str(error)


@pytest.mark.parametrize("write", WRITES, ids=NAMES)
def test_a_write_that_was_made_is_not_claimed(store: Store, lose: Lose, write: Callable[[Store], object]) -> None:
    store.create({"n": 1}, id="ada")
    lose(arrives=True)
    _fails_perhaps(lambda: write(store))
    assert store.get("ada", {"n": 2}) in ({"n": 2}, {"n": 1, "held": True})


@pytest.mark.parametrize("write", WRITES, ids=NAMES)
def test_a_write_that_never_arrived_is_made_once(store: Store, lose: Lose, write: Callable[[Store], object]) -> None:
    store.create({"n": 1}, id="ada")
    lose(arrives=False)
    write(store)
    assert store.get("ada", {"n": 2}) in ({"n": 2}, {"n": 1, "held": True})


@pytest.mark.parametrize("write", WRITES, ids=NAMES)
def test_what_another_wrote_the_same_is_not_taken_for_ones_own(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    store.create({"n": 1}, id="ada")
    lose(arrives=False, then=lambda: write(other))
    _fails_perhaps(lambda: write(store))


@pytest.mark.parametrize("write", WRITES[:5] + WRITES[6:8], ids=NAMES[:5] + NAMES[6:8])
def test_what_another_wrote_later_stays(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    store.create({"n": 1}, id="ada")
    lose(arrives=True, then=lambda: other.replace("ada", {"n": 9}))
    _fails_perhaps(lambda: write(store))
    assert store.get("ada") == {"n": 9}


@pytest.mark.parametrize("write", [WRITES[5], WRITES[8]], ids=["delete", "delete_many"])
def test_what_another_created_anew_is_not_deleted(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    store.create({"n": 1}, id="ada")
    lose(arrives=True, then=lambda: other.create({"n": 1}, id="ada"))
    _fails_perhaps(lambda: write(store))
    assert store.get("ada") == {"n": 1}


@pytest.mark.parametrize("write", WRITES[:3], ids=NAMES[:3])
def test_a_write_is_known_not_to_be_made_where_another_stands_in_its_place(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    store.create({"n": 1}, id="ada")
    lose(arrives=False, then=lambda: other.update("ada", {"m": 5}))
    if write is WRITES[1]:
        with pytest.raises(RevisionConflict):
            write(store)
        assert store.get("ada") == {"n": 1, "m": 5}
    else:
        write(store)
        assert store.get("ada") == {"n": 2, "m": 5}


@pytest.mark.parametrize("write", CREATIONS, ids=CREATION_NAMES)
def test_a_creation_that_was_made_is_not_claimed_under_an_id_that_others_know(
    store: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    lose(arrives=True)
    _fails_perhaps(lambda: write(store))
    assert store.get("ada") == {"n": 1}


@pytest.mark.parametrize("write", CREATIONS, ids=CREATION_NAMES)
def test_a_creation_that_never_arrived_is_made_once(store: Store, lose: Lose, write: Callable[[Store], object]) -> None:
    lose(arrives=False)
    write(store)
    assert store.get("ada") == {"n": 1}


@pytest.mark.parametrize("write", CREATIONS, ids=CREATION_NAMES)
def test_two_creators_of_the_same_are_not_both_told_yes(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    lose(arrives=False, then=lambda: other.create({"n": 1}, id="ada"))
    _fails_perhaps(lambda: write(store))


@pytest.mark.parametrize("write", CREATIONS, ids=CREATION_NAMES)
def test_what_another_deleted_is_not_brought_back(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    lose(arrives=True, then=lambda: other.delete("ada"))
    _fails_perhaps(lambda: write(store))
    assert "ada" not in store


@pytest.mark.parametrize("write", [CREATIONS[0], CREATIONS[2]], ids=["create", "create_many"])
def test_an_id_that_another_has_taken_for_something_else_is_taken(
    store: Store, other: Store, lose: Lose, write: Callable[[Store], object]
) -> None:
    lose(arrives=False, then=lambda: other.create({"n": 7}, id="ada"))
    with pytest.raises((DocumentExists, BulkError)) as caught:
        write(store)
    error = caught.value.errors[0] if isinstance(caught.value, BulkError) else caught.value
    assert isinstance(error, DocumentExists)


def test_a_document_under_an_id_that_the_store_made_is_ones_own(store: Store, lose: Lose) -> None:
    lose(arrives=True)
    created = store.create({"n": 1})
    assert store.get(created.id).rev == created.rev
    lose(arrives=True)
    several = store.create_many([{"n": 2}, {"n": 3}])
    assert [store.get(one.id).rev for one in several] == [one.rev for one in several]
    assert store.count() == 3


def test_a_document_that_another_has_deleted_already_is_not_brought_back(
    store: Store, other: Store, lose: Lose
) -> None:
    lose(arrives=True, then=lambda: other.delete_many(list(other)))
    _fails_perhaps(lambda: store.create({"n": 1}))
    assert store.count() == 0
