"""The ratios as a picture: a bar a row, the middle half of its rounds as a line over it, its target as a mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import ceil
from typing import Any
from xml.sax.saxutils import escape

_WIDTH = 860
_LEFT = 190
_RIGHT = 70
_BAR = 14
_STEP = 20
_GAP = 12
_HEAD = 74
_FOOT = 64
_COLOURS = ("#00796b", "#5c6bc0", "#ef6c00", "#8e24aa", "#546e7a", "#c62828", "#2e7d32", "#6d4c41")
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #263238 }
.title { font-size: 16px; font-weight: 600 }
.note { fill: #607d8b; font-size: 11px }
.value { font-weight: 600 }
.axis { stroke: #cfd8dc } .raw { stroke: #263238; stroke-width: 1.5 }
.half { stroke: #263238; stroke-width: 1.2 } .target { stroke: #d32f2f; stroke-width: 2 }
"""


def draw(report: Mapping[str, Any]) -> str:
    """An SVG of what a run measured.

    Args:
        report: What the JSON file holds: ``machine``, ``quick`` and ``rows``.
    """
    rows: Sequence[Mapping[str, Any]] = report["rows"]
    groups = [(store, list(members)) for store, members in groupby(rows, lambda row: _store(row["name"]))]
    most: float = max([1.5, *(max(row["ratio"]["quartiles"][1], row["target"] or 0) for row in rows)])
    end = ceil(most * 2) / 2
    scale: float = (_WIDTH - _LEFT - _RIGHT) / end
    height = _HEAD + len(rows) * _STEP + len(groups) * _GAP + _FOOT
    bottom = height - _FOOT

    def x(ratio: float) -> float:
        return round(_LEFT + ratio * scale, 1)

    parts = [f'<text class="title" x="16" y="28">{_TITLE}</text>', f'<text class="note" x="16" y="46">{_KEY}</text>']
    for tick in range(ceil(end * 2) + 1):
        ratio = tick / 2
        kind = "raw" if ratio == 1 else "axis"
        parts.append(f'<line class="{kind}" x1="{x(ratio)}" x2="{x(ratio)}" y1="{_HEAD - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="note" x="{x(ratio)}" y="{_HEAD - 10}" text-anchor="middle">{ratio:g}</text>')
    y = float(_HEAD)
    for (_, members), colour in zip(groups, (_COLOURS * len(groups))[: len(groups)], strict=True):
        y += _GAP / 2
        for row in members:
            parts += _bar(row, y, colour, x)
            y += _STEP
        y += _GAP / 2
    parts += [
        f'<text class="note" x="16" y="{bottom + 26 + line * 16}">{escape(text)}</text>'
        for line, text in enumerate(_notes(report))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        f"<title>{_TITLE}</title>\n<style>{_STYLE}</style>\n"
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


_TITLE = "Divan’s time over the raw client’s, for the same promise"
_KEY = "bar: the median of the rounds – black: the middle half of them – red: the target – 1: the raw client"


def _store(name: str) -> str:
    return name.partition(".")[0]


def _bar(row: Mapping[str, Any], y: float, colour: str, x: Callable[[float], float]) -> list[str]:
    """The name, the bar, the middle half, the target and the ratio of one row."""
    ratio = row["ratio"]["median"]
    first, third = row["ratio"]["quartiles"]
    middle = y + _BAR / 2
    size = f'width="{max(1.0, round(x(ratio) - _LEFT, 1))}" height="{_BAR}"'
    about = escape(f"{row['divan']} / {row['raw']}")
    parts = [
        f"<g><title>{about}</title>",
        f'<text x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(row["name"])}</text>',
        f'<rect x="{_LEFT}" y="{y}" {size} rx="2" fill="{colour}" fill-opacity="0.8"/>',
        f'<line class="half" x1="{x(first)}" x2="{x(third)}" y1="{middle}" y2="{middle}"/>',
    ]
    if row["target"] is not None:
        at = x(row["target"])
        parts.append(f'<line class="target" x1="{at}" x2="{at}" y1="{y - 1}" y2="{y + _BAR + 1}"/>')
    behind = max(x(ratio), x(third), x(row["target"] or 0)) + 8
    clock = " CPU" if row["clock"] == "cpu" else ""
    parts += [f'<text class="value" x="{behind}" y="{middle + 4}">{ratio:.2f}{clock}</text>', "</g>"]
    return parts


def _notes(report: Mapping[str, Any]) -> list[str]:
    """What the figures depend on, in two lines."""
    machine = report["machine"]
    system = machine["platform"].partition("-")[0]
    size = " A tenth of the work: orders of magnitude only." if report["quick"] else ""
    return [
        f"{machine['when'][:10]}, {machine['python']}, {machine['cpus']} CPUs, {system}.{size}",
        "CPU: this process’s own time, without the server’s. What each row compares, and how: benchmarks/README.md.",
    ]
