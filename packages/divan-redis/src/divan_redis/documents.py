"""Internal: between documents and hashes: keys, fields, revisions, and what a script is given for a write and answers.

A hash has a field per top-level key of its document, holding that value's JSON text, and a revision beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NoReturn

from divan.backends.support import first_revision
from divan.documents import Document
from divan.errors import (
    DivanError,
    DocumentExists,
    DocumentNotFound,
    InvalidDocument,
    InvalidURL,
    RevisionConflict,
    StoreError,
)
from divan.updates import add

from divan_redis.errors import misread, raised_by_caller
from divan_redis.scripts import CONFLICT, DONE, MISSING

REVISION: Final = b"_rev"
"""The hash field that counts the writes."""

UNCOUNTED: Final = "0"
"""The revision of a hash that another tool wrote, without a counter."""


class Keyspace:
    """The keys of one database: its name, a colon, and a document's id.

    Args:
        database: The database's name.

    Attributes:
        database: The database's name.

    Raises:
        InvalidURL: if the name can't begin a key, or could reach another database.
    """

    def __init__(self, database: str) -> None:
        if not database or ":" in database:
            raise InvalidURL(
                f"{database!r} can't name a Redis database of Divan's: it begins the keys, up to the first ':'; "
                "the URL has the form redis://[user[:password]@]host[:port]/name"
            )
        if database.isdigit():
            raise InvalidURL(
                f"{database!r} can't name a Redis database of Divan's, since it looks like the number of one of the "
                f"server's: redis://host/name begins the keys with 'name:', redis://host/name?db={database} does so "
                f"in the numbered database {database}"
            )
        self.database = database
        try:
            self._prefix = f"{database}:".encode()
        except UnicodeEncodeError as error:
            raise InvalidURL(f"the database name {database!r} is not Unicode") from error

    def pattern(self, prefix: str = "") -> bytes:
        """The glob pattern that matches the keys, and no key of another database.

        Args:
            prefix: How the documents' ids begin; ``""`` for all of them.
        """
        begin = self.key(prefix)
        return b"".join(b"\\%c" % byte if byte in b"*?[]^-\\" else b"%c" % byte for byte in begin) + b"*"

    @property
    def stream(self) -> bytes:
        """The key of the stream of changes; as it holds no colon, it is no document's in any database."""
        return f"{self.database}#changes".encode()

    def key(self, document_id: str) -> bytes:
        """The key of a document."""
        return self._prefix + document_id.encode()

    def check(self, keys: Sequence[bytes]) -> None:
        """Raise `StoreError` if a server has given keys that are none of this database."""
        prefix = self._prefix
        for key in keys:
            if not key.startswith(prefix):
                raise misread(key)

    def id(self, key: bytes) -> str:
        """The id of the document at a key.

        Raises:
            StoreError: if the key is not Unicode, so that no id can address it.
        """
        try:
            return key[len(self._prefix) :].decode()
        except UnicodeDecodeError as error:
            raise StoreError(f"the key {key!r} is not Unicode, so no id can address it; rename it") from error


# Fields

# Values have been validated: no cycle, no NaN.
_encode_any = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    str: _encode_any,
    int: int.__repr__,
    float: float.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda value: "null",
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def encode_fields(fields: Mapping[str, Any]) -> list[bytes]:
    """Name and JSON text of each field in turn, as ``HSET`` takes them."""
    encoders = _ENCODERS
    words: list[bytes] = []
    for name, value in fields.items():
        # As bytes: redis-py is slow to find out what an argument is.
        words += (name.encode(), encoders.get(value.__class__, _encode_any)(value).encode())
    return words


