"""Internal: `update` and `delete` of whatever matches a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from divan.cli.output import write
from divan.cli.parsing import opened
from divan.cli.reading import Row
from divan.cli.target import Target
from divan.cli.values import Values

dry_run_option = click.option("--dry-run", is_flag=True, help="With --where: print how many match, and change nothing.")


def check_alone(ctx: click.Context, given: Mapping[str, object], where: dict[str, Any] | None, dry_run: bool) -> None:
    """Refuse what can't be said beside ``--where``, and ``--dry-run`` without it.

    Args:
        ctx: The command's context.
        given: What concerns single documents, by the name that it has in the usage line.
        where: The filter, if there is one.
        dry_run: Whether ``--dry-run`` was given.
    """
    if where is None:
        if dry_run:
            raise click.UsageError("--dry-run counts what --where matches, and there is no --where", ctx)
        return
    for name, value in given.items():
        if value:
            raise click.UsageError(f"{name} is one document's, and --where says which ones are meant", ctx)


def update_where(
    ctx: click.Context,
    target: Target,
    schema: dict[str, str],
    where: dict[str, Any],
    dry_run: bool,
    rows: list[Row],
    changes: Callable[[Row, Values], dict[str, Any]],
) -> None:
    """Update whatever matches, and print how many that were.

    Args:
        ctx: The command's context.
        target: The store.
        schema: Field name → field type.
        where: The filter.
        dry_run: Whether to count only.
        rows: The input, which must be one object.
        changes: Makes the changes of it.
    """
    if len(rows) != 1:
        raise click.UsageError(f"--where takes one object of changes, and the input holds {len(rows)}", ctx)
    if rows[0].id is not None:
        raise click.UsageError("the changes hold an _id, and --where says which documents are meant", ctx)
    with opened(target, schema) as (store, values):
        query: Any = values.where(where)
        wanted = changes(rows[0], values)
        write(f"{store.count(query) if dry_run else store.update_where(query, wanted)}\n")


def delete_where(target: Target, schema: dict[str, str], where: dict[str, Any], dry_run: bool) -> None:
    """Delete whatever matches, and print how many that were.

    Args:
        target: The store.
        schema: Field name → field type.
        where: The filter.
        dry_run: Whether to count only.
    """
    with opened(target, schema) as (store, values):
        query: Any = values.where(where)
        write(f"{store.count(query) if dry_run else store.delete_where(query)}\n")
