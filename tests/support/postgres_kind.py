"""How PostgreSQL is found and started: a cluster of databases in a folder of the tests, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.support import docker
from tests.support.processes import Process, free_port, temporary_folder
from tests.support.server import PASSWORD, USER, Server, ServerMissing, login_of

_HINT = "no PostgreSQL here: set DIVAN_TEST_POSTGRES_URL, or: apt-get install postgresql"
_DATABASE = "divan_tests"
_NOBODY = 65534
# Neither root's, which the server refuses, nor that of anything else.
_AS_NOBODY = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
# Its sorting by the rules of a language is what no query may depend on.
_LOCALE = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")


class _Cluster(Process):
    """A server whose end is that of the processes of its connections."""

    def stop(self) -> None:
        """End it in order, whoever is connected."""
        if self.alive:
            os.kill(self.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(60)
        super().stop()

    def kill(self) -> None:
        """End it at once, and with it the processes that would write on for a moment."""
        children = _children(self.pid)
        super().kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(map(_is_there, children)):
            os.sched_yield()


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@cache
def _programs() -> Path | None:
    """The folder of the newest server's programs, which Debian keeps off PATH."""
    found = [Path(initdb).resolve().parent] if (initdb := shutil.which("initdb")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@cache
def _version(programs: Path) -> str:
    # "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    return answer.partition(") ")[2].split(" ")[0].strip() or "unknown"


def summary() -> str:
    """What would be used, and its version."""
    programs = _programs()
    if programs is not None:
        return f"PostgreSQL {_version(programs)}, {programs}"
    if docker.is_there():
        return "PostgreSQL 17, from Docker"
    raise ServerMissing(_HINT)


def about(url: str) -> tuple[str, str, set[str]]:
    """Product, version and limits of a server that was not started here."""
    import psycopg

    parts = urlsplit(url)
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    with psycopg.connect(
        host=parts.hostname, port=parts.port or 5432, dbname="postgres", user=user, password=password
    ) as connection:
        number = connection.info.server_version
    return "PostgreSQL", f"{number // 10_000}.{number % 10_000}", set()


def answers(port: int) -> bool:
    """Whether a server takes connections: it is asked whether it speaks TLS, and says yes or no."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as asked:
        asked.sendall(struct.pack("!ii", 8, 80877103))
        return asked.recv(1) in (b"S", b"N") and _is_up(port)
    return False


def _is_up(port: int) -> bool:
    import psycopg

    with suppress(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=port, dbname="postgres", user=USER, password=PASSWORD).close()
        return True
    return False


def start(*, auth: bool = False) -> Server:
    """A new cluster; with `auth`, it wants a password."""
    programs = _programs()
    kind = "postgres-auth" if auth else "postgres"
    if programs is None:
        return _start_docker(kind)
    folder = temporary_folder(kind)
    (folder / "password").write_text(PASSWORD)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        prefix = _AS_NOBODY
        for path in (folder, folder / "password"):
            os.chown(path, _NOBODY, _NOBODY)
    data = folder / "data"
    making = [*prefix, str(programs / "initdb"), "--pgdata", str(data), "--encoding=UTF8", "--no-sync", "--username"]
    making += [USER, f"--pwfile={folder / 'password'}", f"--auth={'scram-sha-256' if auth else 'trust'}"]
    for locale in (_LOCALE, ("--locale=C",)):  # the second for servers that know no rules of ICU's
        made = subprocess.run([*making, *locale], cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode == 0:
            break
        shutil.rmtree(data, ignore_errors=True)
    else:
        raise ServerMissing(f"initdb failed: {made.stderr.strip()[-1000:]}")
    port = free_port()
    settings = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "max_connections": 500,
        "shared_buffers": "32MB", "fsync": "on", "autovacuum_naptime": "1d",
    }  # fmt: skip
    command = [*prefix, str(programs / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    process = _Cluster(kind, command, folder, partial(answers, port))
    url = f"postgresql://{login_of(USER, PASSWORD)}127.0.0.1:{port}"
    extra = {"database": _DATABASE, "socket": str(folder)}
    return Server(kind, url, "PostgreSQL", _version(programs), frozenset(), (process,), extra=extra)


def _start_docker(kind: str) -> Server:
    if not docker.is_there():
        raise ServerMissing(_HINT)
    port = free_port()
    process = docker.run(
        "postgres:17", 5432, port, partial(answers, port), POSTGRES_USER=USER, POSTGRES_PASSWORD=PASSWORD
    )
    url = f"postgresql://{login_of(USER, PASSWORD)}127.0.0.1:{port}"
    return Server(kind, url, "PostgreSQL", "17", frozenset(), (process,), extra={"database": _DATABASE})
