"""Opening, refusing and closing an SQLite file: missing, read-only, full, locked, damaged, or another program's."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from divan.backends.sqlite import SQLiteBackend
from divan.errors import (
    ConnectionFailed,
    DatabaseNotFound,
    DivanError,
    InvalidURL,
    OperationTimeout,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from divan.query import parse, parse_sort

from tests.support.processes import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one document, closed."""
    path = tmp_path / "documents.db"
    backend = SQLiteBackend(str(path))
    backend.create({"a": 1}, "x")
    backend.close()
    return path


def test_a_closed_file_stands_alone(path: Path) -> None:
    assert [entry.name for entry in path.parent.iterdir()] == ["documents.db"]


def test_the_file_has_a_write_ahead_log_and_every_write_is_synced(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    names = ("journal_mode", "synchronous")
    settings = backend._file.write(lambda writer: [writer.execute(f"PRAGMA {name}").fetchone()[0] for name in names])
    backend.close()
    assert settings == ["wal", 2]


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    backend = SQLiteBackend("my.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    backend.create({"a": 1}, "x")
    assert backend["x"] == {"a": 1}
    backend.close()
    assert (tmp_path / "my.db").exists()


@pytest.mark.parametrize("name", ["a b.db", "ä%20?#&=.db", "file:x.db", "-", "~"])
def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    backend = SQLiteBackend(str(tmp_path / name))
    backend.create({}, "x")
    backend.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("database", "host", "port", "message"),
    [
        ("", "file", 0, "sqlite:///my.db"),
        (":memory:", "file", 0, "memory://"),
        ("a.db", "example.org", 0, "sqlite:///a.db"),
        ("", "a.db", 0, "sqlite:///a.db"),
        ("a.db", "file", 80, "no host"),
        ("a\0.db", "file", 0, "NUL"),
    ],
)
def test_what_names_no_file_is_an_invalid_url(database: str, host: str, port: int, message: str) -> None:
    with pytest.raises(InvalidURL, match=message):
        SQLiteBackend(database, host, port)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": "soon"},
        {"table": "a b"},
        {"table": "sqlite_x"},
        {"table": "SELECT"},
        {"mode": "rwc"},
    ],
)
def test_an_option_that_makes_no_sense_is_an_invalid_url(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidURL, match="option"):
        SQLiteBackend(str(path), **options)


def test_a_password_is_refused_and_not_shown(path: Path) -> None:
    with pytest.raises(InvalidURL) as caught:
        SQLiteBackend(str(path), user="ada", password="hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("options", [{"create": False}, {"mode": "ro"}])
def test_a_missing_file_is_not_made_where_the_url_says_so(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DatabaseNotFound, match=r"missing\.db does not exist"):
        SQLiteBackend(str(tmp_path / "missing.db"), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"create": False}, {"mode": "ro"}])
def test_a_missing_table_is_not_made_where_the_url_says_so(path: Path, options: dict[str, Any]) -> None:
    before = path.read_bytes()
    with pytest.raises(DatabaseNotFound, match="no table 'others'"):
        SQLiteBackend(str(path), table="others", **options)
    assert path.read_bytes() == before


def test_two_tables_of_one_file_are_two_stores(path: Path) -> None:
    backend = SQLiteBackend(str(path), table="others")
    assert list(backend.iter_documents()) == []
    backend.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match=r"the folder .*nowhere does not exist"):
        SQLiteBackend(str(tmp_path / "nowhere" / "my.db"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="is a folder"):
        SQLiteBackend(str(tmp_path))


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="can't be opened"):
        SQLiteBackend(str(tmp_path / ("x" * 5000)))


