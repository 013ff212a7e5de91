"""Internal: the SQL in which no query has a part: names and fields, the table and its indexes, and documents by id."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from typing import Final, NamedTuple
from zlib import crc32

from divan.query import ID_PATH

# What these names are written as inside a JSON document is never escaped, so that comparing bytes finds them.
_NAME: Final = re.compile(r"[A-Za-z0-9_ -]+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

NUL_SQL: Final = "body GLOB '*\\u0000*'"
"""Whether a document may hold a NUL character, in the form that SQLite matches with the partial index."""


# Names and fields


def is_table_name(name: str) -> bool:
    """Whether a table may be called so: no word that SQLite needs for its own is one."""
    if not _IDENTIFIER.fullmatch(name) or name.lower().startswith("sqlite_") or len(name) > 64:
        return False
    with closing(sqlite3.connect(":memory:")) as scratch:
        try:
            scratch.execute(f"EXPLAIN CREATE TABLE {name} (id)")
        except sqlite3.Error:
            return False
    return True


@lru_cache(maxsize=1024)
def is_plain(path: tuple[str, ...]) -> bool:
    """Whether SQLite finds the field at this path in every document that has it."""
    return all(map(_NAME.fullmatch, path))


@lru_cache(maxsize=1024)
def json_path(path: tuple[str, ...]) -> str:
    """The path as a literal: SQLite compares the expressions of a query and an index by their text."""
    return "'$" + "".join(f".{name}" if _IDENTIFIER.fullmatch(name) else f'."{name}"' for name in path) + "'"


@lru_cache(maxsize=1024)
def rank_sql(path: tuple[str, ...]) -> str:
    """The expression for `divan.query.rank` of the field at a plain path."""
    if path == ID_PATH:
        return "4"
    return (
        f"CASE json_type(body,{json_path(path)}) WHEN 'null' THEN 1 WHEN 'true' THEN 2 WHEN 'false' THEN 2 "
        "WHEN 'integer' THEN 3 WHEN 'real' THEN 3 WHEN 'text' THEN 4 WHEN 'array' THEN 5 WHEN 'object' THEN 6 "
        "ELSE 0 END"
    )


@lru_cache(maxsize=1024)
def value_sql(path: tuple[str, ...]) -> str:
    """The expression for the value of the field at a plain path."""
    if path == ID_PATH:
        return "id"
    return f"json_extract(body,{json_path(path)})"


# The table and its indexes


def table_sql(table: str) -> str:
    """The statement that makes the table of documents; another program need only give ``id`` and ``body``."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (id TEXT NOT NULL PRIMARY KEY, "
        f"rev INTEGER NOT NULL DEFAULT (abs(random() % {2**47}) + 1), body TEXT NOT NULL)"
    )


def nul_index_sql(table: str) -> str:
    """The statement that makes the index of the few documents whose strings this SQLite can't extract whole."""
    return f"CREATE INDEX IF NOT EXISTS {table}_nul ON {table} (id) WHERE {NUL_SQL}"


def index_name(table: str, fields: Sequence[str]) -> str:
    """What the index on these fields is called."""
    name = f"{table}_by_{','.join(fields)}"
    # SQLite takes names that differ in case for one.
    return name if name == name.lower() else f"{name}_{crc32(name.encode()):08x}"


def index_sql(table: str, fields: Sequence[str]) -> str:
    """The statement that makes the index on these plain fields."""
    paths = [tuple(field.split(".")) for field in fields]
    columns = ", ".join(f"{rank_sql(path)}, {value_sql(path)}" for path in paths)
    return f'CREATE INDEX IF NOT EXISTS "{index_name(table, fields)}" ON {table} ({columns}, id)'


# Documents by their id


def all_as_bytes_sql(table: str) -> str:
    """The statement that reads every row and interprets none: id, rev, body; texts as bytes, other bodies as NULL."""
    return f"SELECT CAST(id AS BLOB), rev, CASE typeof(body) WHEN 'text' THEN CAST(body AS BLOB) END FROM {table}"


class Statements(NamedTuple):
    """The statements that read and write the documents of one table by their id.

    Attributes:
        any: Reads from the table, whatever is in it.
        get: id → rev, body.
        get_many: a JSON list of ids → id, rev, body of those that are there.
        insert: id, rev, body; fails if the id is taken.
        insert_or_skip: id, rev, body; does nothing if the id is taken.
        upsert: id, rev, body → rev; where the id is taken, the revision that is there is counted on.
        write: body, id.
        replace: body, id → rev.
        replace_at: body, id, rev → rev; does nothing at another revision.
        delete: id.
        delete_at: id, rev; does nothing at another revision.
    """

    any: str
    get: str
    get_many: str
    insert: str
    insert_or_skip: str
    upsert: str
    write: str
    replace: str
    replace_at: str
    delete: str
    delete_at: str


def statements(table: str) -> Statements:
    """The statements for the documents of a table."""
    insert = f"INSERT INTO {table} (id, rev, body) VALUES (?, ?, ?)"
    write = f"UPDATE {table} SET body=?, rev=rev+1 WHERE id=?"
    delete = f"DELETE FROM {table} WHERE id=?"
    return Statements(
        any=f"SELECT 1 FROM {table} LIMIT 1",
        get=f"SELECT rev, body FROM {table} WHERE id=?",
        get_many=f"SELECT id, rev, body FROM {table} WHERE id IN (SELECT value FROM json_each(?))",
        insert=insert,
        insert_or_skip=f"{insert} ON CONFLICT (id) DO NOTHING",
        upsert=f"{insert} ON CONFLICT (id) DO UPDATE SET body=excluded.body, rev=rev+1 RETURNING rev",
        write=write,
        replace=f"{write} RETURNING rev",
        replace_at=f"{write} AND rev=? RETURNING rev",
        delete=delete,
        delete_at=f"{delete} AND rev=?",
    )
