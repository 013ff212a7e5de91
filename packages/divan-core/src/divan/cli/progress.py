"""Internal: how far a long command has got, on a terminal that shows nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_SHORT: Final = 1000
_SHORT_SECONDS: Final = 1.0
"""A command that has done fewer documents, in less time, shows nothing."""


def counted(items: Iterable[_T], done: str, quiet: bool = False) -> Iterator[_T]:
    """The items; how many have come, and how fast, is shown on standard error, if that is a terminal.

    Nothing is shown where the items themselves are printed to a terminal.

    Args:
        items: The items.
        done: What has been done to each, such as ``"stored"`` or ``"read"``.
        quiet: Whether the items are not printed.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb" or (not quiet and sys.stdout.isatty()):
        return iter(items)
    return _counted(items, done)


def _counted(items: Iterable[_T], done: str) -> Iterator[_T]:
    begun = time.monotonic()
    progress: Any = None
    task: Any = None
    number = 0
    try:
        for number, item in enumerate(items, 1):
            yield item
            if progress is not None:
                progress.update(task, completed=number)
            elif number >= _SHORT or time.monotonic() - begun > _SHORT_SECONDS:
                progress = _start(done)
                task = progress.add_task("", total=None, completed=number)
    finally:
        if progress is not None:
            progress.update(task, completed=number)
            progress.stop()


def _start(done: str) -> Any:
    from rich.console import Console  # 100 ms that no short command spends
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
    from rich.text import Text

    class Count(ProgressColumn):
        """How many, and how many a second."""

        def render(self, task: Task) -> Text:
            rate = "" if not task.elapsed else f", {task.completed / task.elapsed:,.0f} a second"
            return Text(f"{task.completed:,.0f} documents {done}{rate}")

    progress = Progress(
        SpinnerColumn(), Count(), TimeElapsedColumn(), console=Console(stderr=True), redirect_stdout=False
    )
    progress.start()
    return progress
