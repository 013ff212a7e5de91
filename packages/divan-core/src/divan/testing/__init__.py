"""The conformance suite: what every backend must answer, as tests that a driver's author adopts in a few lines.

Install it with ``pip install 'divan-core[testing]'``, and write one file, ``tests/test_conformance.py``::

    from divan.testing import Conformance


    class TestAcme(Conformance):
        url = "acme://localhost/{name}"

``pytest`` then runs some hundreds of checks, whose names are the specification. ``{name}`` becomes the name of a new
database for each run. Without it the named database must be empty when the tests begin, since *every document in it is
deleted* before each check.

**Where the URL is only known when the tests run**, override the fixture::

    class TestAcme(Conformance):
        @pytest.fixture
        def store_url(self, acme_server):
            return f"acme://{acme_server.address}/{{name}}"

**Where there is no URL**, override `StoreChecks.open`: ``def open(self, url, **options): return divan.open(Acme, …)``.

**What the driver can't do** is read from the methods that it overrides. A check that needs one which is missing does
not pass in silence: once the Store has raised `divan.UnsupportedOperation` naming that method, it is reported as
skipped, ``unsupported: AcmeBackend does not implement find()``. A method that is overridden and raises it fails.

**What the server can't do** is declared by name: ``limits = {divan.testing.BIG_INTS}``. A check that fails by a
declared limit is reported as an expected failure, ``limit: ints beyond 2**53``; `divan.testing.limits` tells what each
one means.

**Parts of the suite** are classes of their own, to be mixed at will: `Crud`, `Privacy`, `Update`, `Removal`,
`Increments`, `Revisions`, `QueryMeaning`, `GeneratedQueries`, `First`, `Pages`, `Reading`, `Projections`, `Indexes`,
`Bulk`, `Puts`, `Ids`, `IdField`, `BadDocuments`, `GoodDocuments`, `Text`, `Numbers`, `FieldTypes`, `Life`, `Errors`,
`Network`, `Secrets`, `Threads` (with `LostUpdates` in it), `WhereWrites`, `NestedUpdates`, `Watching`, `Expiry`,
`RandomCalls`.

**Sizes**: `StoreChecks.threads`, `rounds` and `sequences` are class attributes. With ``-p divan.testing.plugin`` pytest
also takes ``--divan-threads``, ``--divan-rounds`` and ``--divan-sequences`` (10,000 of them make a long run), and ends
with a summary of what was unsupported and what failed within limits. A server that gets slower with each document that
it has deleted is given another database now and then by `StoreChecks.checks_per_database`.

**With no file at all**: ``python -m divan.testing acme://localhost/test``, or ``divan conformance URL``, or `run`.

**For tests of one's own**: `state_machine` compares random calls on any Store with the in-memory model; `generate`
makes documents, filters and sorts that stores disagree about; `strategies` are Hypothesis strategies for what a Store
takes.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# Looked for, and not imported: pytest wants to be there before hypothesis is.
for _name in ("pytest", "hypothesis"):
    if importlib.util.find_spec(_name) is None:
        raise ImportError(f"divan.testing needs {_name}: pip install 'divan-core[testing]'", name=_name)

import pytest  # noqa: E402

if TYPE_CHECKING:
    from divan.testing import generate, limits, strategies
    from divan.testing.base import StoreChecks
    from divan.testing.checks.bulk import Bulk
    from divan.testing.checks.classes import Classes
    from divan.testing.checks.concurrency import LostUpdates, Threads
    from divan.testing.checks.crud import Crud, Privacy
    from divan.testing.checks.documents import BadDocuments, GoodDocuments
    from divan.testing.checks.errors import Errors, Life
    from divan.testing.checks.expiry import Expiry
    from divan.testing.checks.field_types import FieldTypes
    from divan.testing.checks.first import First
    from divan.testing.checks.id_field import IdField
    from divan.testing.checks.ids import Ids
    from divan.testing.checks.indexes import Indexes
    from divan.testing.checks.nested import NestedUpdates
    from divan.testing.checks.network import Network
    from divan.testing.checks.numbers import Numbers
    from divan.testing.checks.pages import Pages
    from divan.testing.checks.projections import Projections
    from divan.testing.checks.puts import Puts
    from divan.testing.checks.queries import GeneratedQueries, QueryMeaning
    from divan.testing.checks.random_calls import RandomCalls
    from divan.testing.checks.reading import Reading
    from divan.testing.checks.revisions import Revisions
    from divan.testing.checks.secrets import Secrets
    from divan.testing.checks.text import Text
    from divan.testing.checks.updates import Increments, Removal, Update
    from divan.testing.checks.watching import Watching
    from divan.testing.checks.where_writes import WhereWrites
    from divan.testing.conformance import Conformance
    from divan.testing.limits import BIG_INTS, LARGE_DOCUMENTS, NEGATIVE_ZERO, SCRIPT_NAMES, TINY_FLOATS, WHOLE_FLOATS
    from divan.testing.machine import state_machine

_HOMES: Final = {
    "BIG_INTS": "limits", "LARGE_DOCUMENTS": "limits", "SCRIPT_NAMES": "limits", "TINY_FLOATS": "limits",
    "WHOLE_FLOATS": "limits", "BadDocuments": "checks.documents", "Bulk": "checks.bulk", "Classes": "checks.classes",
    "Conformance": "conformance",
    "Crud": "checks.crud", "Errors": "checks.errors", "Expiry": "checks.expiry", "FieldTypes": "checks.field_types",
    "First": "checks.first", "GeneratedQueries": "checks.queries", "GoodDocuments": "checks.documents",
    "IdField": "checks.id_field", "Ids": "checks.ids",
    "Increments": "checks.updates", "Indexes": "checks.indexes", "Life": "checks.errors",
    "LostUpdates": "checks.concurrency", "NestedUpdates": "checks.nested",
    "Network": "checks.network", "Numbers": "checks.numbers",
    "NEGATIVE_ZERO": "limits",
    "Pages": "checks.pages", "Privacy": "checks.crud", "Projections": "checks.projections", "Puts": "checks.puts",
    "QueryMeaning": "checks.queries", "RandomCalls": "checks.random_calls",
    "Reading": "checks.reading", "Removal": "checks.updates", "Revisions": "checks.revisions",
    "Secrets": "checks.secrets", "StoreChecks": "base", "Text": "checks.text", "Threads": "checks.concurrency",
    "Update": "checks.updates", "Watching": "checks.watching", "WhereWrites": "checks.where_writes",
    "state_machine": "machine",
}  # fmt: skip
"""Public name → the module that holds it, imported when it is asked for: pytest must have the chance to rewrite it."""

_MODULES: Final = ("generate", "limits", "strategies")

REWRITTEN: Final = tuple(f"divan.testing.{home}" for home in sorted({*_HOMES.values(), "reporting"} - {"limits"}))
"""The modules whose assert statements pytest is to explain."""

pytest.register_assert_rewrite(*REWRITTEN)


def run(url: str, *arguments: str) -> int:
    """Run the whole suite against one database, as ``pytest`` does, its output on standard output.

    Args:
        url: The database's URL. It must be empty, unless ``--divan-allow-data`` is among the arguments: every document
            in it is deleted. ``{name}`` in it becomes the name of a new database.
        *arguments: Further arguments of pytest, such as ``"-k"``, ``"revisions"``, and those of `divan.testing.plugin`.

    Returns:
        pytest's exit code: 0 if every check passed, was unsupported, or failed within a declared limit; 1 if one
        failed; 4 if the database can't be opened or holds documents.
    """
    folder = Path(__file__).parent
    # The settings and plugins of the folder that the user happens to be in are not for this run.
    options = ["-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "-p", "divan.testing.plugin"]
    return int(pytest.main([*options, "--divan-url", url, str(folder / "suite.py"), *arguments]))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"divan.testing.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'divan.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"divan.testing.{_HOMES[name]}"), name)


__all__ = [
    "BIG_INTS",
    "LARGE_DOCUMENTS",
    "NEGATIVE_ZERO",
    "SCRIPT_NAMES",
    "TINY_FLOATS",
    "WHOLE_FLOATS",
    "BadDocuments",
    "Bulk",
    "Classes",
    "Conformance",
    "Crud",
    "Errors",
    "Expiry",
    "FieldTypes",
    "First",
    "GeneratedQueries",
    "GoodDocuments",
    "IdField",
    "Ids",
    "Increments",
    "Indexes",
    "Life",
    "LostUpdates",
    "NestedUpdates",
    "Network",
    "Numbers",
    "Pages",
    "Privacy",
    "Projections",
    "Puts",
    "QueryMeaning",
    "RandomCalls",
    "Reading",
    "Removal",
    "Revisions",
    "Secrets",
    "StoreChecks",
    "Text",
    "Threads",
    "Update",
    "Watching",
    "WhereWrites",
    "generate",
    "limits",
    "run",
    "state_machine",
    "strategies",
]
