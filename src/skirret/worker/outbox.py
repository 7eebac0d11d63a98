"""What waits to go to a server beside the settlements: all of it in one call, and nothing twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from skirret import loggers
from skirret.errors import BackendError, OperationalError

logger = loggers.own("skirret.worker")
T = TypeVar("T")


def empty(waiting: deque[T], carry_out: Callable[[list[T]], object], complaint: str) -> None:
    """Carry out all that waits in one call; what fails for a reason that no patience mends is told and dropped."""
    batch = [waiting[i] for i in range(len(waiting))]
    try:
        if batch:
            carry_out(batch)
    except (OperationalError, BackendError):
        raise
    except Exception:
        if len(batch) > 1:
            for one in batch:
                empty(deque([one]), carry_out, complaint)
                waiting.popleft()
            return
        logger.exception(complaint)
    for _ in batch:
        waiting.popleft()
