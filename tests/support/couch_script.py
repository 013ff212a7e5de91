"""A server that speaks as CouchDB does, and answers as a test tells it: what no CouchDB can be made to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Reply = tuple[int, Any] | bytes | None
"""Status and JSON; bytes that are sent as they are, before the connection is closed; `None` closes it at once."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up, as tests make them do."""


class CouchScript:
    """Answers each request as the first rule says that fits; a rule answers once, unless it is told to stay.

    Args:
        database: The database's name, of which it tells that it is there.
        about: What it tells of the database beside its name.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        requests: What it was asked: ``("PUT", "/guests/ada?w=3", the JSON of the body or None)``, … in order.
    """

    def __init__(self, database: str = "guests", **about: Any) -> None:
        self._database = f"/{database}"
        self._about = {"db_name": database, "doc_count": 0, "cluster": {"q": 2, "n": 3, "w": 2, "r": 2}, **about}
        self._rules: list[tuple[str, str, bool, Callable[[str, Any], Reply]]] = []
        self._lock = threading.Lock()
        self.requests: list[tuple[str, str, Any]] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port: int = self._server.server_port

    def on(self, method: str, path: str, reply: Reply | Callable[[str, Any], Reply], *, stays: bool = False) -> Self:
        """Add a rule.

        Args:
            method: The HTTP method.
            path: A part of the path behind the database's name, such as ``"/ada?open_revs"``.
            reply: What is answered; or what makes it, of the path and the body's JSON.
            stays: Whether the rule answers more than once.
        """
        with self._lock:
            self._rules.append((method, path, stays, reply if callable(reply) else lambda path, body: reply))
        return self

    def asked(self, method: str = "") -> list[str]:
        """The requests of a method (any, with ``""``), without those for the database itself, as ``"PUT /ada"``."""
        return [
            f"{asked} {path.removeprefix(self._database)}"
            for asked, path, _ in self.requests
            if asked.startswith(method) and path != self._database
        ]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, method: str, path: str, body: Any) -> Reply:
        with self._lock:
            self.requests.append((method, path, body))
            if method == "GET" and path == self._database:
                return 200, self._about
            for rule in self._rules:
                if rule[0] == method and rule[1] in path.removeprefix(self._database):
                    if not rule[2]:
                        self._rules.remove(rule)
                    return rule[3](path, body)
        return 500, {"error": "unscripted", "reason": f"{method} {path}"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                reply = script._reply(self.command, self.path, json.loads(text) if text else None)
                if reply is None or isinstance(reply, bytes):
                    if reply:
                        self.wfile.write(reply)
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                data = json.dumps(reply[1]).encode()
                self.send_response(reply[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = _answer

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler
