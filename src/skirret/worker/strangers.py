"""Messages for tasks that nobody here knows: told to the operator by name, not once for each of a thousand messages."""

from __future__ import annotations

from skirret import clock, loggers
from skirret.message import Malformed
from skirret.wire.envelope import Head

logger = loggers.own("skirret.worker")

QUIET = 30.0
"""Seconds between two words about one name."""

MOST = 1000
"""Names that are remembered: they come from messages, so that anybody may make them up."""

LONGEST = 200
"""Characters of a name that are told."""


class Strangers:
    """Counts what was not told yet, by name."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def came(self, head: Head | Malformed) -> None:
        """A message for a task that is not registered goes back; it is logged, unless its like was just now."""
        if isinstance(head, Malformed):
            return
        now = clock.monotonic()
        name = head.task[:LONGEST]
        if name not in self._told and len(self._told) >= MOST:
            self._told.clear()
            self._untold.clear()
        before = self._told.get(name)
        if before is not None and now - before < QUIET:
            self._untold[name] = self._untold.get(name, 0) + 1
            return
        self._told[name] = now
        untold = self._untold.pop(name, 0)
        logger.error(
            "No task %r is registered here; message %s is tried again later%s. Is its module imported?",
            name, head.id, f", as were {untold} more since this was last said" if untold else "",
        )  # fmt: skip
