"""May this message run now? A pure decision over its headers, its history and the clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from skirret.message import Delivery, Malformed
from skirret.wire.envelope import Head
from skirret.wire.task import moment
from skirret.worker.manifest import TaskTraits

EARLY = 0.001
"""Seconds before its time at which a delayed message may run: a clock's grain, not a promise."""

UNKNOWN_DELIVERIES = 3


@dataclass(slots=True, frozen=True)
class Run:
    """It may run."""


@dataclass(slots=True, frozen=True)
class Delay:
    """It is early: hand it back until `due` (seconds since the epoch)."""

    due: float


@dataclass(slots=True, frozen=True)
class Wait:
    """Nobody here knows the task: hand it back, counted, until `due`; a newer worker may know it."""

    due: float


@dataclass(slots=True, frozen=True)
class Drop:
    """It must not run any more; `reason` is Celery's word: expired or revoked."""

    reason: str


@dataclass(slots=True, frozen=True)
class Reject:
    """It cannot run: into the dead letters."""

    reason: str


Decision = Run | Delay | Wait | Drop | Reject
RUN = Run()


def admit(
    head: Head | Malformed,
    delivery: Delivery,
    tasks: Mapping[str, TaskTraits],
    *,
    now: float,
    revoked: Collection[str] = (),
    patience: float = 60.0,
    deliveries: int = 10,
) -> Decision:
    """Decide about one message.

    Args:
        head: its decoded headers, or why they cannot be read.
        delivery: its history.
        tasks: what the app registers.
        now: seconds since the epoch.
        revoked: ids that must not run.
        patience: seconds over which an unknown task is tried again before it is dead-lettered.
        deliveries: counted deliveries that are too many.
    """
    if isinstance(head, Malformed):
        return Reject(f"malformed message: {head.reason}")
    if delivery.deliveries >= deliveries:
        return Reject(f"delivered {delivery.deliveries} times without an end; the limit is {deliveries}")
    if head.id in revoked:
        return Drop("revoked")
    if head.expires is not None and _timestamp(head.expires) <= now:
        return Drop("expired")
    if head.eta is not None:
        due = _timestamp(head.eta)
        if due > now + EARLY:
            return Delay(due)
    if head.task not in tasks:
        return _unknown(head.task, delivery, now, patience)
    return RUN


def _unknown(name: str, delivery: Delivery, now: float, patience: float) -> Decision:
    waited = now - (delivery.first_delivered or now)
    if delivery.deliveries + 1 >= UNKNOWN_DELIVERIES and waited >= patience:
        return Reject(
            f"unknown task {name!r}: delivered {delivery.deliveries + 1} times over {waited:.0f} s, and no worker of "
            "this queue registers it. Is its module imported (include, imports, autodiscover_tasks), and is its name "
            "the one that the caller uses?"
        )
    return Wait(now + max(0.05, patience / (UNKNOWN_DELIVERIES - 1)))


def _timestamp(text: str) -> float:
    return moment(text).timestamp()
