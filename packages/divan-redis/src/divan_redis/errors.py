"""Internal: Redis' errors as Divan's: which of them says what, and what to do about it."""

from __future__ import annotations

import re
from typing import Final

from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    OperationTimeout,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from redis import exceptions
from redis.exceptions import RedisClusterException, RedisError
from redis.sentinel import MasterNotFoundError

NATIVE_ERRORS: Final = (RedisError, RedisClusterException, OSError, ValueError)
"""What the client raises; a `ValueError` where it can't read an answer."""

_KINDS: Final[dict[str, tuple[type[DivanError], str]]] = {
    "NOAUTH": (AuthenticationFailed, "give user and password in the URL"),
    "WRONGPASS": (AuthenticationFailed, "check user and password"),
    "NOPERM": (AuthenticationFailed, "the README lists the commands that Divan sends"),
    "READONLY": (StoreReadOnly, "connect to the primary"),
    "MISCONF": (StoreReadOnly, "see the server's log"),
    "NOREPLICAS": (StoreReadOnly, "see min-replicas-to-write in its configuration"),
    "OOM": (StoreFull, "raise maxmemory, or delete documents"),
    "WRONGTYPE": (StoreError, "the key holds no hash, so it is no document; rename it, or choose another database"),
    "LOADING": (ConnectionFailed, "try again when it has read its data"),
    "MASTERDOWN": (ConnectionFailed, "try again when the primary is back"),
    "CLUSTERDOWN": (ConnectionFailed, "try again when every slot is served"),
    "DB index is out of range": (DatabaseNotFound, "its configuration says how many numbered databases it has"),
}
# An error inside a script carries its code somewhere in the text, before Redis 7.
_CODE: Final = re.compile(rf"(?<![A-Za-z])({'|'.join(_KINDS)})\b")
# The client takes the code off the text of an error that it has a class for.
_CLASSES: Final[dict[type[Exception], str]] = {
    exceptions.NoPermissionError: "NOPERM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
}
_REFUSED: Final = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
)


def translate(error: Exception, shown: str, timeout: float, key: bytes | None = None) -> DivanError:
    """Divan's error for one that the client raised.

    Args:
        error: What the client raised.
        shown: Where the server is.
        timeout: Seconds that it had to answer.
        key: The key that was asked for, if there was one.
    """
    cause = error.__cause__
    if isinstance(error, RedisClusterException) and isinstance(cause, Exception):
        return translate(cause, shown, timeout, key)  # "cannot be connected", and why
    text = str(error) or type(error).__name__
    about = f"Redis at {shown}"
    found = _CODE.search(text)
    code = found[1] if found else _CLASSES.get(type(error))
    if code:
        kind, advice = _KINDS[code]
        named = "" if key is None else f", key {key.decode(errors='backslashreplace')[:200]!r}"
        return kind(f"{about}{named}: {text}; {advice}")
    if isinstance(error, MasterNotFoundError):
        # Behind the colon the client shows its own insides, and the sentinels' errors.
        what = f"the sentinels at {shown} name no primary: {text.partition(' : ')[0]}"
        if "AuthenticationError" in text:
            return AuthenticationFailed(f"{what}, since they refuse the credentials; check sentinel_password")
        return ConnectionFailed(f"{what}; check their hosts and ports, service and ssl")
    if isinstance(error, _REFUSED):
        return AuthenticationFailed(f"{about} refuses: {text}; check user and password")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        if "connecting" in text:
            return ConnectionFailed(f"{about} can't be reached in time: {text}; check host and port")
        return OperationTimeout(
            f"{about} did not answer within {timeout:g} s; a write may have happened; timeout=… gives it longer"
        )
    if isinstance(error, exceptions.ConnectionError | exceptions.ClusterError | RedisClusterException | OSError):
        return ConnectionFailed(f"{about} can't be reached: {text}; check that it runs, host and port")
    if isinstance(error, exceptions.ResponseError):
        return StoreError(f"{about} refused: {text}")
    return StoreError(f"{about} gave an answer that can't be read: {text}; is it Redis?")
