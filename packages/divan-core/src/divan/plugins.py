"""Internal: the plugins under ``divan.plugins``: loaded when a Store is opened, reported and skipped if they fail."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pluggy

from divan import hookspecs
from divan.discovery import allowlist
from divan.installed import distribution_name, load_entry_point, normalize, scan


class PluginWarning(UserWarning):
    """An installed plugin could not be used and was skipped."""


class BrokenPlugin(NamedTuple):
    """A plugin that was skipped.

    Attributes:
        name: The entry point's name.
        distribution: The distribution it comes from.
        reason: Why, in one line.
    """

    name: str
    distribution: str
    reason: str


class PluginSerializer(NamedTuple):
    """One plugin's serializer for one field type."""

    distribution: str
    serializer: Mapping[str, Any]
    tryfirst: bool


class Plugins:
    """A set of loaded plugins.

    Attributes:
        manager: The pluggy manager that they are registered with.
        broken: Those that were skipped.
    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("divan")
        self.manager.add_hookspecs(hookspecs)
        self.broken: list[BrokenPlugin] = []
        self._distributions: dict[str, str] = {}

    def register(self, plugin: object, name: str, distribution: str) -> None:
        """Register one plugin; raises what is wrong with it, and is then as if it had not been called."""
        key = f"{distribution}:{name}"
        try:
            self.manager.register(plugin, name=key)
            self.manager.check_pending()
        except Exception:
            if key not in self._distributions and self.manager.get_plugin(key) is plugin:
                self.manager.unregister(name=key)  # the hooks before the wrong one are registered by now
            raise
        self._distributions[key] = distribution

    def skip(self, name: str, distribution: str, error: BaseException) -> None:
        """Report a plugin that can't be used."""
        reason = (f"{type(error).__name__}: {error}" if str(error) else type(error).__name__).splitlines()[0]
        broken = BrokenPlugin(name, distribution, reason)
        if broken not in self.broken:
            self.broken.append(broken)
        warnings.warn(
            f"the plugin {name!r} of {distribution} was skipped: {reason}; reinstall it, remove it, or leave it out of "
            "DIVAN_PLUGINS",
            PluginWarning,
            stacklevel=2,
        )

    def serializers(self, backend: str) -> dict[str, list[PluginSerializer]]:
        """What each plugin gives for each field type on a backend; a plugin that raises is reported and skipped."""
        given: dict[str, list[PluginSerializer]] = {}
        for implementation in self.manager.hook.divan_serializers.get_hookimpls():
            distribution = self._distributions[implementation.plugin_name]
            try:
                arguments = [backend] if "backend" in implementation.argnames else []
                answer: Any = implementation.function(*arguments)
                serializers = _checked(dict(answer or {}))
            except Exception as error:
                self.skip(implementation.plugin_name.partition(":")[2], distribution, error)
                continue
            for field_type, serializer in serializers.items():
                entry = PluginSerializer(distribution, serializer, implementation.tryfirst)
                given.setdefault(field_type, []).append(entry)
        return given

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""
        return bool(getattr(self.manager.hook, hook).get_hookimpls())

    def ask(self, hook: str, **arguments: Any) -> None:
        """Call a hook whose implementations may refuse what they are told of; what one raises goes through."""
        getattr(self.manager.hook, hook)(**arguments)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a hook whose failure must reach neither the caller nor the other plugins; it is logged."""
        # One by one, the last registered first, as pluggy does: in one call, the first that raises ends it.
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception:
                import logging  # 3 ms that `import divan` need not spend

                told = arguments.get("store") or arguments["call"].store
                logging.getLogger("divan").exception("a plugin's %s raised for %r", hook, told)


def _checked(serializers: dict[Any, Any]) -> dict[str, Mapping[str, Any]]:
    """A hook's answer, if it is what the hook asks for."""
    for field_type, serializer in serializers.items():
        if not isinstance(field_type, str):
            raise TypeError(f"a field type's name is a string, not {field_type!r}")
        if not isinstance(serializer, Mapping):
            raise TypeError(f"the serializer of {field_type} is no dictionary, but {type(serializer).__name__}")
        for key in ("serialize", "deserialize"):
            if not callable(serializer.get(key)):
                raise TypeError(f"the serializer dictionary of {field_type} has no callable {key!r}")
    return serializers


_cache: tuple[Any, Any, Plugins] | None = None
_added: list[object] = []


def add(plugin: object) -> None:
    """Add a plugin object to every Store that is opened from now on, until `discard`; for instrumentation."""
    _added.append(plugin)


def discard(plugin: object) -> None:
    """Take back what `add` added; Stores that are open keep it."""
    _added[:] = [other for other in _added if other is not plugin]


def load_plugins(extra: Iterable[object] = ()) -> Plugins:
    """The installed plugins, loaded once and again when what is installed or ``DIVAN_PLUGINS`` changes.

    Args:
        extra: Plugin modules or objects beside the installed ones; a set that has any is made anew.
    """
    global _cache
    extra = tuple(extra)
    found = scan()
    entry_points = found.plugins
    allowed = allowlist()
    cached = _cache
    if (
        not extra
        and not _added
        and cached is not None
        and cached[0] == (entry_points, allowed)
        # One that was broken may have been repaired, as soon as any folder has changed.
        and (not cached[2].broken or cached[1] == found.fingerprint)
    ):
        return cached[2]
    plugins = Plugins()
    for entry_point in entry_points:
        distribution = distribution_name(entry_point)
        if allowed is not None and normalize(distribution) not in allowed:
            continue
        try:
            plugins.register(load_entry_point(entry_point), entry_point.name, distribution)
        except (Exception, SystemExit) as error:
            plugins.skip(entry_point.name, distribution, error)
    for source, objects in (("this program", _added), ("the open() call", extra)):
        for number, plugin in enumerate(objects, start=1):
            name = getattr(plugin, "__name__", type(plugin).__name__)
            plugins.register(plugin, f"{name} {number}", source)
    if not extra and not _added:
        _cache = ((entry_points, allowed), found.fingerprint, plugins)
    return plugins
