"""Internal: what the commands that write documents have in common: their options, their input, and the write itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import click

import divan
from divan.backends.support import attempt
from divan.cli.bulk import Bulk
from divan.cli.foreign import Foreign
from divan.cli.output import Printer
from divan.cli.parsing import output_options, reporter_of, schema_option
from divan.cli.progress import counted
from divan.cli.reading import Row, peek, read_rows
from divan.cli.rehearsal import Rehearsal
from divan.cli.values import Values
from divan.errors import BulkError, ConnectionFailed, InvalidDocument, OperationTimeout

Run = Callable[[divan.Store, list[Any]], list[Any]]
"""A bulk call of a store: items → one result an item, or `divan.BulkError`."""


def write_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a command that writes documents, given to it as a `Writing` named ``writing``."""

    @click.option(
        "--all-or-nothing",
        is_flag=True,
        help="Write a batch of the input, as many documents as the store takes at once, only if nothing in it would be "
        "refused; end at the first that is not written.",
    )
    @click.option("--id-field", metavar="NAME", help="""Take each document's id from this field, in place of "_id".""")
    @click.option(
        "--names",
        type=click.Choice(["refuse", "escape", "drop"]),
        default="refuse",
        help="What becomes of a field whose name no store takes, such as $schema or a.b.",
    )
    @click.option("-q", "--quiet", is_flag=True, help="Do not print the documents as stored.")
    @output_options
    @schema_option
    @wraps(command)
    def with_writing(
        *args: Any,
        all_or_nothing: bool,
        id_field: str | None,
        names: str,
        quiet: bool,
        printer: Printer,
        schema: dict[str, str],
        **others: Any,
    ) -> Any:
        writing = Writing(all_or_nothing, quiet, printer, schema, Foreign(id_field, names))
        return command(*args, writing=writing, **others)

    return with_writing


class Writing(NamedTuple):
    """How a command writes documents.

    Attributes:
        all_or_nothing: Whether a batch is written only if all of it would be.
        quiet: Whether what is stored is not printed.
        printer: What prints it.
        schema: The fields' types.
        foreign: What makes of other tools' documents what a Store takes.
    """

    all_or_nothing: bool
    quiet: bool
    printer: Printer
    schema: dict[str, str]
    foreign: Foreign

    def read(self, ctx: click.Context, data: str | None, id: str | None) -> tuple[Iterator[Row], bool]:
        """The documents of the input, and whether there is only one.

        Args:
            ctx: The command.
            data: The argument that holds or names the input.
            id: The id that is given beside it.
        """
        number, rows = peek(self.foreign.read(read_rows(data)))
        alone = number == 1
        if id is not None and not alone:
            # Without an ID, an empty input is what a search that found nothing pipes in, and no error.
            raise click.UsageError(f"one ID is given, and {'several documents' if number else 'no document'}", ctx)
        return (row._replace(place="") for row in rows) if alone else rows, alone

    def check_revisions(self, ctx: click.Context, rev: str | None, if_unchanged: bool) -> None:
        """Refuse revisions where all or nothing is written: they are those of the store, and no copy has them."""
        if self.all_or_nothing and (rev is not None or if_unchanged):
            option = "--if-unchanged" if rev is None else "--rev"
            raise click.UsageError(f"--all-or-nothing and {option} do not go together", ctx)

    def write(
        self,
        ctx: click.Context,
        items: Iterable[tuple[str, Any]],
        run: Run,
        store: divan.Store,
        values: Values,
        *,
        alone: bool,
        size: int | None = None,
    ) -> int:
        """Carry out the write, print what is stored, and return the exit code.

        Args:
            ctx: The command.
            items: Where each document was read, and what the bulk call takes for it.
            run: The bulk call.
            store: The store.
            values: What turns its values into JSON.
            alone: Whether the input is one document.
            size: How many items go into one call, unless it is all or nothing; `None` for as many as the store takes.
        """
        rehearse = Rehearsal(store, self.schema, run).results if self.all_or_nothing and not alone else None
        bulk = Bulk(reporter_of(ctx), "stored", rehearse)
        length = size if size is not None and rehearse is None else store.backend.batch_size
        results = bulk.results(items, lambda batch: run(store, batch), length)
        written = counted(map(values.row, results), "stored", self.quiet)
        if self.quiet:
            exhaust(written)
        elif alone:
            for row in written:
                self.printer.row(row)
        else:
            self.printer.rows(written)
        for line in self.foreign.report():
            reporter_of(ctx).warning(line)
        return bulk.code


def one_by_one(method: str) -> Run:
    """A bulk call of a method that has none: it ends where the store does not answer."""

    def run(store: divan.Store, batch: list[Any]) -> list[Any]:
        results: list[Any] = []
        for item in batch:
            results.append(attempt(getattr(store, method), *item))
            if isinstance(results[-1], ConnectionFailed | OperationTimeout):
                raise BulkError(method, results) from results[-1]
        return results

    return run


def id_for(ctx: click.Context, row: Row, given: str | None) -> Any:
    """The id to write to: the argument, or the document's own."""
    if given is None and row.id is None:
        if row.place:
            raise InvalidDocument(f'{row.place}: the document holds no "_id"')
        raise click.UsageError('no ID: give it before the document, or in it as "_id"', ctx)
    if given is not None and row.id is not None and row.id != given:
        raise click.UsageError(f'the document\'s "_id" is {row.id!r}, and ID is {given!r}', ctx)
    return row.id if given is None else given


def revision_for(ctx: click.Context, row: Row, given: str | None, from_row: bool, alone: bool) -> Any:
    """The revision that a document must still have, or `None`."""
    if given is not None and not alone:
        raise click.UsageError("--rev is one document's, and several are given; --if-unchanged takes each one's", ctx)
    if given is not None or not from_row:
        return given
    if not isinstance(row.rev, str):
        place = f"{row.place}: " if row.place else ""
        raise InvalidDocument(f'{place}--if-unchanged needs the document\'s "_rev"')
    return row.rev


def exhaust(items: Iterable[Any]) -> None:
    """Have all items made, and forget them."""
    deque(items, maxlen=0)
