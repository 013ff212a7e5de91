"""The calls and the faults of the matrix in `faults`, and what is right of a call that met a fault."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import divan
from divan import Increment, Store
from divan.aio.store import AsyncStore
from divan.aio.workers import Workers

from tests.support.proxy import Proxy

PATIENCE: Final = 120.0
"""After how many seconds a call is taken to hang for ever."""

SEEDS: Final = {"a": {"n": 1, "v": "x"}, "b": {"n": 2, "v": "x"}, "c": {"n": 3, "v": "y"}}
"""The documents of a lane's database when a fault begins."""

Documents = dict[str, dict[str, Any]]
"""A database's documents by id."""

Outcome = tuple[Any, BaseException | None]
"""What a call returned, and what it raised."""


class Call(NamedTuple):
    """One public call of a Store.

    Attributes:
        make: Makes it.
        expected: What it returns, in plain form; `None` for what the store itself decides.
        changed: The documents that the call leaves, as changes to `SEEDS`: `None` stands for one that is gone.
    """

    make: Callable[[Store], Any]
    expected: Any = None
    changed: dict[str, dict[str, Any] | None] = {}  # noqa: RUF012


async def _awaited(store: Store, method: str, *arguments: Any) -> Any:
    workers = Workers(2)
    try:
        return await getattr(AsyncStore(store, workers), method)(*arguments)
    finally:
        await workers.finish(lambda: None)


CALLS: Final[dict[str, Call]] = {
    "create": Call(lambda s: s.create({"n": 9}, id="new"), {"n": 9}, {"new": {"n": 9}}),
    "create without an id": Call(lambda s: s.create({"n": 9}), {"n": 9}, {"?": {"n": 9}}),
    "get": Call(lambda s: s.get("a"), SEEDS["a"]),
    "get with a default": Call(lambda s: s.get("none", 5), 5),
    "[]": Call(lambda s: s["b"], SEEDS["b"]),
    "in": Call(lambda s: "a" in s, True),
    "not in": Call(lambda s: "none" in s, False),
    "update": Call(lambda s: s.update("a", {"m": 5}), {**SEEDS["a"], "m": 5}, {"a": {**SEEDS["a"], "m": 5}}),
    "update with Increment": Call(
        lambda s: s.update("a", {"n": Increment(1)}), {"n": 2, "v": "x"}, {"a": {"n": 2, "v": "x"}}
    ),
    "update with rev": Call(
        lambda s: s.update("a", {"m": 5}, rev=s.get("a").rev), {**SEEDS["a"], "m": 5}, {"a": {**SEEDS["a"], "m": 5}}
    ),
    "replace": Call(lambda s: s.replace("a", {"m": 5}), {"m": 5}, {"a": {"m": 5}}),
    "put": Call(lambda s: s.put("new", {"n": 9}), {"n": 9}, {"new": {"n": 9}}),
    "put over one": Call(lambda s: s.put("a", {"n": 9}), {"n": 9}, {"a": {"n": 9}}),
    "delete": Call(lambda s: s.delete("a"), None, {"a": None}),
    "find": Call(lambda s: sorted(d.id for d in s.find({"v": "x"})), ["a", "b"]),
    "find with a sort": Call(lambda s: [d.id for d in s.find({"v": "x"}, sort="-n", limit=1)], ["b"]),
    "find by id": Call(lambda s: [d.id for d in s.find({"_id": {"$prefix": "b"}}, fields=["n"])], ["b"]),
    "count": Call(lambda s: s.count({"v": "x"}), 2),
    "count of all": Call(lambda s: s.count(), 3),
    "iter": Call(lambda s: sorted(d.id for d in s), ["a", "b", "c"]),
    "ids": Call(lambda s: sorted(s.ids()), ["a", "b", "c"]),
    "explain": Call(lambda s: bool(s.explain({"v": "x"}, sort="n")), True),
    "ensure_index": Call(lambda s: bool(s.ensure_index("v")) or True, True),
    "ping": Call(lambda s: s.ping(), None),
    "create_many": Call(
        lambda s: s.create_many([("new", {"n": 8}), ("newer", {"n": 9})]),
        [{"n": 8}, {"n": 9}],
        {"new": {"n": 8}, "newer": {"n": 9}},
    ),
    "get_many": Call(lambda s: s.get_many(["a", "none", "b"]), [SEEDS["a"], None, SEEDS["b"]]),
    "update_many": Call(
        lambda s: s.update_many({"a": {"n": Increment(1)}, "b": {"n": Increment(1)}}),
        [{"n": 2, "v": "x"}, {"n": 3, "v": "x"}],
        {"a": {"n": 2, "v": "x"}, "b": {"n": 3, "v": "x"}},
    ),
    "delete_many": Call(lambda s: s.delete_many(["a", "b"]), ["a", "b"], {"a": None, "b": None}),
    "aio get": Call(lambda s: asyncio.run(_awaited(s, "get", "a")), SEEDS["a"]),
    "aio update": Call(
        lambda s: asyncio.run(_awaited(s, "update", "a", {"n": Increment(1)})),
        {"n": 2, "v": "x"},
        {"a": {"n": 2, "v": "x"}},
    ),
}
"""The public calls of a Store that reach its server."""


