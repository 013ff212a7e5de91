"""Internal: the Store: one API that answers the same on every backend; `divan.Store` is its public name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, Self, TypeVar, cast, overload

from divan.backends.base import BaseDivanBackend
from divan.backends.driver import Driver, is_told_of_fresh_ids, taken_arguments, takes_nested_changes
from divan.backends.support import attempt
from divan.documents import Document
from divan.errors import (
    BulkError,
    DivanError,
    DocumentNotFound,
    InvalidDocument,
    InvalidID,
    InvalidQuery,
    RevisionConflict,
    StoreClosed,
    UnsupportedOperation,
    shown,
)
from divan.query import (
    And,
    Explanation,
    Query,
    SortKey,
    comparisons,
    is_about_id,
    parse,
    parse_bound,
    parse_fields,
)
from divan.serializers import FieldSerializer, resolve_schema
from divan.store.bulk import batches, check_answers, check_ids, pair, run_bulk
from divan.store.codec import Codec
from divan.store.events import Events, PluginSet
from divan.store.expiry import Clock, ExpiringDriver, Expiry, read_expiry, system_clock
from divan.store.pages import BY_ID, Page, make_token, parts_after, position_of, read_page, read_token
from divan.store.queries import Queries
from divan.store.results import Results
from divan.store.schemas import Model, read_schema
from divan.store.watching import Watch
from divan.store.where import WhereWriter
from divan.store.writing import Guard, Puts
from divan.updates import Change, apply_changes
from divan.validation import check_id

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from divan.documents import Id

    D = TypeVarWithDefault("D", default=Document)
else:
    D = TypeVar("D")
"""What a Store hands back for a document: `Document`, or the schema's class."""

_T = TypeVar("_T")

_UPDATE_ATTEMPTS: Final = 1000  # each of which fails only because somebody else's write did not


