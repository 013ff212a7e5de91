"""Internal: `divan.open`: from a URL, a name or a class to an open Store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, overload

from divan.backends.base import BaseDivanBackend
from divan.discovery import find_backend, unqualified
from divan.documents import Document
from divan.errors import InvalidURL
from divan.options import Hidden, Options
from divan.plugins import Plugins, load_plugins
from divan.store import Store
from divan.store.expiry import Clock
from divan.store.schemas import M
from divan.store.tracing import TracedStore
from divan.urls import StoreURL, parse_url

DEFAULT_URL_VARIABLE: Final = "DIVAN_URL"

_PARTS: Final = ("self", "database", "host", "port", "scheme")
"""What a backend's constructor takes beside options."""


class Expiring(NamedTuple):
    """What `open` is told of documents that expire.

    Attributes:
        field: By which field they do; `None` if it says nothing.
        clock: What time it is; `None` for this machine's clock.
    """

    field: str | None
    clock: Clock | None


@overload
def open(
    url: str | type[BaseDivanBackend] | None,
    schema: type[M],
    *,
    database: str | None = ...,
    host: str | None = ...,
    port: int | None = ...,
    allow_scans: bool = ...,
    expires: str | None = ...,
    clock: Clock | None = ...,
    plugins: Iterable[object] = ...,
    **options: Any,
) -> Store[M]: ...
@overload
def open(
    url: str | type[BaseDivanBackend] | None = ...,
    schema: Any = ...,
    *,
    database: str | None = ...,
    host: str | None = ...,
    port: int | None = ...,
    allow_scans: bool = ...,
    expires: str | None = ...,
    clock: Clock | None = ...,
    plugins: Iterable[object] = ...,
    **options: Any,
) -> Store[Document]: ...
def open(
    url: str | type[BaseDivanBackend] | None = None,
    schema: Any = None,
    *,
    database: str | None = None,
    host: str | None = None,
    port: int | None = None,
    allow_scans: bool = True,
    expires: str | None = None,
    clock: Clock | None = None,
    plugins: Iterable[object] = (),
    **options: Any,
) -> Store[Any]:
    """Open a store.

    Args:
        url: A URL such as ``"sqlite:///guests.db"``, a backend's name or class with the database beside it, or `None`
            for the URL in ``DIVAN_URL``.
        schema: Field name → field type: a name such as ``"DateField"``, a form field, or a serializer dictionary. Or a
            class whose annotations give the field types: a dataclass, a TypedDict, a class of attrs, msgspec or
            pydantic, a Django form. The Store of a dataclass, or of a class of attrs, msgspec or pydantic, takes and
            gives its instances; a field ``id`` or ``rev`` of it is the document's.
        database: The database, where `url` is no URL.
        host: Host name, where `url` is no URL; `None` for the backend's default.
        port: Port, where `url` is no URL; `None` for the backend's default.
        allow_scans: Whether a query may read every document of the database.
        expires: A date-time field of the documents: from that moment on, a document is not there for any call; where it
            is missing or null, never. ``expires`` in the URL says the same. `Store.purge` deletes what has expired.
        clock: Gives the time, an aware datetime, for `expires`; `None` for this machine's clock.
        plugins: Plugin modules or objects, beside the installed ones, for this Store alone; one that is among those, or
            given twice, takes part once.
        **options: The backend's options, ``user`` and ``password``; they beat those of the URL.

    Returns:
        The open Store; use it in a ``with`` statement, or call its `close`.

    Raises:
        BackendNotFound, AmbiguousBackend, BackendLoadError: if the backend can't be had.
        InvalidURL: if the URL or an option can't be understood.
        InvalidPlugin: if what is given as a plugin is none, or has a hook or an argument that Divan does not know.
        InvalidSchema: if the schema can't be understood, or a field type is not known.
        ConnectionFailed: if the store can't be reached.
    """
    # From here on, what may be secret is in no local that a traceback could show.
    source, given = Hidden(url), Options(options)
    del url, options
    cls, name, parsed = _resolve(source, database, host, port)
    expiring = Expiring(expires, clock)
    return _open(cls, name, parsed, schema, allow_scans, expiring, load_plugins(plugins), given)


def _resolve(
    source: Hidden, database: str | None, host: str | None, port: int | None
) -> tuple[type[BaseDivanBackend], str, StoreURL]:
    """The backend's class, its name and the URL's parts, of whatever `open` was given in place of a URL."""
    if source.value is None:
        source = Hidden(os.environ.get(DEFAULT_URL_VARIABLE) or None)
        if source.value is None:
            raise InvalidURL(f"no URL was given, and {DEFAULT_URL_VARIABLE} is not set")
    if isinstance(source.value, str) and "://" in source.value:
        for argument, value in (("database", database), ("host", host), ("port", port)):
            if value is not None:
                raise InvalidURL(f"{argument} is part of the URL already; leave one of them out")
        parsed = parse_url(source.value)
        info = find_backend(parsed.scheme)
        return info.load(), unqualified(parsed.scheme, info), parsed
    if isinstance(source.value, str):
        info = find_backend(source.value)
        scheme, name, cls = source.value, unqualified(source.value, info), info.load()
    elif isinstance(source.value, type) and issubclass(source.value, BaseDivanBackend):
        scheme, name, cls = source.value.__name__, source.value.__name__, source.value
    else:
        kind = type(source.value).__name__
        raise InvalidURL(f"open() takes a URL, a backend's name or a backend class, not {kind}")
    return cls, name, StoreURL(scheme=scheme, host=host, port=port, database=database or "")


def _open(
    cls: type[BaseDivanBackend],
    name: str,
    url: StoreURL,
    schema: Any,
    allow_scans: bool,
    expiring: Expiring,
    plugins: Plugins,
    given: Options,
) -> Store[Any]:
    options = Options({**url.options, **given})
    expires = options.pop("expires", None)  # of the documents, and so the Store's affair
    for part in _PARTS:
        if part in options:
            raise InvalidURL(f"{name} has no option {part!r}; what a URL says before its '?' is none")
    if url.user is not None:
        options.setdefault("user", url.user)
    if url.password is not None:
        options.setdefault("password", url.password)
    database, host = url.database, url.host
    if not database and host and getattr(cls, "default_port", None) == 0:
        database, host = host, None  # memory://name: an embedded store has no host
    backend = cls(database, host, url.port, scheme=name, **options)
    try:
        store: Store[Any] = Store(
            backend,
            name=name,
            url=str(url),
            schema=schema,
            allow_scans=allow_scans,
            expires=expires if expiring.field is None else expiring.field,
            clock=expiring.clock,
            plugins=plugins,
        )
        if plugins.implements("divan_call_started") or plugins.implements("divan_call_ended"):
            store = TracedStore(store, plugins)
    except BaseException:
        backend.close()
        raise
    plugins.notify("divan_store_opened", store=store)
    return store
