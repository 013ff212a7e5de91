"""The command line: choose rows, run them, print a table, write a JSON file and a chart."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import rows as row_modules
from benchmarks.chart import draw
from benchmarks.harness import Result, Row, Settings, measure

ROUNDS = 15
QUICK_ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description="Measure Divan against the raw clients.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="row names or patterns: sqlite.get, 'sqlite.*', imports")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: orders of magnitude only")
    parser.add_argument("--rounds", type=int, help=f"samples of each side ({ROUNDS}; {QUICK_ROUNDS} with --quick)")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), help="where the JSON file goes")
    parser.add_argument("--chart", type=Path, default=Path("build/benchmarks.svg"), help="where the chart goes")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)

    chosen = [row for row in _find_rows(console) if _is_chosen(row.name, arguments.rows)]
    if arguments.list or not chosen:
        for row in chosen:
            console.print(f"{row.name}: {row.divan} / {row.raw}", highlight=False)
        if not chosen:
            parser.error("no row has such a name; --list names them all")
        return

    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    results = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="divan-bench-")))
        settings = Settings(folder, arguments.quick, stack)
        for row in chosen:
            with console.status(row.name):
                results.append(measure(row, settings, rounds))
            result = results[-1]
            console.print(f"{row.name}: {result.ratio:.2f} × {row.raw}", highlight=False)
    console.print(_table(results))
    missed = [result.row.name for result in results if result.met is False]
    console.print("targets missed: " + ", ".join(missed) if missed else "every target is met", highlight=False)

    report = {"machine": _machine(), "quick": arguments.quick, "rows": [result.as_dict() for result in results]}
    for path, text in ((arguments.json, json.dumps(report, indent=1) + "\n"), (arguments.chart, draw(report))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        console.print(f"written to {path}", highlight=False)


def _find_rows(console: Console) -> list[Row]:
    """The rows of every module of `benchmarks.rows`; one whose client or server is missing says so and has none."""
    found: list[Row] = []
    for module in pkgutil.iter_modules(row_modules.__path__):
        try:
            found += importlib.import_module(f"{row_modules.__name__}.{module.name}").ROWS
        except ImportError as error:
            console.print(f"[yellow]no rows for {module.name}: {error}[/]", highlight=False)
    return found


def _is_chosen(name: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatch(name, pattern) or name.startswith(f"{pattern}.") for pattern in patterns)


def _table(results: list[Result]) -> Table:
    table = Table(title="Divan over the raw client: the median of the rounds, and the middle half of them")
    table.add_column("row", no_wrap=True)
    for heading in ("Divan", "compared with", "time"):
        table.add_column(heading)
    for heading in ("Divan, µs", "raw, µs", "ratio", "middle half", "CPU ratio", "target", ""):
        table.add_column(heading, justify="right")
    for result in results:
        row = result.row
        first, third = result.quartiles
        targets = [f"≤ {row.target}"] if row.target is not None else []
        targets += [f"≤ {row.target_ms} ms"] if row.target_ms is not None else []
        table.add_row(
            row.name,
            row.divan,
            row.raw,
            f"{'CPU' if row.clock == 'cpu' else row.clock} a {row.unit}",
            f"{result.seconds('divan') * 1e6:.1f}",
            f"{result.seconds('raw') * 1e6:.1f}",
            f"{result.ratio:.2f}",
            f"{first:.2f} – {third:.2f}",
            f"{result.cpu_ratio:.2f}",
            ", ".join(targets),
            "" if result.met is None else "[green]met[/]" if result.met else "[red]missed[/]",
        )
    return table


def _machine() -> dict[str, Any]:
    """What the figures depend on."""
    wanted = {
        "divan",
        "psycopg",
        "redis",
        "pymongo",
        "couchdb",
        "hiredis",
        "pluggy",
        "importlib-metadata",
        "py-key-value-aio",
    }
    versions = {
        item.name: item.version for item in distributions() if item.name.lower() in wanted or "divan" in item.name
    }
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
