"""Internal: the installed distributions' entry points for Divan, read again when something has changed."""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import importlib_metadata

BACKENDS_GROUP: Final = "divan.backends"
PLUGINS_GROUP: Final = "divan.plugins"

_SETTLED_NS: Final = 100_000_000
"""What changed less than this long ago may change again without a new time stamp: what was read of it is not kept."""

_LOOK_AGAIN_NS: Final = 100_000_000
"""How long the metadata of distributions that had nothing for Divan are taken to be unchanged: a look takes 1 ms."""

_UNNAMED: Final = "an unnamed distribution"

Stamp = tuple[int, ...]
"""What tells one state of a file or folder from the next; empty where there is none."""


class Unreadable(NamedTuple):
    """Entry points for Divan that no listing shows, since they can't be read.

    Attributes:
        distribution: The distribution's name; of a finder that can't list distributions, what it is.
        reason: Why, in one line.
    """

    distribution: str
    reason: str


class Scan(NamedTuple):
    """What one walk over the installed distributions found.

    Attributes:
        backends: The entry points of backends.
        plugins: Those of plugins, sorted by name and value.
        unreadable: What could not be read.
        fingerprint: Equal in two scans between which no folder and no file with entry points for Divan has changed.
    """

    backends: tuple[importlib_metadata.EntryPoint, ...]
    plugins: tuple[importlib_metadata.EntryPoint, ...]
    unreadable: tuple[Unreadable, ...]
    fingerprint: tuple[tuple[str, Stamp], ...]


class _Watch:
    """What a scan depends on: the folders of `sys.path`, the finders, and files of metadata."""

    def __init__(self) -> None:
        self.path = tuple(sys.path)
        self.finders = tuple(sys.meta_path)
        self.concerned = [(entry or ".", _stamp(entry or ".")) for entry in self.path]
        """The folders, and the files that hold entry points for Divan."""
        self.others: list[tuple[str, Stamp]] = []
        """Where other distributions have their entry points, or would have them."""
        self._looked = time.monotonic_ns()

    def unchanged(self, thorough: bool) -> bool:
        """Whether all is as it was; of the distributions that had nothing for Divan, as of the last look or now."""
        if self.path != tuple(sys.path) or [*map(id, self.finders)] != [*map(id, sys.meta_path)]:
            return False
        if not _as_they_were(self.concerned):
            return False
        now = time.monotonic_ns()
        if thorough or now - self._looked > _LOOK_AGAIN_NS:
            if not _as_they_were(self.others):
                return False
            self._looked = now
        return True

    def may_change_unnoticed(self, since: int, until: int) -> bool:
        """Whether anything changed so shortly before a walk between two points in time that more may follow."""
        stamps = (stamp[0] for _, stamp in (*self.concerned, *self.others) if stamp)
        return any(since - _SETTLED_NS < stamp < until + _SETTLED_NS for stamp in stamps)


_cache: tuple[_Watch, Scan] | None = None
_unsettled = False


def scan(*, thorough: bool = False) -> Scan:
    """The entry points of both groups; the distributions are walked again only when something has changed.

    What is seen at once: a distribution, a folder of `sys.path` or a finder of `sys.meta_path` that comes or goes, and
    a rewritten file that held entry points for Divan. One that held none is looked at every 100 ms.

    Args:
        thorough: Whether to look at those now, for which an answer that nothing is there is reason enough.
    """
    global _cache, _unsettled
    cached = _cache
    if cached is not None and cached[0].unchanged(thorough):
        return cached[1]
    since = time.time_ns()
    watch = _Watch()
    if _unsettled or watch.may_change_unnoticed(since, since):
        # importlib_metadata keeps listings by time stamp, too.
        importlib_metadata.MetadataPathFinder.invalidate_caches()
    found = _walk(watch)
    _unsettled = watch.may_change_unnoticed(since, time.time_ns())
    _cache = None if _unsettled else (watch, found)
    return found


def _as_they_were(stamps: list[tuple[str, Stamp]]) -> bool:
    return all(_stamp(path) == stamp for path, stamp in stamps)


def _stamp(path: str | int) -> Stamp:
    try:
        found = os.stat(path)
    except (OSError, TypeError, ValueError):  # it is not there, or no path at all
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _walk(watch: _Watch) -> Scan:
    unreadable: list[Unreadable] = []
    entry_points = [
        entry_point
        for distribution in _distributions(watch.finders, unreadable)
        for entry_point in _entry_points(distribution, watch, unreadable)
    ]
    entry_points = _each_once(entry_points)
    backends = [each for each in entry_points if each.group == BACKENDS_GROUP and each.name]
    plugins = [each for each in entry_points if each.group == PLUGINS_GROUP]
    plugins.sort(key=lambda plugin: (plugin.name, plugin.value))
    return Scan(tuple(backends), tuple(plugins), tuple(unreadable), tuple(watch.concerned))


