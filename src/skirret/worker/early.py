"""Tasks that are acknowledged before they begin (`acks_late=False`), from that question to the broker's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from skirret.message import Publication, Record
from skirret.outcome import Ack, DeadLetter, Retry, Settlement
from skirret.worker.child_line import ChildLine
from skirret.worker.gates import Gates
from skirret.worker.job import Job

Begin = Callable[[ChildLine, Job], object]


class Server(Protocol):
    """What is needed of a fetcher."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Carry out settlements."""

    def store(self, records: Sequence[Record]) -> None:
        """Store results of tasks that are acknowledged already."""

    def publish(self, publications: Sequence[Publication]) -> None:
        """Send messages that follow."""


class EarlyAcks:
    """Holds a slot for each job until the broker has let its message go; nobody else has the job from then on.

    Args:
        gates: hears that no settlement will tell the end of a job.
        begin: called with a child and a job that may begin there now.
    """

    def __init__(self, gates: Gates, begin: Begin) -> None:
        self.server: Server
        self._gates = gates
        self._begin = begin
        self._waiting: dict[int, tuple[ChildLine, Job]] = {}
        self._instead: dict[int, Begin] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ask(self, child: ChildLine, job: Job) -> None:
        """Acknowledge a job that is to begin in this child."""
        child.reserve(job)
        self._waiting[job.delivery.tag] = (child, job)
        self.server.settle([Ack(tag=job.delivery.tag)])

    def divert(self, which: Callable[[Job], bool], instead: Begin) -> None:
        """Let these jobs not begin, such as those that were revoked: `instead` is called once they are acknowledged."""
        self._instead.update((tag, instead) for tag, (_, job) in self._waiting.items() if which(job))

    def answered(self, tag: int, *, carried_out: bool) -> bool:
        """The broker's answer; False if nobody waited for it. If the message is not ours any more, nothing begins."""
        waiting = self._waiting.pop(tag, None)
        if waiting is None:
            return False
        child, job = waiting
        child.unreserve(job)
        begin = self._instead.pop(tag, self._begin)
        if carried_out:
            job.acked = True
            if self._gates:
                self._gates.acked(job)
            begin(child, job)
        return True

    def ended(self, told: Settlement) -> None:
        """One that began has ended so: nothing is left to acknowledge, the rest is done as ever."""
        if isinstance(told, Retry):
            self.server.publish([told.publication])
        if isinstance(told, (Ack, Retry, DeadLetter)) and told.result is not None:
            self.server.store([told.result])
        if isinstance(told, (Ack, DeadLetter)) and told.successors:
            self.server.publish(told.successors)

    def forget(self) -> None:
        """Our lease ran out: no answer counts any more."""
        for child, job in self._waiting.values():
            child.unreserve(job)
        self._waiting.clear()
        self._instead.clear()
