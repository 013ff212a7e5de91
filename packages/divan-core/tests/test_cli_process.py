"""``divan`` as a process: pipes, terminals, signals, what it imports, and what strangers have installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import divan
import pytest

pytestmark = pytest.mark.slow

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals are POSIX's")

DIVAN = [sys.executable, "-m", "divan.cli"]

# What whoever runs the tests may have set, and would show in what the commands print.
PERSONAL = ("DIVAN_", "_DIVAN", "NO_COLOR", "FORCE_COLOR", "TTY_")


class Site:
    """A folder of distributions that nobody has checked, on the path of the commands that are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(PERSONAL)},
            "PYTHONPATH": str(folder),
            "PYTHONIOENCODING": "utf-8",
        }

    def install(self, name: str, module: str, source: str, **groups: dict[str, str]) -> None:
        """Write a module and the metadata of its distribution: group (``_`` for the dot) → entry point → value."""
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: The summary of {name}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        lines = []
        for group, points in groups.items():
            lines += [f"[{group.replace('_', '.')}]", *(f"{point} = {value}" for point, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, *words: str, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*DIVAN, *words],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**self.environment, **(env or {})},
            check=False,
            timeout=300,
        )

    @contextmanager
    def started(self, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """A running command and its standard output; killed when the block ends, if it has not ended by then."""
        with subprocess.Popen(
            [*DIVAN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment
        ) as process:
            try:
                assert process.stdout is not None
                yield process, process.stdout
            finally:
                process.kill()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database without documents."""
    url = f"sqlite:///{tmp_path.as_posix()}/test.db"
    divan.open(url).close()
    return url


ENDLESS = """
    from divan.backends.base import BaseDivanBackend

    class Endless(BaseDivanBackend):
        default_host = "nowhere"
        default_port = 4711
        exclude_keys = ("key",)

        def connect(self, database, host, port): return None
        def create(self, data): return {"key": "1", **data}
        def update(self, document_id, data): return {"key": document_id, **data}
        def get_id_for_document(self, document): return document["key"]
        def get_document_attr(self, document, field): return document[field]

        def iter_documents(self):
            number = 0
            while True:
                number += 1
                yield {"key": str(number)}
"""

LEAKY = """
    from divan.backends.base import BaseDivanBackend

    class Leaky(BaseDivanBackend):
        default_host = ""
        default_port = 1

        def connect(self, database, host, port):
            password = self.options.get("password")
            token = self.options.get("token")
            raise RuntimeError(f"login with {password!r} and {token} failed")

        def create(self, data): ...
        def update(self, document_id, data): ...
        def get_id_for_document(self, document): ...
        def get_document_attr(self, document, field): ...
"""

POINTS = """
    import divan

    class Point:
        def __init__(self, x, y): self.x, self.y = x, y

    @divan.hookimpl
    def divan_serializers(backend):
        return {"PointField": {
            "serialize": lambda point: f"{point.x},{point.y}",
            "deserialize": lambda text: Point(*map(int, text.split(","))),
            "ordered": False,
        }}
"""


# Pipes and signals


def test_documents_go_through_pipes(site: Site, url: str) -> None:
    created = site.run("create", url, stdin='{"_id": "a", "n": 1}\n{"_id": "ü", "n": 2.0}\n')
    assert created.returncode == 0
    assert site.run("find", url, "--sort", "n").stdout == created.stdout
    assert site.run("delete", url, "-", stdin=created.stdout).returncode == 0
    assert site.run("count", env={"DIVAN_URL": url}).stdout == "0\n"


def test_exit_codes_reach_the_shell(site: Site, url: str) -> None:
    ended = site.run("get", url, "nobody")
    assert (ended.returncode, ended.stderr) == (3, "Error: no document has the id 'nobody'\n")


@pytest.fixture
def endless(site: Site) -> str:
    """The URL of a store whose documents never end."""
    site.install("divan-endless", "endless", ENDLESS, divan_backends={"endless": "endless:Endless"})
    return "endless://x"


@needs_posix
@pytest.mark.parametrize(("command", "first"), [("find", b'{"_id": "1"}\n'), ("ids", b"1\n")])
def test_output_is_streamed_and_ends_quietly_when_its_reader_does(
    site: Site, endless: str, command: str, first: bytes
) -> None:
    with site.started(command, endless) as (process, output):
        assert output.readline() == first
        output.close()
        assert process.wait(timeout=300) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Has what is started here heed SIGINT: it would inherit that a shell's background job, as a test run can be, does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@needs_posix
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_exits_130_without_a_traceback(site: Site, endless: str) -> None:
    with site.started("find", endless) as (process, output):
        output.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 130
        assert b"Traceback" not in errors


@pytest.mark.parametrize("command", ["get", "delete"])
def test_a_backend_that_cannot_do_it_exits_8(site: Site, endless: str, command: str) -> None:
    ended = site.run(command, endless, "1")
    assert ended.returncode == 8
    assert "Endless does not implement" in ended.stderr


# Terminals


@pytest.fixture
def on_a_terminal(site: Site) -> Callable[..., str]:
    """Runs a command whose output and errors are a terminal of 100 columns, and returns what it showed."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

    def run(*words: str, **environment: str) -> str:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [*DIVAN, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**site.environment, "COLUMNS": "100", "TERM": "xterm", **environment},
        )
        os.close(slave)
        shown = b"".join(_read_all(master))
        process.wait(timeout=300)
        os.close(master)
        return shown.decode().replace("\r\n", "\n")

    return run


def _read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            return
        if not part:
            return
        yield part


def test_a_terminal_gets_a_table(site: Site, url: str, on_a_terminal: Callable[..., str]) -> None:
    site.run("create", url, stdin='{"_id": "a", "name": "Ada"}\n{"_id": "b", "age": 1}\n')
    shown = on_a_terminal("find", url, "--sort=-name")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in shown.splitlines()]
    assert ["_id", "name", "age", "_rev"] in lines
    assert "2 documents" in shown


