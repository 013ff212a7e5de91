"""One program for every store: it opens the one that `DIVAN_URL` names, uses each call, and prints what it gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import divan

SCHEMA = {
    "arrival": "DateField",
    "booked": "DateTimeField",
    "length": "DurationField",
    "price": "DecimalField",
    "code": "UUIDField",
}

WRONG_DOCUMENTS: list[dict[str, Any]] = [
    {"a": float("nan")}, {"a": 2**64}, {"a.b": 1}, {"_id": 1}, {"when": date(2026, 1, 1)},
]  # fmt: skip
WRONG_QUERIES: list[dict[str, Any]] = [{"a": {"$where": "1"}}, {"price": {"$gt": Decimal(1)}}, {"$nor": [{}]}]


def show(what: str, value: Any) -> None:
    print(f"{what}: {json.dumps(value, sort_keys=True, ensure_ascii=False, default=repr)}")


def attempt(what: str, call: Callable[[], object]) -> None:
    try:
        call()
        show(what, "no error")
    except divan.BulkError as error:
        failed = [type(result).__name__ if isinstance(result, Exception) else result for result in error.results]
        show(what, [type(error).__name__, failed])
    except divan.DivanError as error:
        show(what, [type(error).__name__, str(error).split("; get it again")[0].split(" since revision")[0]])


def main() -> None:
    with divan.open(schema=SCHEMA) as guests:
        guests.delete_many(list(guests.ids()))
        ada = guests.create(
            {
                "name": "Ada", "arrival": date(2026, 12, 1), "booked": datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC),
                "length": timedelta(days=3, microseconds=1), "price": Decimal("99.50"), "code": UUID(int=7),
                "rooms": ["quiet", {"view": "sea", "beds": 2}], "notes": None, "vip": True, "score": 0.1, "empty": [],
            },
            id="ada/lovelace?#%",
        )  # fmt: skip
        show("created", ada)
        show("got", guests.get(ada))
        show("updated", guests.update(ada, {"notes": divan.REMOVE, "score": divan.Increment(0.2), "name": "Ada L."}))
        attempt("stale update", lambda: guests.update(ada, {"name": "Mine"}, rev=ada.rev))
        many = [(f"guest-{number}", {"n": number, "arrival": date(2026, 12, number + 1)}) for number in range(6)]
        show("created many", [document.id for document in guests.create_many(many)])
        attempt("taken id", lambda: guests.create({}, id="guest-1"))
        attempt("bulk with failures", lambda: guests.create_many([("guest-1", {}), ("guest-9", {"n": 9})]))
        show("in order", [d.id for d in guests.find({"n": {"$exists": True}}, sort=["-n"], limit=3, skip=1)])
        show("from a date", sorted(d.id for d in guests.find({"arrival": {"$gte": date(2026, 12, 4)}})))
        show("either", guests.count({"$or": [{"n": {"$lt": 2}}, {"rooms": {"$contains": "quiet"}}]}))
        show("not", guests.count({"n": {"$not": {"$gt": 3}}}))
        show("projection", list(guests.find({"n": 2}, fields=["arrival"])))
        show("every id", sorted(guests.ids()))
        show("some", guests.get_many(["guest-1", "nobody", "guest-2"]))
        show("replaced", guests.replace("guest-2", {"n": 2, "again": True}))
        show("put", guests.put("guest-7", {"n": 7}))
        show("update many", guests.update_many({"guest-1": {"n": 11}, "guest-3": {"x": {"deep": [1, [2]]}}}))
        guests.ensure_index("n")
        show("indexed", [d.id for d in guests.find({"n": {"$in": [2, 7, "7"]}}, sort="n")])
        guests.delete("guest-7")
        show("gone", "guest-7" in guests)
        attempt("missing", lambda: guests.get("nobody"))
        attempt("deleting what is gone", lambda: guests.delete_many(["guest-7", "guest-1"]))
        for wrong in WRONG_DOCUMENTS:
            attempt("refused", partial(guests.create, wrong))
        for query in WRONG_QUERIES:
            attempt("no query", partial(guests.find, query))
        attempt("no id", lambda: guests.get("_design/x"))
        show("left", guests.count())


if __name__ == "__main__":
    main()
