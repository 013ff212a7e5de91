"""The bulk calls: one transaction a batch, and within it a result for each item.

An item that is refused has written nothing by then, so the others are committed without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from divan import Document
from divan.backends.support import attempt
from divan.errors import DivanError
from divan.ids import new_id
from divan.updates import Change

from divan_lmdb.documents import from_value, insert, merge, remove, to_key

if TYPE_CHECKING:
    from divan_lmdb.documents import Transaction


def create_many(
    transaction: Transaction, items: Sequence[tuple[str | None, dict[str, Any]]]
) -> list[Document | DivanError]:
    """Insert documents: (id, fields), with a new id for `None`."""
    return [attempt(insert, transaction, document_id or new_id(), data) for document_id, data in items]


def get_many(transaction: Transaction, document_ids: Sequence[str]) -> list[Document | None]:
    """Fetch documents; `None` where there is none."""
    keys = [to_key(document_id) for document_id in document_ids]
    values = [transaction.get(key) for key in keys]
    return [None if value is None else from_value(key, value) for key, value in zip(keys, values, strict=True)]


def update_many(transaction: Transaction, changes: Sequence[Change]) -> list[Document | DivanError]:
    """Update documents."""
    return [attempt(merge, transaction, change) for change in changes]


def delete_many(transaction: Transaction, document_ids: Sequence[str]) -> list[DivanError | None]:
    """Delete documents."""
    return [attempt(remove, transaction, document_id) for document_id in document_ids]
