"""What a revoke does to tasks that a worker has already: those that wait are dropped, those that run are ended."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import Any

from skirret import loggers
from skirret.control import revoking
from skirret.outcome import Ack
from skirret.worker.child_line import ChildLine
from skirret.worker.job import Job
from skirret.worker.remote.node import Node

logger = loggers.own("skirret.worker")


@dataclass(frozen=True, slots=True)
class Marked:
    """Which tasks are meant: by id, or by a stamp."""

    ids: frozenset[str] = frozenset()
    stamps: frozenset[str] = frozenset()

    def means(self, job: Job) -> bool:
        """Whether this one is meant."""
        if job.head.id in self.ids:
            return True
        return bool(self.stamps and job.head.stamps and not self.stamps.isdisjoint(revoking.stamps_of(job.head.stamps)))


def sweep(node: Node, marked: Marked) -> None:
    """Drop tasks that were taken and have not begun; they are recorded as revoked."""
    supervisor = node.supervisor
    dropped = supervisor.gates.withdraw(marked.means)
    waiting = [job for job in node.waiting() if marked.means(job)]
    if not (waiting or dropped):
        return
    for child in node.children:
        if any(job in waiting for job in child.outstanding.values()):
            supervisor.dispatcher.put_back(child.recall())
    supervisor.early.divert(marked.means, lambda _child, job: _drop(node, job))
    dropped += supervisor.dispatcher.remove(lambda job: job.conclusion is None and marked.means(job))
    for job in dropped:
        _drop(node, job)
    supervisor.pump()


@dataclass(slots=True)
class Ended:
    """What became of tasks that were to be ended while they ran."""

    ids: list[str]
    refused: bool = False
    """Whether one of them runs on, because this pool cannot end it."""

    def check(self) -> None:
        """Complain if one runs on.

        Raises:
            ValueError: one does.
        """
        if self.refused:
            raise ValueError("the pool solo cannot end a task that runs; use another pool, such as threads")


def terminate_running(node: Node, marked: Marked, number: int) -> Ended:
    """End tasks that run, by the signal `number`; what waits is not touched."""
    ended = Ended([])
    for child, job, _ in list(node.running()):
        if not marked.means(job):
            continue
        if not (node.supervisor.pool.kills or number == signals.SIGUSR1):
            ended.refused = True
        elif _end(node, child, job, number):
            logger.warning("Task %s[%s] terminated (%s)", job.head.task, job.head.id, signals.Signals(number).name)
            ended.ids.append(job.head.id)
    return ended


def _end(node: Node, child: ChildLine, job: Job, number: int) -> bool:
    """End one task; False if it has ended meanwhile."""
    if number == signals.SIGUSR1:  # as with Celery: what the soft time limit does
        return child.interrupt(job)
    if not node.supervisor.condemned.cut(child, job, number):
        return False
    _conclude(node, job, "terminated", number)
    return True


def _drop(node: Node, job: Job) -> None:
    logger.info("Task %s[%s] revoked", job.head.task, job.head.id)
    _conclude(node, job, "revoked")


def _conclude(node: Node, job: Job, reason: str, signum: int | None = None) -> None:
    """Record that a job was revoked, tell monitors, and let its message go."""
    supervisor = node.supervisor
    if supervisor.told is not None:
        supervisor.told.revoked(job.head, terminated=signum is not None, signum=signum)
    if supervisor.hooks is not None:
        supervisor.hooks.revoked(job.delivery, terminated=signum is not None, signum=signum)
    supervisor.gates.ended((job,))
    record = supervisor.records.revoked(job.head, reason)
    if not job.acked:
        supervisor.fetcher.settle([Ack(tag=job.delivery.tag, result=record)])
    elif record is not None:
        supervisor.fetcher.store([record])


def number_of(signal: Any) -> int:
    """The number of a signal that a caller names, with or without ``SIG``, or by number; SIGTERM by default.

    Raises:
        ValueError: there is no such signal.
    """
    if signal in (None, ""):
        return int(signals.SIGTERM)
    try:
        if isinstance(signal, int) or str(signal).isdigit():
            return int(signals.Signals(int(signal)))
        name = str(signal).upper()
        return int(signals.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except (KeyError, ValueError):
        raise ValueError(f"there is no signal {signal!r}") from None
