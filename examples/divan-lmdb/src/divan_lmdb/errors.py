"""Every error of LMDB as one of Divan's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
from divan.errors import ConnectionFailed, InvalidDocument, StoreError, StoreFull, StoreReadOnly


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what LMDB raises inside as an error of `divan.errors`, from the original.

    Args:
        path: The file, for the message.
    """
    try:
        yield
    except lmdb.MapFullError as error:
        raise StoreFull(
            f"{path} has grown to its map_size; nothing was written: open it with a larger one, "
            "as in ?map_size=68719476736"
        ) from error
    except lmdb.ReadonlyError as error:
        raise StoreReadOnly(f"{path} can be read, but not written") from error
    except lmdb.BadValsizeError as error:
        raise InvalidDocument("the document is larger than LMDB takes") from error
    except lmdb.Error as error:
        raise StoreError(f"{path}: LMDB refused: {error}") from error


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Raise what keeps a file from being opened inside as `ConnectionFailed`.

    Args:
        path: The file, for the message.
    """
    try:
        yield
    except (lmdb.Error, OSError) as error:
        raise ConnectionFailed(f"{path} can't be opened: {error}") from error
