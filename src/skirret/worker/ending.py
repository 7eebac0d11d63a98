"""The end of a worker: its phases, in which less and less is begun, awaited and kept."""

from __future__ import annotations

from collections.abc import Callable, Sized
from enum import Enum
from typing import Protocol

from skirret import loggers
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import Dispatcher
from skirret.worker.loop import Loop
from skirret.worker.losses import Losses
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions
from skirret.worker.times import Times

logger = loggers.own("skirret.worker")

COLD_PATIENCE = 2.0
"""Seconds after which a cold stop ends, whatever has not answered."""

WORD, FORCE = 5.0, 3.0
"""Seconds before the end of a grace at which tasks are told to leave, and are killed; the rest is for settling."""

WORD_SHARE, FORCE_SHARE = 0.2, 0.12
"""The same for short graces, as parts of them."""


class Phase(Enum):
    """Where a worker is in its life."""

    RUNNING = "running"
    WARM = "waiting for running tasks"
    SOFT = "waiting for running tasks, for a time"
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
        times: how long running tasks are waited for.
        acking: jobs whose acknowledgement is on its way; they will run here, or be lost.
        pump: hands out what may still begin.
    """

    def __init__(
        self,
        loop: Loop,
        dispatcher: Dispatcher,
        losses: Losses,
        times: Times,
        acking: Sized,
        pump: Callable[[], object],
    ) -> None:
        self.phase = Phase.RUNNING
        self.restarting = False
        """Whether the worker is to be started anew once it has ended."""
        self.abandoned = False
        """Whether a task still runs that nobody waits for."""
        self.pool: Children
        self.taker: Taker
        self._loop = loop
        self._dispatcher = dispatcher
        self._losses = losses
        self._times = times
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
        running = self._wind_down(Phase.WARM)
        if running:
            logger.warning("Warm shutdown: %d task(s) still run; INT once more, or QUIT, stops at once.", running)
        grace = self._times.grace
        if grace is not None:
            self._loop.call_later(grace - min(WORD, WORD_SHARE * grace), self._tell_to_leave)
            self._loop.call_later(grace - min(FORCE, FORCE_SHARE * grace), self.cold)
        self._pump()  # what is acknowledged already must run here: nobody else has it
        self.finish_if_done()

    def restart(self) -> None:
        """Warm, and then the same command line anew."""
        if self.running:
            logger.warning("Restart: the same command line begins anew when running tasks are done.")
            self.restarting = True
        self.warm()

    def insist(self) -> None:
        """What INT means: warm the first time, then as `quit`."""
        if self.running:
            self.warm()
        else:
            self.quit()

    def quit(self) -> None:
        """What QUIT means: wait for what runs as long as a soft stop lasts, if it is to, then kill it; or at once."""
        if not self._times.soft or self.phase is Phase.SOFT or self.interrupting:
            self.cold()
            return
        running = self._wind_down(Phase.SOFT)
        if running or self._times.idle:
            logger.warning(
                "Soft shutdown: %d task(s) have %g s to end; INT or QUIT once more stops at once.",
                running,
                self._times.soft,
            )
        self._loop.call_later(self._times.soft, self.cold)
        self._pump()
        self.finish_if_done()

    def cold(self) -> None:
        """Kill what runs and give it back; it is not recorded as failed."""
        if self.interrupting:
            return
        if self.running:
            self.warm()
        if self.phase is Phase.CLOSING:
            return
        self.phase = Phase.COLD
        if any(child.held() for child in self.pool.children):
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
            self._losses.release(self._dispatcher.clear(bound=self.interrupting))

    def finish_if_done(self) -> None:
        """End, if the worker is to end and nothing runs any more."""
        if self.phase in {Phase.RUNNING, Phase.CLOSING} or self._acking or self._dispatcher.waiting():
            return
        if self.phase is Phase.SOFT and self._times.idle:  # until its time is over, whatever runs
            return
        if not any(child.held() for child in self.pool.children):
            self._finish()

    def _wind_down(self, phase: Phase) -> int:
        """Begin nothing more and give unstarted work back; how many tasks still run."""
        self.phase = phase
        self.taker.want(0)
        for child in self.pool.children:
            self._dispatcher.put_back(child.recall())
        self.give_back()
        return sum(child.held() for child in self.pool.children)

    def _tell_to_leave(self) -> None:
        """The grace is nearly over: whoever can leave by himself had better do so."""
        if self.phase is Phase.WARM:
            for child in self.pool.children:
                for job, _ in child.running():
                    child.interrupt(job, stopping=True)

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
