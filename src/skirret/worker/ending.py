"""The end of a worker: its phases, in which less and less is begun, awaited and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sized
from enum import Enum
from typing import Protocol

from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import Dispatcher
from skirret.worker.loop import Loop
from skirret.worker.losses import Losses
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions

logger = logging.getLogger("skirret.worker")

COLD_PATIENCE = 2.0
"""Seconds after which a cold stop ends, whatever has not answered."""


class Phase(Enum):
    """Where a worker is in its life."""

    RUNNING = "running"
    WARM = "waiting for running tasks"
    COLD = "killing running tasks"
    CLOSING = "settling"


class Children(Protocol):
    """What is needed of a pool."""

    children: list[ChildLine]
    kills: bool
    """Whether a task can be ended that does not want to."""

    @property
    def size(self) -> int:
        """Slots in all."""
        ...

    def resize(self, size: int) -> None:
        """Have so many slots in all from now on."""

    @property
    def renewing(self) -> bool:
        """Whether the app is being imported anew just now."""
        ...

    def restart(self, imported: Callable[[Manifest], object], options: WorkerOptions | None = None) -> None:
        """Import the app anew, and put new children in the place of the old ones."""

    def stop(self) -> None:
        """Ask all children to finish and leave."""

    def kill(self) -> bool:
        """End all children now; False where that cannot be done."""
        ...

    def condemn(self, child: ChildLine) -> None:
        """Let one child finish what it runs and leave; another takes its place at once."""

    def replace(self, child: ChildLine) -> None:
        """Kill one child, blaming nobody; another takes its place."""

    def isolate(self) -> None:
        """Offer a child in which a suspect runs alone, where the others have many slots."""


class Taker(Protocol):
    """What is needed of a fetcher."""

    def want(self, count: int) -> None:
        """Take up to `count` messages."""

    def finish(self) -> None:
        """Settle what was handed over and let go."""


class Ending:
    """How one worker ends.

    Args:
        loop: the supervisor's loop.
        dispatcher: what waits for a child.
        losses: gives back what will not run here.
        grace: seconds that running tasks get at a warm stop; None is without end.
        acking: jobs whose acknowledgement is on its way; they will run here, or be lost.
        pump: hands out what may still begin.
    """

    def __init__(
        self,
        loop: Loop,
        dispatcher: Dispatcher,
        losses: Losses,
        grace: float | None,
        acking: Sized,
        pump: Callable[[], object],
    ) -> None:
        self.phase = Phase.RUNNING
        self.abandoned = False
        """Whether a task still runs that nobody waits for."""
        self.pool: Children
        self.taker: Taker
        self._loop = loop
        self._dispatcher = dispatcher
        self._losses = losses
        self._grace = grace
        self._acking = acking
        self._pump = pump

    @property
    def running(self) -> bool:
        """Whether the worker takes and starts work as ever."""
        return self.phase is Phase.RUNNING

    @property
    def interrupting(self) -> bool:
        """Whether tasks are killed, or all are done: nothing begins any more, and no task is blamed for its end."""
        return self.phase in {Phase.COLD, Phase.CLOSING}

    def warm(self) -> None:
        """Start nothing more, give unstarted work back, wait for what runs."""
        if not self.running:
            return
        self.phase = Phase.WARM
        self.taker.want(0)
        for child in self.pool.children:
            self._dispatcher.put_back(child.recall())
        self.give_back()
        running = sum(child.held() for child in self.pool.children)
        if running:
            logger.warning("Warm shutdown: %d task(s) still run; INT once more, or QUIT, stops at once.", running)
        if self._grace is not None:
            self._loop.call_later(self._grace, self.cold)
        self._pump()  # what is acknowledged already must run here: nobody else has it
        self.finish_if_done()

    def cold(self) -> None:
        """Kill what runs and give it back; it is not recorded as failed."""
        if self.interrupting:
            return
        self.warm()
        if self.phase is Phase.CLOSING:
            return
        self.phase = Phase.COLD
        logger.warning("Cold shutdown: running tasks are interrupted and go back to their queues.")
        if not self.pool.kill():
            self._abandon()
        self.give_back()
        self._loop.call_later(COLD_PATIENCE, self._finish)
        self.finish_if_done()

    def closed(self) -> None:
        """The fetcher has settled everything and let go, or cannot work at all."""
        self.phase = Phase.CLOSING
        self.pool.stop()
        self._loop.stop()

    def give_back(self) -> None:
        """While stopping: what waits goes back to the broker; what is acknowledged runs here, or is lost if we kill."""
        if not self.running:
            self._losses.release(self._dispatcher.clear(bound=self.phase is not Phase.WARM))

    def finish_if_done(self) -> None:
        """End, if the worker is to end and nothing runs any more."""
        if self.phase not in {Phase.WARM, Phase.COLD} or self._acking or self._dispatcher.waiting():
            return
        if not any(child.held() for child in self.pool.children):
            self._finish()

    def _finish(self) -> None:
        if self.phase is not Phase.CLOSING:
            self.phase = Phase.CLOSING
            self.pool.stop()
            self.taker.finish()

    def _abandon(self) -> None:
        """What runs cannot be killed: give it back all the same; the process ends without it."""
        for child in self.pool.children:
            self._losses.release(list(child.outstanding.values()))
            self.abandoned = self.abandoned or bool(child.outstanding)
            child.outstanding.clear()
