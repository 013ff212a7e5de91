"""Internal: the checks of revisions: one for each write, and no write under an old one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import REMOVE, Document, DocumentNotFound, Increment, RevisionConflict, Store
from divan.ids import new_id
from divan.testing.base import StoreChecks

WRITES: Final[dict[str, Callable[[Store, Document], Document]]] = {
    "an update": lambda store, document: store.update(document.id, {"a": 2}),
    "an update to the same value": lambda store, document: store.update(document.id, {"a": 1}),
    "an update with no changes": lambda store, document: store.update(document.id, {}),
    "a removal": lambda store, document: store.update(document.id, {"a": REMOVE}),
    "an increment": lambda store, document: store.update(document.id, {"a": Increment(1)}),
    "a replace": lambda store, document: store.replace(document.id, {"b": 1}),
    "a replace with the same fields": lambda store, document: store.replace(document.id, {"a": 1}),
    "a put": lambda store, document: store.put(document.id, {"b": 1}),
    "a bulk put": lambda store, document: store.put_many({document.id: {"b": 1}})[0],
    "a bulk update": lambda store, document: store.update_many({document.id: {"a": 2}})[0],
}

GUARDED: Final[dict[str, Callable[[Store, str, str], Any]]] = {
    "update": lambda store, id, rev: store.update(id, {"a": 9}, rev=rev),
    "update with a removal": lambda store, id, rev: store.update(id, {"a": REMOVE}, rev=rev),
    "update with an increment": lambda store, id, rev: store.update(id, {"a": Increment(9)}, rev=rev),
    "update with no changes": lambda store, id, rev: store.update(id, {}, rev=rev),
    "replace": lambda store, id, rev: store.replace(id, {"a": 9}, rev=rev),
    "delete": lambda store, id, rev: store.delete(id, rev=rev),
}

STRANGE: Final = {
    "an empty one": "",
    "a word": "nonsense",
    "a number": "0",
    "a negative number": "-1",
    "an enormous number": "9" * 40,
    "of CouchDB's form": "1-967a00dff5e02add41819138abb3284d",
    "an emoji": "😀",
    "a NUL": "1\0",
    "spaces": " 1 ",
}

each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
each_guarded = pytest.mark.parametrize("write", GUARDED.values(), ids=GUARDED)


class Revisions(StoreChecks):
    """Revisions, and the conflicts that they show."""

    def test_a_created_document_has_a_revision(self, store: Store) -> None:
        assert self.revision(store.create({"a": 1}))

    @each_write
    def test_a_write_makes_a_new_revision(self, store: Store, write: Callable[[Store, Document], Document]) -> None:
        document = store.create({"a": 1})
        assert self.revision(write(store, document)) != self.revision(document)

    @each_write
    def test_get_tells_the_revision_that_the_write_told(
        self, store: Store, write: Callable[[Store, Document], Document]
    ) -> None:
        written = write(store, store.create({"a": 1}))
        assert store.get(written.id).rev == self.revision(written)

    def test_reading_makes_no_new_revision(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert store.get(document.id).rev == store.get(document.id).rev == self.revision(document)

    def test_find_tells_the_revision(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert [found.rev for found in store.find({"a": 1})] == [self.revision(document)]

    def test_a_projection_tells_the_revision(self, store: Store) -> None:
        document = store.create({"a": 1, "b": 2})
        for fields in (["b"], []):
            found = list(store.find(fields=fields))
            assert [(one.id, one.rev) for one in found] == [(document.id, self.revision(document))]

    def test_iterating_tells_the_revision(self, store: Store) -> None:
        document = store.create({"a": 1})
        assert [found.rev for found in store] == [self.revision(document)]

    def test_get_many_tells_the_revisions(self, store: Store) -> None:
        documents = [store.create({"a": 1}), store.create({"a": 2})]
        found: list[Any] = store.get_many([document.id for document in documents])
        assert [document.rev for document in found] == [self.revision(document) for document in documents]

    def test_create_many_tells_the_revisions(self, store: Store) -> None:
        documents = store.create_many([{"a": 1}, {"a": 2}])
        assert [self.revision(document) for document in documents] == [store.get(one.id).rev for one in documents]

    def test_no_two_writes_of_a_document_share_a_revision(self, store: Store) -> None:
        document = store.create({"a": 0})
        revisions = [self.revision(document)]
        revisions += [self.revision(store.update(document.id, {"a": number % 2})) for number in range(20)]
        assert len(set(revisions)) == 21

    @each_guarded
    def test_a_write_with_the_current_revision_is_done(
        self, store: Store, write: Callable[[Store, str, str], Any]
    ) -> None:
        document = store.create({"a": 1})
        write(store, document.id, self.revision(document))
        after = store.get(document.id, None)
        assert after is None or after.rev != document.rev

    @each_guarded
    def test_a_write_with_an_old_revision_is_refused(
        self, store: Store, write: Callable[[Store, str, str], Any]
    ) -> None:
        document = store.create({"a": 1})
        store.update(document.id, {"a": 2})
        with pytest.raises(RevisionConflict):
            write(store, document.id, self.revision(document))

    @each_guarded
    def test_a_write_with_an_old_revision_changes_nothing(
        self, store: Store, write: Callable[[Store, str, str], Any]
    ) -> None:
        document = store.create({"a": 1})
        changed = store.update(document.id, {"a": 2})
        with pytest.raises(RevisionConflict):
            write(store, document.id, self.revision(document))
        after = store.get(document.id)
        assert (after, after.rev) == ({"a": 2}, changed.rev)

    @each_guarded
    def test_a_write_with_the_revision_of_a_deleted_document_finds_none(
        self, store: Store, write: Callable[[Store, str, str], Any]
    ) -> None:
        document = store.create({"a": 1})
        store.delete(document.id)
        with pytest.raises(DocumentNotFound):
            write(store, document.id, self.revision(document))

    @each_guarded
    def test_a_write_with_a_revision_finds_no_missing_document(
        self, store: Store, write: Callable[[Store, str, str], Any]
    ) -> None:
        document = store.create({"a": 1})
        with pytest.raises(DocumentNotFound):
            write(store, new_id(), self.revision(document))

    @each_guarded
    def test_a_revision_from_before_a_deletion_does_not_come_back(
        self, store: Store, write: Callable[[Store, str, str], Any]
    ) -> None:
        before = store.create({"a": 1}, id="ada")
        store.delete("ada")
        store.create({"a": 1}, id="ada")
        with pytest.raises(RevisionConflict):
            write(store, "ada", self.revision(before))

    def test_a_revision_from_before_a_deletion_does_not_come_back_by_put(self, store: Store) -> None:
        before = store.put("ada", {"a": 1})
        store.delete("ada")
        store.put("ada", {"a": 1})
        with pytest.raises(RevisionConflict):
            store.update("ada", {"a": 2}, rev=self.revision(before))

    def test_a_revision_does_not_come_back_in_a_program_that_seeds_its_random_numbers(self, store: Store) -> None:
        state = random.getstate()
        try:
            random.seed(1)
            old = self.revision(store.create({"a": 1}, id="x"))
            store.delete("x")
            random.seed(1)
            store.create({"a": 1}, id="x")
        finally:
            random.setstate(state)
        with pytest.raises(RevisionConflict):
            store.update("x", {"a": 2}, rev=old)

    @pytest.mark.parametrize("rev", STRANGE.values(), ids=STRANGE)
    def test_a_revision_that_never_was_is_refused(self, store: Store, rev: str) -> None:
        document = store.create({"a": 1})
        with pytest.raises(RevisionConflict):
            store.update(document.id, {"a": 2}, rev=rev)
        assert store.get(document.id) == {"a": 1}

    @pytest.mark.parametrize("rev", [1, 1.0, True, b"1", ["1"]], ids=repr)
    @each_guarded
    def test_a_revision_that_is_no_string_is_a_type_error(
        self, store: Store, write: Callable[[Store, str, Any], Any], rev: Any
    ) -> None:
        document = store.create({"a": 1})
        with pytest.raises(TypeError, match="rev"):
            write(store, document.id, rev)
        assert store.get(document.id) == {"a": 1}

    def test_the_revision_of_another_document_is_refused(self, store: Store) -> None:
        first, second = store.create({"a": 1}), store.create({"a": 2})
        store.update(first.id, {"a": 3})
        second = store.update(second.id, {"a": 4})
        with pytest.raises(RevisionConflict):
            store.update(first.id, {"a": 5}, rev=self.revision(second))

    def test_a_conflict_names_the_document_and_the_revision(self, store: Store) -> None:
        document = store.create({"a": 1})
        store.update(document.id, {"a": 2})
        with pytest.raises(RevisionConflict) as caught:
            store.update(document.id, {"a": 3}, rev=self.revision(document))
        assert (caught.value.document_id, caught.value.rev) == (document.id, document.rev)

    def test_a_revision_survives_being_stored_and_sent(self, store: Store) -> None:
        document = store.create({"a": 1})
        rev = json.loads(json.dumps(self.revision(document)).encode().decode())
        assert store.update(document.id, {"a": 2}, rev=rev) == {"a": 2}

    def test_a_revision_can_be_used_along_a_chain_of_writes(self, store: Store) -> None:
        document = store.create({"n": 0})
        for _ in range(5):
            document = store.update(document.id, {"n": document["n"] + 1}, rev=self.revision(document))
        document = store.replace(document.id, {"n": document["n"]}, rev=document.rev)
        store.delete(document.id, rev=document.rev)
        assert document == {"n": 5}

    def test_a_write_without_a_revision_is_blind(self, store: Store) -> None:
        stale = store.create({"a": 1})
        store.update(stale.id, {"a": 2})
        store.replace(stale, {"b": 3})
        assert store.get(stale.id) == {"b": 3}

    def test_a_deletion_without_a_revision_is_blind(self, store: Store) -> None:
        stale = store.create({"a": 1})
        store.update(stale.id, {"a": 2})
        store.delete(stale)
        assert store.get(stale.id, None) is None
