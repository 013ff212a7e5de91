"""The demo: four years of Seattle's weather in one SQLite file, asked, changed and guarded; ``nox -s demo`` runs it."""

from __future__ import annotations

import csv
import os
import pprint
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import divan

SCHEMA = {"date": "DateField", "precipitation": "DecimalField"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="divan-demo-") as folder:
        url = f"sqlite:///{Path(folder).as_posix()}/weather.db"
        with divan.open(url, schema=SCHEMA) as weather:
            load(weather)
            ask(weather)
            change(weather)
            guard(weather)
        command_line(url)
    installed()
    heading("What this was")
    say(
        """
        One file held 1,461 documents, a schema gave dates and decimals back as they went in,
        the store answered the questions through its own index, an update touched only the fields that it named, and a
        write that would have lost somebody's change was refused. With another URL, couchdb://… or mongodb://… or
        redis://…, every line above stays as it is. The file was temporary and is gone.
        """
    )


def load(weather: divan.Store) -> None:
    heading("Load")
    days = weather.create_many(read_days())
    dry = sum(1 for day in days if not day["precipitation"])
    say(f"{len(days):,} days went into {weather.name}, one document each. {dry} of them were dry. The first one:")
    show(days[0])


def read_days() -> Iterator[dict[str, Any]]:
    """The days of the data set that the package vega_datasets carries, as a program has them: dates and decimals."""
    file = distribution("vega_datasets").locate_file("vega_datasets/_data/seattle-weather.csv")
    with Path(str(file)).open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield {
                "date": date(*(int(part) for part in row["date"].split("/"))),
                "precipitation": Decimal(row["precipitation"]),
                "temperature": {"min": float(row["temp_min"]), "max": float(row["temp_max"])},
                "wind": float(row["wind"]),
                "weather": row["weather"],
            }


def ask(weather: divan.Store) -> None:
    heading("Ask")
    [coldest] = weather.find(sort="temperature.min", limit=1)
    say(f"The coldest night was {coldest['date']:%d %B %Y}, with {coldest['temperature']['min']} °C.")

    december = {"date": {"$gte": date(2012, 12, 1), "$lt": date(2013, 1, 1)}, "weather": "snow"}
    snowy = list(weather.find(december, sort="date"))
    fell = sum((day["precipitation"] for day in snowy), Decimal())
    days = ", ".join(f"{day['date'].day}" for day in snowy)
    say(f"In December 2012 it snowed on {len(snowy)} days ({days}); {fell} mm fell on them, added up as decimals.")

    before = weather.explain({"weather": "snow"})
    index = weather.ensure_index("weather")
    after = weather.explain({"weather": "snow"})
    say(
        f"To find snow the store read {'every document' if before.scan else 'a part of the documents'}; "
        f"with the index {index!r} it reads {'every document' if after.scan else 'only those that match'}."
    )
    for kind in ("rain", "sun", "fog", "drizzle", "snow"):
        print(f"  {kind:8} {weather.count({'weather': kind}):4} days")


def change(weather: divan.Store) -> None:
    heading("Change")
    [day] = weather.find({"date": date(2012, 12, 25)})
    changes = {"note": "white Christmas?", "wind": divan.REMOVE, "reports": divan.Increment(2)}
    say(f"One update of {day['date']} adds a note, takes the wind out, and counts two reports, in one atomic step:")
    show(weather.update(day, changes))


def guard(weather: divan.Store) -> None:
    heading("Guard")
    [mine] = weather.find({"date": date(2012, 12, 25)})
    weather.update(mine.id, {"note": "no snow after all"})
    try:
        weather.update(mine, {"note": "let it snow"}, rev=mine.rev)
    except divan.RevisionConflict as error:
        say("Two people had this day open, and the other one saved first. Our save names the revision that we saw:")
        print(f"  RevisionConflict: {error}".replace(mine.id, f"{mine.id[:8]}…"))
        say(f"So the other note stands: {weather[mine.id]['note']!r}.")
    else:
        raise SystemExit("the store took a write that it had to refuse")


def command_line(url: str) -> None:
    heading("The same store from the command line")
    run("count", url, "--where", '{"weather": "snow"}')
    run(
        *("find", url, "--where", '{"temperature.max": {"$gte": 35}}'),
        *("--sort", "-temperature.max", "--limit", "2", "--fields", "date,temperature"),
    )


def installed() -> None:
    heading("What is installed")
    for backend in divan.list_backends():
        print(f"  {backend.name:8} from {backend.distribution} {backend.version}")


def run(command: str, *arguments: str) -> None:
    """Run ``divan`` as a shell would, and print the command and what it prints."""
    shown = ['"$URL"' if "://" in argument else shlex.quote(argument) for argument in arguments]
    print(f"\n  $ divan {' '.join([command, *shown])}")
    program = Path(sys.executable).parent / "divan"
    environment = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1"}
    done = subprocess.run([program, command, *arguments], env=environment, capture_output=True, text=True, check=False)
    print(textwrap.indent(done.stdout or done.stderr, "  "), end="")
    if done.returncode:
        raise SystemExit(f"divan {command} ended with exit code {done.returncode}: {done.stderr}")


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


def say(text: str) -> None:
    print(textwrap.fill(" ".join(text.split()), width=100))


def show(document: divan.Document) -> None:
    print(textwrap.indent(pprint.pformat(dict(document), sort_dicts=False, width=96), "  "))


if __name__ == "__main__":
    main()
