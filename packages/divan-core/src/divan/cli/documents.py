"""Internal: the commands that write documents, and `get`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

import divan
from divan.cli import exits
from divan.cli.bulk import Bulk, Run
from divan.cli.output import Printer
from divan.cli.parsing import (
    StoreCommand,
    Word,
    fields_option,
    opened,
    output_options,
    parse_increment,
    reporter_of,
    schema_option,
    where_option,
)
from divan.cli.reading import Row, batches, peek, read_ids, read_rows
from divan.cli.target import Target
from divan.cli.values import Values
from divan.cli.where import check_alone, delete_where, dry_run_option, update_where
from divan.errors import DocumentNotFound, InvalidDocument

_quiet_option = click.option("-q", "--quiet", is_flag=True, help="Do not print the documents as stored.")
_rev_option = click.option("--rev", metavar="REV", help="Refuse (exit 4) unless the document still has this revision.")
_if_unchanged_option = click.option(
    "--if-unchanged", is_flag=True, help="""Refuse (exit 4) if the document has changed since the input's "_rev"."""
)


@click.command(cls=StoreCommand, words=(Word("data", required=False),))
@click.option("--id", metavar="ID", help="""The document's id; otherwise its "_id", or a new one.""")
@_quiet_option
@output_options
@schema_option
@click.pass_context
def create(
    ctx: click.Context,
    target: Target,
    data: str | None,
    id: str | None,
    quiet: bool,
    printer: Printer,
    schema: dict[str, str],
) -> int:
    """Store new documents and print them as stored.

    DATA is a JSON object, @FILE, or - for standard input, which is also read if DATA is left out. A file or standard
    input may hold many, one a line, or a list of them. An id that is taken is refused (exit 4), the others are stored.
    """
    rows, alone = _take(ctx, data, id)
    with opened(target, schema) as (store, values):
        items = ((row.place, _with_id(row.id if id is None else id, values.load(row.fields))) for row in rows)
        return _write(ctx, items, lambda batch: store.create_many(batch), store, values, printer, quiet, alone)


@click.command(cls=StoreCommand, words=(Word("id", required=False), Word("data", required=False)))
@_rev_option
@_if_unchanged_option
@_quiet_option
@output_options
@schema_option
@click.pass_context
def put(
    ctx: click.Context,
    target: Target,
    id: str | None,
    data: str | None,
    rev: str | None,
    if_unchanged: bool,
    quiet: bool,
    printer: Printer,
    schema: dict[str, str],
) -> int:
    """Store documents, overwriting the whole of those that exist.

    DATA is as for create. Without ID, each document's "_id" says which it is, so what find prints can be put into
    another store; "_rev" is ignored, unless --if-unchanged asks for it.
    """
    id, data = _id_or_data(id, data)
    rows, alone = _take(ctx, data, id)
    with opened(target, schema) as (store, values):
        if rev is None and not if_unchanged:
            items: Iterable[tuple[str, Any]] = (
                (row.place, (_id_for(ctx, row, id), values.load(row.fields))) for row in rows
            )
            return _write(ctx, items, lambda batch: store.put_many(batch), store, values, printer, quiet, alone)
        items = (
            (row.place, (_id_for(ctx, row, id), values.load(row.fields), _revision(ctx, row, rev, if_unchanged, alone)))
            for row in rows
        )
        return _write(ctx, items, _one_by_one(store.put), store, values, printer, quiet, alone, size=1)


@click.command(cls=StoreCommand, words=(Word("id", required=False), Word("data", required=False)))
@click.option("--remove", multiple=True, metavar="FIELD", help="Remove a field; may be given several times.")
@click.option(
    "--increment",
    multiple=True,
    metavar="FIELD=N",
    callback=lambda _ctx, _param, texts: dict(map(parse_increment, texts)),
    help="Add to the number in a field, atomically; may be given several times.",
)
@where_option
@dry_run_option
@_rev_option
@_if_unchanged_option
@_quiet_option
@output_options
@schema_option
@click.pass_context
def update(
    ctx: click.Context,
    target: Target,
    id: str | None,
    data: str | None,
    remove: tuple[str, ...],
    increment: dict[str, int | float],
    where: dict[str, Any] | None,
    dry_run: bool,
    rev: str | None,
    if_unchanged: bool,
    quiet: bool,
    printer: Printer,
    schema: dict[str, str],
) -> int:
    """Merge fields into documents.

    Their other fields stay as they are. DATA is as for create; with --remove or --increment it may be left out.
    Without ID, each document's "_id" says which one to update; with --where, all that match get the same changes, and
    how many that were is printed.
    """
    if where is not None and data is None:
        id, data = None, id
    else:
        id, data = _id_or_data(id, data)
    check_alone(ctx, {"ID": id, "--rev": rev, "--if-unchanged": if_unchanged, "--quiet": quiet}, where, dry_run)
    marks: dict[str, Any] = dict.fromkeys(remove, divan.REMOVE)
    for name, by in increment.items():
        if name in marks:
            raise click.UsageError(f"{name!r} can't be removed and incremented in one update", ctx)
        marks[name] = divan.Increment(by)
    if data is None and marks:
        rows, alone = iter([Row("", None, None, {})]), True
    else:
        rows, alone = _take(ctx, data, id)

    def changes(row: Row, values: Values) -> dict[str, Any]:
        for name in marks:
            if name in row.fields:
                raise click.UsageError(f"{name!r} is in the document as well as in --remove or --increment", ctx)
        return {**values.load(row.fields), **marks}

    if where is not None:
        update_where(ctx, target, schema, where, dry_run, list(rows), changes)
        return exits.OK
    with opened(target, schema) as (store, values):
        if rev is None and not if_unchanged:
            items: Iterable[tuple[str, Any]] = (
                (row.place, (_id_for(ctx, row, id), changes(row, values))) for row in rows
            )
            return _write(ctx, items, lambda batch: store.update_many(batch), store, values, printer, quiet, alone)
        items = (
            (row.place, (_id_for(ctx, row, id), changes(row, values), _revision(ctx, row, rev, if_unchanged, alone)))
            for row in rows
        )
        return _write(ctx, items, _one_by_one(store.update), store, values, printer, quiet, alone, size=1)


