"""New document ids: UUIDv7, which sort by the time they were made."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils import uuid7


def new_id() -> str:
    """A new id: a UUIDv7 (RFC 9562) in its canonical text form."""
    return str(uuid7())
