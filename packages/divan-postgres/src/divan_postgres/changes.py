"""Internal: the changes of a table, kept by a trigger, so that those of other programs are among them.

Transactions end in another order than the one in which they write. So what is new is told by what a snapshot shows that
an earlier one did not, which misses nothing; and within that by a number that is taken while the document is locked,
which keeps the changes of each document in order. A position is the earlier snapshot, the later one, the number after
which to go on between them, and the number by chance of the table of changes.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, cast

from divan.backends.support import first_revision
from divan.changes import KEPT, ChangeEvent, Kind, expired
from divan.errors import DatabaseNotFound

from divan_postgres.connections import Client
from divan_postgres.sql import beside, identifier, literal
from divan_postgres.wire import Command

_POSITION: Final = re.compile(r"(\d{1,20}:\d{1,20}:[\d,]*) (\d{1,20}:\d{1,20}:[\d,]*) (\d{1,18}) (\d{1,18})", re.ASCII)
_NO_TABLE: Final = "42P01"
_TRIGGER: Final = "divan_changes"


class _Position(NamedTuple):
    """Where a reader stands.

    Attributes:
        seen: The snapshot of which everything has been read.
        until: The snapshot that is being read.
        place: The number up to which that has been done.
        log: The number of the table of changes.
    """

    seen: str
    until: str
    place: int
    log: int

    def __str__(self) -> str:
        return f"{self.seen} {self.until} {self.place} {self.log}"


def begin(client: Client) -> str:
    """See to it that the changes of a table are kept from now on; the position of now."""
    there = Command(
        "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2",
        (identifier(client.table).encode(), _TRIGGER.encode()),
    )
    if not client.rows(there):
        client.write_all([Command(statement) for statement in _statements(client.table)])
    now = f"SELECT pg_current_snapshot(), rev FROM {_log(client.table)} WHERE seq = 0"
    for snapshot, number in client.rows(Command(now)):
        if snapshot is not None and number is not None:
            return str(_Position(snapshot.decode(), snapshot.decode(), 0, int(number)))
    raise expired()


def _log(table: str) -> str:
    return identifier(beside(table, "changes"))


def _statements(table: str) -> list[str]:
    """What makes the table of changes and the trigger that fills it, in one transaction; several may do it at once.

    The first row of the table is its own: the transaction that made it, its number, and the last transaction of which
    changes are kept no more.
    """
    log, function, name = _log(table), identifier(beside(table, "changed")), identifier(table)
    insert = f"INSERT INTO {log} (kind, id, rev) VALUES"
    body = f"""
DECLARE
  place bigint;
BEGIN
  IF TG_OP = 'INSERT' THEN
    {insert} ('created', NEW.id, NEW.rev) RETURNING seq INTO place;
  ELSIF TG_OP = 'DELETE' THEN
    {insert} ('deleted', OLD.id, NULL) RETURNING seq INTO place;
  ELSIF NEW.id <> OLD.id THEN
    {insert} ('deleted', OLD.id, NULL), ('created', NEW.id, NEW.rev);
  ELSE
    {insert} ('updated', NEW.id, NEW.rev) RETURNING seq INTO place;
  END IF;
  IF place % 1000 = 0 THEN
    PERFORM FROM {log} WHERE seq = 0 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
      WITH gone AS (DELETE FROM {log} WHERE seq > 0 AND seq <= place - {KEPT} RETURNING tx)
      UPDATE {log} SET tx = greatest(tx, (SELECT tx FROM gone ORDER BY tx DESC LIMIT 1)) WHERE seq = 0;
    END IF;
  END IF;
  PERFORM pg_notify({literal(channel(table))}, '');
  RETURN NULL;
END"""
    columns = (
        "seq bigserial PRIMARY KEY, tx xid8 NOT NULL DEFAULT pg_current_xact_id(), "
        "kind text NOT NULL, id text, rev bigint"
    )
    made_by = "pg_current_xact_id()::text"
    events = "INSERT OR UPDATE OR DELETE"
    return [
        f"SELECT pg_advisory_xact_lock(hashtextextended({literal(table)}, 0))",
        f"CREATE TABLE IF NOT EXISTS {log} ({columns})",
        f"INSERT INTO {log} SELECT 0, '0', 'begun', {made_by}, {first_revision()} ON CONFLICT DO NOTHING",
        f"CREATE INDEX IF NOT EXISTS {identifier(beside(table, 'changes_by_tx').rpartition('.')[2])} ON {log} (tx)",
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {literal(body)}",
        f"DROP TRIGGER IF EXISTS {_TRIGGER} ON {name}",
        f"CREATE TRIGGER {_TRIGGER} AFTER {events} ON {name} FOR EACH ROW EXECUTE FUNCTION {function}()",
    ]


def channel(table: str) -> str:
    """The channel on which the trigger says that there are changes.

    Args:
        table: The table of documents.
    """
    return beside(table, "changes")[-63:]


def read(client: Client, position: str, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
    """The changes after a position, and the position after them; waits for one if there is none.

    Args:
        client: The client to read with.
        position: What an earlier call gave.
        limit: How many changes to give at most.
        wait: How long to wait, in seconds.

    Raises:
        TokenExpired: if changes after the position are kept no more, or it is none of this table's.
    """
    found = _POSITION.fullmatch(position)
    if found is None:
        raise expired()
    at = _Position(found[1], found[2], int(found[3]), int(found[4]))
    log = _log(client.table)
    is_between = at.seen != at.until  # two snapshots, so that there is nothing to wait for
    # The first row tells whether the position can be gone on from, and is there in any case.
    look = Command(
        f"WITH until AS (SELECT coalesce($2::pg_snapshot, pg_current_snapshot()) AS snapshot) "
        "SELECT 0, until.snapshot::text, '', NULL, rev::text = $4 AND tx < pg_snapshot_xmin($1::pg_snapshot) "
        f"AND pg_visible_in_snapshot(id::xid8, $1::pg_snapshot) FROM {log}, until WHERE seq = 0 UNION ALL ("
        f"SELECT seq, kind, id, rev, true FROM {log}, until WHERE tx >= pg_snapshot_xmin($1::pg_snapshot) "
        "AND NOT pg_visible_in_snapshot(tx, $1::pg_snapshot) AND pg_visible_in_snapshot(tx, until.snapshot) "
        f"AND seq > $3::bigint ORDER BY seq LIMIT {limit:d}) ORDER BY 1",
        (at.seen.encode(), at.until.encode() if is_between else None, b"%d" % at.place, b"%d" % at.log),
    )
    try:
        rows = client.look_until(look, lambda rows: len(rows) != 1, channel(client.table), 0 if is_between else wait)
    except DatabaseNotFound as error:
        if getattr(error.__cause__, "sqlstate", None) != _NO_TABLE:
            raise
        raise expired() from error
    if not rows or rows[0][4] != b"t":
        raise expired()
    reached = (rows[0][1] or b"").decode()
    events = [_event(at, reached, row) for row in rows[1:]]
    if len(events) == limit:
        return events, events[-1].token
    reached_all = str(_Position(reached, reached, 0, at.log))
    return (events, reached_all) if events or not is_between else read(client, reached_all, limit, wait)


def _event(at: _Position, until: str, row: tuple[Any, ...]) -> ChangeEvent:
    place, kind, id, rev, _ = (None if value is None else value.decode() for value in row)
    token = str(_Position(at.seen, until, int(place or 0), at.log))
    return ChangeEvent(cast(Kind, kind), str(id), rev, token)