def test_a_terminal_gets_json_if_it_is_asked_for(site: Site, url: str, on_a_terminal: Callable[..., str]) -> None:
    site.run("create", url, '{"_id": "a", "text": "\\u009b31m"}')
    shown = on_a_terminal("find", url, "--json")
    assert "\\u009b31m" in shown
    assert json.loads(shown)["text"] == "\x9b31m"


def test_fields_that_a_terminal_has_no_room_for_are_still_shown(
    site: Site, url: str, on_a_terminal: Callable[..., str]
) -> None:
    site.run("create", url, json.dumps({f"field{number}": number for number in range(20)}))
    shown = on_a_terminal("find", url, NO_COLOR="1")
    assert "further fields" in shown
    assert '"field19": 19' in " ".join(shown.split())


def test_an_error_is_red_on_a_terminal(url: str, on_a_terminal: Callable[..., str]) -> None:
    assert on_a_terminal("get", url, "x") == "\x1b[31mError: no document has the id 'x'\x1b[0m\n"


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_switched_off(setting: dict[str, str], url: str, on_a_terminal: Callable[..., str]) -> None:
    assert on_a_terminal("get", url, "x", **setting) == "Error: no document has the id 'x'\n"


def test_without_a_document_a_terminal_is_not_waited_for(url: str, on_a_terminal: Callable[..., str]) -> None:
    assert "pipe it in" in on_a_terminal("create", url)


# Secrets


