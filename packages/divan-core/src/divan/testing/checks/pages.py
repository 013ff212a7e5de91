"""Internal: the checks of `page`: order, tokens, and documents that come and go between two pages."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import Document, InvalidQuery, Store
from divan.query import finish, parse, parse_sort
from divan.testing import generate
from divan.testing.base import StoreChecks
from divan.testing.reporting import reported

_VALUES: Final[tuple[Any, ...]] = (
    3, 1, 1.0, -2.5, 0, True, False, None, "a", "", "b", "é", "\uffff", "😀", [], [1], [1, "a"], ["a"], {}, {"x": 1},
    {"x": 2}, {"x": [1]}, 3, "a", None, [1], {"x": 1}, False,
)  # fmt: skip
_SORTS: Final[dict[str, Any]] = {
    "nothing": None,
    "the id": "_id",
    "the id, descending": "-_id",
    "a field of every type": "v",
    "a field of every type, descending": "-v",
    "two fields": ["v", "w"],
    "two fields, the first descending": ["-v", "w"],
    "two fields, the second descending": ["w", "-v"],
    "three fields": ["parity", "-w", "v"],
    "a nested field": "in.v",
    "a field, then the id": ["parity", "-_id"],
    "a field that all lack": ["none", "-none"],
}


class Pages(StoreChecks):
    """Pages by key."""

    @pytest.fixture
    @reported
    def shelf(self, request: pytest.FixtureRequest, fresh_url: str) -> tuple[Store, list[Document]]:
        """A Store with documents whose fields hold values of every type, and those documents."""
        return self.loaded(request, fresh_url, "shelf", _documents)

    @pytest.mark.parametrize("limit", [1, 4, 100])
    @pytest.mark.parametrize("sort", _SORTS.values(), ids=_SORTS)
    def test_pages_give_what_find_gives(self, shelf: tuple[Store, list[Document]], sort: Any, limit: int) -> None:
        store, documents = shelf
        for where in ({}, {"w": {"$gte": 1}}):
            expected = finish(
                filter(parse(where).matches, documents), get_id=lambda one: one.id, sort=parse_sort(sort or "_id")
            )
            pages = _pages(store, where, sort, limit)
            assert [one.id for page in pages for one in page] == [one.id for one in expected]
            assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
            assert 0 < len(pages[-1]) <= limit

    def test_pages_of_generated_filters_give_what_find_gives(self, store: Store) -> None:
        documents = store.create_many(generate.documents(60, big_ints=False))
        sorts = generate.sorts()
        for number, where in enumerate(generate.filters(30, big_ints=False)):
            sort = sorts[number % len(sorts)]
            expected = finish(
                filter(parse(where).matches, documents), get_id=lambda one: one.id, sort=parse_sort(sort or "_id")
            )
            found = [one.id for page in _pages(store, where, sort, 7) for one in page]
            assert found == [one.id for one in expected], f"{where} by {sort}"

    def test_a_page_is_of_documents(self, store: Store) -> None:
        first, second = store.create_many([{"n": 1}, {"n": 2}])
        page = store.page(sort="n", limit=1)
        assert (page.items, page.items[0].id, page.items[0].rev) == ([first], first.id, first.rev)
        assert store.page(sort="n", limit=1, after=page.next) == ([second], None)

    def test_nothing_is_one_empty_page(self, store: Store) -> None:
        assert store.page() == ([], None)
        assert store.page({"n": 1}, sort="n") == ([], None)

    def test_a_token_is_url_safe_and_small(self, shelf: tuple[Store, list[Document]]) -> None:
        store, _ = shelf
        for sort in (None, "v", ["v", "-w"]):
            token = store.page(sort=sort, limit=20).next
            assert token is not None
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", token)

    def test_a_token_is_good_after_the_limit_has_changed(self, shelf: tuple[Store, list[Document]]) -> None:
        store, documents = shelf
        token = store.page(sort="w", limit=2).next
        assert len(store.page(sort="w", limit=100, after=token).items) == len(documents) - 2

    def test_a_token_of_another_query_is_refused(self, shelf: tuple[Store, list[Document]]) -> None:
        store, _ = shelf
        token = store.page({"w": {"$gte": 0}}, sort="v", limit=2).next
        same = {"w": {"$gte": 0}}
        for where, sort in (({}, "v"), ({"w": {"$gte": 1}}, "v"), (same, "-v"), (same, ["v", "w"]), (same, None)):
            with pytest.raises(InvalidQuery, match="token"):
                store.page(where, sort=sort, after=token)

    @pytest.mark.parametrize("token", ["", "x", "é", "a b", "AAAA", "A" * 400, "_design", 1, b"AAAA"])
    def test_what_is_no_token_is_refused(self, store: Store, token: Any) -> None:
        with pytest.raises(InvalidQuery):
            store.page(after=token)

    @pytest.mark.parametrize("limit", [0, -1, None, 1.0, "1", True, 2**63])
    def test_what_is_no_size_of_a_page_is_refused(self, store: Store, limit: Any) -> None:
        with pytest.raises(InvalidQuery):
            store.page(limit=limit)

    def test_field_types_are_applied_to_pages(self, store: Store, open_store: Callable[..., Store]) -> None:
        typed = open_store(schema={"day": "DateField"})
        store.create_many([("a", {"day": "2026-12-01"}), ("b", {"day": "2026-12-03"}), ("c", {"day": "2026-12-02"})])
        days = [one["day"].day for page in _pages(typed, {}, "day", 1) for one in page]
        assert days == [1, 2, 3]

    def test_the_document_that_ended_a_page_may_go(self, store: Store) -> None:
        store.create_many([(id, {"n": n}) for n, id in enumerate("abcdef")])
        page = store.page(sort="n", limit=2)
        store.delete("b")
        store.update("a", {"n": 9})
        assert [one.id for one in store.page(sort="n", limit=9, after=page.next).items] == ["c", "d", "e", "f", "a"]

    def test_what_stays_comes_once_whatever_comes_and_goes(self, store: Store) -> None:
        chance = random.Random(generate.SEED)
        for run in range(self.sequences):
            store.delete_where({})
            stays = [(f"s{n}", {"v": chance.choice(_VALUES), "w": chance.randrange(3)}) for n in range(8)]
            store.create_many(stays)
            goes = [f"g{n}" for n in range(6)]
            sort = chance.choice(["v", "-v", ["w", "v"], ["-w", "-v"], "_id", None])
            seen: list[str] = []
            token: str | None = None
            while True:
                page = store.page(sort=sort, limit=chance.randrange(1, 4), after=token)
                seen += [one.id for one in page.items if one.id.startswith("s")]
                token = page.next
                if token is None:
                    break
                id = chance.choice(goes)
                if chance.random() < 0.7:
                    store.put(id, {"v": chance.choice(_VALUES), "w": chance.randrange(3)})
                else:
                    store.delete_where({"_id": id})
                store.update(f"s{chance.randrange(8)}", {"touched": run})
            assert sorted(seen) == sorted(id for id, _ in stays), f"run {run}, by {sort}"


def _documents() -> list[Any]:
    documents: list[Any] = []
    for number, value in enumerate(_VALUES):
        rest = {"w": number % 4, "parity": number % 2 == 0}
        documents.append((f"k{number * 5 % len(_VALUES):02}", {"v": value, "in": {"v": value}, **rest}))
    return [*documents, ("m1", {"w": 1, "parity": True}), ("m2", {"w": 1, "parity": True, "in": {}})]


def _pages(store: Store, where: dict[str, Any], sort: Any, limit: int) -> list[list[Document]]:
    """All pages."""
    pages = []
    token: str | None = None
    while True:
        page = store.page(where, sort=sort, limit=limit, after=token)
        pages.append(page.items)
        if page.next is None:
            return pages
        token = page.next
