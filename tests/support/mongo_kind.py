"""How MongoDB, or what speaks its protocol, is found and started: alone, or with a user and a password."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from tests.support import docker
from tests.support.processes import Process, free_port, temporary_folder
from tests.support.server import LOSES_ON_KILL, PASSWORD, USER, Server, ServerMissing, login_of

_HINT = "no MongoDB here: set DIVAN_TEST_MONGO_URL, or: python -m pip install SecantusDB"


def start(*, auth: bool = False, replicated: bool = False) -> Server:
    """One process.

    Args:
        auth: Whether it wants the user and the password.
        replicated: Whether it is a replica set of one member, which tells of changes.

    Raises:
        ServerMissing: if there is none.
    """
    port = free_port()
    url = f"mongodb://127.0.0.1:{port}"
    ready = partial(_answers, url)
    if command := _command(port, replicated=replicated):
        folder = temporary_folder("mongo")
        (folder / "data").mkdir()
        # In a process of its own, as SecantusDB's licence asks; the empty settings keep it from reading the user's.
        (folder / "secantusd.toml").touch()
        name = "SecantusDB" if command[0] == sys.executable else "mongod"
        process = Process(name, command, folder, ready)
        if replicated and name == "mongod":
            _initiate(url, port)
        if auth:
            _create_user(url)
            process.stop()
            process = Process(name, [*command, "--auth"], folder, ready)
    elif docker.is_there() and not auth and not replicated:
        process = docker.run("mongo:8", 27017, port, ready)
    else:
        raise ServerMissing(_HINT)
    product, number, limits = about(url)
    if auth:
        url = f"mongodb://{login_of(USER, PASSWORD)}127.0.0.1:{port}"
    return Server(
        "mongo-auth" if auth else "mongo-set" if replicated else "mongo",
        url,
        product,
        number,
        frozenset(limits),
        (process,),
    )


def _command(port: int, *, replicated: bool) -> list[str]:
    """The program and its arguments, to run in a folder with what they name; none if there is no program."""
    if program := shutil.which("mongod"):
        command = [program, "--dbpath", "data", "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        return [*command, "--replSet", "tests"] if replicated else command
    if find_spec("secantus"):
        command = [sys.executable, "-m", "secantus", "--config", "secantusd.toml", "--host", "127.0.0.1"]
        alone = [] if replicated else ["--standalone"]
        return [*command, *alone, "--port", str(port), "--storage-path", "data", "--log-level", "WARNING"]
    return []


def summary() -> str:
    """What would be used, and its version."""
    if program := shutil.which("mongod"):
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
        return f"MongoDB {answer.partition('db version v')[2].partition(chr(10))[0]}, {program}"
    with suppress(PackageNotFoundError):
        return f"SecantusDB {version('SecantusDB')}, from its wheel"
    if docker.is_there():
        return "MongoDB 8, from Docker"
    raise ServerMissing(_HINT)


def _client(url: str, seconds: int = 60) -> Any:
    import pymongo  # only who starts this server needs it

    return pymongo.MongoClient(url, serverSelectionTimeoutMS=seconds * 1000, connectTimeoutMS=seconds * 1000)


def _answers(url: str) -> bool:
    from pymongo.errors import ConnectionFailure

    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
        with _client(url, seconds=5) as client:
            client.admin.command("hello")
    except (OSError, ConnectionFailure):  # it listens before it answers
        return False
    return True


def _initiate(url: str, port: int) -> None:
    with _client(f"{url}/?directConnection=true") as client:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        client.admin.command("replSetInitiate", {"_id": "tests", "members": members})
    with _client(url) as client:
        client.admin.command("ping")  # once there is a primary


def _create_user(url: str) -> None:
    with _client(url) as client:
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])


def about(url: str) -> tuple[str, str, set[str]]:
    """Product, version and limits of a server."""
    from pymongo.errors import OperationFailure

    try:
        with _client(url) as client:
            info = client.server_info()
    except OperationFailure:  # not every server that speaks the protocol has buildInfo
        info = {}
    number = str(info.get("version", "of unknown version"))
    if "secantusVersion" in info:
        return "SecantusDB", f"{info['secantusVersion']} (as MongoDB {number})", {LOSES_ON_KILL}
    return "MongoDB", number, set()
