"""Divan's put and get over those of py-key-value-aio, the nearest library, on the same servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import divan
from key_value.aio.stores.mongodb import MongoDBStore
from key_value.aio.stores.redis import RedisStore

from benchmarks.documents import make_document
from benchmarks.harness import Pair, Row, Run, Settings, timed
from benchmarks.live import repeat
from tests.support import servers
from tests.support.servers import Server

KEYS = 1_000


def _redis(server: Server) -> Any:
    return RedisStore(host=server.host, port=server.port, username=server.user, password=server.password)


def _mongo(server: Server) -> Any:
    return MongoDBStore(url=f"mongodb://{server.host}:{server.port}", db_name="bench_peer", coll_name="documents")


def _rows(kind: str, connect: Callable[[Server], Any]) -> list[Row]:
    keys = [f"guest-{number:04}" for number in range(KEYS)]
    documents = [make_document(number) for number in range(KEYS)]
    items = list(zip(keys, documents, strict=True))

    @contextmanager
    def sides() -> Iterator[tuple[divan.Store, Any, asyncio.Runner]]:
        with (
            servers.fresh(kind) as server,
            divan.open(server.store_url("bench_divan")) as store,
            asyncio.Runner() as runner,
        ):
            peer = connect(server)
            yield store, peer, runner
            runner.run(peer.close())

    def in_turn(runner: asyncio.Runner, call: Callable[[Any], Coroutine[Any, Any, Any]], arguments: list[Any]) -> Run:
        async def run(operations: int) -> None:
            for number in range(operations):
                await call(arguments[number % len(arguments)])

        return timed(lambda operations: runner.run(run(operations)))

    @contextmanager
    def put(settings: Settings) -> Iterator[Pair]:
        with sides() as (store, peer, runner):
            yield Pair(
                repeat(lambda item: store.put(*item), items),
                in_turn(runner, lambda item: peer.put(key=item[0], value=item[1]), items),
            )

    @contextmanager
    def get(settings: Settings) -> Iterator[Pair]:
        with sides() as (store, peer, runner):
            repeat(lambda item: store.put(*item), items)(KEYS)
            in_turn(runner, lambda item: peer.put(key=item[0], value=item[1]), items)(KEYS)
            yield Pair(repeat(store.get, keys), in_turn(runner, lambda key: peer.get(key=key), keys))

    return [
        Row(f"peer.{kind}_put", "put()", "py-key-value-aio put()", put, operations=300, target=1.0, rounds=11),
        Row(f"peer.{kind}_get", "get()", "py-key-value-aio get()", get, operations=300, target=1.0, rounds=11),
    ]


ROWS = [*_rows("redis", _redis), *_rows("mongo", _mongo)]
