"""The options: what is refused, and that the README tells what is declared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import divan
import pytest
from divan_lmdb.options import OPTIONS


@pytest.mark.parametrize(
    ("name", "value"),
    [("map_size", -1), ("map_size", 1 << 19), ("map_size", 2e9), ("map_size", "large"),
     ("sync", "perhaps"), ("sync", 2), ("create", ""), ("create", 0.5), ("timeout", -1)],
)  # fmt: skip
def test_an_option_that_means_nothing_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(divan.InvalidURL):
        divan.open(f"lmdb:///{tmp_path.as_posix()}/guests.lmdb", **{name: value})
    assert list(tmp_path.iterdir()) == []


def test_the_readme_tells_what_is_declared() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", readme, flags=re.MULTILINE)

    assert rows == [(name, json.dumps(option.default), option.about) for name, option in OPTIONS.items()]
