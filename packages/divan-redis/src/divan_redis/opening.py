"""Making the native client from a URL's host, port and options: plain, TLS, Unix socket, cluster or sentinel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import redis
from divan.errors import InvalidURL
from divan.urls import boolean, seconds
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL_PORT: Final = 26379
_CONNECT_SECONDS: Final = 5.0
_SECONDS: Final = 10.0


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("give a whole number from 0")
    return int(text)


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError("there is no such file")
    return text


def _requirement(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError("give required, optional or none")
    return text


KNOWN_OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "connect_timeout": seconds,
    "create": boolean,
    "db": _whole,
    "retries": _whole,
    "sentinel_password": str,
    "sentinel_user": str,
    "service": str,
    "socket": str,
    "ssl": boolean,
    "ssl_ca_certs": _file,
    "ssl_certfile": _file,
    "ssl_cert_reqs": _requirement,
    "ssl_check_hostname": boolean,
    "ssl_keyfile": _file,
    "timeout": seconds,
}
"""URL option → what reads its text."""

# What means something for one scheme alone.
_SCHEME_OF: Final = {
    "sentinel_password": "redis+sentinel",
    "sentinel_user": "redis+sentinel",
    "service": "redis+sentinel",
    "socket": "redis+unix",
    "ssl": "redis+sentinel",
}


class Settings:
    """What a URL asks for, checked.

    Args:
        host: Host name, or several with their ports, joined by commas.
        port: The port of hosts that have none of their own.
        options: The URL's options, user, password and scheme.

    Attributes:
        scheme: ``"redis"``, ``"rediss"``, ``"redis+cluster"``, ….
        hosts: Host and port of each.
        shown: Where the server is, for messages.
        create: Whether a database without documents may be opened.
        retries: How often a read is sent again after a lost connection.
        timeout: Seconds that one answer may take.

    Raises:
        InvalidURL: naming the option that can't be used.
    """

    def __init__(self, host: str, port: int, options: Mapping[str, Any]) -> None:
        self._options = options
        scheme = options.get("scheme")
        self.scheme = scheme if isinstance(scheme, str) and scheme.startswith("redis") else "redis"
        for name, only in _SCHEME_OF.items():
            if options.get(name) is not None and self.scheme != only:
                raise InvalidURL(f"{self.scheme}: the option {name} belongs to {only}://")
        self.cluster = self.scheme.endswith("+cluster")
        self.tls = self.scheme.startswith("rediss") or self._option("ssl", False)
        self.create: bool = self._option("create", True)
        self.retries: int = self._option("retries", 1)
        self.timeout: float = self._option("timeout", _SECONDS)
        self.connect_timeout: float = self._option("connect_timeout", _CONNECT_SECONDS)
        self.db: int = self._option("db", 0)
        self.socket: str | None = self._option("socket", None)
        self.service: str | None = self._option("service", None)
        if self.db and self.cluster:
            raise InvalidURL(f"{self.scheme}: a Redis Cluster has no numbered databases; leave db={self.db} out")
        if self.scheme == "redis+unix" and not self.socket:
            raise InvalidURL("a Redis URL for a Unix socket has the form redis+unix:///database?socket=/run/redis.sock")
        if self.scheme == "redis+sentinel" and not self.service:
            raise InvalidURL(
                "a Redis URL for Sentinel names the service, as in redis+sentinel://host1,host2/database?service=mymaster"
            )
        self.hosts = _split_hosts(self.scheme, host, port)
        self.shown = self.socket or ",".join(f"{name}:{number}" for name, number in self.hosts)

    def _option(self, name: str, default: Any) -> Any:
        """The option's value; one that was given by keyword is read like text."""
        value = self._options.get(name)
        if value is None:
            return default
        try:
            return KNOWN_OPTIONS[name](str(value))
        except ValueError as error:
            raise InvalidURL(f"{self.scheme}: the option {name}={value!r} can't be used: {error}") from None

    def open(self) -> Any:
        """The native client: a `redis.Redis`, or a `redis.cluster.RedisCluster`."""
        shared: dict[str, Any] = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.connect_timeout,
            "socket_keepalive": True,
            # Any version speaks it, and without the handshake of RESP3 a connection is one round trip cheaper.
            "protocol": 2,
            "username": self._options.get("user") or None,
            "password": self._options.get("password"),
            **self._tls_arguments(),
        }
        # A write that is sent again after a lost answer may count twice: the client itself must never retry.
        retry = Retry(NoBackoff(), 0)
        if self.cluster:
            make_node: Any = ClusterNode  # untyped there, as is Sentinel
            nodes = [make_node(name, number) for name, number in self.hosts]
            return RedisCluster(startup_nodes=nodes, retry=retry, **shared)
        shared |= {"db": self.db, "retry": retry}
        if self.service:
            watchers = {
                **shared,
                "db": 0,
                "username": self._options.get("sentinel_user"),
                "password": self._options.get("sentinel_password"),
            }
            make_sentinel: Any = Sentinel
            return make_sentinel(self.hosts, sentinel_kwargs=watchers).master_for(self.service, **shared)
        if self.socket:
            return redis.Redis(unix_socket_path=self.socket, **shared)
        ((name, number),) = self.hosts
        return redis.Redis(host=name, port=number, **shared)

    def _tls_arguments(self) -> dict[str, Any]:
        given = {name: self._option(name, None) for name in KNOWN_OPTIONS if name.startswith("ssl_")}
        given = {name: value for name, value in given.items() if value is not None}
        if not self.tls:
            for name in given:
                raise InvalidURL(
                    f"{self.scheme}: the option {name} needs TLS, which rediss:// and rediss+cluster:// speak"
                )
            return {}
        # A name can only be checked on a certificate that is checked.
        given.setdefault("ssl_check_hostname", given.get("ssl_cert_reqs", "required") == "required")
        return {"ssl": True, **given}


def _split_hosts(scheme: str, text: str, port: int) -> list[tuple[str, int]]:
    """Host and port of each; an IPv6 address stands in brackets, unless it is alone."""
    if "," not in text and not text.startswith("[") and text.count(":") > 1:
        return [(text, port)]
    hosts = []
    for part in text.split(","):
        match = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?", part.strip())
        number = int(match["port"] or port) if match else 0
        if match is None or not 0 < number < 65536:
            raise InvalidURL(f"{scheme}: {part!r} is no host, or host:port, of a list joined by commas")
        hosts.append((match["six"] or match["name"], number))
    if len(hosts) > 1 and not scheme.endswith(("+cluster", "+sentinel")):
        raise InvalidURL(f"{scheme} takes one host; several are for redis+cluster:// and redis+sentinel://")
    return hosts
