"""What becomes of tasks that were not finished: given back, judged, or, where nobody else has them, told as lost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from skirret import clock
from skirret.message import Record
from skirret.outcome import Ack, Release, Settlement
from skirret.worker.job import Job
from skirret.worker.rules import Rules
from skirret.worker.settle import Records, after_crash

logger = logging.getLogger("skirret.worker")


class Server(Protocol):
    """What is needed of a fetcher."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Carry out settlements."""

    def store(self, records: Sequence[Record]) -> None:
        """Store results of tasks that are acknowledged already."""


class Losses:
    """Settles what no outcome settles.

    Args:
        rules: how often a task may kill its process, and what is recorded.
        records: makes what is recorded.
    """

    def __init__(self, rules: Rules, records: Records) -> None:
        self.server: Server
        self._rules = rules
        self._records = records

    def release(self, jobs: Sequence[Job]) -> None:
        """Give tasks back to their queues, uncounted and in the old order; what is acknowledged already is lost."""
        self.lose([job for job in jobs if job.acked], "stopped by its worker's end")
        held = [job for job in jobs if not (job.acked or job.stale)]
        # The last one first: each goes to the front of its queue, so that the old order comes out.
        self.server.settle([Release(tag=job.delivery.tag) for job in reversed(held)])

    def convict(self, jobs: Sequence[Job], how: str) -> None:
        """Judge tasks that may have ended their process, which was `how` (in words)."""
        now = clock.wall()
        self.lose([job for job in jobs if job.acked], how)
        for job in jobs:
            if job.acked:
                continue
            delivery, head = job.delivery, job.head
            logger.error("Task %s[%s]: its process was %s", head.task, head.id, how)
            lost = self._records.lost(head, how)
            traits = self._rules.tasks.get(head.task)
            if traits is not None and traits.reject_on_worker_lost is False:
                self.server.settle([Ack(tag=delivery.tag, result=lost)])
                continue
            told = after_crash(delivery.tag, delivery.crashes, how, lost, limit=self._rules.crashes, now=now)
            self.server.settle([told])

    def lose(self, jobs: Sequence[Job], how: str) -> None:
        """Tasks acknowledged before they began cannot be given back: record what happened."""
        for job in jobs:
            record = self._records.lost(job.head, how)
            if record is not None:
                self.server.store([record])
