"""Internal: between JSON and the values of typed fields: JSON holds the stored form, a Store takes and gives values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import divan


class Values:
    """Turns the JSON of one command into values for its Store, and back.

    Args:
        store: The open Store.
    """

    def __init__(self, store: divan.Store) -> None:
        self._fields = store.fields

    def load(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The values of fields in stored form; what can't be one is left for the Store to take or to refuse."""
        return {name: self._load(name, value) for name, value in fields.items()}

    def where(self, where: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The filter with the values of its typed fields."""
        if not where or not self._fields:
            return where
        return {key: self._part(key, value) for key, value in where.items()}

    def _part(self, key: str, value: Any) -> Any:
        if key in ("$and", "$or") and isinstance(value, list):
            return [self.where(part) if isinstance(part, dict) else part for part in value]
        if key == "$not" and isinstance(value, dict):
            return self.where(value)
        return self._operand(key, value)

    def _operand(self, field: str, value: Any) -> Any:
        if isinstance(value, dict) and any(key.startswith("$") for key in value):
            return {
                op: operand if op in ("$exists", "$size") else self._operand(field, operand)
                for op, operand in value.items()
            }
        return self._load(field, value)

    def _load(self, field: str, value: Any) -> Any:
        serializer = self._fields.get(field)
        if serializer is None:
            return value
        try:
            return serializer.decode(field, value)
        except divan.InvalidDocument:
            return value

    def row(self, document: divan.Document) -> dict[str, Any]:
        """The document in stored form, as it is printed: id first, then the revision, then the fields."""
        row: dict[str, Any] = {"_id": document.id}
        if document.rev is not None:
            row["_rev"] = document.rev
        row.update(document)
        for field, serializer in self._fields.items():
            if row.get(field) is not None:
                row[field] = serializer.encode(field, row[field])
        return row
