"""What becomes of tasks that were not finished: given back, judged, or, where nobody else has them, told as lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from skirret import clock, loggers
from skirret.message import Record
from skirret.outcome import Ack, DeadLetter, Defer, Release, Settlement
from skirret.worker.acknowledgement import Failure, Fate, fate
from skirret.worker.dispatch import Dispatcher
from skirret.worker.frames import Conclusion
from skirret.worker.job import Job
from skirret.worker.rules import Rules
from skirret.worker.settle import Records, pause_after

logger = loggers.own("skirret.worker")

CROWDED = 1.0
"""Seconds for which a message in doubt is put off while another one is held."""


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
        dispatcher: hands an ended task to a child that tells its hooks and callbacks.
    """

    def __init__(self, rules: Rules, records: Records, dispatcher: Dispatcher) -> None:
        self.server: Server
        self._rules = rules
        self._records = records
        self._dispatcher = dispatcher

    def release(self, jobs: Sequence[Job]) -> None:
        """Give tasks back to their queues, uncounted and in the old order; what is acknowledged already is lost."""
        self.lose([job for job in jobs if job.acked and job.conclusion is None], "stopped by its worker's end")
        for job in jobs:
            if job.conclusion is not None and not job.stale:
                self._end_untold(job, job.conclusion)
        held = [job for job in jobs if not (job.bound or job.stale)]
        # The last one first: each goes to the front of its queue, so that the old order comes out.
        if held:
            self.server.settle([Release(tag=job.delivery.tag) for job in reversed(held)])

    def put_off(self, jobs: Sequence[Job]) -> None:
        """Give tasks back for a while, uncounted also where the server counts what is released."""
        due = clock.wall() + CROWDED
        self.server.settle([Defer(tag=job.delivery.tag, due=due) for job in jobs])

    def convict(self, jobs: Sequence[Job], how: str) -> None:
        """Judge tasks that may have ended their process, which was `how` (in words)."""
        for job in jobs:
            head = job.head
            logger.error("Task %s[%s]: its process was %s", head.task, head.id, how)
            if job.conclusion is not None:  # whoever was to tell of its end could not
                self._end_untold(job, job.conclusion)
                continue
            traits = self._rules.tasks[head.task]
            left = traits.max_retries is None or head.retries < traits.max_retries
            self._decide(job, fate(Failure.CHILD_KILLED, traits, retries_left=left), Conclusion("lost", how=how))

    def doubt(self, jobs: Sequence[Job]) -> None:
        """Tasks that ran as the template died: any of them may have killed it, so each delivery is counted."""
        self.release([job for job in jobs if job.bound])
        self.server.settle(
            [
                Defer(tag=job.delivery.tag, counted="delivery", first=True)
                for job in jobs
                if not (job.bound or job.stale)
            ]
        )

    def overdue(self, job: Job, seconds: float) -> None:
        """A task ran longer than its hard limit of so many seconds."""
        head = job.head
        logger.error("Hard time limit (%gs) exceeded for %s[%s]", seconds, head.task, head.id)
        self._decide(job, fate(Failure.HARD_LIMIT, self._rules.tasks[head.task]), Conclusion("time", seconds=seconds))

    def lose(self, jobs: Sequence[Job], how: str) -> None:
        """Tasks acknowledged before they began cannot be given back: record what happened."""
        for job in jobs:
            record = self._records.lost(job.head, how)
            if record is not None:
                self.server.store([record])

    def _decide(self, job: Job, decided: Fate, conclusion: Conclusion) -> None:
        crashes = job.delivery.crashes
        told = conclusion.how or f"over its hard time limit of {conclusion.seconds:g} s"
        if decided is Fate.AGAIN and not job.acked and crashes + 1 < self._rules.crashes:
            due = clock.wall() + pause_after(crashes) if crashes else 0.0
            # At first to the front, so that it runs again at once whatever waits behind it.
            self.server.settle([Defer(tag=job.delivery.tag, due=due, counted="crash", first=not crashes)])
            return
        if decided is Fate.FAIL:  # its caller hears of it at once; its hooks and callbacks follow
            record = self._record_of(job, conclusion)
            self.server.store([] if record is None else [record])
        elif decided is Fate.AGAIN:
            conclusion = replace(conclusion, dead=f"killed its process {crashes + 1} times, the last time: {told}")
        elif decided is Fate.DEAD:
            conclusion = replace(conclusion, dead=f"its process was {told}")
        elif decided is Fate.RETRY:
            conclusion = replace(conclusion, again=True)
        job.conclusion = conclusion
        job.alone = conclusion.fault == "lost"  # reading its message may have been what ended the process
        job.limit = None
        self._dispatcher.put_back([job])

    def _end_untold(self, job: Job, conclusion: Conclusion) -> None:
        """No child can be asked to tell of it: settle without its hooks and callbacks."""
        record = self._record_of(job, conclusion)
        if job.acked:
            self.server.store([] if record is None else [record])
        elif conclusion.dead:
            self.server.settle([DeadLetter(tag=job.delivery.tag, reason=conclusion.dead, result=record)])
        else:
            self.server.settle([Ack(tag=job.delivery.tag, result=record)])

    def _record_of(self, job: Job, conclusion: Conclusion) -> Record | None:
        if conclusion.fault == "time":
            return self._records.overdue(job.head, conclusion.seconds)
        return self._records.lost(job.head, conclusion.how)
