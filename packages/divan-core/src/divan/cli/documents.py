"""Internal: the commands that write documents, and `get`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import click

import divan
from divan.cli import exits
from divan.cli.bulk import Bulk
from divan.cli.output import Printer
from divan.cli.parsing import (
    StoreCommand,
    Word,
    fields_option,
    opened,
    output_options,
    parse_increment,
    parse_items,
    reporter_of,
    schema_option,
    where_option,
)
from divan.cli.progress import counted
from divan.cli.reading import Row, batches, read_ids
from divan.cli.target import Target
from divan.cli.values import Values
from divan.cli.where import check_alone, delete_where, dry_run_option, update_where
from divan.cli.writing import Writing, exhaust, id_for, one_by_one, revision_for, write_options
from divan.errors import DocumentNotFound

_rev_option = click.option("--rev", metavar="REV", help="Refuse (exit 4) unless the document still has this revision.")
_if_unchanged_option = click.option(
    "--if-unchanged", is_flag=True, help="""Refuse (exit 4) if the document has changed since the input's "_rev"."""
)


@click.command(cls=StoreCommand, words=(Word("data", required=False),))
@click.option("--id", metavar="ID", help="""The document's id; otherwise its "_id", or a new one.""")
@write_options
@click.pass_context
def create(
    ctx: click.Context,
    target: Target,
    data: str | None,
    id: str | None,
    writing: Writing,
) -> int:
    """Store new documents and print them as stored.

    DATA is a JSON object, @FILE, or - for standard input, which is also read if DATA is left out. A file or standard
    input may hold any number of them, in lists or one after another. An id that is taken is refused (exit 4), the
    others are stored.
    """
    rows, alone = writing.read(ctx, data, id)
    with opened(target, writing.schema, make=True) as (store, values):
        items = ((row.place, _with_id(row.id if id is None else id, values.load(row.fields))) for row in rows)
        return writing.write(ctx, items, lambda to, batch: to.create_many(batch), store, values, alone=alone)


@click.command(cls=StoreCommand, words=(Word("id", required=False), Word("data", required=False)))
@_rev_option
@_if_unchanged_option
@write_options
@click.pass_context
def put(
    ctx: click.Context,
    target: Target,
    id: str | None,
    data: str | None,
    rev: str | None,
    if_unchanged: bool,
    writing: Writing,
) -> int:
    """Store documents, overwriting the whole of those that exist.

    DATA is as for create. Without ID, each document's "_id" says which it is, so what find prints can be put into
    another store; "_rev" is ignored, unless --if-unchanged asks for it.
    """
    id, data = _id_or_data(id, data)
    rows, alone = writing.read(ctx, data, id)
    with opened(target, writing.schema, make=True) as (store, values):
        if rev is None and not if_unchanged:
            items: Iterable[tuple[str, Any]] = (
                (row.place, (id_for(ctx, row, id), values.load(row.fields))) for row in rows
            )
            return writing.write(ctx, items, lambda to, batch: to.put_many(batch), store, values, alone=alone)
        writing.check_revisions(ctx, rev, if_unchanged)
        revision = partial(revision_for, ctx, given=rev, from_row=if_unchanged, alone=alone)
        items = ((row.place, (id_for(ctx, row, id), values.load(row.fields), revision(row))) for row in rows)
        return writing.write(ctx, items, one_by_one("put"), store, values, alone=alone, size=1)


@click.command(cls=StoreCommand, words=(Word("id", required=False), Word("data", required=False)))
@click.option("--remove", multiple=True, metavar="FIELD", help="Remove a field; may be given several times.")
@click.option(
    "--increment",
    multiple=True,
    metavar="FIELD=N",
    callback=lambda _ctx, _param, texts: dict(map(parse_increment, texts)),
    help="Add to the number in a field, atomically; may be given several times.",
)
@click.option(
    "--append",
    multiple=True,
    metavar="FIELD=JSON",
    callback=lambda _ctx, _param, texts: dict(parse_items(text, "--append") for text in texts),
    help="Add an item to the list in a field, or the items of a list; may be given several times.",
)
@click.option(
    "--discard",
    multiple=True,
    metavar="FIELD=JSON",
    callback=lambda _ctx, _param, texts: dict(parse_items(text, "--discard") for text in texts),
    help="Remove every equal item from the list in a field; may be given several times.",
)
@where_option
@dry_run_option
@_rev_option
@_if_unchanged_option
@write_options
@click.pass_context
def update(
    ctx: click.Context,
    target: Target,
    id: str | None,
    data: str | None,
    remove: tuple[str, ...],
    increment: dict[str, int | float],
    append: dict[str, list[Any]],
    discard: dict[str, list[Any]],
    where: dict[str, Any] | None,
    dry_run: bool,
    rev: str | None,
    if_unchanged: bool,
    writing: Writing,
) -> int:
    """Merge fields into documents.

    Their other fields stay as they are; a dotted name, as in address.city, is a nested object's field. DATA is as for
    create; with --remove, --increment, --append or --discard it may be left out.
    Without ID, each document's "_id" says which one to update; with --where, all that match get the same changes, and
    how many that were is printed.
    """
    if where is not None and data is None:
        id, data = None, id
    else:
        id, data = _id_or_data(id, data)
    for_one = {"ID": id, "--rev": rev, "--if-unchanged": if_unchanged, "--quiet": writing.quiet}
    check_alone(ctx, for_one | {"--all-or-nothing": writing.all_or_nothing}, where, dry_run)
    marks: dict[str, Any] = dict.fromkeys(remove, divan.REMOVE)
    given: dict[str, dict[str, Any]] = {
        "incremented": {name: divan.Increment(by) for name, by in increment.items()},
        "appended to": {name: divan.Append(*items) for name, items in append.items()},
        "discarded from": {name: divan.Discard(*items) for name, items in discard.items()},
    }
    done = dict.fromkeys(remove, "removed")
    for what, marked in given.items():
        for name, mark in marked.items():
            if name in marks:
                raise click.UsageError(f"{name!r} can't be {done[name]} and {what} in one update", ctx)
            marks[name], done[name] = mark, what
    if data is None and marks:
        rows, alone = iter([Row("", None, None, {})]), True
    else:
        rows, alone = writing.read(ctx, data, id)

    def changes(row: Row, values: Values) -> dict[str, Any]:
        for name in marks:
            if name in row.fields:
                raise click.UsageError(f"{name!r} is in the document as well as {done[name]}", ctx)
        return {**values.load(row.fields), **marks}

    if where is not None:
        update_where(ctx, target, writing.schema, where, dry_run, list(rows), changes)
        return exits.OK
    with opened(target, writing.schema) as (store, values):
        if rev is None and not if_unchanged:
            items: Iterable[tuple[str, Any]] = (
                (row.place, (id_for(ctx, row, id), changes(row, values))) for row in rows
            )
            return writing.write(ctx, items, lambda to, batch: to.update_many(batch), store, values, alone=alone)
        writing.check_revisions(ctx, rev, if_unchanged)
        revision = partial(revision_for, ctx, given=rev, from_row=if_unchanged, alone=alone)
        items = ((row.place, (id_for(ctx, row, id), changes(row, values), revision(row))) for row in rows)
        return writing.write(ctx, items, one_by_one("update"), store, values, alone=alone, size=1)


