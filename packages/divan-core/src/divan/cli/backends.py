"""Internal: the commands that show what is installed: `backends` and `serializers`."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from typing import Any, Final

import click

import divan
from divan.backends.base import OPTIONAL_METHODS, REQUIRED_METHODS, BaseDivanBackend
from divan.cli import exits
from divan.cli.output import table, to_json, write
from divan.cli.parsing import Command, backend_names, reporter_of
from divan.cli.text import one_line
from divan.discovery import find_backend, unqualified
from divan.errors import BackendLoadError, DivanError, InvalidPlugin, PluginConflict
from divan.installed import scan
from divan.options import Option, Reader, is_secret
from divan.plugins import Plugins, PluginWarning, load_plugins
from divan.serializers import DEFAULT_SERIALIZERS, PLAIN_FIELD_TYPES, Offers, pick_serializer

_ABILITIES: Final = {
    "get_document_for_id": "get",
    "get_revision_for_document": "revisions",
    "iter_documents": "iterate",
    "ensure_index": "indexes",
    "create_many": "bulk create",
    "get_many": "bulk get",
    "update_many": "bulk update",
    "delete_many": "bulk delete",
}
"""How a method of the contract is called in a table, where not by its own name."""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _complete_backend(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in backend_names() if name.startswith(incomplete)]


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=_complete_backend)
@click.option("--check", is_flag=True, help="Import each, show what it can do, and exit 1 if one is broken.")
@_json_option
def backends(name: str | None, check: bool, as_json: bool) -> int:
    """List the installed backends, or describe the one called NAME with the options of its URLs.

    The list imports none without --check. The one called NAME is imported: its options are declared in its class.
    """
    if name is not None:
        if check:
            raise click.UsageError("--check is about all backends: leave NAME out", click.get_current_context())
        found = describe_backend(name)
        if as_json:
            write(to_json(found) + "\n")
        else:
            _print_backend(found)
        return exits.OK
    rows = describe_backends(check=check)
    if as_json:
        _print_list(rows)
    else:
        _print_backends(rows, check)
    unreadable = describe_unreadable() if check else []
    for problem in unreadable:  # a list of backends has no place for what may be none
        reporter_of(click.get_current_context()).warning(problem)
    return exits.FAILED if unreadable or any(row.get("error") for row in rows) else exits.OK


def describe_unreadable() -> list[str]:
    """The distributions whose entry points for Divan can't be read, so that no listing shows them; a line each."""
    return [
        f"the entry points of {one.distribution} can't be read ({one_line(one.reason)}); reinstall or remove "
        f"{one.distribution}"
        for one in scan().unreadable
    ]


def describe_backend(name: str) -> dict[str, Any]:
    """What metadata tells of one backend, and its options.

    Args:
        name: The backend's name, an alias, or ``"distribution:name"``.

    Returns:
        What `describe_backends` has a row of, and ``"options"``: the name, the default and the purpose of each, or
        `None` if the backend checks its options itself; ``"further_options"`` tells whether it takes more than those.

    Raises:
        BackendNotFound, AmbiguousBackend, BackendLoadError: if the backend can't be had.
    """
    info = find_backend(name)
    with redirect_stdout(sys.stderr):  # a module that prints must not spoil what is printed here
        driver = info.load()
    known = driver.known_options
    options = None if known is None else [_describe_option(option, declared) for option, declared in known.items()]
    further = known is None or driver.read_options is not BaseDivanBackend.read_options
    return {**_describe(info, divan.list_backends()), "options": options, "further_options": further}


def _describe_option(name: str, declared: Option | Reader) -> dict[str, Any]:
    """One entry of a backend's `known_options`; of a reader alone, nothing but the name is known."""
    if not isinstance(declared, Option):
        return {"name": name, "default": None, "about": None}
    hidden = is_secret(name) and declared.default is not None
    return {"name": name, "default": "***" if hidden else declared.default, "about": declared.about}


