"""Internal: the command `doctor`: all that a bug report needs of an installation, and whether any of it is broken."""

from __future__ import annotations

import difflib
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from typing import Any, Final

import click
import importlib_metadata

from divan.cli import exits
from divan.cli.backends import describe_backends, describe_unreadable, resolve_field_types
from divan.cli.output import table, to_json, write
from divan.cli.parsing import Command
from divan.cli.target import expand
from divan.cli.text import one_line
from divan.discovery import CORE, allowlist, find_backend
from divan.errors import DivanError, InvalidURL
from divan.installed import distribution_name, normalize, scan
from divan.opening import DEFAULT_URL_VARIABLE
from divan.options import Hidden
from divan.plugins import Plugins, PluginWarning, load_plugins
from divan.urls import parse_url

_SLOW: Final = 0.5  # seconds
_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Show what a bug report needs, without secrets.

    Every backend and plugin is imported, and how long that took is told, but no store is reached (ping does that).
    Exits 1 if something is broken, and says what to do about it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # what it says stands in the report
        report = _report()
    if as_json:
        write(to_json(report) + "\n")
    else:
        _print(report)
    return exits.FAILED if report["problems"] else exits.OK


def _report() -> dict[str, Any]:
    """All that is printed, a part a key; ``"problems"`` says what is broken, ``"notes"`` what is slow."""
    import sqlite3  # no other command needs it before it opens a file

    with redirect_stdout(sys.stderr):  # a module that prints must not spoil the report
        backends = describe_backends(check=True)
        plugins = load_plugins()
        field_types = resolve_field_types(plugins)
    listed = _plugins(plugins)
    environment, wrong = _environment()
    packages = _packages([*backends, *listed])
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "sqlite3": sqlite3.sqlite_version,
        "packages": packages,
        "requirements": _requirements(packages),
        "backends": backends,
        "plugins": listed,
        "environment": environment,
        "problems": [*_problems(backends, listed, field_types), *describe_unreadable(), *wrong],
        "notes": _notes(listed),
    }


def _plugins(plugins: Plugins) -> list[dict[str, Any]]:
    """Each installed plugin: loaded, broken, or skipped because `DIVAN_PLUGINS` does not name it."""
    broken = {(entry.distribution, entry.name): entry.reason for entry in plugins.broken}
    allowed = allowlist()
    rows = []
    for entry_point in scan().plugins:
        distribution = distribution_name(entry_point)
        reason = broken.get((distribution, entry_point.name))
        if allowed is not None and normalize(distribution) not in allowed:
            state = "skipped"
        else:
            state = "loaded" if reason is None else "broken"
        rows.append(
            {
                "name": entry_point.name,
                "distribution": distribution,
                "version": _version(entry_point.dist),
                "value": entry_point.value,
                "state": state,
                "import_seconds": plugins.import_seconds.get((distribution, entry_point.name)),
                "error": one_line(reason) if reason is not None and state == "broken" else None,
            }
        )
    return rows


def _version(distribution: Any) -> str:
    """The version of a distribution; ``""`` if its metadata tells none."""
    try:
        return str(distribution.metadata["Version"] or "") if distribution is not None else ""
    except Exception:
        return ""


def _environment() -> tuple[dict[str, str | None], list[str]]:
    """The variables that Divan heeds, secrets hidden; and what is wrong with them."""
    url = os.environ.get(DEFAULT_URL_VARIABLE)
    shown, wrong = url, []
    if url:
        try:
            parsed = parse_url(expand(Hidden(url)).value)
            shown = str(parsed)
            find_backend(parsed.scheme)
        except DivanError as error:
            if isinstance(error, InvalidURL):
                shown = "(not shown: it can't be understood)"
            wrong.append(f"{DEFAULT_URL_VARIABLE}: {one_line(str(error))}")
    named = os.environ.get("DIVAN_PLUGINS")
    return {DEFAULT_URL_VARIABLE: shown, "DIVAN_PLUGINS": named}, [*wrong, *_not_installed(named or "")]


def _not_installed(named: str) -> list[str]:
    """What is wrong with the names in DIVAN_PLUGINS: those that allow nothing, since nothing of that name is there."""
    found = scan()
    there = {normalize(distribution_name(each)): distribution_name(each) for each in (*found.backends, *found.plugins)}
    problems = []
    for name in filter(None, (part.strip() for part in named.split(","))):
        if normalize(name) in there:
            continue
        meant = difflib.get_close_matches(normalize(name), there, n=1)
        advice = f"{there[meant[0]]} is meant" if meant else f"installed are {', '.join(sorted(there.values()))}"
        problems.append(f"DIVAN_PLUGINS names {name!r}, and no such distribution gives a backend or plugin; {advice}")
    return problems


