"""Children that hold a task which must not go on: with one slot they are killed; elsewhere neighbours finish first."""

from __future__ import annotations

import logging
from typing import Protocol

from skirret import clock
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import Dispatcher
from skirret.worker.job import Job
from skirret.worker.loop import Loop, Timer

logger = logging.getLogger("skirret.worker")

STALE = 0.75
"""Seconds without a beacon after which a condemned child counts as stuck: its neighbours cannot finish either."""

LOOK = 0.1
"""Seconds between looks at condemned children."""


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
        self._timer: Timer | None = None

    def cut(self, child: ChildLine, job: Job) -> bool:
        """Run `job` no longer; False if its outcome has come meanwhile. Whatever it says later is dropped."""
        child.hear()
        if not child.forget(job):
            return False
        self._dispatcher.put_back(child.recall())
        if child in self._children:
            return True
        if child.slots == 1:
            self.pool.replace(child)
            return True
        self.pool.condemn(child)
        self._children.append(child)
        self._look()
        return True

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
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
        if self._children:
            self._timer = self._loop.call_later(LOOK, self._look)
