"""Internal: the changes that scripts have added to a stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

from divan.changes import ChangeEvent, Kind, expired
from divan.errors import StoreError

from divan_redis.connections import Client
from divan_redis.documents import Keyspace
from divan_redis.errors import misread

_POSITION: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}", re.ASCII)


def begin(client: Client, keyspace: Keyspace) -> str:
    """The position of the last change; a stream without any begins with an entry of its own, that there is one."""
    while True:
        entries = client.read(b"XREVRANGE", keyspace.stream, b"+", b"-", b"COUNT", b"1")
        if entries:
            return _read_entries(entries)[0][0]
        client.add(keyspace.stream, b"kind", b"begun")


def read(client: Client, keyspace: Keyspace, position: str, limit: int, wait: float) -> tuple[list[ChangeEvent], str]:
    """The changes after a position, and the position after them; waits for one if there is none.

    Raises:
        TokenExpired: if the stream does not hold the change at the position any more.
    """
    if not _POSITION.fullmatch(position):
        raise expired()
    begins = position.encode()
    answer = client.read(b"XRANGE", keyspace.stream, begins, b"+", b"COUNT", b"%d" % (limit + 1))
    first, *entries = _read_entries(answer) or [("", {})]
    if first[0] != position:
        raise expired()
    if not entries and wait > 0:
        answer = client.wait_for(keyspace.stream, begins, limit, wait)
        entries = _read_entries(answer[0][1]) if answer else []
    events = [_event(keyspace, *entry) for entry in entries if entry[1].get("kind") != "begun"]
    return events, entries[-1][0] if entries else position


def _read_entries(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """The entries of a stream: the place of each, and its fields."""
    try:
        return [
            (place.decode(), dict(zip(_texts(words[::2]), _texts(words[1::2]), strict=True))) for place, words in answer
        ]
    except (TypeError, ValueError, AttributeError) as error:
        raise misread(answer) from error


def _texts(words: Sequence[bytes]) -> list[str]:
    return [word.decode(errors="surrogateescape") for word in words]


def _event(keyspace: Keyspace, place: str, fields: dict[str, str]) -> ChangeEvent:
    kind, key = fields.get("kind"), fields.get("key", "").encode(errors="surrogateescape")
    if kind not in ("created", "updated", "deleted"):
        raise StoreError(f"the stream {keyspace.stream.decode()!r} holds an entry at {place} that is no change")
    keyspace.check((key,))
    rev = None if kind == "deleted" else fields.get("rev", "0")
    return ChangeEvent(cast(Kind, kind), keyspace.id(key), rev, place)
