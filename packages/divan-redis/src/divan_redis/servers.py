"""Internal: which server holds a key: the one that a URL names, the primary that Sentinel names, or a cluster's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from divan.backends.pools import Pool
from divan.errors import DivanError
from redis import exceptions
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.sentinel import MasterNotFoundError

from divan_redis.errors import NATIVE_ERRORS, misread, raised_by_caller
from divan_redis.options import Settings
from divan_redis.wire import Command, new_wire

Address = tuple[str, int]
"""Host and port."""

_HOPS: Final = 5  # times that a command is sent after a slot that moves
_MOVED: Final = re.compile(r"(?:MOVED |ASK )?[0-9]+ (.*):([0-9]+)")


class Servers:
    """The servers that hold the documents.

    Args:
        settings: What the URL asks for.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pools: dict[Address, Pool] = {}
        self._slots: list[Address | None] = []  # of each slot, its primary
        self._stale = settings.cluster
        self._primary: Address | None = None  # that Sentinel named last
        self._single = None if settings.cluster else self._new_pool(settings.hosts[0])

    def exchange(self, keys: Sequence[bytes], commands: Sequence[Command], ends: float) -> list[Any]:
        """What the servers answer to each command: an answer, or an error; one round trip, or one a cluster's node.

        Args:
            keys: The key of each command.
            commands: The commands.
            ends: When the call has to end.
        """
        if self._single is not None:
            results = self._single.exchange(commands, ends)
            if self._primary is not None and any(isinstance(result, exceptions.ReadOnlyError) for result in results):
                self._single.forget_idle()  # they lead to what is the primary no more
            return results
        if self._stale:
            self.refresh(ends)
        slots = self._slots
        groups: dict[Address | None, list[int]] = {}
        for index, key in enumerate(keys):
            groups.setdefault(slots[key_slot(key)], []).append(index)
        results = [None] * len(keys)
        for address, indices in groups.items():
            for index, result in zip(
                indices, self._exchange_at(address, [commands[index] for index in indices], ends), strict=True
            ):
                if isinstance(result, exceptions.ResponseError) and address is not None:
                    result = self._follow(address, commands[index], result, ends)
                results[index] = result
        return results

    def all(self, ends: float) -> list[Pool]:
        """The connections to each server that holds documents."""
        if self._single is not None:
            return [self._single]
        if self._stale:
            self.refresh(ends)
        return [self._pool(address) for address in self._primaries()]

    def refresh(self, ends: float) -> None:
        """Ask a cluster's nodes which of them holds what.

        Args:
            ends: When the call has to end.

        Raises:
            RedisError: of the last node, if none answers.
        """
        self._stale = True
        nodes = list(dict.fromkeys([*self._primaries(), *self._settings.hosts]))
        failure: Exception | None = None
        for left, address in zip(range(len(nodes), 0, -1), nodes, strict=True):
            now = monotonic()
            share = now + (ends - now) / left  # one that is silent must leave time for the others
            try:
                (answer,) = self._pool(address).exchange([(b"CLUSTER", b"SLOTS")], share)
            except NATIVE_ERRORS as error:
                if raised_by_caller(error):
                    raise
                failure = error
                continue
            if isinstance(answer, Exception):
                failure = answer
                continue
            self._slots = _read_slots(answer, address)
            self._stale = False
            return
        assert failure is not None  # a URL names a host
        raise failure

    def close(self) -> None:
        """Close every connection."""
        for pool in (self._single, *list(self._pools.values())):
            if pool is not None:
                pool.close()

    def _exchange_at(self, address: Address | None, commands: Sequence[Command], ends: float) -> Sequence[Any]:
        if address is None:
            self._stale = True
            return [exceptions.ClusterDownError("no node serves the key's slot")] * len(commands)
        try:
            return self._pool(address).exchange(commands, ends)
        except DivanError as error:  # no connection became free, which says nothing of the node
            return [error] * len(commands)
        except NATIVE_ERRORS as error:
            if raised_by_caller(error):
                raise
            self._stale = True  # another node may have taken over
            return [error] * len(commands)

    def _follow(self, address: Address, command: Command, result: Any, ends: float) -> Any:
        """The result of a command whose slot may move, or have moved, to another node."""
        for _ in range(_HOPS):
            target = _target(result, address)
            if target is None:
                break
            asking = isinstance(result, exceptions.AskError) and not isinstance(result, exceptions.MovedError)
            self._stale = self._stale or not asking
            address = target
            result = self._exchange_at(address, [(b"ASKING",), command] if asking else [command], ends)[-1]
        return result

    def _primaries(self) -> list[Address]:
        return [address for address in dict.fromkeys(self._slots) if address is not None]

    def _pool(self, address: Address) -> Pool:
        return self._pools.get(address) or self._pools.setdefault(address, self._new_pool(address))

    def _new_pool(self, address: Address) -> Pool:
        settings = self._settings
        to_one: Callable[[float], Any] = lambda ends: new_wire(settings, address)  # noqa: E731 - typed
        make = self._to_primary if settings.options["service"] else to_one
        shown = f"{address[0]}:{address[1]}" if settings.cluster else settings.shown
        return Pool(make, settings.options["max_connections"], settings.options["connect_timeout"], f"Redis at {shown}")

    def _to_primary(self, ends: float) -> Any:
        address = _ask_sentinels(self._settings, ends)
        if self._primary not in (None, address) and self._single is not None:
            self._single.forget_idle()
        self._primary = address
        return new_wire(self._settings, address)


