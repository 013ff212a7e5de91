"""One filter finds the same documents on every store: those that the reference matcher finds."""

from __future__ import annotations

import divan
import pytest
from divan.query import parse
from divan.testing import BIG_INTS, generate

from tests.support.conformance import database_url
from tests.support.servers import Server


@pytest.mark.live
def test_the_same_filters_find_the_same_ids_on_every_store(
    tmp_path: object,
    couchdb_server: Server,
    mongo_server: Server,
    postgres_server: Server,
    redis_server: Server,
    redis_cluster: Server,
) -> None:
    servers = [couchdb_server, mongo_server, postgres_server, redis_server, redis_cluster]
    big_ints = all(BIG_INTS not in server.limits for server in servers)
    documents = [(f"document {at:03}", data) for at, data in enumerate(generate.documents(200, big_ints=big_ints))]
    filters = generate.filters(500, big_ints=big_ints)
    expected = [[id for id, data in documents if parse(where).matches(data)] for where in filters]
    urls = ["memory://same_filters", f"sqlite:///{tmp_path}/same_filters.db"]
    wrong: dict[str, list[dict[str, object]]] = {}
    for url in [*urls, *(database_url(server, "divan_same_filters") for server in servers)]:
        with divan.open(url) as store:
            store.delete_many(list(store.ids()))  # of an earlier run on a server that is still there
            store.create_many(documents)
            found = [sorted(document.id for document in store.find(where, fields=[])) for where in filters]
            wrong[store.name] = [
                where for where, got, wanted in zip(filters, found, expected, strict=True) if got != wanted
            ]
            store.delete_many(list(store.ids()))
    assert {name: found for name, found in wrong.items() if found} == {}
