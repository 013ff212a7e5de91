"""Opening a live CouchDB: databases, names, options, credentials and TLS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import couchdb  # type: ignore[import-untyped]
import divan
import pytest
import trustme
from divan import Store
from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseNotFound,
    InvalidID,
    InvalidURL,
)
from divan_couchdb import CouchDBBackend

from tests.support.proxy import Proxy
from tests.support.servers import OPEN_READS, Server

pytestmark = pytest.mark.live


# Opening


def test_a_missing_database_is_made(store: Store, raw_server: couchdb.Server, database: str) -> None:
    assert database in raw_server


def test_a_missing_database_is_not_made_with_create_false(
    couchdb_server: Server, raw_server: couchdb.Server, database: str
) -> None:
    with pytest.raises(DatabaseNotFound, match=database):
        divan.open(couchdb_server.store_url(database, create="false"))
    assert database not in raw_server


def test_a_database_that_was_deleted_meanwhile_is_not_a_missing_document(
    store: Store, raw_server: couchdb.Server, database: str
) -> None:
    raw_server.delete(database)
    for call in (
        lambda: store.get("ada"),
        lambda: store.create({}),
        lambda: list(store),
        lambda: store.get_many(["ada"]),
    ):
        with pytest.raises(DatabaseNotFound):
            call()


def test_a_partitioned_database_is_asked_for(couchdb_server: Server, database: str, proxy: Proxy) -> None:
    with divan.open(couchdb_server.behind(proxy).store_url(database, partitioned="true")):
        assert f"PUT /{database}?partitioned=true" in proxy.requests


@pytest.mark.parametrize(
    "name", ["", "_users", "_replicator", "Upper", "1st", "..", "a b", "a?b", "a#b", "a%2Fb", "x" * 239]
)
def test_a_name_that_no_database_can_have_is_refused(couchdb_server: Server, name: str) -> None:
    with pytest.raises(InvalidURL, match="couchdb://"):
        divan.open(couchdb_server.store_url(name))


def test_a_database_name_with_a_slash_is_one_name(couchdb_server: Server, raw_server: couchdb.Server) -> None:
    name = f"divan_test/{uuid.uuid4().hex}"
    with divan.open(couchdb_server.store_url(name)) as store:
        store.create({"n": 1}, id="ada")
        assert raw_server[name]["ada"]["n"] == 1
    raw_server.delete(name)


@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "1e300"])
def test_a_timeout_is_a_number_of_seconds(couchdb_server: Server, option: str, value: str) -> None:
    with pytest.raises(InvalidURL, match=option):
        divan.open(couchdb_server.store_url("guests", **{option: value}))


@pytest.mark.parametrize("host", ["a/b", "a?b", "a b", "user@host", "one:5984,two:5984"])
def test_a_host_is_one_host(host: str) -> None:
    with pytest.raises(InvalidURL, match="host"):
        divan.open("couchdb", database="guests", host=host)


@pytest.mark.parametrize("id", ["_all_docs", "_design/people", "_local/x", "_changes", ".", ".."])
def test_no_id_reaches_an_endpoint(store: Store, id: str) -> None:
    backend = store.backend
    assert isinstance(backend, CouchDBBackend)
    for call in (backend.get_document_for_id, backend.delete, lambda id: backend.create({}, document_id=id)):
        with pytest.raises(InvalidID):
            call(id)


@pytest.mark.parametrize(
    "id", ["../other", "a/../../_all_dbs", "x?rev=1-a", "x#y", "%2e%2e%2f_all_dbs", "a/attachment", "\r\nGET /"]
)
def test_every_other_id_is_one_documents(wired: Store, proxy: Proxy, database: str, id: str) -> None:
    wired.create({"n": 1}, id=id)
    assert wired.get(id) == {"n": 1}
    assert [document.id for document in wired] == [id]
    wired.delete(id)
    assert all(request.split()[1].startswith(f"/{database}/") for request in proxy.requests)


# Credentials


def test_a_wrong_password_is_refused_and_not_shown(couchdb_server: Server, database: str) -> None:
    url = couchdb_server.store_url(database).replace(
        f"{couchdb_server.url.rpartition('@')[0]}@", "couchdb://divan:s3cret-word@"
    )
    with pytest.raises(AuthenticationFailed) as caught:
        divan.open(url)
    assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_a_password_is_not_shown_by_a_failure(couchdb_server: Server, wired: Store, proxy: Proxy) -> None:
    proxy.stop()
    with pytest.raises(ConnectionFailed) as caught:
        wired.get("ada")
    shown = f"{caught.value} {caught.value.__cause__!r} {wired!r} {wired.backend!r} {wired.backend.db!r}"
    assert couchdb_server.password is not None
    assert couchdb_server.password not in shown


def test_a_stranger_may_not_write(couchdb_server: Server, store: Store, raw: couchdb.Database, database: str) -> None:
    raw.security = {"members": {"names": ["somebody"], "roles": []}, "admins": {"names": ["somebody"], "roles": []}}
    with (
        pytest.raises(AuthenticationFailed),
        divan.open("couchdb", database=database, host=couchdb_server.host, port=couchdb_server.port) as stranger,
    ):
        stranger.get("ada")


def test_reading_needs_the_password(couchdb_server: Server, store: Store, database: str) -> None:
    if OPEN_READS in couchdb_server.limits:
        pytest.xfail(f"limit: {OPEN_READS}")
    with pytest.raises(AuthenticationFailed):
        divan.open("couchdb", database=database, host=couchdb_server.host, port=couchdb_server.port)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(couchdb_server: Server, authority: trustme.CA, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """The server behind TLS, and the file with the authority that its certificate is from."""
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    pem = str(tmp_path / "server.pem")
    with Proxy(couchdb_server.host, couchdb_server.port, certificate=(pem, pem)) as relay:
        url = couchdb_server.behind(relay).url.replace("couchdb://", "couchdbs://").replace(relay.host, "localhost")
        yield Server("couchdb", url, couchdb_server.product, couchdb_server.version), str(tmp_path / "ca.pem")


def test_tls_with_a_known_authority(secure: tuple[Server, str], database: str) -> None:
    server, ca_file = secure
    with divan.open(server.store_url(database, ca_file=ca_file)) as store:
        assert store.get(store.create({"n": 1}).id) == {"n": 1}


def test_tls_with_an_unknown_authority_is_refused(secure: tuple[Server, str], database: str) -> None:
    with pytest.raises(ConnectionFailed, match="ca_file"):
        divan.open(secure[0].store_url(database))


def test_tls_for_another_host_is_refused(secure: tuple[Server, str], database: str) -> None:
    server, ca_file = secure
    with pytest.raises(ConnectionFailed, match="TLS"):
        divan.open(server.store_url(database, ca_file=ca_file).replace("localhost", "127.0.0.1", 1))


def test_tls_unchecked_if_asked_for(secure: tuple[Server, str], database: str) -> None:
    with divan.open(secure[0].store_url(database, verify="false")) as store:
        assert store.count() == 0


def test_a_file_without_certificates_is_refused(secure: tuple[Server, str], database: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text(json.dumps("nothing"))
    with pytest.raises(InvalidURL, match="ca_file"):
        divan.open(secure[0].store_url(database, ca_file=str(tmp_path / "empty.pem")))