@click.command(cls=StoreCommand, words=(Word("id", required=False), Word("data", required=False)))
@_rev_option
@_if_unchanged_option
@_quiet_option
@output_options
@schema_option
@click.pass_context
def replace(
    ctx: click.Context,
    target: Target,
    id: str | None,
    data: str | None,
    rev: str | None,
    if_unchanged: bool,
    quiet: bool,
    printer: Printer,
    schema: dict[str, str],
) -> int:
    """Overwrite the whole of documents that exist.

    DATA is as for create. Without ID, each document's "_id" says which one to overwrite.
    """
    id, data = _id_or_data(id, data)
    rows, alone = _take(ctx, data, id)
    with opened(target, schema) as (store, values):
        items = (
            (row.place, (_id_for(ctx, row, id), values.load(row.fields), _revision(ctx, row, rev, if_unchanged, alone)))
            for row in rows
        )
        return _write(ctx, items, _one_by_one(store.replace), store, values, printer, quiet, alone, size=1)


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
        bulk = Bulk(reporter_of(ctx))
        items = ((repr(each), each) for each in read_ids(id))
        _exhaust(bulk.results(items, lambda batch: store.delete_many(batch), store.backend.batch_size))
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

        printer.rows(found())
        return exits.code_of_all(missing)


def _take(ctx: click.Context, data: str | None, id: str | None) -> tuple[Iterator[Row], bool]:
    """The documents of the input, and whether there is only one."""
    number, rows = peek(read_rows(data))
    alone = number == 1
    if id is not None and not alone:
        # Without an ID, an empty input is what a search that found nothing pipes in, and no error.
        raise click.UsageError(f"one ID is given, and {'several documents' if number else 'no document'}", ctx)
    return (row._replace(place="") for row in rows) if alone else rows, alone


def _id_or_data(id: str | None, data: str | None) -> tuple[str | None, str | None]:
    """Either may be left out: a single word that is JSON, a file or ``-`` is the document."""
    if data is None and id is not None and (id == "-" or id.startswith(("{", "[", "@"))):
        return None, id
    return id, data


def _with_id(id: str | None, fields: dict[str, Any]) -> Any:
    return fields if id is None else (id, fields)


def _id_for(ctx: click.Context, row: Row, given: str | None) -> Any:
    """The id to write to: the argument, or the document's own."""
    if given is None and row.id is None:
        if row.place:
            raise InvalidDocument(f'{row.place}: the document holds no "_id"')
        raise click.UsageError('no ID: give it before the document, or in it as "_id"', ctx)
    if given is not None and row.id is not None and row.id != given:
        raise click.UsageError(f'the document\'s "_id" is {row.id!r}, and ID is {given!r}', ctx)
    return row.id if given is None else given


def _revision(ctx: click.Context, row: Row, given: str | None, from_row: bool, alone: bool) -> Any:
    """The revision that a document must still have, or `None`."""
    if given is not None and not alone:
        raise click.UsageError("--rev is one document's, and several are given; --if-unchanged takes each one's", ctx)
    if given is not None or not from_row:
        return given
    if not isinstance(row.rev, str):
        place = f"{row.place}: " if row.place else ""
        raise InvalidDocument(f'{place}--if-unchanged needs the document\'s "_rev"')
    return row.rev


def _one_by_one(function: Callable[..., Any]) -> Run:
    return lambda batch: [function(*item) for item in batch]


def _write(
    ctx: click.Context,
    items: Iterable[tuple[str, Any]],
    run: Run,
    store: divan.Store,
    values: Values,
    printer: Printer,
    quiet: bool,
    alone: bool,
    size: int | None = None,
) -> int:
    """Carry out a write, print what is stored, and return the exit code."""
    bulk = Bulk(reporter_of(ctx))
    written = (values.row(document) for document in bulk.results(items, run, size or store.backend.batch_size))
    if quiet:
        _exhaust(written)
    elif alone:
        for row in written:
            printer.row(row)
    else:
        printer.rows(written)
    return bulk.code


def _exhaust(items: Iterator[Any]) -> None:
    deque(items, maxlen=0)
