"""Internal: the checks of find, count, iteration, sorting, windows and projections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from divan import Document, InvalidQuery, Store
from divan.testing.base import StoreChecks
from divan.testing.comparing import as_json

PEOPLE: Final[list[dict[str, Any]]] = [
    {"name": "Ada", "age": 36, "address": {"town": "London", "zip": "W1"}, "tags": ["maths"]},
    {"name": "Bo", "age": 7, "address": {"town": "Oslo"}, "tags": []},
    {"name": "Cy", "age": None, "address": None},
    {"name": "Di", "age": 36.5, "address": {"town": "Bonn", "zip": None}},
    {"name": "Ed"},
]

TYPES_IN_ORDER: Final[list[Any]] = [
    ..., None, False, True, -(2**31), -1.5, -1, 0, 0.5, 1, 1.5, 2**31, 1e300, "", "A", "a", "aa", "b", "é", "\ue000",
    "\uffff", "😀", [], [None], [1], [1, 1], [2], ["a"], {}, {"a": 1}, {"a": 1, "b": 1}, {"a": 2}, {"b": 0},
]  # fmt: skip
"""One value of each rank and between, missing first, as a sort puts them."""

PROJECTIONS: Final[dict[str, tuple[list[str], dict[str, Any]]]] = {
    "one field": (["name"], {"name": "Ada"}),
    "two fields": (["name", "age"], {"name": "Ada", "age": 36}),
    "a nested field": (["address.town"], {"address": {"town": "London"}}),
    "nested fields": (["address.town", "address.zip"], {"address": {"town": "London", "zip": "W1"}}),
    "an object and a field in it": (["address", "address.zip"], {"address": {"town": "London", "zip": "W1"}}),
    "a missing field": (["name", "nothing"], {"name": "Ada"}),
    "a missing nested field": (["name.first", "tags.0"], {}),
    "no field": ([], {}),
}


class Reading(StoreChecks):
    """Reading several documents."""

    @pytest.fixture
    def people(self, store: Store) -> dict[str, Document]:
        """Five documents by name."""
        return {document["name"]: document for document in store.create_many(PEOPLE)}

    def names(self, found: Iterator[Document]) -> list[str]:
        """The names of documents that were found, in order."""
        return [document["name"] for document in found]

    def test_find_without_a_filter_finds_all(self, store: Store, people: dict[str, Document]) -> None:
        assert sorted(self.names(store.find())) == ["Ada", "Bo", "Cy", "Di", "Ed"]

    def test_find_with_an_empty_filter_finds_all(self, store: Store, people: dict[str, Document]) -> None:
        assert len(list(store.find({}))) == 5

    def test_find_in_an_empty_database_finds_nothing(self, store: Store) -> None:
        assert list(store.find()) == []

    def test_find_returns_whole_documents(self, store: Store, people: dict[str, Document]) -> None:
        (found,) = store.find({"name": "Ada"})
        assert (dict(found), found.id) == (PEOPLE[0], people["Ada"].id)

    def test_find_returns_documents(self, store: Store, people: dict[str, Document]) -> None:
        assert {type(document) for document in store.find()} == {Document}

    def test_find_returns_an_iterator(self, store: Store, people: dict[str, Document]) -> None:
        found = store.find()
        assert iter(found) is found

    def test_find_sees_an_update(self, store: Store, people: dict[str, Document]) -> None:
        store.update(people["Ed"].id, {"age": 99})
        assert self.names(store.find({"age": {"$gt": 90}})) == ["Ed"]

    def test_find_does_not_see_a_deleted_document(self, store: Store, people: dict[str, Document]) -> None:
        store.delete(people["Ada"].id)
        assert self.names(store.find({"name": "Ada"})) == []

    def test_a_find_that_is_left_unfinished_does_no_harm(self, store: Store, people: dict[str, Document]) -> None:
        found = store.find()
        next(found)
        del found
        store.update(people["Ada"].id, {"age": 1})
        assert store.count() == 5

    def test_the_store_can_be_written_to_while_a_find_is_read(self, store: Store, people: dict[str, Document]) -> None:
        others = [document.id for document in store.create_many({"other": True} for _ in range(2))]
        for document in store.find({"name": {"$exists": True}}):
            store.update(document.id, {"seen": True})
            store.create({"other": True})
            if others:
                store.delete(others.pop())
        assert (store.count({"seen": True}), store.count({"other": True})) == (5, 5)

    def test_25_finds_can_be_left_half_read(self, store: Store) -> None:
        """A program may hold as many iterators as it likes: they take no connection that another call then lacks."""
        store.create_many({"n": number} for number in range(300))
        searches = [store.find({"n": {"$gte": 0}}) for _ in range(25)]
        for search in searches:
            next(search)
        assert store.count() == 300
        assert [1 + sum(1 for _ in search) for search in searches] == [300] * 25

    def test_two_finds_can_be_read_in_turn(self, store: Store, people: dict[str, Document]) -> None:
        pairs = zip(store.find(sort="name"), store.find(sort="-name"), strict=True)
        assert [one["name"] + other["name"] for one, other in pairs] == ["AdaEd", "BoDi", "CyCy", "DiBo", "EdAda"]

    def test_find_leaves_the_callers_filter_alone(self, store: Store, people: dict[str, Document]) -> None:
        where: dict[str, Any] = {"age": {"$in": [7, 36]}, "$or": [{"name": "Ada"}, {"name": "Bo"}]}
        before = as_json(where)
        list(store.find(where, sort="name"))
        assert as_json(where) == before

    def test_count_counts_all(self, store: Store, people: dict[str, Document]) -> None:
        assert store.count() == 5

    def test_count_counts_what_matches(self, store: Store, people: dict[str, Document]) -> None:
        assert store.count({"age": {"$gte": 36}}) == 2

    def test_count_of_an_empty_database_is_zero(self, store: Store) -> None:
        assert store.count() == 0

    def test_count_sees_writes(self, store: Store, people: dict[str, Document]) -> None:
        store.delete(people["Ada"].id)
        store.create({"name": "Flo"})
        store.create({"name": "Gus"})
        assert store.count() == 6

    def test_iterating_yields_every_document(self, store: Store, people: dict[str, Document]) -> None:
        assert {document.id: dict(document) for document in store} == {
            document.id: dict(document) for document in people.values()
        }

    def test_iterating_an_empty_database_yields_nothing(self, store: Store) -> None:
        assert list(store) == []

    def test_ids_yields_every_id(self, store: Store, people: dict[str, Document]) -> None:
        assert sorted(store.ids()) == sorted(document.id for document in people.values())

    def test_ids_of_an_empty_database_yields_nothing(self, store: Store) -> None:
        assert list(store.ids()) == []

    # Sorting

    def test_sort_ascends(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="name")) == ["Ada", "Bo", "Cy", "Di", "Ed"]

    def test_sort_descends(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="-name")) == ["Ed", "Di", "Cy", "Bo", "Ada"]

    def test_sort_puts_missing_first_then_null(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="age")) == ["Ed", "Cy", "Bo", "Ada", "Di"]

    def test_sort_descending_puts_missing_last(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="-age")) == ["Di", "Ada", "Bo", "Cy", "Ed"]

    def test_sort_goes_into_objects(self, store: Store, people: dict[str, Document]) -> None:
        found = self.names(store.find({"address.town": {"$exists": True}}, sort="address.town"))
        assert found == ["Di", "Ada", "Bo"]

    def test_sort_by_several_fields(self, store: Store) -> None:
        store.create_many([{"a": 2, "b": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}])
        found = [(document["a"], document["b"]) for document in store.find(sort=["a", "-b"])]
        assert found == [(1, 2), (1, 1), (2, 2), (2, 1)]

    @pytest.mark.parametrize("sort", ["v", "-v"], ids=["ascending", "descending"])
    def test_sort_orders_types(self, store: Store, sort: str) -> None:
        expected = list(range(len(TYPES_IN_ORDER)))
        positions = expected[::2] + expected[1::2]
        store.create_many({"at": at} if at == 0 else {"at": at, "v": TYPES_IN_ORDER[at]} for at in positions)
        found = [document["at"] for document in store.find(sort=sort)]
        assert found == (expected if sort == "v" else expected[::-1])

    @pytest.mark.parametrize("sort", ["v", "-v"], ids=["ascending", "descending"])
    def test_sort_breaks_ties_by_id(self, store: Store, sort: str) -> None:
        documents = store.create_many([{"v": value} for value in (1, 1.0, 1, 1, 1)])
        assert [found.id for found in store.find(sort=sort)] == sorted(document.id for document in documents)

    def test_sort_breaks_ties_by_id_in_code_point_order(self, store: Store) -> None:
        ids = ["B", "a", "é", "\uffff", "😀", "10", "9", "aa", "A"]
        store.create_many((id, {"v": None}) for id in ids)
        assert [found.id for found in store.find(sort="v")] == sorted(ids)

    def test_sort_by_a_field_that_no_document_has(self, store: Store, people: dict[str, Document]) -> None:
        found = [document.id for document in store.find(sort="nothing")]
        assert found == sorted(document.id for document in people.values())

    @pytest.mark.parametrize(
        "sort", ["", "-", "$a", "a..b", 5, ["a", 5]], ids=["nothing", "dash", "operator", "gap", "number", "mixed"]
    )
    def test_sort_refuses_what_is_no_field(self, store: Store, sort: Any) -> None:
        with pytest.raises(InvalidQuery):
            list(store.find(sort=sort))

    # Windows

    def test_limit_takes_the_first(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="name", limit=2)) == ["Ada", "Bo"]

    def test_limit_zero_finds_nothing(self, store: Store, people: dict[str, Document]) -> None:
        assert list(store.find(sort="name", limit=0)) == []

    def test_limit_zero_without_a_sort_finds_nothing(self, store: Store, people: dict[str, Document]) -> None:
        assert list(store.find(limit=0)) == []

    def test_limit_beyond_the_end_finds_all(self, store: Store, people: dict[str, Document]) -> None:
        assert len(list(store.find(sort="name", limit=1000))) == 5

    def test_limit_without_a_sort_finds_so_many(self, store: Store, people: dict[str, Document]) -> None:
        assert len({document.id for document in store.find(limit=3)}) == 3

    def test_limit_counts_what_matches(self, store: Store, people: dict[str, Document]) -> None:
        assert len(list(store.find({"age": {"$gte": 7}}, limit=2))) == 2

    def test_skip_leaves_out_the_first(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="name", skip=3)) == ["Di", "Ed"]

    def test_skip_beyond_the_end_finds_nothing(self, store: Store, people: dict[str, Document]) -> None:
        assert list(store.find(sort="name", skip=5)) == []

    def test_skip_without_a_sort_leaves_out_so_many(self, store: Store, people: dict[str, Document]) -> None:
        assert len({document.id for document in store.find(skip=2)}) == 3

    def test_skip_and_limit_cut_a_window(self, store: Store, people: dict[str, Document]) -> None:
        assert self.names(store.find(sort="-name", skip=1, limit=2)) == ["Di", "Cy"]

    def test_windows_together_are_the_whole(self, store: Store, people: dict[str, Document]) -> None:
        windows = [self.names(store.find(sort="age", skip=skip, limit=2)) for skip in (0, 2, 4, 6)]
        assert windows == [["Ed", "Cy"], ["Bo", "Ada"], ["Di"], []]

    @pytest.mark.parametrize("bound", [-1, 1.5, True, "1"], ids=["negative", "a fraction", "a boolean", "text"])
    @pytest.mark.parametrize("argument", ["limit", "skip"])
    def test_bounds_are_whole_numbers(self, store: Store, argument: str, bound: Any) -> None:
        with pytest.raises(InvalidQuery):
            list(store.find(**{argument: bound}))

    # Projections

    @pytest.mark.parametrize(("fields", "expected"), PROJECTIONS.values(), ids=PROJECTIONS)
    def test_fields_are_kept(
        self, store: Store, people: dict[str, Document], fields: list[str], expected: dict[str, Any]
    ) -> None:
        (found,) = store.find({"name": "Ada"}, fields=fields)
        assert (dict(found), found.id) == (expected, people["Ada"].id)

    def test_fields_of_many_documents_are_kept(self, store: Store) -> None:
        store.create_many({"n": number, "text": "x" * number} for number in range(300))
        found = sorted((dict(document) for document in store.find(fields=["n"])), key=lambda fields: fields["n"])
        assert found == [{"n": number} for number in range(300)]
        assert [dict(found) for found in store.find({"n": {"$gte": 0}}, fields=[])] == [{}] * 300
        assert [dict(found) for found in store.find({"text": {"$gte": ""}}, fields=[])] == [{}] * 300

    def test_fields_keep_nulls(self, store: Store, people: dict[str, Document]) -> None:
        (found,) = store.find({"name": "Cy"}, fields=["age", "address.town"])
        assert found == {"age": None}

    def test_fields_need_not_hold_the_sort(self, store: Store, people: dict[str, Document]) -> None:
        found = list(store.find(sort="-name", limit=2, fields=["age"]))
        assert [dict(document) for document in found] == [{}, {"age": 36.5}]

    def test_fields_need_not_hold_the_filter(self, store: Store, people: dict[str, Document]) -> None:
        assert [dict(found) for found in store.find({"age": 7}, fields=["name"])] == [{"name": "Bo"}]

    def test_fields_can_be_any_iterable(self, store: Store, people: dict[str, Document]) -> None:
        (found,) = store.find({"name": "Bo"}, fields=(field for field in ("name", "age")))
        assert found == {"name": "Bo", "age": 7}

    @pytest.mark.parametrize("fields", ["name", ["a..b"], ["$a"], [1]], ids=["text", "gap", "operator", "number"])
    def test_fields_refuse_what_is_no_list_of_fields(self, store: Store, fields: Any) -> None:
        with pytest.raises(InvalidQuery):
            list(store.find(fields=fields))
