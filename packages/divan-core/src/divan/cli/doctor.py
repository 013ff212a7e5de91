"""Internal: the command `doctor`: all that a bug report needs of an installation, and whether any of it is broken."""

from __future__ import annotations

import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from typing import Any

import click
import importlib_metadata

from divan.cli import exits
from divan.cli.backends import describe_backends, resolve_field_types
from divan.cli.output import table, to_json, write
from divan.cli.parsing import Command
from divan.cli.target import expand
from divan.cli.text import one_line
from divan.discovery import allowlist, find_backend
from divan.errors import DivanError, InvalidURL
from divan.installed import distribution_name, normalize, scan
from divan.opening import DEFAULT_URL_VARIABLE
from divan.options import Hidden
from divan.plugins import Plugins, PluginWarning, load_plugins
from divan.urls import parse_url

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Show what a bug report needs, without secrets.

    Every backend and plugin is imported, but no store is reached (ping does that). Exits 1 if something is broken, and
    says what to do about it.
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
    """All that is printed, a part a key; ``"problems"`` says what is broken."""
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
        "problems": [*_problems(backends, listed, field_types), *_unreadable(), *wrong],
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
    return {DEFAULT_URL_VARIABLE: shown, "DIVAN_PLUGINS": os.environ.get("DIVAN_PLUGINS")}, wrong


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


def _unreadable() -> list[str]:
    """The distributions whose entry points for Divan can't be read, so that no listing shows them."""
    problems = []
    for distribution in importlib_metadata.distributions():
        try:
            for entry_point in distribution.entry_points:
                _ = entry_point.group, entry_point.name, entry_point.value
        except Exception as error:
            if _concerns_divan(distribution):
                reason = one_line(f"{type(error).__name__}: {error}")
                name = _name(distribution) or "an unnamed distribution"
                problems.append(f"the entry points of {name} can't be read ({reason}); reinstall or remove {name}")
    return problems


def _concerns_divan(distribution: Any) -> bool:
    try:
        return "divan." in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # no text at all
        return _name(distribution).startswith("divan")


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
    problems += [
        f"the backend {row['name']!r} of {row['distribution']} shares a name with {', '.join(row['conflicts'])}: "
        f"open it as {row['distribution']}:{row['name']}://…, or uninstall one"
        for row in backends
        if row["conflicts"]
    ]
    problems += [
        f"the plugin {row['name']!r} of {row['distribution']} can't be used: {row['error']}; reinstall it, "
        "remove it, or leave it out of DIVAN_PLUGINS"
        for row in plugins
        if row["error"]
    ]
    return problems + [row["error"] for row in field_types if row["error"]]


def _print(report: Mapping[str, Any]) -> None:
    table(
        ["about", "value"],
        [(name, report[name]) for name in ("python", "platform", "sqlite3")]
        + [(name, "not set" if value is None else value or "(empty)") for name, value in report["environment"].items()],
        header=False,
    )
    table(["package", "version"], {**report["packages"], **report["requirements"]}.items())
    table(
        ["backend", "aliases", "distribution", "version", "state"],
        [
            (
                row["name"],
                ", ".join(row["aliases"]),
                row["distribution"],
                row["version"],
                "broken" if row["error"] else "conflict" if row["conflicts"] else "ok",
            )
            for row in report["backends"]
        ],
    )
    if report["plugins"]:
        rows = [tuple(row[name] for name in ("name", "distribution", "version", "state")) for row in report["plugins"]]
        table(["plugin", "distribution", "version", "state"], rows)
    else:
        write("No plugins are installed.\n")
    for problem in report["problems"]:
        write(f"problem: {problem}\n")
    if not report["problems"]:
        write("Nothing is broken.\n")
