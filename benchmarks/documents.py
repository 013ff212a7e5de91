"""The document that every row stores: 8 fields, 295 bytes of compact JSON."""

from __future__ import annotations

import json
from typing import Any

SIZE = 295
GROUPS = 1000


def make_document(number: int) -> dict[str, Any]:
    """The document of a number, the same at every call.

    Args:
        number: 0 to 9,999,999; documents whose numbers are equal modulo `GROUPS` share their `group`.
    """
    document: dict[str, Any] = {
        "name": f"Guest {number:07}",
        "email": f"guest{number:07}@example.org",
        "group": number % GROUPS,
        "score": number / 8 + 0.5,
        "active": number % 2 == 0,
        "tags": ["alpha", "beta", f"t{number % 10}"],
        "address": {"street": f"{number % 100} Harbour Road", "city": "Lisbon", "zip": f"{number % 10000:04}"},
        "note": "",
    }
    document["note"] = ("quiet room, late arrival " * 5)[: SIZE - len(json.dumps(document, separators=(",", ":")))]
    return document
