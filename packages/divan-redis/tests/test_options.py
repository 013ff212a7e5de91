"""What a Redis URL may ask for: every option declared, read by one check, and told in the README as it is declared."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.options import read_options
from divan_redis import RedisBackend
from divan_redis.options import OPTIONS, SCHEMES, Settings

UNUSABLE: dict[str, Any] = {
    "connect_timeout": -1,
    "timeout": -1,
    "max_connections": 0,
    "retries": -1,
    "create": "perhaps",
    "watch": "perhaps",
    "db": -1,
    "socket": 5,
    "service": 5,
    "sentinel_user": 5,
    "sentinel_password": 5,
    "ssl": "perhaps",
    "ssl_ca_certs": "/no/such/file.pem",
    "ssl_certfile": "/no/such/file.pem",
    "ssl_keyfile": "/no/such/file.pem",
    "ssl_cert_reqs": "maybe",
    "ssl_check_hostname": "perhaps",
}

ONE_SCHEME: dict[str, tuple[str, Any]] = {
    "socket": ("redis+unix", "/run/redis.sock"),
    "service": ("redis+sentinel", "mymaster"),
    "sentinel_user": ("redis+sentinel", "ada"),
    "sentinel_password": ("redis+sentinel", "pw"),
    "ssl": ("redis+sentinel", False),
}


def settings(scheme: str, host: str = "localhost", **given: Any) -> Settings:
    return Settings(scheme, host, 6379, read_options(scheme, given, OPTIONS))


def as_text(default: object) -> str:
    """A default as the README shows it."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_the_readme_tells_the_options_as_they_are_declared() -> None:
    lines = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").splitlines()
    first = lines.index("| option | default | meaning |") + 2
    table = lines[first : lines.index("", first)]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]
    assert rows == [(f"`{name}`", as_text(option.default), option.about) for name, option in OPTIONS.items()]


def test_the_schemes_are_those_under_which_the_driver_is_installed() -> None:
    installed = entry_points(group="divan.backends")
    assert {entry.name for entry in installed if entry.value == "divan_redis.backend:RedisBackend"} == set(SCHEMES)


def test_no_option_is_left_out_below() -> None:
    assert set(UNUSABLE) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_keyword_that_can_not_be_used_is_named(name: str) -> None:
    given = {name: UNUSABLE[name]}
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        divan.open("redis://localhost/x", **given)
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        divan.open("redis", database="x", **given)
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        divan.open(RedisBackend, database="x", **given)
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        RedisBackend("x", **given)


@pytest.mark.parametrize(
    "name", [name for name, value in UNUSABLE.items() if value != 5]
)  # any text of a URL is a text
def test_a_url_s_option_that_can_not_be_used_is_named(name: str) -> None:
    with pytest.raises(divan.InvalidURL, match=f"the option {name}="):
        divan.open(f"redis://localhost/x?{name}={UNUSABLE[name]}")


def test_a_secret_that_can_not_be_used_is_not_shown() -> None:
    with pytest.raises(divan.InvalidURL) as caught:
        divan.open("redis", database="x", sentinel_password=8675309)
    assert "8675309" not in str(caught.value)


@pytest.mark.parametrize("name", ONE_SCHEME)
def test_an_option_of_one_scheme_is_refused_by_the_others(name: str) -> None:
    only, value = ONE_SCHEME[name]
    for scheme in ("", *SCHEMES):
        if scheme != only:
            with pytest.raises(divan.InvalidURL, match=rf"the option {name} belongs to {only.replace('+', '.')}://"):
                RedisBackend("x", scheme=scheme, **{name: value})


@pytest.mark.parametrize("name", [name for name in OPTIONS if name.startswith("ssl_")])
def test_an_option_of_tls_is_refused_without_it(name: str) -> None:
    value: Any = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}.get(name, Path(__file__))
    with pytest.raises(divan.InvalidURL, match=f"redis: the option {name} needs TLS"):
        settings("redis", **{name: value})
    assert settings("rediss", **{name: value}).tls[name] in (value, str(value))


@pytest.mark.parametrize(
    ("given", "checked"),
    [
        ({}, True),
        ({"ssl_cert_reqs": "required"}, True),
        ({"ssl_cert_reqs": "optional"}, False),
        ({"ssl_cert_reqs": "none"}, False),
        ({"ssl_cert_reqs": "required", "ssl_check_hostname": "false"}, False),
        ({"ssl_cert_reqs": "optional", "ssl_check_hostname": True}, True),
    ],
)
def test_a_certificate_must_name_the_host_if_one_is_required(given: dict[str, Any], checked: bool) -> None:
    assert settings("rediss+cluster", **given).tls == {
        "ssl": True,
        **({"ssl_cert_reqs": given["ssl_cert_reqs"]} if "ssl_cert_reqs" in given else {}),
        "ssl_check_hostname": checked,
    }


def test_tls_goes_with_the_scheme_or_is_asked_of_sentinels() -> None:
    assert settings("redis").tls == {}
    assert settings("rediss").tls["ssl"]
    assert settings("redis+sentinel", service="m").tls == {}
    assert settings("redis+sentinel", service="m", ssl="true").tls["ssl"]


@pytest.mark.parametrize("scheme", ["", "RedisBackend", "redis"])
def test_a_backend_without_a_scheme_of_redis_is_a_single_server(scheme: str) -> None:
    asked = settings(scheme, "[::1]:7000")
    assert (asked.scheme, asked.cluster, asked.tls) == ("redis", False, {})
    assert (asked.hosts, asked.shown) == ([("::1", 7000)], "::1:7000")
