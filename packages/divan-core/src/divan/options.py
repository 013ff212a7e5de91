"""The options of a store's URL, declared once: how each is read and checked, its default, and what it is for."""

from __future__ import annotations

import os
from collections.abc import Callable, ItemsView, Mapping, ValuesView
from pathlib import Path
from typing import Any, Final, NamedTuple

from divan.errors import InvalidURL

Reader = Callable[[Any], Any]
"""Reads an option: given its text from a URL, or whatever was given by keyword; a `ValueError` says what to give."""

CREDENTIALS: Final = ("user", "password")
"""What every backend takes beside its options, from the URL or by keyword."""

MAX_SECONDS: Final = 1_000_000
"""The longest time that an option takes, in seconds: every clock and socket can wait so long."""

_SECRET_WORDS: Final = (
    "pass",
    "secret",
    "token",
    "credential",
    "private",
    "apikey",
    "api_key",
    "api-key",
    "pwd",
    "mechanismproperties",
)
_BOOLEANS: Final = {
    "true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip


class Option(NamedTuple):
    """One option of a backend: an entry of its `known_options`.

    Attributes:
        read: Reads and checks what was given, the text of a URL and the value of a keyword argument alike; raises
            `ValueError` saying what to give instead.
        default: The value where the option is not given, or given as `None`.
        about: What it is for, in one sentence.
    """

    read: Reader
    default: Any
    about: str


class Options(dict[str, Any]):
    """The user, password and options that a backend was opened with; secrets are hidden when it is shown or dumped.

    Whoever asks for a secret by its name, or unpacks all with ``**``, has it. Whatever goes through the items, as
    printing, ``json.dumps`` and debuggers do, finds ``***`` in its place.
    """

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # dict's own class of it has no public name
        """Option → value, and ``***`` for a secret."""
        return self._hidden().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # likewise
        """The values, and ``***`` for each secret."""
        return self._hidden().values()

    def _hidden(self) -> dict[str, Any]:
        return {name: "***" if is_secret(name) and self[name] is not None else self[name] for name in self}

    def __repr__(self) -> str:
        return repr(self._hidden())

    __str__ = __repr__

    def copy(self) -> Options:
        return Options(self)

    __copy__ = copy

    def __deepcopy__(self, memo: object) -> Options:
        return Options(self)


class Hidden:
    """Holds what must not be shown, so that no frame of a traceback has it among its locals.

    Args:
        value: Anything.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"


def is_secret(name: str) -> bool:
    """Whether an option of this name holds something that must never be shown."""
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)


# Readers


def text(value: object) -> str:
    """Read an option that is any text.

    Raises:
        ValueError: if it is no string.
    """
    if not isinstance(value, str):
        raise ValueError("give a string")
    return value


def boolean(value: str | bool) -> bool:
    """Read an option that is on or off: ``true``, ``yes``, ``on``, ``1`` or their opposites, or a `bool`.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(value, bool):
        return value
    found = _BOOLEANS.get(value.lower() if isinstance(value, str) else str(value))
    if found is None:
        raise ValueError("give true or false")
    return found


def seconds(value: str | float) -> float:
    """Read an option that is a time in seconds: its text, or the number that was given by keyword.

    Returns:
        A number greater than 0, and at most `MAX_SECONDS`.

    Raises:
        ValueError: if it is no such number.
    """
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number <= MAX_SECONDS:
        raise ValueError(f"give a number of seconds greater than 0, and at most {MAX_SECONDS}")
    return number


def whole(value: str | int) -> int:
    """Read an option that is a whole number from 0: its text, or an `int`.

    Raises:
        ValueError: if it is no such number.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("give a whole number from 0")


def positive(value: str | int) -> int:
    """Read an option that is a whole number from 1: its text, or an `int`.

    Raises:
        ValueError: if it is no such number.
    """
    try:
        number = whole(value)
    except ValueError:
        number = 0
    if not number:
        raise ValueError("give a whole number from 1")
    return number


def file(value: str | os.PathLike[str]) -> str:
    """Read an option that is the path of a file, which must be there.

    Raises:
        ValueError: if there is no such file.
    """
    try:
        found = Path(value).is_file()
    except TypeError:
        found = False
    if not found:
        raise ValueError("there is no such file")
    return str(value)


def one_of(*choices: str) -> Reader:
    """Make the reader of an option that is one of a few words.

    Args:
        *choices: The words.

    Returns:
        A reader, which raises `ValueError` naming the words for any other.
    """

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"give {', '.join(choices[:-1])} or {choices[-1]}")
        return value

    return read


# Reading all that were given


def read_options(backend: str, given: Mapping[str, Any], known: Mapping[str, Option | Reader] | None) -> Options:
    """Check the options that one backend was given, and read them.

    Args:
        backend: The backend's name, for messages.
        given: Option → text from a URL, or any value given by keyword; `CREDENTIALS` are passed on as they are.
        known: The backend's `known_options`: a declared `Option`, or the reader alone; `None` passes everything on, for
            the backend to check.

    Returns:
        What was given, as it was read, and the default of every declared option that was not given.

    Raises:
        InvalidURL: naming an unknown option and the known ones, or an option that can't be read.
    """
    if known is None:
        return Options(given)
    options = Options({name: declared.default for name, declared in known.items() if isinstance(declared, Option)})
    for name in given:  # and not its value as well, which a traceback would show
        if name in CREDENTIALS:
            options[name] = given[name]
            continue
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise InvalidURL(f"{backend} has no option {shown_option(name, given)}; its options are: {names}")
        declared = known[name]
        if not isinstance(declared, Option):
            read = declared if isinstance(given[name], str) else _lenient(declared)
            options[name] = read_option(backend, name, given[name], read)
        elif given[name] is not None:
            options[name] = read_option(backend, name, given[name], declared.read)
    return options


def read_option(backend: str, name: str, value: Any, read: Reader) -> Any:
    """Read one option.

    Args:
        backend: The backend's name, for the message.
        name: The option's name.
        value: Its text, or what was given by keyword.
        read: The option's reader.

    Raises:
        InvalidURL: naming the option, if it can't be read; a secret's value is not shown.
    """
    try:
        return read(value)
    except (ValueError, TypeError) as error:
        shown = "***" if is_secret(name) else repr(value)
        reason = "" if is_secret(name) else f": {error}"
    # Out here, without the reader's error, which may hold the value, as would this frame in a traceback.
    del value
    raise InvalidURL(f"{backend}: the option {name}={shown} can't be used{reason}")


def _lenient(read: Reader) -> Reader:
    """A reader that passes on what it can't read for not being text, which may be all that it was written for."""

    def read_leniently(value: Any) -> Any:
        try:
            return read(value)
        except (TypeError, AttributeError):
            return value

    return read_leniently


def shown_option(name: str, given: Mapping[str, Any]) -> str:
    """An unknown option's name as it stands in a message.

    Behind a secret it can be the rest of that, its ``&`` not percent-encoded, and is not shown.

    Args:
        name: The unknown option.
        given: All options, in the order in which they were given.
    """
    before = list(given)[: list(given).index(name)]
    if any(is_secret(other) for other in before):
        return "'***' (in a secret's value, '&' is written %26)"
    return repr(name)
