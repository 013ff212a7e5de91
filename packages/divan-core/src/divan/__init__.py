"""Keep a program's documents in whichever store its users already run."""

from divan.discovery import BackendInfo, get_backend, list_backends
from divan.documents import REMOVE, Append, Discard, Document, Increment
from divan.errors import (
    AmbiguousBackend,
    AuthenticationFailed,
    BackendLoadError,
    BackendNotFound,
    BulkError,
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    DocumentExists,
    DocumentNotFound,
    InvalidDocument,
    InvalidID,
    InvalidQuery,
    InvalidSchema,
    InvalidURL,
    OperationTimeout,
    PluginConflict,
    RevisionConflict,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    UnsupportedOperation,
    WriteVetoed,
)
from divan.hookspecs import hookimpl
from divan.opening import open
from divan.plugins import PluginWarning
from divan.query import Explanation
from divan.serializers import Scaled
from divan.store import Page, Store

__all__ = [
    "REMOVE",
    "AmbiguousBackend",
    "Append",
    "AuthenticationFailed",
    "BackendInfo",
    "BackendLoadError",
    "BackendNotFound",
    "BulkError",
    "ConnectionFailed",
    "DatabaseNotFound",
    "Discard",
    "DivanError",
    "Document",
    "DocumentExists",
    "DocumentNotFound",
    "Explanation",
    "Increment",
    "InvalidDocument",
    "InvalidID",
    "InvalidQuery",
    "InvalidSchema",
    "InvalidURL",
    "OperationTimeout",
    "Page",
    "PluginConflict",
    "PluginWarning",
    "RevisionConflict",
    "Scaled",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "UnsupportedOperation",
    "WriteVetoed",
    "get_backend",
    "hookimpl",
    "list_backends",
    "open",
]