class Store(Generic[D]):
    """The documents of one database, in whichever store holds them. May be shared between threads.

    Made by `divan.open`. Wherever a call takes an id it takes a `Document` too. A write is blind unless it is given a
    revision. Where the schema is a class (a dataclass, say), calls take and give its instances in place of `Document`s.

    Args:
        backend: The open driver.
        name: The backend's name.
        url: How the Store is shown; without secrets.
        schema: Dotted path → field type, or a class; see `divan.open`.
        allow_scans: Whether a query may read every document.
        expires: The field by which documents expire; `None` for none.
        clock: What time it is, for them: gives an aware datetime.
        plugins: The loaded plugins.

    Attributes:
        backend: The driver; its `db` is the store's native handle.
        name: The backend's name, such as ``"sqlite"``.
        url: The URL, its secrets shown as ``***``.
        expires: The field by which documents expire; `None` for none.
        fields: Dotted path → the serializer of the field's type, for the fields of the schema that need one.
    """

    def __init__(
        self,
        backend: BaseDivanBackend,
        *,
        name: str,
        url: str,
        schema: Any = None,
        allow_scans: bool = True,
        expires: str | None = None,
        clock: Clock | None = None,
        plugins: PluginSet,
    ) -> None:
        self.backend = backend
        self.name = name
        self.url = url
        # Replaced, when the Store is closed, by one that refuses everything.
        self._backend = cast(Driver, backend)
        self._allow_scans = allow_scans
        fields: dict[str, FieldSerializer] = {}
        links: Mapping[str, str] = {}
        model: Model | None = None
        field_types: Mapping[str, Any] = {}
        expiry: Expiry | None = None

        def resolve(types: Mapping[str, Any]) -> dict[str, FieldSerializer]:
            return resolve_schema(types, name, backend.default_serializers, plugins.serializers(name))

        if schema is not None:
            field_types, links, model = read_schema(schema)
            fields = resolve(field_types)
        if expires is not None:
            expiry = read_expiry(expires, clock or system_clock, schema, field_types, resolve)
            fields[expires] = expiry.serializer
        self.expires = expires
        self._expiry = expiry
        self.fields: Mapping[str, FieldSerializer] = fields
        self._codec = Codec(backend, fields, links, model)
        self._encode = self._codec.encode_whole
        self._give: Callable[[Document], D] = self._codec.give
        self._document = self._codec.document
        self._found = self._codec.found if model is None else self._codec.found_instance
        self._takes = taken_arguments(type(backend))
        if expiry is not None:
            self._backend = cast(Driver, ExpiringDriver(backend, self._codec, expiry, self._takes))
        self._queries = Queries(type(backend), self._takes, self._codec)
        self._puts = Puts(type(backend), self._takes)
        from divan.ids import new_id  # 2 ms that `import divan` need not spend

        self._new_id = new_id
        self._makes_ids = "document_id" in self._takes["create"]
        self._tells_fresh = is_told_of_fresh_ids(type(backend), "create")
        self._tells_all_fresh = is_told_of_fresh_ids(type(backend), "create_many")
        self._nests = takes_nested_changes(type(backend))
        self._events = Events(self, plugins)

    # One document

    def create(self, data: Mapping[str, Any] | D, id: Id | None = None) -> D:
        """Store a new document.

        Args:
            data: Field name → value. It is not changed.
            id: The document's id; `None` for the one that an instance of the schema's class holds, or to have one made
                (a UUIDv7).

        Returns:
            The document as stored.

        Raises:
            DocumentExists: if the id is taken.
            InvalidDocument: if the data or the id can't be stored by every store alike.
        """
        given = self._codec.fields_of(data)
        known = self._codec.id_given(id) if id is not None else self._codec.id_in(data)
        id = self._id_to_create(known)
        fields, made = self._encode(given, id, data)
        if self._events.asks:
            self._events.ask("create", id, given)
        if id is None:
            stored = self._backend.create(fields)
        elif known is None and self._tells_fresh:
            stored = self._backend.create(fields, document_id=id, fresh=True)
        else:
            stored = self._backend.create(fields, document_id=id)
        return self._done("create", stored, fields, made)

    def _id_to_create(self, id: str | None) -> str | None:
        """The id to create a document under; `None` where only the store makes ids."""
        if id is None:
            return self._new_id() if self._makes_ids else None
        if not self._makes_ids:
            raise self._unsupported("create(document_id=…)")
        return check_id(id)

    @overload
    def get(self, id: Id | Document | D, *, fields: None = ...) -> D: ...
    @overload
    def get(self, id: Id | Document | D, *, fields: Iterable[str]) -> Document: ...
    @overload
    def get(self, id: Id | Document | D, default: _T, *, fields: None = ...) -> D | _T: ...
    @overload
    def get(self, id: Id | Document | D, default: _T, *, fields: Iterable[str]) -> Document | _T: ...
    def get(self, id: Id | Document | D, default: Any = ..., *, fields: Iterable[str] | None = None) -> Any:
        """Fetch a document.

        Args:
            id: Its id, or the `Document`, to fetch it anew.
            default: What to return if there is none.
            fields: Dotted paths to return; `None` for the whole document.

        Returns:
            The document; with `fields` a `Document`, whatever the schema.

        Raises:
            DocumentNotFound: if there is none and no `default` was given.
            InvalidID: if no document can have this id, and no `default` was given.
            InvalidQuery: if a field can't be one.
        """
        names = parse_fields(fields)
        try:
            checked = self._id_of(id)
        except InvalidID:
            if default is ...:
                raise
            return default
        try:
            if names is not None:
                return self._document(self._queries.get(self._backend, checked, names))
            return self._give(self._document(self._backend.get_document_for_id(checked)))
        except DocumentNotFound:
            if default is ...:
                raise
            return default

    def __getitem__(self, id: Id | Document | D) -> D:
        return self.get(id)

    def __contains__(self, id: object) -> bool:
        try:
            self._backend.get_document_for_id(self._id_of(id))
        except (InvalidID, DocumentNotFound):
            return False
        return True

    def update(self, id: Id | Document | D, changes: Mapping[str, Any], rev: str | None = None) -> D:
        """Merge fields into a document, in one atomic step: concurrent updates of other fields are kept.

        Args:
            id: The document's id, or the `Document`.
            changes: Field name, or dotted path into nested objects, → new value; `None` is stored as null,
                `divan.REMOVE` removes the field, `divan.Increment` adds to the number in it, and `divan.Append` and
                `divan.Discard` add and remove items of the list in it. Missing objects on a path are made.
            rev: The revision that the document must still have; `None` to update whatever is there.

        Returns:
            The document as stored.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has changed since `rev`.
            InvalidDocument: if a value can't be stored by every store alike, or can't be incremented, what a list is
                wanted for is none, or something else than an object is on a path; nothing is written then.
        """
        id, guard = self._target("update", id, rev)
        change = self._change(id, changes)
        return self._done("update", self._update(change, guard), change.written)

    def _update(self, change: Change, guard: Guard) -> Any:
        """Make an update, unless the schema's class would refuse what it leaves; what the driver returns.

        What a class may refuse for what several fields hold, or for a sum, is judged of the document as it is, and
        written only if that is still there.
        """
        id = change.document_id
        if change.nested and not self._nests:
            return self._update_nested(change, guard)
        if self._codec.judges_alone(change):
            self._codec.check_change(change)
            return self._backend.update(id, change.data, **change.operators, **guard)
        for _ in range(_UPDATE_ATTEMPTS):
            current = self._codec.adopt(self._backend.get_document_for_id(id))
            rev = guard.get("rev")
            if rev is not None and rev != current.rev:
                break
            self._codec.check(apply_changes(current, *change[1:]), id)
            if current.rev is not None and "rev" in self._takes["update"]:
                guard["rev"] = current.rev
            try:
                return self._backend.update(id, change.data, **change.operators, **guard)
            except RevisionConflict:
                if rev is not None:
                    raise
                guard.pop("rev", None)
                guard.pop("document", None)
        raise RevisionConflict(id, guard.get("rev"))

    def _update_nested(self, change: Change, guard: Guard) -> Any:
        """Make changes at paths and to lists for a driver that can't: read, change, and write by revision."""
        id = change.document_id
        rev = guard.get("rev")
        guard.pop("document", None)
        for _ in range(_UPDATE_ATTEMPTS):
            current = self._codec.adopt(self._backend.get_document_for_id(id))
            if rev is not None and rev != current.rev:
                break
            if current.rev is None:
                raise self._unsupported("get_revision_for_document()")
            fields = apply_changes(current, *change[1:])
            self._codec.check(fields, id)
            names = {*change.data, *change.remove, *change.increment, *(step.path[0] for step in change.nested)}
            data = {name: fields[name] for name in names if name in fields}
            plain = Change(id, data, tuple(name for name in names if name in current and name not in fields))
            guard["rev"] = current.rev
            if "document" in self._takes["update"] and current.native is not None:
                guard["document"] = current.native
            try:
                return self._backend.update(id, plain.data, **plain.operators, **guard)
            except RevisionConflict:
                if rev is not None:
                    raise
        raise RevisionConflict(id, rev)

    def _update_each(self, changes: list[Change]) -> Sequence[Any]:
        """Make a batch of updates as `_update` makes one, with one result each: together if all are judged alone."""
        if not all(map(self._codec.judges_alone, changes)):
            return [attempt(self._update, change, Guard()) for change in changes]
        refusals = [attempt(self._codec.check_change, change) for change in changes]
        sent = [change for change, refusal in zip(changes, refusals, strict=True) if refusal is None]
        answers = iter(self._backend.update_many(sent) if sent else ())
        return [next(answers) if refusal is None else refusal for refusal in refusals]

    def _change(self, id: str, changes: Mapping[str, Any]) -> Change:
        """One document's update in stored form, which the driver can make and no plugin has refused."""
        change = self._encode_changes(id, changes)
        if self._events.asks:
            self._events.ask("update", id, changes)
        return change

    def _encode_changes(self, id: str, changes: Mapping[str, Any]) -> Change:
        try:
            change = Change(id, *self._codec.encode_changes(changes))
        except InvalidDocument as error:
            error.document_id = error.document_id or id or None
            raise
        if self._expiry is not None:
            self._expiry.check_change(change)
        if change.remove:
            self._require("update", "remove")
        if change.increment:
            self._require("update", "increment")
        if change.nested and not self._nests:
            self._require("update", "rev")
            if not self.backend.implements("get_document_for_id"):
                raise self._unsupported("get_document_for_id()")
        return change

    def replace(self, id: Id | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        """Overwrite a whole document, which must exist.

        Args:
            id: The document's id, or the `Document`.
            data: Field name → value: all that the document will hold.
            rev: The revision that the document must still have; `None` to overwrite whatever is there.

        Returns:
            The document as stored.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has changed since `rev`.
            InvalidDocument: if the data can't be stored by every store alike.
        """
        id, guard = self._target("replace", id, rev)
        given = self._codec.fields_of(data)
        fields, made = self._encode(given, id, data)
        if self._events.asks:
            self._events.ask("replace", id, given)
        return self._done("replace", self._backend.replace(id, fields, **guard), fields, made)

    def put(self, id: Id | Document | D, data: Mapping[str, Any] | D, rev: str | None = None) -> D:
        """Create a document, or overwrite the whole of it if it exists.

        Args:
            id: The document's id, or a `Document` with it.
            data: Field name → value: all that the document will hold.
            rev: The revision that the document must still have; `None` to overwrite whatever is there, or nothing.

        Returns:
            The document as stored.

        Raises:
            RevisionConflict: if it has changed since `rev`, or is gone.
            InvalidDocument: if the data or the id can't be stored by every store alike.
        """
        id, guard = self._target("replace", id, rev)
        given = self._codec.fields_of(data)
        fields, made = self._encode(given, id, data)
        if self._events.asks:
            self._events.ask("put", id, given)
        return self._done("put", self._puts.put(self._backend, id, fields, guard), fields, made)

    def delete(self, id: Id | Document | D, rev: str | None = None) -> None:
        """Delete a document.

        Args:
            id: The document's id, or the `Document`.
            rev: The revision that the document must still have; `None` to delete whatever is there.

        Raises:
            DocumentNotFound: if there is no such document.
            RevisionConflict: if it has changed since `rev`.
        """
        id, guard = self._target("delete", id, rev)
        if self._events.asks:
            self._events.ask("delete", id, None)
        self._backend.delete(id, **guard)
        if self._events.tells:
            self._events.tell("delete", id, None)

    # Many documents

    @overload
    def find(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        limit: int | None = ...,
        skip: int = ...,
        fields: None = ...,
    ) -> Iterator[D]: ...
    @overload
    def find(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        limit: int | None = ...,
        skip: int = ...,
        fields: Iterable[str],
    ) -> Iterator[Document]: ...
    def find(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        limit: int | None = None,
        skip: int = 0,
        fields: Iterable[str] | None = None,
    ) -> Iterator[Any]:
        """The documents that match a filter, streamed.

        Args:
            where: The filter; `None` or ``{}`` matches everything. The document's id is the field ``_id``.
            sort: ``"field"``, ``"-field"`` for descending, or a list of them; missing first, ties by id. Without one,
                the order is the store's.
            limit: How many to return at most.
            skip: How many to leave out first.
            fields: Dotted paths to return; `None` for whole documents.

        Returns:
            An iterator; nothing but a sort that the store can't do holds the whole result in memory. With `fields` it
            yields `Document`s, whatever the schema.

        Raises:
            InvalidQuery: if an argument can't be understood, or the query would scan where scans are not allowed.
        """
        return self._results(where, sort, limit, skip, fields)

    def _results(
        self,
        where: Mapping[str, Any] | None,
        sort: str | Iterable[str] | None,
        limit: int | None,
        skip: int,
        fields: Iterable[str] | None,
    ) -> Results:
        query = self._codec.query(where)
        keys = self._codec.sort_keys(sort)
        parse_bound("limit", limit)
        parse_bound("skip", skip)
        names = parse_fields(fields)
        self._refuse_scan(query, keys)
        source = self._queries.find(self._backend, query, keys, limit, skip or 0, names)
        read = self._found if names is None else self._codec.found
        return Results(read, source, self._codec.check_open)

    @overload
    def first(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        fields: None = ...,
    ) -> D | None: ...
    @overload
    def first(
        self,
        where: Mapping[str, Any] | None = ...,
        *,
        sort: str | Iterable[str] | None = ...,
        fields: Iterable[str],
    ) -> Document | None: ...
    def first(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
    ) -> Any:
        """The first of the documents that match a filter.

        Args:
            where: The filter; `None` or ``{}`` matches everything.
            sort: As for `find`; without one, whichever the store gives first.
            fields: Dotted paths to return; `None` for the whole document.

        Returns:
            The document, or `None` if none matches. With `fields` it is a `Document`, whatever the schema.

        Raises:
            InvalidQuery: as for `find`.
        """
        return _only(self._results(where, sort, 1, 0, fields))

    def page(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        sort: str | Iterable[str] | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[D]:
        """One page of the documents that match a filter, and the token of the page after it.

        The next page begins after the last document of this one, wherever that would stand by then: documents that come
        and go meanwhile make no other appear twice or vanish, and the last page costs no more than the first where an
        index serves the sort.

        Args:
            where: The filter; `None` or ``{}`` matches everything.
            sort: As for `find`; without one, the pages are in the order of the ids.
            limit: How many documents make a page at most; from 1.
            after: The token of the page that is wanted, which the page before it gave as its `next`; `None` for the
                first. It is opaque and URL-safe, and holds the values that the last document was sorted by.

        Returns:
            The page.

        Raises:
            InvalidQuery: as for `find`, and if the token is none of this filter's and sort's.
            StoreError: if a document of the page can't be read, or its sort value can't be held by a token.
        """
        query = self._codec.query(where)
        keys = self._codec.sort_keys(sort) or (BY_ID,)
        if not parse_bound("limit", limit):
            raise InvalidQuery(f"limit takes the size of a page, from 1, not {shown(limit)}")
        parts = iter((query,)) if after is None else parts_after(query, keys, read_token(after, query, keys))
        self._refuse_scan(query, keys)

        def find(part: Query, limit: int) -> Iterator[Any]:
            source = self._queries.find(self._backend, part, keys, limit, 0, None)
            return Results(_as_it_is, source, self._codec.check_open)

        found, has_more = read_page(find, parts, limit)
        documents = [self._codec.adopt(raw) for raw in found]
        token = make_token(position_of(documents[-1], keys), query, keys) if has_more else None
        items: list[Any] = [self._found(document) for document in documents]
        return Page(items, token)

    def exists(self, where: Mapping[str, Any] | None = None) -> bool:
        """Whether any document matches a filter; `None` asks whether there is any document.

        Raises:
            InvalidQuery: as for `find`.
        """
        query = self._codec.query(where)
        if query:
            self._refuse_scan(query, ())
        source = self._queries.find(self._backend, query, (), 1, 0, ())
        return _only(Results(self._codec.found_id, source, self._codec.check_open)) is not None

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """How many documents match a filter; `None` counts them all.

        Raises:
            InvalidQuery: as for `find`.
        """
        query = self._codec.query(where)
        if query:
            self._refuse_scan(query, ())
        return self._queries.count(self._backend, query)

    def explain(
        self, where: Mapping[str, Any] | None = None, *, sort: str | Iterable[str] | None = None
    ) -> Explanation:
        """How the store would answer `find`: what it does itself, what the matcher finishes, which index serves it.

        Raises:
            InvalidQuery: as for `find`.
        """
        return self._queries.explain(self._backend, self._codec.query(where), self._codec.sort_keys(sort))

    def __iter__(self) -> Iterator[D]:
        return Results(self._found, self._backend.iter_documents(), self._codec.check_open)

    def ids(self, prefix: str = "") -> Iterator[str]:
        """The ids of all documents, streamed, in the store's order.

        Args:
            prefix: How the ids begin that are wanted; ``""`` for all.

        Raises:
            InvalidQuery: if `prefix` is no string, or the query would scan where scans are not allowed.
        """
        if prefix != "":
            query = parse({"_id": {"$prefix": prefix}})
            self._refuse_scan(query, ())
            source = self._queries.find(self._backend, query, (), None, 0, ())
            return Results(self._codec.found_id, source, self._codec.check_open)
        if "fields" in self._takes["find"]:
            source = self._backend.find(parse(None), fields=())
        else:
            source = self._backend.iter_documents()
        return Results(self._codec.found_id, source, self._codec.check_open)

    def ensure_index(self, *fields: str) -> str | None:
        """Make `find` on these fields fast, where the store can.

        Args:
            *fields: Dotted paths; several make one index over all of them, in this order.

        Returns:
            The index's name, or `None` if the store has no indexes; queries answer the same with and without.

        Raises:
            InvalidQuery: if a field can't be one.
        """
        names = parse_fields(fields)
        if "_id" in fields:
            raise InvalidQuery("_id needs no index: every store finds documents by their id; leave it out")
        if not names:
            raise InvalidQuery("ensure_index() takes at least one field")
        return self._backend.ensure_index(*names)

    # Bulk

    def create_many(self, documents: Iterable[Mapping[str, Any] | D | tuple[Id, Mapping[str, Any] | D]]) -> list[D]:
        """Create many documents, in batches.

        Args:
            documents: Mappings of field names to values, or pairs of an id and such a mapping.

        Returns:
            The documents as stored, in order.

        Raises:
            BulkError: if some failed; the others are stored, and its `results` hold one entry per document.
        """
        is_plain = self._codec.is_plain

        def prepare(item: Any) -> tuple[str | None, dict[str, Any]]:
            id, data = pair(item, "data") if isinstance(item, tuple) else (None, item)
            given = data
            if not is_plain:
                given = self._codec.fields_of(data)
                id = self._codec.id_in(data) if id is None else self._codec.id_given(id)
            known, id = id, self._id_to_create(id)
            fields, instance = self._encode(given, id, data)
            if id is not None and instance is not None:
                instances[id] = instance, fields
            if known is None and id is not None and self._tells_all_fresh:
                made.add(id)
            if self._events.asks:
                self._events.ask("create", id, given)
            return id, fields

        def send(batch: list[Any]) -> Sequence[Any]:
            if not self._tells_all_fresh:
                return self._backend.create_many(batch)
            fresh = frozenset(made)
            made.clear()
            return self._backend.create_many(batch, fresh=fresh)

        made: set[str] = set()  # the ids of this batch that nobody else knows
        instances: dict[str, tuple[Any, dict[str, Any]]] = {}  # by id: what was made of its fields, and these
        return self._bulk("create", documents, prepare, send, instances)

    def put_many(
        self,
        items: Mapping[str, Mapping[str, Any] | D]
        | Iterable[Document | D | tuple[Id | Document | D, Mapping[str, Any] | D]],
    ) -> list[D]:
        """Create many documents, or overwrite the whole of those that exist, in batches; each as `put` does.

        Args:
            items: Id → data, or pairs of an id and data; a `Document`, or an instance of the schema's class, stands for
                its id and its fields.

        Returns:
            The documents as stored, in order.

        Raises:
            BulkError: if some failed; the others are stored, and its `results` hold one entry per item.
        """

        def prepare(item: Any) -> tuple[str, dict[str, Any]]:
            holds_id = isinstance(item, Document) or self._codec.id_in(item) is not None
            target, data = (item, item) if holds_id else pair(item, "data")
            id = self._id_of(target)
            given = self._codec.fields_of(data)
            fields, instance = self._encode(given, id, data)
            if instance is not None:
                instances[id] = instance, fields
            if self._events.asks:
                self._events.ask("put", id, given)
            return id, fields

        def send(batch: list[Any]) -> Sequence[Any]:
            self._codec.check_open()
            return self._puts.put_many(self._backend, batch)

        instances: dict[str, tuple[Any, dict[str, Any]]] = {}
        return self._bulk("put", items.items() if isinstance(items, Mapping) else items, prepare, send, instances)

    @overload
    def get_many(self, ids: Iterable[Id | Document | D], *, fields: None = ...) -> list[D | None]: ...
    @overload
    def get_many(self, ids: Iterable[Id | Document | D], *, fields: Iterable[str]) -> list[Document | None]: ...
    @overload
    def get_many(self, ids: Iterable[Id | Document | D], default: _T, *, fields: None = ...) -> list[D | _T]: ...
    @overload
    def get_many(
        self, ids: Iterable[Id | Document | D], default: _T, *, fields: Iterable[str]
    ) -> list[Document | _T]: ...
    def get_many(
        self, ids: Iterable[Id | Document | D], default: Any = None, *, fields: Iterable[str] | None = None
    ) -> list[Any]:
        """Fetch many documents, in batches.

        Args:
            ids: Ids or `Document`s.
            default: What stands in the result for a document that does not exist.
            fields: Dotted paths to return; `None` for whole documents.

        Returns:
            One document (or `default`) per id, in order. With `fields` they are `Document`s, whatever the schema.

        Raises:
            InvalidQuery: if a field can't be one.
            BulkError: if some can't be read; its `results` hold one entry per id, the others' documents among them.
        """
        names = parse_fields(fields)
        read = self._read if names is None else self._document
        results: list[Any] = []
        failed = False
        for batch in batches(check_ids("get_many", ids), self.backend.batch_size):
            for answer in self._answers([self._possible_id(id) for id in batch], names):
                result = default if answer is None else attempt(read, answer)
                failed = failed or isinstance(result, DivanError)
                results.append(result)
        if failed:
            raise BulkError("get_many", results)
        return results

    def _possible_id(self, target: Any) -> str | None:
        """The checked id of what a caller gave in place of one; `None` for what can be no document's."""
        try:
            return self._id_of(target)
        except InvalidID:
            return None

    def _answers(self, ids: list[str | None], names: tuple[str, ...] | None) -> Iterable[Any]:
        """What the driver answers to these ids, and `None` for each that no document can have.

        Args:
            ids: The ids.
            names: Dotted paths to return; `None` for whole documents.
        """
        possible = [id for id in ids if id is not None]
        found = self._queries.get_many(self._backend, possible, names) if possible else ()
        check_answers("get_many", possible, found)
        if len(possible) == len(ids):
            return found
        answers = iter(found)
        return [None if id is None else next(answers) for id in ids]

    def _read(self, raw: Any) -> D:
        """What the caller gets for a document that was read."""
        return self._give(self._document(raw))

    def update_many(
        self, changes: Mapping[str, Mapping[str, Any]] | Iterable[tuple[Id | Document | D, Mapping[str, Any]]]
    ) -> list[D]:
        """Update many documents, in batches; each update is as `update` without a revision.

        Args:
            changes: Id → changes, or pairs of an id (or `Document`) and its changes.

        Returns:
            The documents as stored, in order.

        Raises:
            BulkError: if some failed; the others are updated, and its `results` hold one entry per item.
        """

        def prepare(item: Any) -> Change:
            target, wanted = pair(item, "changes")
            return self._change(self._id_of(target), wanted)

        items = changes.items() if isinstance(changes, Mapping) else changes

        def send(batch: list[Change]) -> Sequence[Any]:
            if self._codec.model is not None:
                return self._update_each(batch)
            if not self._nests and any(change.nested for change in batch):
                self._codec.check_open()
                return [attempt(self._update, change, Guard()) for change in batch]
            return self._backend.update_many(batch)

        return self._bulk("update", items, prepare, send)

    def delete_many(self, ids: Iterable[Id | Document | D]) -> list[str]:
        """Delete many documents, in batches.

        Args:
            ids: Ids or `Document`s.

        Returns:
            The ids, in order.

        Raises:
            BulkError: if some failed (`DocumentNotFound`, say); the others are deleted, and its `results` hold one
                entry per id.
        """

        def prepare(item: Any) -> str:
            id = self._id_of(item)
            if self._events.asks:
                self._events.ask("delete", id, None)
            return id

        def settle(sent: list[str], answers: Sequence[Any]) -> list[Any]:
            results = [id if answer is None else answer for id, answer in zip(sent, answers, strict=True)]
            if self._events.tells:
                for result in results:
                    if not isinstance(result, DivanError):
                        self._events.tell("delete", result, None)
            return results

        return run_bulk(
            "delete_many",
            check_ids("delete_many", ids),
            self.backend.batch_size,
            prepare,
            lambda batch: self._backend.delete_many(batch),
            settle,
        )

    # Whatever matches

    def update_where(self, where: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
        """Update every document that matches a filter, each once, as `update` does.

        A document that has ceased to match when it is written is left alone, and what others write meanwhile is kept.

        Args:
            where: The filter; ``{}`` matches everything.
            changes: As for `update`.

        Returns:
            How many documents were updated.

        Raises:
            InvalidQuery: as for `find`.
            InvalidDocument: if a value can't be stored by every store alike.
            BulkError: if some that match could not be updated; the others are. Its `results` hold `None` for each that
                was; if it has a cause, the store stopped answering, and more may match.
        """
        query = self._matching("update", where)
        change = self._encode_changes("", changes)
        takes_document = "document" in self._takes["update"]

        def write(document: Document) -> None:
            if self._events.asks:
                self._events.ask("update", document.id, changes)
            guard = Guard(rev=document.rev or "")
            if takes_document and document.native is not None:
                guard["document"] = document.native
            raw = self._update(change._replace(document_id=document.id), guard)
            if self._events.tells:
                self._done("update", raw, change.written)

        if self._together("update_matching", query) and self._takes_all(change):
            return self._update_matching(query, change, changes)
        # One that takes the document spares itself reading it again.
        return self._write_where("update_where", query, None if takes_document else (), write)

    def delete_where(self, where: Mapping[str, Any]) -> int:
        """Delete every document that matches a filter.

        A document that has ceased to match when it is deleted is left alone.

        Args:
            where: The filter; ``{}`` matches everything.

        Returns:
            How many documents were deleted.

        Raises:
            InvalidQuery: as for `find`.
            BulkError: if some that match could not be deleted; see `update_where`.
        """
        query = self._matching("delete", where)

        def write(document: Document) -> None:
            if self._events.asks:
                self._events.ask("delete", document.id, None)
            self._backend.delete(document.id, rev=document.rev)
            if self._events.tells:
                self._events.tell("delete", document.id, None)

        if not self._together("delete_matching", query):
            return self._write_where("delete_where", query, (), write)

        def ask(id: str) -> None:
            if self._events.asks:
                self._events.ask("delete", id, None)

        def tell(id: str, _: Any) -> None:
            if self._events.tells:
                self._events.tell("delete", id, None)

        return self._write_together(
            "delete_where", query, ask, lambda ids: self._backend.delete_matching(query, ids), tell
        )

    def purge(self) -> int:
        """Delete every document that has expired, in batches; for callers they have been gone before.

        A document that is prolonged meanwhile is left alone. Plugins are neither asked nor told.

        Returns:
            How many documents were deleted.

        Raises:
            UnsupportedOperation: if the Store was opened without `expires`.
            BulkError: if some that have expired could not be deleted; see `update_where`.
        """
        self._codec.check_open()
        if self._expiry is None:
            raise UnsupportedOperation("purge() deletes what has expired; open the store with expires='the field'")
        self._require("delete", "rev")
        query = Query(And((self._expiry.expired(),)))
        driver = cast(Driver, self.backend)  # for which what has expired is there
        found = Results(_as_it_is, self._queries.find(driver, query, (), None, 0, ()), self._codec.check_open)
        writer = WhereWriter(driver, self._codec, query)
        try:
            if not self.backend.implements("delete_matching"):
                return writer.run("purge", found, lambda document: driver.delete(document.id, rev=document.rev))
            size = self.backend.batch_size
            return writer.run_together(
                "purge", found, size, lambda _: None, lambda ids: driver.delete_matching(query, ids), lambda *_: None
            )
        finally:
            found.close()

    # Changes

    def watch(self, since: str | None = None, *, wait: float | None = None) -> Watch:
        """The changes that anybody makes to the documents, as they happen: created, updated, deleted.

        Each comes at least once, and those of one document in the order in which they were made. What is watched is the
        collection, whatever the schema: an event holds an id and a revision, and `get` gives the document as it is now.

        Args:
            since: The `token` of an event, or of an earlier watch, to go on behind it; `None` to begin now.
            wait: How long to wait for the next change, in seconds, before the iterator ends; 0 for what is there
                already, `None` for ever.

        Returns:
            An iterator of `ChangeEvent`s, with `token` (where to resume), `is_behind()` and `close()`.

        Raises:
            InvalidQuery: if `since` is no token of this backend's.
            TokenExpired: from the iterator too, if the store no longer knows what came after it.
            UnsupportedOperation: if the backend, or its server as it is set up, tells of no changes.
        """
        if wait is not None and (isinstance(wait, bool) or not isinstance(wait, int | float) or not wait >= 0):
            raise InvalidQuery(f"wait takes seconds, from 0, or None, not {shown(wait)}")
        return Watch(lambda: self._backend, self.name, since, wait)

    def _update_matching(self, query: Query, change: Change, changes: Mapping[str, Any]) -> int:
        def ask(id: str) -> None:
            if self._events.asks:
                self._events.ask("update", id, changes)

        def send(ids: list[str]) -> Sequence[Any]:
            return self._backend.update_matching(query, [change._replace(document_id=id) for id in ids])

        def tell(_: str, answer: Any) -> None:
            if self._events.tells:
                self._done("update", answer, change.written)

        return self._write_together("update_where", query, ask, send, tell)

    def _together(self, method: str, query: Query) -> bool:
        """Whether a driver writes to a batch of what matches in one call, and understands the filter."""
        return self.backend.implements(method) and (self.backend.takes_id_field or not is_about_id(query.tree))

    def _takes_all(self, change: Change) -> bool:
        """Whether a change may be made in any document, for the driver and for the schema's class."""
        if (change.nested and not self._nests) or not self._codec.judges_alone(change):
            return False
        return attempt(self._codec.check_change, change) is None

    def _write_together(
        self,
        call: str,
        query: Query,
        ask: Callable[[str], None],
        send: Callable[[list[str]], Sequence[Any]],
        tell: Callable[[str, Any], None],
    ) -> int:
        source = self._queries.find(self._backend, query, (), None, 0, ())
        found = Results(_as_it_is, source, self._codec.check_open)
        writer = WhereWriter(self._backend, self._codec, query)
        try:
            return writer.run_together(call, found, self.backend.batch_size, ask, send, tell)
        finally:
            found.close()

    def _matching(self, method: Literal["update", "delete"], where: Mapping[str, Any]) -> Query:
        """The parsed filter of what is to be written, by a driver that can tell whether it still is what was read."""
        if where is None:
            raise InvalidQuery(f"{method}_where() takes a filter; {{}} stands for every document")
        query = self._codec.query(where)
        self._require(method, "rev")
        for needed in ("get_document_for_id", "get_revision_for_document"):
            if not self.backend.implements(needed):
                raise self._unsupported(f"{needed}()")
        self._refuse_scan(query, ())
        return query

    def _write_where(
        self, call: str, query: Query, names: tuple[str, ...] | None, write: Callable[[Document], None]
    ) -> int:
        source = self._queries.find(self._backend, query, (), None, 0, names)
        found = Results(_as_it_is, source, self._codec.check_open)
        try:
            return WhereWriter(self._backend, self._codec, query).run(call, found, write)
        finally:
            found.close()

    def _bulk(
        self,
        operation: Literal["create", "update", "put"],
        items: Iterable[Any],
        prepare: Callable[[Any], Any],
        send: Callable[[list[Any]], Sequence[Any]],
        instances: dict[str, tuple[Any, dict[str, Any]]] | None = None,
    ) -> list[D]:
        """A bulk call whose results are documents."""
        untouched = self._codec.is_plain and not self._events.tells

        def settle(_: list[Any], answers: Sequence[Any]) -> Sequence[Any]:
            if untouched and {Document}.issuperset(map(type, answers)):
                return answers
            settled = [self._settled(operation, answer, instances or {}) for answer in answers]
            if instances:
                instances.clear()
            return settled

        return run_bulk(f"{operation}_many", items, self.backend.batch_size, prepare, send, settle)

    def _settled(self, operation: str, answer: Any, instances: Mapping[str, tuple[Any, dict[str, Any]]]) -> Any:
        """The result of one item of a bulk call."""
        if isinstance(answer, DivanError):
            return answer
        try:
            made, fields = instances.get(answer.id, (None, None)) if answer.__class__ is Document else (None, None)
            return self._done(operation, answer, fields, made)
        except DivanError as error:  # it is stored, but can't be read back
            return error

    def _done(self, operation: str, raw: Any, written: Mapping[str, Any] | None = None, made: D | None = None) -> D:
        """What the caller gets for a document that has been written, of which plugins are told.

        Args:
            operation: The call's name.
            raw: What the driver returned.
            written: The fields that were just written; see `Codec.document`.
            made: The instance of the schema's class that was made of them.
        """
        if made is not None and written is not None and not self._events.tells:
            same: D | None = self._codec.written(raw, written, made)
            if same is not None:
                return same
        document = self._document(raw, written)
        if self._events.tells:
            self._events.tell(operation, document.id, document)
        return self._give(document)

    # The store itself

    def ping(self) -> None:
        """Ask the store for a sign of life.

        Raises:
            ConnectionFailed, AuthenticationFailed, OperationTimeout: if there is none.
        """
        self._backend.ping()

    def close(self) -> None:
        """Release connections. Closing twice is allowed; every other call then raises `StoreClosed`."""
        if isinstance(self._backend, _ClosedBackend):
            return
        reason = f"the store {self.url} is closed; open it again"
        self._backend = cast(Driver, _ClosedBackend(reason))
        self._codec.close(reason)
        self.backend.close()
        self._events.closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.url}>"

    def _target(
        self, method: Literal["update", "replace", "delete"], target: Any, rev: str | None
    ) -> tuple[str, Guard]:
        """The id to write to, and what else the driver is told of the document.

        Raises:
            UnsupportedOperation: if the driver takes no revision, and one was given.
        """
        guard: Guard = {}
        id = self._id_of(target)
        if rev is not None:
            if not isinstance(rev, str):
                raise TypeError(f"rev is a document's revision, a string; {shown(rev)} is {type(rev).__name__}")
            self._require(method, "rev")
            guard["rev"] = rev
        if isinstance(target, Document) and target.native is not None and "document" in self._takes[method]:
            guard["document"] = target.native
        return id, guard

    def _id_of(self, target: Any) -> str:
        """The checked id of what a caller gave in place of one."""
        if target.__class__ is str:
            return check_id(target)
        return check_id(target.id if isinstance(target, Document) else self._codec.id_given(target))

    def _require(self, method: str, argument: str) -> None:
        if argument not in self._takes[method]:
            has_method = self.backend.implements(method)
            raise self._unsupported(f"{method}({argument}=…)" if has_method else f"{method}()")

    def _unsupported(self, what: str) -> UnsupportedOperation:
        return UnsupportedOperation(f"{type(self.backend).__name__} does not implement {what}")

    # Queries

    def _refuse_scan(self, query: Query, keys: tuple[SortKey, ...]) -> None:
        if self._allow_scans:
            return
        if self._queries.explain(self._backend, query, keys).scan:
            names = dict.fromkeys(comparison.field for comparison in comparisons(query.tree))
            fields = ", ".join(map(repr, names)) or "the fields you ask for"
            raise InvalidQuery(
                f"the query {dict(query)!r} would read every document, and this Store was opened with "
                f"allow_scans=False; ensure_index() on {fields} may serve it"
            )


def _only(results: Results) -> Any:
    """The first of some results, or `None`; the store's cursor is let go of."""
    try:
        return next(results, None)
    finally:
        results.close()


def _as_it_is(raw: Any) -> Any:
    return raw


class _ClosedBackend:
    """Stands in for the driver of a closed Store."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        raise StoreClosed(self._reason)
