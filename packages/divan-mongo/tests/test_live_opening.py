"""Opening a live MongoDB: collections, and options of pymongo's own."""

from __future__ import annotations

from collections.abc import Callable

import divan
import pytest

from tests.support.servers import Server

pytestmark = pytest.mark.live


def test_the_collection_is_named_in_the_path_or_by_an_option(
    open_store: Callable[..., divan.Store], mongo_server: Server, database: str
) -> None:
    open_store("collection=guests.old").create({"n": 1}, id="a")
    with divan.open(mongo_server.store_url(f"{database}.guests.old")) as store:
        assert store["a"] == {"n": 1}


def test_pymongos_own_options_are_passed_on(open_store: Callable[..., divan.Store]) -> None:
    store = open_store("readPreference=secondaryPreferred&w=1&retryWrites=false&maxPoolSize=7&directConnection=true")
    options = store.backend.client.options  # type: ignore[attr-defined]
    assert options.pool_options.max_pool_size == 7
    assert (options.read_preference.mongos_mode, options.retry_writes) == ("secondaryPreferred", False)


def test_timeouts_are_set_by_default_and_by_option(open_store: Callable[..., divan.Store]) -> None:
    default = open_store().backend.client.options  # type: ignore[attr-defined]
    assert (default.pool_options.socket_timeout, default.server_selection_timeout) == (30, 5)
    given = open_store("timeout=20&connect_timeout=31").backend.client.options  # type: ignore[attr-defined]
    assert (given.pool_options.socket_timeout, given.pool_options.connect_timeout) == (20, 20)
    own = open_store("timeout=20&socketTimeoutMS=70000").backend.client.options  # type: ignore[attr-defined]
    assert own.pool_options.socket_timeout == 70


def test_a_missing_collection_is_refused_where_none_is_to_be_made(open_store: Callable[..., divan.Store]) -> None:
    with pytest.raises(divan.DatabaseNotFound, match="create=false"):
        open_store("create=false")
    open_store().create({})
    assert open_store("create=false").count() == 1
