"""The options of a CouchDB URL: what is taken by URL and by keyword alike, and that the README tells of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.errors import InvalidURL
from divan_couchdb import CouchDBBackend
from divan_couchdb.options import OPTIONS, Settings, read_settings

README = Path(__file__).parents[1] / "README.md"

# Option, a value that it can't have.
REFUSED: list[tuple[str, Any]] = [
    ("accept_202", "perhaps"),
    ("ca_file", "/nowhere/authorities.pem"),
    ("ca_file", 5),
    ("connect_timeout", -1),
    ("connect_timeout", True),
    ("create", "perhaps"),
    ("create", 2),
    ("max_connections", 0),
    ("max_connections", "many"),
    ("partitioned", "perhaps"),
    ("timeout", 0),
    ("timeout", -1),
    ("timeout", "soon"),
    ("verify", ""),
    ("verify", 0.5),
    ("w", 0),
    ("w", "most"),
]


def _settings(scheme: str = "couchdb", host: str = "localhost", **given: Any) -> Settings:
    options = {name: declared.default for name, declared in OPTIONS.items()} | given
    return read_settings("guests", host, 5984, scheme, options)


@pytest.mark.parametrize(("option", "value"), REFUSED)
def test_a_keyword_argument_is_checked(option: str, value: Any) -> None:
    with pytest.raises(InvalidURL, match=option):
        divan.open("couchdb", database="guests", host="nowhere.invalid", **{option: value})
    with pytest.raises(InvalidURL, match=option):
        CouchDBBackend("guests", "nowhere.invalid", **{option: value})


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, value in REFUSED if isinstance(value, str)])
def test_the_text_of_a_url_is_checked(option: str, value: str) -> None:
    with pytest.raises(InvalidURL, match=option):
        divan.open(f"couchdb://nowhere.invalid/guests?{option}={value}")


def test_every_option_is_tried_with_a_value_that_it_cant_have() -> None:
    assert {option for option, _ in REFUSED} == set(OPTIONS)


def test_an_unknown_option_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidURL, match="connect_timeout"):
        CouchDBBackend("guests", "nowhere.invalid", patience=3)


def test_the_readme_lists_the_options() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+) \|$", README.read_text("utf-8").split("## Round trips")[0], re.MULTILINE
    )
    assert rows == [(name, _shown(option.default), option.about) for name, option in OPTIONS.items()]


def _shown(default: object) -> str:
    if default is None:
        return "–"
    return f"`{default:g}`" if isinstance(default, float) else f"`{str(default).lower()}`"


@pytest.mark.parametrize(
    ("scheme", "host", "server", "tls"),
    [
        ("couchdb", "localhost", "http://localhost:5984", False),
        ("couchdbs", "localhost", "https://localhost:5984", True),
        ("", "::1", "http://[::1]:5984", False),
    ],
)
def test_the_scheme_asks_for_tls(scheme: str, host: str, server: str, tls: bool) -> None:
    settings = _settings(scheme, host)
    assert (settings.server, settings.tls is not None) == (server, tls)


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ({}, None),
        ({"user": "ada"}, ("ada", "")),
        ({"user": "ada", "password": "se:cret"}, ("ada", "se:cret")),
        ({"user": None, "password": "secret"}, ("", "secret")),
    ],
)
def test_credentials_are_a_user_and_a_password(given: dict[str, Any], credentials: tuple[str, str] | None) -> None:
    assert _settings(**given).credentials == credentials


def test_a_user_with_a_colon_is_refused() -> None:
    with pytest.raises(InvalidURL, match="':'"):
        _settings(user="a:b", password="secret")


def test_settings_show_no_password() -> None:
    assert "secret" not in repr(_settings(user="ada", password="secret"))
