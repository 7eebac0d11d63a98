"""May a task run again, and when? A pure decision about counts and delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Again:
    """It may: as retry number `retries`, after `countdown` seconds or at `eta`."""

    retries: int
    countdown: float | None
    eta: datetime | None


@dataclass(frozen=True, slots=True)
class Exhausted:
    """It may not: `retries` retries were all that it had."""

    retries: int


def decide(
    retries: int,
    *,
    limit: int | None,
    default_delay: float,
    countdown: float | None = None,
    eta: datetime | None = None,
) -> Again | Exhausted:
    """Decide about the next run.

    Args:
        retries: how many retries this run already is.
        limit: ``max_retries``; None is without end.
        default_delay: seconds to wait where neither `countdown` nor `eta` is given.
        countdown: seconds to wait; 0 is at once.
        eta: the moment of the next run.
    """
    if limit is not None and retries + 1 > limit:
        return Exhausted(retries)
    if eta is None and countdown is None:
        countdown = default_delay
    return Again(retries + 1, countdown, eta)


@dataclass(frozen=True, slots=True)
class Autoretry:
    """What ``autoretry_for`` and its sisters say.

    Args:
        on: exceptions that lead to a retry.
        never: exceptions that do not, even if `on` covers them.
        options: further arguments of ``Task.retry``.
        backoff: seconds of the first exponential delay, or 0 for none.
        maximum: seconds that no delay exceeds.
        jitter: draw the delay at random below its bound.
    """

    on: tuple[type[BaseException], ...]
    never: tuple[type[BaseException], ...] = ()
    options: Mapping[str, Any] | None = None
    backoff: float = 0.0
    maximum: float = 600.0
    jitter: bool = True

    def arguments(self, retries: int) -> dict[str, Any]:
        """What ``Task.retry`` is called with after `retries` retries."""
        given = dict(self.options or {})
        if self.backoff:
            from skirret.backoff import exponential  # brings the random module, which publishers do not need

            given["countdown"] = exponential(retries, factor=self.backoff, maximum=self.maximum, jitter=self.jitter)
        return given
