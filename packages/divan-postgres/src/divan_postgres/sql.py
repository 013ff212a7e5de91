"""Internal: the SQL in which no query has a part: names and fields, the table and its indexes, and documents by id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple
from zlib import crc32

from divan.query import ID_PATH

from divan_postgres.documents import escape

START: Final = 64
"""Characters of a string that an index holds: an entry has at most 2,704 bytes, and a character takes up to four."""

MAX_INDEXED: Final = 9
"""Fields of an index whose entries always fit."""

_MAX_NAME: Final = 63


# Names and fields


def identifier(name: str) -> str:
    """A table's name, its schema before it if it has one, as it stands in a statement."""
    return ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in name.split("."))


def literal(text: str) -> str:
    """A string as it stands in a statement, whatever the server's settings."""
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in quoted else f"'{quoted}'"


@lru_cache(maxsize=1024)
def field_sql(path: tuple[str, ...]) -> str:
    """The expression for the field at this path, JSONB or NULL; a name that is text enters objects alone."""
    return "body" + "".join(f"->{literal(escape(name))}" for name in path)


@lru_cache(maxsize=1024)
def rank_sql(path: tuple[str, ...]) -> str:
    """The expression for `divan.query.rank` of the field at this path."""
    if path == ID_PATH:
        return "4"
    return (
        f"CASE jsonb_typeof({field_sql(path)}) WHEN 'null' THEN 1 WHEN 'boolean' THEN 2 WHEN 'number' THEN 3 "
        "WHEN 'string' THEN 4 WHEN 'array' THEN 5 WHEN 'object' THEN 6 ELSE 0 END"
    )


@lru_cache(maxsize=1024)
def number_sql(path: tuple[str, ...]) -> str:
    """The expression for the number at this path, 0 or 1 for a boolean; else it is NULL."""
    field = field_sql(path)
    return (
        f"CASE jsonb_typeof({field}) WHEN 'number' THEN ({field})::numeric "
        f"WHEN 'boolean' THEN ({field})::boolean::integer::numeric END"
    )


@lru_cache(maxsize=1024)
def text_sql(path: tuple[str, ...]) -> str:
    """The expression for the string at this path, compared by code point; else it is NULL."""
    whole = field_sql(path)
    text = f"{field_sql(path[:-1])}->>{literal(escape(path[-1]))}"
    return f"""(CASE jsonb_typeof({whole}) WHEN 'string' THEN {text} END COLLATE "C")"""


@lru_cache(maxsize=1024)
def start_sql(path: tuple[str, ...]) -> str:
    """The expression for the beginning of the string at this path, which an index holds."""
    return f'(left({text_sql(path)}, {START}) COLLATE "C")'


# The table and its indexes

TABLE_SQL: Final = """
SELECT a.attname, format_type(a.atttypid, NULL), a.attnotnull,
  coalesce(c.collname IN ('C', 'POSIX', 'ucs_basic'), false),
  EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indimmediate AND i.indisvalid
    AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND i.indpred IS NULL AND i.indexprs IS NULL
  )
FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ('id', 'rev', 'body')
"""
"""Table → its columns ``id``, ``rev`` and ``body``: name, type, not null, compared by code point, unique."""

INDEX_SQL: Final = """
SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND c.relname = $2
"""
"""Table, index → whether it is whole; no row if there is none."""


def create_table_sql(table: str) -> str:
    """The statement that makes the table of documents; another program need only give ``id`` and ``body``."""
    return (
        f'CREATE TABLE IF NOT EXISTS {identifier(table)} (id text COLLATE "C" PRIMARY KEY, '
        f"rev bigint NOT NULL DEFAULT (floor(random() * {2**47}) + 1)::bigint, "
        "body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object'))"
    )


def index_name(table: str, fields: Sequence[str]) -> str:
    """What the index on these fields is called: by a part and a sum, where the whole is too long for PostgreSQL."""
    return _short(f"{table.rpartition('.')[2]}_by_{','.join(map(escape, fields))}")


def beside(table: str, what: str) -> str:
    """What something of Divan's beside a table is called, the table's schema before it if it has one.

    Args:
        table: The table of documents.
        what: What it is.
    """
    schema, dot, name = table.rpartition(".")
    return f"{schema}{dot}{_short(f'{name}_{what}')}"


def _short(name: str) -> str:
    if len(name.encode()) <= _MAX_NAME:
        return name
    mark = f"_{crc32(name.encode()):08x}"
    return name.encode()[: _MAX_NAME - len(mark)].decode(errors="ignore") + mark


def create_index_sql(table: str, fields: Sequence[str], *, concurrently: bool) -> str:
    """The statement that makes the index on these fields."""
    columns = []
    for field in fields[:MAX_INDEXED]:
        path = tuple(field.split("."))
        columns += [f"({rank_sql(path)})", f"({number_sql(path)})", start_sql(path)]
    how = "CONCURRENTLY " if concurrently else ""
    name = identifier_of_one(index_name(table, fields))
    return f"CREATE INDEX {how}IF NOT EXISTS {name} ON {identifier(table)} ({', '.join(columns)})"


