"""Opening a live PostgreSQL: accounts, databases and tables that are missing, and tables of another form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import divan
import psycopg
import pytest
from divan import Store

from tests.support.servers import Server

from .live import new_name

pytestmark = pytest.mark.live


@pytest.fixture
def database(postgres_server: Server) -> Iterator[str]:
    """The name of a database that is not there."""
    name = f'{new_name()} "é"'
    yield name
    with psycopg.connect(
        host=postgres_server.host, port=postgres_server.port, dbname="postgres", user=postgres_server.user,
        password=postgres_server.password, autocommit=True,
    ) as connection:  # fmt: skip
        quoted = name.replace('"', '""')
        connection.execute(f'DROP DATABASE IF EXISTS "{quoted}" WITH (FORCE)')


def url(server: Server, database: str, **options: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{server.url}/{quote(database, safe='')}?{query or 'timeout=60'}"


def test_a_missing_database_is_made_with_its_table(postgres_server: Server, database: str) -> None:
    with divan.open(url(postgres_server, database)) as store:
        store.create({"n": 1}, id="a")
    with divan.open(url(postgres_server, database, create="false")) as store:
        assert store.get("a") == {"n": 1}


def test_a_missing_database_or_table_is_none_of_ours_to_make_with_create_false(
    postgres_server: Server, store: Store, database: str
) -> None:
    with pytest.raises(divan.DatabaseNotFound, match="has no database"):
        divan.open(url(postgres_server, database, create="false"))
    with pytest.raises(divan.DatabaseNotFound, match="has no table"):
        divan.open(postgres_server.store_url(new_name(), create="false"))


def test_a_wrong_password_is_refused(postgres_auth_server: Server) -> None:
    with divan.open(postgres_auth_server.store_url(new_name())) as store:
        store.ping()
    for password in ("wrong", None):
        with pytest.raises(divan.AuthenticationFailed):
            divan.open(
                "postgresql", database="postgres", host=postgres_auth_server.host, port=postgres_auth_server.port,
                user=postgres_auth_server.user, password=password,
            )  # fmt: skip


def test_a_unix_socket_opens(postgres_server: Server, store: Store, table: str) -> None:
    if "socket" not in postgres_server.extra:
        pytest.skip("this server was not started here, so that its Unix socket is out of reach")
    store.create({"a": 1}, id="x")
    folder = quote(postgres_server.extra["socket"], safe="")
    user, database = quote(str(postgres_server.user), safe=""), postgres_server.extra["database"]
    socket = f"postgresql://{user}@{folder}:{postgres_server.port}/{database}?table={table}"
    with divan.open(socket) as other:
        assert other.get("x") == {"a": 1}


def test_a_host_that_is_down_leaves_the_next_its_turn(postgres_server: Server, store: Store, table: str) -> None:
    rest = f"{postgres_server.extra['database']}?table={table}&target_session_attrs=read-write"
    user = quote(str(postgres_server.user), safe="")
    with divan.open(f"postgresql://{user}@127.0.0.1:1,127.0.0.1:{postgres_server.port}/{rest}") as other:
        other.ping()


def test_an_account_that_may_only_read_is_refused_to_write(postgres_server: Server, store: Store, table: str) -> None:
    raw = store.backend.db
    store.create({"n": 1}, id="a")
    role = new_name()
    raw.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    raw.execute(f"GRANT SELECT ON {table} TO {role}")
    try:
        with divan.open(
            "postgresql", database=postgres_server.extra["database"], host=postgres_server.host,
            port=postgres_server.port, user=role, password="x", table=table,
        ) as reader:  # fmt: skip
            assert reader.get("a") == {"n": 1}
            with pytest.raises(divan.AuthenticationFailed, match="permission denied"):
                reader.update("a", {"n": 2})
    finally:
        raw.execute(f"DROP OWNED BY {role}")
        raw.execute(f"DROP ROLE {role}")


FORMS = {
    "id text PRIMARY KEY, rev bigint NOT NULL, body jsonb NOT NULL": 'id text COLLATE "C"',
    'id text COLLATE "C" NOT NULL, rev bigint NOT NULL, body jsonb NOT NULL': "unique index",
    'id text COLLATE "C" PRIMARY KEY, rev integer NOT NULL, body jsonb NOT NULL': "rev bigint",
    'id text COLLATE "C" PRIMARY KEY, rev bigint NOT NULL, body json NOT NULL': "body jsonb",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_another_form_is_refused_and_told_what_it_lacks(
    postgres_server: Server, store: Store, raw: Any, form: str
) -> None:
    other = new_name()
    raw.execute(f"CREATE TABLE {other} ({form})")
    with pytest.raises(divan.StoreError, match=FORMS[form]):
        divan.open(postgres_server.store_url(other))
    raw.execute(f"DROP TABLE {other}")


def test_further_columns_of_a_table_are_left_alone(postgres_server: Server, store: Store, raw: Any, table: str) -> None:
    raw.execute(f"ALTER TABLE {table} ADD COLUMN seen timestamptz DEFAULT now(), ADD COLUMN note text DEFAULT 'kept'")
    with divan.open(postgres_server.store_url(table)) as other:
        other.create({"n": 1}, id="a")
        other.update("a", {"n": 2})
        other.put("a", {"n": 3})
        assert other.put_many([("a", {"n": 4})])[0] == {"n": 4}
    assert raw.execute(f"SELECT note, seen IS NOT NULL FROM {table}").fetchall() == [("kept", True)]


def test_a_table_that_is_changed_meanwhile_goes_on_working(store: Store, raw: Any, table: str) -> None:
    store.create({"n": 1}, id="a")
    raw.execute(f"ALTER TABLE {table} ADD COLUMN more text")
    assert store.update("a", {"n": 2}) == {"n": 2}
    raw.execute(f"ALTER TABLE {table} DROP COLUMN more")
    assert store.get("a") == {"n": 2}


def test_a_table_that_is_dropped_is_told(store: Store, raw: Any, table: str) -> None:
    raw.execute(f"DROP TABLE {table}")
    with pytest.raises(divan.DatabaseNotFound):
        store.get("a")
    with suppress(divan.DivanError):
        store.close()
