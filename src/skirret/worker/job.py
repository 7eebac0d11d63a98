"""One held message that was admitted to run."""

from __future__ import annotations

from skirret.message import Delivery
from skirret.wire.envelope import Head
from skirret.worker.frames import Conclusion

DOUBTFUL_DELIVERIES = 3
"""A message that came back this often for unknown reasons is in doubt."""


class Stall:
    """How long a task may run without a heartbeat, and when it was last heard.

    Args:
        limit: seconds.
    """

    __slots__ = ("beats", "limit", "since")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.beats = -1
        self.since = 0.0

    def over(self, beats: int, now: float) -> bool:
        """Whether it was silent for too long, now that it has said `beats` times that it lives."""
        if beats != self.beats:
            self.beats, self.since = beats, now
        return now >= self.since + self.limit


class Job:
    """A message between its take and its outcome.

    Args:
        delivery: what the broker handed over.
        head: its decoded headers.
        early: it is acknowledged as a slot starts it, not after.
        alone: it may have killed a child or a worker before, so it runs with no neighbour in its child.
    """

    __slots__ = ("acked", "alone", "conclusion", "delivery", "early", "expected", "head", "limit", "stale", "stall")

    def __init__(self, delivery: Delivery, head: Head, *, early: bool = False, alone: bool = False) -> None:
        self.delivery = delivery
        self.head = head
        self.early = early
        self.alone = alone
        self.acked = False
        self.stale = False  # taken by an incarnation that was fenced: it runs elsewhere, its outcome is dropped
        self.expected = 0.0
        self.limit: tuple[float | None, float | None] | None = None
        """Seconds that it may run, hard and soft, if it has a limit."""
        self.stall: Stall | None = None
        """How long it may be without a word, if its task has such a limit."""
        self.conclusion: Conclusion | None = None
        """It has ended without an outcome of its own; a child is to tell its hooks and callbacks so."""

    @property
    def doubted(self) -> bool:
        """Whether it may be what ends whole workers: of such only one runs at a time, so that no other is counted."""
        return self.delivery.deliveries >= DOUBTFUL_DELIVERIES

    @property
    def bound(self) -> bool:
        """Whether it must end here: it is acknowledged already, or its end is decided."""
        return self.acked or self.conclusion is not None
