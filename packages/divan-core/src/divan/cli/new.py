"""Internal: the commands that write a new distribution from templates, `new-backend` and `new-serializers`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import importlib_metadata

import divan
from divan.cli.output import write
from divan.cli.parsing import Command
from divan.directory import DIRECTORY
from divan.installed import normalize

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_F = TypeVar("_F", bound=Callable[..., Any])

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME: Final = 30
_SUFFIX: Final = ".jinja"


def _options(command: _F) -> _F:
    """Adds the name, and where and for whom to write."""
    command = click.option(
        "--author",
        metavar="NAME",
        help="Who is named in the licence and the metadata; the project's authors unless given.",
    )(command)
    command = click.option(
        "--into",
        metavar="DIR",
        default=".",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where to make the new folder; here unless given.",
    )(command)
    return click.argument("name")(command)


@click.command(cls=Command)
@_options
def new_backend(name: str, into: Path, author: str | None) -> None:
    """Write the distribution of a new backend, divan-NAME.

    It builds, installs and passes the conformance suite as it is, on a small store of one file per document; put your
    own store in its place. NAME becomes the scheme of its URLs.
    """
    name = _checked(name)
    taken = {each: known.distribution for known in DIRECTORY for each in known.names}
    for info in divan.list_backends():
        taken |= dict.fromkeys((info.name, *info.aliases), info.distribution)
    if name in taken:
        raise click.ClickException(
            f"the name {name!r} is taken: {taken[name]} has a backend of this name; choose another one"
        )
    _write_distribution("backend", name, into, author)


@click.command(cls=Command)
@_options
def new_serializers(name: str, into: Path, author: str | None) -> None:
    """Write the distribution of a new serializer plugin, divan-NAME.

    It builds, installs and passes its own tests as it is, with two field types; put your own in their place.
    """
    _write_distribution("serializers", _checked(name), into, author)


def _checked(name: str) -> str:
    """The name, if a distribution, a module and a URL scheme can be made of it, and nobody has it."""
    short = name.removeprefix("divan-")
    if not _NAME.fullmatch(short) or len(short) > _LONGEST_NAME:
        lowered = re.sub(r"[^a-z0-9]+", "-", short.lower()).strip("-")[:_LONGEST_NAME].rstrip("-")
        hint = f", such as {lowered}" if _NAME.fullmatch(lowered) else ""
        raise click.UsageError(
            f"{name!r} is no name for a distribution and a URL: give up to {_LONGEST_NAME} lower-case letters, digits "
            f"and single hyphens, a letter first{hint}",
            click.get_current_context(),
        )
    distribution = f"divan-{short}"
    known = {known.distribution for known in DIRECTORY}
    if distribution in known:
        raise click.ClickException(f"the name {short!r} is taken: {distribution} exists already; choose another one")
    if _is_installed(distribution):
        raise click.ClickException(
            f"the name {short!r} is taken: {distribution} is installed here; choose another one, or uninstall it"
        )
    return short


def _is_installed(distribution: str) -> bool:
    if find_spec(distribution.replace("-", "_")) is not None:
        return True
    try:
        importlib_metadata.distribution(normalize(distribution))
    except importlib_metadata.PackageNotFoundError:
        return False
    return True


def _write_distribution(kind: str, name: str, into: Path, author: str | None) -> None:
    distribution = f"divan-{name}"
    rendered = _render(
        kind,
        {
            "name": name,
            "distribution": distribution,
            "module": distribution.replace("-", "_"),
            "class": "".join(part.capitalize() for part in name.split("-")),
            "title": " ".join(part.capitalize() for part in name.split("-")),
            "author": author or f"The authors of {distribution}",
            "year": date.today().year,
            "core": _compatible_core(),
        },
    )
    folder = into / distribution
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise click.ClickException(
            f"{folder} exists already, and is left as it is; choose another name, or another folder with --into"
        ) from error
    except OSError as error:
        raise click.ClickException(f"{folder} can't be made: {error.strerror}") from error
    try:
        for path, text in rendered.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # whole, or not at all
        raise
    write(f"Wrote {folder}, {len(rendered)} files. Next:\n\n")
    write(f"  cd {shlex.quote(str(folder))}\n  python -m pip install -e '.[test]'\n  python -m pytest\n")


def _render(kind: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The files of a new distribution: path → text.

    Raises:
        click.ClickException: if the template library is not installed.
    """
    from importlib.resources import files  # as slow to import as it is seldom needed

    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise click.ClickException(
            "the templates need a library that is not installed: pip install 'divan-core[cli]'"
        ) from error
    environment = Environment(
        # Marks that mean nothing in Python, TOML, YAML and Markdown.
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["toml"] = lambda text: json.dumps(text, ensure_ascii=False)  # the same as in TOML
    return {
        path.replace("dot_", ".").replace("__module__", values["module"]).removesuffix(_SUFFIX): (
            environment.from_string(template.read_text(encoding="utf-8")).render(values)
        )
        for path, template in sorted(_templates(files("divan.cli") / "templates" / kind))
    }


def _templates(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    """The templates in a folder and below: path → file."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield f"{path}{entry.name}", entry


def _compatible_core() -> str:
    """The versions of the core that the new distribution works with: from this one to the next that may break it."""
    numbers = re.findall(r"\d+", importlib_metadata.version("divan-core"))
    major, minor = (int(number) for number in (*numbers, "0", "0")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
