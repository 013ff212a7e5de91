"""Internal: the commands that ask: `find`, `count`, `ids`, `explain`, and `ensure-index`."""

from __future__ import annotations

from typing import Any, Final

import click

import divan
from divan.cli.output import Printer, to_json, write
from divan.cli.parsing import (
    StoreCommand,
    Word,
    fields_option,
    opened,
    output_options,
    schema_option,
    where_option,
)
from divan.cli.progress import counted
from divan.cli.target import Target
from divan.errors import DivanError

_SORT_HELP: Final = "A field to sort by, as in name, or -name for descending; may be given several times."
sort_option = click.option("--sort", multiple=True, metavar="FIELD", help=_SORT_HELP)
prefix_option = click.option("--prefix", metavar="TEXT", default="", help="Only documents whose id begins so.")
scans_option = click.option("--no-scan", is_flag=True, help="Refuse (exit 5) a query that would read every document.")


@click.command(cls=StoreCommand)
@where_option
@sort_option
@prefix_option
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", help="Print at most this many.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out this many first.")
@fields_option
@click.option("--explain", "explaining", is_flag=True, help="Show how the store would answer, and read nothing.")
@scans_option
@output_options
@schema_option
def find(
    target: Target,
    where: dict[str, Any] | None,
    sort: tuple[str, ...],
    prefix: str,
    limit: int | None,
    skip: int,
    fields: list[str] | None,
    explaining: bool,
    no_scan: bool,
    printer: Printer,
    schema: dict[str, str],
) -> None:
    """Print the documents that match a filter.

    Without a filter, all are. Values of typed fields are written as they are stored: --schema arrival=DateField
    --where '{"arrival": {"$gte": "2026-12-01"}}'.
    """
    with opened(target, schema, allow_scans=not no_scan) as (store, values):
        query = with_prefix(values.where(where), prefix)
        if explaining:
            _explain(store, query, sort, printer)
            return
        found = store.find(query, sort=sort or None, limit=limit, skip=skip, fields=fields)
        printer.rows(counted(map(values.row, found), "read"))


@click.command(cls=StoreCommand)
@where_option
@prefix_option
@scans_option
@schema_option
def count(target: Target, where: dict[str, Any] | None, prefix: str, no_scan: bool, schema: dict[str, str]) -> None:
    """Print how many documents match a filter.

    Without a filter, all are counted.
    """
    with opened(target, schema, allow_scans=not no_scan) as (store, values):
        write(f"{store.count(with_prefix(values.where(where), prefix))}\n")


@click.command(cls=StoreCommand)
@prefix_option
@click.option("--json", "as_json", is_flag=True, help="""One JSON object a line, with the id as its "_id".""")
def ids(target: Target, prefix: str, as_json: bool) -> None:
    """Print the ids of all documents, one a line."""
    with opened(target) as (store, _):
        for id in store.ids(prefix):
            if as_json:
                write(to_json({"_id": id}) + "\n")
            elif "\n" in id or "\r" in id or id[0] == "{":
                raise DivanError(f"the id {id!r} can't stand alone in a line; use --json")
            else:
                write(id + "\n")


@click.command(cls=StoreCommand)
@where_option
@sort_option
@output_options
@schema_option
def explain(
    target: Target, where: dict[str, Any] | None, sort: tuple[str, ...], printer: Printer, schema: dict[str, str]
) -> None:
    """Show how the store would answer find.

    What it does itself (pushed), what is finished here (residual), which index serves it, and whether every document
    would be read (scan).
    """
    with opened(target, schema) as (store, values):
        _explain(store, values.where(where), sort, printer)


def with_prefix(where: Any, prefix: str) -> Any:
    """A filter, and the beginning of the ids that is asked for beside it."""
    if not prefix:
        return where
    begins = {"_id": {"$prefix": prefix}}
    return {"$and": [where, begins]} if where else begins


def _explain(store: divan.Store, where: Any, sort: tuple[str, ...], printer: Printer) -> None:
    printer.row(store.explain(where, sort=sort or None)._asdict())


@click.command("ensure-index", cls=StoreCommand, words=(Word("field", many=True),))
@output_options
def ensure_index(target: Target, field: tuple[str, ...], printer: Printer) -> None:
    """Make find on some fields fast, where the store can.

    Several fields make one index over all of them, in this order.
    """
    with opened(target, make=True) as (store, _):
        name = store.ensure_index(*field)
        text = f"{store.name} has no indexes; find answers the same without" if name is None else f"index {name}"
        printer.text(text, {"index": name})
