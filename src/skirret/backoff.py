"""How long to wait before the next attempt: the one formula for task retries, reconnects and crashed children."""

from __future__ import annotations

import random


def exponential(attempt: int, *, factor: float, maximum: float, jitter: bool = True) -> float:
    """Seconds to wait before retry number `attempt` (0 first): ``min(maximum, factor * 2**attempt)``.

    With jitter the value is drawn evenly from 0 to that bound ("full jitter", AWS Architecture Blog 2015; Celery's
    ``get_exponential_backoff_interval`` uses the same).

    Args:
        attempt: how many attempts failed before, 0 or more.
        factor: seconds of the first bound.
        maximum: seconds that no wait exceeds.
        jitter: draw at random below the bound.
    """
    bound = min(maximum, factor * 2.0 ** min(attempt, 62))
    if jitter:
        bound = random.uniform(0.0, bound)  # noqa: S311  not a secret
    return max(0.0, bound)
