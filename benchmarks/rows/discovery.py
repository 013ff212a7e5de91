"""What finding the backends costs where 301 distributions are installed; a process a sample."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Pair, Row, Run, Sample, Settings

DISTRIBUTIONS = 301
BACKENDS = 6
REPEATS = 1000

# The libraries are imported before the clock starts: what they cost is the row of imports. The folder with the 301 is
# there in place of site-packages, whose own distributions would come on top.
_PROGRAM = """
import sys, time
from divan import list_backends
import divan.backends.base, importlib_metadata
folder, call, repeats, expected = sys.argv[1:]
sys.path[:] = [entry for entry in sys.path if not entry.endswith(("site-packages", "dist-packages"))] + [folder]
calls = {"divan": list_backends, "raw": lambda: importlib_metadata.entry_points(group="divan.backends")}
function = calls[call]
if repeats != "0":
    function()
cpu, wall = time.process_time(), time.perf_counter()
for _ in range(int(repeats) or 1):
    found = function()
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
assert len(list(found)) == int(expected), found
print(wall, cpu)
"""


def _install(folder: Path) -> None:
    """Write the metadata of so many distributions, as an installer does: scripts in some of them, backends in a few."""
    for number in range(DISTRIBUTIONS):
        info = folder / f"sample_{number:03}-1.{number}.dist-info"
        info.mkdir(parents=True)
        requirements = "".join(f"Requires-Dist: other-{part}>=1\n" for part in range(number % 12))
        head = f"Metadata-Version: 2.1\nName: sample-{number:03}\nVersion: 1.{number}\nSummary: A sample\n"
        (info / "METADATA").write_text(f"{head}{requirements}\n" + "Prose about the sample.\n" * 100)
        (info / "RECORD").write_text("".join(f"sample_{number:03}/m{part}.py,,\n" for part in range(20)))
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        if number < BACKENDS:
            (info / "entry_points.txt").write_text(f"[divan.backends]\nsample{number} = sample_{number:03}:Backend\n")
        elif number % 4 == 0:
            (info / "entry_points.txt").write_text(f"[console_scripts]\nsample{number} = sample_{number:03}:main\n")


def _calling(folder: Path, call: str, repeats: int) -> Run:
    def run(operations: int) -> Sample:
        wall = cpu = 0.0
        arguments = [str(folder), call, str(repeats), str(BACKENDS)]
        for _ in range(operations):
            command = [sys.executable, "-P", "-c", _PROGRAM, *arguments]
            times = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            wall, cpu = wall + float(times[0]) / (repeats or 1), cpu + float(times[1]) / (repeats or 1)
        return Sample(wall, cpu)

    return run


@contextmanager
def _prepare_first(settings: Settings) -> Iterator[Pair]:
    folder = _folder(settings)
    yield Pair(_calling(folder, "divan", 0), _calling(folder, "raw", 0))


@contextmanager
def _prepare_repeated(settings: Settings) -> Iterator[Pair]:
    folder = _folder(settings)
    yield Pair(_calling(folder, "divan", REPEATS), _calling(folder, "raw", REPEATS // 20))


def _folder(settings: Settings) -> Path:
    folder = settings.folder / "distributions"
    if not folder.exists():
        _install(folder)
    return folder


ROWS = [
    Row(
        "discovery.first", f"list_backends(), {DISTRIBUTIONS} distributions, first call",
        "importlib_metadata.entry_points(group=…)", _prepare_first, operations=3, target=1.1,
    ),
    Row(
        "discovery.repeated", f"list_backends(), {DISTRIBUTIONS} distributions, further calls",
        "importlib_metadata.entry_points(group=…)", _prepare_repeated, operations=1, target_ms=0.1,
    ),
]  # fmt: skip