@pytest.mark.parametrize("words", [[], ["--traceback"]])
@pytest.mark.parametrize("written", ["s3cr3t", "s3cr3t%2F%40", "s%33cr3t"], ids=["plain", "escaped", "needlessly"])
def test_no_secret_is_shown(site: Site, written: str, words: list[str]) -> None:
    site.install("divan-leaky", "leaky", LEAKY, divan_backends={"leaky": "leaky:Leaky"})
    url = f"leaky://me:{written}@host/db?token=t0k3n"
    for ended in (site.run("count", url, *words), site.run("count", *words, env={"DIVAN_URL": url})):
        assert ended.returncode == 1
        assert "login with '***' and *** failed" in ended.stderr
        assert ("Traceback" in ended.stderr) == bool(words)
        for secret in ("s3cr3t", "t0k3n", written):
            assert secret not in ended.stdout + ended.stderr


@pytest.mark.parametrize("url", ["couchdb://me:s3c/r3t@host/db", "couchdb://me:s3c:r3t@host:x/db", "x_://me:s3c@r3t@h"])
def test_a_malformed_url_gives_no_part_of_its_password_away(site: Site, url: str) -> None:
    ended = site.run("count", url, "--traceback")
    assert ended.returncode != 0
    assert "s3c" not in ended.stderr
    assert "r3t" not in ended.stderr


# What strangers have installed


def test_a_backend_of_a_stranger_is_listed_and_works(site: Site) -> None:
    site.install(
        "divan-endless", "endless", ENDLESS, divan_backends={"endless": "endless:Endless", "forever": "endless:Endless"}
    )
    listed = {row["name"]: row for row in json.loads(site.run("backends", "--check", "--json").stdout)}
    assert listed["endless"].pop("import_seconds") > 0
    assert listed["endless"] == {
        "name": "endless",
        "aliases": ["forever"],
        "distribution": "divan-endless",
        "version": "1.0",
        "summary": "The summary of divan-endless",
        "value": "endless:Endless",
        "conflicts": [],
        "default_host": "nowhere",
        "default_port": 4711,
        "methods": ["iter_documents"],
        "error": None,
    }
    assert json.loads(site.run("create", "forever://x", "{}").stdout) == {"_id": "1"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('broken\\non two lines')", "RuntimeError: broken on two lines"),
        ("import no_such_module", "no_such_module"),
        ("raise SystemExit(3)", "SystemExit"),
        ("Broken = 3", "no subclass"),
        ("from divan.backends.base import BaseDivanBackend as Broken", "lacks default_host, default_port, connect()"),
    ],
)
def test_a_broken_backend_breaks_only_the_check(site: Site, url: str, source: str, reason: str) -> None:
    site.install("divan-broken", "broken", source, divan_backends={"broken": "broken:Broken"})
    assert site.run("--help").returncode == 0
    assert site.run("count", url).stdout == "0\n"
    listed = site.run("backends")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "divan-broken" in listed.stdout
    checked = site.run("backends", "--check")
    assert checked.returncode == 1
    (line,) = [line for line in checked.stdout.splitlines() if line.startswith("broken: ")]
    assert reason in line
    rows = {row["name"]: row for row in json.loads(site.run("backends", "--check", "--json").stdout)}
    assert reason in rows["broken"]["error"]
    assert rows["memory"]["error"] is None


def test_a_backend_that_prints_while_it_is_imported_does_not_spoil_the_json(site: Site) -> None:
    site.install(
        "divan-loud", "loud", "print('hello')\n" + textwrap.dedent(ENDLESS), divan_backends={"loud": "loud:Endless"}
    )
    errors = {row["name"]: row["error"] for row in json.loads(site.run("backends", "--check", "--json").stdout)}
    assert "loud" in errors
    assert set(errors.values()) == {None}


def test_two_backends_of_one_name_are_both_shown_with_the_way_out(site: Site) -> None:
    for name in ("one", "two"):
        site.install(f"divan-{name}", name, ENDLESS, divan_backends={"endless": f"{name}:Endless"})
    shown = site.run("backends").stdout
    assert "divan-one:endless shares a name with divan-two:endless" in shown
    ambiguous = site.run("create", "endless://x", "{}")
    assert ambiguous.returncode == 7
    assert site.run("create", "divan-two:endless://x", "{}").returncode == 0


