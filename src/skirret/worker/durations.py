"""How long tasks of each name take: a moving average, so that small tasks can travel together and long ones alone."""

from __future__ import annotations

WEIGHT = 0.2
UNKNOWN = 1.0
"""Seconds assumed of a task never seen: long, so that its first run holds nobody up."""

MAX_NAMES = 10_000


class Durations:
    """Expected run time by task name, in seconds."""

    __slots__ = ("_by_name", "counts")

    def __init__(self) -> None:
        self._by_name: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        """How often tasks of each name ran."""

    def expected(self, name: str) -> float:
        """Seconds that the next run is expected to take."""
        return self._by_name.get(name, UNKNOWN)

    def learn(self, name: str, seconds: float) -> None:
        """Take one run into account. A run slower than expected counts at once, a faster one by and by."""
        known, counts = self._by_name, self.counts
        counts[name] = counts.get(name, 0) + 1
        old = known.get(name)
        if old is None:
            if len(known) >= MAX_NAMES:
                known.clear()
                self.counts.clear()
            known[name] = seconds
        elif seconds > 4 * old and seconds > 0.001:
            known[name] = seconds
        else:
            known[name] = old + WEIGHT * (seconds - old)
