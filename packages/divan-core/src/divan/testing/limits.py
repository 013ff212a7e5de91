"""The known limits of servers: names for what a server, and no driver, can do about a check that fails.

A test declares those of its server (``limits = {BIG_INTS}``); a check that then fails because of one is reported as an
expected failure under its name. A limit excuses nothing but the checks that name it.
"""

from __future__ import annotations

from typing import Final

BIG_INTS: Final = "ints beyond 2**53"
"""The server computes with JavaScript's numbers: longer integers lose digits."""

WHOLE_FLOATS: Final = "1.0 becomes 1"
"""The server computes with JavaScript's numbers: a float without a fraction comes back as an int, -0.0 as 0."""

SCRIPT_NAMES: Final = "names of JavaScript's own"
"""The server keeps documents as JavaScript objects: a field called ``__proto__`` gets lost or does harm."""

NEGATIVE_ZERO: Final = "-0.0 becomes 0.0"
"""The server loses the sign of zero, as CouchDB does on some releases of Erlang."""

TINY_FLOATS: Final = "the smallest floats in an index"
"""The server's indexes lose floats next to zero, such as 5e-324."""

LARGE_DOCUMENTS: Final = "documents of a megabyte"
"""The server refuses a document of 1 MB."""

ALL: Final = frozenset({BIG_INTS, WHOLE_FLOATS, NEGATIVE_ZERO, SCRIPT_NAMES, TINY_FLOATS, LARGE_DOCUMENTS})
"""Every limit that a check names."""