def test_a_field_type_of_a_stranger_works(site: Site, url: str) -> None:
    site.install("divan-geo", "geo", POINTS, divan_plugins={"geo": "geo"})
    typed = ["--schema", "at=PointField"]
    assert json.loads(site.run("create", url, *typed, '{"_id": "a", "at": "1,2"}').stdout)["at"] == "1,2"
    found = site.run("find", url, *typed, "-w", '{"at": {"$in": ["1,2"]}}')
    assert json.loads(found.stdout)["at"] == "1,2"
    assert site.run("find", url, *typed, "-w", '{"at": {"$gt": "1,2"}}').returncode == 5
    assert site.run("create", url, *typed, '{"at": "here"}').returncode == 5


def test_serializers_show_which_plugin_gives_one(site: Site) -> None:
    site.install("divan-geo", "geo", POINTS, divan_plugins={"geo": "geo"})
    for words in ([], ["--backend", "sqlite"]):
        listed = json.loads(site.run("serializers", "--json", *words).stdout)
        (row,) = [row for row in listed["serializers"] if row["field_type"] == "PointField"]
        assert row["source"] == "plugin divan-geo"
        assert row["ordered"] is False


def test_serializers_that_two_plugins_give_are_shown_as_a_conflict(site: Site) -> None:
    for name in ("geo", "maps"):
        site.install(f"divan-{name}", name, POINTS, divan_plugins={name: name})
    ended = site.run("serializers", "--backend", "memory")
    assert ended.returncode == 7
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("conflict: ")]
    assert "divan-geo and divan-maps" in line
    (row,) = [
        row
        for row in json.loads(site.run("serializers", "--backend", "memory", "--json").stdout)["serializers"]
        if row["field_type"] == "PointField"
    ]
    assert row["source"] is None
    assert row["layers"] == ["plugin divan-geo", "plugin divan-maps"]


def test_an_override_is_shown_with_what_it_beat(site: Site) -> None:
    source = POINTS.replace("PointField", "DateField").replace('"ordered": False', '"override": True')
    site.install("divan-dates", "dates", source, divan_plugins={"dates": "dates"})
    listed = json.loads(site.run("serializers", "--backend", "sqlite", "--json").stdout)
    (row,) = [row for row in listed["serializers"] if row["field_type"] == "DateField"]
    assert row["source"] == "plugin divan-dates"
    assert row["layers"] == ["plugin divan-dates (override)", "backend sqlite", "core"]


def test_a_broken_plugin_is_one_warning_and_listed(site: Site, url: str) -> None:
    site.install("divan-broken", "broken", "raise RuntimeError('x')", divan_plugins={"broken": "broken"})
    ended = site.run("create", url, "--schema", "at=DateField", "{}")
    assert ended.returncode == 0
    assert ended.stderr.startswith("Warning: ")
    assert ended.stderr.count("\n") == 1
    assert site.run("--help").stderr == ""
    assert site.run("backends").stderr == ""
    assert "broken: the plugin 'broken' of divan-broken: RuntimeError: x" in site.run("serializers").stdout
    (broken,) = json.loads(site.run("serializers", "--json").stdout)["broken_plugins"]
    assert broken == {"name": "broken", "distribution": "divan-broken", "reason": "RuntimeError: x"}


def test_a_hook_that_fails_after_a_write_is_one_warning(site: Site, url: str) -> None:
    source = """
        import divan

        @divan.hookimpl
        def divan_after_write(store, operation, document_id, document):
            raise RuntimeError("the audit log is gone")
    """
    site.install("divan-audit", "audit", source, divan_plugins={"audit": "audit"})
    ended = site.run("create", url, "{}")
    assert ended.returncode == 0
    assert ended.stderr.count("\n") == 1
    assert "the audit log is gone" in ended.stderr


