"""The ids that are made without the compiled package: UUIDv7 that sort as they were made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from divan import uuid7
from divan.uuid7 import uuid7 as make


def test_ids_are_of_version_7_and_tell_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = make()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after + 1000


def test_ids_sort_as_they_were_made() -> None:
    ids = [str(make()) for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_of_many_threads_are_all_different() -> None:
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: [make() for _ in range(2000)], range(8)))
    assert len({id for part in parts for id in part}) == 16_000
    assert all(part == sorted(part) for part in parts)


def test_a_clock_that_goes_back_makes_no_id_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = make()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    following = [make() for _ in range(3)]
    assert [first, *following] == sorted([first, *following])


def test_a_counter_that_is_full_borrows_the_next_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() // 1_000_000 + 3_600_000
    monkeypatch.setattr(uuid7, "_last", (now, (1 << 42) - 2))
    ids = [make() for _ in range(3)]
    assert ids == sorted(ids)
    assert [id.int >> 80 for id in ids] == [now, now + 1, now + 1]


def test_it_is_used_where_the_compiled_one_can_not_be_imported() -> None:
    script = (
        "import sys; sys.modules['uuid_utils'] = None\n"
        "if sys.version_info >= (3, 14): raise SystemExit\n"
        "from divan import ids, uuid7\n"
        "assert ids.uuid7 is uuid7.uuid7, ids.uuid7\n"
        "assert len(ids.new_id()) == 36\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_makes_ids_of_its_own() -> None:
    script = (
        "import os\n"
        "from divan import uuid7\n"
        "uuid7._lock.acquire()\n"  # as another thread may hold it at that moment
        "reading, writing = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(writing, str(uuid7.uuid7()).encode())\n"
        "    os._exit(0)\n"
        "made = os.read(reading, 36).decode()\n"
        "os.wait()\n"
        "assert len(made) == 36 and made != str(uuid7.uuid7())\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
