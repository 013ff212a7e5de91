"""The page of the SQLite store lists the options that the backend declares, word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from divan.backends.sqlite.options import OPTIONS

PAGE = Path(__file__).parents[1] / "docs" / "stores" / "sqlite.md"


def shown(default: Any) -> str:
    """A default as an operator writes it into a URL."""
    if isinstance(default, bool):
        return "true" if default else "false"
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_the_table_of_options_is_what_the_backend_declares() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(name, shown(option.default), option.about) for name, option in OPTIONS.items()]
