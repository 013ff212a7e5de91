"""Internal: the checks of `get` and `get_many` that are asked for some fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import DocumentNotFound, InvalidQuery, Store
from divan.ids import new_id
from divan.query import project
from divan.testing.base import StoreChecks

_FIELDS: Final[dict[str, list[str]]] = {
    "one": ["name"],
    "several": ["tags", "name"],
    "none": [],
    "one that is not there": ["nobody", "address.nothing.zip"],
    "a nested one": ["address.town.zip"],
    "nested ones and their object": ["address.town", "address"],
    "siblings": ["address.street", "address.town.name"],
    "one inside a list": ["tags.0"],
    "the id": ["_id", "null"],
    "a name that a store may know": ["rev", "id"],
}
_DATA: Final[dict[str, Any]] = {
    "name": "Ada",
    "null": None,
    "tags": ["a", {"b": 1}],
    "address": {"street": [], "town": {"zip": "X1", "name": "Ely"}},
}


class Projections(StoreChecks):
    """Some fields of documents that are fetched by id."""

    @pytest.mark.parametrize("fields", _FIELDS.values(), ids=_FIELDS)
    def test_get_returns_the_fields_that_were_asked_for(self, store: Store, fields: list[str]) -> None:
        document = store.create(_DATA)
        found = store.get(document.id, fields=fields)
        assert (found.id, found.rev, found) == (document.id, document.rev, project(_DATA, fields))

    @pytest.mark.parametrize("fields", _FIELDS.values(), ids=_FIELDS)
    def test_get_many_returns_the_fields_that_were_asked_for(self, store: Store, fields: list[str]) -> None:
        first, second = store.create_many([_DATA, {"name": "Bob"}])
        found = store.get_many([second.id, new_id(), first.id, second.id], fields=fields)
        expected = [project({"name": "Bob"}, fields), None, project(_DATA, fields), project({"name": "Bob"}, fields)]
        assert found == expected
        assert [(one.id, one.rev) for one in found if one] == [
            (one.id, one.rev)
            for one, some in zip((second, first, second), (found[0], found[2], found[3]), strict=True)
            if some
        ]

    def test_a_document_without_the_field_is_there(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store.get(document.id, None, fields=["b"]) == {}
        assert store.get_many([document.id], None, fields=["b"]) == [{}]

    def test_a_missing_document_is_missing_whatever_is_asked_for(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.get(new_id(), fields=["a"])
        assert store.get(new_id(), 7, fields=[]) == 7
        assert store.get_many([new_id()], 7, fields=[]) == [7]

    def test_field_types_are_applied(self, store: Store, open_store: Callable[..., Store]) -> None:
        typed = open_store(schema={"price": "DecimalField"})
        document = store.create({"price": "1.50", "name": "Ada"})
        assert str(typed.get(document.id, fields=["price"])["price"]) == "1.50"

    @pytest.mark.parametrize("fields", ["name", [1], [""], ["a..b"], 7])
    def test_what_is_no_field_is_refused(self, store: Store, fields: Any) -> None:
        document = store.create({"a": 1})
        with pytest.raises(InvalidQuery):
            store.get(document.id, fields=fields)
        with pytest.raises(InvalidQuery):
            store.get_many([document.id], fields=fields)
