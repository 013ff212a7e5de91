"""Internal: the exit codes, which scripts rely on: one table, from error class to number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from divan import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
INTERRUPTED: Final = 130  # as a shell reports a program that Ctrl-C ended
OUTPUT_CLOSED: Final = 141  # as a shell reports a program whose reader went away, such as head

CODES: Final[tuple[tuple[int, str, tuple[type[errors.DivanError], ...]], ...]] = (
    (USAGE, "the command, an option or the URL can't be understood", (errors.InvalidURL,)),
    (NOT_FOUND, "no document has this id, or none matches", (errors.DocumentNotFound,)),
    (4, "the document exists already, or has changed", (errors.DocumentExists, errors.RevisionConflict)),
    (
        5,
        "a document, an id, a query or a schema is not valid",
        (errors.InvalidDocument, errors.InvalidQuery, errors.InvalidSchema),
    ),
    (
        6,
        "the store can't be reached, refuses the login, or is too slow",
        (errors.ConnectionFailed, errors.OperationTimeout),
    ),
    (
        7,
        "the backend or a plugin is missing, broken or ambiguous",
        (
            errors.BackendNotFound,
            errors.AmbiguousBackend,
            errors.BackendLoadError,
            errors.InvalidPlugin,
            errors.PluginConflict,
        ),
    ),
    (8, "the backend can't do this", (errors.UnsupportedOperation,)),
    (
        9,
        "the write was refused: the store is read-only or full, or a plugin vetoed it",
        (errors.StoreReadOnly, errors.StoreFull, errors.WriteVetoed),
    ),
)
"""Code, what it means, and the errors that it stands for; the first row that fits counts."""


def code_of(error: BaseException) -> int:
    """The exit code that stands for an error."""
    return next((code for code, _, classes in CODES if isinstance(error, classes)), FAILED)


def code_of_all(failures: Iterable[BaseException]) -> int:
    """The exit code of several failures: their common one, or `FAILED`; `OK` if there are none."""
    codes = {code_of(error) for error in failures}
    if not codes:
        return OK
    return codes.pop() if len(codes) == 1 else FAILED


def describe() -> str:
    """The table, for ``divan --help``."""
    rows = [(OK, "done"), (FAILED, "anything else, such as a check that failed, or several kinds of failure")]
    rows += [(code, meaning) for code, meaning, _ in CODES]
    rows += [(INTERRUPTED, "interrupted (Ctrl-C)"), (OUTPUT_CLOSED, "the reader of the output went away")]
    return "\n".join(f"  {code:>3}  {meaning}" for code, meaning in rows)
