"""What becomes of a task's message when its run fails: one pure table for exceptions, limits, deaths and stops.

The words are Celery's; the defaults are the safe ones. ``docs/reliability.md`` prints the table as it stands here.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Failure(Enum):
    """How a run came to a bad end."""

    EXCEPTION = "it raises"
    SOFT_LIMIT = "its soft limit passes and it lets the exception through"
    HARD_LIMIT = "its hard limit passes"
    CHILD_KILLED = "its process dies"
    WORKER_KILLED = "its whole worker dies"
    TERMINATED = "it is revoked and terminated"
    INTERRUPTED = "a cold stop interrupts it"


class Fate(Enum):
    """What is done about it."""

    FAIL = "failed, acknowledged"
    DEAD = "failed, dead letter"
    AGAIN = "runs again, counted"
    RETRY = "runs again as its own retry"
    RELEASE = "runs again, uncounted"
    REVOKE = "revoked, acknowledged"
    VANISH = "gone, nothing recorded"


class Policy(Protocol):
    """What a task says of its acknowledgement."""

    acks_late: bool
    acks_on_failure: bool
    acks_on_timeout: bool
    reject_on_worker_lost: bool
    retry_on_worker_lost: bool


def fate(failure: Failure, policy: Policy, *, retries_left: bool = True) -> Fate:
    """Decide about one failed run.

    Args:
        failure: how it ended.
        policy: the task's own options, or the settings where it says nothing.
        retries_left: whether the task may be retried once more.

    What runs again and counted is a dead letter at ``worker_crash_limit`` deaths (or ``worker_delivery_limit``
    deliveries, where a whole worker died).
    """
    late = policy.acks_late
    match failure:
        case Failure.EXCEPTION | Failure.SOFT_LIMIT:
            return Fate.FAIL if policy.acks_on_failure or not late else Fate.DEAD
        case Failure.HARD_LIMIT:
            return Fate.FAIL if policy.acks_on_timeout or not late else Fate.AGAIN
        case Failure.CHILD_KILLED:
            return _after_death(policy, retries_left)
        case Failure.WORKER_KILLED:
            return Fate.AGAIN if late else Fate.VANISH
        case Failure.TERMINATED:
            return Fate.REVOKE
        case Failure.INTERRUPTED:
            return Fate.RELEASE if late else Fate.FAIL


def _after_death(policy: Policy, retries_left: bool) -> Fate:
    if policy.retry_on_worker_lost and retries_left:
        return Fate.RETRY
    if not policy.acks_late:
        return Fate.FAIL
    if policy.reject_on_worker_lost and not policy.retry_on_worker_lost:
        return Fate.AGAIN
    return Fate.FAIL if policy.acks_on_failure else Fate.DEAD
