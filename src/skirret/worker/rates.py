"""Rate limits of one worker: how often tasks of one name may begin, and when those that come too early come back.

Nothing waits here. A message that is over its rate goes back to the broker until its turn. The nearest turns are given
out exactly; who comes after them is asked to look in again later, well spread, so that a long backlog costs little and
a change of the rate is felt within seconds.
"""

from __future__ import annotations

from collections import deque
from math import isfinite

PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0}

EARLY = 0.002
"""Seconds before its turn at which a message may run: a clock's grain."""

HORIZON = 10.0
"""Seconds ahead for which turns are given out."""

RELOOK = 5.0
"""Seconds after which a message without a turn comes back at the soonest."""

LEAST_PACE = 20.0
"""Messages a second, without a turn, that come back at least, if there are so many."""


def per_second(limit: str | float | None) -> float:
    """A rate in tasks a second; 0.0 is no limit.

    Args:
        limit: such as ``10/s``, ``100/m``, ``1/h``; a number, or its text, is tasks a second; None and 0 are no limit.

    Raises:
        ValueError: it is none of these.
    """
    if limit is None or limit == "":
        return 0.0
    number, slash, unit = str(limit).strip().partition("/")
    try:
        rate = float(number) / (PERIODS[unit.strip()] if slash else 1.0)
    except (ValueError, KeyError):
        rate = -1.0
    if rate < 0 or not isfinite(rate) or isinstance(limit, bool):
        raise ValueError(f"{limit!r} is no rate; write one such as '10/s', '100/m' or '1000/h'")
    return rate


class Turns:
    """When those that have to wait should come back.

    Args:
        rate: turns a second, more than 0.
    """

    __slots__ = ("_later", "next", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.next = 0.0
        """The first turn that is not given out, in monotonic seconds."""
        self._later = 0.0

    def wait(self, now: float) -> tuple[float, bool]:
        """When to come back, in monotonic seconds, and whether that is a turn."""
        turn = max(self.next, now)
        if turn <= now + HORIZON:
            self.next = turn + 1.0 / self.rate
            return turn, True
        self._later = max(self._later + 1.0 / max(LEAST_PACE, 2.0 * self.rate), now + RELOOK)
        return self._later, False


class RateGate:
    """Lets tasks of one name begin at a rate: one at a time, evenly.

    Args:
        rate: tasks a second, more than 0.
    """

    __slots__ = ("_burst", "_given", "_turns", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._turns = Turns(rate)
        self._given: deque[float] = deque()  # turns that were given out and not yet used
        self._burst = max(1, int(rate))  # whoever comes up to a second late still finds his turn, and no more of them

    def ask(self, now: float) -> float:
        """May one begin? 0.0 if it may, else the moment to come back.

        Turns belong to nobody: which message comes back first makes no difference to the rate, and another worker may
        have taken the one for which a turn was meant.

        Args:
            now: monotonic seconds.
        """
        given, turns, burst = self._given, self._turns, self._burst
        while len(given) > burst and given[burst] <= now:
            given.popleft()
        if given and given[0] <= now + EARLY:
            given.popleft()
            turns.next = max(turns.next, now + 1.0 / self.rate)
            return 0.0
        if not given and turns.next <= now + EARLY:
            turns.next = max(turns.next, now) + 1.0 / self.rate
            return 0.0
        moment, is_turn = turns.wait(now)
        if is_turn:
            given.append(moment)
        return moment

    def give_back(self, now: float) -> None:
        """One that was let through did not begin: another may, in its place."""
        self._given.appendleft(now)
