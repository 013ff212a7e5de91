"""Internal: text that is safe to show: no control characters of a stranger, no secrets, and errors in one line."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO
from urllib.parse import quote

from divan.errors import InvalidURL
from divan.options import Hidden, is_secret
from divan.plugins import PluginWarning
from divan.urls import parse_url


class Reporter:
    """Prints errors and warnings, one line each, to standard error.

    Attributes:
        traceback: Whether errors come with their traceback.
        secrets: Texts that are shown as ``***``.
    """

    def __init__(self) -> None:
        self.traceback = False
        self.secrets: set[str] = set()
        self._warned: set[str] = set()

    def hide_secrets_of(self, url: Hidden) -> None:
        """Never show the password and the secret options of a URL, if it is one."""
        if url.value:
            self.secrets |= _secrets(url.value)

    def error(self, message: object, cause: BaseException | None = None) -> None:
        """Print an error in one line, after the traceback of its cause if that is asked for."""
        if cause is not None and self.traceback:
            sys.stderr.write(self._redacted("".join(traceback.format_exception(cause))))
        self._line("Error", "31", message)

    def warning(self, message: object) -> None:
        """Print a warning in one line, the same one only once."""
        text = one_line(str(message))
        if text not in self._warned:
            self._warned.add(text)
            self._line("Warning", "33", text)

    @contextmanager
    def hearing_warnings(self) -> Iterator[None]:
        """Print as `warning` does what Python warns of meanwhile."""

        def show(message: Warning | str, *_: object, **__: object) -> None:
            self.warning(message)

        with warnings.catch_warnings():
            warnings.simplefilter("always", PluginWarning)
            warnings.showwarning = show
            yield

    def _line(self, label: str, colour: str, message: object) -> None:
        text = f"{label}: {self._redacted(one_line(str(message)))}"
        if wants_colour(sys.stderr):
            text = f"\x1b[{colour}m{text}\x1b[0m"
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _redacted(self, text: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal, and nobody has set ``NO_COLOR``."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def one_line(text: str) -> str:
    """The text in one line, without control characters."""
    return printable(re.sub(r"\s*[\r\n]\s*", " ", text.strip()))


def printable(text: str) -> str:
    r"""The text, with ``\x1b`` or ``\u202e`` written for whatever a terminal might obey or show in a wrong order."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def printable_json(text: str) -> str:
    r"""JSON text with ``\u001b`` or ``\u202e`` for what a terminal might obey or reorder: it means what it did."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _json_escape(char) for char in text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _secrets(url: str) -> set[str]:
    """The secrets in a URL, as they are and percent-encoded; of one that can't be parsed, all that might be one."""
    userinfo, at, _ = re.split(r"[/?#]", url.partition("://")[2])[0].rpartition("@")
    found: list[str | None] = [userinfo.partition(":")[2]]
    try:
        parsed = parse_url(url)
    except InvalidURL:
        userinfo, at, _ = url.partition("://")[2].rpartition("@")
        found += [userinfo.partition(":")[2] or userinfo] if at else []
    else:
        found += [parsed.password, *(value for name, value in parsed.options.items() if is_secret(name))]
    texts = {text for text in found if text}
    return texts | {quote(text, safe="") for text in texts} | {repr(text)[1:-1] for text in texts}
