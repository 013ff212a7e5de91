"""Names, URLs and options of MongoDB's backend that need no server: found, read, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import divan
import pytest
from divan_mongo import MongoBackend
from divan_mongo.options import OPTIONS, call_seconds, client_arguments
from divan_mongo.values import NATIVE_SERIALIZERS, PORTABLE_SERIALIZERS


class Unconnected(MongoBackend):
    """The backend as it is before it has a client."""

    def connect(self, database: str, host: str, port: int) -> Any: ...


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mongo://localhost", "names no database"),
        ("mongo://localhost/a b", "no name for a database"),
        ("mongo://localhost/a.b?collection=c", "two collections"),
        ("mongo://localhost/a.system.users", "no name for a collection"),
        ("mongo://localhost/a?replicaset=x&reed=1", "no option 'reed'.*its options are.*readpreference"),
        ("mongo://localhost/a?timeout=soon", "timeout='soon'"),
        ("mongo://localhost/a?timeout=0", "greater than 0"),
        ("mongo://localhost/a?types=bson", "native or portable"),
        ("mongo://localhost/a?create=perhaps", "true or false"),
        ("mongo://localhost/a?tls=maybe", "tls='maybe'"),
        ("mongo://localhost/a?tlsCAFile=/no/such/file", "tlsCAFile"),
        ("mongo://localhost/a?w=0", "w=0"),
        ("mongo://localhost/a?username=ada", "no option 'username'"),
        ("mongo://ada@localhost/a", "password"),
        ("mongo://a,,b/a", "mongo"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, message: str) -> None:
    with pytest.raises(divan.InvalidURL, match=message):
        divan.open(url)


@pytest.mark.parametrize("name", ["mongo", "mongodb", "mongodb+srv"])
def test_every_name_of_the_backend_is_found(name: str) -> None:
    assert divan.get_backend(name).__name__ == "MongoBackend"


# Divan's own options


REFUSED: dict[str, list[object]] = {
    "collection": [5, ""],
    "connect_timeout": [-1, 0, True],
    "create": ["perhaps", 2],
    "max_connections": [0, -1, "many", 1.5, True],
    "timeout": [-1, 0, float("inf")],
    "types": ["bson", True],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option in OPTIONS for value in REFUSED[option]])
def test_a_keyword_is_checked_as_a_urls_text_is(option: str, value: object) -> None:
    arguments: dict[str, Any] = {option: value}
    for construct in (
        lambda: divan.open("mongo://localhost/guests", **arguments),
        lambda: divan.open("mongo", database="guests", **arguments),
        lambda: divan.open(MongoBackend, database="guests", **arguments),
        lambda: MongoBackend("guests", **arguments),
    ):
        with pytest.raises(divan.InvalidURL, match="collection" if value == "" else option):
            construct()


def test_options_that_are_not_given_have_their_defaults() -> None:
    defaults = {name: option.default for name, option in OPTIONS.items()}
    nothing: dict[str, Any] = dict.fromkeys(OPTIONS)
    assert Unconnected("guests").options == Unconnected("guests", **nothing).options == defaults


def test_text_and_values_are_read_alike() -> None:
    by_text = Unconnected(
        "guests", timeout="20", connect_timeout="0.5", create="no", max_connections="7", types="native"
    )
    by_value = Unconnected("guests", timeout=20, connect_timeout=0.5, create=False, max_connections=7, types="native")
    assert by_text.options == by_value.options
    assert by_value.options == {
        "collection": "divan", "create": False, "timeout": 20.0, "connect_timeout": 0.5, "max_connections": 7,
        "types": "native",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "options", "collection"),
    [
        ("guests", {}, "divan"),
        ("guests.old", {}, "old"),
        ("guests.old.2025", {}, "old.2025"),
        ("guests", {"collection": "old"}, "old"),
        ("guests.old", {"collection": "old"}, "old"),
        ("guests.old", {"collection": None}, "old"),
    ],
)
def test_the_collection_is_the_one_that_the_path_or_the_option_names(
    path: str, options: dict[str, Any], collection: str
) -> None:
    assert Unconnected(path, **options).options["collection"] == collection


def test_a_path_may_not_name_another_collection_than_the_option_that_is_its_default() -> None:
    with pytest.raises(divan.InvalidURL, match="two collections"):
        Unconnected("guests.old", collection="divan")


def test_field_types_have_the_form_that_the_open_backend_was_asked_for() -> None:
    assert MongoBackend.default_serializers is PORTABLE_SERIALIZERS
    assert Unconnected("guests").default_serializers is PORTABLE_SERIALIZERS
    assert Unconnected("guests", types="native").default_serializers is NATIVE_SERIALIZERS


def test_the_readme_lists_divans_own_options_as_they_are_declared() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    header = "| option | default | meaning |\n| --- | --- | --- |\n"
    table = readme.partition(header)[2].partition("\n\n")[0]
    assert table.splitlines() == [
        f"| `{name}` | `{_as_text(option.default)}` | {option.about} |" for name, option in OPTIONS.items()
    ]


def _as_text(default: object) -> str:
    """A default as it is written in a URL."""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


# pymongo's


def test_pymongos_options_pass_through_as_they_were_given() -> None:
    options = Unconnected("guests", replicaSet="rs0", MaxPoolSize="7", timeoutMS=500).options
    assert {name: options[name] for name in ("replicaSet", "MaxPoolSize", "timeoutMS")} == {
        "replicaSet": "rs0", "MaxPoolSize": "7", "timeoutMS": 500,
    }  # fmt: skip


def test_the_client_gets_pymongos_options_the_timeouts_and_the_credentials() -> None:
    backend = Unconnected("guests", user="ada", password="analytical", w="majority", timeout=2, connect_timeout=9)
    assert client_arguments(backend.options) == {
        "w": "majority",
        "socketTimeoutMS": 2000,
        "waitQueueTimeoutMS": 2000,
        "connectTimeoutMS": 2000,
        "serverSelectionTimeoutMS": 9000,
        "maxPoolSize": 100,
        "retryReads": False,
        "username": "ada",
        "password": "analytical",
    }


def test_a_timeout_of_pymongos_beats_divans() -> None:
    arguments = client_arguments(Unconnected("guests", timeout=2, sockettimeoutms="70000").options)
    assert (arguments["sockettimeoutms"], "socketTimeoutMS" in arguments) == ("70000", False)


def test_pymongos_own_options_say_how_long_a_call_may_take_if_they_are_given() -> None:
    assert call_seconds(Unconnected("guests", timeout=2).options) == 2.0
    assert call_seconds(Unconnected("guests", timeout=2, sockettimeoutms="70000").options) == 70.0
    assert call_seconds(Unconnected("guests", socketTimeoutMS=70000, timeoutMS="500").options) == 0.5


def test_pymongos_name_for_the_connections_says_the_same_as_divans() -> None:
    options = Unconnected("guests", MaxPoolSize="7").options
    assert (options["max_connections"], client_arguments(options)["MaxPoolSize"]) == (7, "7")
    assert Unconnected("guests", maxPoolSize=7, max_connections="7").options["max_connections"] == 7


def test_two_numbers_of_connections_that_differ_are_refused() -> None:
    with pytest.raises(divan.InvalidURL, match="max_connections=8 and maxPoolSize=7 say the same and differ"):
        Unconnected("guests", maxPoolSize=7, max_connections=8)


def test_an_unknown_option_is_answered_with_divans_and_pymongos() -> None:
    with pytest.raises(
        divan.InvalidURL,
        match=r"^mongo has no option 'replicasets' \(did you mean replicaset\?\); its options are collection, "
        r"connect_timeout, create, max_connections, timeout, types, and pymongo's: appname, .*replicaset",
    ):
        Unconnected("guests", replicasets="rs0")


@pytest.mark.parametrize(
    "options",
    [
        {"tlsCertificateKeyFilePassword": ["analytical"]},
        {"authMechanismProperties": "analytical"},
        {"password": "x", "analytical": "1"},  # the rest of a password whose & is not percent-encoded
    ],
)
def test_no_secret_is_shown(options: dict[str, Any]) -> None:
    with pytest.raises(divan.InvalidURL) as failure:
        Unconnected("guests", **options)
    assert "analytical" not in str(failure.value)
    assert failure.value.__cause__ is None
