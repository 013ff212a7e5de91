"""Internal: the command `watch`."""

from __future__ import annotations

import sys
from typing import Any

import click

from divan.cli.output import to_json, write
from divan.cli.parsing import StoreCommand, opened
from divan.cli.target import Target


@click.command(cls=StoreCommand)
@click.option("--since", metavar="TOKEN", help="Go on behind this change, whose token an earlier watch printed.")
@click.option(
    "--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="End after so long without a change; 0 for at once."
)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="End after so many changes.")
@click.option("--documents", is_flag=True, help="Print each document, too, as it is by then.")
def watch(target: Target, since: str | None, wait: float | None, limit: int | None, documents: bool) -> None:
    """Print the changes of the documents as they happen, one JSON object a line, until it is stopped.

    Each has the change's kind (created, updated or deleted), the document's id and revision, and a token for --since. A
    change may be printed more than once, and those of one document are printed in order.
    """
    with opened(target) as (store, values), store.watch(since, wait=wait) as changes:
        for number, change in enumerate(changes, 1):
            row: dict[str, Any] = {"kind": change.kind, "_id": change.id, "rev": change.rev, "token": change.token}
            if documents and change.kind != "deleted":
                document = store.get(change.id, None)
                row["document"] = None if document is None else values.row(document)
            write(to_json(row) + "\n")
            sys.stdout.flush()
            if number == limit:
                break
