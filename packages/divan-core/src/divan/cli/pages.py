"""Internal: the command `page`."""

from __future__ import annotations

from typing import Any

import click

from divan.cli.output import Printer
from divan.cli.parsing import StoreCommand, opened, output_options, schema_option, where_option
from divan.cli.queries import prefix_option, scans_option, sort_option, with_prefix
from divan.cli.target import Target


@click.command(cls=StoreCommand)
@where_option
@sort_option
@prefix_option
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, metavar="N", help="The size of a page.")
@click.option("--after", metavar="TOKEN", help="The token that the page before this one ended with.")
@scans_option
@output_options
@schema_option
def page(
    target: Target,
    where: dict[str, Any] | None,
    sort: tuple[str, ...],
    prefix: str,
    limit: int,
    after: str | None,
    no_scan: bool,
    printer: Printer,
    schema: dict[str, str],
) -> None:
    """Print one page of the documents that match a filter.

    If there are more, the last line of standard error is the option that gives the next page: --after TOKEN.
    """
    with opened(target, schema, allow_scans=not no_scan) as (store, values):
        query: Any = with_prefix(values.where(where), prefix)
        found = store.page(query, sort=sort or None, limit=limit, after=after)
        printer.rows(map(values.row, found.items))
        if found.next is not None:
            click.echo(f"--after {found.next}", err=True)
