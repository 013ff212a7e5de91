"""The options of an SQLite URL: read and checked alike from the URL's text and from keyword arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import divan
import pytest
from divan.backends.sqlite import SQLiteBackend
from divan.errors import InvalidURL

WRONG: list[tuple[str, Any]] = [
    ("timeout", -1), ("timeout", 0), ("timeout", "soon"), ("timeout", "nan"), ("timeout", True), ("timeout", [1]),
    ("create", "perhaps"), ("create", 2),
    ("mode", "rwc"), ("mode", ""), ("mode", True),
    ("table", "a b"), ("table", "sqlite_x"), ("table", ""), ("table", "x" * 65), ("table", 7),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_an_option_that_makes_no_sense_is_an_invalid_url_however_it_is_given(
    tmp_path: Path, name: str, value: Any
) -> None:
    path = tmp_path / "my.db"
    message = f"option {name}=.*give|option {name}=.*a table's name"
    with pytest.raises(InvalidURL, match=message):
        SQLiteBackend(str(path), **{name: value})
    with pytest.raises(InvalidURL, match=message):
        divan.open(f"sqlite:///{path}", **{name: value})
    with pytest.raises(InvalidURL, match=message):
        divan.open("sqlite", database=str(path), **{name: value})
    if isinstance(value, str) and value:
        with pytest.raises(InvalidURL, match=message):
            divan.open(f"sqlite:///{path}?{name}={value}")
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidURL, match="'tables'; its options are: create, mode, table, timeout"):
        SQLiteBackend(str(tmp_path / "my.db"), tables="x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, dict.fromkeys(("timeout", "create", "mode", "table"))])
def test_an_option_that_is_not_given_has_its_default(tmp_path: Path, options: dict[str, Any]) -> None:
    backend = SQLiteBackend(str(tmp_path / "my.db"), **options)
    assert dict(backend.options) == {"timeout": 10.0, "create": True, "mode": "rw", "table": "documents"}
    backend.close()


def test_the_text_of_a_url_is_read(tmp_path: Path) -> None:
    with divan.open(f"sqlite:///{tmp_path}/my.db?timeout=2.5&create=yes&mode=rw&table=guests") as store:
        assert dict(store.backend.options) == {"timeout": 2.5, "create": True, "mode": "rw", "table": "guests"}
