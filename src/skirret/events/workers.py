"""A worker as its events tell of it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any, Final

from skirret import clock, loggers

logger = loggers.own("skirret.events")

EXPIRE_WINDOW: Final = 200
"""Percent of the time between two heartbeats after which a silent worker counts as gone."""

MAX_DRIFT: Final = 16.0
"""Seconds that a worker's clock may differ from ours before a warning says so."""


def heartbeat_expires(timestamp: float, freq: float | None = 60.0, expire_window: float = EXPIRE_WINDOW) -> float:
    """When a worker that was last heard at `timestamp` counts as gone, in seconds since the epoch.

    Args:
        timestamp: seconds since the epoch.
        freq: seconds between its heartbeats.
        expire_window: percent of `freq`.
    """
    return timestamp + (freq or 60.0) * expire_window / 100.0


class Worker:
    """One worker.

    Args:
        hostname: its node name.
        pid: its process.
        freq: seconds between its heartbeats.
        heartbeats: when it was heard lately, by our clock, the oldest first.
        clock: the Lamport clock of its last event.
        active: tasks that it runs.
        processed: tasks that it has run.
        loadavg: its machine's load over 1, 5 and 15 minutes.
        sw_ident, sw_ver, sw_sys: its software, that one's version, its operating system.
    """

    heartbeat_max = 4
    expire_window = EXPIRE_WINDOW
    _fields = (
        "hostname", "pid", "freq", "heartbeats", "clock", "active", "processed", "loadavg", "sw_ident", "sw_ver",
        "sw_sys",
    )  # fmt: skip

    def __init__(
        self,
        hostname: str | None = None,
        pid: int | None = None,
        freq: float | None = 60.0,
        heartbeats: list[float] | None = None,
        clock: int = 0,
        active: int | None = None,
        processed: int | None = None,
        loadavg: Any = None,
        sw_ident: str | None = None,
        sw_ver: str | None = None,
        sw_sys: str | None = None,
    ) -> None:
        self.hostname = hostname
        self.pid = pid
        self.freq = freq
        self.heartbeats = heartbeats or []
        self.clock = clock
        self.active = active
        self.processed = processed
        self.loadavg = loadavg
        self.sw_ident = sw_ident
        self.sw_ver = sw_ver
        self.sw_sys = sw_sys
        self._drifts = False

    def update(self, f: Mapping[str, Any] | None = None, **kw: Any) -> None:
        """Take in fields by name; others are kept as attributes too."""
        for name, value in {**(f or {}), **kw}.items():
            if not (name.startswith("_") or hasattr(type(self), name)):
                setattr(self, name, value)

    def heard(self, kind: str, timestamp: float, local_received: float, fields: Mapping[str, Any]) -> None:
        """Take in one of its events.

        Args:
            kind: what stands behind ``worker-``.
            timestamp: when it sent it, by its clock.
            local_received: when it came, by ours.
            fields: the others.
        """
        self.update(fields)
        if kind == "offline":
            self.heartbeats = []
        else:
            self.seen(timestamp, local_received)

    def seen(self, timestamp: float, local_received: float) -> None:
        """It lived at that moment."""
        drift = abs(local_received - timestamp)
        if drift > MAX_DRIFT and not self._drifts:
            self._drifts = True
            logger.warning("The clock of %s and ours differ by %.0f s.", self.hostname, drift)
        beats = self.heartbeats
        insort(beats, local_received)
        del beats[: -self.heartbeat_max]

    @property
    def heartbeat_expires(self) -> float:
        """When it counts as gone if it is not heard again, in seconds since the epoch."""
        last = self.heartbeats[-1] if self.heartbeats else 0.0
        freq = self.freq if isinstance(self.freq, (int, float)) else None
        return heartbeat_expires(last, freq, self.expire_window)

    @property
    def alive(self) -> bool:
        """Whether it was heard lately and has not said good-bye."""
        return bool(self.heartbeats) and clock.wall() < self.heartbeat_expires

    @property
    def status_string(self) -> str:
        """``ONLINE`` or ``OFFLINE``."""
        return "ONLINE" if self.alive else "OFFLINE"

    @property
    def id(self) -> str:
        """Node name and process."""
        return f"{self.hostname}.{self.pid}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worker) and self.hostname == other.hostname

    def __hash__(self) -> int:
        return hash(self.hostname)

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname} ({self.status_string} clock:{self.clock})>"
