"""The memory backend under the suite."""

from __future__ import annotations

from divan.testing import Conformance


class TestMemory(Conformance):
    url = "memory://{name}"
