"""Attributes of a task that say how often it begins, how many of it run at a time, and which calls are the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from skirret.app.attributes import from_settings


class TaskLimits:
    """A task's limits; None is no limit, or as the settings say."""

    rate_limit: str | float | None = from_settings("task_default_rate_limit")
    """Such as ``10/s``, ``100/m``, ``1/h``; a number is tasks a second."""
    rate_limit_scope: str | None = from_settings("task_default_rate_limit_scope")
    """Whom the rate is counted for: ``worker``, each for itself, or ``fleet``, all together."""
    max_concurrency: int | None = None
    """How many may run at a time in the whole fleet."""
    concurrency_key: str | Callable[..., Any] | None = None
    """What `max_concurrency` counts by: a format such as ``customer-{customer}``, or a function of the arguments."""
    unique: bool | str | Callable[..., Any] | None = None
    """Send no second call with the same key: True is the same arguments; or as `concurrency_key`."""
    unique_for: float | timedelta | None = None
    """Seconds for which a key is kept at most; None is a day."""
    unique_until: str = "end"
    """What gives a key free before that: ``start`` or ``end`` of the run; ``window`` is nothing."""
