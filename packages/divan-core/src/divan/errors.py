"""Every error that Divan raises: one tree under `DivanError`.

Each class also derives from the standard exception that a caller would look for (`KeyError` for a missing document,
`TimeoutError` for a timeout, …). A client's own exception is always chained as ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DivanError(Exception):
    """Base of every error that Divan raises. Its text says what was wrong, what exists, and what to do, in one line."""

    def __str__(self) -> str:
        # KeyError prints the repr of its argument and OSError an errno: an error of ours prints its sentence.
        return str(self.args[0]) if self.args else ""


class _MayNameADocument(Exception):
    """An error that may be about one document.

    Args:
        *args: The message.
        document_id: The document's id, if it is about one.
    """

    def __init__(self, *args: object, document_id: str | None = None) -> None:
        super().__init__(*args)
        self.document_id = document_id

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, self.document_id)


def _made_again(cls: type[_MayNameADocument], args: tuple[object, ...], document_id: str | None) -> _MayNameADocument:
    return cls(*args, document_id=document_id)


# Finding a backend


class BackendNotFound(DivanError, LookupError):
    """No installed backend has the name that was asked for."""


class AmbiguousBackend(DivanError, LookupError):
    """Two or more distributions claim the name; ``"distribution:name"`` tells them apart."""


class BackendLoadError(DivanError, ImportError):
    """The backend is installed, but importing its module failed, or what it names is no backend."""


class PluginConflict(DivanError):
    """Two plugins give the same field type, and neither declares ``tryfirst``."""


class InvalidPlugin(DivanError, ValueError):
    """What is given to `open` as a plugin is none, or has a hook that Divan does not call."""


# Reaching a store


class InvalidURL(DivanError, ValueError):
    """The URL, or an option in it or beside it, can't be understood."""


class ConnectionFailed(DivanError, ConnectionError):
    """The store can't be reached, refused the connection, or dropped it."""


class AuthenticationFailed(ConnectionFailed):
    """The store refused the credentials, or the account may not do this."""


class DatabaseNotFound(ConnectionFailed):
    """The database does not exist, and the URL says not to create it."""


class OperationTimeout(DivanError, TimeoutError):
    """The store did not answer in time. A write may or may not have happened."""


class StoreError(_MayNameADocument, DivanError):
    """The store answered with a failure, or with something that can't be read.

    Attributes:
        document_id: The id of the document that can't be read, if it is about one; else `None`.
    """


class TokenExpired(StoreError):
    """The store no longer knows what came after the token of a watch; read the documents, and watch from now on."""


class StoreReadOnly(StoreError):
    """The store can be read, but not written."""


class StoreFull(StoreError):
    """The store has no room left; nothing was written."""


class StoreClosed(DivanError):
    """The store was used after `close()`."""


# Documents and queries


class DocumentNotFound(DivanError, KeyError):
    """No document has this id.

    Args:
        document_id: The id that was asked for.
    """

    def __init__(self, document_id: str) -> None:
        super().__init__(f"no document has the id {_short(document_id)}")
        self.document_id = document_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.document_id,)


class DocumentExists(DivanError):
    """A document with this id exists already.

    Args:
        document_id: The id that is taken.
    """

    def __init__(self, document_id: str) -> None:
        super().__init__(f"a document with the id {_short(document_id)} exists already; put overwrites it")
        self.document_id = document_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.document_id,)


class RevisionConflict(DivanError):
    """The document has changed since the revision that was given; nothing was written.

    Args:
        document_id: The document's id.
        rev: The revision that the caller gave.
    """

    def __init__(self, document_id: str, rev: str | None = None) -> None:
        given = f" since revision {_short(rev)}" if rev is not None else ""
        super().__init__(f"document {_short(document_id)} has changed{given}; get it again and retry")
        self.document_id = document_id
        self.rev = rev

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.document_id, self.rev)


class InvalidDocument(_MayNameADocument, DivanError, ValueError):
    """The document, or a value in it, can't be stored by every store alike; the message names its path.

    So is what is stored, where a field type or the schema's class refuses it.

    Attributes:
        document_id: The id of the document, stored or not; `None` where it has none yet.
    """


class InvalidID(InvalidDocument):
    """The document id can't be used by every store alike."""


class InvalidSchema(DivanError, ValueError):
    """The schema names a field type that nothing installed knows, or gives something that is no field type."""


class InvalidQuery(DivanError, ValueError):
    """The filter, sort, limit, skip or projection can't be understood, or would scan where scans are not allowed."""


class UnsupportedOperation(DivanError, NotImplementedError):
    """The backend lacks the method that the call needs; the message names it."""


class WriteVetoed(DivanError):
    """A plugin's `divan_before_write` hook refused the write; nothing was written."""


class BulkError(DivanError):
    """Some items of a bulk call failed; the others were carried out.

    Args:
        operation: The bulk call's name, such as ``"create_many"``.
        results: One entry per item, in order: what the call returns for an item, or the item's error.

    Attributes:
        results: The same list.
        errors: The failed items: index in the input → its error.
    """

    def __init__(self, operation: str, results: Sequence[Any]) -> None:
        self.operation = operation
        self.results = list(results)
        self.errors = {index: item for index, item in enumerate(self.results) if isinstance(item, DivanError)}
        first = next(iter(self.errors), None)
        detail = f"; the first, item {first}: {self.errors[first]}" if first is not None else ""
        super().__init__(f"{operation}: {len(self.errors)} of {len(self.results)} items failed{detail}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.operation, self.results)


def shown(value: object, limit: int = 80) -> str:
    """Any object as it stands in a message: its repr, cut when it is long."""
    try:
        text = repr(value)
    except Exception:  # an int of more digits than Python prints, or a class of the caller's
        return f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _short(text: object, limit: int = 80) -> str:
    """An id or revision as it stands in a message: quoted, and cut when it is long."""
    if not isinstance(text, str):
        return shown(text, limit)
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}… ({len(text)} characters)"
