"""Internal: what is asked of the servers: a command or script, many of them, a scan; each a call that ends in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

import redis
from divan.errors import DivanError, StoreClosed
from divan.options import Options
from redis import exceptions
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from divan_redis.errors import NATIVE_ERRORS, misread, raised_by_caller, translate
from divan_redis.options import Settings, connection_options
from divan_redis.scripts import ALL, WATCHED, Script
from divan_redis.servers import Servers
from divan_redis.walk import Walk
from divan_redis.wire import Command

_T = TypeVar("_T")

_PAGE: Final = 500  # keys that one SCAN looks at; the documents of one page are in memory at once


class Client:
    """The servers that a URL names, and a native client of them, for the caller's own use.

    Args:
        settings: What the URL asks for.
        stream: The key of the stream to which scripts add what they change; `None` if they don't.

    Attributes:
        native: The `redis.Redis` or `redis.cluster.RedisCluster`.

    Raises:
        ConnectionFailed, AuthenticationFailed, OperationTimeout: if there is no server that answers.
    """

    native: Any = None

    def __init__(self, settings: Settings, stream: bytes | None = None) -> None:
        self._stream = stream
        self._shown = settings.shown
        self._timeout: float = settings.options["timeout"]
        self._retries: int = settings.options["retries"]
        self._closed = False
        self._scans_by_type = True  # until a server says that its SCAN knows no TYPE
        self._servers = Servers(settings)
        try:
            # Loading the scripts now saves each one's first call a round trip. An account that may not can still read.
            self._ping(*((b"SCRIPT", b"LOAD", self._variant(script).text) for script in ALL))
            self.native = self._guarded(lambda ends: _connect(settings))
        except BaseException:
            self.close()
            raise

    # One round trip each

    def read(self, command: bytes, key: bytes, *arguments: bytes) -> Any:
        """Send one command that changes nothing; again, if the connection was lost."""
        return self._send_one(key, (command, key, *arguments), self._retries)

    def run(self, script: Script, key: bytes, *arguments: bytes) -> Any:
        """Run a script on one key; on a server that has never seen it, in two round trips."""
        script = self._variant(script)
        keys = (b"1", key) if self._stream is None else (b"2", key, self._stream)
        reply = self._send_one(key, (b"EVALSHA", script.sha, *keys, *arguments))
        if isinstance(reply, NoScriptError):
            return self._send_one(key, (b"EVAL", script.text, *keys, *arguments))
        return reply

    def _variant(self, script: Script) -> Script:
        """The script that is run in place of one: where changes are kept, one that keeps them."""
        return script if self._stream is None else WATCHED[script.sha]

    def add(self, stream: bytes, *fields: bytes) -> None:
        """Add an entry to a stream."""
        self._send_one(stream, (b"XADD", stream, b"*", *fields))

    def wait_for(self, stream: bytes, position: bytes, limit: int, wait: float) -> Any:
        """What a stream holds behind a position, once it holds anything, or when so many seconds are over."""
        block = max(1, int(1000 * min(wait, self._timeout / 2)))
        words = (b"XREAD", b"COUNT", b"%d" % limit, b"BLOCK", b"%d" % block, b"STREAMS", stream, position)
        return self._send_one(stream, words, self._retries)

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
        if not keys:
            return []
        commands = [(command, key, *arguments) for key in keys]

        def read_all(ends: float) -> list[Any]:
            results = self._servers.exchange(keys, commands, ends)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, ResponseError):
                    raise result
            return results

        results = self._guarded(read_all, retries=self._retries)
        for index, result in enumerate(results):
            if isinstance(result, ResponseError):
                if other_type is None or not str(result).startswith("WRONGTYPE"):
                    raise self._translated(result, keys[index]) from result
                results[index] = other_type()
        return results

    def run_many(self, script: Script, items: Sequence[tuple[bytes, ...]]) -> list[Any]:
        """Run a script once an item: (key, arguments…); one result or `DivanError` an item, in order."""
        if not items:
            return []
        used = self._variant(script)
        commands: list[Command]
        if self._stream is None:
            commands = [(b"EVALSHA", used.sha, b"1", *item) for item in items]
        else:
            commands = [(b"EVALSHA", used.sha, b"2", item[0], self._stream, *item[1:]) for item in items]
        # The first of them brings the source along. On a cluster each item may meet a node that lacks it.
        commands[0] = (b"EVAL", used.text, *commands[0][2:])
        keys = [item[0] for item in items]
        results = self._guarded(lambda ends: self._servers.exchange(keys, commands, ends))
        for index, result in enumerate(results):
            if isinstance(result, NoScriptError):
                try:
                    results[index] = self.run(script, *items[index])
                except DivanError as error:
                    results[index] = error
            elif isinstance(result, Exception):
                results[index] = self._translated(result, keys[index])
                if result is not results[index]:
                    results[index].__cause__ = result
        return results

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        """The keys of the hashes that match a glob pattern, page by page; a key may come twice."""
        for pool in self._guarded(self._servers.all):
            walk = Walk(pool)
            try:
                while not walk.is_over:
                    page = self._guarded(partial(self._scan_page, walk, pattern))
                    if walk.is_over:
                        walk.release()
                    yield page
            finally:
                walk.release()

    def while_open(self, found: Iterable[_T]) -> Iterator[_T]:
        """Pass on what was found, until the client is closed."""
        for item in found:
            self.check_open()
            yield item

    def check_open(self) -> None:
        """Raise `StoreClosed` after `close()`."""
        if self._closed:
            raise StoreClosed(f"the connection to Redis at {self._shown} is closed; open the store again")

    def ping(self) -> None:
        """Return if every primary answers."""
        self._ping()

    def close(self) -> None:
        """Release the connections."""
        self._closed = True
        self._servers.close()
        if self.native is not None:
            self.native.close()
            pool = getattr(self.native, "connection_pool", None)
            for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
                sentinel.close()

    # Below: native errors fly, and `_guarded` is what catches them

    def _guarded(self, function: Callable[[float], _T], key: bytes | None = None, retries: int = 0) -> _T:
        """What a function returns that is given when the call has to end; it is called again if that may help."""
        self.check_open()
        ends = monotonic() + self._timeout
        while True:
            try:
                return function(ends)
            except DivanError:
                raise
            except NATIVE_ERRORS as error:
                own = raised_by_caller(error)
                failure = error
            if own is not None:
                raise own
            self.check_open()
            lost = isinstance(failure, exceptions.ConnectionError)
            if not retries or not lost or isinstance(failure, exceptions.AuthenticationError) or monotonic() >= ends:
                raise self._translated(failure, key) from failure
            retries -= 1

    def _translated(self, error: Exception, key: bytes | None = None) -> DivanError:
        return translate(error, self._shown, self._timeout, key)

    def _ping(self, *more: Command) -> None:
        def ping(ends: float) -> None:
            for pool in self._servers.all(ends):
                answer, *_ = pool.exchange([(b"PING",), *more], ends)
                if isinstance(answer, Exception):
                    raise self._translated(answer) from answer
                if answer != b"PONG":
                    raise misread(answer)

        self._guarded(ping)

    def _send_one(self, key: bytes, command: Command, retries: int = 0) -> Any:
        """What a server answers to one command; a `NoScriptError`, if that is what it answers to ``EVALSHA``."""

        def send(ends: float) -> Any:
            (result,) = self._servers.exchange((key,), (command,), ends)
            is_unknown = command[0] == b"EVALSHA" and isinstance(result, NoScriptError)
            if isinstance(result, Exception) and not is_unknown:
                raise result
            return result

        return self._guarded(send, key, retries)

    def _scan_page(self, walk: Walk, pattern: bytes, ends: float) -> list[bytes]:
        options = (b"MATCH", pattern, b"COUNT", b"%d" % _PAGE)
        if self._scans_by_type:
            try:
                return walk.go_on((*options, b"TYPE", b"hash"), ends)
            except ResponseError as error:
                if "syntax error" not in str(error):
                    raise
                self._scans_by_type = False  # Redis before 6
        keys = walk.go_on(options, ends)
        kinds = self._servers.exchange(keys, [(b"TYPE", key) for key in keys], ends) if keys else []
        return [key for key, kind in zip(keys, kinds, strict=True) if kind == b"hash"]


def _connect(settings: Settings) -> Any:
    """The native client: a `redis.Redis`, or a `redis.cluster.RedisCluster`."""
    options = settings.options
    shared = connection_options(settings)
    # A write that is sent again after a lost answer may count twice: the client itself must never retry.
    shared["retry"] = Retry(NoBackoff(), 0)
    if settings.cluster:
        del shared["db"]
        make_node: Any = ClusterNode  # untyped there, as is Sentinel
        return RedisCluster(startup_nodes=[make_node(name, number) for name, number in settings.hosts], **shared)
    if options["service"]:
        own = Options({**shared, "db": 0, "username": options["sentinel_user"]})
        own["password"] = options["sentinel_password"]
        make_sentinel: Any = Sentinel
        sentinel = make_sentinel(settings.hosts, sentinel_kwargs=own)
        return sentinel.master_for(options["service"], **shared)
    if options["socket"]:
        return redis.Redis(unix_socket_path=options["socket"], **shared)
    ((name, number),) = settings.hosts
    return redis.Redis(host=name, port=number, **shared)
