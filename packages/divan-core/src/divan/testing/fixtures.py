"""Internal: the fixtures of the pytest plugin, for tests of programs that use Divan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import divan
from divan import Store
from divan.testing.comparing import ShownURL

URLS_SETTING: Final = "divan_urls"
DEFAULT_URLS: Final = ("memory://", "sqlite:///{folder}/test.db")
_EACH: Final = "divan_url"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses ``divan_url``, or a fixture that does, once for each URL of the setting ``divan_urls``."""
    if _EACH in metafunc.fixturenames:
        urls = [ShownURL(url) for url in metafunc.config.getini(URLS_SETTING)]
        metafunc.parametrize(_EACH, urls, indirect=True, ids=[url.partition(":")[0] for url in urls])


@pytest.fixture
def divan_schema() -> Any:
    """The schema that the Stores of the other fixtures are opened with: none; override it with one of your own."""
    return None


@pytest.fixture
def divan_store(divan_schema: Any) -> Iterator[Store[Any]]:
    """An empty Store in memory that no other test sees; closed when the test ends."""
    with divan.open("memory://", schema=divan_schema) as store:
        yield store


@pytest.fixture
def divan_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A URL of the setting ``divan_urls``, one after the other: ``{name}`` and ``{folder}`` are filled in."""
    from divan.testing.base import new_database_name  # here and below, once its assert statements are rewritten

    folder = tmp_path.as_posix()
    return ShownURL(str.__str__(request.param).replace("{name}", new_database_name()).replace("{folder}", folder))


@pytest.fixture
def divan_each_store(divan_url: str, divan_schema: Any) -> Iterator[Store[Any]]:
    """An empty Store at each URL of the setting ``divan_urls``; emptied and closed when the test ends.

    A database that holds documents when the test begins is somebody's: the test fails, and nothing is deleted.
    """
    from divan.testing.base import can_empty, empty, holds_documents

    with divan.open(str.__str__(divan_url), schema=divan_schema) as store:
        if holds_documents(store):
            pytest.fail(
                f"{store.url} holds documents, and the test would delete them: name an empty database in the setting "
                f"{URLS_SETTING}, or write {{name}} into the URL to have a new one for each test",
                pytrace=False,
            )
        yield store
        if can_empty(store):
            empty(store)
