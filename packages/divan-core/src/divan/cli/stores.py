"""Internal: the commands about a store as a whole, `purge`, `ping` and `conformance`; and `completion`."""

from __future__ import annotations

import time
from typing import Final

import click

from divan.cli import exits
from divan.cli.output import Printer, write
from divan.cli.parsing import Command, StoreCommand, Word, opened, output_options
from divan.cli.target import Target

_PYTEST_EXITS: Final = {0: exits.OK, 1: exits.FAILED, 2: exits.INTERRUPTED, 4: exits.USAGE}


@click.command(cls=StoreCommand)
def purge(target: Target) -> None:
    """Delete the documents that have expired, and print how many those were.

    --expires FIELD says by which field they do, or the URL does: sqlite:///sessions.db?expires=until. One that is
    prolonged meanwhile is left alone.
    """
    with opened(target) as (store, _):
        if store.expires is None:
            raise click.UsageError(
                "name the field by which documents expire: --expires FIELD", click.get_current_context()
            )
        write(f"{store.purge()}\n")


@click.command(cls=StoreCommand, reads_documents=False)
@output_options
def ping(target: Target, printer: Printer) -> None:
    """Ask a store for a sign of life (exit 6 if there is none)."""
    begin = time.perf_counter()
    with opened(target) as (store, _):
        store.ping()
        took = round((time.perf_counter() - begin) * 1000, 1)
        printer.text(f"{store.url} answered within {took} ms", {"url": store.url, "ok": True, "milliseconds": took})


@click.command(
    cls=StoreCommand,
    reads_documents=False,
    words=(Word("pytest_argument", required=False, many=True),),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def conformance(target: Target, pytest_argument: tuple[str, ...]) -> int:
    """Check that a store answers as every other does.

    The conformance suite writes to the database that the URL names. Options of divan's own stand before the URL; what
    follows it goes to pytest, as in divan conformance sqlite:///test.db -k bulk.
    """
    try:
        from divan.testing import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("pytest", "hypothesis"):
            raise
        message = "the conformance suite is not installed: pip install 'divan-core[testing]'"
        raise click.ClickException(message) from error
    return _PYTEST_EXITS.get(int(run(target.url().value, *pytest_argument)), exits.FAILED)


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that gives a shell tab completion.

    bash: eval "$(divan completion bash)" in ~/.bashrc. zsh: the same with zsh in ~/.zshrc. fish: divan completion fish
    > ~/.config/fish/completions/divan.fish.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    write(kind(ctx.find_root().command, {}, "divan", "_DIVAN_COMPLETE").source() + "\n")