def _target(result: Any, asked: Address) -> Address | None:
    """Where a server sends on to; `None` if it doesn't."""
    if not isinstance(result, exceptions.AskError):
        return None
    found = _MOVED.fullmatch(str(result))
    return (found[1] or asked[0], int(found[2])) if found else None


def _read_slots(answer: Any, asked: Address) -> list[Address | None]:
    """The primary of each slot, as ``CLUSTER SLOTS`` tells."""
    slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    try:
        for first, last, (host, port, *_), *_ in answer:
            if not 0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS or not 0 < port < 65536:
                raise ValueError("no range of slots")
            # A node that does not know its own name says nothing: it is the one that was asked.
            slots[first : last + 1] = [(host.decode() if host else asked[0], port)] * (last + 1 - first)
    except (TypeError, ValueError, AttributeError) as error:
        if raised_by_caller(error):
            raise
        raise misread(answer) from error
    return slots


def _ask_sentinels(settings: Settings, ends: float) -> Address:
    """Where the primary is.

    Raises:
        MasterNotFoundError: if no sentinel knows of one that is up.
    """
    options = settings.options
    service = options["service"]
    failures = []
    for left, sentinel in zip(range(len(settings.hosts), 0, -1), settings.hosts, strict=True):
        now = monotonic()
        share = now + (ends - now) / left  # one that is silent must leave time for the others
        wire = new_wire(
            settings, sentinel, db=0, username=options["sentinel_user"], password=options["sentinel_password"]
        )
        try:
            wire.open(options["connect_timeout"], share)
            (answer,) = wire.exchange([(b"SENTINEL", b"MASTER", service.encode())], share)
        except NATIVE_ERRORS as error:
            if raised_by_caller(error):
                raise
            failures.append(f"{sentinel[0]}:{sentinel[1]} - {error!r}")
            continue
        finally:
            wire.disconnect()
        if isinstance(answer, exceptions.AuthenticationError | exceptions.NoPermissionError):
            failures.append(f"{sentinel[0]}:{sentinel[1]} - {answer!r}")
        elif not isinstance(answer, Exception):
            found = _read_primary(answer)
            if found is not None:
                return found
    raise MasterNotFoundError(f"No master found for {service!r}{' : ' if failures else ''}{', '.join(failures)}")


def _read_primary(answer: Any) -> Address | None:
    """Where a sentinel says that the primary is; `None` if it takes it for dead."""
    try:
        said = dict(zip(answer[::2], answer[1::2], strict=True))
        flags = said[b"flags"].split(b",")
        found = said[b"ip"].decode(), int(said[b"port"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        if raised_by_caller(error):
            raise
        raise misread(answer) from error
    return found if b"master" in flags and b"s_down" not in flags and b"o_down" not in flags else None
