"""What happens when MongoDB refuses, hangs, or is cut off."""

from __future__ import annotations

import socket
import traceback
import uuid
from collections.abc import Callable, Iterator

import divan
import pymongo
import pytest
from divan.testing.checks.network import closed_port

from tests.support.proxy import Proxy
from tests.support.servers import Server

from .live import MONITOR_SILENT

pytestmark = pytest.mark.live


def test_the_right_password_opens_and_a_wrong_one_does_not(mongo_auth_server: Server, database: str) -> None:
    url = mongo_auth_server.store_url(database)
    with divan.open(url) as store:
        store.create({"n": 1})
        store.backend.client.drop_database(database)  # type: ignore[attr-defined]
    wrong = uuid.uuid4().hex
    with pytest.raises(divan.AuthenticationFailed) as failure:
        divan.open(url, password=wrong)
    assert wrong not in "".join(traceback.format_exception(failure.value))


def test_no_password_is_refused_where_one_is_wanted(mongo_auth_server: Server, database: str) -> None:
    with pytest.raises(divan.AuthenticationFailed):
        divan.open(f"mongo://{mongo_auth_server.host}:{mongo_auth_server.port}/{database}")


def test_an_open_store_never_shows_its_password(mongo_auth_server: Server, database: str) -> None:
    with divan.open(mongo_auth_server.store_url(database)) as store:
        assert str(mongo_auth_server.password) not in f"{store!r} {store.backend!r} {store.backend.options}"


def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    with closed_port() as port:
        error = _refusal([port])
    assert isinstance(error, divan.ConnectionFailed), repr(error)
    assert f"127.0.0.1:{port}" in str(error)


def test_every_host_of_a_url_is_tried() -> None:
    with closed_port() as one, closed_port() as other:
        ports = [one, other]
        error = _refusal(ports)
    assert isinstance(error, divan.ConnectionFailed), repr(error)
    assert all(f"127.0.0.1:{port}: " in str(error) for port in ports)


def _refusal(ports: list[int]) -> divan.DivanError:
    """The error of opening what refuses: on a busy machine pymongo's threads need more time to try every host."""
    hosts = [f"127.0.0.1:{port}" for port in ports]
    for seconds in (1, 5, 30):
        with pytest.raises(divan.DivanError) as failure:
            divan.open(f"mongo://{','.join(hosts)}/a?connect_timeout={seconds}")
        if all(f"{host}: " in str(failure.value) for host in hosts):
            break
    return failure.value


def test_a_server_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(divan.OperationTimeout):
        divan.open(f"mongo://127.0.0.1:{listener.getsockname()[1]}/a?connect_timeout=1")


def test_the_hosts_of_a_srv_name_that_does_not_exist_cannot_be_reached() -> None:
    with pytest.raises(divan.ConnectionFailed, match="can't be looked up"):
        divan.open("mongodb+srv://cluster.example.invalid/a?connect_timeout=0.5")


_ALONE = f"directConnection=true&{MONITOR_SILENT}"


@pytest.fixture
def proxied(mongo_server: Server, database: str) -> Iterator[tuple[divan.Store, Proxy]]:
    """A Store that talks through a proxy, holding the document ``"ada"``."""
    if mongo_server.user is not None:
        pytest.skip("the server in the environment wants credentials")
    with (
        Proxy(mongo_server.host, mongo_server.port) as proxy,
        divan.open(f"mongo://127.0.0.1:{proxy.port}/{database}?{_ALONE}") as store,
    ):
        store.create({"n": 1}, id="ada")
        yield store, proxy
    with divan.open(mongo_server.store_url(database)) as last:
        last.backend.client.drop_database(database)  # type: ignore[attr-defined]


def test_a_lost_answer_creates_no_second_document(proxied: tuple[divan.Store, Proxy]) -> None:
    store, proxy = proxied
    proxy.cut_next_answer()
    try:
        store.create({"n": 2}, id="blaise")
    except divan.ConnectionFailed:
        pass  # the server keeps no record of retryable writes
    assert sorted(store.ids()) == ["ada", "blaise"]


def test_a_dropped_connection_is_replaced_for_a_read(proxied: tuple[divan.Store, Proxy]) -> None:
    store, proxy = proxied
    proxy.drop_connections()
    assert store["ada"] == {"n": 1}


def test_an_answer_that_cannot_be_read_is_an_error(proxied: tuple[divan.Store, Proxy]) -> None:
    store, proxy = proxied
    proxy.corrupt_next_answer()
    with pytest.raises(divan.DivanError) as failure:
        store.update("ada", {"n": 2})
    assert not isinstance(failure.value, divan.DocumentNotFound)


def test_an_iterator_outlives_no_closed_store(open_store: Callable[..., divan.Store]) -> None:
    store = open_store()
    store.create_many({"n": n} for n in range(500))
    iterator = iter(store)
    next(iterator)
    store.close()
    with pytest.raises(divan.StoreClosed):
        list(iterator)


def test_the_native_client_is_at_hand(store: divan.Store) -> None:
    assert isinstance(store.backend.db, pymongo.database.Database)
