"""How a running worker is: alive, ready, and what it does; read by any thread, changed by none."""

from __future__ import annotations

import os
from typing import Any

from skirret import clock
from skirret.worker.fetch import Fetcher
from skirret.worker.pulse import Pulse
from skirret.worker.supervisor import Supervisor

LATE = 10.0
"""Seconds without a beat of the loop's pulse after which a worker does not pass for alive."""


class Vitals:
    """The state of one worker.

    Args:
        hostname: the node's name.
        supervisor: whose children and fetcher are looked at.
        pulse: of its loop.
        lease: seconds that it may be silent towards the broker.
    """

    def __init__(self, hostname: str, supervisor: Supervisor, pulse: Pulse, lease: float) -> None:
        self.hostname = hostname
        self.supervisor = supervisor
        self.pulse = pulse
        self.lease = lease
        self.stuck = ""
        """Why the worker takes nothing although it should; empty if all is well."""
        self._began = clock.monotonic()

    @property
    def fetcher(self) -> Fetcher:
        """The one that is used now."""
        return self.supervisor.fetcher

    def death_signs(self) -> list[str]:
        """Why this worker should be ended and started anew; nothing if it lives."""
        signs = [self.stuck] if self.stuck else []
        age = self.pulse.age()
        if age > LATE:
            signs.append(f"the worker's loop has stood still for {age:.0f} s")
        return signs

    def hindrances(self) -> list[str]:
        """Why this worker does not serve at the moment; nothing if it is ready."""
        found = self.death_signs()
        if not self.supervisor.ending.running:
            found.append(f"it is stopping: {self.supervisor.ending.phase.value}")
        if not any(child.ready for child in list(self.supervisor.pool.children)):
            found.append("no child is ready yet")
        silence = self.fetcher.silence()
        if silence is None:
            found.append("the broker has not answered yet")
        elif silence > self.lease:
            found.append(f"the broker has not answered for {silence:.0f} s")
        return found

    def slots(self) -> tuple[int, int]:
        """How many slots run something, and how many there are; of a child that is to go only those that still run."""
        children = [child for child in list(self.supervisor.pool.children) if child.ready]
        used = [min(child.held(), child.slots) for child in children]
        free = [child.slots - busy for child, busy in zip(children, used, strict=True) if not child.condemned]
        return sum(used), sum(used) + sum(free)

    def sentence(self) -> str:
        """All of it in one line."""
        busy, slots = self.slots()
        state = "; ".join(self.hindrances()) or "ready"
        return f"{state}; {busy} of {slots} slots busy"

    def plain(self) -> dict[str, Any]:
        """All of it in plain values."""
        busy, slots = self.slots()
        dead, hindered = self.death_signs(), self.hindrances()
        return {
            "node": self.hostname,
            "pid": os.getpid(),
            "live": not dead,
            "ready": not hindered,
            "why": hindered,
            "queues": [queue.name for queue in self.fetcher.queues],
            "paused": sorted(self.fetcher.paused),
            "children": len(self.supervisor.pool.children),
            "slots": slots,
            "busy": busy,
            "uptime": round(clock.monotonic() - self._began, 3),
            "lag": round(self.pulse.lag, 6),
        }
