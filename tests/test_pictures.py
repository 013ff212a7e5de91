"""The pictures of the repository's page: well-formed, with what they have to name, and drawn from what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

IMAGES = Path(__file__).parents[1] / "docs" / "images"


@pytest.fixture(scope="module", autouse=True)
def _needs_rich() -> None:
    pytest.importorskip("rich", reason="the benchmarks print with rich: pip install rich")


def _row(name: str, median: float, **other: Any) -> dict[str, Any]:
    ratio = {"median": median, "quartiles": [median - 0.1, median + 0.1]}
    return {"name": name, "divan": "a < b", "raw": "c & d", "clock": "wall", "target": None, "ratio": ratio, **other}


def _drawn(*rows: dict[str, Any]) -> ElementTree.Element:
    from benchmarks.chart import draw

    machine = {"when": "2026-12-01T10:00:00", "python": "CPython 3.13.0", "cpus": 2, "platform": "Linux"}
    return ElementTree.fromstring(draw({"machine": machine, "quick": True, "rows": rows}))


def _texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}text")]


def test_the_chart_has_each_row_with_its_ratio_and_says_what_it_depends_on() -> None:
    texts = _texts(_drawn(_row("sqlite.get", 1.254, target=1.5), _row("redis.get", 0.5, clock="cpu")))
    assert {"sqlite.get", "1.25", "redis.get", "0.50 CPU"} <= set(texts)
    assert any("2026-12-01" in text and "CPython 3.13.0" in text and "A tenth of the work" in text for text in texts)


def test_a_bar_is_as_long_as_its_ratio() -> None:
    picture = _drawn(_row("a.x", 0.5), _row("a.y", 1.0), _row("b.z", 2.0))
    bars = [
        float(element.attrib["width"])
        for element in picture.iter("{http://www.w3.org/2000/svg}rect")
        if "fill-opacity" in element.attrib
    ]
    assert bars[1] / bars[0] == pytest.approx(2, abs=0.01)
    assert bars[2] / bars[0] == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_well_formed_has_a_title_and_loads_nothing(path: Path) -> None:
    picture = ElementTree.parse(path).getroot()
    assert picture.findtext("{http://www.w3.org/2000/svg}title")
    assert re.findall(r"(?:href|src)=|@import|url\((?!#)", path.read_text(encoding="utf-8")) == []


def test_the_chart_that_is_shown_compares_every_store() -> None:
    texts = json.dumps(_texts(ElementTree.parse(IMAGES / "ratios.svg").getroot()))
    assert [store for store in ("sqlite.", "couchdb.", "mongo.", "redis.") if store not in texts] == []
