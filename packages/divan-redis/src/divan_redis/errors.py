"""Internal: Redis' errors as Divan's: which of them says what, and what to do about it."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

from divan.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    OperationTimeout,
    StoreError,
    StoreFull,
    StoreReadOnly,
    shown,
)
from redis import exceptions
from redis.exceptions import RedisClusterException, RedisError
from redis.sentinel import MasterNotFoundError

UNREADABLE: Final = (ValueError, OverflowError, RecursionError, MemoryError)
"""What the client raises where it can't read an answer: no number, too long a one, too deep a nest, too much."""

NATIVE_ERRORS: Final = (RedisError, RedisClusterException, OSError, *UNREADABLE)
"""What the client raises."""

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


# Whose code runs below a call, beside the standard library: what an exception passed through if it came from there.
_OURS: Final = frozenset({"divan", "divan_redis", "redis", "hiredis", "socket", "ssl"})


def raised_by_caller(error: BaseException) -> BaseException | None:
    """The exception that the caller's own code raised in the middle of a call, as a signal's handler does.

    The client takes an `OSError` for the connection's and a `ValueError` for a bad answer's, whoever raised it.

    Args:
        error: What has become of it.

    Returns:
        The caller's own, which was caught in the client's code and raised in none of it; `None` if there is none.
    """
    looked: BaseException | None = error
    while looked is not None:
        trace = looked.__traceback__
        if trace is not None and _root(trace.tb_frame) in _OURS:
            while trace.tb_next is not None:
                trace = trace.tb_next
            raiser = _root(trace.tb_frame)
            if raiser not in _OURS and raiser not in sys.stdlib_module_names:
                return looked
        looked = looked.__cause__ or looked.__context__
    return None


def _root(frame: Any) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def misread(answer: object) -> StoreError:
    """The error of an answer that has another shape than the command's answers have.

    Args:
        answer: What was answered.
    """
    return StoreError(f"Redis gave an answer that can't be read: {shown(answer)}; is it Redis?")


def translate(error: Exception, shown: str, timeout: float, key: bytes | None = None) -> DivanError:
    """Divan's error for one that the client raised.

    Args:
        error: What the client raised.
        shown: Where the server is.
        timeout: Seconds that it had to answer.
        key: The key that was asked for, if there was one.
    """
    if isinstance(error, DivanError):
        return error
    cause = error.__cause__
    if isinstance(error, RedisClusterException) and isinstance(cause, Exception):
        return translate(cause, shown, timeout, key)  # "cannot be connected", and why
    text = str(error).rstrip(".") or type(error).__name__
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
        if isinstance(error, exceptions.ConnectionError) and "connecting" not in text:
            return ConnectionFailed(f"{about} ended the connection: {text}; a write may have happened, or may not")
        return ConnectionFailed(f"{about} can't be reached: {text}; check that it runs, host and port")
    if isinstance(error, exceptions.ResponseError):
        return StoreError(f"{about} refused: {text}")
    return StoreError(f"{about} gave an answer that can't be read: {text}; is it Redis?")