def decode(document_id: str, words: Sequence[bytes]) -> Document:
    """The document that a hash holds.

    Args:
        document_id: Its id.
        words: Name and text of each hash field in turn, as ``HGETALL`` gives them.

    Raises:
        StoreError: naming the first field whose text is no JSON; or if this is no answer of ``HGETALL``.
    """
    if words.__class__ is not list:
        raise misread(words)
    document = Document((), document_id, UNCOUNTED)
    name = b""
    try:
        for name, raw in zip(words[::2], words[1::2], strict=True):
            text = raw.decode()
            if name == REVISION:
                document.rev = text
                continue
            try:
                value, end = _decoder.raw_decode(text)
            except json.JSONDecodeError:
                end = -1
            if end != len(text):
                value = _decoder.decode(text)  # white space around it, or no JSON
            document[name.decode()] = value
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        own = raised_by_caller(error)
        if own is not None:
            raise own from None
        if len(words) % 2 or not all(isinstance(word, bytes) for word in words):
            raise misread(words) from error
        shown = name.decode(errors="backslashreplace")
        raise StoreError(
            f"document {document_id!r}: the hash field {shown!r} holds no JSON text, as every field of a document "
            f"does; a tool that writes a string there puts it in double quotes"
        ) from error
    return document


# What a script is given


def new_revision() -> bytes:
    """The text of a number from which a new document's writes are counted."""
    return b"%d" % first_revision()


def expected(rev: str | None) -> bytes:
    """The argument that says which revision a document must have: ``=`` and the revision, or ``""`` for any."""
    return b"" if rev is None else f"={rev}".encode(errors="surrogatepass")  # it is the caller's, and never checked


def create_arguments(data: Mapping[str, Any], rev: bytes) -> tuple[bytes, ...]:
    """The arguments of the script `CREATE`.

    Args:
        data: The document's fields.
        rev: The revision that it begins with.
    """
    return (REVISION, rev, *encode_fields(data))


def update_arguments(
    data: Mapping[str, Any],
    remove: Sequence[str],
    increment: Mapping[str, int | float],
    rev: str | None = None,
    readable: Mapping[bytes, bytes] = {},
    again: bool = False,
) -> tuple[bytes, ...]:
    """The arguments of the script `UPDATE`.

    Args:
        data: Fields to set.
        remove: Fields to remove.
        increment: Numbers to add, by field.
        rev: The revision that the document must have; `None` for any.
        readable: Name and text of fields that the script was not sure of, and that can be read.
        again: Whether a change of the same document was sent just before: if the script was not sure of that one, it
            must not be of this one either, which would overtake it.
    """
    sets = encode_fields(data)
    return (
        expected(rev),
        b"%d" % len(sets),
        b"%d" % len(remove),
        b"-1" if again else b"%d" % (2 * len(readable)),
        *sets,
        *(name.encode() for name in remove),
        *encode_fields(increment),
        *chain.from_iterable(readable.items()),
    )


def replace_arguments(data: Mapping[str, Any], rev: str | None, upsert: bool) -> tuple[bytes, ...]:
    """The arguments of the script `REPLACE`.

    Args:
        data: The document's fields.
        rev: The revision that the document must have; `None` for any.
        upsert: Whether to create the document if there is none.
    """
    return (expected(rev), new_revision() if upsert else b"", *encode_fields(data))


# What became of a write: a reply of the server, or the error of one item of a bulk call


def check(document_id: str, rev: str | None, reply: Any) -> None:
    """Raise what a reply says is wrong.

    Args:
        document_id: The document's id.
        rev: The revision that the document had to have; `None` for any.
        reply: What a script other than `CREATE` returned.

    Raises:
        DocumentNotFound, RevisionConflict: if the script changed nothing.
    """
    if isinstance(reply, DivanError):
        raise reply
    if reply.__class__ is int:
        if reply == MISSING:
            raise DocumentNotFound(document_id)
        if reply == CONFLICT:
            raise RevisionConflict(document_id, rev)


