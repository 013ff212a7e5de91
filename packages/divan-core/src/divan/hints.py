"""Internal: what was meant by a store's name or URL that nothing knows; asked for on the way to an error alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from divan.directory import KNOWN_BACKENDS

_BY_PROTOCOL: Final = {"http": "couchdb", "https": "couchdbs", "file": "sqlite"}
_SQLITE: Final = re.compile(r"sqlite3?:/{0,2}(?P<path>[^/].*|/[^/].*)", re.IGNORECASE | re.DOTALL)
_FILE: Final = re.compile(r"[^:@?#]+\.(?:db3?|sqlite3?)", re.IGNORECASE)
_NO_COLON: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+]*)//(?P<rest>[^@?#]*)", re.IGNORECASE)


def scheme_meant(name: str, names: Iterable[str]) -> str | None:
    """The name of a backend that was meant by another name.

    Args:
        name: What was given.
        names: The installed backends' names and aliases; the known ones that are not installed are thought of too.
    """
    known = [*names, *KNOWN_BACKENDS]
    lower = name.lower()
    if lower in known:
        return lower
    by_protocol = _BY_PROTOCOL.get(lower)
    return by_protocol or next(iter(get_close_matches(lower, known, n=1, cutoff=0.7)), None)


def url_meant(text: str) -> str | None:
    """The URL that was meant by a text that is none: the path of a file, or a URL that lacks a part of its ``://``.

    Nothing in which there may be a password is taken for either.
    """
    if _FILE.fullmatch(text):
        return f"sqlite:///{text}"
    if "@" in text or "://" in text:
        return None
    if found := _SQLITE.fullmatch(text):
        return f"sqlite:///{found['path']}"
    if (found := _NO_COLON.fullmatch(text)) and found["scheme"].lower() in KNOWN_BACKENDS:
        return f"{found['scheme'].lower()}://{found['rest']}"
    return None
