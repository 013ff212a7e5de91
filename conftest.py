"""What pytest loads before it collects, here and in every package's unpacked source distribution."""

from __future__ import annotations

pytest_plugins = ["tests.support.plugin"]
