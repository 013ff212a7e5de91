"""One SQLite file shared by threads and processes, forked from and killed under: nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from divan.backends.sqlite import SQLiteBackend
from divan.errors import DocumentExists, RevisionConflict
from divan.query import parse

pytestmark = pytest.mark.slow


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SQLiteBackend]:
    backend = SQLiteBackend(str(tmp_path / "documents.db"), timeout=600)
    yield backend
    backend.close()


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run each job in a thread of its own, all at once; what each returned or raised."""
    results: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(index: int, job: Callable[[], Any]) -> None:
        start.wait()
        try:
            results[index] = job()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def program(text: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", text, *arguments], text=True, **options)


def programs_at_once(text: str, *arguments: tuple[str, ...]) -> list[int]:
    """Run a program once for each of these arguments, all let go when all are "ready"; what each exited with."""
    running = [program(text, *each, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for each in arguments]
    for one in running:
        assert one.stdout
        one.stdout.readline()
    for one in running:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in running:
        one.communicate()
    return [one.returncode for one in running]


def test_threads_that_update_different_fields_lose_no_update(backend: SQLiteBackend) -> None:
    backend.create({}, "x")

    def job(name: str) -> Callable[[], None]:
        def run() -> None:
            for n in range(50):
                # A name that is not ASCII takes the other way: read, merge, write.
                backend.update("x", {f"{name}{'é' * (n % 2)}": n})
                backend.update("x", {}, increment={"total": 1})

        return run

    assert together(*(job(f"t{n}") for n in range(8))) == [None] * 8
    assert backend["x"] == {"total": 400, **{f"t{n}": 48 for n in range(8)}, **{f"t{n}é": 49 for n in range(8)}}


WRITER = """
import sys, threading
from divan.backends.sqlite import SQLiteBackend
path, name = sys.argv[1:]
backend = SQLiteBackend(path, timeout=600)
print("ready", flush=True)
sys.stdin.readline()
def run(thread):
    for n in range(25):
        backend.update("x", {f"{name}{thread}": n})
        backend.update("x", {f"{name}{thread}é": n})
        backend.update("x", {}, increment={"total": 1})
threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
backend.close()
"""


def test_processes_of_threads_that_update_different_fields_lose_no_update(backend: SQLiteBackend) -> None:
    backend.create({}, "x")
    assert programs_at_once(WRITER, *((backend.database, f"p{n}t") for n in range(4))) == [0] * 4
    names = [f"p{process}t{thread}{suffix}" for process in range(4) for thread in range(8) for suffix in ("", "é")]
    assert backend["x"] == {"total": 4 * 8 * 25, **dict.fromkeys(names, 24)}


OPENER = """
import sys
from divan.backends.sqlite import SQLiteBackend
print("ready", flush=True)
sys.stdin.readline()
backend = SQLiteBackend(sys.argv[1], timeout=600)
backend.create({}, sys.argv[2])
backend.close()
"""


def test_processes_may_make_the_file_at_the_same_time(tmp_path: Path) -> None:
    path = str(tmp_path / "new.db")
    assert programs_at_once(OPENER, *((path, f"d{n}") for n in range(6))) == [0] * 6
    backend = SQLiteBackend(path)
    assert sorted(one.id for one in backend.iter_documents()) == [f"d{n}" for n in range(6)]
    backend.close()


def test_one_of_many_threads_creates_the_document(backend: SQLiteBackend) -> None:
    results = together(*(lambda n=n: backend.create({"n": n}, "x") for n in range(8)))
    assert sum(isinstance(result, DocumentExists) for result in results) == 7
    assert backend["x"] in results


def test_of_writers_with_one_revision_one_wins(backend: SQLiteBackend) -> None:
    rev = backend.create({"n": 0}, "x").rev
    results = together(*(lambda n=n: backend.update("x", {"n": n}, rev=rev) for n in range(8)))
    assert sum(isinstance(result, RevisionConflict) for result in results) == 7
    assert backend["x"] in results


def test_readers_see_whole_documents_while_others_write(backend: SQLiteBackend) -> None:
    backend.create({"a": 0, "b": 0}, "x")
    done = threading.Event()

    def write() -> None:
        try:
            for n in range(200):
                backend.update("x", {"a": n, "b": n})
        finally:
            done.set()

    def read() -> int:
        torn = 0
        while not done.is_set():
            for one in (backend["x"], *backend.find(parse({"a": {"$gte": 0}})), *backend.get_many(["x"])):
                torn += one is None or one["a"] != one["b"]
        return torn

    assert together(write, read, read, read) == [None, 0, 0, 0]


def test_a_batch_is_seen_whole_or_not_at_all(backend: SQLiteBackend) -> None:
    done = threading.Event()

    def write() -> None:
        try:
            for n in range(20):
                backend.create_many([(f"{n}-{m}", {}) for m in range(10)])
        finally:
            done.set()

    def read() -> set[int]:
        seen = set()
        while not done.is_set():
            seen.add(backend.count(parse(None)) % 10)
        return seen

    assert together(write, read)[1] <= {0}


def test_streams_of_many_threads_are_each_complete(backend: SQLiteBackend) -> None:
    backend.create_many([(f"d{n}", {"n": n}) for n in range(2000)])
    results = together(*[lambda: sum(one["n"] for one in backend.iter_documents())] * 8)
    assert results == [sum(range(2000))] * 8


def test_many_short_threads_leave_few_connections_behind(backend: SQLiteBackend) -> None:
    backend.create({}, "x")
    for _ in range(50):
        together(lambda: backend["x"])
    assert len(backend._file.readers) < 4


IDLE_FORKER = """
import os, sys
from divan.backends.sqlite import SQLiteBackend
path = sys.argv[1]
backend = SQLiteBackend(path)
backend.create({"n": 0}, "x")
list(backend.iter_documents())
to_parent, from_child = os.pipe()
to_child, from_parent = os.pipe()
pid = os.fork()
if pid == 0:
    backend.create({}, "before")
    os.write(from_child, b"x")
    os.read(to_child, 1)  # the parent has closed its store
    backend.create({}, "after")
    backend.update("x", {"child": True})
    assert backend.db.execute("SELECT count(*) FROM documents").fetchone() == (4,)
    os._exit(0)  # without closing
os.read(to_parent, 1)
backend.create({}, "parent")
backend.update("x", {"parent": True})
backend.close()
os.write(from_parent, b"x")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
backend = SQLiteBackend(path)
assert sorted(one.id for one in backend.iter_documents()) == ["after", "before", "parent", "x"]
assert backend["x"] == {"n": 0, "parent": True, "child": True}
backend.close()
"""

BUSY_FORKER = """
import os, sys
from divan.backends.sqlite import SQLiteBackend
from divan.errors import ConnectionFailed, StoreError
path = sys.argv[1]
backend = SQLiteBackend(path)
backend.create_many([(f"d{n}", {"n": n}) for n in range(1500)])
if sys.argv[2] == "iterator":
    kept = backend.iter_documents()
    next(kept)
else:
    kept = backend.db
pid = os.fork()
if pid == 0:
    if sys.argv[2] == "iterator":
        try:
            list(kept)
        except StoreError as error:
            assert "before the process forked" in str(error), error
        else:
            raise AssertionError
    for call in (
        lambda: backend["d0"], lambda: backend.create({}), lambda: backend.db, lambda: list(backend.iter_documents()),
        lambda: SQLiteBackend(path),
    ):
        try:
            call()
        except ConnectionFailed as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError
    backend.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
if sys.argv[2] == "iterator":
    assert sum(1 for _ in kept) == 1499
else:
    assert backend.db is kept
    assert kept.execute("SELECT count(*) FROM documents").fetchone() == (1500,)
backend.create({}, "parent")
backend.close()
assert os.listdir(os.path.dirname(path)) == ["documents.db"]
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_parent_and_child_of_a_fork_lose_nothing(tmp_path: Path) -> None:
    process = program(IDLE_FORKER, str(tmp_path / "documents.db"), stderr=subprocess.PIPE)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


@needs_fork
@pytest.mark.parametrize("kept", ["iterator", "handle"])
def test_the_child_of_a_fork_refuses_a_file_that_was_in_use(tmp_path: Path, kept: str) -> None:
    process = program(BUSY_FORKER, str(tmp_path / "documents.db"), kept, stderr=subprocess.PIPE)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


THREADED_FORKER = """
import os, sys, threading, warnings
from divan.backends.sqlite import forks
from divan.backends.sqlite import SQLiteBackend
warnings.simplefilter("ignore")  # Python 3.12 warns of forks among threads
forks._PATIENCE = 600  # the calls of the threads all end, on a slow machine not within a second
backend = SQLiteBackend(sys.argv[1], timeout=600)
backend.create({"n": 0}, "x")
done = threading.Event()
def work(name):
    while not done.is_set():
        backend.update("x", {name: 1})
        backend["x"]
threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
for thread in threads: thread.start()
children = []
for n in range(20):
    pid = os.fork()
    if pid == 0:
        backend.update("x", {f"c{n}": 1})
        os._exit(0)
    children.append(pid)
statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
done.set()
for thread in threads: thread.join()
assert statuses == [0] * 20, statuses
assert {f"c{n}" for n in range(20)} <= backend["x"].keys()
backend.close()
"""


@needs_fork
def test_children_of_a_program_whose_threads_read_and_write_work(tmp_path: Path) -> None:
    process = program(THREADED_FORKER, str(tmp_path / "documents.db"), stderr=subprocess.PIPE)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


VICTIM = """
import sys
from divan.backends.sqlite import SQLiteBackend
backend = SQLiteBackend(sys.argv[1])
for n in range(10_000):
    made = backend.create({"n": n, "text": str(n) * 50, "twice": 0})
    updated = backend.update(made.id, {"twice": 2 * n})
    sys.stdout.write(f"{made.id} {n} {updated.rev}\\n")
    sys.stdout.flush()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_killed_in_the_midst_of_writing_loses_nothing_that_had_returned(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    victim = program(VICTIM, str(path), stdout=subprocess.PIPE)
    assert victim.stdout
    lines = [victim.stdout.readline() for _ in range(500)]
    victim.send_signal(signal.SIGKILL)
    rest, _ = victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    reported = [line.split() for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith("\n")]
    backend = SQLiteBackend(str(path))
    found = {one.id: one for one in backend.iter_documents()}
    for document_id, n, rev in reported:
        assert found[document_id] == {"n": int(n), "text": n * 50, "twice": 2 * int(n)}
        assert found[document_id].rev == rev
    # The write that was under way when the process died may have happened or not, but it did not half happen.
    unreported = [found[document_id] for document_id in found.keys() - {item[0] for item in reported}]
    assert len(unreported) <= 1
    for one in unreported:
        assert (one["text"], one["twice"] in (0, 2 * one["n"])) == (str(one["n"]) * 50, True)
    assert backend.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    backend.close()


BATCHES = """
import sys
from divan.backends.sqlite import SQLiteBackend
backend = SQLiteBackend(sys.argv[1])
for n in range(10_000):
    backend.create_many([(f"{n}-{m}", {"n": n}) for m in range(50)])
    print(n, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_killed_in_the_midst_of_batches_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    victim = program(BATCHES, str(path), stdout=subprocess.PIPE)
    assert victim.stdout
    last = [int(victim.stdout.readline()) for _ in range(100)][-1]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    other = sqlite3.connect(path)
    counts = dict(other.execute("SELECT json_extract(body, '$.n'), count(*) FROM documents GROUP BY 1"))
    other.close()
    assert set(counts.values()) == {50}
    assert counts.keys() >= set(range(last + 1))


def test_documents_written_by_one_process_are_read_by_another_at_once(backend: SQLiteBackend) -> None:
    backend.create({"a": "é\0"}, "x")
    reader = (
        "import sys, json; from divan.backends.sqlite import SQLiteBackend; "
        "b = SQLiteBackend(sys.argv[1]); print(json.dumps(b['x'])); b.close()"
    )
    output, _ = program(reader, backend.database, stdout=subprocess.PIPE).communicate()
    assert json.loads(output) == {"a": "é\0"}
