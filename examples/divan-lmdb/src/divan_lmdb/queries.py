"""What a search reads: LMDB has no query language, so Divan's matcher looks at every document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from divan import Document

from divan_lmdb.documents import from_value

if TYPE_CHECKING:
    from divan_lmdb.documents import Transaction


def every_document(transaction: Transaction) -> Iterator[Document]:
    """Stream the documents of the transaction's snapshot, in the order of their keys."""
    for key, value in transaction.cursor():
        yield from_value(key, value)


def count_all(transaction: Transaction) -> int:
    """How many documents there are; none is read."""
    return transaction.stat()["entries"]
