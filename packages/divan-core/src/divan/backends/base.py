"""`BaseDivanBackend`: the contract between the Store and one store's driver.

A driver overrides five methods; each further one that it overrides makes more of the Store work, or work faster. What a
backend can do is read from what it overrides, and which keyword arguments it takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final, NoReturn

from divan.backends.support import attempt, matching, readable
from divan.changes import ChangeEvent
from divan.errors import DocumentNotFound, StoreError, UnsupportedOperation
from divan.options import Option, Options, Reader, read_options
from divan.query import Explanation, Query, SortKey, parse
from divan.updates import Change, Step, apply_changes

REQUIRED_METHODS: Final = ("connect", "create", "update", "get_id_for_document", "get_document_attr")
OPTIONAL_METHODS: Final = (
    "get_document_for_id", "delete", "replace", "get_revision_for_document", "iter_documents", "find", "count",
    "create_many", "put_many", "get_many", "update_many", "delete_many", "update_matching",
    "delete_matching", "read_changes", "ensure_index", "explain", "ping", "close",
)  # fmt: skip

Serializer = Mapping[str, Any]
"""``{"serialize": callable, "deserialize": callable}``, and optionally ``"ordered"`` and ``"override"``."""


class BaseDivanBackend:
    """One store's driver. It gets and returns plain dicts of JSON values, and never sees a schema or a plugin.

    Args:
        database: What the store calls a database: a name, or a file's path.
        host: Host name, or several as one string; `None` for `default_host`.
        port: Port number; `None` for `default_port`.
        scheme: The URL's scheme, which is one of the driver's names; ``""`` where it is opened by its class.
        **options: The URL's user, password and options, read by `known_options` and kept in `self.options`.

    Attributes:
        default_host: Required. ``""`` is a definition.
        default_port: Required. ``0`` is a definition, and says that the store is embedded.
        default_serializers: `FormField` class name (``"DateField"``) → serializer dictionary.
        exclude_keys: The metadata keys that a fetched document carries.
        known_options: Option → its `divan.options.Option`, or what reads it; `None` if the driver checks them itself.
        scheme_ports: URL scheme → its default port, for those of the driver's schemes that differ from `default_port`.
        takes_id_field: Whether `find`, `count` and `explain` take ``_id`` as a field that holds a document's id; if
            not, the Store finishes what asks for it.
        native_types: Classes of the store's own values (BSON's ObjectId, say) that a document may hold as they are.
        batch_size: How many items the Store puts into one bulk call.
        empty_is_missing: Whether a database without documents is the same as none, so that to open one makes nothing.
        db: The store's native handle: what `connect` returned, or a property of the driver where that returns `None`.

    Raises:
        NotImplementedError: naming the class and the attribute, if a subclass left one of the defaults undefined.
        InvalidURL: naming an option that is not known, or can't be used.
    """

    default_host: ClassVar[str]
    default_port: ClassVar[int]
    default_serializers: ClassVar[Mapping[str, Serializer]] = {}
    exclude_keys: ClassVar[tuple[str, ...]] = ()
    known_options: ClassVar[Mapping[str, Option | Reader] | None] = None
    scheme_ports: ClassVar[Mapping[str, int]] = {}
    takes_id_field: ClassVar[bool] = False
    native_types: ClassVar[tuple[type, ...]] = ()
    batch_size: ClassVar[int] = 500
    empty_is_missing: ClassVar[bool] = False

    database: str
    host: str
    port: int
    scheme: str
    options: Options
    db: Any = None

    def __init__(
        self, database: str, host: str | None = None, port: int | None = None, *, scheme: str = "", **options: Any
    ) -> None:
        options = Options(options)  # by which a traceback that shows this frame hides the secrets
        for attribute in ("default_host", "default_port"):
            if getattr(type(self), attribute, None) is None:
                raise NotImplementedError(f"{type(self).__name__} must define {attribute}")
        self.database = database
        self.host = self.default_host if host is None else host
        self.port = self.scheme_ports.get(scheme, self.default_port) if port is None else port
        self.scheme = scheme
        self.options = Options()  # by which what shows this object can do so if they can't be read
        self.options = self.read_options(options)
        handle = self.connect(self.database, self.host, self.port)
        if handle is not None:  # else the driver may have a property, which can't be set
            self.db = handle

    def read_options(self, given: Mapping[str, Any]) -> Options:
        """Check and read what the constructor was given, by `known_options`.

        A driver overrides this only if its client has options of its own that pass through.

        Args:
            given: Option → text from a URL, or any value given by keyword; ``user`` and ``password`` among them.

        Raises:
            InvalidURL: naming an option that is not known, or can't be used.
        """
        return read_options(self.scheme or type(self).__name__, given, self.known_options)

    # Required

    def connect(self, database: str, host: str, port: int) -> Any:
        """Open the store and return its native handle, which becomes `self.db`.

        A driver whose handle is not the same for good returns `None`, and defines `db` as a property.

        Credentials, timeouts and other options are in `self.options`.
        """
        self._lacks("connect")

    def create(self, data: dict[str, Any]) -> Any:
        """Store a new document and return it as stored, metadata included.

        Keyword arguments that a driver may take:
            document_id (str): the id to store it under; taken → `DocumentExists`.
            fresh (bool): whether the Store has just made that id, so that nobody else knows it.
        """
        self._lacks("create")

    def update(self, document_id: str, data: dict[str, Any]) -> Any:
        """Merge top-level fields into a document in one atomic step and return it as stored.

        Keyword arguments that a driver may take:
            remove (Sequence[str]): fields to remove.
            increment (Mapping[str, int | float]): numbers to add; see `divan.Increment`.
            nested (Sequence[Step]): changes at paths and to lists, as `apply_changes` makes them; only passed to a
                driver that names it, in `update_many` too. For another one the Store reads the document, makes them,
                and has the fields written by revision.
            rev (str | None): the revision that the document must still have, else `RevisionConflict`.
            document (Any): what this driver returned for the document when it was fetched, or `None`.

        Raises:
            DocumentNotFound: if there is no such document.
        """
        self._lacks("update")

    def get_id_for_document(self, document: Any) -> str:
        """The id of a document that this driver returned."""
        self._lacks("get_id_for_document")

    def get_document_attr(self, document: Any, field: str) -> Any:
        """One field of a document that this driver returned; any exception says that it is not there."""
        self._lacks("get_document_attr")

    # Optional

    def get_document_for_id(self, document_id: str) -> Any:
        """Fetch one document.

        Keyword arguments that a driver may take:
            fields (Sequence[str]): the dotted paths that are wanted, beside the metadata; more may be returned.

        Raises:
            DocumentNotFound: if there is no such document.
        """
        self._lacks("get_document_for_id")

    def replace(self, document_id: str, data: dict[str, Any]) -> Any:
        """Overwrite a whole document and return it as stored.

        Keyword arguments that a driver may take:
            rev (str | None), document (Any): as in `update`.
            upsert (bool): create the document if there is none, in the same atomic step.

        Raises:
            DocumentNotFound: if there is no such document and `upsert` is false.
        """
        self._lacks("replace")

    def delete(self, document_id: str) -> None:
        """Delete a document.

        Keyword arguments that a driver may take: rev (str | None), document (Any): as in `update`.

        Raises:
            DocumentNotFound: if there is no such document.
        """
        self._lacks("delete")

    def get_revision_for_document(self, document: Any) -> str | None:
        """The opaque revision of a document that this driver returned."""
        self._lacks("get_revision_for_document")

    def iter_documents(self) -> Iterator[Any]:
        """Stream every document, in any order.

        A document that can't be read stands in the stream as the `StoreError` that says so: the Store raises that, and
        its iterator goes on with the next document.
        """
        if not self.implements("find"):
            self._lacks("iter_documents")
        return self.find(parse(None))

    def find(self, where: Query) -> Iterator[Any]:
        """Stream the documents that match, exactly as ``where.matches`` says; what can't be read as `iter_documents`.

        Keyword arguments that a driver may take; what it does not take, the Store does:
            sort (Sequence[SortKey]): missing first, ties by id; see `divan.query.sort_key`.
            limit (int | None), skip (int): only passed to a driver that also takes `sort`, if there is a sort.
            fields (Sequence[str] | None): dotted paths to return; metadata always is.
        """
        if not self.implements("iter_documents"):
            self._lacks("find")
        return matching(where.matches, self.iter_documents())

    def count(self, where: Query) -> int:
        """How many documents match."""
        if not self.implements("find") and not self.implements("iter_documents"):
            self._lacks("count")
        return sum(1 for _ in readable(self.find(where)))

    def create_many(self, items: Sequence[tuple[str | None, dict[str, Any]]]) -> list[Any]:
        """Create several documents; one result an item, in order: the stored document, or a `DivanError`.

        Args:
            items: (id, data); the id is `None` only for a driver whose `create` takes no `document_id`.

        Keyword arguments that a driver may take:
            fresh (Collection[str]): those of the ids that the Store has just made, so that nobody else knows them.
        """
        create: Any = self.create
        return [
            attempt(create, data) if document_id is None else attempt(create, data, document_id=document_id)
            for document_id, data in items
        ]

    def put_many(self, items: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
        """Create or overwrite several documents; one result an item, in order: the stored document, or a `DivanError`.

        Without it the Store has `create_many` and `replace` do it.

        Args:
            items: (id, data); an id may come several times, and its last data are stored.
        """
        self._lacks("put_many")

    def get_many(self, document_ids: Sequence[str]) -> list[Any]:
        """Fetch several documents; one result an id, in order.

        Keyword arguments that a driver may take: fields (Sequence[str]): as in `get_document_for_id`.

        Returns:
            The document, `None` where there is none, or the `DivanError` that says why it can't be read.
        """
        results: list[Any] = []
        for document_id in document_ids:
            try:
                results.append(self.get_document_for_id(document_id))
            except DocumentNotFound:
                results.append(None)
            except StoreError as error:  # this one can't be read
                results.append(error)
        return results

    def update_many(self, changes: Sequence[Change]) -> list[Any]:
        """Update several documents; one result a change, in order: the stored document, or a `DivanError`."""
        return [attempt(self.update, change.document_id, change.data, **change.operators) for change in changes]

    def delete_many(self, document_ids: Sequence[str]) -> list[Any]:
        """Delete several documents; one result an id, in order: `None`, or a `DivanError`."""
        return [attempt(self.delete, document_id) for document_id in document_ids]

    def update_matching(self, where: Query, changes: Sequence[Change]) -> list[Any]:
        """Update those of several documents that match a filter at that moment; each in one atomic step.

        Without it the Store updates them one by one, by revision.

        Args:
            where: The filter.
            changes: One a document.

        Returns:
            One result a change, in order: the stored document, `None` if it is gone or does not match, or a
            `DivanError`.
        """
        self._lacks("update_matching")

    def delete_matching(self, where: Query, document_ids: Sequence[str]) -> list[Any]:
        """Delete those of several documents that match a filter at that moment; each in one atomic step.

        Without it the Store deletes them one by one, by revision.

        Returns:
            One result an id, in order: `True`, `None` if it is gone or does not match, or a `DivanError`.
        """
        self._lacks("delete_matching")

    def read_changes(self, position: str | None, *, limit: int, wait: float) -> tuple[Sequence[ChangeEvent], str]:
        """The changes after a position, those of one document in order; each at least once.

        Args:
            position: What an earlier call gave; `None` for now, from when on the store must keep what changes.
            limit: How many changes to give at most; 0 with the position `None`, for which there are none yet.
            wait: How long to wait for a change where there is none, in seconds.

        Returns:
            The changes, each with its position as its token, and the position after them.

        Raises:
            TokenExpired: if the store no longer knows, or never knew, what came after the position.
            UnsupportedOperation: if the server, as it was set up, tells of no changes; the message says what to do.
        """
        self._lacks("read_changes")

    def ensure_index(self, *fields: str) -> str | None:
        """Make `find` on these dotted paths fast; returns the index's name, or `None` if the store has no indexes."""
        return None

    def explain(self, where: Query, sort: Sequence[SortKey] = ()) -> Explanation:
        """How `find` would answer; nothing is read."""
        return Explanation(pushed={}, residual=dict(where), sorted_by_store=False, index=None, scan=True)

    def ping(self) -> None:
        """Ask the store for a sign of life; returns if there is one, and raises a `ConnectionFailed` if not."""
        self._lacks("ping")

    def close(self) -> None:
        """Release connections. Called once; nothing is called after it."""

    # What the contract gives for them

    def __getitem__(self, document_id: str) -> Any:
        return self.get_document_for_id(document_id)

    def get_value_for_field(self, document: Any, field: str) -> Any:
        """`get_document_attr` with any failure turned into `AttributeError`, for templates."""
        try:
            return self.get_document_attr(document, field)
        except Exception as error:
            raise AttributeError(f"the document has no field {field!r}") from error

    @classmethod
    def implements(cls, method: str) -> bool:
        """Whether this class overrides a method of the contract."""
        return getattr(cls, method) is not getattr(BaseDivanBackend, method)

    @classmethod
    def accepts(cls, method: str, argument: str) -> bool:
        """Whether this class's override of a method takes a keyword argument."""
        return _accepts(getattr(cls, method), argument)

    def _lacks(self, method: str) -> NoReturn:
        raise UnsupportedOperation(f"{type(self).__name__} does not implement {method}()")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.database!r} at {self.host}:{self.port} {self.options!r}>"


@lru_cache(maxsize=1024)
def _accepts(function: Callable[..., Any], argument: str) -> bool:
    parameters = inspect.signature(function).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(p.kind is p.VAR_KEYWORD or (p.name == argument and p.kind in named) for p in parameters.values())


__all__ = [
    "OPTIONAL_METHODS",
    "REQUIRED_METHODS",
    "BaseDivanBackend",
    "Change",
    "ChangeEvent",
    "Explanation",
    "Query",
    "Serializer",
    "SortKey",
    "Step",
    "apply_changes",
]
