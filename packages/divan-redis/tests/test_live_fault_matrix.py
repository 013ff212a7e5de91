"""Every fault at every call of a Store on a live Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import servers
from tests.support.faults import FaultMatrix
from tests.support.servers import Server


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.heavy
class TestRedisFaults(FaultMatrix):
    """On a server of its own, whose keys a search has to go through."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[Server]:
        with servers.fresh("redis") as own:
            yield own
