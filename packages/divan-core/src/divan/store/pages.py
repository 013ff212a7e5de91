"""Internal: pages by key: where the page after a document begins, as a filter, and as the token that stands for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from divan.documents import Document
from divan.errors import DivanError, InvalidQuery, StoreError, shown
from divan.query import ID_PATH, MISSING, And, Comparison, Node, Not, Or, Query, SortKey, rank, resolve
from divan.validation import INT_MAX, check_id, validate_document

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    D = TypeVarWithDefault("D", default=Document)
else:
    D = TypeVar("D")

BY_ID: Final = SortKey("_id", False, ID_PATH)
"""What pages are sorted by that are sorted by nothing else."""


class Page(NamedTuple, Generic[D]):
    """One page of what a query finds.

    Attributes:
        items: The documents.
        next: The token of the page after it, for `Store.page`; `None` if this is the last.
    """

    items: list[D]
    next: str | None


class Position(NamedTuple):
    """A place in the order of a query's documents.

    Attributes:
        values: The value of each of the sort's keys, in stored form; `MISSING` for a field that is not there.
        id: The id of the document there.
    """

    values: tuple[Any, ...]
    id: str


def position_of(document: Document, keys: Sequence[SortKey]) -> Position:
    """Where a document stands.

    Args:
        document: The document, in stored form.
        keys: The sort's keys.

    Raises:
        StoreError: if it is sorted by a value that no token can hold, such as a date of MongoDB's.
    """
    values = tuple(document.id if key.path == ID_PATH else resolve(document, key.path) for key in keys)
    for key, value in zip(keys, values, strict=True):
        if rank(value) == 7 or value != value:
            raise StoreError(
                f"no page can begin after document {shown(document.id)}, which is sorted by {key.field}: "
                f"{shown(value)} is no JSON value; sort by another field",
                document_id=document.id,
            )
    return Position(values, document.id)


# Tokens


def make_token(position: Position, query: Query, keys: Sequence[SortKey]) -> str:
    """The token that stands for a position in what a query finds: URL-safe, and good for that query alone.

    Args:
        position: Where the next page begins: after this.
        query: The filter.
        keys: The sort's keys.
    """
    values = [[] if value is MISSING else [value] for value in position.values]
    text = json.dumps([position.id, *values], ensure_ascii=False, separators=(",", ":"))
    raw = text.encode()
    return base64.urlsafe_b64encode(_seal(raw, query, keys) + raw).rstrip(b"=").decode()


def read_token(token: str, query: Query, keys: Sequence[SortKey]) -> Position:
    """The position that a token stands for.

    Args:
        token: What `make_token` made.
        query: The filter.
        keys: The sort's keys.

    Raises:
        InvalidQuery: if it is none of this query's.
    """
    if not isinstance(token, str):
        raise InvalidQuery(f"after takes the token of a page, a string; {shown(token)} is {type(token).__name__}")
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        _refuse(token)
    seal, raw = raw[:_SEAL_SIZE], raw[_SEAL_SIZE:]
    if seal != _seal(raw, query, keys):
        _refuse(token)
    try:
        id, *values = json.loads(raw)
        validate_document({"values": values})
        position = Position(tuple(value[0] if value else MISSING for value in values), check_id(id))
    except (ValueError, TypeError, LookupError, RecursionError, DivanError):  # somebody made it
        _refuse(token)
    if len(values) != len(keys):
        _refuse(token)
    return position


def _refuse(token: str) -> NoReturn:
    raise InvalidQuery(
        f"{shown(token)} is not the token of a page of this query; a token goes with the filter and the sort that it "
        "came from"
    ) from None


_SEAL_SIZE: Final = 8


def _seal(raw: bytes, query: Query, keys: Sequence[SortKey]) -> bytes:
    """What ties a token's text to its query: it tells mistakes, and is no signature."""
    from hashlib import blake2b  # which `import divan` need not wait for

    sort = [(key.field, key.descending) for key in keys]
    text = json.dumps([query, sort], sort_keys=True, default=repr)
    return blake2b(text.encode() + b"\0" + raw, digest_size=_SEAL_SIZE).digest()


