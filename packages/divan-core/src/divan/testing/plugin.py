"""The pytest plugin: fixtures for tests of programs that use Divan, options and a summary for the conformance suite.

Loaded with ``-p divan.testing.plugin``, or by ``pytest_plugins = ["divan.testing.plugin"]`` in the ``conftest.py`` at
the top. The suite works without it, with its defaults.

===================  ==========================================================================================
fixture              gives
===================  ==========================================================================================
`divan_store`        an empty Store in memory
`divan_each_store`   an empty Store at each URL of the setting ``divan_urls``, one after the other
`divan_url`          each of these URLs, for tests that open Stores themselves
`divan_schema`       the schema that the Stores are opened with; override it
===================  ==========================================================================================
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import divan
from divan import DivanError
from divan.testing import REWRITTEN, limits
from divan.testing.fixtures import (
    DEFAULT_URLS,
    URLS_SETTING,
    divan_each_store,
    divan_schema,
    divan_store,
    divan_url,
    pytest_generate_tests,
)

__all__ = [
    "divan_each_store",
    "divan_schema",
    "divan_store",
    "divan_url",
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_sessionstart",
    "pytest_terminal_summary",
]

_UNSUPPORTED = "unsupported: "
_LIMIT = "limit: "


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options, and the fixtures' setting."""
    parser.addini(
        URLS_SETTING,
        type="linelist",
        default=list(DEFAULT_URLS),
        help="URLs of the databases that divan_each_store opens; {name} makes a new one, {folder} is the test's own",
    )
    group = parser.getgroup("divan", "Divan's conformance suite")
    group.addoption(
        "--divan-url", metavar="URL", help="the empty database that divan.testing.suite tests; {name} makes a new one"
    )
    group.addoption(
        "--divan-allow-data", action="store_true", help="test a database that holds documents: ALL OF THEM ARE DELETED"
    )
    group.addoption(
        "--divan-limit",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(limits.ALL),
        help=f"a known limit of the server, of: {', '.join(sorted(limits.ALL))}; may be given again",
    )
    group.addoption(
        "--divan-sequences", type=int, metavar="N", help="how many random sequences of calls to compare (100)"
    )
    group.addoption("--divan-threads", type=int, metavar="N", help="how many threads write at once (8)")
    group.addoption("--divan-rounds", type=int, metavar="N", help="how many writes each thread makes (25)")


def pytest_configure() -> None:
    """Have the suite's assert statements explained, also where `divan.testing` was imported before pytest was."""
    pytest.register_assert_rewrite(*REWRITTEN)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop before anything is deleted, if the database can't be opened or holds documents."""
    url = session.config.getoption("--divan-url")
    if not url or "{name}" in url or hasattr(session.config, "workerinput"):
        return
    from divan.testing.base import holds_documents, refusal  # once its assert statements are rewritten

    try:
        with divan.open(url) as store:
            holds = holds_documents(store)
            message = refusal(store)
    except DivanError as error:
        raise pytest.UsageError(f"the database can't be tested: {error}") from error
    if holds and not session.config.getoption("--divan-allow-data"):
        raise pytest.UsageError(message)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List what the backend does not support and what the server's limits let fail."""
    stats = terminalreporter.stats
    unsupported = Counter(
        _reason(report) for report in stats.get("skipped", ()) if _UNSUPPORTED in str(report.longrepr)
    )
    limited = Counter(
        str(report.wasxfail).partition(_LIMIT)[2]
        for report in stats.get("xfailed", ())
        if _LIMIT in str(getattr(report, "wasxfail", ""))
    )
    if unsupported:
        terminalreporter.section("unsupported by the backend")
        for reason, number in sorted(unsupported.items()):
            terminalreporter.write_line(f"{number:5} checks: {reason}")
    if limited:
        terminalreporter.section("failed within the server's known limits")
        for name, number in sorted(limited.items()):
            terminalreporter.write_line(f"{number:5} checks: {name}")


def _reason(report: Any) -> str:
    _, _, message = report.longrepr
    return str(message).partition(_UNSUPPORTED)[2]
