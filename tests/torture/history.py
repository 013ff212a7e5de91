"""What the workers wrote down, and what must be true of a store after it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import divan

OK = "ok"
REFUSED = "refused"
"""The store, or Divan, said that it was not done: a conflict, a taken id, a missing document."""
DOUBT = "doubt"
"""Nobody knows: the answer was lost, or the process was killed before it came."""

COUNTERS = tuple(f"counter{number}" for number in range(3))
SHARED = tuple(f"shared{number}" for number in range(2))
CHAINS = tuple(f"chain{number}" for number in range(2))


class Write(NamedTuple):
    """One write of one worker's thread.

    Attributes:
        call: ``"increment"``, ``"set"``, ``"chain"``, ``"create"`` or ``"delete"``.
        key: The document's id.
        who: The process and thread.
        number: Counts the thread's writes.
        parent: The revision that the write insisted on, of a ``"chain"``.
        outcome: `OK`, `REFUSED` or `DOUBT`.
    """

    call: str
    key: str
    who: str
    number: int
    parent: str | None
    outcome: str


def read(files: Iterable[Path]) -> list[Write]:
    """The writes in the workers' files, each in the order of its thread; one without an end is in doubt."""
    writes: dict[tuple[str, int], Write] = {}
    for file in files:
        for entry in _entries(file):
            name = (entry["who"], entry["number"])
            if "outcome" in entry:
                writes[name] = writes[name]._replace(outcome=entry["outcome"])
            else:
                writes[name] = Write(entry["call"], entry["key"], *name, entry.get("parent"), DOUBT)
    return list(writes.values())


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_bytes().split(b"\n"):
        if line.endswith(b"}"):  # the last one of a process that was killed may be cut
            yield json.loads(line)


def violations(store: divan.Store, writes: list[Write]) -> list[str]:
    """What is not as it must be, a line each.

    Args:
        store: The store, reached without a fault in between, after the last write has ended.
        writes: All writes.
    """
    by_key: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_key[write.key].append(write)
    return [
        *(line for key in COUNTERS for line in _of_counter(store.get(key), by_key[key])),
        *(line for key in SHARED for line in _of_shared(store.get(key), by_key[key])),
        *(line for key in CHAINS for line in _of_chain(store.get(key), by_key[key])),
        *_of_own(store, by_key),
    ]


def _of_counter(document: divan.Document, writes: list[Write]) -> Iterator[str]:
    done = sum(write.outcome == OK for write in writes)
    doubtful = sum(write.outcome == DOUBT for write in writes)
    if not done <= document["n"] <= done + doubtful:
        yield (
            f"{document.id} is {document['n']} after {done} acknowledged increments and {doubtful} doubtful ones: "
            f"{'lost' if document['n'] < done else 'made twice'}"
        )


def _of_shared(document: divan.Document, writes: list[Write]) -> Iterator[str]:
    """Each thread counts up a field of its own, which nobody else writes."""
    by_thread: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_thread[write.who].append(write)
    for who, own in by_thread.items():
        last = max((write.number for write in own if write.outcome == OK), default=None)
        allowed = {write.number for write in own if write.outcome == DOUBT and (last is None or write.number > last)}
        found = document.get(who)
        if found != last and found not in allowed:
            yield f"{document.id}.{who} is {found}, and {last} was acknowledged last: lost, or an old write came back"


def _of_chain(document: divan.Document, writes: list[Write]) -> Iterator[str]:
    """Each write adds one, and insists on the revision that it has read: a chain without a fork."""
    yield from _of_counter(document, writes)
    parents = Counter(write.parent for write in writes if write.outcome == OK)
    for parent, times in parents.items():
        if times > 1:
            yield f"{document.id}: {times} writes that insisted on revision {parent} were acknowledged"


def _of_own(store: divan.Store, by_key: dict[str, list[Write]]) -> Iterator[str]:
    """Documents that one thread made, and perhaps deleted again, and that nobody else touched."""
    keys = [key for key, writes in by_key.items() if writes and writes[0].call == "create"]
    for key, document in zip(keys, store.get_many(keys), strict=True):
        created, *later = sorted(by_key[key], key=lambda write: write.number)
        there = document is not None
        if there and created.outcome == REFUSED:
            yield f"{key} is there, and its creation was refused"
        if there and any(write.outcome == OK for write in later):
            yield f"{key} is there, and its deletion was acknowledged"
        if not there and created.outcome == OK and all(write.outcome == REFUSED for write in later):
            yield f"{key} is missing, and its creation was acknowledged"
