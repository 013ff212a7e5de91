"""Internal: the suite against a database that is named on the command line, with no file to write.

``pytest -p divan.testing.plugin --pyargs divan.testing.suite --divan-url URL``
"""

from __future__ import annotations

import pytest

from divan.testing import Conformance
from divan.testing.comparing import ShownURL


class TestConformance(Conformance):
    """Every check, against ``--divan-url``."""

    @pytest.fixture
    def store_url(self, request: pytest.FixtureRequest) -> str:
        """The URL that was given; the known limits of its server beside it."""
        url = request.config.getoption("--divan-url", default=None)
        if not url:
            pytest.fail("name a database to test: -p divan.testing.plugin --divan-url URL", pytrace=False)
        self.limits = frozenset(request.config.getoption("--divan-limit"))
        return ShownURL(url)
