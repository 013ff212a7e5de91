"""What the fuzz tests share: values of every shape, and the rule that a call answers or raises an error of Divan's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import divan
from divan import Increment, Store
from hypothesis import strategies as st

texts: Final = (
    st.text()
    | st.text(st.sampled_from("ab_$.\0\ud800\udfff\uffff😀%/:?&=@#[]{}\"'\\ \n"))
    | st.sampled_from(["_id", "_rev", "__proto__", "$where", "a.b", "\x1e", "NaN", "null", "9" * 400, "a" * 3000])
)
"""Text, lone surrogates and names that mean something to some store included."""

scalars: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.binary(max_size=8)
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.complex_numbers()
)
"""Values that a caller may give by mistake, among those that can be stored."""

junk: Final = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
        | st.frozensets(scalars, max_size=2)
    ),
    max_leaves=8,
)
"""Whatever a caller may give in place of a document, a filter or a change."""

_OPERATORS: Final = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$all", "$size", "$contains", "$prefix", "$not",
    "$and", "$or", "$nor", "$where", "$regex", "$elemMatch", "$",
)  # fmt: skip

filters: Final = st.recursive(
    junk,
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "a.b", "_id", "list.0", ""]) | texts, inner, max_size=2)
        | st.dictionaries(st.sampled_from(_OPERATORS), inner, max_size=2)
        | st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=2), max_size=1)
    ),
    max_leaves=5,
)
"""What looks like a filter, more or less."""

READS: Final[dict[str, Callable[[Store, str], Any]]] = {
    "get": lambda store, id: store.get(id, None),
    "in": lambda store, id: id in store,
    "get_many": lambda store, id: store.get_many([id, "nobody"]),
    "find": lambda store, id: list(store.find({"a": {"$ne": 1}})),
    "find in order": lambda store, id: list(store.find({"a": {"$exists": True}}, sort=["a", "-_id"])),
    "find by id": lambda store, id: list(store.find({"_id": id})),
    "iter": lambda store, id: list(store),
    "ids": lambda store, id: list(store.ids()),
    "count": lambda store, id: store.count({"a": {"$gte": 0}}),
    "explain": lambda store, id: store.explain({"a": 1}),
}
"""Calls that read."""

WRITES: Final[dict[str, Callable[[Store, str], Any]]] = {
    "update": lambda store, id: store.update(id, {"b": 1}),
    "update with Increment": lambda store, id: store.update(id, {"a": Increment(1)}),
    "update_many": lambda store, id: store.update_many({id: {"b": 2}}),
    "replace": lambda store, id: store.replace(id, {"a": 1}),
    "put": lambda store, id: store.put(id, {"a": 1}),
    "delete": lambda store, id: store.delete(id),
}
"""Calls that write."""


def answered(call: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a call returned; it may also raise an error of Divan's, and a `TypeError` where it was given nonsense.

    Any other exception is a fault, and leaves here.
    """
    try:
        call(*arguments)
    except (divan.DivanError, TypeError):
        return False
    return True


def listed(store: Store) -> set[str | None]:
    """The ids of all documents, and of the errors that stand for some: the iterator goes on after each."""
    seen: set[str | None] = set()
    found = iter(store)
    while True:
        try:
            seen.add(next(found).id)
        except StopIteration:
            return seen
        except divan.StoreError as error:
            seen.add(error.document_id)


def use_beside(store: Store, id: str, stored: Callable[[], Any]) -> None:
    """Read and write a document that another program wrote, beside one that is whole.

    No read changes it, and no write that raises.

    Args:
        store: The Store, which holds the document ``"good"``.
        id: The document's id.
        stored: What the server holds of the document, read by its own client.
    """
    before = stored()
    for name, read in READS.items():
        answered(read, store, id)
        assert stored() == before, name
    for name, write in WRITES.items():
        if not answered(write, store, id):
            assert stored() == before, name
        before = stored()
    assert store["good"] == {"a": 1}
