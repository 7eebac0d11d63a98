"""Where time comes from: one place for tests to hold it still."""

from __future__ import annotations

import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds of a clock that never jumps; for durations and deadlines."""

wall = time.time
"""Seconds since the epoch; for moments that other processes must understand."""


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Deadline:
    """A moment on the monotonic clock by which something must be done.

    Args:
        seconds: from now; None means never.
    """

    __slots__ = ("at",)

    def __init__(self, seconds: float | None) -> None:
        self.at = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, never negative; None if there is no deadline."""
        return None if self.at is None else max(0.0, self.at - monotonic())

    def passed(self) -> bool:
        """Whether the moment is over."""
        return self.at is not None and monotonic() >= self.at