def _distributions(finders: tuple[Any, ...], unreadable: list[Unreadable]) -> Iterator[Any]:
    """The installed distributions, each name once: the first in the order of the path that has metadata."""
    named: dict[str, list[Any]] = {}
    for number, distribution in enumerate(_found_distributions(finders, unreadable)):
        stem = _stem(distribution)
        if stem.startswith("~"):
            continue  # what pip could not delete of a distribution that it replaced
        name = normalize(stem or metadata_of(distribution, "Name"))
        named.setdefault(name or f"\0{number}", []).append(distribution)  # one without a name hides no other
    for same in named.values():
        yield next((each for each in same if _has_metadata(each)), same[0]) if len(same) > 1 else same[0]


def _found_distributions(finders: tuple[Any, ...], unreadable: list[Unreadable]) -> Iterator[Any]:
    context = importlib_metadata.DistributionFinder.Context()  # type: ignore[no-untyped-call]
    for finder in finders:
        find = getattr(finder, "find_distributions", None)
        if find is None:
            continue
        try:
            yield from tuple(find(context))
        except Exception as error:
            kind = finder if isinstance(finder, type) else type(finder)
            unreadable.append(Unreadable(f"the finder {kind.__module__}.{kind.__qualname__}", one_line(error)))


def _stem(distribution: Any) -> str:
    """The name by which a distribution's metadata folder is called; ``""`` if that tells none."""
    stem, dot, extension = str(getattr(_folder(distribution), "name", "")).rpartition(".")
    return stem.partition("-")[0] if dot and extension.lower() in ("dist-info", "egg-info") else ""


def _folder(distribution: Any) -> Any:
    """Where a distribution's metadata are: a path, perhaps inside an archive; `None` if they are in no folder."""
    # There is no public way to ask, and no other one to tell without reading 300 files.
    return getattr(distribution, "_path", None)


def _has_metadata(distribution: Any) -> bool:
    try:
        return any(distribution.read_text(name) for name in ("METADATA", "PKG-INFO", ""))
    except Exception:
        return False


def _entry_points(
    distribution: Any, watch: _Watch, unreadable: list[Unreadable]
) -> tuple[importlib_metadata.EntryPoint, ...]:
    """A distribution's entry points that concern Divan, of which the file is watched from now on."""
    folder = _folder(distribution)
    mentioned = None
    try:
        if isinstance(folder, Path):
            mentioned = _mentions_divan(folder, watch)
            if mentioned is False:
                return ()
        entry_points = tuple(distribution.entry_points)
        return tuple(each for each in entry_points if each.group in (BACKENDS_GROUP, PLUGINS_GROUP))
    except Exception as error:
        name = metadata_of(distribution, "Name") or _UNNAMED
        if mentioned or normalize(name).startswith("divan-"):
            unreadable.append(Unreadable(name, one_line(error)))
        return ()


def _mentions_divan(folder: Path, watch: _Watch) -> bool:
    """Whether a metadata folder has entry points that may concern Divan.

    Raises:
        OSError, UnicodeDecodeError: if they can't be read.
    """
    path = os.path.join(folder, "entry_points.txt")
    try:
        with open(path, "rb") as file:
            stamp = _stamp(file.fileno())
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        watch.others.append((str(folder), _stamp(str(folder))))  # the file's coming changes the folder
        return False
    except OSError:
        watch.concerned.append((path, _stamp(path)))
        raise
    mentioned = b"divan." in content
    (watch.concerned if mentioned else watch.others).append((path, stamp))
    if not mentioned:
        content.decode()
    return mentioned


def _each_once(entry_points: list[importlib_metadata.EntryPoint]) -> list[importlib_metadata.EntryPoint]:
    """The entry points without those that one distribution has twice, as when its metadata are there twice."""
    seen: dict[tuple[str, str, str], list[importlib_metadata.EntryPoint]] = {}
    kept = []
    for entry_point in entry_points:
        same = seen.setdefault((entry_point.group, entry_point.name, entry_point.value), [])
        # Metadata are parsed for those that are said twice alone.
        if any(_of_one_distribution(entry_point, other) for other in same):
            continue
        same.append(entry_point)
        kept.append(entry_point)
    return kept


def _of_one_distribution(one: importlib_metadata.EntryPoint, other: importlib_metadata.EntryPoint) -> bool:
    return one.dist is other.dist or normalize(distribution_name(one)) == normalize(distribution_name(other))


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
    return metadata_of(entry_point.dist, "Name") or _UNNAMED


def metadata_of(distribution: Any, key: str) -> str:
    """One field of a distribution's metadata; ``""`` where it is missing or can't be read."""
    try:
        value = distribution.metadata[key] if distribution is not None else None
    except Exception:
        return ""
    return str(value) if value else ""


def one_line(error: BaseException, limit: int = 500) -> str:
    """An error's class and text in one line, cut when it is long."""
    text = re.sub(r"\s*[\r\n]\s*", " ", f"{type(error).__name__}: {error}".strip().removesuffix(":"))
    return text if len(text) <= limit else f"{text[:limit]}…"
