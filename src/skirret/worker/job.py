"""One held message that was admitted to run."""

from __future__ import annotations

from skirret.message import Delivery
from skirret.wire.envelope import Head


class Job:
    """A message between its take and its outcome.

    Args:
        delivery: what the broker handed over.
        head: its decoded headers.
        early: it is acknowledged as a slot starts it, not after.
        alone: it may have killed a child or a worker before, so it runs with no neighbour in its child.
    """

    __slots__ = ("acked", "alone", "delivery", "early", "expected", "head", "stale")

    def __init__(self, delivery: Delivery, head: Head, *, early: bool = False, alone: bool = False) -> None:
        self.delivery = delivery
        self.head = head
        self.early = early
        self.alone = alone
        self.acked = False
        self.stale = False  # taken by an incarnation that was fenced: it runs elsewhere, its outcome is dropped
        self.expected = 0.0
