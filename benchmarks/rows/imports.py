"""What ``import divan`` costs over importing the two libraries that it can't do without; a process a sample."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import Pair, Row, Run, Sample, Settings

_PROGRAM = """
import time
cpu, wall = time.process_time(), time.perf_counter()
import {modules}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def _importing(modules: str) -> Run:
    # Both sides are imported as they are after their first use: compiled, by the round that warms up at the latest.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run(operations: int) -> Sample:
        wall = cpu = 0.0
        for _ in range(operations):
            # -P: what is imported is what is installed, not a folder that happens to be here.
            command = [sys.executable, "-P", "-c", _PROGRAM.format(modules=modules)]
            times = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            ).stdout.split()
            wall, cpu = wall + float(times[0]), cpu + float(times[1])
        return Sample(wall, cpu)

    return run


@contextmanager
def _prepare(settings: Settings) -> Iterator[Pair]:
    yield Pair(_importing("divan"), _importing("pluggy, importlib_metadata"))


ROWS = [
    Row(
        "imports.divan", "import divan", "import pluggy, importlib_metadata", _prepare,
        operations=3, unit="process", target=1.2,
    ),
]  # fmt: skip
