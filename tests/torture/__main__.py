"""``python -m tests.torture``: torture one store after the other, and report what held."""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import divan

from tests.support import servers
from tests.support.proxy import Proxy
from tests.torture import history

STORES = ("sqlite", "postgres", "redis", "couchdb")
_TIMES = {"timeout": "3", "connect_timeout": "3"}


class Target(NamedTuple):
    """A store to torture.

    Attributes:
        url: Where the workers reach it: through the proxy, if it has a server.
        direct: Where it is reached without a fault.
        proxy: What makes the network fail; `None` for an embedded store.
    """

    url: str
    direct: str
    proxy: Proxy | None


class Report(NamedTuple):
    """What came of one store's torture.

    Attributes:
        store: The store's name.
        writes: How many writes there were, by outcome.
        faults: How many faults were made, by kind.
        violations: What was not as it must be, a line each.
    """

    store: str
    writes: Counter[str]
    faults: Counter[str]
    violations: list[str]

    def __str__(self) -> str:
        writes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.writes.items()))
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        lines = [f"{self.store}: {self.writes.total()} writes ({writes}); faults: {faults}"]
        return "\n".join([*lines, *(f"  VIOLATION: {line}" for line in self.violations)])


class Crowd:
    """The processes that write.

    Args:
        url: Where they reach the store.
        folder: Where their files go.
        threads: How many threads each has.
        seed: Decides what each does.
    """

    def __init__(self, url: str, folder: Path, threads: int, seed: int) -> None:
        self._command = [sys.executable, "-m", "tests.torture.worker", url]
        self._folder = folder
        self._threads = threads
        self._seed = seed
        self._made = 0
        self.running: list[subprocess.Popen[bytes]] = []
        self.broken: list[str] = []

    @property
    def logs(self) -> list[Path]:
        """What the processes have written down, those that were killed too."""
        return sorted(self._folder.glob("*.jsonl"))

    def add(self) -> None:
        """Start another process."""
        name = f"p{self._made}"
        self._made += 1
        arguments = [name, str(self._threads), str(self._seed), str(self._folder / f"{name}.jsonl")]
        with (self._folder / f"{name}.err").open("wb") as errors:
            self.running.append(subprocess.Popen([*self._command, *arguments], stderr=errors))

    def wait_for_writes(self) -> None:
        """Return when a write has been acknowledged: how long the processes take to begin is up to the machine."""
        ends = time.monotonic() + 300
        while not any(write.outcome == history.OK for write in history.read(self.logs)):
            if time.monotonic() > ends:
                raise RuntimeError("no write was acknowledged, though nothing has been spoilt yet")
            time.sleep(0.05)

    def kill(self, choice: random.Random) -> None:
        """End one process as a crash does, and start another."""
        victim = self.running.pop(choice.randrange(len(self.running)))
        victim.kill()
        victim.wait()
        self.add()

    def halt(self, choice: random.Random, seconds: float) -> None:
        """Stop one process for a while, and let it go on."""
        victim = choice.choice(self.running)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        victim.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Let every process finish its calls and end; what one says that ended otherwise is kept."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(300)
        self.broken += [
            f"a writer ended with an error: {text.strip().splitlines()[-1]}"
            for file in sorted(self._folder.glob("*.err"))
            if (text := file.read_text(errors="replace")).strip()
        ]


@contextmanager
def target(store: str, folder: Path) -> Iterator[Target]:
    """A fresh store of this kind, gone at the end."""
    if store == "sqlite":
        url = f"sqlite:///{folder}/torture.db?timeout=30"
        yield Target(url, url, None)
        return
    with servers.fresh(store) as server, Proxy(server.host, server.port) as proxy:
        yield Target(server.behind(proxy).store_url("torture", **_TIMES), server.store_url("torture"), proxy)


def torture(store: str, *, seconds: float, seed: int, processes: int, threads: int) -> Report:
    """Torture one store.

    Args:
        store: One of `STORES`.
        seconds: How long faults are made, once writes are acknowledged.
        seed: Decides what the writers and the faults do; when they meet is up to the machine.
        processes: How many processes write at once.
        threads: How many threads each has.
    """
    choice = random.Random(f"{store}/{seed}")
    faults: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="divan-torture-") as name,
        target(store, Path(name)) as reached,
        divan.open(reached.direct) as direct,
    ):
        direct.create_many([(key, {"n": 0}) for key in (*history.COUNTERS, *history.CHAINS)])
        direct.create_many([(key, {}) for key in history.SHARED])
        crowd = Crowd(reached.url, Path(name), threads, seed)
        for _ in range(processes):
            crowd.add()
        crowd.wait_for_writes()
        _spoil(crowd, reached.proxy, choice, faults, time.monotonic() + seconds)
        crowd.end()
        writes = history.read(crowd.logs)
        found = [*crowd.broken, *history.violations(direct, writes)]
    return Report(store, Counter(write.outcome for write in writes), faults, found)


def _spoil(crowd: Crowd, proxy: Proxy | None, choice: random.Random, faults: Counter[str], deadline: float) -> None:
    """Make one fault after the other, until the time is up."""
    kinds: dict[str, Callable[[], None]] = {
        "killed": lambda: crowd.kill(choice),
        "halted": lambda: crowd.halt(choice, choice.uniform(0.05, 0.5)),
    }
    if proxy is not None:
        network = proxy

        def silence() -> None:
            network.hang()
            time.sleep(choice.uniform(0.05, 0.5))
            network.resume()

        kinds |= {
            "dropped": network.drop_connections,
            "cut": lambda: network.cut_next_answer(choice.randint(1, 3)),
            "silent": silence,
        }
    names = sorted(kinds)
    while time.monotonic() < deadline:
        time.sleep(choice.uniform(0.05, 0.4))
        name = choice.choice(names)
        kinds[name]()
        faults[name] += 1


def main() -> int:
    """Torture the stores that are named, and print a report of each; 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("stores", nargs="*", metavar="STORE", help=f"{', '.join(STORES)}; all, unless some are named")
    parser.add_argument("--seconds", type=float, default=60, help="how long to torture each store")
    parser.add_argument("--seed", type=int, default=1, help="decides what the writers and the faults do")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4, help="of each process")
    given = parser.parse_args()
    unknown = [store for store in given.stores if store not in STORES]
    if unknown:
        parser.error(f"no store is called {unknown[0]}; there are {', '.join(STORES)}")
    failed = False
    for store in given.stores or STORES:
        report = torture(
            store, seconds=given.seconds, seed=given.seed, processes=given.processes, threads=given.threads
        )
        print(report, flush=True)
        failed = failed or bool(report.violations)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
