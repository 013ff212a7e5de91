"""Internal: JSON in: documents and ids from an argument, a file or standard input, read line by line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple, NoReturn, TypeVar

import click

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

    A file, like standard input, holds one JSON object a line, or one JSON object or list over several lines.
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
        yield from _from_value(read_json(data, "the document"), "")


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


def _rows(lines: Iterable[bytes], name: str) -> Iterator[Row]:
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    number, line = first
    place = f"{name}, line {number}"
    try:
        value = read_json(line, place)
    except InvalidDocument:
        if line.rstrip().endswith(b"}"):
            raise  # meant to be an object a line
        yield from _from_value(read_json(line + b"".join(line for _, line in numbered), name), name)
        return
    yield from _from_value(value, place)
    for number, line in numbered:
        place = f"{name}, line {number}"
        yield from _from_value(read_json(line, place), place)


def _from_value(value: Any, place: str) -> Iterator[Row]:
    if isinstance(value, list):
        for number, item in enumerate(value, start=1):
            yield _row(item, f"{place}, item {number}" if place else f"item {number}")
    else:
        yield _row(value, place)


def _row(value: Any, place: str) -> Row:
    if not isinstance(value, dict):
        where = f"{place}: " if place else ""
        raise InvalidDocument(f"{where}a document is a JSON object, not {_json_type(value)}")
    fields = dict(value)
    return Row(place, fields.pop("_id", None), fields.pop("_rev", None), fields)


def _id_of(value: Any, place: str) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("_id"), str):
        raise InvalidDocument(f'{place}: an object with an "_id" is needed, or a bare id')
    id: str = value["_id"]
    return id


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "a truth value", str: "a string", list: "a list"}
    return names.get(type(value), "a number")


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items in lists of at most `size`; what was read before an error is handed out before it."""
    batch: list[_T] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except DivanError as error:
        if batch:
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
