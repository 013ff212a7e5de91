"""Internal: the native client, plain or cluster, and what is asked of it: a command or script, many of them, a scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final

import redis
from divan.errors import DivanError, StoreClosed
from divan.options import Options
from redis import exceptions
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from divan_redis.errors import NATIVE_ERRORS, translate
from divan_redis.options import Settings
from divan_redis.scripts import ALL, Script

Command = tuple[bytes, ...]
"""A command's words."""

_PAGE: Final = 500  # keys that one SCAN looks at; the documents of one page are in memory at once
_PIECE: Final = 50  # commands that are sent at once


class Client:
    """A native client, opened.

    Args:
        settings: What the URL asks for.

    Attributes:
        native: The `redis.Redis` or `redis.cluster.RedisCluster`.

    Raises:
        ConnectionFailed, AuthenticationFailed, OperationTimeout: if there is no server that answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._shown = settings.shown
        self._timeout: float = settings.options["timeout"]
        self._retries: int = settings.options["retries"]
        self._is_cluster = settings.cluster
        self._closed = False
        self._scans_by_type = True  # until a server says that its SCAN knows no TYPE
        self.native: Any = self._guarded(_connect, settings)
        try:
            # Loading the scripts now saves each one's first call a round trip. An account that may not can still read.
            self._ping(*((b"SCRIPT", b"LOAD", script.text) for script in ALL))
        except BaseException:
            self.close()
            raise

    # One round trip each

    def read(self, command: bytes, key: bytes, *arguments: bytes) -> Any:
        """Send one command that changes nothing; again, if the connection was lost."""
        return self._guarded(self._send_one, key, (command, key, *arguments), key=key, retries=self._retries)

    def run(self, script: Script, key: bytes, *arguments: bytes) -> Any:
        """Run a script on one key; on a server that has never seen it, in two round trips."""
        try:
            return self._guarded(self._send_one, key, (b"EVALSHA", script.sha, b"1", key, *arguments), key=key)
        except NoScriptError:
            return self._guarded(self._send_one, key, (b"EVAL", script.text, b"1", key, *arguments), key=key)

    def read_many(
        self, command: bytes, keys: Sequence[bytes], *arguments: bytes, other_type: Callable[[], Any] | None = None
    ) -> list[Any]:
        """Send one command that changes nothing to each key; one result a key, in order.

        Args:
            command: The command's name.
            keys: The keys.
            *arguments: What follows the key.
            other_type: Makes the result for a key that holds no hash; without it, such a key is a `StoreError`.
        """
        commands = [(command, key, *arguments) for key in keys]
        results: list[Any] = self._guarded(self._read_all, keys, commands, retries=self._retries)
        for index, result in enumerate(results):
            if isinstance(result, ResponseError):
                if other_type is None or not str(result).startswith("WRONGTYPE"):
                    raise self._translated(result, keys[index]) from result
                results[index] = other_type()
        return results

    def run_many(self, script: Script, items: Sequence[tuple[bytes, ...]]) -> list[Any]:
        """Run a script once an item: (key, arguments…); one result or `DivanError` an item, in order."""
        commands = [(b"EVALSHA", script.sha, b"1", *item) for item in items]
        results = self._write_all([item[0] for item in items], commands, script)
        for index, result in enumerate(results):
            if isinstance(result, NoScriptError):  # the server's scripts were emptied in between
                try:
                    results[index] = self.run(script, *items[index])
                except DivanError as error:
                    results[index] = error
        return results

    def delete(self, key: bytes) -> bool:
        """Delete a key; whether it was there."""
        return bool(self._guarded(self._send_one, key, (b"DEL", key), key=key))

    def delete_many(self, keys: Sequence[bytes]) -> list[Any]:
        """Delete keys; whether each was there, or a `DivanError`, in order."""
        return self._write_all(keys, [(b"DEL", key) for key in keys])

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        """The keys of the hashes that match a glob pattern, page by page; a key may come twice."""
        for node in self._guarded(self._nodes):
            # One connection for the whole walk: a cursor means nothing to another server, nor after a restart.
            connection = self._guarded(node.connection_pool.get_connection)
            try:
                cursor = b"0"
                while True:
                    cursor, keys = self._guarded(self._scan_page, connection, cursor, pattern)
                    yield keys
                    if cursor == b"0":
                        break
            finally:
                node.connection_pool.release(connection)

    def ping(self) -> None:
        """Return if every primary answers."""
        self._ping()

    def close(self) -> None:
        """Release the connections."""
        self._closed = True
        self.native.close()
        pool = getattr(self.native, "connection_pool", None)
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            sentinel.close()

    # Below: native errors fly, and `_guarded` is what catches them

    def _guarded(
        self, function: Callable[..., Any], *arguments: Any, key: bytes | None = None, retries: int = 0
    ) -> Any:
        if self._closed:
            raise StoreClosed(f"the connection to Redis at {self._shown} is closed; open the store again")
        while True:
            try:
                return function(*arguments)
            except (NoScriptError, DivanError):
                raise
            except NATIVE_ERRORS as error:
                lost = isinstance(error, exceptions.ConnectionError)
                if retries and lost and not isinstance(error, exceptions.AuthenticationError):
                    retries -= 1
                    continue
                raise self._translated(error, key) from error

    def _translated(self, error: Exception, key: bytes | None = None) -> DivanError:
        return translate(error, self._shown, self._timeout, key)

    def _nodes(self) -> list[Any]:
        """A plain client for each server that holds documents."""
        native = self.native
        if self._is_cluster:
            return [native.get_redis_connection(node) for node in native.get_primaries()]
        return [native]

    def _ping(self, *more: Command) -> None:
        for node in self._guarded(self._nodes):
            answer, *_ = self._guarded(_send_to, node, [(b"PING",), *more])
            if isinstance(answer, Exception):
                raise self._translated(answer) from answer

    def _send_one(self, key: bytes, command: Command) -> Any:
        (result,) = self._send((key,), (command,)) if self._is_cluster else _send_to(self.native, (command,))
        if isinstance(result, Exception):
            raise result
        return result

    def _write_all(self, keys: Sequence[bytes], commands: Sequence[Command], script: Script | None = None) -> list[Any]:
        results: list[Any] = self._guarded(self._send, keys, commands, script)
        for index, result in enumerate(results):
            if isinstance(result, Exception) and not isinstance(result, NoScriptError):
                results[index] = self._translated(result, keys[index])
                results[index].__cause__ = result
        return results

    def _read_all(self, keys: Sequence[bytes], commands: Sequence[Command]) -> list[Any]:
        results = self._send(keys, commands)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ResponseError):
                raise result
        return results

    def _send(self, keys: Sequence[bytes], commands: Sequence[Command], script: Script | None = None) -> list[Any]:
        """One result or error a command, in order; in one round trip, or one a cluster node."""
        cluster = self.native
        if not self._is_cluster:
            return _send_to(cluster, commands, script)
        groups: dict[str, tuple[Any, list[int]]] = {}
        for index, key in enumerate(keys):
            node = cluster.get_node_from_key(key)
            groups.setdefault(node.name, (node, []))[1].append(index)
        results: list[Any] = [None] * len(keys)
        for node, indices in groups.values():
            try:
                sent = _send_to(cluster.get_redis_connection(node), [commands[index] for index in indices], script)
            except NATIVE_ERRORS as error:
                sent = [error] * len(indices)
                with suppress(*NATIVE_ERRORS):
                    cluster.nodes_manager.initialize()  # another node may have taken over
            for index, result in zip(indices, sent, strict=True):
                if isinstance(result, exceptions.AskError | exceptions.TryAgainError):
                    result = self._follow(commands[index])
                results[index] = result
        return results

    def _follow(self, command: Command) -> Any:
        """The result of a command whose slot moves, or has moved, to another node: the native client goes after it."""
        try:
            result = self.native.execute_command(command[0].decode(), *command[1:])
        except NATIVE_ERRORS as error:
            return error
        return list(chain.from_iterable(result.items())) if isinstance(result, dict) else result

    def _scan_page(self, connection: Any, cursor: bytes, pattern: bytes) -> tuple[bytes, list[bytes]]:
        command = (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % _PAGE)
        if self._scans_by_type:
            (page,) = _exchange(connection, [(*command, b"TYPE", b"hash")])
            if not isinstance(page, ResponseError):
                return page[0], page[1]
            if "syntax error" not in str(page):
                raise page
            self._scans_by_type = False  # Redis before 6
        (page,) = _exchange(connection, [command])
        if isinstance(page, ResponseError):
            raise page
        kinds = _exchange(connection, [(b"TYPE", key) for key in page[1]])
        return page[0], [key for key, kind in zip(page[1], kinds, strict=True) if kind == b"hash"]


def _connect(settings: Settings) -> Any:
    """The native client: a `redis.Redis`, or a `redis.cluster.RedisCluster`."""
    options = settings.options
    shared = Options(  # which shows no password, in a traceback with its variables
        socket_timeout=options["timeout"],
        socket_connect_timeout=options["connect_timeout"],
        socket_keepalive=True,
        # Any version speaks it, and without the handshake of RESP3 a connection is one round trip cheaper.
        protocol=2,
        username=options.get("user") or None,
        password=options.get("password"),
        # A write that is sent again after a lost answer may count twice: the client itself must never retry.
        retry=Retry(NoBackoff(), 0),
        **settings.tls,
    )
    if settings.cluster:
        make_node: Any = ClusterNode  # untyped there, as is Sentinel
        return RedisCluster(startup_nodes=[make_node(name, number) for name, number in settings.hosts], **shared)
    shared["db"] = options["db"]
    if options["service"]:
        credentials = {"username": options["sentinel_user"], "password": options["sentinel_password"]}
        make_sentinel: Any = Sentinel
        sentinel = make_sentinel(settings.hosts, sentinel_kwargs=Options({**shared, "db": 0, **credentials}))
        return sentinel.master_for(options["service"], **shared)
    if options["socket"]:
        return redis.Redis(unix_socket_path=options["socket"], **shared)
    ((name, number),) = settings.hosts
    return redis.Redis(host=name, port=number, **shared)


def _send_to(node: Any, commands: Sequence[Command], script: Script | None = None) -> list[Any]:
    """Send commands to one server in one go; the first of several calls of a script brings its source along."""
    if script is not None:
        commands = [(b"EVAL", script.text, *commands[0][2:]), *commands[1:]]
    pool = node.connection_pool
    connection = pool.get_connection()
    try:
        return _exchange(connection, commands)
    finally:
        pool.release(connection)


def _exchange(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """What a server answers to each command: its answer, or a `ResponseError`.

    This goes to the client's connection, and packs the words itself: a pipeline of redis-py spends twice the time.
    """
    results: list[Any] = []
    try:
        # In pieces, so that the server works on one while the next is packed.
        pieces = (commands[first : first + _PIECE] for first in range(0, len(commands), _PIECE))
        connection.send_packed_command(b"".join(map(_pack, piece)) for piece in pieces)
        for _ in commands:
            try:
                results.append(connection.read_response())
            except ResponseError as error:
                results.append(error)
    except BaseException:
        connection.disconnect()  # answers that nobody waits for must not meet the next command
        raise
    return results


def _pack(words: Command) -> bytes:
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


try:
    from hiredis import pack_command  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    pass
else:
    _pack = pack_command  # type: ignore[assignment, unused-ignore]  # the same, in a third of the time
