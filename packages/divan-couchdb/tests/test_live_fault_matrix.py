"""Every fault at every call of a Store on a live CouchDB."""

from __future__ import annotations

import pytest
from divan import Store

from tests.support.faults import FaultMatrix
from tests.support.servers import Server


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.heavy
class TestCouchDBFaults(FaultMatrix):
    """Each lane has a database of its own, which goes with it."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, couchdb_server: Server) -> Server:
        return couchdb_server

    @classmethod
    def revive(cls, store: Store) -> None:
        store.backend.db.resource.put_json()  # type: ignore[attr-defined]

    @classmethod
    def drop(cls, store: Store) -> None:
        store.backend.db.resource.delete_json()  # type: ignore[attr-defined]
