"""Divan's driver for PostgreSQL: ``pip install divan-postgres``, then ``divan.open("postgresql://localhost/guests")``."""

from divan_postgres.backend import PostgresBackend

__all__ = ["PostgresBackend"]
