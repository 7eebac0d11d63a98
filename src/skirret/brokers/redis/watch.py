"""Observed leases: which incarnations stood still for long enough, or are proven dead."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from skirret import clock
from skirret.brokers.base import Limits
from skirret.stores.sqlite import proof


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


def pairs(words: Sequence[bytes]) -> dict[str, str]:
    """A hash as the server tells it."""
    texts = [word.decode() for word in words]
    return dict(zip(texts[::2], texts[1::2], strict=True))
