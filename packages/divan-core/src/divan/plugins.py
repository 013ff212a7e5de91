"""Internal: the plugins under ``divan.plugins``: loaded when a Store is opened, reported and skipped if they fail."""

from __future__ import annotations

import inspect
import time
import types
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import pluggy

from divan import hookspecs
from divan.discovery import allowlist
from divan.errors import InvalidPlugin
from divan.installed import distribution_name, load_entry_point, normalize, one_line, scan

_CALLED_TOGETHER: Final = frozenset({"divan_before_write"})
"""The hooks whose implementations are called by pluggy, and can be wrapped; of the others, each is called alone."""


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
        import_seconds: Distribution and name → how long the import of an installed plugin took, skipped or not.
    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("divan")
        self.manager.add_hookspecs(hookspecs)
        self.broken: list[BrokenPlugin] = []
        self.import_seconds: dict[tuple[str, str], float] = {}
        self._distributions: dict[str, str] = {}

    def register(self, plugin: object, name: str, distribution: str) -> None:
        """Register one plugin, unless it is registered already.

        Raises what is wrong with it, and is then as if it had not been called.
        """
        if any(plugin is other for _, other in self.manager.list_name_plugin()):
            return
        key = f"{distribution}:{name}"
        if key in self._distributions:
            raise ValueError(f"the name {name!r} is already registered for another plugin of {distribution}")
        self._check(plugin)
        try:
            self.manager.register(plugin, name=key)
            self.manager.check_pending()
        except Exception:
            if self.manager.get_plugin(key) is plugin:
                self.manager.unregister(name=key)  # the hooks before the wrong one are registered by now
            raise
        self._distributions[key] = distribution

    def hooks_of(self, plugin: object) -> dict[str, Mapping[str, Any]]:
        """The attributes of a plugin that are marked as hooks, and with what."""
        marked = {name: self.manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
        return {name: options for name, options in marked.items() if options is not None}

    def _check(self, plugin: object) -> None:
        """Refuse a hook that Divan would never call, or not as it wants to be called, in words that name it."""
        for name, options in self.hooks_of(plugin).items():
            hook = options["specname"] or name
            spec = getattr(getattr(self.manager.hook, hook, None), "spec", None)
            if spec is None:
                if options["optionalhook"]:
                    continue
                raise pluggy.PluginValidationError(plugin, f"unknown hook {hook!r}; {_known_hooks(hook)}")
            if (options["wrapper"] or options["hookwrapper"]) and hook not in _CALLED_TOGETHER:
                raise pluggy.PluginValidationError(
                    plugin,
                    f"{hook} can't be wrapped, since each plugin's is called alone; only "
                    f"{', '.join(_CALLED_TOGETHER)} can",
                )
            given = pluggy.HookImpl(plugin, "", getattr(plugin, name), options).argnames  # type: ignore[arg-type]
            for argument in given:
                if argument not in spec.argnames:
                    raise pluggy.PluginValidationError(
                        plugin, f"{hook} has no argument {argument!r}; it has {', '.join(spec.argnames)}"
                    )

    def skip(self, name: str, distribution: str, error: BaseException) -> None:
        """Report a plugin that can't be used."""
        reason = one_line(error)
        # One whose hook says another thing of each backend is one plugin, which is broken.
        if not any((one.name, one.distribution) == (name, distribution) for one in self.broken):
            self.broken.append(BrokenPlugin(name, distribution, reason))
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


def _known_hooks(wrong: str) -> str:
    """The hook that a misspelt one is meant to be; or all of them."""
    import difflib  # only on the way to an error

    hooks = [name for name in vars(hookspecs) if name.startswith("divan_")]
    meant = difflib.get_close_matches(wrong, hooks, n=1)
    return f"{meant[0]} is meant" if meant else f"the hooks are {', '.join(hooks)}"


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

    Raises:
        InvalidPlugin: if one of `extra` is no plugin, or can't be registered.
    """
    global _cache
    extra = _listed(extra)
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
        started = time.perf_counter()
        try:
            plugin = load_entry_point(entry_point)
            plugins.import_seconds[distribution, entry_point.name] = time.perf_counter() - started
            plugins.register(plugin, entry_point.name, distribution)
        except (Exception, SystemExit) as error:
            plugins.import_seconds.setdefault((distribution, entry_point.name), time.perf_counter() - started)
            plugins.skip(entry_point.name, distribution, error)
    for number, plugin in enumerate(_added, start=1):
        plugins.register(plugin, f"{_name_of(plugin)} {number}", "this program")
    for number, plugin in enumerate(extra, start=1):
        _register_given(plugins, plugin, number)
    if not extra and not _added:
        _cache = ((entry_points, allowed), found.fingerprint, plugins)
    return plugins


def _listed(given: Iterable[object]) -> tuple[object, ...]:
    """What `open` was given as plugins, if it is several objects and no single one."""
    wrong = f"plugins are given in a list, as in plugins=[module], and not as {_kind_of(given)}"
    if isinstance(given, (str, bytes, Mapping, type)):
        raise InvalidPlugin(wrong)
    try:
        return tuple(given)
    except TypeError as error:
        raise InvalidPlugin(wrong) from error


def _register_given(plugins: Plugins, plugin: object, number: int) -> None:
    """Register what was given to `open`, or say why it can't take part."""
    try:
        hooks = plugins.hooks_of(plugin)
        if not hooks:
            raise InvalidPlugin(
                f"plugins: item {number} is {_kind_of(plugin)}, and has no function marked @divan.hookimpl; a plugin "
                "is a module or an object that has, and an installed one takes part without being given"
            )
        if isinstance(plugin, type):
            static = [inspect.getattr_static(plugin, name) for name in hooks]
            if any(isinstance(function, types.FunctionType) for function in static):
                raise InvalidPlugin(f"plugins: {plugin.__name__} is a class; give an instance, {plugin.__name__}()")
        plugins.register(plugin, f"{_name_of(plugin)} {number}", "the open() call")
    except InvalidPlugin:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, pluggy.PluginValidationError) else one_line(error)
        raise InvalidPlugin(f"the plugin {_name_of(plugin)} can't be used: {reason}") from error


def _name_of(plugin: object) -> str:
    return getattr(plugin, "__name__", type(plugin).__name__)


def _kind_of(given: object) -> str:
    """What was given in place of a plugin; not its contents, which may be secret."""
    if given is None:
        return "None"
    name = getattr(given, "__name__", None)
    return f"an object of the type {type(given).__name__}" if name is None else f"the {type(given).__name__} {name}"
