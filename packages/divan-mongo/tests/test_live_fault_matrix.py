"""Every fault at every call of a Store on a live MongoDB."""

from __future__ import annotations

import divan
import pytest
from divan import Store

from tests.support.faults import FaultMatrix
from tests.support.servers import Server

from .live import MONITOR_SILENT


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.heavy
class TestMongoFaults(FaultMatrix):
    """pymongo's monitor of each server asks nothing meanwhile, so that no fault meets its answers in place of a call's."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, mongo_server: Server) -> Server:
        if mongo_server.user is not None:
            pytest.skip("the server in the environment wants credentials")
        return mongo_server

    @classmethod
    def open(cls, server: Server, database: str, seconds: float) -> Store:
        url = f"mongo://{server.host}:{server.port}/{database}?directConnection=true&{MONITOR_SILENT}"
        return divan.open(url, timeout=seconds, connect_timeout=5.0)

    @classmethod
    def drop(cls, store: Store) -> None:
        store.backend.client.drop_database(store.backend.database)  # type: ignore[attr-defined]
