"""Internal: what the commands print: one JSON object a line for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from divan.cli.text import printable, printable_json, wants_colour

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_ROWS_OF_A_TABLE: Final = 500
_WIDTH_OF_A_COLUMN: Final = 14
_WIDTH_WITHOUT_TERMINAL: Final = 500


class OutputClosed(Exception):
    """Whoever read standard output has gone: no error, but nothing is left to do."""


def write(text: str) -> None:
    """Write to standard output.

    Raises:
        OutputClosed: if nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError as error:
        raise OutputClosed from error


def to_json(value: Any) -> str:
    """The JSON text of a value, in one line; a value of a store's own (an ObjectId, say) as its text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_text)


def _text(value: object) -> str:
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


class Printer:
    """Prints documents and other rows.

    Args:
        as_json: Whether as JSON; `None` to do so unless standard output is a terminal.
    """

    def __init__(self, as_json: bool | None) -> None:
        terminal = sys.stdout.isatty()
        self.as_json = not terminal if as_json is None else as_json
        self.chose_json = as_json is True
        self._escape: Callable[[str], str] = printable_json if terminal else str

    def row(self, row: Mapping[str, Any]) -> None:
        """Print one row; as a table, one line a field."""
        if self.as_json:
            self._line(row)
        else:
            table(["field", "value"], list(row.items()), header=False)

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows as they come; as tables, a few hundred rows each."""
        if self.as_json:
            for row in rows:
                self._line(row)
            return
        iterator = iter(rows)
        total = 0
        while part := list(islice(iterator, _ROWS_OF_A_TABLE)):
            total += len(part)
            names = list(dict.fromkeys(name for row in part for name in row))
            columns, rest = _fit(names)
            lines: list[tuple[Any, ...]] = []
            for row in part:
                further = {name: row[name] for name in rest if name in row}
                cells = [row.get(name, _NOTHING) for name in columns]
                lines.append((*cells, further or _NOTHING) if rest else tuple(cells))
            table([*columns, "further fields"] if rest else columns, lines)
        write(f"{total} document{'' if total == 1 else 's'}\n")

    def text(self, text: str, row: Mapping[str, Any]) -> None:
        """Print a sentence for people, or the row that says it to programs."""
        if self.as_json:
            self._line(row)
        else:
            write(printable(text) + "\n")

    def _line(self, row: Mapping[str, Any]) -> None:
        write(self._escape(to_json(row)) + "\n")


_NOTHING: Final = object()


def _fit(names: list[str]) -> tuple[list[str], list[str]]:
    """The columns that the terminal has room for, and the other fields; the id and the revision are always columns."""
    names = [*(name for name in names if name != "_rev"), *(name for name in names if name == "_rev")]
    room = max(3, console().width // _WIDTH_OF_A_COLUMN)
    if len(names) <= room:
        return names, []
    columns = [*names[: room - 2], *(["_rev"] if names[-1] == "_rev" else [])]
    return columns, [name for name in names if name not in columns]


def console() -> Console:
    """Standard output, as Rich sees it."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        no_color=not wants_colour(sys.stdout),
        width=None if terminal else _WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, header: bool = True) -> None:
    """Print a table.

    Args:
        columns: The columns' names.
        rows: The cells: text as it is, other values as JSON.
        header: Whether to show the columns' names.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, show_header=header, pad_edge=False)
    for number, name in enumerate(columns):
        drawn.add_column(Text(printable(name)), style="" if number else "bold", overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    try:
        console().print(drawn)
    except BrokenPipeError as error:
        raise OutputClosed from error


def _cell(value: Any) -> Text:
    from rich.text import Text

    if value is _NOTHING:
        return Text("")
    if isinstance(value, str):
        return Text(printable(value))
    return Text(printable_json(to_json(value)), style="" if value is not None else "dim")
