"""New document ids: UUIDv7, which sort by the time they were made."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    try:
        from uuid_utils import uuid7
    except ImportError:  # it is compiled, and can't be imported from a zip file
        from divan.uuid7 import uuid7  # type: ignore[assignment]


def new_id() -> str:
    """A new id: a UUIDv7 (RFC 9562) in its canonical text form."""
    return str(uuid7())
