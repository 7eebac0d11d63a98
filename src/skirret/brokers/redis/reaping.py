"""Observed leases: which incarnations stood still for long enough or are proven dead, and how their work goes home."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from skirret import clock, proof
from skirret.brokers.base import Limits
from skirret.brokers.redis import scripts
from skirret.brokers.redis.slot import Slot

REAP_BATCH = 200
"""Messages that one script moves home, so that others get their turn."""


@dataclass(slots=True)
class Observer:
    """How long each incarnation was seen to stand still, counted only from one answered look to the next.

    Args:
        limits: lease, beat and clock.
    """

    limits: Limits
    _still: dict[str, tuple[str, float]] = field(default_factory=dict)
    _clock: Callable[[], float] = clock.monotonic
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._clock = self.limits.clock or clock.monotonic
        self._looked = self._clock()

    def look(self, beats: Mapping[str, str], processes: Mapping[str, str], me: str) -> list[tuple[str, str]]:
        """Who may be taken over, as (incarnation, beat); call it with what the server has just answered."""
        now = self._clock()
        # However long I slept, I saw nothing meanwhile: a gap counts for one beat at most.
        gap = max(0.0, min(now - self._looked, self.limits.beat))
        self._looked = now
        seen: dict[str, tuple[str, float]] = {}
        gone: list[tuple[str, str]] = []
        for cid, beat in beats.items():
            if cid == me:
                continue
            old_beat, still = self._still.get(cid, (None, 0.0))
            still = still + gap if beat == old_beat else 0.0
            seen[cid] = (beat, still)
            if still >= self.limits.lease or _is_dead(processes.get(cid, "")):
                gone.append((cid, beat))
        self._still = seen
        return gone


def me() -> str:
    """This process, in words by which another one of the same machine may find that it is dead; "" if it cannot."""
    where = proof.home()
    pid = os.getpid()
    return f"{pid} {proof.birth(pid)} {where}" if where else ""


def _is_dead(process: str) -> bool:
    try:
        pid, birth, where = process.split(" ", 2)
        return proof.is_dead(where, int(pid), int(birth))
    except ValueError:
        return False


def _pairs(words: Sequence[bytes]) -> dict[str, str]:
    """A hash as the server tells it."""
    texts = [word.decode() for word in words]
    return dict(zip(texts[::2], texts[1::2], strict=True))


class Reaper:
    """Watches the incarnations of one slot.

    Args:
        slot: where.
        cid: the incarnation that watches; it need not be registered there.
        limits: lease, beat and clock.
    """

    def __init__(self, slot: Slot, cid: str, limits: Limits) -> None:
        self._slot = slot
        self._cid = cid
        self._observer = Observer(limits)
        self.is_member = False
        """Whether the watching incarnation was registered when the server was asked last."""

    def reap(self, deliveries: int) -> int:
        """Take over from incarnations that stood still for the lease or are dead; how many messages went home.

        Args:
            deliveries: counted deliveries at which a message is dead.
        """
        slot = self._slot
        answer = slot.store.run(scripts.LOOK, (slot.keys.consumers,), (*slot.head, self._cid))
        is_member, beats, fenced, processes = answer
        self.is_member = bool(is_member)
        gone = self._observer.look(_pairs(beats), _pairs(processes), self._cid)
        returned = sum(self._take_over(cid, beat, deliveries) for cid, beat in gone)
        # Whoever fenced these may have died before all was moved.
        return returned + sum(self._take_over(cid.decode(), "", deliveries) for cid in fenced)

    def _take_over(self, cid: str, beat: str, deliveries: int) -> int:
        slot = self._slot
        returned = 0
        while True:
            words = (*slot.head, cid, beat, deliveries, REAP_BATCH)
            home, left = slot.store.run(scripts.REAP, (slot.keys.held(cid),), words)
            if home > 0:
                returned += home
            if home < 0 or left == 0:
                return returned
            beat = ""
