"""Internal: the ``divan`` command: its subcommands, and how what they raise becomes one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from divan.cli import backends, doctor, documents, exits, matches, new, pages, queries, stores, watching
from divan.cli.output import OutputClosed
from divan.cli.parsing import Command, traceback_option
from divan.cli.text import Reporter
from divan.errors import DivanError

_EPILOG = f"""\
\b
The store's URL is the first word; leave it out to use the one in the
environment variable DIVAN_URL, where a password is not seen by other users of
the machine. Nor is one that --password-prompt asks for, or that the URL takes
from a variable: 'redis://ada:${{REDIS_PASSWORD}}@host/guests', in single quotes.

\b
Exit codes:
{exits.describe()}

\b
Tab completion: eval "$(divan completion bash)"   (or zsh, or fish)
"""


class _Group(click.Group):
    """The subcommands, in the order in which they are listed here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import importlib_metadata

        click.echo(f"divan-core {importlib_metadata.version('divan-core')}")
        ctx.exit()


@click.group(
    cls=_Group,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def app(ctx: click.Context) -> None:
    """Keep documents in whichever store you already run.

    Documents are JSON objects, one a line, in and out; their id is "_id", their revision "_rev". On a terminal they are
    shown as a table.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


_COMMANDS: tuple[Command, ...] = (
    documents.create,
    documents.get,
    documents.put,
    documents.update,
    documents.replace,
    documents.delete,
    queries.find,
    matches.first,
    matches.exists,
    pages.page,
    queries.count,
    queries.ids,
    queries.explain,
    queries.ensure_index,
    stores.purge,
    watching.watch,
    backends.backends,
    backends.serializers,
    doctor.doctor,
    stores.ping,
    stores.conformance,
    new.new_backend,
    new.new_serializers,
    stores.completion,
)
app.params.append(traceback_option())
for _command in _COMMANDS:
    app.add_command(_command)


class _LogHandler(logging.Handler):
    """Prints what the library logs, such as a plugin's hook that failed, in one line."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.WARNING)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        reason = record.exc_info[1] if record.exc_info else None
        self._reporter.warning(record.getMessage() + (f": {reason}" if reason is not None else ""))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; see `divan.cli.main`."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace" if stream is sys.stderr else "strict")
    reporter = Reporter()
    handler = _LogHandler(reporter)
    logger = logging.getLogger("divan")
    logger.addHandler(handler)
    try:
        with reporter.hearing_warnings():
            return _run(arguments, reporter)
    finally:
        logger.removeHandler(handler)


def _run(arguments: Sequence[str] | None, reporter: Reporter) -> int:
    try:
        answer: Any = app.main(arguments, prog_name="divan", standalone_mode=False, obj=reporter)
        sys.stdout.flush()
    except (OutputClosed, BrokenPipeError):
        _silence_stdout()
        return exits.OUTPUT_CLOSED
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx is not None else "divan"
        reporter.error(f"{error.format_message()} ({name} --help tells more)", error)
        return exits.USAGE
    except click.ClickException as error:
        reporter.error(error.format_message(), error)
        return exits.FAILED
    except DivanError as error:
        reporter.error(error, error)
        return exits.code_of(error)
    except Exception as error:
        hint = "" if reporter.traceback else " (--traceback shows where)"
        reporter.error(f"unexpected {type(error).__name__}: {error}{hint}", error)
        return exits.FAILED
    return answer if isinstance(answer, int) else exits.OK


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that Python does not complain of it while it ends."""
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
    except OSError:
        pass  # no file, no descriptor to redirect
