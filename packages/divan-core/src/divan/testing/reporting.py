"""Internal: honest reports of what is left out: a check that needs what the backend does not override is skipped.

Only once the Store has raised `UnsupportedOperation`, and the method or argument that it names has been looked for in
the backend's class; the reason is ``unsupported: AcmeBackend does not implement find()``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from divan import BulkError, UnsupportedOperation
from divan.backends.base import BaseDivanBackend

_LACKS = re.compile(r"does not implement (\w+)\((?:(\w+)=…)?\)$")


def reported(check: Callable[..., Any]) -> Callable[..., Any]:
    """A check, or a fixture, reported as unsupported where it meets a method that the backend does not override.

    A failure is noted in the class, for the next check to begin with a Store of its own.
    """

    @functools.wraps(check)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return check(self, *args, **kwargs)
        except (UnsupportedOperation, BulkError) as error:
            reason = lacking(error, self.backend_class)
            if reason is None:
                type(self).has_failed = True
                raise
        except (pytest.skip.Exception, pytest.xfail.Exception):
            raise
        except BaseException:
            type(self).has_failed = True
            raise
        pytest.skip(f"unsupported: {reason}")

    return run


def lacking(error: BaseException, backend: type[BaseDivanBackend]) -> str | None:
    """What a backend lacks, if that is all that an error says; `None` if the backend does override what it names."""
    if isinstance(error, BulkError):
        reasons = [lacking(item, backend) for item in error.errors.values()]
        return reasons[0] if reasons and None not in reasons else None
    if not isinstance(error, UnsupportedOperation):
        return None
    named = _LACKS.search(str(error))
    if named is None:
        return None
    method, argument = named.groups()
    if not hasattr(BaseDivanBackend, method):
        return None
    has = backend.accepts(method, argument) if argument else backend.implements(method)
    return None if has else str(error)


def failing(call: Callable[[], Any]) -> BulkError:
    """The `BulkError` that a bulk call raises; items that failed as unsupported end the check."""
    __tracebackhide__ = True
    with pytest.raises(BulkError) as caught:
        call()
    for error in caught.value.errors.values():
        if isinstance(error, UnsupportedOperation):
            raise error
    return caught.value


def behind(error: BaseException) -> Iterator[BaseException]:
    """What a traceback shows beside an error: its causes and contexts, and those of the items of a bulk call."""
    if isinstance(error, BulkError):
        for item in error.errors.values():
            yield item
            yield from behind(item)
    shown = error.__cause__ if error.__cause__ is not None or error.__suppress_context__ else error.__context__
    if shown is not None:
        yield shown
        yield from behind(shown)