def _packages(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name → version of the distributions that give a backend or a plugin, and of all others called ``divan-…``."""
    found = {row["distribution"]: row["version"] for row in rows}
    for distribution in importlib_metadata.distributions():
        name = _name(distribution)
        if normalize(name).startswith("divan-"):
            found.setdefault(name, _version(distribution))
    return dict(sorted(found.items()))


def _requirements(packages: Iterable[str]) -> dict[str, str]:
    """What these distributions ask for, their clients above all: name → version, of those that are installed."""
    own = {normalize(name) for name in packages}
    names = set()
    for package in packages:
        try:
            requirements = importlib_metadata.requires(package) or []
        except Exception:
            continue
        names |= {match[0].lower() for text in requirements if (match := _REQUIREMENT.match(text))}
    versions = {}
    for name in sorted(names):
        if normalize(name) in own:
            continue
        try:
            versions[name] = importlib_metadata.version(name)
        except Exception:
            continue  # an extra's, not installed
    return versions


def _name(distribution: Any) -> str:
    """The name of a distribution; ``""`` if its metadata tells none."""
    try:
        return str(distribution.metadata["Name"] or "")
    except Exception:
        return ""


def _problems(
    backends: list[dict[str, Any]], plugins: list[dict[str, Any]], field_types: list[dict[str, Any]]
) -> list[str]:
    """What is broken, and the way out, a line each."""
    problems = [row["error"] for row in backends if row["error"]]
    problems += [_conflict(row) for row in backends if row["conflicts"] and row["distribution"] != CORE]
    problems += [
        f"the plugin {row['name']!r} of {row['distribution']} can't be used: {row['error']}; reinstall it, "
        "remove it, or leave it out of DIVAN_PLUGINS"
        for row in plugins
        if row["error"]
    ]
    return problems + [row["error"] for row in field_types if row["error"]]


def _conflict(row: Mapping[str, Any]) -> str:
    """What is wrong with a backend that shares a name with others, and the way out."""
    distribution, name = row["distribution"], row["name"]
    taken = [other.partition(":")[2] for other in row["conflicts"] if other.startswith(f"{CORE}:")]
    if taken:
        return (
            f"{distribution} has a backend {name!r}, which is a name of divan-core's own, so that {taken[0]}:// is "
            f"ambiguous: uninstall {distribution}, leave it out of DIVAN_PLUGINS, or open {CORE}:{taken[0]}://…"
        )
    return (
        f"the backend {name!r} of {distribution} shares a name with {', '.join(row['conflicts'])}: open it as "
        f"{distribution}:{name}://…, or uninstall one"
    )


def _notes(plugins: list[dict[str, Any]]) -> list[str]:
    """What works, and is slow: the import of a plugin, for which every program waits, whatever store it opens."""
    return [
        f"importing the plugin {row['name']!r} of {row['distribution']} takes {row['import_seconds']:.1f} s, which "
        "every program waits for at its first open(); leave it out of DIVAN_PLUGINS where it is not needed"
        for row in plugins
        if (row["import_seconds"] or 0) > _SLOW
    ]


def _print(report: Mapping[str, Any]) -> None:
    table(
        ["about", "value"],
        [(name, report[name]) for name in ("python", "platform", "sqlite3")]
        + [(name, "not set" if value is None else value or "(empty)") for name, value in report["environment"].items()],
        header=False,
    )
    table(["package", "version"], {**report["packages"], **report["requirements"]}.items())
    table(
        ["backend", "aliases", "distribution", "version", "import", "state"],
        [
            (
                row["name"],
                ", ".join(row["aliases"]),
                row["distribution"],
                row["version"],
                _shown_seconds(row),
                "broken" if row["error"] else "conflict" if row["conflicts"] else "ok",
            )
            for row in report["backends"]
        ],
    )
    if report["plugins"]:
        rows = [
            (row["name"], row["distribution"], row["version"], _shown_seconds(row), row["state"])
            for row in report["plugins"]
        ]
        table(["plugin", "distribution", "version", "import", "state"], rows)
    else:
        write("No plugins are installed.\n")
    for problem in report["problems"]:
        write(f"problem: {problem}\n")
    for note in report["notes"]:
        write(f"note: {note}\n")
    if not report["problems"]:
        write("Nothing is broken.\n")


def _shown_seconds(row: Mapping[str, Any]) -> str:
    """How long an import took; of several that need the same modules, the first bears it all."""
    return "" if row["import_seconds"] is None else f"{1000 * row['import_seconds']:.0f} ms"
