"""One event as one line for a person: when, who, what, and what else it says."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click

from skirret.cli.output import printable
from skirret.events.schema import COMMON
from skirret.events.state import State

COLORS: Final = {
    "task-succeeded": "green", "task-failed": "red", "task-retried": "yellow", "task-revoked": "yellow",
    "task-rejected": "yellow", "task-cancelled": "yellow", "task-started": "cyan", "worker-online": "green",
    "worker-offline": "red",
}  # fmt: skip
_LEFT_OUT: Final = frozenset({*COMMON, "uuid", "name", "local_received", "root_id", "parent_id", "traceback"})


class EventLines:
    """Writes events as lines; remembers the names of tasks, which only some of their events tell.

    Args:
        color: colour the types.
    """

    def __init__(self, *, color: bool = False) -> None:
        self._color = color
        self._state = State()

    def line(self, event: dict[str, Any]) -> str:
        """The line of `event`."""
        self._state.event(event)
        kind = str(event["type"])
        shown = printable(kind).replace("-", " ", 1).ljust(16)
        if self._color:
            shown = click.style(shown, fg=COLORS.get(kind), dim=kind == "worker-heartbeat")
        when = datetime.fromtimestamp(event["timestamp"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
        words = [when, printable(str(event["hostname"])).ljust(20), shown, self._subject(event), _rest(event)]
        return "  ".join(word for word in words if word).rstrip()

    def _subject(self, event: dict[str, Any]) -> str:
        uuid = event.get("uuid")
        if not isinstance(uuid, str):
            return ""
        task = self._state.tasks.get(uuid)
        return printable(f"{(task and task.name) or '?'}[{uuid}]")


def _rest(event: dict[str, Any]) -> str:
    told = {name: value for name, value in event.items() if name not in _LEFT_OUT and value not in (None, "", [])}
    return " ".join(f"{printable(name)}={printable(_short(value))}" for name, value in told.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
