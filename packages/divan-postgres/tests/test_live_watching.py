"""What a live PostgreSQL tells of changes beyond the suite: transactions that end in another order, other programs."""

from __future__ import annotations

from collections.abc import Iterator

import divan
import psycopg
import pytest
from divan import Store, TokenExpired
from divan_postgres.sql import identifier

from tests.support.servers import Server

from .live import dropped, new_name

pytestmark = pytest.mark.live


@pytest.fixture
def table() -> str:
    return new_name()


@pytest.fixture
def url(postgres_server: Server, table: str) -> str:
    return postgres_server.store_url(table)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    yield from dropped(divan.open(url))


@pytest.fixture
def other(store: Store) -> Iterator[psycopg.Connection]:
    """Another program's connection, whose transactions are its own affair."""
    with psycopg.connect(store.backend.db.info.dsn) as connection:
        yield connection


def told(store: Store, since: str) -> list[tuple[str, str]]:
    return [(event.kind, event.id) for event in store.watch(since, wait=0)]


def test_a_transaction_that_ends_later_is_not_missed(store: Store, other: psycopg.Connection, table: str) -> None:
    begin = store.watch().token
    other.execute(f"INSERT INTO {identifier(table)} (id, body) VALUES ('early', '{{}}')")
    store.create({}, id="late")
    (event,) = store.watch(begin, wait=0)
    assert event.id == "late"
    other.commit()
    store.create({}, id="later")
    assert [id for _, id in told(store, event.token)] == ["early", "later"]
    assert sorted(id for _, id in told(store, begin)) == ["early", "late", "later"]


def test_what_is_rolled_back_is_not_told(store: Store, other: psycopg.Connection, table: str) -> None:
    begin = store.watch().token
    other.execute(f"INSERT INTO {identifier(table)} (id, body) VALUES ('a', '{{}}')")
    other.rollback()
    assert told(store, begin) == []


def test_another_programs_writes_are_told(store: Store, other: psycopg.Connection, table: str) -> None:
    begin = store.watch().token
    name = identifier(table)
    other.execute(f"INSERT INTO {name} (id, body) VALUES ('a', '{{}}'), ('b', '{{}}')")
    other.execute(f"UPDATE {name} SET body = '{{\"n\": 1}}', rev = rev + 1 WHERE id = 'a'")
    other.execute(f"UPDATE {name} SET id = 'c' WHERE id = 'b'")
    other.execute(f"DELETE FROM {name} WHERE id = 'a'")
    other.commit()
    assert told(store, begin) == [
        ("created", "a"),
        ("created", "b"),
        ("updated", "a"),
        ("deleted", "b"),
        ("created", "c"),
        ("deleted", "a"),
    ]


def test_a_batch_of_one_transaction_is_told_in_parts(store: Store, url: str) -> None:
    begin = store.watch().token
    store.put_many({f"{number:05}": {} for number in range(1500)})
    assert [id for _, id in told(store, begin)] == [f"{number:05}" for number in range(1500)]


def test_a_position_whose_changes_are_gone_has_expired(store: Store, table: str) -> None:
    begin = store.watch().token
    store.create_many([(f"{number:04}", {}) for number in range(100)])
    # As the trigger does it behind 100,000 changes.
    log = identifier(f"{table}_changes")
    store.backend.db.execute(
        f"WITH gone AS (DELETE FROM {log} WHERE seq BETWEEN 1 AND 50 RETURNING tx) UPDATE {log} "
        "SET tx = greatest(tx, (SELECT tx FROM gone ORDER BY tx DESC LIMIT 1)) WHERE seq = 0"
    )
    with pytest.raises(TokenExpired):
        told(store, begin)
    assert told(store, store.watch().token) == []


def test_a_token_of_another_table_is_none_here(store: Store, postgres_server: Server) -> None:
    token = store.watch().token
    for other in dropped(divan.open(postgres_server.store_url(new_name()))):
        with pytest.raises(TokenExpired):
            told(other, token)
        other.watch()
        with pytest.raises(TokenExpired):
            told(other, token)


def test_long_names_have_tables_of_changes_of_their_own(postgres_server: Server) -> None:
    long = new_name() + "x" * 50
    for one in dropped(divan.open(postgres_server.store_url(long[:-1] + "1"))):
        for other in dropped(divan.open(postgres_server.store_url(long[:-1] + "2"))):
            begins = one.watch().token, other.watch().token
            one.create({}, id="a")
            assert (told(one, begins[0]), told(other, begins[1])) == ([("created", "a")], [])
