"""How long running tasks are waited for when a worker is to end."""

from __future__ import annotations

import msgspec


class Times(msgspec.Struct, frozen=True):
    """How long running tasks are waited for.

    Args:
        grace: seconds at a warm stop; None is without end.
        soft: seconds at a soft stop, which comes before a cold one; 0 is none.
        idle: a soft stop lasts that long also when nothing runs.
    """

    grace: float | None = None
    soft: float = 0.0
    idle: bool = False
