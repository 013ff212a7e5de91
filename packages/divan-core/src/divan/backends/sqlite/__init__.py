"""The embedded SQLite backend: one file, one table, a document a row as plain JSON."""

from divan.backends.sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
