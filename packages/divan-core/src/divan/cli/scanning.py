"""Internal: the JSON values in a text of any length, one by one: no more of it is held than the longest of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

from divan.errors import DivanError, InvalidDocument

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BETWEEN: Final = re.compile(r"[ \t\n\r\x1e]*")
"""What may stand between two values: a JSON text sequence (RFC 7464) has a record separator before each."""

_LOOKAHEAD: Final = 16
"""An error so near to the end of what has been read may be one of a literal or number that is not complete."""

_HEAD: Final = r'\s*"(?:total_rows|offset|update_seq)"\s*:\s*(?:null|\d+|"[^"]*")\s*,'
_ROWS: Final = re.compile(
    rf'\{{(?=[^\[]*"total_rows")(?:{_HEAD})+\s*"rows"\s*:\s*\[(?=\s*(?:\]|\{{\s*"(?:id|key)"\s*:))'
)
"""How what CouchDB answers to ``_all_docs`` begins, up to its rows."""

_HEAD_LENGTH: Final = 512


class Found(NamedTuple):
    """One value.

    Attributes:
        place: Where it begins, for messages.
        value: The value.
        is_row: Whether it is a row of what CouchDB answers to ``_all_docs``.
    """

    place: str
    value: Any
    is_row: bool = False


def scan(pieces: Iterator[str], name: str) -> Iterator[Found]:
    """The values of a text, with anything JSON has between them: one, many, the items of lists, CouchDB's rows.

    Args:
        pieces: The text.
        name: What it is called in messages.

    Raises:
        InvalidDocument: at the first place that is no JSON, or where `pieces` ends with an error; the values before it
            have been given.
    """
    text = _Text(pieces, name)
    while text.skip(_BETWEEN):
        if text.take("["):
            yield from text.items("item")
        elif text.take_head_of_rows():
            yield from text.items("row")
            text.take_rest_of_object()
        else:
            place = text.place()
            value = text.value()
            if _is_answer(value):
                yield from (Found(f"{place}, row {n}", row, True) for n, row in enumerate(value["rows"], start=1))
            elif _is_bulk(value):
                yield from (Found(f"{place}, item {n}", one) for n, one in enumerate(value["docs"], start=1))
            else:
                yield Found(place, value)


def _is_answer(value: Any) -> bool:
    """Whether a value is what CouchDB answers to ``_all_docs``, in whatever order a program has put its parts."""
    return (
        isinstance(value, dict)
        and {"total_rows", "offset", "update_seq", "rows"} >= value.keys() >= {"total_rows", "rows"}
        and isinstance(value["rows"], list)
        and all(isinstance(row, dict) and "key" in row for row in value["rows"])
    )


def _is_bulk(value: Any) -> bool:
    """Whether a value is what CouchDB's ``_bulk_docs`` takes: documents with their ids, and nothing else."""
    return (
        isinstance(value, dict)
        and {"docs", "new_edits"} >= value.keys() >= {"docs"}
        and isinstance(value["docs"], list)
        and bool(value["docs"])
        and all(isinstance(one, dict) and isinstance(one.get("_id"), str) for one in value["docs"])
    )


class _NotStorable(ValueError):
    """A number that Python reads and JSON does not have."""


def _refuse_constant(constant: str) -> NoReturn:
    raise _NotStorable(f"{constant} is no JSON, and no number that can be stored")


class _Text:
    """A text that is read as far as it is needed, and forgotten as far as it is taken."""

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._text = ""
        self._at = 0
        self._ended = False
        self._failure: DivanError | None = None
        self._line, self._counted = 1, 0  # of the character at _counted
        self._column = 1  # of the first character that is held
        self._decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode

    def items(self, kind: str) -> Iterator[Found]:
        """The items of the list whose bracket has been taken, up to its end."""
        self.skip(_SPACE)
        if self.take("]"):
            return
        number = 0
        while True:
            self.skip(_SPACE)
            number += 1
            yield Found(f"{self.place()}, {kind} {number}", self.value(), kind == "row")
            self.skip(_SPACE)
            if self.take("]"):
                return
            self._need(",")

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Go on to the next character that the pattern does not match; whether there is one."""
        while True:
            found = pattern.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return True
            if not self._grow():
                return False

    def take(self, character: str) -> bool:
        """Go past a character, if it is the next one."""
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def take_head_of_rows(self) -> bool:
        """Go past what stands before CouchDB's rows, if it is the next thing."""
        if not self._text.startswith("{", self._at):
            return False
        while len(self._text) - self._at < _HEAD_LENGTH and self._text.find("}", self._at) < 0 and self._grow():
            pass
        found = _ROWS.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found is not None

    def take_rest_of_object(self) -> None:
        """Go past what stands after a value in an object, up to the object's end."""
        while self.skip(_SPACE) and self.take(","):
            self.skip(_SPACE)
            self.value()
            self.skip(_SPACE)
            self._need(":")
            self.skip(_SPACE)
            self.value()
        self._need("}")

    def value(self) -> Any:
        """Go past the value that is next, and give it.

        Raises:
            InvalidDocument: if there is none.
        """
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                length = error.pos - self._at
                if self._may_go_on(error) and self._grow():
                    continue
                raise self._error(f"no JSON: {error.msg}", self._at + length) from error
            except RecursionError as error:
                raise self._error("nested too deep") from error
            except ValueError as error:  # an integer of thousands of digits among them
                raise self._error(str(error)) from error
            length = end - self._at
            # A number at the very end may go on.
            if isinstance(value, dict | list | str) or len(self._text) - end > _LOOKAHEAD or not self._grow():
                self._at += length
                return value

    def place(self) -> str:
        """Where the next character stands."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return f"{self._name}, line {self._line}"

    def _need(self, character: str) -> None:
        if not self.take(character):
            raise self._error(f"no JSON: Expecting '{character}' delimiter", self._at)

    def _error(self, problem: str, at: int | None = None) -> DivanError:
        """An error in the value that is next; `at` is the character in it at which reading ended."""
        place = self.place()
        if at is not None:
            lines = self._text.count("\n", self._counted, at)
            line = f"line {self._line + lines}, " if lines else ""
            problem += f" ({line}column {self._column_of(at)})"
        return InvalidDocument(f"{place}: {problem}")

    def _column_of(self, at: int) -> int:
        line_begins = self._text.rfind("\n", 0, at)
        return at - line_begins if line_begins >= 0 else self._column + at

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the text may be valid, and only not complete."""
        return error.msg.startswith("Unterminated string") or len(self._text) - error.pos < _LOOKAHEAD

    def _grow(self) -> bool:
        """Read on, as much again as is held, so that a long value is not begun too often; whether there was any more.

        Raises:
            InvalidDocument: if the text ended with an error.
        """
        self.place()
        self._column = self._column_of(self._at)
        self._text, self._at, self._counted = self._text[self._at :], 0, 0
        wanted = max(1, len(self._text))
        read: list[str] = []
        while wanted > 0 and not self._ended:
            try:
                piece = next(self._pieces, None)
            except DivanError as error:
                self._failure, piece = error, None
            if piece is None:
                self._ended = True
            else:
                read.append(piece)
                wanted -= len(piece)
        if read:
            self._text += "".join(read)
            return True
        if self._failure is not None:
            line = self._line + self._text.count("\n")
            raise InvalidDocument(f"{self._name}, line {line}: {self._failure}") from self._failure
        return False
