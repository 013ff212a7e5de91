"""Internal: what the commands have in common: the URL as the first word, and options such as ``--schema``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

import divan
from divan.cli.output import Printer
from divan.cli.reading import read_file, read_json
from divan.cli.target import Target
from divan.cli.text import Reporter
from divan.cli.values import Values
from divan.discovery import find_backend
from divan.errors import DatabaseNotFound, DivanError, InvalidSchema
from divan.opening import DEFAULT_URL_VARIABLE
from divan.options import Hidden
from divan.urls import parse_url

_F = TypeVar("_F", bound=Callable[..., Any])

_URL: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*:)?[A-Za-z][A-Za-z0-9+._-]*://")


class Command(click.Command):
    """A command that takes ``--traceback``."""

    def __init__(self, name: str | None, *, params: list[click.Parameter] | None = None, **kwargs: Any) -> None:
        super().__init__(name, params=[*(params or ()), traceback_option()], **kwargs)


def traceback_option() -> click.Option:
    """The option ``--traceback``, which the reporter heeds."""
    return click.Option(
        ["--traceback"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_traceback,
        help="Show where an error came from.",
    )


def _set_traceback(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        reporter_of(ctx).traceback = True


def reporter_of(ctx: click.Context) -> Reporter:
    """The reporter of this run."""
    reporter = ctx.find_object(Reporter)
    if reporter is None:  # a command run on its own, as a program that embeds it may
        reporter = ctx.obj = Reporter()
    return reporter


class Word(NamedTuple):
    """A positional argument after the URL.

    Attributes:
        name: The command's parameter.
        required: Whether it must be there.
        many: Whether it takes all that follow; it is a tuple then.
    """

    name: str
    required: bool = True
    many: bool = False

    @property
    def shown(self) -> str:
        """How a usage line shows it."""
        text = self.name.upper() + ("..." if self.many else "")
        return text if self.required else f"[{text}]"


class StoreCommand(Command):
    """A command on a store: the first word is the URL if it looks like one, else `DIVAN_URL` has it.

    The command is given a `Target`, which hides the URL.

    Args:
        words: The positional arguments after the URL.
        reads_documents: Whether the command takes ``--expires``.
    """

    def __init__(
        self,
        name: str | None,
        *,
        words: tuple[Word, ...] = (),
        reads_documents: bool = True,
        params: list[click.Parameter] | None = None,
        **kwargs: Any,
    ) -> None:
        self._words = words
        shown = " ".join(["[URL]", *(word.shown for word in words)])
        common = [*([_expires_option()] if reads_documents else ()), _password_option()]
        super().__init__(name, params=[_Words(shown), *(params or ()), *common], **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        given = list(ctx.params.pop("words", None) or ())
        ask = ctx.params.pop("password_prompt", False)
        expires = ctx.params.pop("expires", None)
        if ctx.resilient_parsing:
            return rest
        reporter = reporter_of(ctx)
        url = Hidden(given.pop(0) if given and _URL.match(given[0]) else os.environ.get(DEFAULT_URL_VARIABLE))
        reporter.hide_secrets_of(url)
        ctx.params["target"] = Target(url, ask, reporter, expires)
        if not url.value and given and (hint := _url_hint(given[0])):
            raise click.UsageError(f"{given[0]!r} is no URL{hint}", ctx)
        for word in self._words:
            if word.many:
                ctx.params[word.name], given = tuple(given), []
            else:
                ctx.params[word.name] = given.pop(0) if given else None
            if word.required and not ctx.params[word.name]:
                raise click.UsageError(f"{word.shown} is missing", ctx)
        if given:
            reporter.hide_secrets_of(Hidden(given[0]))
            raise click.UsageError(f"one word too many: {given[0]!r}{_url_hint(given[0])}", ctx)
        return rest


def _url_hint(word: str) -> str:
    """What to write if a word was meant to name the store, as the end of a message."""
    from divan.hints import url_meant

    url = url_meant(word)
    return f"; did you mean {url!r}?" if url else ""


def _expires_option() -> click.Option:
    """The option ``--expires``, for the command's `Target`."""
    return click.Option(
        ["--expires"],
        metavar="FIELD",
        help="The date-time field by which documents expire: from that moment on, they are not there.",
    )


def _password_option() -> click.Option:
    """The option ``--password-prompt``, for the command's `Target`."""
    return click.Option(
        ["--password-prompt"], is_flag=True, help="Ask for the password on the terminal, where it is not shown."
    )


class _Words(click.Argument):
    """All positional arguments of a `StoreCommand`, taken apart by it."""

    def __init__(self, shown: str) -> None:
        super().__init__(["words"], nargs=-1, type=click.UNPROCESSED, metavar=shown)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if ctx.params.get("words"):
            return []
        return [CompletionItem(f"{name}://") for name in backend_names() if name.startswith(incomplete)]


def backend_names() -> list[str]:
    """The names and aliases of all installed backends."""
    return sorted({name for info in divan.list_backends() for name in (info.name, *info.aliases)})


