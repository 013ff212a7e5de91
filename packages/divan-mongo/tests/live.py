"""What the tests on a live MongoDB call by name: the raw collection's type, options, a listener that notes commands."""

from __future__ import annotations

from typing import Any, Final

from pymongo.collection import Collection
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

Raw = Collection[dict[str, Any]]

MONITOR_SILENT: Final = "serverMonitoringMode=poll&heartbeatFrequencyMS=3600000"
"""Options by which pymongo's monitor asks nothing after its first question: no fault of a proxy's meets its answers."""


class Commands(CommandListener):
    """Notes the commands that reach the server."""

    def __init__(self) -> None:
        self.commands: list[Any] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(event.command)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    @property
    def names(self) -> list[str]:
        return [next(iter(command)) for command in self.commands]
