"""The suite on each mutant: a class for each, on a copy of the embedded drivers in which one fault is seeded."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import divan
import divan.backends
from divan import Store
from divan.backends.base import BaseDivanBackend
from divan.testing import Conformance

sys.path.insert(0, str(Path(__file__).parent))
from table import MUTANTS, Mutant

_ORIGINALS = Path(divan.backends.__file__).parent


@cache
def _copies() -> Path:
    """Where the copies stand, for as long as this process runs."""
    folder = tempfile.TemporaryDirectory(prefix="divan-mutants-")
    sys.path.insert(0, folder.name)
    _keep.append(folder)
    return Path(folder.name)


_keep: list[tempfile.TemporaryDirectory[str]] = []


def seed(name: str, mutant: Mutant) -> type[BaseDivanBackend]:
    """The driver with a fault in it; with none, where nothing is replaced.

    Args:
        name: What the copy is called.
        mutant: The fault.

    Raises:
        ValueError: if the text that it replaces does not stand there exactly once.
    """
    package = f"mutant_{name.lower()}"
    copy = _copies() / package
    shutil.copytree(_ORIGINALS / "sqlite", copy / "sqlite", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ORIGINALS / "memory.py", copy)
    shutil.copy(_ORIGINALS / "sql.py", copy)
    changed = copy / mutant.file
    text = changed.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{name}: {mutant.old!r} stands {text.count(mutant.old)} times in {mutant.file}; mend the table"
        )
    changed.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    for module in (copy / "sqlite").glob("*.py"):
        source = module.read_text(encoding="utf-8")
        for original in ("sqlite", "sql import"):
            source = source.replace(f"divan.backends.{original}", f"{package}.{original}")
        module.write_text(source, encoding="utf-8")
    importlib.invalidate_caches()
    if mutant.file == "memory.py":
        return importlib.import_module(f"{package}.memory").MemoryBackend  # type: ignore[no-any-return]
    return importlib.import_module(f"{package}.sqlite.backend").SQLiteBackend  # type: ignore[no-any-return]


def _make(name: str, mutant: Mutant) -> type[Conformance]:
    def open_mutant(self: Any, url: str, **options: Any) -> Store:
        backend = seeded()
        path = url.removeprefix("sqlite:///")
        return divan.open(backend, database=path, **options)

    @cache
    def seeded() -> type[BaseDivanBackend]:
        return seed(name, mutant)

    url = f"sqlite:///{_copies()}/{name}-{{name}}.db"
    return type(f"Test{name}", (Conformance,), {"open": open_mutant, "url": url, "threads": 4, "rounds": 10})


UNCHANGED = "Unchanged"
"""The copy that has no fault, on which the same checks pass."""

globals().update({f"Test{UNCHANGED}": _make(UNCHANGED, Mutant("sqlite/sql.py", "import re\n", "import re\n", ""))})
globals().update({f"Test{name}": _make(name, mutant) for name, mutant in MUTANTS.items()})
