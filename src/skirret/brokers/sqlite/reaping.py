"""Observed leases: which incarnations stood still for long enough, and how their work is taken over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from skirret import clock, proof
from skirret.brokers.base import Limits

Peer = tuple[int, int, str, int, int]
"""Number, beat, home, process number and birth of a consumer."""

PEERS = "SELECT id, beat, home, pid, birth FROM consumer"


@dataclass(slots=True)
class Observer:
    """How long each incarnation was seen to stand still, counted only from one look that the file answered to the next.

    Args:
        limits: lease, beat and clock.
    """

    limits: Limits
    _still: dict[int, tuple[int, float]] = field(default_factory=dict)
    _clock: Callable[[], float] = clock.monotonic
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._clock = self.limits.clock or clock.monotonic
        self._looked = self._clock()

    def look(self, peers: list[Peer], me: int) -> list[tuple[int, int]]:
        """Who may be taken over, as (number, beat); call it with what the file has just answered."""
        now = self._clock()
        # However long I slept, I saw nothing meanwhile: a gap counts for one beat at most.
        gap = max(0.0, min(now - self._looked, self.limits.beat))
        self._looked = now
        seen: dict[int, tuple[int, float]] = {}
        gone: list[tuple[int, int]] = []
        for number, beat, home, pid, birth in peers:
            if number == me:
                continue
            old_beat, still = self._still.get(number, (None, 0.0))
            still = still + gap if beat == old_beat else 0.0
            seen[number] = (beat, still)
            if still >= self.limits.lease or proof.is_dead(home, pid, birth):
                gone.append((number, beat))
        self._still = seen
        return gone


def take_over(
    connection: sqlite3.Connection, owner: int, beat: int, limit: int, now: float
) -> tuple[int, set[str]] | None:
    """Fence an incarnation and give its messages back, each with its delivery counted; at the limit they are dead.

    Runs in the caller's transaction.

    Returns:
        How many messages went back, and to which queues; None if it beat in the meantime.
    """
    # The fence first: from here on nothing that this incarnation says counts.
    if connection.execute("DELETE FROM consumer WHERE id = ? AND beat = ?", (owner, beat)).rowcount == 0:
        return None
    mine = {"owner": owner, "limit": limit, "now": now}
    connection.execute(
        "UPDATE message SET deliveries = deliveries + 1, "
        "first_delivered = iif(first_delivered, first_delivered, since) "
        "FROM held WHERE held.owner = :owner AND message.id = held.id",
        mine,
    )
    connection.execute(
        "INSERT INTO dead (queue, rank, task_id, expires, deliveries, crashes, raw, reason, died) "
        "SELECT queue, rank, task_id, expires, deliveries, crashes, raw, "
        "'its worker vanished; that was counted delivery ' || deliveries || ' of it', :now "
        "FROM held JOIN message USING (id) WHERE owner = :owner AND deliveries >= :limit ORDER BY place",
        mine,
    )
    connection.execute(
        "DELETE FROM message WHERE deliveries >= :limit AND id IN (SELECT id FROM held WHERE owner = :owner)", mine
    )
    return give_back(connection, owner)


def give_back(connection: sqlite3.Connection, owner: int) -> tuple[int, set[str]]:
    """Put all that a consumer holds back where it was, uncounted; how many messages, and their queues."""
    queues = {
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT queue FROM held JOIN message USING (id) WHERE owner = ?", (owner,)
        )
    }
    count = connection.execute(
        "INSERT INTO ready SELECT queue, rank, place, id FROM held JOIN message USING (id) WHERE owner = ?", (owner,)
    ).rowcount
    connection.execute("DELETE FROM held WHERE owner = ?", (owner,))
    return count, queues
