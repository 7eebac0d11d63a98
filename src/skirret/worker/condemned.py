"""Children that hold a task which must not go on: with one slot they are killed; elsewhere neighbours finish first."""

from __future__ import annotations

import signal
from functools import partial
from typing import NamedTuple, Protocol

from skirret import clock, loggers
from skirret.worker import kin
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import Dispatcher
from skirret.worker.frames import MEANT
from skirret.worker.job import Job
from skirret.worker.loop import Loop, Timer

logger = loggers.own("skirret.worker")

STALE = 0.75
"""Seconds without a beacon after which a condemned child counts as stuck: its neighbours cannot finish either."""

LOOK = 0.1
"""Seconds between looks at condemned children."""


CLEAN_UP = 5.0
"""Seconds that a task has for its own handler of the signal that it is terminated by; then its child is killed."""


SAY_IT = (0.05, 0.5, 2.0)
"""Seconds after a signal at which its child is told that it was meant: not at once, because the kernel goes on with the
system call that the first of two signals interrupts if that one's handler says so."""


class Leaving(NamedTuple):
    """A child whose only task was sent a signal that ends it, and what that task had started."""

    child: ChildLine
    kin: list[kin.Kin]
    deadline: clock.Deadline


class Children(Protocol):
    """What is needed of a pool."""

    def condemn(self, child: ChildLine) -> None:
        """Let one child finish what it runs and leave; another takes its place at once."""

    def replace(self, child: ChildLine) -> None:
        """Kill one child, blaming nobody; another takes its place."""


class Condemned:
    """Takes single tasks out of children that will not survive it.

    Args:
        loop: the supervisor's loop.
        dispatcher: gets back what a condemned child had not started.
    """

    def __init__(self, loop: Loop, dispatcher: Dispatcher) -> None:
        self.pool: Children
        self._loop = loop
        self._dispatcher = dispatcher
        self._children: list[ChildLine] = []
        self._leaving: list[Leaving] = []
        self._timer: Timer | None = None

    def cut(self, child: ChildLine, job: Job, by: int = signal.SIGKILL) -> bool:
        """Run `job` no longer; False if its outcome has come meanwhile. Whatever it says later is dropped.

        Args:
            child, job: which.
            by: the signal that a child with one slot is sent. Any but SIGKILL may be handled by the task, which then
                has `CLEAN_UP` seconds. With neighbours there is no process that could be sent it.
        """
        child.hear()
        if not child.forget(job):
            return False
        self._dispatcher.put_back(child.recall())
        if child in self._children:
            return True
        if child.slots == 1:
            if by == signal.SIGKILL:
                self.pool.replace(child)
            else:
                self._signal(child, by)
            return True
        self.pool.condemn(child)
        self._children.append(child)
        self._look()
        return True

    def _signal(self, child: ChildLine, number: int) -> None:
        child.innocent = True
        self._leaving.append(Leaving(child, kin.below(child.pid), clock.Deadline(CLEAN_UP)))
        child.board.end_by(number)
        child.signal(number)
        for seconds in SAY_IT:
            self._loop.call_later(seconds, partial(child.signal, MEANT))
        self.pool.condemn(child)
        self._look()

    def _look_after_leaving(self) -> None:
        for one in list(self._leaving):
            if one.child.closed:
                kin.end_all(one.kin)
            elif one.deadline.passed():
                logger.warning("Child %d did not end within %g s; it is killed.", one.child.number, CLEAN_UP)
                one.child.kill()
            else:
                continue
            self._leaving.remove(one)

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._look_after_leaving()
        now = clock.monotonic()
        for child in list(self._children):
            if child.closed:
                self._children.remove(child)
                continue
            if child.outstanding and now - child.board.beacon() < STALE:
                continue
            if child.outstanding:
                logger.warning(
                    "Child %d is killed with %d other task(s) that ran in it: one that must stop lets nothing else go "
                    "on. They run again.",
                    child.number,
                    len(child.outstanding),
                )
            self._children.remove(child)
            self.pool.replace(child)
        if self._children or self._leaving:
            self._timer = self._loop.call_later(LOOK, self._look)
