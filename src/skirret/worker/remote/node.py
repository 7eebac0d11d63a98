"""What remote commands see of a worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from skirret import clock
from skirret.brokers.base import Broker
from skirret.coordination.base import Coordination
from skirret.settings import Conf
from skirret.worker.child_line import ChildLine
from skirret.worker.events.node import NodeEvents
from skirret.worker.job import Job
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions
from skirret.worker.supervisor import Supervisor

MAX_SAMPLES = 100
"""Samples of memory that are kept."""


@dataclass(slots=True)
class Later:
    """An answer that takes a server's time: `work` is called off the loop, and what it returns is the answer."""

    work: Callable[[], Any]


@dataclass(slots=True)
class Awaited:
    """An answer that comes by and by: `ask` is called on the loop with whom to hand it to, from any thread."""

    ask: Callable[[Callable[[Any], None]], None]


class Handler(Protocol):
    """Who carries out the app's own commands."""

    def command(self, name: str, arguments: dict[str, Any]) -> Awaited:
        """Have one carried out."""
        ...


@dataclass(slots=True)
class Node:
    """One worker. Everything in it but the servers belongs to the loop.

    Args:
        name: the node's name.
        kind: the pool's name.
        supervisor: who runs what.
        manifest: the app.
        options: what the worker was started with.
        broker, shared: the servers.
        conf: the app's settings.
        events: what it tells monitors, with the logical clock.
    """

    name: str
    kind: str
    supervisor: Supervisor
    manifest: Manifest
    options: WorkerOptions
    broker: Broker
    shared: Coordination
    conf: Conf
    events: NodeEvents
    handler: Handler | None = None
    """Carries out the app's own commands."""
    began: float = field(default_factory=clock.monotonic)
    samples: list[str] = field(default_factory=list)

    @property
    def lamport(self) -> clock.LamportClock:
        """The logical clock."""
        return self.events.clock

    @property
    def children(self) -> list[ChildLine]:
        """The children that there are."""
        return self.supervisor.pool.children

    def running(self) -> Iterator[tuple[ChildLine, Job, float]]:
        """What runs: child, job and the moment (monotonic) at which it began."""
        for child in self.children:
            for job, moment in child.running():
                yield child, job, moment

    def waiting(self) -> Iterator[Job]:
        """What was taken and has not begun."""
        dispatcher = self.supervisor.dispatcher
        for job in itertools.chain(dispatcher.suspects, dispatcher.pending):
            if job.conclusion is None:
                yield job
        for child in self.children:
            begun = {id(job) for job, _ in child.running()}
            yield from (job for job in child.jobs() if id(job) not in begun and job.conclusion is None)
