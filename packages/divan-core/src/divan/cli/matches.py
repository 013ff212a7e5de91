"""Internal: the commands that ask for one match: `first` and `exists`."""

from __future__ import annotations

from typing import Any

import click

from divan.cli import exits
from divan.cli.output import Printer, write
from divan.cli.parsing import StoreCommand, fields_option, opened, output_options, schema_option, where_option
from divan.cli.queries import prefix_option, scans_option, sort_option, with_prefix
from divan.cli.target import Target


@click.command(cls=StoreCommand)
@where_option
@sort_option
@prefix_option
@fields_option
@scans_option
@output_options
@schema_option
def first(
    target: Target,
    where: dict[str, Any] | None,
    sort: tuple[str, ...],
    prefix: str,
    fields: list[str] | None,
    no_scan: bool,
    printer: Printer,
    schema: dict[str, str],
) -> int:
    """Print the first of the documents that match a filter.

    Prints nothing if none matches (exit 3).
    """
    with opened(target, schema, allow_scans=not no_scan) as (store, values):
        query: Any = with_prefix(values.where(where), prefix)
        ask: Any = store.first  # whose overloads leave open what `fields` may be
        found = ask(query, sort=sort or None, fields=fields)
        if found is None:
            return exits.NOT_FOUND
        printer.row(values.row(found))
        return exits.OK


@click.command(cls=StoreCommand)
@where_option
@prefix_option
@scans_option
@schema_option
def exists(target: Target, where: dict[str, Any] | None, prefix: str, no_scan: bool, schema: dict[str, str]) -> int:
    """Print whether any document matches a filter: true, or false (exit 3).

    Without a filter, whether there is any document.
    """
    with opened(target, schema, allow_scans=not no_scan) as (store, values):
        found = store.exists(with_prefix(values.where(where), prefix))
        write("true\n" if found else "false\n")
        return exits.OK if found else exits.NOT_FOUND
