"""Internal: which backends are installed: read from distribution metadata, without importing any of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import importlib_metadata

from divan.errors import AmbiguousBackend, BackendLoadError, BackendNotFound
from divan.installed import Scan, distribution_name, load_entry_point, metadata_of, normalize, one_line, scan
from divan.urls import is_scheme

if TYPE_CHECKING:
    from divan.backends.base import BaseDivanBackend

CORE: Final = "divan-core"


class BackendInfo:
    """One installed backend, as its distribution's metadata describes it; the driver is not imported.

    Attributes:
        name: The entry point's name, which is the URL scheme.
        aliases: Further names of the same driver in the same distribution.
        value: The entry point's value, such as ``"divan_mongo.backend:MongoBackend"``.
    """

    def __init__(self, name: str, aliases: tuple[str, ...], entry_point: importlib_metadata.EntryPoint) -> None:
        self.name = name
        self.aliases = aliases
        self.value: str = entry_point.value
        self._entry_point = entry_point

    # Metadata files are parsed when somebody looks, not when backends are listed.
    @cached_property
    def distribution(self) -> str:
        """The distribution's name, such as ``"divan-mongo"``."""
        return distribution_name(self._entry_point)

    @cached_property
    def version(self) -> str:
        """The distribution's version; ``""`` if its metadata names none."""
        return metadata_of(self._entry_point.dist, "Version")

    @cached_property
    def summary(self) -> str:
        """The distribution's one-line description; ``""`` if its metadata has none."""
        return metadata_of(self._entry_point.dist, "Summary")

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return self.name, *self.aliases

    @property
    def qualified_name(self) -> str:
        """``"distribution:name"``, which always resolves."""
        return f"{self.distribution}:{self.name}"

    def load(self) -> type[BaseDivanBackend]:
        """Import the driver and return its class.

        Raises:
            BackendLoadError: if importing it raises, or what it names is no backend class.
        """
        from divan.backends.base import BaseDivanBackend

        where = f"the backend {self.name!r} of {self.distribution} ({self.value})"
        try:
            cls: Any = load_entry_point(self._entry_point)
        except (Exception, SystemExit) as error:
            raise BackendLoadError(
                f"{where} can't be loaded: {one_line(error)}; reinstall or remove {self.distribution}"
            ) from error
        if not isinstance(cls, type) or not issubclass(cls, BaseDivanBackend):
            raise BackendLoadError(
                f"{where} is no subclass of divan.backends.base.BaseDivanBackend; "
                f"reinstall or remove {self.distribution}"
            )
        return cls

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BackendInfo)
            and (self.name, self.aliases, self.value) == (other.name, other.aliases, other.value)
            and self.distribution == other.distribution
        )

    def __hash__(self) -> int:
        return hash((self.name, self.value))

    def __repr__(self) -> str:
        return f"BackendInfo(name={self.name!r}, aliases={self.aliases!r}, value={self.value!r})"


_grouped: tuple[Scan, tuple[BackendInfo, ...]] | None = None


def _backends(found: Scan) -> tuple[BackendInfo, ...]:
    """What a scan found, a backend each; made once a scan."""
    global _grouped
    grouped = _grouped
    if grouped is None or grouped[0] is not found:
        _grouped = grouped = found, tuple(_group(found.backends))
    return grouped[1]


def _group(entry_points: Iterable[importlib_metadata.EntryPoint]) -> list[BackendInfo]:
    """One `BackendInfo` a driver: entry points of one distribution with one value are names of the same one."""
    drivers: dict[tuple[int, str], list[importlib_metadata.EntryPoint]] = {}
    for entry_point in entry_points:
        drivers.setdefault((id(entry_point.dist), entry_point.value), []).append(entry_point)
    infos = []
    for same in drivers.values():
        # The name is one that a URL can hold, if any is.
        same.sort(key=lambda entry_point: (not is_scheme(entry_point.name), len(entry_point.name), entry_point.name))
        names = list(dict.fromkeys(entry_point.name for entry_point in same))
        infos.append(BackendInfo(names[0], tuple(names[1:]), same[0]))
    infos.sort(key=lambda info: (info.name, info.value))
    return infos


def list_backends() -> list[BackendInfo]:
    """The installed backends, sorted by name, without importing any driver.

    Two distributions that claim one name are both listed. With ``DIVAN_PLUGINS`` in the environment (a comma-separated
    list of distributions; empty for none) only those of the core and of the named distributions are.
    """
    return _allowed(scan())


def _allowed(found: Scan) -> list[BackendInfo]:
    infos = _backends(found)
    allowed = allowlist()
    if allowed is None:
        return list(infos)
    return [info for info in infos if normalize(info.distribution) in allowed]


