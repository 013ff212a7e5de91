"""Internal: which backends are installed: read from distribution metadata, without importing any of them."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import importlib_metadata

from divan.errors import AmbiguousBackend, BackendLoadError, BackendNotFound

if TYPE_CHECKING:
    from divan.backends.base import BaseDivanBackend

BACKENDS_GROUP: Final = "divan.backends"
PLUGINS_GROUP: Final = "divan.plugins"
CORE: Final = "divan-core"

_SETTLED_NS: Final = 100_000_000
"""A folder changed less than this long ago may change again without a new time stamp: its listing is not kept."""


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
        return _metadata(self._entry_point, "Version")

    @cached_property
    def summary(self) -> str:
        """The distribution's one-line description; ``""`` if its metadata has none."""
        return _metadata(self._entry_point, "Summary")

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
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise BackendLoadError(
                f"{where} can't be loaded: {reason}; reinstall or remove {self.distribution}"
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


class _Scan(NamedTuple):
    """What one walk over the installed distributions found."""

    backends: tuple[BackendInfo, ...]
    plugins: tuple[importlib_metadata.EntryPoint, ...]
    fingerprint: tuple[tuple[str, int], ...]


_cache: _Scan | None = None
_unsettled = False


def scan() -> _Scan:
    """The entry points of both groups, walked again only when a folder of `sys.path` has changed."""
    global _cache, _unsettled
    cached = _cache
    fingerprint = _fingerprint()
    if cached is not None and cached.fingerprint == fingerprint:
        return cached
    now = time.time_ns()
    unsettled = any(abs(now - stamp) < _SETTLED_NS for _, stamp in fingerprint)
    if unsettled or _unsettled:
        # importlib_metadata keeps listings by time stamp, too.
        importlib_metadata.MetadataPathFinder.invalidate_caches()
    found = _walk(fingerprint)
    _cache, _unsettled = None if unsettled else found, unsettled
    return found


def _fingerprint() -> tuple[tuple[str, int], ...]:
    stamps = []
    for entry in sys.path:
        try:
            stamps.append((entry, os.stat(entry or ".").st_mtime_ns))
        except OSError:
            stamps.append((entry, 0))
    return tuple(stamps)


def _walk(fingerprint: tuple[tuple[str, int], ...]) -> _Scan:
    backends = []
    plugins = []
    for entry_point in _entry_points():
        if entry_point.group == BACKENDS_GROUP and entry_point.name:
            backends.append(entry_point)
        elif entry_point.group == PLUGINS_GROUP:
            plugins.append(entry_point)
    plugins.sort(key=lambda plugin: (plugin.name, plugin.value))
    return _Scan(tuple(_group(backends)), tuple(plugins), fingerprint)


def _entry_points() -> Iterable[importlib_metadata.EntryPoint]:
    try:
        return importlib_metadata.entry_points()
    except Exception:
        # One distribution's metadata can't be parsed: read the others one by one.
        return _readable_entry_points()


def _readable_entry_points() -> Iterable[importlib_metadata.EntryPoint]:
    seen = set()
    for distribution in importlib_metadata.distributions():
        try:
            name = normalize(distribution.name)
        except Exception:  # it has none, so none can hide it
            pass
        else:
            if name in seen:
                continue
            seen.add(name)
        try:
            yield from tuple(distribution.entry_points)
        except Exception:
            continue


def _group(entry_points: list[importlib_metadata.EntryPoint]) -> list[BackendInfo]:
    """One `BackendInfo` a driver: entry points of one distribution with one value are names of the same one."""
    drivers: dict[tuple[int, str], list[importlib_metadata.EntryPoint]] = {}
    for entry_point in entry_points:
        drivers.setdefault((id(entry_point.dist), entry_point.value), []).append(entry_point)
    infos = []
    for same in drivers.values():
        same.sort(key=lambda entry_point: (len(entry_point.name), entry_point.name))
        names = list(dict.fromkeys(entry_point.name for entry_point in same))
        infos.append(BackendInfo(names[0], tuple(names[1:]), same[0]))
    infos.sort(key=lambda info: (info.name, info.value))
    return infos


def list_backends() -> list[BackendInfo]:
    """The installed backends, sorted by name, without importing any driver.

    Two distributions that claim one name are both listed. With ``DIVAN_PLUGINS`` in the environment (a comma-separated
    list of distributions; empty for none) only those of the core and of the named distributions are.
    """
    infos = scan().backends
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
    if "/" in name or "@" in name:  # a URL gone wrong: not shown, since a password may be in it
        raise BackendNotFound(
            "what was given is no backend's name; a URL has '://' after the name: sqlite:///guests.db"
        )
    distribution, colon, short = name.rpartition(":")
    infos = list_backends()
    matches = [info for info in infos if short == info.name or short in info.aliases]
    if colon:
        matches = [info for info in matches if normalize(info.distribution) == normalize(distribution)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise BackendNotFound(_not_found(name, short, infos))
    names = " and ".join(sorted(info.distribution for info in matches))
    choices = " or ".join(repr(f"{info.distribution}:{short}") for info in matches)
    raise AmbiguousBackend(f"{names} both claim the backend {name!r}; choose one with {choices}, or uninstall one")


def _not_found(name: str, short: str, infos: list[BackendInfo]) -> str:
    from divan.directory import KNOWN_BACKENDS  # only on the way to an error

    installed = ", ".join(info.name for info in infos) or "none"
    hidden = [
        info.distribution
        for info in scan().backends
        if info not in infos and (short == info.name or short in info.aliases)
    ]
    if hidden:
        return f"the backend {name!r} is installed, but DIVAN_PLUGINS does not name its distribution, {hidden[0]}"
    message = f"no installed backend is called {name!r}; installed are: {installed}"
    distribution = KNOWN_BACKENDS.get(short)
    return f"{message}; it comes with: pip install {distribution}" if distribution else message


def allowlist() -> frozenset[str] | None:
    """The normalized distributions that ``DIVAN_PLUGINS`` allows, the core's included; `None` if it is not set."""
    names = os.environ.get("DIVAN_PLUGINS")
    if names is None:
        return None
    return frozenset({CORE, *(normalize(name.strip()) for name in names.split(",") if name.strip())})


def normalize(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def load_entry_point(entry_point: importlib_metadata.EntryPoint) -> Any:
    """Import what an entry point names, installed a moment ago though it may be."""
    try:
        return entry_point.load()
    except ModuleNotFoundError as error:
        if not f"{entry_point.module}.".startswith(f"{error.name}."):
            raise  # it is there, and something that it needs is not
        importlib.invalidate_caches()  # Python keeps listings by time stamp, too
        return entry_point.load()


def distribution_name(entry_point: importlib_metadata.EntryPoint) -> str:
    """The name of the distribution that an entry point belongs to."""
    return _metadata(entry_point, "Name") or "an unnamed distribution"


def _metadata(entry_point: importlib_metadata.EntryPoint, key: str) -> str:
    """One field of the distribution's metadata; ``""`` where it is missing or can't be read."""
    try:
        value = entry_point.dist.metadata[key] if entry_point.dist is not None else None
    except Exception:
        return ""
    return str(value) if value else ""