def _print_backend(found: Mapping[str, Any]) -> None:
    lines = [
        ("name", found["name"]),
        ("aliases", ", ".join(found["aliases"])),
        ("distribution", found["distribution"]),
        ("version", found["version"]),
        ("entry point", found["value"]),
        ("summary", found["summary"]),
    ]
    table(["field", "value"], lines, header=False)
    options = found["options"]
    if options is None:
        write(f"{found['name']} checks its options itself\n")
    elif not options:
        write(f"{found['name']} has no options\n")
    else:
        rows = [[row["name"], _shown_default(row), row["about"] or ""] for row in options]
        table(["option", "default", "about"], rows)
        if found["further_options"]:
            write(f"{found['name']} takes further options, and checks those itself\n")
    _print_conflicts(found)


def _shown_default(row: Mapping[str, Any]) -> str:
    """An option's default as a URL would say it; ``none`` where there is none, nothing where it is not declared."""
    value = row["default"]
    if value is None:
        return "" if row["about"] is None else "none"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return to_json(value)


def describe_backends(*, check: bool) -> list[dict[str, Any]]:
    """A row for each installed backend, sorted by name.

    Args:
        check: Whether to import each, for what only that tells: defaults, methods, and what is wrong with it.
    """
    infos = divan.list_backends()
    rows = [_describe(info, infos) for info in infos]
    if check:
        for info, row in zip(infos, rows, strict=True):
            row.update(_examine(info))
    return rows


def _describe(info: divan.BackendInfo, infos: list[divan.BackendInfo]) -> dict[str, Any]:
    """What metadata alone tells of a backend."""
    names = {info.name, *info.aliases}
    rivals = sorted({other.qualified_name for other in infos if other != info and names & {other.name, *other.aliases}})
    return {
        "name": info.name,
        "aliases": list(info.aliases),
        "distribution": info.distribution,
        "version": info.version,
        "summary": info.summary,
        "value": info.value,
        "conflicts": rivals,
    }


def _examine(info: divan.BackendInfo) -> dict[str, Any]:
    """What importing the driver tells of it."""
    found: dict[str, Any] = {"default_host": None, "default_port": None, "methods": [], "error": None}
    started = time.perf_counter()
    try:
        with redirect_stdout(sys.stderr):  # a module that prints must not spoil what is printed here
            driver = info.load()
    except BackendLoadError as error:
        found["error"] = one_line(str(error))
        return found
    finally:
        found["import_seconds"] = time.perf_counter() - started
    found["default_host"] = getattr(driver, "default_host", None)
    found["default_port"] = getattr(driver, "default_port", None)
    found["methods"] = [method for method in OPTIONAL_METHODS if driver.implements(method)]
    lacking = [name for name in ("default_host", "default_port") if found[name] is None]
    lacking += [f"{method}()" for method in REQUIRED_METHODS if not driver.implements(method)]
    if lacking:
        found["error"] = f"{driver.__name__} lacks {', '.join(lacking)}; update or remove {info.distribution}"
    return found


def _print_backends(rows: list[dict[str, Any]], check: bool) -> None:
    columns = ["name", "aliases", "distribution", "version"]
    known = [[row["name"], ", ".join(row["aliases"]), row["distribution"], row["version"]] for row in rows]
    if check:  # two tables, that an ordinary terminal has room for
        state = [[_default(row), "broken" if row["error"] else "ok"] for row in rows]
        table([*columns, "default", "state"], [[*line, *more] for line, more in zip(known, state, strict=True)])
        about = [[row["name"], row["summary"], _abilities(row["methods"])] for row in rows]
        table(["name", "summary", "can do"], about)
    else:
        table([*columns, "summary"], [[*line, row["summary"]] for line, row in zip(known, rows, strict=True)])
    for row in rows:
        _print_conflicts(row)
    for row in rows:
        if row.get("error"):
            write(f"broken: {row['error']}\n")


def _print_conflicts(row: Mapping[str, Any]) -> None:
    if row["conflicts"]:
        own = f"{row['distribution']}:{row['name']}"
        write(f"{own} shares a name with {', '.join(row['conflicts'])}; open it as {own}://…\n")


def _default(row: Mapping[str, Any]) -> str:
    if row["default_port"] is None:
        return ""
    return f"{row['default_host']}:{row['default_port']}" if row["default_port"] else "embedded"


def _abilities(methods: Iterable[str]) -> str:
    return ", ".join(_ABILITIES.get(method, method) for method in methods if method != "close")