@pytest.mark.parametrize("content", [b"hello\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ConnectionFailed, match=r"notes\.txt"):
        SQLiteBackend(str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE Documents (id, title)", "CREATE VIEW documents AS SELECT 1 AS id, 2 AS rev, 3 AS body"]
)
def test_another_programs_table_is_left_alone(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute(statement)
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"'documents' of another program.*\?table=NAME"):
        SQLiteBackend(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("id TEXT, rev INTEGER, body TEXT", "not unique"),
        ("id TEXT, rev INTEGER, body TEXT, UNIQUE (id, rev)", "not unique"),
        ("id TEXT COLLATE NOCASE PRIMARY KEY, rev INTEGER, body TEXT", "not unique"),
        ("id INTEGER PRIMARY KEY, rev INTEGER, body TEXT", "INTEGER, and documents have TEXT ids"),
        ("id PRIMARY KEY, rev INTEGER, body TEXT", "of no type, and documents have TEXT ids"),
    ],
)
def test_a_table_that_can_not_keep_documents_is_refused_and_left_alone(
    tmp_path: Path, columns: str, message: str
) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute(f"CREATE TABLE documents ({columns})")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=message):
        SQLiteBackend(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("columns", ["id VARCHAR(36) UNIQUE, rev INT, body", "body, rev INTEGER, id TEXT PRIMARY KEY"])
def test_another_programs_table_whose_ids_are_unique_texts_keeps_documents(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute(f"CREATE TABLE documents ({columns})")
    other.close()
    backend = SQLiteBackend(str(path))
    assert backend.create({"a": 1}, "1") == backend["1"]
    backend.close()


@pytest.mark.parametrize("noise", [b"\xff", b"\x00", b"("])
@pytest.mark.parametrize("place", [b"CREATE", b"TABLE", b"documents (id TEXT", b"body TEXT"])
def test_a_damaged_schema_is_said(path: Path, place: bytes, noise: bytes) -> None:
    content = path.read_bytes()
    assert place in content
    path.write_bytes(content.replace(place, noise * len(place)))
    with pytest.raises(ConnectionFailed, match=r"documents\.db (is damaged|can't be opened)"):
        SQLiteBackend(str(path))


@pytest.mark.parametrize("how", ["gone", "replaced", "moved"])
def test_a_write_to_a_file_that_is_not_there_any_more_is_not_acknowledged(path: Path, how: str) -> None:
    backend = SQLiteBackend(str(path))
    backend.create({}, "before")
    if how == "gone":
        path.unlink()
    else:
        path.rename(path.with_suffix(".old"))
    if how == "replaced":
        shutil.copyfile(path.with_suffix(".old"), path)
    for write in (
        lambda: backend.create({}),
        lambda: backend.update("x", {"a": 2}),
        lambda: backend.replace("x", {}),
        lambda: backend.delete("x"),
        lambda: backend.create_many([("y", {})]),
        lambda: backend.delete_many(["x"]),
        lambda: backend.ensure_index("a"),
    ):
        with pytest.raises(ConnectionFailed, match=r"the file .*documents\.db is (gone|another file)"):
            write()
    backend.close()
    assert path.exists() is (how == "replaced")


def test_documents_may_be_kept_beside_another_programs_tables(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE documents (id, title)")
    other.close()
    backend = SQLiteBackend(str(path), table="mine")
    backend.create({"a": 1}, "x")
    backend.close()
    other = sqlite3.connect(path)
    assert other.execute("SELECT body FROM mine").fetchall() == [('{"a":1}',)]
    assert other.execute("SELECT * FROM documents").fetchall() == []
    other.close()


def test_a_file_in_utf_16_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("PRAGMA encoding='UTF-16'")
    other.execute("CREATE TABLE t (a)")
    other.close()
    with pytest.raises(StoreError, match="UTF-16"):
        SQLiteBackend(str(tmp_path / "other.db"))


def reads_and_refuses_to_write(backend: SQLiteBackend) -> None:
    assert backend["x"] == {"a": 1}
    assert [one.id for one in backend.find(parse({"a": 1}), sort=parse_sort("-a"))] == ["x"]
    assert backend.count(parse({"a": {"$gt": "x"}})) == 0
    backend.ping()
    for write in (
        lambda: backend.create({}, "y"),
        lambda: backend.update("x", {"a": 2}),
        lambda: backend.update("x", {}, increment={"a": 1}),
        lambda: backend.replace("x", {}),
        lambda: backend.replace("x", {}, upsert=True),
        lambda: backend.delete("x"),
        lambda: backend.create_many([("y", {})]),
        lambda: backend.delete_many(["x"]),
        lambda: backend.ensure_index("a"),
    ):
        with pytest.raises(StoreReadOnly, match=r"documents\.db can be read, but not written"):
            write()
    assert backend["x"] == {"a": 1}


def test_a_file_opened_read_only_is_read_and_not_written(path: Path) -> None:
    backend = SQLiteBackend(str(path), mode="ro")
    reads_and_refuses_to_write(backend)
    backend.close()


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
@pytest.mark.parametrize("log", ["wal", "delete"])
def test_a_file_that_may_not_be_written_is_read(path: Path, folder_mode: int, log: str) -> None:
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA journal_mode={log}")
    other.close()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to everybody else
        folder = Path(name)
        shutil.copyfile(path, folder / path.name)
        (folder / path.name).chmod(0o444)
        folder.chmod(folder_mode)
        try:
            # Root may write everything, so somebody else tries.
            become = "import os; os.getuid() or (os.setgid(65534), os.setuid(65534))"
            program = (
                f"import importlib.util as u; s = u.spec_from_file_location('t', {__file__!r}); "
                f"t = u.module_from_spec(s); s.loader.exec_module(t); {become}; "
                f"b = t.SQLiteBackend({str(folder / path.name)!r}); t.reads_and_refuses_to_write(b); b.close()"
            )
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
            assert (done.stderr, done.returncode) == ("", 0)
        finally:
            folder.chmod(0o755)


def test_a_file_that_may_grow_no_more_is_full_and_nothing_is_written(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    backend._file.write(allow_two_pages_more)
    fills_up(backend)
    backend.close()


def allow_two_pages_more(writer: sqlite3.Cursor) -> None:
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages + 2}")


def fills_up(backend: SQLiteBackend) -> None:
    """Write until there is no room left, in every way there is; nothing may be half written."""
    large = {"text": "x" * 30_000}
    before = backend.create_many([(f"d{n}", {"n": n}) for n in range(3)])
    created = (backend.create(large, f"large-{n}") for n in range(10_000))
    with pytest.raises(StoreFull, match="no room left"):
        list(created)
    kept = backend.count(parse({"text": {"$exists": True}}))
    assert [one.id for one in backend.find(parse({"text": large["text"]}))] == [f"large-{n}" for n in range(kept)]
    for write in (
        lambda: backend.create_many([("y", {}), ("z", {"text": "x" * 300_000})]),
        lambda: backend.update("d0", {"text": "x" * 300_000}),
        lambda: backend.update("d0", {"text": "x" * 300_000}, increment={"n": 1}),
        lambda: backend.replace("d0", {"text": "x" * 300_000}),
    ):
        with pytest.raises(StoreFull, match="nothing was written"):
            write()
    assert backend.get_many(["d0", "d1", "d2", "y"]) == [*before, None]
    assert backend.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a disk of 2 MB needs root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_full_and_nothing_is_written(small_disk: Path) -> None:
    backend = SQLiteBackend(str(small_disk / "documents.db"))
    fills_up(backend)
    backend.close()


def test_a_disk_that_is_full_already_is_refused(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"\0" * (shutil.disk_usage(small_disk).free))
    with pytest.raises(StoreFull, match="no room left"):
        SQLiteBackend(str(small_disk / "documents.db"))


def test_a_file_that_another_program_keeps_locked_is_a_timeout(path: Path) -> None:
    backend = SQLiteBackend(str(path), timeout=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for write in (lambda: backend.create({}), lambda: backend.create_many([("y", {})])):
        with pytest.raises(OperationTimeout, match=r"locked by another program for 0\.05 s; nothing was written"):
            write()
    assert backend["x"] == {"a": 1}
    other.execute("COMMIT")
    other.close()
    backend.create({}, "y")
    backend.close()


def test_a_thread_that_writes_for_ever_is_a_timeout_for_the_others(path: Path) -> None:
    backend = SQLiteBackend(str(path), timeout=0.05)
    errors: list[DivanError] = []

    def write() -> None:
        try:
            backend.create({})
        except DivanError as error:
            errors.append(error)

    def let_another_thread_write(_: object) -> None:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    backend._file.write(let_another_thread_write)
    backend.close()
    assert [type(error) for error in errors] == [OperationTimeout]


def milliseconds_to_wait(writer: sqlite3.Cursor) -> int:
    """How long SQLite would wait for another program."""
    return int(writer.execute("PRAGMA busy_timeout").fetchone()[0])


def test_waiting_for_a_thread_and_for_another_program_takes_one_timeout(path: Path) -> None:
    backend = SQLiteBackend(str(path), timeout=600)
    left: list[int] = []
    thread = threading.Thread(target=lambda: left.append(backend._file.write(milliseconds_to_wait)))

    def let_it_wait(_: object) -> None:
        thread.start()
        wait_until(lambda: backend._file._lock._last is not backend._file._turn, "the other thread's waiting")
        time.sleep(0.1)  # of that thread's time, which is the subject here

    assert backend._file.write(milliseconds_to_wait) == 600_000
    backend._file.write(let_it_wait)
    thread.join()
    assert 0 <= left[0] <= 600_000 - 100
    assert backend._file.write(milliseconds_to_wait) == 600_000
    backend.close()


@pytest.mark.parametrize("byte", [0x00, 0x02, 0x05, 0x0A, 0x0D, 0x55, 0xFF])  # nothing, kinds of pages, and noise
def test_a_damaged_file_is_said_to_be_damaged(path: Path, byte: int) -> None:
    backend = SQLiteBackend(str(path))
    backend.create_many([(f"d{n}", {"text": "x" * 1000}) for n in range(1000)])
    backend.close()
    content = bytearray(path.read_bytes())
    content[8192:] = bytes([byte]) * (len(content) - 8192)
    path.write_bytes(content)
    backend = SQLiteBackend(str(path))
    with pytest.raises(StoreError, match="is damaged"):
        list(backend.iter_documents())
    backend.close()


def test_a_file_that_is_gone_fails_the_ping(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    backend.ping()
    path.unlink()
    with pytest.raises(ConnectionFailed, match="is gone"):
        backend.ping()
    backend.close()


def test_a_table_that_is_gone_fails_the_ping(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    backend.db.execute("DROP TABLE documents")
    with pytest.raises(ConnectionFailed, match=r"documents\.db can't be read: no such table"):
        backend.ping()
    backend.close()


def test_the_native_handle_is_opened_by_the_file_and_can_not_be_set(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    assert isinstance(backend.db, sqlite3.Connection)
    assert backend.db is backend.db
    name = "db"
    with pytest.raises(AttributeError):
        setattr(backend, name, None)
    backend.close()
    with pytest.raises(StoreClosed):
        _ = backend.db


def test_after_close_every_call_says_so(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    backend.create({}, "y")
    backend.close()
    for call in (
        lambda: backend["x"],
        lambda: backend.create({}),
        lambda: backend.delete_many(["x"]),
        lambda: list(backend.iter_documents()),
        lambda: backend.count(parse(None)),
    ):
        with pytest.raises(StoreClosed, match=r"documents\.db is closed; open it again"):
            call()


def test_another_call_in_flight_while_closing_ends_well(path: Path) -> None:
    backend = SQLiteBackend(str(path))
    reader = backend._file.borrow()
    backend.close()
    backend._file.readers.append(reader)
    with pytest.raises(sqlite3.ProgrammingError):
        reader.connection.execute("SELECT 1")
    assert [entry.name for entry in path.parent.iterdir()] == ["documents.db"]
