"""Passwords on the command line: asked for on the terminal, or taken from the environment; shown nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import divan
import pytest
from divan.cli import main

from tests.support.distributions import backend

pytest.importorskip("click", reason="the command line's extra is not installed")

# Once it is known that what they need is there.
from divan.cli.app import app
from divan.cli.parsing import StoreCommand
from divan.cli.text import Reporter

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

SECRET: Final = "hunter2 / @:#?%ü"
"""A password that has to be percent-encoded in a URL."""

VAULT: Final = '''
"""A store that lets in whoever has the password in VAULT_EXPECTS, and tells all that it was opened with."""

import os

from divan.backends.base import BaseDivanBackend
from divan.errors import ConnectionFailed


class DictBackend(BaseDivanBackend):
    default_host = "nowhere"
    default_port = 4711
    exclude_keys = ("key",)

    def connect(self, database, host, port):
        if self.options.get("password") != os.environ["VAULT_EXPECTS"]:
            raise ConnectionFailed(f"{self.options.get('password')!r} is not the password")
        return {"key": "1", "database": database, "host": host, "port": port, "user": self.options.get("user")}

    def create(self, data): ...
    def update(self, document_id, data): ...
    def get_id_for_document(self, document): return document["key"]
    def get_document_attr(self, document, field): return document[field]
    def iter_documents(self): return iter([self.db])
'''


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Installs the backend ``vault``; the folder that it is in."""
    folder = tmp_path / "site"
    folder.mkdir()
    backend("divan-vault", "vault", "vaults", source=VAULT).unpack(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("VAULT_EXPECTS", SECRET)
    monkeypatch.delenv("DIVAN_URL", raising=False)
    yield folder
    sys.modules.pop("divan_vault", None)


@pytest.fixture
def run(vault: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; its exit code, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        return (main(words), *capsys.readouterr())

    return run


# References to the environment


def opened_with(run: Run, url: str) -> dict[str, Any]:
    code, out, err = run("find", "--json", url)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_url_refers_to_a_password_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", SECRET)
    assert opened_with(run, "vault://ada:${VAULT_PASSWORD}@host:1/db")["user"] == "ada"


def test_every_part_of_a_url_may_refer_to_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_USER": "a:d@a", "Host1": "host.example", "PORT": "99", "DB": "a/b?c#d"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HALF", SECRET[7:])
    found = opened_with(run, "vault://${_USER}:hunter2${HALF}@${Host1}:${PORT}/of-${DB}")
    assert found == {"_id": "1", "user": "a:d@a", "host": "host.example", "port": 99, "database": "of-a/b?c#d"}


def test_the_url_in_the_environment_may_refer_to_it_as_well(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", SECRET)
    monkeypatch.setenv("DIVAN_URL", "vault://ada:${VAULT_PASSWORD}@host/db")
    assert run("ids") == (0, "1\n", "")
    code, out, _ = run("doctor", "--json")
    assert json.loads(out)["environment"]["DIVAN_URL"] == "vault://ada:***@host/db"
    assert json.loads(out)["problems"] == []
    assert code == 0


def test_what_a_variable_holds_is_no_reference(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", "${HOME}")
    monkeypatch.setenv("VAULT_EXPECTS", "${HOME}")
    opened_with(run, "vault://ada:${VAULT_PASSWORD}@host/db")


def test_a_dollar_and_a_brace_that_are_meant_are_percent_encoded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_EXPECTS", "${HOME}$HOME$")
    opened_with(run, "vault://ada:%24{HOME}$HOME$@host/db")


@pytest.mark.parametrize("value", [None, ""], ids=["not set", "empty"])
def test_a_variable_that_is_not_set_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("VAULT_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("VAULT_PASSWORD", value)
    code, out, err = run("count", "vault://ada:${VAULT_PASSWORD}@host/db")
    assert (code, out) == (2, "")
    assert err == "Error: the URL refers to the environment variable VAULT_PASSWORD, which is not set or empty\n"


def test_doctor_tells_of_a_variable_that_is_not_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_PASSWORD", raising=False)
    monkeypatch.setenv("DIVAN_URL", "vault://ada:${VAULT_PASSWORD}@host/db")
    code, out, _ = run("doctor", "--json")
    assert code == 1
    assert any("VAULT_PASSWORD" in problem for problem in json.loads(out)["problems"])


@pytest.mark.parametrize("password", ["${", "${}", "${hunter2", "${hunter-2}", "${HOME}${hunter2:-x}"])
def test_what_is_no_reference_is_refused_and_not_shown(run: Run, password: str) -> None:
    code, out, err = run("count", "--traceback", f"vault://ada:{password}@host/db")
    assert (code, out) == (2, "")
    assert "%24" in err
    assert "hunter" not in err


def test_the_library_takes_a_url_as_it_stands(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", SECRET)
    monkeypatch.setenv("VAULT_EXPECTS", "${VAULT_PASSWORD}")
    divan.open("vault://ada:${VAULT_PASSWORD}@host/db").close()


# Secrets


@pytest.fixture
def causes(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The errors that commands end with."""
    found: list[BaseException] = []
    show = Reporter.error

    def error(self: Reporter, message: object, cause: BaseException | None = None) -> None:
        if cause is not None:
            found.append(cause)
        show(self, message, cause)

    monkeypatch.setattr(Reporter, "error", error)
    return found


def locals_of(error: BaseException | None) -> Iterator[str]:
    """What the frames of Divan in an error's tracebacks have in their locals."""
    while error is not None:
        for frame in traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), capture_locals=True):
            if f"{os.sep}divan{os.sep}" in frame.filename:
                yield f"{frame.name}: {frame.locals}"
        error = error.__cause__ or error.__context__


def test_a_password_from_the_environment_is_in_no_output_and_no_local(
    run: Run, monkeypatch: pytest.MonkeyPatch, causes: list[BaseException]
) -> None:
    monkeypatch.setenv("VAULT_EXPECTS", "another")
    monkeypatch.setenv("VAULT_PASSWORD", SECRET)
    code, out, err = run("count", "--traceback", "vault://ada:${VAULT_PASSWORD}@host/db")
    assert (code, out) == (6, "")
    assert "*** is not the password" in err.replace("'", "")
    assert "hunter2" not in err
    (cause,) = causes
    shown = list(locals_of(cause))
    assert any(text.startswith("opened: ") for text in shown)
    assert [text for text in shown if "hunter2" in text] == []


def test_a_second_url_is_refused_without_its_password(run: Run) -> None:
    code, _, err = run("count", "vault://host/db", "vault://ada:hunter2@host/db")
    assert code == 2
    assert "one word too many" in err
    assert "hunter2" not in err


# The prompt


@pytest.fixture
def on_a_terminal(vault: Path) -> Run:
    """Runs a command whose terminal answers each question with one line; its exit code, output, and the terminal.

    Its standard input and output are pipes, its errors go to the terminal.
    """
    import fcntl
    import termios

    def run(*words: str, answer: str, stdin: str = "") -> tuple[int, str, str]:
        master, slave = pty.openpty()

        def adopt() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a run in the background has its children ignore
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        with subprocess.Popen(
            [sys.executable, "-m", "divan.cli", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=slave,
            preexec_fn=adopt,
            env={**os.environ, "PYTHONPATH": str(vault), "NO_COLOR": "1"},
            text=True,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            os.close(slave)
            shown = b""
            while part := _read(master):
                shown += part
                if answer and b"Password for" in shown and shown.endswith(b": "):
                    os.write(master, f"{answer}\n".encode())
                    answer = ""
            assert process.stdout is not None
            out = process.stdout.read()
        os.close(master)
        return process.returncode, out, shown.decode()

    return run


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


@pytest.mark.slow
@pytest.mark.parametrize(("at", "user"), [("ada@", "ada"), ("a%40d%3Aa@", "a@d:a"), ("", "")])
def test_a_password_is_asked_for_and_not_shown(on_a_terminal: Run, at: str, user: str) -> None:
    code, out, shown = on_a_terminal("find", f"vault://{at}[::1]:9/db", "--password-prompt", answer=SECRET)
    assert code == 0
    assert shown.split() == ["Password", "for", f"vault://{at}[::1]:9/db:"]
    found = json.loads(out)
    assert found == {"_id": "1", "user": user, "host": "::1", "port": 9, "database": "db"}


@pytest.mark.slow
def test_a_wrong_password_is_not_shown(on_a_terminal: Run) -> None:
    code, out, shown = on_a_terminal(
        "count", "vault://ada@host/db", "--password-prompt", "--traceback", answer="hunter3 @"
    )
    assert (code, out) == (6, "")
    assert "'***' is not the password" in shown
    assert "hunter3" not in shown


@pytest.mark.slow
def test_the_documents_on_standard_input_are_no_answer(on_a_terminal: Run) -> None:
    code, _, shown = on_a_terminal(
        "put", "vault://ada@host/db", "--password-prompt", answer=SECRET, stdin='{"_id": "a"}\n'
    )
    assert code == 8
    assert "does not implement" in shown  # so that it was let in


@pytest.mark.slow
def test_a_question_that_is_interrupted_ends_the_command(on_a_terminal: Run) -> None:
    code, out, shown = on_a_terminal("count", "vault://ada@host/db", "--password-prompt", answer="\x03")
    assert (code, out) == (130, "")
    assert "Traceback" not in shown


@pytest.mark.slow
def test_without_a_terminal_nothing_is_asked(vault: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "divan.cli", "count", "vault://ada@host/db", "--password-prompt"],
        input=f"{SECRET}\n",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(vault)},
        start_new_session=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: --password-prompt asks on the terminal, and there is none")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["vault://ada:hunter2@host/db", "vault://host/db?password=hunter2"])
def test_a_url_with_a_password_leaves_nothing_to_ask(run: Run, url: str) -> None:
    code, _, err = run("count", url, "--password-prompt")
    assert code == 2
    assert "leave out --password-prompt" in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("words", "told"),
    [(["count"], "DIVAN_URL"), (["count", "vault://ada@host:x/db"], "port")],
    ids=["no URL", "no such port"],
)
def test_nothing_is_asked_for_a_url_that_cannot_be_opened(run: Run, words: list[str], told: str) -> None:
    code, _, err = run(*words, "--password-prompt")
    assert code == 2
    assert told in err


@pytest.mark.parametrize(
    "command", [name for name, command in app.commands.items() if isinstance(command, StoreCommand)]
)
def test_every_command_on_a_store_can_ask(run: Run, command: str) -> None:
    assert "--password-prompt" in run(command, "--help")[1]
