"""Internal: the checks of document ids: each works on every store, or is refused with `InvalidID` on every store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from divan import InvalidID, Store
from divan.testing.base import StoreChecks
from divan.testing.reporting import failing
from divan.validation import MAX_ID_BYTES

GOOD: Final = {
    "a slash": "a/b",
    "a leading slash": "/a",
    "a slash alone": "/",
    "a question mark": "a?b=c",
    "a hash": "a#b",
    "a percent sign": "100%",
    "a percent escape": "a%2Fb",
    "a broken percent escape": "%zz",
    "a plus": "a+b",
    "an ampersand": "a&b=c",
    "a space": "a b",
    "a leading space": " a",
    "a trailing space": "a ",
    "a space alone": " ",
    "dots inside": "a..b",
    "three dots": "...",
    "a path upwards": "../a",
    "a path upwards inside": "a/../b",
    "a path that stays": "./a",
    "a colon": "a:b",
    "an at sign": "user@host",
    "a star": "a*",
    "brackets": "[a]{b}",
    "quotes": "a\"b'c`",
    "a backslash": "a\\b",
    "a newline": "a\nb",
    "a tab": "a\tb",
    "a control character": "a\x01b",
    "a dollar sign": "$where",
    "a dot": "a.b",
    "an underscore inside": "a_b",
    "a path to a design document": "x/_design/x",
    "a number": "1",
    "a negative number": "-1",
    "a word of JSON": "null",
    "a list of JSON": '["a"]',
    "24 hexadecimal digits": "0123456789abcdef01234567",
    "a JavaScript name": "constructor",
    "upper case": "ADA",
    "an accent": "é",
    "a decomposed accent": "e\u0301",
    "an emoji": "😀",
    "an emoji of several code points": "👩‍🚀",
    "right to left": "שלום",
    "a line separator": "a\u2028b",
    "a noncharacter": "a\uffff",
    "500 characters": "x" * 500,
    "500 characters beyond ASCII": "é" * 500,
    "as many bytes as are allowed": "x" * MAX_ID_BYTES,
}

BAD: Final[dict[str, Any]] = {
    "an empty id": "",
    "a leading underscore": "_a",
    "a design document": "_design/a",
    "an endpoint of CouchDB": "_all_docs",
    "a NUL": "a\0b",
    "a NUL alone": "\0",
    "one dot": ".",
    "two dots": "..",
    "a lone surrogate": "a\ud800",
    "one byte too many": "x" * (MAX_ID_BYTES + 1),
    "too many bytes in few characters": "😀" * 520,
    "100 kB": "x" * 100_000,
    "a number that is no text": 1,
    "none": None,
    "bytes": b"a",
}

CALLS: Final[dict[str, Callable[[Store, Any], Any]]] = {
    "get": lambda store, id: store.get(id),
    "update": lambda store, id: store.update(id, {"a": 1}),
    "replace": lambda store, id: store.replace(id, {"a": 1}),
    "put": lambda store, id: store.put(id, {"a": 1}),
    "delete": lambda store, id: store.delete(id),
}

each_bad = pytest.mark.parametrize("id", BAD.values(), ids=BAD)
each_good = pytest.mark.parametrize("id", GOOD.values(), ids=GOOD)


class Ids(StoreChecks):
    """Ids of every kind."""

    @each_good
    def test_id_works_through_a_documents_life(self, store: Store, id: str) -> None:
        created = store.create({"n": 1}, id=id)
        assert (created.id, store.get(id).id, id in store) == (id, id, True)
        assert store.update(id, {"m": 2}) == {"n": 1, "m": 2}
        assert store.replace(id, {"n": 3}).id == id
        assert store.get_many([id]) == [{"n": 3}]
        store.delete(id)
        assert id not in store

    @each_good
    def test_id_is_found_as_it_was_given(self, store: Store, id: str) -> None:
        store.put(id, {"n": 1})
        assert ([found.id for found in store.find({"n": 1})], list(store.ids())) == ([id], [id])

    @each_good
    def test_id_works_in_bulk(self, store: Store, id: str) -> None:
        assert store.create_many([(id, {"n": 1})])[0].id == id
        assert store.update_many({id: {"n": 2}})[0].id == id
        assert store.delete_many([id]) == [id]

    def test_ids_are_all_different_documents(self, store: Store) -> None:
        store.create_many((id, {"id": id}) for id in GOOD.values())
        found: list[Any] = store.get_many(GOOD.values())
        assert [document["id"] for document in found] == list(GOOD.values())
        assert sorted(store.ids()) == sorted(GOOD.values())
        assert [store.get(id)["id"] for id in GOOD.values()] == list(GOOD.values())

    @each_bad
    def test_id_is_refused_by_every_call(self, store: Store, id: Any) -> None:
        for name, call in CALLS.items():
            with pytest.raises(InvalidID):
                pytest.fail(f"{name} answered {call(store, id)!r}")

    @each_bad
    def test_no_document_has_the_id(self, store: Store, id: Any) -> None:
        store.create({"a": 1}, id="one")
        store.create({"a": 2}, id="two")
        assert (store.get(id, "none"), id in store) == ("none", False)
        assert store.get_many(["one", id, "two"], "none") == [{"a": 1}, "none", {"a": 2}]

    @pytest.mark.parametrize(
        "id", [id for id in BAD.values() if id is not None], ids=[name for name in BAD if name != "none"]
    )
    def test_id_is_refused_by_create(self, store: Store, id: Any) -> None:
        with pytest.raises(InvalidID):
            store.create({"a": 1}, id=id)

    @each_bad
    def test_id_is_refused_in_bulk(self, store: Store, id: Any) -> None:
        for error in (failing(lambda: store.update_many([(id, {"a": 1})])), failing(lambda: store.delete_many([id]))):
            assert [type(item) for item in error.results] == [InvalidID]
