"""What a live MongoDB tells of changes beyond the suite: other programs' writes, and what is said where it tells none."""

from __future__ import annotations

import base64

import divan
import pytest
from bson import ObjectId
from divan import TokenExpired, UnsupportedOperation

from tests.support.servers import Server

pytestmark = pytest.mark.live


def test_a_server_that_is_alone_says_what_to_do(mongo_server: Server, database: str) -> None:
    with (
        divan.open(mongo_server.store_url(database)) as store,
        pytest.raises(UnsupportedOperation, match=r"start the server with --replSet"),
    ):
        store.watch()


def test_another_programs_writes_are_told(mongo_set: Server, database: str) -> None:
    with divan.open(mongo_set.store_url(database)) as store:
        begin = store.watch().token
        collection = store.backend.collection  # type: ignore[attr-defined]
        number = ObjectId()
        collection.insert_one({"_id": number, "n": 1})
        collection.update_one({"_id": number}, {"$set": {"n": 2}})
        collection.delete_one({"_id": number})
        events = list(store.watch(begin, wait=0))
        assert [event.kind for event in events] == ["created", "updated", "deleted"]
        assert {event.id for event in events} == {str(number)}
        store.backend.db.client.drop_database(store.backend.db.name)


def test_a_token_that_the_server_does_not_know_has_expired(mongo_set: Server, database: str) -> None:
    with divan.open(mongo_set.store_url(database)) as store:
        token = base64.urlsafe_b64encode(b"mongodb 8200000000").decode().rstrip("=")
        with pytest.raises(TokenExpired):
            next(store.watch(token, wait=0))
