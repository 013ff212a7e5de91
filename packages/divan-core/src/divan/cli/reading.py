"""Internal: JSON in: documents and ids from an argument, a file or standard input, read one by one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn, TypeVar

import click

from divan.cli.extended import id_of
from divan.cli.scanning import scan
from divan.cli.streams import text_of
from divan.errors import DivanError, InvalidDocument

_T = TypeVar("_T")


class Row(NamedTuple):
    """One document that was read.

    Attributes:
        place: Where it stands, for messages; ``""`` where there is only one.
        id: Its ``"_id"``, or `None`.
        rev: Its ``"_rev"``, or `None`.
        fields: The other fields.
    """

    place: str
    id: Any
    rev: Any
    fields: dict[str, Any]


def read_json(text: str | bytes, place: str, error: type[DivanError] = InvalidDocument) -> Any:
    """The value of a JSON text; what JSON does not know, such as NaN, is refused.

    Raises:
        error: naming the place and what is wrong there.
    """

    def refuse(constant: str) -> NoReturn:
        raise error(f"{place}: {constant} is no JSON, and no number that can be stored")

    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_constant=refuse)
    except DivanError:
        raise
    except UnicodeDecodeError as raised:
        raise error(f"{place}: this is not UTF-8 text") from raised
    except json.JSONDecodeError as raised:
        line = f"line {raised.lineno}, " if raised.lineno > 1 else ""
        raise error(f"{place}: no JSON: {raised.msg} ({line}column {raised.colno})") from raised
    except RecursionError as raised:
        raise error(f"{place}: nested too deep") from raised
    except ValueError as raised:  # an integer of thousands of digits
        raise error(f"{place}: {raised}") from raised


def read_file(path: str, error: type[DivanError] = InvalidDocument) -> Any:
    """The value of a JSON file.

    Raises:
        error: if it can't be read, or is no JSON.
    """
    try:
        with open(path, "rb") as file:
            return read_json(file.read(), path, error)
    except OSError as raised:
        raise error(f"{path}: {raised.strerror or raised}") from raised


def read_rows(data: str | None) -> Iterator[Row]:
    """The documents in an argument: JSON, ``@FILE``, or ``-`` or nothing for standard input.

    A file, like standard input, holds any number of JSON objects, and lists of them, with or without line breaks in and
    between them.
    """
    if data is None or data == "-":
        yield from _rows(_stdin("the document", data), "standard input")
    elif data.startswith("@"):
        try:
            with open(data[1:], "rb") as file:
                yield from _rows(file, data[1:])
        except OSError as error:
            raise InvalidDocument(f"{data[1:]}: {error.strerror or error}") from error
    else:
        value = read_json(data, "the document")
        if isinstance(value, list):
            for number, item in enumerate(value, start=1):
                yield _row(item, f"item {number}")
        else:
            yield _row(value, "")


def read_ids(words: Iterable[str]) -> Iterator[str]:
    """The ids in the words of a command; ``-`` stands for those in standard input.

    There, a line is an id, or a JSON object with an ``"_id"``.
    """
    for word in words:
        if word != "-":
            yield word
            continue
        for number, line in enumerate(_stdin("the ids", word), start=1):
            place = f"standard input, line {number}"
            if line.lstrip().startswith(b"{"):
                yield _id_of(read_json(line, place), place)
            else:
                try:
                    text = line.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise InvalidDocument(f"{place}: this is not UTF-8 text") from error
                if text:
                    yield text


def _stdin(what: str, data: str | None) -> BinaryIO:
    if sys.stdin is None or (data is None and sys.stdin.isatty()):
        context = click.get_current_context()
        raise click.UsageError(f"{what} is missing: give it as JSON, as @FILE, or pipe it in", context)
    return sys.stdin.buffer


def _rows(stream: BinaryIO, name: str) -> Iterator[Row]:
    for found in scan(text_of(stream), name):
        value = _document_in(found.value, found.place) if found.is_row else found.value
        if value is not _NO_DOCUMENT:
            yield _row(value, found.place)


_NO_DOCUMENT: Final = object()


def _document_in(row: Any, place: str) -> Any:
    """The document in a row of CouchDB's ``_all_docs``; `_NO_DOCUMENT` for one that is deleted or missing."""
    if not isinstance(row, dict):
        raise InvalidDocument(f"{place}: a row of _all_docs is a JSON object, not {_json_type(row)}")
    if isinstance(row.get("doc"), dict):
        return row["doc"]
    value = row.get("value")
    if "error" in row or (isinstance(value, dict) and value.get("deleted")):
        return _NO_DOCUMENT
    raise InvalidDocument(
        f"{place}: the answer to _all_docs holds ids and no documents; ask CouchDB for _all_docs?include_docs=true"
    )


def _row(value: Any, place: str) -> Row:
    if not isinstance(value, dict):
        where = f"{place}: " if place else ""
        raise InvalidDocument(f"{where}a document is a JSON object, not {_json_type(value)}")
    fields = dict(value)
    return Row(place, fields.pop("_id", None), fields.pop("_rev", None), fields)


def _id_of(value: Any, place: str) -> str:
    id = id_of(value.get("_id")) if isinstance(value, dict) else None
    if not isinstance(id, str):
        raise InvalidDocument(f'{place}: an object with an "_id" is needed, or a bare id')
    return id


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "a truth value", str: "a string", list: "a list"}
    return names.get(type(value), "a number")


def batches(items: Iterable[_T], size: int, *, parts: bool = True) -> Iterator[list[_T]]:
    """The items in lists of at most `size`.

    Args:
        items: The items; an error that is raised instead of one ends them.
        size: How many go into a list.
        parts: Whether what was read of a list before an error is handed out before it.
    """
    batch: list[_T] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except DivanError as error:
        if batch and parts:
            yield batch
        raise error
    if batch:
        yield batch


def peek(items: Iterator[_T]) -> tuple[int, Iterator[_T]]:
    """How many items there are, 2 standing for several, and all of them; an error after the first comes in its turn."""
    first: list[_T] = []
    try:
        first.extend(islice(items, 1))
        second = list(islice(items, 1))
    except DivanError as error:
        if not first:
            raise
        return 2, chain(first, _raising(error))
    return len(first + second), chain(first, second, items)


def _raising(error: DivanError) -> Iterator[Any]:
    yield from ()
    raise error
