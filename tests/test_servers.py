"""The live servers that the other tests rely on, and the proxy between them and a client."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from configparser import ConfigParser
from contextlib import suppress

import bson
import pytest

from tests.support import mongo_kind, servers
from tests.support.couchdb_kind import open_url
from tests.support.processes import wait_until
from tests.support.proxy import Proxy
from tests.support.resp import call
from tests.support.server import PASSWORD
from tests.support.servers import Server

pytestmark = pytest.mark.live


def test_a_kind_is_started_once_a_run(redis_server: Server) -> None:
    assert servers.redis() is redis_server


def test_a_store_url_encodes_the_database_and_the_options(redis_server: Server) -> None:
    assert redis_server.store_url("a/b", ca_file="x y").endswith("/a%2Fb?ca_file=x%20y")


def test_a_fresh_server_is_another_one_and_is_gone_afterwards(redis_server: Server) -> None:
    with servers.fresh("redis") as own:
        assert own.port != redis_server.port
    with pytest.raises(ConnectionRefusedError):
        call(own.port, "PING")


def test_a_killed_server_restarts_on_its_port(redis_server: Server) -> None:
    with servers.fresh("redis") as own:
        own.kill()
        own.restart()
        assert call(own.port, "PING") == "PONG"


def test_the_password_server_refuses_a_stranger(redis_auth_server: Server) -> None:
    with pytest.raises(ValueError, match="NOAUTH"):
        call(redis_auth_server.port, "GET", "x")


def test_the_password_server_knows_its_acl_user(redis_auth_server: Server) -> None:
    login = (redis_auth_server.extra["acl_user"], redis_auth_server.password or "")
    assert call(redis_auth_server.port, "ACL", "WHOAMI", login=login) == login[0]


def test_the_tls_server_is_trusted_through_its_own_authority_only(redis_tls_server: Server) -> None:
    good = ssl.create_default_context(cafile=redis_tls_server.ca_file)
    with _connect_tls(redis_tls_server, good) as secure:
        secure.sendall(b"PING\r\n")
        assert secure.recv(100) == b"+PONG\r\n"
    with pytest.raises(ssl.SSLCertVerificationError):
        _connect_tls(redis_tls_server, ssl.create_default_context())


def _connect_tls(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    with socket.create_connection((server.host, server.port)) as plain:  # which a wrapped socket takes over
        return context.wrap_socket(plain, server_hostname="localhost")


def test_the_password_survives_an_ini_file() -> None:
    ini = ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    ini.read_string(f"[admins]\nadmin = {PASSWORD}\n")
    assert ini["admins"]["admin"] == PASSWORD


def test_a_mongo_server_that_tells_no_version_can_be_tested_against() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer_only_hello, args=(listener,), daemon=True).start()
        assert mongo_kind.about(f"mongodb://127.0.0.1:{listener.getsockname()[1]}") == (
            "MongoDB",
            "of unknown version",
            set(),
        )


def _answer_only_hello(listener: socket.socket) -> None:
    """Speak as much of MongoDB's protocol as a client needs to connect."""

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while header := stream.read(16):
                length, number, _, kind = struct.unpack("<iiii", header)
                body = stream.read(length - 16)
                hello = {"ok": 1, "isWritablePrimary": True, "maxWireVersion": 21, "minWireVersion": 0}
                refusal = {"ok": 0, "code": 59, "errmsg": "no such command: 'buildInfo'"}
                if kind == 2004:  # OP_QUERY, with which a client greets
                    answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(hello)
                else:
                    answer = b"\0" * 5 + bson.encode(refusal if b"buildinfo" in body.lower() else hello)
                stream.write(struct.pack("<iiii", 16 + len(answer), 1, number, 1 if kind == 2004 else 2013) + answer)
                stream.flush()

    with suppress(OSError):  # once the test is over
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def test_the_cluster_serves_every_slot(redis_cluster: Server) -> None:
    def serves() -> bool:
        info = call(redis_cluster.port, "CLUSTER", "INFO", host=redis_cluster.host)
        return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info

    wait_until(serves, "the service of every slot")  # which a machine that stands still for a while interrupts


def test_the_sentinel_knows_the_primary(redis_sentinel: Server) -> None:
    address = call(redis_sentinel.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", redis_sentinel.extra["service"])
    assert address == ["127.0.0.1", redis_sentinel.extra["primary_port"]]


def test_the_proxy_counts_round_trips_and_connections(redis_server: Server) -> None:
    with Proxy(redis_server.host, redis_server.port) as proxy:
        with socket.create_connection((proxy.host, proxy.port)) as client:
            for _ in range(3):
                client.sendall(b"PING\r\n")
                assert client.recv(100) == b"+PONG\r\n"
        assert proxy.round_trips == 3
        assert proxy.connections == 1


def test_the_proxy_reads_the_requests_of_http(couchdb_server: Server) -> None:
    with Proxy(couchdb_server.host, couchdb_server.port, http=True) as proxy:
        open_url(f"http://{proxy.host}:{proxy.port}/?a=1", timeout=60).close()
        assert proxy.requests == ["GET /?a=1"]


def test_the_proxy_cuts_an_answer_that_the_server_gave(redis_server: Server) -> None:
    with Proxy(redis_server.host, redis_server.port) as proxy:
        proxy.cut_next_answer()
        with socket.create_connection((proxy.host, proxy.port)) as client:
            client.sendall(b"SET divan:proxy 1\r\n")
            assert client.recv(100) == b""
        assert call(redis_server.port, "GET", "divan:proxy", host=redis_server.host) == "1"
        call(redis_server.port, "DEL", "divan:proxy", host=redis_server.host)
