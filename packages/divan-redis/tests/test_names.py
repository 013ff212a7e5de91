"""Names and options of Redis' backend that need no server: found, or refused with the reason."""

from __future__ import annotations

import divan
import pytest
import redis
from divan_redis import RedisBackend
from divan_redis.errors import translate


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://localhost/x?timeout=0", "timeout"),
        ("redis://localhost/x?timeout=soon", "timeout"),
        ("redis://localhost/x?retries=-1", "retries"),
        ("redis://localhost/x?db=one", "db"),
        ("redis://localhost/x?colour=red", "its options are"),
        ("redis://localhost/x?socket=/run/redis.sock", r"redis\+unix"),
        ("redis://localhost/x?service=m", r"redis\+sentinel"),
        ("redis://localhost/x?ssl_cert_reqs=none", "rediss"),
        ("rediss://localhost/x?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://localhost/x?ssl_ca_certs=/none.pem", "no such file"),
        ("redis://one,two/x", r"redis\+cluster"),
        ("redis+cluster://one:0,two/x", "host:port"),
        ("redis+cluster://one,/x", "host:port"),
        ("redis+cluster://localhost/x?db=1", "numbered"),
        ("redis+unix:///x", "socket="),
        ("redis+sentinel://localhost/x", "service="),
    ],
)
def test_an_option_that_can_not_be_used_is_named(url: str, says: str) -> None:
    with pytest.raises(divan.InvalidURL, match=says):
        divan.open(url)


def test_options_given_by_keyword_are_checked_too() -> None:
    with pytest.raises(divan.InvalidURL, match="timeout"):
        divan.open("redis", database="x", timeout=-1)


def test_every_name_is_installed() -> None:
    names = {"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "redis+unix"}
    assert {name for name in names if divan.get_backend(name) is RedisBackend} == names


def test_an_error_of_the_cluster_client_says_its_cause() -> None:
    outer = redis.exceptions.RedisClusterException("cannot be connected")
    outer.__cause__ = redis.TimeoutError("Timeout reading from socket")
    assert isinstance(translate(outer, "here:1", 5), divan.OperationTimeout)