@click.command(cls=Command)
@click.option(
    "--backend", metavar="NAME", shell_complete=_complete_backend, help="Show what is picked on this backend."
)
@_json_option
def serializers(backend: str | None, as_json: bool) -> int:
    """List the field types, and where each comes from.

    With --backend, that backend is imported, and for each field type the layer that won is shown with those it beat.
    Without, only what the core and the plugins give is. Exits 7 if a plugin is broken, or two give one field type.
    """
    driver: type[BaseDivanBackend] | None = None
    name = ""
    if backend is not None:
        info = find_backend(backend)
        driver, name = info.load(), unqualified(backend, info)
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # what it says is listed
        plugins = load_plugins()
        rows = resolve_field_types(plugins, name, driver)
    plain = sorted(PLAIN_FIELD_TYPES - {row["field_type"] for row in rows})
    broken = [entry._asdict() for entry in plugins.broken]
    if as_json:
        write(
            to_json({"backend": backend, "serializers": rows, "stored_as_is": plain, "broken_plugins": broken}) + "\n"
        )
    else:
        _print_serializers(rows, plain, broken)
    is_wrong = broken or any(row["error"] for row in rows)
    return exits.code_of(InvalidPlugin()) if is_wrong else exits.OK


def resolve_field_types(
    plugins: Plugins, name: str = "", driver: type[BaseDivanBackend] | None = None
) -> list[dict[str, Any]]:
    """A row for each field type that needs a serializer, sorted: who gives it, and who won.

    Args:
        plugins: The loaded plugins.
        name: The name of the backend; without one, what plugins give on any.
        driver: Its class.
    """
    given = plugins.serializers(name) if driver is not None else _of_any_backend(plugins)
    own: Mapping[str, Any] = driver.default_serializers if driver is not None else {}
    return [_resolve(field_type, name, own, given) for field_type in sorted({*DEFAULT_SERIALIZERS, *own, *given})]


def _of_any_backend(plugins: Plugins) -> Offers:
    """What plugins give on one installed backend or another."""
    given: dict[str, list[Any]] = {}
    for info in divan.list_backends():
        for field_type, entries in plugins.serializers(info.name).items():
            known = given.setdefault(field_type, [])
            known += [entry for entry in entries if entry.distribution not in {each.distribution for each in known}]
    return given


def _resolve(field_type: str, name: str, own: Mapping[str, Any], given: Offers) -> dict[str, Any]:
    """One field type: who gives it, and who won."""
    entries = given.get(field_type, ())
    layers = [f"plugin {entry.distribution} (override)" for entry in entries if entry.serializer.get("override")]
    layers += [f"backend {name}"] if field_type in own else []
    layers += [f"plugin {entry.distribution}" for entry in entries if not entry.serializer.get("override")]
    layers += ["core"] if field_type in {*DEFAULT_SERIALIZERS, *PLAIN_FIELD_TYPES} else []
    row: dict[str, Any] = {"field_type": field_type, "source": None, "ordered": None, "layers": layers, "error": None}
    try:
        picked = pick_serializer(field_type, name, own, given)
    except DivanError as error:
        row["error"] = ("conflict: " if isinstance(error, PluginConflict) else "") + one_line(str(error))
    else:
        if picked is not None:
            row["source"], row["ordered"] = picked.source, picked.ordered
    return row


def _print_serializers(rows: list[dict[str, Any]], plain: list[str], broken: list[dict[str, Any]]) -> None:
    lines = []
    for row in rows:
        beaten = [layer for layer in row["layers"] if layer.removesuffix(" (override)") != row["source"]]
        source = row["source"] or "nobody"
        order = "" if row["ordered"] is None else "yes" if row["ordered"] else "no"
        lines.append([row["field_type"], source, order, ", ".join(beaten)])
    table(["field type", "comes from", "sorts and ranges", "also given by"], lines)
    write(f"Stored as they are: {', '.join(plain)}\n")
    for row in rows:
        if row["error"]:
            write(f"{row['error']}\n")
    for entry in broken:
        write(f"broken: the plugin {entry['name']!r} of {entry['distribution']}: {entry['reason']}\n")


def _print_list(rows: list[dict[str, Any]]) -> None:
    """A JSON list, an item a line."""
    write("[" + ",\n ".join(map(to_json, rows)) + "]\n")
