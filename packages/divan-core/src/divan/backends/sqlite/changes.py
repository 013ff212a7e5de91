"""Internal: the changes of a table, kept by triggers, so that those of other programs are among them."""

from __future__ import annotations

import sqlite3
from typing import Any

from divan.backends.sqlite.connections import DatabaseFile
from divan.backends.support import first_revision
from divan.changes import KEPT, ChangeEvent, expired, poll, read_place


def begin(file: DatabaseFile) -> str:
    """See to it that the changes of a table are kept from now on; the position of the last one."""
    table = file.table
    triggers = "SELECT count(*) FROM sqlite_master WHERE type='trigger' AND tbl_name=? AND name IN (?, ?, ?)"
    names = [f"{table}_{kind}" for kind in ("created", "updated", "deleted")]
    if file.fetch(triggers, (table, *names)) != [(len(names),)]:
        file.transaction(_keep, table)
    ((last,),) = file.fetch(f"SELECT max(seq) FROM {table}_changes")
    return str(last)


def _keep(writer: sqlite3.Cursor, table: str) -> None:
    """Make the table of changes and the triggers that fill it, within a transaction.

    The table begins with a row of its own, at a number by chance: so the place of a token is always that of a row, and
    no token of another file's is one here.
    """
    log = f"{table}_changes"
    trim = f"DELETE FROM {log} WHERE seq <= last_insert_rowid() - {KEPT}"
    insert = f"INSERT INTO {log} (kind, id, rev)"
    moved = "OLD.id IS NOT NEW.id"
    writer.execute(
        f"CREATE TABLE IF NOT EXISTS {log} (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT, rev INTEGER)"
    )
    writer.execute(f"INSERT INTO {log} (seq, kind) SELECT ?, 'begun' WHERE NOT EXISTS (SELECT 1 FROM {log})", (
        first_revision(),
    ))  # fmt: skip
    for kind, statements in {
        "created": f"AFTER INSERT ON {table} BEGIN {insert} VALUES ('created', NEW.id, NEW.rev); {trim};",
        "updated": (
            f"AFTER UPDATE ON {table} BEGIN {insert} SELECT 'deleted', OLD.id, NULL WHERE {moved}; "
            f"{insert} VALUES (CASE WHEN {moved} THEN 'created' ELSE 'updated' END, NEW.id, NEW.rev); {trim};"
        ),
        "deleted": f"AFTER DELETE ON {table} BEGIN {insert} VALUES ('deleted', OLD.id, NULL); {trim};",
    }.items():
        writer.execute(f"CREATE TRIGGER IF NOT EXISTS {table}_{kind} {statements} END")


def read(file: DatabaseFile, position: str, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
    """The changes after a position, and the position after them; waits for one if there is none.

    Raises:
        TokenExpired: if the change at the position is not kept any more, or none of this table's.
    """
    place = read_place(position)
    log = f"{file.table}_changes"
    if not file.fetch("SELECT 1 FROM sqlite_master WHERE type='table' AND name=?", (log,)):
        raise expired()
    following = f"SELECT seq, kind, id, rev FROM {log} WHERE seq >= ? ORDER BY seq LIMIT ?"

    def rows() -> list[tuple[Any, ...]]:
        first, *others = file.fetch(following, (place, limit + 1)) or [(None,)]
        if first[0] != place:
            raise expired()
        return others

    found = poll(rows, wait)
    events = [
        ChangeEvent(kind, id, None if kind == "deleted" else str(rev), str(seq))
        for seq, kind, id, rev in found
        if kind != "begun" and isinstance(id, str)
    ]
    return events, str(found[-1][0]) if found else position