@click.command(cls=StoreCommand, words=(Word("id", required=False), Word("data", required=False)))
@_rev_option
@_if_unchanged_option
@write_options
@click.pass_context
def replace(
    ctx: click.Context,
    target: Target,
    id: str | None,
    data: str | None,
    rev: str | None,
    if_unchanged: bool,
    writing: Writing,
) -> int:
    """Overwrite the whole of documents that exist.

    DATA is as for create. Without ID, each document's "_id" says which one to overwrite.
    """
    id, data = _id_or_data(id, data)
    rows, alone = writing.read(ctx, data, id)
    with opened(target, writing.schema) as (store, values):
        writing.check_revisions(ctx, rev, if_unchanged)
        revision = partial(revision_for, ctx, given=rev, from_row=if_unchanged, alone=alone)
        items = ((row.place, (id_for(ctx, row, id), values.load(row.fields), revision(row))) for row in rows)
        return writing.write(ctx, items, one_by_one("replace"), store, values, alone=alone, size=1)


@click.command(cls=StoreCommand, words=(Word("id", required=False, many=True),))
@where_option
@dry_run_option
@_rev_option
@schema_option
@click.pass_context
def delete(
    ctx: click.Context,
    target: Target,
    id: tuple[str, ...],
    where: dict[str, Any] | None,
    dry_run: bool,
    rev: str | None,
    schema: dict[str, str],
) -> int:
    """Delete documents; prints nothing, or with --where, how many those that matched were.

    ID may be given several times; - stands for the ids in standard input, one a line, or in JSON objects as find and
    ids print them.
    """
    check_alone(ctx, {"ID": id, "--rev": rev}, where, dry_run)
    if where is not None:
        delete_where(target, schema, where, dry_run)
        return exits.OK
    if not id:
        raise click.UsageError("ID is missing; or give a filter: --where", ctx)
    if rev is not None and (len(id) > 1 or id[0] == "-"):
        raise click.UsageError("--rev is one document's, and several are named", ctx)
    with opened(target) as (store, _):
        if len(id) == 1 and id[0] != "-":
            store.delete(id[0], rev)
            return exits.OK
        bulk = Bulk(reporter_of(ctx), "deleted")
        items = ((repr(each), each) for each in read_ids(id))
        results = bulk.results(items, lambda batch: store.delete_many(batch), store.backend.batch_size)
        exhaust(counted(results, "deleted", quiet=True))
        return bulk.code


@click.command(cls=StoreCommand, words=(Word("id", many=True),))
@fields_option
@output_options
@schema_option
@click.pass_context
def get(
    ctx: click.Context,
    target: Target,
    id: tuple[str, ...],
    fields: list[str] | None,
    printer: Printer,
    schema: dict[str, str],
) -> int:
    """Print documents.

    ID may be given several times; - stands for the ids in standard input, one a line, or in JSON objects as find and
    ids print them. One that does not exist is an error (exit 3), the others are printed.
    """
    with opened(target, schema) as (store, values):
        if len(id) == 1 and id[0] != "-":
            get: Any = store.get  # whose overloads leave open what `fields` may be
            printer.row(values.row(get(id[0], fields=fields)))
            return exits.OK
        get_many: Any = store.get_many
        missing: list[DocumentNotFound] = []

        def found() -> Iterator[dict[str, Any]]:
            for batch in batches(read_ids(id), store.backend.batch_size):
                for each, document in zip(batch, get_many(batch, fields=fields), strict=True):
                    if document is not None:
                        yield values.row(document)
                        continue
                    missing.append(DocumentNotFound(each))
                    reporter_of(ctx).error(missing[-1])

        printer.rows(counted(found(), "read"))
        return exits.code_of_all(missing)


def _id_or_data(id: str | None, data: str | None) -> tuple[str | None, str | None]:
    """Either may be left out: a single word that is JSON, a file or ``-`` is the document."""
    if data is None and id is not None and (id == "-" or id.startswith(("{", "[", "@"))):
        return None, id
    return id, data


def _with_id(id: str | None, fields: dict[str, Any]) -> Any:
    return fields if id is None else (id, fields)
