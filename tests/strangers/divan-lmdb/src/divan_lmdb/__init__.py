"""Divan's backend for LMDB files."""

from divan_lmdb.backend import LMDBBackend

__all__ = ["LMDBBackend"]
