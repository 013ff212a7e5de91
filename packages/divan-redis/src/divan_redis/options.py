"""Internal: the options of a Redis URL, declared once, and what a URL asks for, with every part checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from divan.errors import InvalidURL
from divan.options import Option, Options, boolean, file, one_of, positive, seconds, text, whole

SCHEMES: Final = ("redis", "rediss", "redis+unix", "redis+cluster", "rediss+cluster", "redis+sentinel")
"""The names under which the driver is installed."""


OPTIONS: Final[Mapping[str, Option]] = {
    "connect_timeout": Option(seconds, 5.0, "Seconds that connecting may take, TLS included."),
    "timeout": Option(
        seconds, 10.0, "Seconds that a call may take, all its attempts included; each page of a listing is a call."
    ),
    "max_connections": Option(
        positive, 100, "Connections that are open to a server at once, at most; a call waits for one, up to `timeout`."
    ),
    "retries": Option(whole, 1, "How many times a read is sent again after a lost connection; a write never is."),
    "create": Option(
        boolean,
        True,
        "Whether a missing database is made; with `false`, one without documents is `DatabaseNotFound`, and to find "
        "out may take a look at every key of the server.",
    ),
    "watch": Option(
        boolean,
        False,
        "Whether `watch()` works: the changes that are made through a Store with `watch=true`, and no others, are "
        "kept in a stream, the last 100,000 or so. Not on a cluster, where a stream is on one node alone.",
    ),
    "db": Option(whole, 0, "Number of the server's numbered database; a cluster has none but 0."),
    "socket": Option(text, None, "Path of the Unix socket, which `redis+unix://` needs and the other schemes refuse."),
    "service": Option(text, None, "Name of the service, which `redis+sentinel://` needs and the other schemes refuse."),
    "sentinel_user": Option(
        text, None, "User at the sentinels themselves, for `redis+sentinel://` alone; without it, their default user."
    ),
    "sentinel_password": Option(
        text, None, "Password at the sentinels themselves, for `redis+sentinel://` alone; without it, none is sent."
    ),
    "ssl": Option(
        boolean,
        None,
        "Whether sentinels and servers speak TLS, for `redis+sentinel://` alone; without it, they don't.",
    ),
    "ssl_ca_certs": Option(
        file,
        None,
        "File of the authorities to trust beside the system's, for TLS alone; without it, the system's alone.",
    ),
    "ssl_certfile": Option(
        file, None, "File of the client's own certificate, for TLS alone; without it, none is shown."
    ),
    "ssl_keyfile": Option(
        file, None, "File of the client's own key, for TLS alone; without it, the certificate's file holds the key."
    ),
    "ssl_cert_reqs": Option(
        one_of("required", "optional", "none"),
        None,
        "How the server's certificate is checked, for TLS alone: `required`, `optional` or `none`; without it, "
        "`required`.",
    ),
    "ssl_check_hostname": Option(
        boolean,
        None,
        "Whether the server's certificate must name the host, for TLS alone; without it, it must if one is required.",
    ),
}
"""Every option, in the order of the README's table; `None` is the default of what some of the schemes refuse."""

# Option → the one scheme for which it means something.
_ONLY_SCHEME: Final = {
    "socket": "redis+unix",
    "service": "redis+sentinel",
    "sentinel_user": "redis+sentinel",
    "sentinel_password": "redis+sentinel",
    "ssl": "redis+sentinel",
}

_HOST: Final = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


class Settings:
    """What a URL asks for, with every part checked: what a native client is made from.

    Args:
        scheme: The URL's scheme; one that is not among `SCHEMES`, such as a class's name, counts as ``"redis"``.
        host: Host name, or several with their ports, joined by commas.
        port: The port of hosts that have none of their own.
        options: The user, the password and the value of every one of `OPTIONS`.

    Attributes:
        scheme: One of `SCHEMES`.
        hosts: Host and port of each.
        shown: Where the server is, for messages.
        options: As they were given.
        cluster: Whether the servers are a cluster.
        tls: The arguments by which a native client speaks TLS; empty if it does not.

    Raises:
        InvalidURL: naming what can't be used.
    """

    def __init__(self, scheme: str, host: str, port: int, options: Mapping[str, Any]) -> None:
        self.scheme = scheme if scheme in SCHEMES else "redis"
        self.options = options
        for name, only in _ONLY_SCHEME.items():
            if options[name] is not None and self.scheme != only:
                raise InvalidURL(f"{self.scheme}: the option {name} belongs to {only}://")
        self.cluster = self.scheme.endswith("+cluster")
        if options["db"] and self.cluster:
            raise InvalidURL(f"{self.scheme}: a Redis Cluster has no numbered databases; leave db={options['db']} out")
        if options["watch"] and self.cluster:
            raise InvalidURL(f"{self.scheme}: changes are kept in a stream, on one node alone; leave watch=true out")
        if self.scheme == "redis+unix" and not options["socket"]:
            raise InvalidURL("a Redis URL for a Unix socket has the form redis+unix:///database?socket=/run/redis.sock")
        if self.scheme == "redis+sentinel" and not options["service"]:
            raise InvalidURL(
                "a Redis URL for Sentinel names the service, as in redis+sentinel://host1,host2/database?service=mymaster"
            )
        self.hosts = _split_hosts(self.scheme, host, port)
        self.shown: str = options["socket"] or ",".join(f"{name}:{number}" for name, number in self.hosts)
        self.tls = _tls_arguments(self.scheme, options)


def connection_options(settings: Settings) -> Options:
    """What every connection is made with, as the client names it; printed, it shows no password."""
    options = settings.options
    return Options(
        socket_timeout=options["timeout"],
        socket_connect_timeout=options["connect_timeout"],
        socket_keepalive=True,
        # Any version speaks it, and without the handshake of RESP3 a connection is one round trip cheaper.
        protocol=2,
        db=options["db"],
        username=options.get("user") or None,
        password=options.get("password"),
        **settings.tls,
    )


def _tls_arguments(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: options[name] for name in OPTIONS if name.startswith("ssl_") and options[name] is not None}
    if not (scheme.startswith("rediss") or options["ssl"]):
        if given:
            name = next(iter(given))
            raise InvalidURL(f"{scheme}: the option {name} needs TLS, which rediss:// and rediss+cluster:// speak")
        return {}
    # A name can only be checked on a certificate that is checked.
    given.setdefault("ssl_check_hostname", options["ssl_cert_reqs"] in (None, "required"))
    return {"ssl": True, **given}


def _split_hosts(scheme: str, hosts: str, port: int) -> list[tuple[str, int]]:
    """Host and port of each; an IPv6 address stands in brackets, unless it is alone."""
    if "," not in hosts and not hosts.startswith("[") and hosts.count(":") > 1:
        return [(hosts, port)]
    found = []
    for part in hosts.split(","):
        match = _HOST.fullmatch(part.strip())
        number = int(match["port"] or port) if match else 0
        if match is None or not 0 < number < 65536:
            raise InvalidURL(f"{scheme}: {part!r} is no host, or host:port, of a list joined by commas")
        found.append((match["six"] or match["name"], number))
    if len(found) > 1 and not scheme.endswith(("+cluster", "+sentinel")):
        raise InvalidURL(f"{scheme} takes one host; several are for redis+cluster:// and redis+sentinel://")
    return found
