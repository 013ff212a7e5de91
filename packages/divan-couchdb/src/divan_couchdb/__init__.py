"""Divan's driver for CouchDB: ``pip install divan-couchdb``, then ``divan.open("couchdb://localhost/guests")``."""

from divan_couchdb.backend import CouchDBBackend

__all__ = ["CouchDBBackend"]
