"""What the tests on a live MongoDB call by name: the raw collection's type, and a listener that notes commands."""

from __future__ import annotations

from typing import Any

from pymongo.collection import Collection
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

Raw = Collection[dict[str, Any]]


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