def test_a_vetoed_write_exits_9(site: Site, url: str) -> None:
    source = """
        import divan

        @divan.hookimpl
        def divan_before_write(store, operation, document_id, data):
            raise divan.WriteVetoed("not today")
    """
    site.install("divan-veto", "veto", source, divan_plugins={"veto": "veto"})
    ended = site.run("create", url, "{}")
    assert (ended.returncode, ended.stderr) == (9, "Error: not today\n")


# What it needs


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_says_what_to_install(site: Site, missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from divan.cli import main; sys.exit(main(['--help']))"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=site.environment, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "pip install 'divan-core[cli]'" in ended.stderr


def imported(site: Site, script: str) -> set[str]:
    script = f"import sys; {script}; print('\\n', *sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=site.environment, check=True
    )
    return set(ended.stdout.splitlines()[-1].split())


def test_importing_divan_does_not_import_the_command_line(site: Site) -> None:
    assert not imported(site, "import divan") & {"click", "rich", "divan.cli", "anyio"}


@pytest.mark.parametrize("words", [["--help"], ["find", "--help"], ["--version"]])
def test_help_imports_no_driver_and_no_plugin(site: Site, words: list[str]) -> None:
    site.install("divan-geo", "geo", POINTS, divan_plugins={"geo": "geo"})
    loaded = imported(site, f"from divan.cli import main; main({words!r})")
    assert not loaded & {"sqlite3", "divan.backends.memory", "divan.backends.sqlite", "rich", "geo"}


def test_the_console_script_is_installed(site: Site) -> None:
    script = Path(sys.executable).with_name("divan.exe" if sys.platform == "win32" else "divan")
    ended = subprocess.run(
        [str(script), "--version"], capture_output=True, text=True, env=site.environment, check=False
    )
    assert (ended.returncode, ended.stdout.split()[0]) == (0, "divan-core")


# Shell completion


def complete(site: Site, *words: str) -> list[str]:
    line = " ".join(["divan", *words])
    setting: dict[str, Any] = {
        "_DIVAN_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    return [line.partition(",")[2] for line in site.run(env=setting).stdout.splitlines()]


def test_commands_are_completed(site: Site) -> None:
    assert complete(site, "co") == ["count", "conformance", "completion"]


def test_options_are_completed(site: Site) -> None:
    assert complete(site, "find", "--wh") == ["--where"]


def test_schemes_of_installed_backends_are_completed(site: Site) -> None:
    site.install(
        "divan-endless", "endless", ENDLESS, divan_backends={"endless": "endless:Endless", "meme": "endless:Endless"}
    )
    assert complete(site, "find", "me") == ["meme://", "memory://"]


def test_backend_names_are_completed(site: Site) -> None:
    assert complete(site, "serializers", "--backend", "sq") == ["sqlite"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_each_shell_gets_its_script(site: Site, shell: str) -> None:
    ended = site.run("completion", shell)
    assert ended.returncode == 0
    assert f"_DIVAN_COMPLETE={shell}_complete" in ended.stdout


# Conformance


def test_conformance_runs_the_suite_and_passes_on_what_pytest_says(site: Site, url: str) -> None:
    ended = site.run("conformance", url, "-q", "-k", "test_ping")
    assert "passed" in ended.stdout
    assert ended.returncode == 0


def test_conformance_takes_the_url_from_the_environment_and_passes_options_on(site: Site, url: str) -> None:
    ended = site.run("conformance", "--version", env={"DIVAN_URL": url})
    assert (ended.returncode, (ended.stdout + ended.stderr).split()[0]) == (0, "pytest")


def test_conformance_without_the_suites_extra_says_what_to_install(site: Site, url: str) -> None:
    # What None stands for in sys.modules can't be imported: as if it were not installed.
    missing = "import sys\nsys.modules['hypothesis'] = None\n"
    (site.folder / "sitecustomize.py").write_text(missing, encoding="utf-8")
    ended = site.run("conformance", url)
    assert ended.returncode == 1
    assert "pip install 'divan-core[testing]'" in ended.stderr
