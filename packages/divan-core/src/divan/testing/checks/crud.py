"""Internal: the checks of creating, getting, replacing, putting and deleting one document."""

from __future__ import annotations

import copy
import uuid
from typing import Any, Final

import pytest

from divan import Document, DocumentExists, DocumentNotFound, Store
from divan.ids import new_id
from divan.testing.base import StoreChecks
from divan.testing.comparing import as_json
from divan.testing.limits import WHOLE_FLOATS

FALSY: Final[dict[str, tuple[Any, str | None]]] = {
    "null": (None, None),
    "false": (False, None),
    "zero": (0, None),
    "zero as a float": (0.0, WHOLE_FLOATS),
    "an empty string": ("", None),
    "an empty list": ([], None),
    "an empty object": ({}, None),
}
"""Values that a careless test takes for absent."""

NESTED: Final[dict[str, Any]] = {"name": "Ada", "tags": ["a", {"b": [1]}], "address": {"town": {"zip": "X1"}}}

each_falsy = pytest.mark.parametrize(("value", "limit"), FALSY.values(), ids=FALSY)


class Crud(StoreChecks):
    """One document at a time."""

    def test_create_returns_the_fields(self, store: Store) -> None:
        assert dict(store.create(NESTED)) == NESTED

    def test_create_returns_a_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert type(document) is Document
        assert isinstance(document.id, str)
        assert document.id

    def test_create_without_an_id_makes_a_uuid_of_version_7(self, store: Store) -> None:
        if not self.backend_class.accepts("create", "document_id"):
            pytest.skip(f"unsupported: {self.backend_class.__name__} does not implement create(document_id=…)")
        assert uuid.UUID(store.create({}).id).version == 7

    def test_create_makes_a_new_id_each_time(self, store: Store) -> None:
        assert len({store.create({"a": 1}).id for _ in range(10)}) == 10

    def test_create_takes_an_id(self, store: Store) -> None:
        assert store.create({"a": 1}, id="ada").id == "ada"

    def test_create_refuses_a_taken_id(self, store: Store) -> None:
        store.create({"a": 1}, id="ada")
        with pytest.raises(DocumentExists):
            store.create({"a": 2}, id="ada")

    def test_create_under_a_taken_id_names_the_id(self, store: Store) -> None:
        store.create({"a": 1}, id="ada")
        with pytest.raises(DocumentExists) as caught:
            store.create({"a": 2}, id="ada")
        assert caught.value.document_id == "ada"

    def test_create_under_a_taken_id_changes_nothing(self, store: Store) -> None:
        first = store.create({"a": 1}, id="ada")
        with pytest.raises(DocumentExists):
            store.create({"a": 2, "b": 3}, id="ada")
        assert (dict(store.get("ada")), store.get("ada").rev) == ({"a": 1}, first.rev)

    def test_get_returns_what_was_created(self, store: Store) -> None:
        document = store.create(NESTED)
        found = store.get(document.id)
        assert (dict(found), found.id) == (NESTED, document.id)

    def test_get_of_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.get(new_id())

    def test_get_of_a_missing_document_is_a_key_error(self, store: Store) -> None:
        missing = new_id()
        with pytest.raises(KeyError) as caught:
            store.get(missing)
        assert missing in str(caught.value)

    def test_get_of_a_missing_document_returns_the_default(self, store: Store) -> None:
        assert store.get(new_id(), None) is None

    def test_get_ignores_the_default_where_there_is_a_document(self, store: Store) -> None:
        assert store.get(store.create({"a": 1}).id, None) == {"a": 1}

    def test_get_of_a_document_fetches_it_anew(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.update(document.id, {"a": 2})
        assert store.get(document) == {"a": 2}

    def test_indexing_returns_the_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store[document.id] == {"a": 1}

    def test_indexing_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store[new_id()]

    def test_an_id_is_in_the_store_once_created(self, store: Store) -> None:
        document = store.create({})
        assert document.id in store

    def test_an_id_is_not_in_the_store_before_it_is_created(self, store: Store) -> None:
        assert new_id() not in store

    def test_an_id_is_not_in_the_store_once_deleted(self, store: Store) -> None:
        document = store.create({})
        store.delete(document.id)
        assert document.id not in store

    def test_an_empty_document_exists(self, store: Store) -> None:
        document = store.create({})
        assert dict(store.get(document.id)) == {}

    def test_metadata_is_no_field(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert set(store.get(document.id)) == {"a"}

    @each_falsy
    def test_create_keeps_a_falsy_value(self, store: Store, value: Any, limit: str | None) -> None:
        document = store.create({"value": value, "other": 1})
        with self.within(limit):
            assert as_json(store.get(document.id)) == as_json({"value": value, "other": 1})

    def test_replace_writes_the_whole_document(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        store.replace(document.id, {"b": 3, "c": NESTED})
        assert store.get(document.id) == {"b": 3, "c": NESTED}

    def test_replace_returns_the_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        replaced = store.replace(document.id, {"b": 2})
        assert (dict(replaced), replaced.id) == ({"b": 2}, document.id)

    def test_replace_takes_a_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.replace(document, {"b": 2})
        assert store.get(document.id) == {"b": 2}

    def test_replace_can_empty_a_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.replace(document.id, {})
        assert store.get(document.id) == {}

    def test_replace_of_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.replace(new_id(), {"a": 1})

    def test_replace_of_a_missing_document_creates_none(self, store: Store) -> None:
        missing = new_id()
        with pytest.raises(DocumentNotFound):
            store.replace(missing, {"a": 1})
        assert missing not in store

    @each_falsy
    def test_replace_keeps_a_falsy_value(self, store: Store, value: Any, limit: str | None) -> None:
        document = store.create({"value": "x"})
        store.replace(document.id, {"value": value})
        with self.within(limit):
            assert as_json(store.get(document.id)) == as_json({"value": value})

    def test_put_creates_a_missing_document(self, store: Store) -> None:
        store.put("ada", {"a": 1})
        assert store.get("ada") == {"a": 1}

    def test_put_replaces_a_document(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        store.put(document.id, {"b": 3})
        assert store.get(document.id) == {"b": 3}

    def test_put_returns_the_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        written = store.put(document, {"b": 2})
        assert (dict(written), written.id) == ({"b": 2}, document.id)

    def test_put_creates_a_deleted_document_again(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.delete(document.id)
        store.put(document.id, {"b": 2})
        assert store.get(document.id) == {"b": 2}

    def test_delete_removes_the_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.delete(document.id)
        with pytest.raises(DocumentNotFound):
            store.get(document.id)

    def test_delete_takes_a_document(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.delete(document)
        assert store.get(document.id, None) is None

    def test_delete_leaves_the_others(self, store: Store) -> None:
        first, second = store.create({"a": 1}), store.create({"a": 2})
        store.delete(first.id)
        assert store.get(second.id) == {"a": 2}

    def test_delete_of_a_missing_document_raises(self, store: Store) -> None:
        with pytest.raises(DocumentNotFound):
            store.delete(new_id())

    def test_delete_twice_raises(self, store: Store) -> None:
        document = store.create({})
        store.delete(document.id)
        with pytest.raises(DocumentNotFound):
            store.delete(document.id)

    def test_create_again_under_a_deleted_id(self, store: Store) -> None:
        store.create({"a": 1, "old": True}, id="ada")
        store.delete("ada")
        store.create({"b": 2}, id="ada")
        assert store.get("ada") == {"b": 2}


class Privacy(StoreChecks):
    """What the caller holds and what the store holds share nothing."""

    def test_create_leaves_the_callers_dict_alone(self, store: Store) -> None:
        data = copy.deepcopy(NESTED)
        store.create(data)
        assert data == NESTED

    def test_update_leaves_the_callers_dict_alone(self, store: Store) -> None:
        document, data = store.create({"a": 1}), copy.deepcopy(NESTED)
        store.update(document.id, data)
        assert data == NESTED

    def test_replace_leaves_the_callers_dict_alone(self, store: Store) -> None:
        document, data = store.create({"a": 1}), copy.deepcopy(NESTED)
        store.replace(document.id, data)
        assert data == NESTED

    def test_put_leaves_the_callers_dict_alone(self, store: Store) -> None:
        document, data = store.create({"a": 1}), copy.deepcopy(NESTED)
        store.put(document.id, data)
        assert data == NESTED

    def test_create_many_leaves_the_callers_dicts_alone(self, store: Store) -> None:
        data = [copy.deepcopy(NESTED), copy.deepcopy(NESTED)]
        store.create_many(data)
        assert data == [NESTED, NESTED]

    def test_changing_the_callers_dict_later_changes_nothing_stored(self, store: Store) -> None:
        data = copy.deepcopy(NESTED)
        document = store.create(data)
        data["tags"].append("later")
        data["address"]["town"]["zip"] = "later"
        assert store.get(document.id) == NESTED

    def test_changing_a_created_document_changes_nothing_stored(self, store: Store) -> None:
        document = store.create(NESTED)
        document["tags"][1]["b"].append(2)
        document["address"]["town"].clear()
        assert store.get(document.id) == NESTED

    def test_changing_an_updated_document_changes_nothing_stored(self, store: Store) -> None:
        document = store.create({"kept": [1], **NESTED})
        updated = store.update(document.id, {"set": {"x": [2]}})
        updated["kept"].append("changed")
        updated["set"]["x"].append("changed")
        assert store.get(document.id) == {"kept": [1], "set": {"x": [2]}, **NESTED}

    def test_changing_a_fetched_document_changes_nothing_stored(self, store: Store) -> None:
        document = store.create(NESTED)
        fetched = store.get(document.id)
        fetched["tags"].append("changed")
        fetched["address"]["town"]["zip"] = "changed"
        assert store.get(document.id) == NESTED

    def test_changing_a_found_document_changes_nothing_stored(self, store: Store) -> None:
        document = store.create(NESTED)
        for found in store.find({"name": "Ada"}):
            found["tags"].append("changed")
        assert store.get(document.id) == NESTED

    def test_two_fetches_share_no_list(self, store: Store) -> None:
        document = store.create(NESTED)
        assert store.get(document.id)["tags"] is not store.get(document.id)["tags"]

    def test_one_list_in_two_fields_is_stored_as_two(self, store: Store) -> None:
        shared: list[int] = [1]
        document = store.create({"a": shared, "b": {"c": shared}})
        document = store.update(document.id, {"a": [2]})
        assert document == {"a": [2], "b": {"c": [1]}}

    def test_one_list_in_two_documents_is_stored_as_two(self, store: Store) -> None:
        shared: list[int] = [1]
        first, second = store.create_many([{"a": shared}, {"a": shared}])
        first["a"].append(2)
        assert (store.get(first.id), second) == ({"a": [1]}, {"a": [1]})
