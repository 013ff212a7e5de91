"""What happens when a live CouchDB or the network before it breaks, and when what answers is no CouchDB."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import divan
import pytest
from divan import Store
from divan.errors import (
    BulkError,
    ConnectionFailed,
    DocumentExists,
    OperationTimeout,
    StoreError,
)
from divan.testing.checks.network import closed_port

from tests.support.proxy import Proxy

pytestmark = pytest.mark.live


# Failures of the network


def test_a_server_that_is_not_there(database: str) -> None:
    with closed_port() as port, pytest.raises(ConnectionFailed, match=str(port)):
        divan.open("couchdb", database=database, host="127.0.0.1", port=port)


def test_a_host_that_does_not_exist(database: str) -> None:
    with pytest.raises(ConnectionFailed, match="nowhere"):
        divan.open("couchdb", database=database, host="nowhere.invalid")


def test_a_server_that_never_answers(database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OperationTimeout, match="timeout="):
        divan.open("couchdb", database=database, host="127.0.0.1", port=listener.getsockname()[1], timeout=0.2)


def test_a_server_that_takes_no_connection(database: str) -> None:
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with suppress(TimeoutError):  # the queue is full then
            while True:
                waiting.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.2))
        with pytest.raises(ConnectionFailed, match="connect_timeout="):
            divan.open("couchdb", database=database, host="127.0.0.1", port=port, connect_timeout=0.2)


def test_an_answer_that_cant_be_read_is_no_missing_document(wired: Store, proxy: Proxy) -> None:
    wired.create({}, id="ada")
    proxy.corrupt_next_answer()
    with pytest.raises(StoreError):
        wired.get("ada", None)
    assert wired.get("ada") == {}


def test_connections_that_the_server_closed_are_replaced(wired: Store, proxy: Proxy) -> None:
    wired.create({"n": 1}, id="ada")
    proxy.drop_connections()
    assert wired.update("ada", {"n": divan.Increment(1)})["n"] == 2


def test_a_created_document_whose_answer_was_lost_is_created_once(wired: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    created = wired.create({"n": 1})
    assert [(document.id, document.rev) for document in wired] == [(created.id, created.rev)]


def test_a_taken_id_stays_taken_when_an_answer_is_lost(wired: Store, proxy: Proxy) -> None:
    wired.create({"n": 1}, id="ada")
    proxy.cut_next_answer()
    with pytest.raises(DocumentExists):
        wired.create({"n": 2}, id="ada")
    assert wired.get("ada") == {"n": 1}


def test_a_batch_whose_answer_was_lost_is_written_once(wired: Store, proxy: Proxy) -> None:
    proxy.cut_next_answer()
    documents = wired.create_many([{"n": number} for number in range(20)])
    assert {document.id: document.rev for document in wired} == {document.id: document.rev for document in documents}


def test_a_server_that_stays_away_fails_the_batch_once(wired: Store, proxy: Proxy) -> None:
    proxy.stop()
    with pytest.raises(BulkError) as caught:
        wired.create_many([{}, {}])
    assert all(isinstance(error, ConnectionFailed) for error in caught.value.errors.values())


# What answers, and is not CouchDB


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>Welcome</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"hello": "world"}'),
        (200, "application/json", b"\xff\xfe"),
        (404, "text/html", b"<html>Not here</html>"),
        (404, "text/html", b"<html>" + b"Not here " * 2000),
        (404, "application/json", b'{"error": "not_found", "reason": "' + b"x" * 9000 + b'"}'),
        (404, "application/json", b"[]"),
        (500, "application/json", b'{"error": "badmatch", "reason": null}'),
        (503, "text/plain", b""),
        (302, "text/plain", b""),
    ],
)
def test_what_is_not_couchdb_is_an_error(status: int, kind: str, body: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        with pytest.raises(StoreError):
            divan.open("couchdb", database="guests", host="127.0.0.1", port=server.server_port, create=False)
    finally:
        server.shutdown()
        server.server_close()
