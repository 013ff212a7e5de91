"""Internal: where a command's store is: its URL, and a password that is asked for, or referred to by the URL."""

from __future__ import annotations

import os
import re
import sys
from typing import Final
from urllib.parse import quote

import click

from divan.cli.text import Reporter
from divan.errors import InvalidURL
from divan.opening import DEFAULT_URL_VARIABLE
from divan.options import Hidden
from divan.urls import parse_url

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_AUTHORITY: Final = re.compile(r"(?P<scheme>[^/]*://)(?:(?P<user>[^/?#:]*)@)?(?P<rest>.*)")


class Target:
    """Where a command's store is; no frame that holds one shows the URL or the password.

    Args:
        url: The URL as it was written; `None` or empty if there is none.
        ask: Whether to ask for the password.
        reporter: What shows errors, and is told what never to show.
        expires: The field by which documents expire; `None` if only the URL may say so.

    Attributes:
        expires: As given.
    """

    def __init__(self, url: Hidden, ask: bool, reporter: Reporter, expires: str | None = None) -> None:
        self.expires = expires
        self._url = url
        self._ask = ask
        self._reporter = reporter

    def url(self) -> Hidden:
        """The complete URL, its password included.

        It is put together when the store is opened, and not before: of two commands in a pipe that both ask, the second
        one does so when the first one has its password and hands on what it read.

        Raises:
            InvalidURL: if there is none, or if it can't be understood.
            click.UsageError: if there is no terminal to ask on.
            click.Abort: if whoever is asked gives no answer.
        """
        if not self._url.value:
            raise InvalidURL(
                f"no store is named: give its URL first, as in sqlite:///guests.db, or set {DEFAULT_URL_VARIABLE}"
            )
        url = expand(self._url)
        if self._ask:
            url = _with_password(url)
        self._reporter.hide_secrets_of(url)
        return url


def expand(url: Hidden) -> Hidden:
    """The URL with each ``${NAME}`` replaced by what the environment holds under that name.

    A value is percent-encoded on its way: whatever it holds, it is a part of the URL and ends none.

    Raises:
        InvalidURL: if a variable is not set or empty, naming it; or if ``${`` begins no reference.
    """
    for name in _REFERENCE.findall(url.value):
        if not os.environ.get(name):
            raise InvalidURL(f"the URL refers to the environment variable {name}, which is not set or empty")
    if "${" in _REFERENCE.sub("", url.value):
        # The rest is not shown: it can be a password that was meant as it stands.
        raise InvalidURL("a reference to the environment is written ${NAME}; a '$' that is meant is written %24")
    return Hidden(_REFERENCE.sub(lambda found: quote(os.fsencode(os.environ[found[1]]), safe=""), url.value))


def _with_password(url: Hidden) -> Hidden:
    """The URL with the password that is asked for on the terminal.

    Raises:
        InvalidURL: if it can't be understood, or holds a password already.
        click.UsageError: if there is no terminal.
        click.Abort: if there is no answer.
    """
    parsed = parse_url(url.value)
    if parsed.password is not None or "password" in parsed.options:
        raise InvalidURL("the URL has a password already: leave it out of the URL, or leave out --password-prompt")
    if not _has_terminal():
        raise click.UsageError(
            "--password-prompt asks on the terminal, and there is none: have the URL refer to the environment, as in "
            "'redis://ada:${REDIS_PASSWORD}@host/guests'",
            click.get_current_context(),
        )
    answer = Hidden(click.prompt(f"Password for {parsed}", hide_input=True, err=True))
    return Hidden(
        _AUTHORITY.sub(
            lambda found: f"{found['scheme']}{found['user'] or ''}:{quote(answer.value, safe='')}@{found['rest']}",
            url.value,
            count=1,
        )
    )


def _has_terminal() -> bool:
    """Whether somebody can be asked without an echo: on the process's terminal, whatever its standard input is."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True
