"""How CouchDB, or what speaks its protocol, is found and started."""

from __future__ import annotations

import json
import shutil
import urllib.request
from base64 import b64encode
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support import docker, packaged
from tests.support.processes import Process, free_port, temporary_folder
from tests.support.server import (
    BIG_INTS,
    LOSES_ON_KILL,
    NEGATIVE_ZERO,
    OPEN_READS,
    PASSWORD,
    SCRIPT_NAMES,
    USER,
    WHOLE_FLOATS,
    Server,
    ServerMissing,
    login_of,
)

_HINT = (
    "no CouchDB here: set DIVAN_TEST_COUCHDB_URL, or install Node 20 (apt-get install nodejs npm), "
    "with which pouchdb-server is fetched from npm"
)

# Whatever proxy the environment names for HTTP: the drivers ask none either.
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def start() -> Server:
    """One process with an admin.

    Raises:
        ServerMissing: if there is none.
    """
    port = free_port()
    ready = partial(_answers, port)
    if program := shutil.which("couchdb"):
        folder = temporary_folder("couchdb")
        settings = folder / "local.ini"
        settings.write_text(
            f"[couchdb]\ndatabase_dir = {folder}\nview_index_dir = {folder}\nsingle_node = true\n"
            f"[chttpd]\nport = {port}\nbind_address = 127.0.0.1\n[admins]\n{USER} = {PASSWORD}\n"
        )
        command = [program, "-couch_ini", str(_default_ini(program)), str(settings)]
        process = Process("couchdb", command, folder, ready)
    elif _has_npm():
        folder = temporary_folder("couchdb")
        script = packaged.pouchdb_server()
        # Its authorisation takes the admins from this file; without one it crashes when a stranger makes a database.
        (folder / "config.json").write_text(json.dumps({"admins": {USER: PASSWORD}, "log": {"level": "none"}}))
        command = ["node", str(script), "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--no-stdout-logs"]
        process = Process("node", command, folder, ready)
    elif docker.is_there():
        process = docker.run("couchdb:3", 5984, port, ready, COUCHDB_USER=USER, COUCHDB_PASSWORD=PASSWORD)
    else:
        raise ServerMissing(_HINT)
    url = f"couchdb://{login_of(USER, PASSWORD)}127.0.0.1:{port}"
    product, number, limits = about(url)
    return Server("couchdb", url, product, number, frozenset(limits), (process,))


def _default_ini(program: str) -> Path:
    return Path(program).resolve().parent.parent / "etc" / "default.ini"


def _has_npm() -> bool:
    """Whether pouchdb-server is there, or can be installed."""
    return shutil.which("node") is not None and (packaged.has_pouchdb_server() or shutil.which("npm") is not None)


def summary() -> str:
    """What would be used, and its version."""
    if program := shutil.which("couchdb"):
        return f"CouchDB, {program}"
    if _has_npm():
        return f"PouchDB Server {packaged.POUCHDB_VERSION}, from npm"
    if docker.is_there():
        return "CouchDB 3, from Docker"
    raise ServerMissing(_HINT)


def _answers(port: int) -> bool:
    with suppress(OSError, HTTPException):
        open_url(f"http://127.0.0.1:{port}/", timeout=5).close()
        return True
    return False


def about(url: str) -> tuple[str, str, set[str]]:
    """Product, version and limits of a server."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "couchdbs" else "http"
    request = urllib.request.Request(f"{scheme}://{parts.netloc.rpartition('@')[2]}/")
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    with open_url(request, timeout=60) as answer:
        info: dict[str, Any] = json.load(answer)
    if "express-pouchdb" in info:
        return "PouchDB Server", info["version"], {BIG_INTS, WHOLE_FLOATS, SCRIPT_NAMES, LOSES_ON_KILL, OPEN_READS}
    return "CouchDB", str(info.get("version", "unknown")), {NEGATIVE_ZERO}
