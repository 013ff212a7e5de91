"""Internal: what CouchDB's feed of changes tells: of each document that has changed, the latest change alone."""

from __future__ import annotations

import json
from typing import Any, Final

from divan.changes import ChangeEvent, Kind, expired, poll
from divan.errors import StoreError

from divan_couchdb.answers import listed
from divan_couchdb.connections import Client, Facts, encode

_DESIGN: Final = "_design/"


def begin(client: Client) -> str:
    """The position of the last change."""
    client.begin()
    answer = client.read("GET", client.endpoint("_changes", since="now", limit=1))
    listed(answer, "results")
    return _position(answer.get("last_seq"))


def read(client: Client, facts: Facts, position: str, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
    """The changes after a position, and the position after them; waits for one if there is none.

    Args:
        client: The database.
        facts: What it says of itself.
        position: What an earlier call gave.
        limit: How many changes to give at most.
        wait: How long to wait, in seconds.

    Raises:
        TokenExpired: if the position is none of CouchDB's.
    """
    parameters: dict[str, Any] = {"since": _sequence(position), "limit": limit}
    if wait <= 0 or facts.waits_for_changes:
        if wait > 0:
            # The answer must be there within `timeout`.
            longest = min(wait, client.settings.timeout / 2)
            parameters |= {"feed": "longpoll", "timeout": max(1, int(longest * 1000))}
        return _read(client, parameters)

    def ask() -> list[ChangeEvent]:
        nonlocal position
        events, position = _read(client, {**parameters, "since": _sequence(position)})
        return events

    found = poll(ask, wait)
    return found, position


def _read(client: Client, parameters: dict[str, Any]) -> tuple[list[ChangeEvent], str]:
    client.begin()
    answer = client.read("GET", client.endpoint("_changes", **parameters))
    events = [_event(row) for row in listed(answer, "results")]
    return [event for event in events if event is not None], _position(answer.get("last_seq"))


def _event(row: Any) -> ChangeEvent | None:
    """The change that a row tells of; `None` of a design document."""
    try:
        id, rev = row["id"], row["changes"][0]["rev"]
        place = _position(row["seq"])
        is_first = rev.partition("-")[0] == "1"
        is_design = id.startswith(_DESIGN)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise StoreError("CouchDB's feed of changes has a row that can't be read; is it CouchDB?") from error
    if is_design:
        return None
    if row.get("deleted"):
        return ChangeEvent("deleted", id, None, place)
    kind: Kind = "created" if is_first else "updated"
    return ChangeEvent(kind, id, rev, place)


def _position(sequence: Any) -> str:
    """What CouchDB calls a sequence, as text: one of its own is text, and an imitator's may be a number."""
    if isinstance(sequence, bool) or not isinstance(sequence, str | int | list):
        raise StoreError("CouchDB's feed of changes tells no last_seq; is it CouchDB that answers?")
    return encode(sequence)


def _sequence(position: str) -> str:
    try:
        sequence = json.loads(position)
    except ValueError as error:
        raise expired() from error
    return sequence if isinstance(sequence, str) else encode(sequence)
