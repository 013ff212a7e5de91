"""Keeps pytest out of what strangers wrote: `tests/test_strangers.py` installs it first, and then runs its tests."""

collect_ignore_glob = ["*"]