def drop_index_sql(table: str, fields: Sequence[str]) -> str:
    """The statement that drops an index whose making was broken off."""
    schema = f"{identifier_of_one(table.partition('.')[0])}." if "." in table else ""
    return f"DROP INDEX IF EXISTS {schema}{identifier_of_one(index_name(table, fields))}"


def identifier_of_one(name: str) -> str:
    """A name that may hold a dot, as it stands in a statement."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"'


# Documents by their id


class Statements(NamedTuple):
    """The statements that read and write the documents of one table by their id.

    Attributes:
        table: The table, as it stands in a statement.
        get: id → rev, body.
        get_many: ids → id, rev, body of those that are there.
        insert: id, rev, body → a row; none if the id is taken.
        insert_many: ids, revs, bodies → id, rev of those that were inserted.
        upsert_many: ids, each once, revs, bodies → id, rev of each; as `upsert`.
        upsert: id, rev, body → rev; where the id is taken, the revision that is there is counted on.
        replace: id, body → rev.
        replace_at: id, body, rev → rev; nothing at another revision.
        delete: id → a row; none if there is none.
        delete_at: id, rev → a row; none at another revision.
        delete_many: ids → the ids of those that were deleted.
    """

    table: str
    get: str
    get_many: str
    insert: str
    insert_many: str
    upsert_many: str
    upsert: str
    replace: str
    replace_at: str
    delete: str
    delete_at: str
    delete_many: str


def statements(table: str) -> Statements:
    """The statements for the documents of a table."""
    name = identifier(table)
    insert = f"INSERT INTO {name} AS t (id, rev, body) VALUES ($1::text, $2::bigint, $3::jsonb) ON CONFLICT (id)"
    many = f"INSERT INTO {name} AS t (id, rev, body) SELECT * FROM unnest($1::text[], $2::bigint[], $3::jsonb[])"
    overwrite = "DO UPDATE SET body = excluded.body, rev = t.rev + 1"
    write = f"UPDATE {name} SET body = $2::jsonb, rev = rev + 1 WHERE id = $1::text"
    delete = f"DELETE FROM {name} WHERE id ="
    return Statements(
        table=name,
        get=f"SELECT rev, body FROM {name} WHERE id = $1::text",
        get_many=f"SELECT id, rev, body FROM {name} WHERE id = ANY($1::text[])",
        insert=f"{insert} DO NOTHING RETURNING 1",
        insert_many=f"{many} ON CONFLICT (id) DO NOTHING RETURNING t.id, t.rev",
        upsert_many=f"{many} ON CONFLICT (id) {overwrite} RETURNING t.id, t.rev",
        upsert=f"{insert} {overwrite} RETURNING rev",
        replace=f"{write} RETURNING rev",
        replace_at=f"{write} AND rev::text = $3::text RETURNING rev",
        delete=f"{delete} $1::text RETURNING 1",
        delete_at=f"{delete} $1::text AND rev::text = $2::text RETURNING 1",
        delete_many=f"{delete} ANY($1::text[]) RETURNING id",
    )


class Shape(NamedTuple):
    """What the SQL of an update depends on, beside what it is given as parameters.

    Attributes:
        increments: For each number to add to a field, whether it is a float.
        nested: For each change at a path, what is done there, and whether a number to add is a float.
        through: For each object on the way of one, the shorter way first, whether it is made where it is missing.
    """

    increments: tuple[bool, ...] = ()
    nested: tuple[tuple[str, bool], ...] = ()
    through: tuple[bool, ...] = ()


class _Sum(NamedTuple):
    """A number to add to a field: the expressions for its name and for it, and whether it is a float."""

    name: str
    by: str
    is_float: bool


class _Step(NamedTuple):
    """A change at a path: the expressions for the path and for what is set or added, and which change it is."""

    path: str
    value: str
    op: str
    is_float: bool


@lru_cache(maxsize=256)
def update_sql(table: str, shape: Shape, *, at_rev: bool) -> str:
    """The statement that changes one document: id, data, names to remove[, rev], then what the shape is of.

    That is a name and a number an increment, a path an object on the way, and a path and, but for a removal, a value a
    change at a path. It changes nothing, and returns no row, where Python has to make a change, or refuse it.

    Args:
        table: The table, as it stands in a statement.
        shape: What is changed.
        at_rev: Whether the document must have a revision.
    """
    place = count(5 if at_rev else 4)
    rev = " AND rev::text = $4::text" if at_rev else ""
    sums = [_Sum(f"${next(place)}::text", f"${next(place)}::numeric", is_float) for is_float in shape.increments]
    through = [(f"${next(place)}::text[]", is_made) for is_made in shape.through]
    steps = []
    for op, is_float in shape.nested:
        path = f"${next(place)}::text[]"
        value = "" if op == "remove" else f"${next(place)}::{'numeric' if op == 'increment' else 'jsonb'}"
        steps.append(_Step(path, value, op, is_float))
    change, guard = _change_sql("$2::jsonb", "$3::text[]", sums, through, steps)
    return f"UPDATE {table} SET body = {change}, rev = rev + 1 WHERE id = $1::text{rev} AND {guard} RETURNING rev, body"


@lru_cache(maxsize=256)
def update_many_sql(table: str, shape: Shape, where: str = "") -> str:
    """The statement that changes several documents, each once: arrays of ids, data, names to remove, then as one does.

    Of that, the names, numbers and values are arrays with one for each document, and the paths are those of all.

    Args:
        table: The table, as it stands in a statement.
        shape: What is changed.
        where: A condition of the documents.
    """
    place = count(4)
    arrays = ["$1::text[]", "$2::jsonb[]", "$3::jsonb[]"]
    names = ["key", "data", "remove"]
    sums, steps = [], []
    for index, is_float in enumerate(shape.increments):
        arrays += [f"${next(place)}::text[]", f"${next(place)}::numeric[]"]
        names += [f"name{index}", f"by{index}"]
        sums.append(_Sum(f"c.name{index}", f"c.by{index}", is_float))
    through = [(f"${next(place)}::text[]", is_made) for is_made in shape.through]
    for index, (op, is_float) in enumerate(shape.nested):
        path = f"${next(place)}::text[]"
        arrays.append(f"${next(place)}::{'numeric' if op == 'increment' else 'jsonb'}[]")
        names.append(f"value{index}")
        steps.append(_Step(path, f"c.value{index}", op, is_float))
    change, guard = _change_sql("c.data", "ARRAY(SELECT jsonb_array_elements_text(c.remove))", sums, through, steps)
    return (
        f"UPDATE {table} SET body = {change}, rev = rev + 1 "
        f"FROM unnest({', '.join(arrays)}) AS c({', '.join(names)}) "
        f"WHERE id = c.key AND {guard}{where} RETURNING id, rev, body"
    )


_MAX_SUM: Final = "1e15"  # a float beyond it is written with an exponent, or with more digits than it has


def _change_sql(
    data: str, remove: str, sums: Sequence[_Sum], through: Sequence[tuple[str, bool]], steps: Sequence[_Step]
) -> tuple[str, str]:
    """The expression for the changed document, and the condition under which PostgreSQL makes it as Python does.

    No path leads through another, so that each change is made of what was there before.
    """
    change = f"(body - {remove}) || {data}"
    guards = ["jsonb_typeof(body) = 'object'"]
    pairs = []
    for name, by, is_float in sums:
        total, guard = _sum_sql(f"(body->{name})", by, is_float=is_float)
        pairs.append(f"{name}, {total}")
        guards.append(guard)
    if pairs:
        change += f" || jsonb_build_object({', '.join(pairs)})"
    for path, is_made in through:
        guards.append(f"coalesce(jsonb_typeof(body #> {path}), 'object') = 'object'")
        if is_made:
            change = f"jsonb_set({change}, {path}, coalesce(body #> {path}, '{{}}'))"
    for path, value, op, is_float in steps:
        held = f"(body #> {path})"
        if op == "remove":
            change = f"({change}) #- {path}"
        elif op == "set":
            change = f"jsonb_set({change}, {path}, {value})"
        elif op == "increment":
            total, guard = _sum_sql(held, value, is_float=is_float)
            guards.append(guard)
            change = f"jsonb_set({change}, {path}, to_jsonb({total}))"
        else:
            guards.append(f"coalesce(jsonb_typeof{held}, 'array') = 'array'")
            if op == "append":
                change = f"jsonb_set({change}, {path}, coalesce({held}, '[]') || {value})"
            else:
                left = (
                    f"SELECT coalesce(jsonb_agg(item ORDER BY place), '[]') FROM jsonb_array_elements{held} "
                    f"WITH ORDINALITY AS e(item, place) WHERE item <> ALL (ARRAY(SELECT jsonb_array_elements({value})))"
                )
                change = f"jsonb_set({change}, {path}, ({left}), false)"
    return change, " AND ".join(guards)


def _sum_sql(value: str, by: str, *, is_float: bool) -> tuple[str, str]:
    """The expression for what is stored with a number added to it, and the condition under which it is Python's sum.

    Args:
        value: The expression for what is stored, in brackets.
        by: The expression for what is added.
        is_float: Whether that is a float.
    """
    number = f"{value}::numeric"
    # A float is added to as Python does it; the sum is written by its shortest digits, and with a point.
    real = f"(({value}::text)::double precision + {by}::double precision)"
    real_sum = f"({real}::text)::numeric + 0.0"
    whole_sum = f"{number} + {by}"
    real_guard = f"(abs({real}) < {_MAX_SUM} AND {real} <> 0)"
    whole_guard = f"({whole_sum} BETWEEN {-(2**63)} AND {2**63 - 1})"
    if not is_float:
        real_sum = f"CASE WHEN scale({number}) = 0 THEN {whole_sum} ELSE {real_sum} END"
        real_guard = f"CASE WHEN scale({number}) = 0 THEN {whole_guard} ELSE {real_guard} END"
    guard = f"CASE WHEN {value} IS NULL THEN true WHEN jsonb_typeof{value} <> 'number' THEN false ELSE {real_guard} END"
    return f"CASE WHEN {value} IS NULL THEN {by} ELSE {real_sum} END", guard