# Filters


def parts_after(query: Query, keys: Sequence[SortKey], position: Position) -> Iterator[Query]:
    """What a query finds after a position, in parts that follow one another: each a filter that an index may serve.

    The first holds what has a value of the same type in the first of the sort's keys; the second, the types after it.

    Args:
        query: The filter.
        keys: The sort's keys; at least one.
        position: The position.
    """
    key, value = keys[0], position.values[0]
    rest = _after(keys, position.values, position.id)
    if key.path == ID_PATH:
        yield _narrowed(query, rest)
        return
    if rank(value) < 2:  # of which there is one value alone
        yield _narrowed(query, rest)
    else:
        yield _narrowed(query, Comparison(key.path, "$lte" if key.descending else "$gte", value), rest)
    later = _later_types(key, value)
    if later is not None:
        yield _narrowed(query, later)


def _narrowed(query: Query, *nodes: Node) -> Query:
    flat = [item for node in nodes for item in (node.items if isinstance(node, And) else (node,))]
    return Query(And((*query.tree.items, *flat)))


def _after(keys: Sequence[SortKey], values: Sequence[Any], id: str) -> Node:
    """What stands after a position, if its first key holds a value of the same type."""
    if not keys:
        return Comparison(ID_PATH, "$gt", id)
    key, value = keys[0], values[0]
    if key.path == ID_PATH:
        return Comparison(ID_PATH, "$lt" if key.descending else "$gt", id)
    tied = And((_equal(key, value), _after_of_any_type(keys[1:], values[1:], id)))
    if rank(value) < 2:
        return tied
    return Or((Comparison(key.path, "$lt" if key.descending else "$gt", value), tied))


def _after_of_any_type(keys: Sequence[SortKey], values: Sequence[Any], id: str) -> Node:
    node = _after(keys, values, id)
    later = _later_types(keys[0], values[0]) if keys and keys[0].path != ID_PATH else None
    return node if later is None else Or((node, later))


def _equal(key: SortKey, value: Any) -> Node:
    return Comparison(key.path, "$exists", False) if value is MISSING else Comparison(key.path, "$eq", value)


def _later_types(key: SortKey, value: Any) -> Node | None:
    """What holds a value of a type that comes after this one's; `None` if none does."""
    kind = rank(value)
    if key.descending:
        return Or(_of_types(key.path, kind)) if kind else None
    if kind == 0:
        return Comparison(key.path, "$exists", True)
    return Not(Or(_of_types(key.path, kind + 1)))  # what is none of JSON's comes last, and has no filter of its own


def _of_types(path: tuple[str, ...], number: int) -> tuple[Node, ...]:
    """One filter for each of the first types, by their places in a sort."""
    types: tuple[Node, ...] = (
        Comparison(path, "$exists", False),
        Comparison(path, "$eq", None),
        Comparison(path, "$gte", False),
        Or((Comparison(path, "$lt", 0), Comparison(path, "$gte", 0))),
        Comparison(path, "$gte", ""),
        Comparison(path, "$gte", []),
        Comparison(path, "$gte", {}),
    )
    return types[:number]


def read_page(
    find: Callable[[Query, int], Iterator[Any]], parts: Iterator[Query], limit: int
) -> tuple[list[Any], bool]:
    """The first documents of some parts of a query, and whether there are more.

    Args:
        find: Finds so many documents at most of a part, in the order of the sort.
        parts: The parts, in order.
        limit: How many documents are wanted.

    Raises:
        StoreError: if one of them can't be read.
    """
    found: list[Any] = []
    for part in parts:
        for raw in find(part, min(limit + 1 - len(found), INT_MAX)):
            if isinstance(raw, DivanError):
                raise raw
            found.append(raw)
        if len(found) > limit:
            return found[:limit], True
    return found, False
