"""Internal: what other tools' JSON means here: extended JSON, ids that are numbers, and names that no store takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from divan.cli.extended import id_of, is_extended, plain_of
from divan.cli.reading import Row
from divan.errors import InvalidDocument, shown
from divan.validation import check_name

_SHOWN_NAMES: Final = 10


class Foreign:
    """Makes of documents that other tools wrote what a Store takes.

    What MongoDB's extended JSON says of a value's type becomes the value, in the form in which Divan's field types
    store it: nothing that a Store takes could be meant, since the name of a field never begins with ``$``.

    Args:
        id_field: The field that holds each document's id, in place of ``"_id"``; `None` for that.
        names: What becomes of a field whose name no store takes: ``"refuse"``, ``"escape"`` or ``"drop"``.
    """

    def __init__(self, id_field: str | None = None, names: str = "refuse") -> None:
        self._id_field = id_field
        self._names = names
        self._changed: Counter[str] = Counter()
        self._documents = 0
        self._skipped = 0

    def read(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The documents that were read, as they are stored, without CouchDB's deleted ones and its design documents."""
        for row in rows:
            if row.fields.get("_deleted") is True or str(row.id).startswith("_design/"):
                self._skipped += 1
            else:
                yield self.read_one(row)

    def read_one(self, row: Row) -> Row:
        """A document that was read, as it is stored.

        Raises:
            InvalidDocument: naming the place, if something in it can't be.
        """
        try:
            before = self._changed.total()
            id = row.id
            fields = row.fields
            if self._id_field is not None:
                if id is not None:
                    raise InvalidDocument(f'the document has an "_id", and {self._id_field!r} is to hold its id')
                if self._id_field not in fields:
                    raise InvalidDocument(f"the document has no field {self._id_field!r}, which is to hold its id")
                id = fields[self._id_field]
                fields = {name: value for name, value in fields.items() if name != self._id_field}
            plain = self._object(fields, "", top=True)
            self._documents += self._changed.total() > before
            return row._replace(id=id_of(id), fields=plain)
        except InvalidDocument as error:
            raise InvalidDocument(f"{row.place}: {error}" if row.place else str(error)) from error

    def report(self) -> Iterator[str]:
        """What became of names that no store takes, and what was left out; a line each."""
        if self._skipped:
            documents = "document of CouchDB's was" if self._skipped == 1 else "documents of CouchDB's were"
            yield f"{self._skipped} deleted or design {documents} skipped"
        if self._changed:
            yield self._report_of_names()

    def _report_of_names(self) -> str:
        number = self._changed.total()
        done = "dropped" if self._names == "drop" else "renamed"
        names = ", ".join(shown(name) for name, _ in self._changed.most_common(_SHOWN_NAMES))
        more = ", …" if len(self._changed) > _SHOWN_NAMES else ""
        return (
            f"{number} field{'' if number == 1 else 's'} in {self._documents} document"
            f"{'' if self._documents == 1 else 's'} {'was' if number == 1 else 'were'} {done}: {names}{more}"
        )

    def _object(self, fields: Mapping[str, Any], path: str, *, top: bool = False) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for name, value in fields.items():
            where = f"{path}.{name}" if path else name
            kept: str | None = name
            if self._names != "refuse" and not _is_name(name, top=top):
                self._changed[name] += 1
                kept = _escaped(name, top=top) if self._names == "escape" else None
            if kept is None:
                continue
            if kept in plain or (kept != name and kept in fields):
                raise InvalidDocument(f"{where}: it would become {kept!r}, which the document holds as well")
            plain[kept] = self._value(value, where)
        return plain

    def _value(self, value: Any, path: str) -> Any:
        if value.__class__ is dict:
            return self._object(value, path) if not is_extended(value) else plain_of(value, path)
        if value.__class__ is list:
            return [self._value(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return value


# Names


def _is_name(name: str, *, top: bool) -> bool:
    try:
        check_name(name, top=top)
    except InvalidDocument:
        return False
    return True


def _escaped(name: str, *, top: bool) -> str:
    """The name with what no store takes percent-encoded."""
    if not name:
        return "%"
    is_taken = name[0] == "$" or (top and name[0] == "_")
    first = f"%{ord(name[0]):02X}" if is_taken else _escaped_character(name[0])
    return first + "".join(map(_escaped_character, name[1:]))


def _escaped_character(character: str) -> str:
    if character in ".\0":
        return f"%{ord(character):02X}"
    return f"%u{ord(character):04X}" if "\ud800" <= character <= "\udfff" else character