def output_options(command: _F) -> _F:
    """Adds ``--json`` and ``--table``, given to the command as a `Printer`."""

    def make(_: click.Context, __: click.Parameter, as_json: bool | None) -> Printer:
        return Printer(as_json)

    return click.option(
        "--json/--table",
        "printer",
        default=None,
        callback=make,
        help="One JSON object a line, or a table; a table on a terminal, unless you say so.",
    )(command)


def schema_option(command: _F) -> _F:
    """Adds ``--schema``, given to the command as a dict."""
    return click.option(
        "--schema",
        multiple=True,
        metavar="FIELD=TYPE",
        callback=lambda _ctx, _param, texts: _parse_schema(texts),
        help="A field's type, as in arrival=DateField; or all as a JSON object; or @FILE with one.",
    )(command)


def where_option(command: _F) -> _F:
    """Adds ``--where``, given to the command as a dict or `None`."""
    return click.option(
        "-w",
        "--where",
        metavar="JSON",
        callback=lambda _ctx, _param, text: (
            None if text is None else _parse_object(text, "--where", divan.InvalidQuery)
        ),
        help="""The filter, as in '{"age": {"$gte": 18}}'; or @FILE with one.""",
    )(command)


def fields_option(command: _F) -> _F:
    """Adds ``--fields``, given to the command as a list or `None`."""
    return click.option(
        "--fields",
        multiple=True,
        metavar="FIELD,…",
        callback=lambda _ctx, _param, texts: _parse_fields(texts),
        help="Print only these fields; dotted paths reach into objects.",
    )(command)


def _parse_schema(texts: tuple[str, ...]) -> dict[str, str]:
    schema: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{") or text.startswith("@"):
            schema |= _parse_object(text, "--schema", InvalidSchema)
        else:
            field, separator, field_type = text.rpartition("=")
            if not separator or not field or not field_type:
                raise InvalidSchema(f"--schema {text}: give FIELD=TYPE, as in arrival=DateField, or a JSON object")
            schema[field] = field_type
    for field, field_type in schema.items():
        if not isinstance(field_type, str):
            raise InvalidSchema(f"--schema: the type of {field!r} is a name such as DateField, not {field_type!r}")
    return schema


def _parse_object(text: str, name: str, error: type[DivanError]) -> dict[str, Any]:
    """The JSON object in a text, or in a file named ``@FILE``."""
    value = read_file(text[1:], error) if text.startswith("@") else read_json(text, name, error)
    if not isinstance(value, dict):
        raise error(f"{name}: a JSON object is needed, not {type(value).__name__}")
    return value


def parse_increment(text: str) -> tuple[str, int | float]:
    """Take ``FIELD=N`` apart."""
    field, separator, number = text.rpartition("=")
    if not separator or not field:
        raise divan.InvalidDocument(f"--increment {text}: give FIELD=N, as in visits=1")
    value = read_json(number, f"--increment {text}", divan.InvalidDocument)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise divan.InvalidDocument(f"--increment {text}: {number!r} is no number")
    return field, value


def parse_items(text: str, option: str) -> tuple[str, list[Any]]:
    """Take ``FIELD=JSON`` apart: the field, and the item, or the items of a list."""
    field, separator, item = text.partition("=")
    if not separator or not field:
        raise divan.InvalidDocument(f"{option} {text}: give FIELD=JSON, as in tags='\"quiet\"'")
    value = read_json(item, f"{option} {text}", divan.InvalidDocument)
    return field, value if isinstance(value, list) else [value]


def _parse_fields(texts: tuple[str, ...]) -> list[str] | None:
    """The field names of a projection: comma-separated, or a JSON list for names that hold commas."""
    if not texts:
        return None
    fields: list[Any] = []
    for text in texts:
        if text.lstrip().startswith("["):
            fields += read_json(text, "--fields", divan.InvalidQuery)
        else:
            fields += [name.strip() for name in text.split(",")]
    return fields


@contextmanager
def opened(
    target: Target, schema: Mapping[str, str] | None = None, *, make: bool = False, **options: Any
) -> Iterator[tuple[divan.Store, Values]]:
    """Open the store of a command, with what turns JSON into its values and back.

    Args:
        target: Where the store is.
        schema: The fields' types.
        make: Whether a database that is missing is made, if the URL says nothing about it.
        **options: Further arguments of `divan.open`.
    """
    url = target.url()
    makes_nothing = not make and _opening_makes(url)
    if makes_nothing:
        options["create"] = False
    try:
        store = divan.open(url.value, schema=schema or None, expires=target.expires, **options)
    except DatabaseNotFound as error:
        if not makes_nothing:
            raise
        # What its message advises is about an option that nobody has given.
        problem = str(error).rpartition("; ")[0] or str(error)
        raise DatabaseNotFound(f"{problem}; divan create and divan put make it") from error
    with store:
        yield store, Values(store)


def _opening_makes(url: Hidden) -> bool:
    """Whether to open a store can make a database, and its URL leaves that open."""
    parsed = parse_url(url.value)
    backend = find_backend(parsed.scheme).load()
    return "create" in (backend.known_options or {}) and "create" not in parsed.options and not backend.empty_is_missing
