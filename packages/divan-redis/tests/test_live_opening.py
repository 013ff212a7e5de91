"""Opening a live Redis: accounts, TLS and sockets."""

from __future__ import annotations

from pathlib import Path

import divan
import pytest
from divan import Increment, Store

from tests.support import servers
from tests.support.resp import call
from tests.support.servers import Server

pytestmark = pytest.mark.live


# Accounts


def test_the_right_password_opens(redis_auth_server: Server, database: str) -> None:
    with divan.open(redis_auth_server.store_url(database)) as store:
        store.create({}, id="x")
        store.delete("x")
    with divan.open(
        "redis",
        database=database,
        host=redis_auth_server.host,
        port=redis_auth_server.port,
        user=redis_auth_server.extra["acl_user"],
        password=redis_auth_server.password,
    ) as store:
        assert store.count() == 0


@pytest.mark.parametrize("password", ["wr@ng:secret", None])
def test_a_wrong_password_is_refused_and_never_shown(redis_auth_server: Server, password: str | None) -> None:
    with pytest.raises(divan.AuthenticationFailed) as caught:
        divan.open("redis", database="x", host=redis_auth_server.host, port=redis_auth_server.port, password=password)
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in f"{error!s} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("character", list("!#$%&'()*+,/:;=?@[] \"<>\\^`{|}~é"))
def test_a_password_may_hold_every_character_that_a_url_reserves(character: str) -> None:
    from urllib.parse import quote

    password = f"a{character}b"
    with servers.fresh("redis") as own:
        call(own.port, "ACL", "SETUSER", "ada", "on", f">{password}", "~*", "+@all")
        with divan.open(f"redis://ada:{quote(password, safe='')}@127.0.0.1:{own.port}/x") as store:
            assert store.create({}).id
            assert password not in f"{store!r}{store.backend!r}{store.backend.options}"


def test_what_an_account_may_not_do_is_refused(redis_server: Server, database: str) -> None:
    call(redis_server.port, "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@connection", "+@read", "+scan")
    try:
        with divan.open(f"redis://reader:pw@127.0.0.1:{redis_server.port}/{database}") as store:
            assert list(store) == []
            with pytest.raises(divan.AuthenticationFailed):
                store.create({})
            with pytest.raises(divan.AuthenticationFailed):
                store.delete("x")
    finally:
        call(redis_server.port, "ACL", "DELUSER", "reader")


def test_the_commands_that_the_readme_lists_are_enough(redis_server: Server, database: str) -> None:
    readme = Path(__file__).parents[1] / "README.md"
    (line,) = [line for line in readme.read_text().splitlines() if line.startswith("ACL SETUSER divan ")]
    words = line.removeprefix("ACL SETUSER divan ").replace("guests", database).split()
    call(redis_server.port, "ACL", "SETUSER", "divan", *words)
    try:
        with divan.open(f"redis://divan:secret@127.0.0.1:{redis_server.port}/{database}") as store:
            store.create_many([("a", {"n": 1}), ("b", {"n": 1})])
            rev = store.update("a", {"n": Increment(1), "m": divan.REMOVE}).rev
            store.replace("b", {"n": 2})
            store.put("c", {})
            assert store.count({"n": 2}) == 2
            assert len(list(store.find(fields=["n"]))) == 3
            store.delete("a", rev=rev)
            store.delete_many(store.ids())
    finally:
        call(redis_server.port, "ACL", "DELUSER", "divan")


# TLS and sockets


def test_tls_with_the_authority_that_signed_opens(redis_tls_server: Server, database: str) -> None:
    with divan.open(redis_tls_server.store_url(database, ssl_ca_certs=str(redis_tls_server.ca_file))) as store:
        store.create({"a": 1}, id="x")
        assert store.get("x") == {"a": 1}
        store.delete("x")


def test_tls_without_the_authority_is_refused(redis_tls_server: Server) -> None:
    with pytest.raises(divan.ConnectionFailed, match=r"(?i)certificate"):
        divan.open(redis_tls_server.store_url("x"))


def test_tls_by_another_authority_is_refused(redis_tls_server: Server, tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme makes the other authority: pip install trustme")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with pytest.raises(divan.ConnectionFailed, match=r"(?i)certificate"):
        divan.open(redis_tls_server.store_url("x", ssl_ca_certs=str(tmp_path / "other.pem")))


def test_tls_can_be_told_not_to_check(redis_tls_server: Server, database: str) -> None:
    with divan.open(redis_tls_server.store_url(database, ssl_cert_reqs="none")) as store:
        store.ping()


def test_tls_to_a_server_without_it_is_a_failed_connection(redis_server: Server) -> None:
    with pytest.raises(divan.ConnectionFailed):
        divan.open(f"rediss://127.0.0.1:{redis_server.port}/x?connect_timeout=0.3&timeout=0.3")


def test_a_unix_socket_opens(redis_server: Server, store: Store, database: str) -> None:
    if "socket" not in redis_server.extra:
        pytest.skip("this server was not started here, so that its Unix socket is out of reach")
    store.create({"a": 1}, id="x")
    with divan.open(f"redis+unix:///{database}?socket={redis_server.extra['socket']}") as other:
        assert other.get("x") == {"a": 1}