def created(document_id: str, data: dict[str, Any], rev: bytes, reply: Any) -> Document:
    """The document that `CREATE` has stored.

    Args:
        document_id: Its id.
        data: Its fields.
        rev: Its revision.
        reply: What the script returned.

    Raises:
        DocumentExists: if the script stored nothing, since the key is taken.
    """
    if isinstance(reply, DivanError):
        raise reply
    if reply.__class__ is int and reply == MISSING:
        raise DocumentExists(document_id)
    if isinstance(reply, list) and len(reply) == 1 and isinstance(reply[0], bytes):
        error = DocumentExists(document_id)
        kind = reply[0].decode(errors="backslashreplace")
        reason = f"a Redis key of the type {kind}, which another tool wrote and which is no document"
        error.args = (f"the id {document_id!r} is taken by {reason}; choose another id, or rename the key",)
        raise error
    if reply.__class__ is not int or reply != DONE:
        raise misread(reply)
    return Document(data, document_id, rev.decode())


def updated(document_id: str, increment: Mapping[str, int | float], rev: str | None, reply: Any) -> Document:
    """The document as `UPDATE` has left it.

    Args:
        document_id: Its id.
        increment: The numbers that were to be added, by field.
        rev: The revision that it had to have; `None` for any.
        reply: What the script returned.

    Raises:
        DocumentNotFound, RevisionConflict, InvalidDocument: if the script changed nothing.
    """
    if isinstance(reply, list):
        document = decode(document_id, reply)
        if not _is_counter(document.rev):
            raise misread(reply)
        return document
    check(document_id, rev, reply)
    if not isinstance(reply, bytes):
        raise misread(reply)
    # The name and the text of a field that can't be added to: the reference says why.
    name, _, text = reply.partition(b"\0")
    field = name.decode(errors="backslashreplace")
    if field not in increment:
        raise misread(reply)
    add(field, decode(document_id, [name, text])[field], increment[field])
    raise InvalidDocument(f"{field}: the sum does not fit into 64 bits")


def is_doubtful(reply: Any) -> bool:
    """Whether `UPDATE` changed nothing, as it was not sure that some fields can be read, which it has handed back."""
    return isinstance(reply, list) and len(reply) == 1


def read_doubtful(document_id: str, reply: Any, readable: dict[bytes, bytes]) -> None:
    """Add the fields that `UPDATE` has handed back to those that can be read, with which it is to be run again.

    Args:
        document_id: The document's id.
        reply: What the script returned.
        readable: Name and text of the fields of which it was told that they can be read.

    Raises:
        StoreError: naming the first field whose text is no JSON; nothing was changed. Or if it was told of all of them.
    """
    (words,) = reply
    decode(document_id, words)
    found = dict(zip(words[::2], words[1::2], strict=True))
    if found.items() <= readable.items():
        raise misread(reply)
    readable.update(found)


def _is_counter(rev: str | None) -> bool:
    return rev is not None and rev is not UNCOUNTED and rev.removeprefix("-").isdecimal()


def replaced(document_id: str, data: dict[str, Any], rev: str | None, reply: Any) -> Document:
    """The document that `REPLACE` has stored.

    Args:
        document_id: Its id.
        data: Its fields.
        rev: The revision that the one before had to have; `None` for any.
        reply: What the script returned.

    Raises:
        DocumentNotFound, RevisionConflict: if the script changed nothing.
    """
    check(document_id, rev, reply)
    counted = reply.decode(errors="backslashreplace") if isinstance(reply, bytes) else None
    if not _is_counter(counted):
        raise misread(reply)
    return Document(data, document_id, counted)


def deleted(document_id: str, rev: str | None, reply: Any) -> None:
    """Raise what kept a document from being deleted.

    Args:
        document_id: Its id.
        rev: The revision that it had to have; `None` for any.
        reply: What `DELETE` returned.

    Raises:
        DocumentNotFound, RevisionConflict: if the script deleted nothing.
    """
    check(document_id, rev, reply)
    if reply.__class__ is not int or reply != DONE:
        raise misread(reply)