def get_backend(name: str) -> type[BaseDivanBackend]:
    """The backend class of a name, an alias, or ``"distribution:name"``.

    Raises:
        BackendNotFound: if nothing installed has the name; the message says what to install.
        AmbiguousBackend: if two distributions claim it.
        BackendLoadError: if importing it fails.
    """
    return find_backend(name).load()


def find_backend(name: str) -> BackendInfo:
    """The listing of `get_backend`'s backend, without importing it."""
    if "/" in name or "@" in name or "." in name:
        from divan.hints import url_meant  # only on the way to an error

        if url := url_meant(name):
            raise BackendNotFound(f"{name!r} is no URL, and no backend's name; did you mean {url!r}?")
    if "/" in name or "@" in name:  # a URL gone wrong: not shown, since a password may be in it
        raise BackendNotFound(
            "what was given is no backend's name; a URL has '://' after the name: sqlite:///guests.db"
        )
    infos = list_backends()
    matches = _matches(name, infos)
    if not matches:
        found = scan(thorough=True)
        infos = _allowed(found)
        matches = _matches(name, infos)
        if not matches:
            raise BackendNotFound(_not_found(name, infos, _matches(name, _backends(found))))
    if len(matches) > 1:
        raise AmbiguousBackend(_ambiguous(name, matches, infos))
    return matches[0]


def unqualified(name: str, info: BackendInfo) -> str:
    """The entry point's name that a name, qualified or not, stands for where it found a backend."""
    return name if name in info.names else name.partition(":")[2]


def _matches(name: str, infos: Iterable[BackendInfo]) -> list[BackendInfo]:
    """The backends that a name may mean: those that are called so, or else those that it qualifies."""
    infos = tuple(infos)
    exact = [info for info in infos if name in info.names]
    distribution, colon, short = name.partition(":")
    if exact or not colon:
        return exact
    return [info for info in infos if short in info.names and normalize(info.distribution) == normalize(distribution)]


def _ambiguous(name: str, matches: Sequence[BackendInfo], infos: Sequence[BackendInfo]) -> str:
    """Who claims a name, and every way to say which one is meant."""
    claims: dict[str, list[BackendInfo]] = {}
    for info in sorted(matches, key=lambda info: (info.distribution, info.value)):
        claims.setdefault(info.distribution, []).append(info)
    choices = [choice for info in matches if (choice := _sure_name(info, unqualified(name, info), infos))]
    choose = f"choose one with {' or '.join(map(repr, sorted(choices)))}, or " if choices else ""
    faults = [
        f"{distribution} gives it {len(same)} values, {_listed(info.value for info in same)}, which is its fault"
        for distribution, same in claims.items()
        if len(same) > 1
    ]
    if len(claims) == 1:
        return f"the backend {name!r} is not clear: {faults[0]}; {choose}reinstall or remove {next(iter(claims))}"
    others = [distribution for distribution in claims if normalize(distribution) != CORE]
    uninstall = "uninstall one" if len(others) == len(claims) else f"uninstall {' and '.join(others)}"
    every = "both" if len(claims) == 2 else "all"
    return "; ".join([f"{_listed(claims)} {every} claim the backend {name!r}", *faults, f"{choose}{uninstall}"])


def _sure_name(info: BackendInfo, short: str, infos: Sequence[BackendInfo]) -> str | None:
    """A qualified name that means this backend alone; the one with this short name, if that is such a name."""
    names = (f"{info.distribution}:{name}" for name in (short, *info.names))
    return next((name for name in names if _matches(name, infos) == [info]), None)


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _not_found(name: str, infos: Iterable[BackendInfo], hidden: Sequence[BackendInfo]) -> str:
    from divan.directory import KNOWN_BACKENDS  # only on the way to an error
    from divan.hints import scheme_meant

    if hidden:
        owner = hidden[0].distribution
        return f"the backend {name!r} is installed, but DIVAN_PLUGINS does not name its distribution, {owner}"
    infos = tuple(infos)
    installed = ", ".join(info.name for info in infos) or "none"
    message = f"no installed backend is called {name!r}; installed are: {installed}"
    distribution = KNOWN_BACKENDS.get(name.rpartition(":")[2])
    if distribution:
        return f"{message}; it comes with: pip install {distribution}"
    meant = scheme_meant(name, (each for info in infos for each in info.names))
    return f"{message}; did you mean {meant!r}?" if meant else message


def allowlist() -> frozenset[str] | None:
    """The normalized distributions that ``DIVAN_PLUGINS`` allows, the core's included; `None` if it is not set."""
    names = os.environ.get("DIVAN_PLUGINS")
    if names is None:
        return None
    return frozenset({CORE, *(normalize(name.strip()) for name in names.split(",") if name.strip())})
