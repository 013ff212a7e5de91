"""What a PostgreSQL URL may ask for: the driver's options as they are declared and told, and libpq's, passed on."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import divan
import pytest
from divan_postgres import PostgresBackend
from divan_postgres.options import OPTIONS, Settings, read
from psycopg.conninfo import conninfo_to_dict

UNUSABLE: dict[str, Any] = {
    "connect_timeout": -1,
    "timeout": 0,
    "max_connections": 0,
    "retries": -1,
    "create": "perhaps",
    "table": "a.b.c",
    "concurrently": "perhaps",
    "prepare": "perhaps",
}


def attempts(database: str = "guests", host: str = "localhost", port: int = 5432, **given: Any) -> list[dict[str, Any]]:
    """What libpq is asked for, an attempt each."""
    settings = Settings(database, host, port, read("postgresql", given))
    return [conninfo_to_dict(attempt.value.decode()) for attempt in settings.attempts(None)]


def as_text(default: object) -> str:
    """A default as the README shows it."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_the_readme_tells_the_options_as_they_are_declared() -> None:
    lines = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").splitlines()
    first = lines.index("| option | default | meaning |") + 2
    table = lines[first : lines.index("", first)]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]
    assert rows == [(f"`{name}`", as_text(option.default), option.about) for name, option in OPTIONS.items()]


def test_the_schemes_are_those_under_which_the_driver_is_installed() -> None:
    installed = entry_points(group="divan.backends")
    names = {entry.name for entry in installed if entry.value == "divan_postgres.backend:PostgresBackend"}
    assert names == {"postgresql", "postgres"}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_can_not_be_used_is_named(name: str) -> None:
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        divan.open(f"postgresql://localhost/x?{name}={UNUSABLE[name]}")
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        PostgresBackend("x", **{name: UNUSABLE[name]})


def test_an_unknown_option_is_named_with_those_there_are() -> None:
    with pytest.raises(divan.InvalidURL, match=r"no option 'sslmodus'; its options are: .*timeout"):
        divan.open("postgresql://localhost/x?sslmode=require&sslmodus=require")


@pytest.mark.parametrize("name", ["dbname", "port", "client_encoding", "replication", "scram_client_key"])
def test_what_is_given_in_another_way_is_no_option(name: str) -> None:
    with pytest.raises(divan.InvalidURL, match=f"no option '{name}'"):
        divan.open(f"postgresql://localhost/x?{name}=y")


def test_options_of_libpq_s_are_passed_on() -> None:
    (one,) = attempts(sslmode="verify-full", application_name="it's", keepalives=0)
    assert (one["sslmode"], one["application_name"], one["keepalives"]) == ("verify-full", "it's", "0")


def test_a_url_names_host_port_user_and_password_in_full() -> None:
    (one,) = attempts("my guests", "db.example", 5433, user="ada lovelace", password="it's a \\ 'secret'")
    assert one == {
        "host": "db.example", "port": "5433", "dbname": "my guests", "user": "ada lovelace",
        "password": "it's a \\ 'secret'", "client_encoding": "UTF8", "application_name": "divan",
    }  # fmt: skip


def test_several_hosts_are_tried_in_turn_each_at_its_port() -> None:
    found = attempts(host="one,two:5433,[::1]:5434", target_session_attrs="read-write")
    assert [(one["host"], one["port"]) for one in found] == [("one", "5432"), ("two", "5433"), ("::1", "5434")]
    assert {one["target_session_attrs"] for one in found} == {"read-write"}


def test_a_preferred_standby_is_looked_for_on_every_host_before_another_server_will_do() -> None:
    found = attempts(host="one,two", target_session_attrs="prefer-standby")
    assert [(one["host"], one["target_session_attrs"]) for one in found] == [
        ("one", "standby"), ("two", "standby"), ("one", "any"), ("two", "any"),
    ]  # fmt: skip


def test_a_service_says_where_the_server_is() -> None:
    (one,) = attempts("", service="hotel")
    assert "host" not in one
    assert "port" not in one
    assert "dbname" not in one


def test_a_folder_stands_for_the_socket_in_it() -> None:
    (one,) = attempts(host="/run/postgresql")
    assert (one["host"], one["port"]) == ("/run/postgresql", "5432")


@pytest.mark.parametrize("host", ["one:x", "one,", "one:0,two", "one:70000"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(divan.InvalidURL, match="is no host"):
        attempts(host=host)


@pytest.mark.parametrize("database", ["", "a/b", "a" * 64])
def test_a_database_that_is_none_is_refused(database: str) -> None:
    with pytest.raises(divan.InvalidURL, match="database"):
        attempts(database)


def test_no_password_is_in_what_is_shown() -> None:
    with pytest.raises(divan.DivanError) as caught:
        divan.open("postgresql://ada:s3cret@127.0.0.1:1/x?sslpassword=s3cret", connect_timeout=5)
    error: BaseException | None = caught.value
    while error is not None:
        trace = error.__traceback__
        assert "s3cret" not in f"{error!s}{error!r}"
        while trace is not None:
            if "divan_postgres" in trace.tb_frame.f_globals["__name__"]:
                assert "s3cret" not in repr(trace.tb_frame.f_locals)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