class Fault(NamedTuple):
    """What befalls the requests of a call.

    Attributes:
        begin: Begins it.
        end: Ends it.
        is_slow: Whether a call comes to its timeout, so that the Store has to have a short one.
        is_harmless: Whether every call has to succeed nevertheless.
    """

    begin: Callable[[Proxy], None]
    end: Callable[[Proxy], None] = Proxy.clear_faults
    is_slow: bool = False
    is_harmless: bool = False


FAULTS: Final[dict[str, Fault]] = {
    "no fault": Fault(lambda proxy: None, is_harmless=True),
    "refused": Fault(Proxy.refuse, Proxy.listen),
    "closed before": Fault(Proxy.drop_connections),
    "request lost": Fault(Proxy.lose_next_request),
    "answer lost": Fault(lambda proxy: proxy.fail_next_answer("cut")),
    "answers lost": Fault(lambda proxy: proxy.fail_next_answer("cut", times=6)),
    "reset": Fault(lambda proxy: proxy.fail_next_answer("reset")),
    "cut behind the first byte": Fault(lambda proxy: proxy.fail_next_answer("first byte")),
    "cut in the middle": Fault(lambda proxy: proxy.fail_next_answer("half")),
    "cut before the last byte": Fault(lambda proxy: proxy.fail_next_answer("all but one")),
    "half-closed": Fault(lambda proxy: proxy.fail_next_answer("half-close")),
    "corrupt": Fault(lambda proxy: proxy.fail_next_answer("corrupt"), is_slow=True),
    "garbled": Fault(lambda proxy: proxy.fail_next_answer("garble"), is_slow=True),
    "delayed": Fault(lambda proxy: proxy.fail_next_answer("delay"), is_harmless=True),
    "dripping": Fault(lambda proxy: proxy.fail_next_answer("drip"), is_slow=True),
    "stalled": Fault(Proxy.swallow_next_answer, is_slow=True),
    "silent": Fault(Proxy.hang, Proxy.resume, is_slow=True),
}
"""The faults that a proxy makes."""

NAMED: Final = (divan.ConnectionFailed, divan.OperationTimeout, divan.StoreError)
"""The errors that a call may end with when its server is lost, hangs or talks nonsense."""


def outcome_of(call: Call, store: Store) -> Outcome:
    ended: list[Outcome] = []

    def run() -> None:
        try:
            ended.append((call.make(store), None))
        except BaseException as error:
            ended.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return ended[0] if ended else (None, TimeoutError(f"the call has not ended after {PATIENCE:g} seconds"))


def judge(call: Call, answer: Any, error: BaseException | None, documents: Documents) -> list[str]:
    """What is wrong about a call's outcome, and about what it left."""
    wrong = []
    results: list[Any] = []
    if isinstance(error, divan.BulkError):
        results = list(error.results)
        wrong += [f"an item ended with {one!r}" for one in error.errors.values() if not isinstance(one, NAMED)]
    elif error is not None and not isinstance(error, NAMED):
        wrong.append(f"raised {error!r}")
    elif error is None and answer != call.expected:
        wrong.append(f"answered {answer!r}, and not {call.expected!r}")
    documents = dict(documents)
    for number, (id, after) in enumerate(call.changed.items()):
        before: Any = SEEDS.get(id)
        if id == "?":  # made by the Store
            made = [one for one in documents if one not in SEEDS]
            if len(made) > 1:
                wrong.append(f"made {len(made)} documents")
            id = made[0] if made else id
        there = documents.pop(id, None)
        is_done = error is None or (number < len(results) and not isinstance(results[number], divan.DivanError))
        if there != after and (is_done or there != before):
            wrong.append(f"left {there!r} under {id!r}, of {before!r} and {after!r}, having ended with {error!r}")
    wrong += [f"changed {id!r} to {there!r}" for id, there in documents.items() if there != SEEDS.get(id)]
    wrong += [f"lost {id!r}" for id in SEEDS if id not in documents and id not in call.changed]
    return wrong
