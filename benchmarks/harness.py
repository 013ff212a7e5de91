"""Measuring: a row runs Divan and the raw client in turns, in one process run, and compares them round by round."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")


class Sample(NamedTuple):
    """What a number of operations took.

    Attributes:
        wall: Seconds that passed.
        cpu: Seconds of CPU that this process used, its threads and its system calls included.
    """

    wall: float
    cpu: float


Run = Callable[[int], Sample]
"""Carries out so many operations and tells what they took."""


class Pair(NamedTuple):
    """The two sides of a row."""

    divan: Run
    raw: Run


class Settings:
    """What a row's `prepare` gets.

    Args:
        folder: A temporary folder for the row's files.
        quick: Whether to measure a tenth, for a look at the order of magnitude.
        stack: Closes what `shared` made when the run ends.
    """

    def __init__(self, folder: Path, quick: bool, stack: ExitStack) -> None:
        self.folder = folder
        self.quick = quick
        self._stack = stack
        self._shared: dict[Hashable, Any] = {}

    def shared(self, key: Hashable, make: Callable[[], AbstractContextManager[T]]) -> T:
        """What `make` made for the first row that asked for `key`, kept open until the run ends."""
        if key not in self._shared:
            self._shared[key] = self._stack.enter_context(make())
        made: T = self._shared[key]
        return made


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: What the command line calls it: ``"sqlite.create"``.
        divan: What Divan does, in a few words.
        raw: What it is compared with.
        prepare: Makes both sides ready.
        operations: How many operations make one sample.
        unit: What one operation is, where it is not a call: ``"document"``.
        target: The ratio, Divan over raw, that is not to be exceeded; `None` if there is none.
        target_ms: The time of one operation, in ms, that Divan is not to exceed; `None` if there is none.
        clock: Which of a sample's times is compared.
        rounds: How many samples of each side; `None` for the runner's number.
    """

    name: str
    divan: str
    raw: str
    prepare: Callable[[Settings], AbstractContextManager[Pair]]
    operations: int
    unit: str = "call"
    target: float | None = None
    target_ms: float | None = None
    clock: Literal["wall", "cpu"] = "wall"
    rounds: int | None = None


@dataclass(frozen=True)
class Result:
    """What a row measured.

    Attributes:
        row: The row.
        operations: How many operations each sample holds.
        divan: Divan's samples, in order.
        raw: The raw client's, each taken right after Divan's of the same place.
    """

    row: Row
    operations: int
    divan: list[Sample] = field(repr=False)
    raw: list[Sample] = field(repr=False)

    def ratios(self, clock: Literal["wall", "cpu"] | None = None) -> list[float]:
        """Divan's time over the raw client's, a round each; those of the row's clock unless another is named."""
        clock = clock or self.row.clock
        pairs = zip(self.divan, self.raw, strict=True)
        return [getattr(ours, clock) / max(getattr(theirs, clock), 1e-9) for ours, theirs in pairs]

    def seconds(self, side: Literal["divan", "raw"]) -> float:
        """The median time of one operation."""
        samples: list[Sample] = getattr(self, side)
        times: list[float] = [getattr(sample, self.row.clock) for sample in samples]
        return statistics.median(times) / self.operations

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios())

    @property
    def cpu_ratio(self) -> float:
        """The same of the CPU times."""
        return statistics.median(self.ratios("cpu"))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and third quartile of the rounds' ratios: half of the rounds lie between them."""
        first, _, third = statistics.quantiles(self.ratios(), n=4, method="inclusive")
        return first, third

    @property
    def met(self) -> bool | None:
        """Whether the targets are met; `None` if the row has none."""
        row = self.row
        if row.target is None and row.target_ms is None:
            return None
        within = row.target is None or self.ratio <= row.target
        return within and (row.target_ms is None or self.seconds("divan") * 1000 <= row.target_ms)

    def as_dict(self) -> dict[str, Any]:
        """The result as the JSON file holds it; times in seconds for one operation."""
        row = self.row
        ratios = self.ratios()
        return {
            "name": row.name, "divan": row.divan, "raw": row.raw, "unit": row.unit, "clock": row.clock,
            "operations": self.operations, "rounds": len(ratios),
            "divan_seconds": self.seconds("divan"), "raw_seconds": self.seconds("raw"),
            "ratio": {
                "median": self.ratio, "quartiles": self.quartiles, "min": min(ratios), "max": max(ratios),
                "cpu_median": self.cpu_ratio,
            },
            "target": row.target, "target_ms": row.target_ms, "met": self.met,
            "samples": {"divan": self.divan, "raw": self.raw},
        }  # fmt: skip


def timed(function: Callable[[int], object]) -> Run:
    """A `Run` that times a function, which carries out as many operations as it is told."""

    def run(operations: int) -> Sample:
        cpu, wall = time.process_time(), time.perf_counter()
        function(operations)
        return Sample(time.perf_counter() - wall, time.process_time() - cpu)

    return run


def measure(row: Row, settings: Settings, rounds: int) -> Result:
    """Run one row: a round to warm up, then Divan and the raw client in turns."""
    operations = max(1, row.operations // 10) if settings.quick else row.operations
    ours: list[Sample] = []
    theirs: list[Sample] = []
    with row.prepare(settings) as pair:
        pair.divan(operations)
        pair.raw(operations)
        for _ in range(row.rounds or rounds):
            for run, samples in ((pair.divan, ours), (pair.raw, theirs)):
                gc.collect()  # so that neither side pays for what the other left behind
                samples.append(run(operations))
    return Result(row, operations, ours, theirs)
