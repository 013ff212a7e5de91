"""How each kind of live server is found and started; `tests.servers` is the way to ask for one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests import packaged, redis_kinds
from tests.processes import Process, free_port, temporary_folder
from tests.servers import (
    BIG_INTS,
    LOSES_ON_KILL,
    OPEN_READS,
    PASSWORD,
    SCRIPT_NAMES,
    USER,
    WHOLE_FLOATS,
    Server,
    ServerMissing,
    login_of,
)

_VARIABLES = {
    "couchdb": "DIVAN_TEST_COUCHDB_URL",
    "mongo": "DIVAN_TEST_MONGO_URL",
    "redis": "DIVAN_TEST_REDIS_URL",
    "redis-cluster": "DIVAN_TEST_REDIS_CLUSTER_URL",
}
_SCHEMES = {"http": "couchdb", "https": "couchdbs"}


def kinds(*, own: bool = False) -> dict[str, Callable[[], Server]]:
    """Kind → what finds and starts it; with `own`, the environment is left out."""
    found: dict[str, Callable[[], Server]] = {
        "couchdb": _start_couchdb,
        "mongo": _start_mongo,
        "mongo-auth": partial(_start_mongo, auth=True),
        "redis": redis_kinds.start_redis,
        "redis-auth": partial(redis_kinds.start_redis, auth=True),
        "redis-tls": redis_kinds.start_tls,
        "redis-cluster": redis_kinds.start_cluster,
        "redis-sentinel": redis_kinds.start_sentinel,
    }
    if not own:
        for kind, variable in _VARIABLES.items():
            if url := os.environ.get(variable):
                found[kind] = partial(_from_environment, kind, url)
    return found


def summary(kind: str) -> str:
    """What would be used for a kind, and its version; nothing is started."""
    variable = _VARIABLES[kind]
    if url := os.environ.get(variable):
        try:
            return f"{_from_environment(kind, url)}, from {variable}"
        except Exception as error:  # whatever its client raises: the tests that need it fail, and not the whole run
            return f"{variable} is set, but no such server answers: {type(error).__name__}"
    try:
        return {"couchdb": _couchdb_summary, "mongo": _mongo_summary, "redis": redis_kinds.summary}[kind]()
    except ServerMissing as missing:
        return f"missing: {missing}"


def _from_environment(kind: str, url: str) -> Server:
    parts = urlsplit(url)
    base = f"{_SCHEMES.get(parts.scheme, parts.scheme)}://{parts.netloc}"
    about = {"couchdb": _about_couchdb, "mongo": _about_mongo}.get(kind, redis_kinds.about)
    product, number, limits = about(base)
    return Server(kind, base, product, number, frozenset(limits), query=parts.query)


# CouchDB


def _start_couchdb() -> Server:
    folder = temporary_folder("couchdb")
    port = free_port()
    if program := shutil.which("couchdb"):
        settings = folder / "local.ini"
        settings.write_text(
            f"[couchdb]\ndatabase_dir = {folder}\nview_index_dir = {folder}\nsingle_node = true\n"
            f"[chttpd]\nport = {port}\nbind_address = 127.0.0.1\n[admins]\n{USER} = {PASSWORD}\n"
        )
        command = [program, "-couch_ini", str(_default_ini(program)), str(settings)]
    elif find_npm():
        script = packaged.pouchdb_server()
        # Its authorisation takes the admins from this file; without one it crashes when a stranger makes a database.
        (folder / "config.json").write_text(json.dumps({"admins": {USER: PASSWORD}, "log": {"level": "none"}}))
        command = ["node", str(script), "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--no-stdout-logs"]
    elif docker():
        return _start_docker("couchdb", "couchdb:3", 5984, {"COUCHDB_USER": USER, "COUCHDB_PASSWORD": PASSWORD})
    else:
        raise ServerMissing(_COUCHDB_HINT)
    process = Process(Path(command[0]).name, command, folder, partial(_couchdb_answers, port))
    url = f"couchdb://{login_of(USER, PASSWORD)}127.0.0.1:{port}"
    product, number, limits = _about_couchdb(url)
    return Server("couchdb", url, product, number, frozenset(limits), (process,))


_COUCHDB_HINT = (
    "no CouchDB here: set DIVAN_TEST_COUCHDB_URL, or install Node 20 (apt-get install nodejs npm), "
    "with which pouchdb-server is fetched from npm"
)


def _default_ini(program: str) -> Path:
    return Path(program).resolve().parent.parent / "etc" / "default.ini"


def find_npm() -> bool:
    """Whether pouchdb-server is there, or can be installed."""
    return shutil.which("node") is not None and (packaged.has_pouchdb_server() or shutil.which("npm") is not None)


def _couchdb_summary() -> str:
    if program := shutil.which("couchdb"):
        return f"CouchDB, {program}"
    if find_npm():
        return f"PouchDB Server {packaged.POUCHDB_VERSION}, from npm"
    if docker():
        return "CouchDB 3, from Docker"
    raise ServerMissing(_COUCHDB_HINT)


# Whatever proxy the environment names for HTTP: the drivers ask none either.
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def _couchdb_answers(port: int) -> bool:
    with suppress(OSError, HTTPException):
        open_url(f"http://127.0.0.1:{port}/", timeout=5).close()
        return True
    return False


def _about_couchdb(url: str) -> tuple[str, str, set[str]]:
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
    return "CouchDB", str(info.get("version", "unknown")), set()


# MongoDB


def _start_mongo(*, auth: bool = False) -> Server:
    folder = temporary_folder("mongo")
    port = free_port()
    data = folder / "data"
    data.mkdir()
    if program := shutil.which("mongod"):
        command = [program, "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    elif find_spec("secantus"):
        # In a process of its own, as its licence asks; the empty settings keep it from reading those of the user.
        settings = folder / "secantusd.toml"
        settings.touch()
        command = [sys.executable, "-m", "secantus", "--config", str(settings), "--host", "127.0.0.1", "--standalone"]
        command += ["--port", str(port), "--storage-path", str(data), "--log-level", "WARNING"]
    elif docker() and not auth:
        return _start_docker("mongo", "mongo:8", 27017, {})
    else:
        raise ServerMissing(_MONGO_HINT)
    name = "mongod" if program else "SecantusDB"
    url = f"mongodb://127.0.0.1:{port}"
    process = Process(name, command, folder, partial(_mongo_answers, url))
    if auth:
        _create_mongo_user(url)
        process.stop()
        process = Process(name, [*command, "--auth"], folder, partial(_mongo_answers, url))
    product, number, limits = _about_mongo(url)
    if auth:
        url = f"mongodb://{login_of(USER, PASSWORD)}127.0.0.1:{port}"
    return Server("mongo-auth" if auth else "mongo", url, product, number, frozenset(limits), (process,))


_MONGO_HINT = "no MongoDB here: set DIVAN_TEST_MONGO_URL, or: python -m pip install SecantusDB"


def _mongo_summary() -> str:
    if program := shutil.which("mongod"):
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        return f"MongoDB {answer.partition('db version v')[2].partition(chr(10))[0]}, {program}"
    with suppress(PackageNotFoundError):
        return f"SecantusDB {version('SecantusDB')}, from its wheel"
    if docker():
        return "MongoDB 8, from Docker"
    raise ServerMissing(_MONGO_HINT)


def _mongo_client(url: str, seconds: int = 60) -> Any:
    import pymongo  # only a test of this store needs it

    return pymongo.MongoClient(url, serverSelectionTimeoutMS=seconds * 1000, connectTimeoutMS=seconds * 1000)


def _mongo_answers(url: str) -> bool:
    import socket

    from pymongo.errors import ConnectionFailure

    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
        with _mongo_client(url, seconds=5) as client:
            client.admin.command("hello")
    except (OSError, ConnectionFailure):  # it listens before it answers
        return False
    return True


def _create_mongo_user(url: str) -> None:
    with _mongo_client(url) as client:
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])


def _about_mongo(url: str) -> tuple[str, str, set[str]]:
    with _mongo_client(url) as client:
        info = client.server_info()
    if "secantusVersion" in info:
        return "SecantusDB", f"{info['secantusVersion']} (as MongoDB {info['version']})", {LOSES_ON_KILL}
    return "MongoDB", str(info["version"]), set()


# Docker


@cache
def docker() -> bool:
    """Whether Docker is installed and its daemon answers."""
    if shutil.which("docker") is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
    return False


def _start_docker(kind: str, image: str, port: int, variables: dict[str, str]) -> Server:
    """Run an image in the foreground of a process of ours, so that the process's end is the container's."""
    folder = temporary_folder(kind)
    outside = free_port()
    command = ["docker", "run", "--rm", "--init", "-p", f"127.0.0.1:{outside}:{port}"]
    for name, value in variables.items():
        command += ["-e", f"{name}={value}"]
    login = login_of(USER, PASSWORD) if variables else ""
    url = f"{'mongodb' if kind == 'mongo' else kind}://{login}127.0.0.1:{outside}"
    answers: dict[str, Callable[[], bool]] = {
        "couchdb": partial(_couchdb_answers, outside),
        "mongo": partial(_mongo_answers, url),
        "redis": partial(redis_kinds.answers, outside),
    }
    # The image may have to be fetched first.
    process = Process(f"docker run {image}", [*command, image], folder, answers[kind], 600.0)
    about = {"couchdb": _about_couchdb, "mongo": _about_mongo}.get(kind, redis_kinds.about)
    product, number, limits = about(url)
    return Server(kind, url, product, number, frozenset(limits), (process,))


def start_docker_redis() -> Server:
    """Redis from its official image."""
    return _start_docker("redis", "redis:7", 6379, {})
