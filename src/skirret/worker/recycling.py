"""Children that are replaced by fresh ones: after so many tasks, or when they have grown too large.

A child with one slot is replaced between two tasks. One with many gets no more work and is replaced at once, while what
runs in it finishes. Bounds vary by a tenth from child to child, so that they do not all go together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from skirret import clock, loggers
from skirret.worker.bounds import Bounds
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import Dispatcher
from skirret.worker.job import Job
from skirret.worker.loop import Loop

logger = loggers.own("skirret.worker")

PAGE = os.sysconf("SC_PAGE_SIZE")
GOLDEN = 0.618034
"""Its multiples, modulo 1, lie as far apart as numbers can."""

MEASURE = 0.1
"""Seconds between two looks at the size of one child at least."""

SAMPLE = 0.25
"""Seconds between two looks at the children that run something, where their size has a cap."""


class Children(Protocol):
    """What is needed of a pool."""

    children: list[ChildLine]

    def condemn(self, child: ChildLine) -> None:
        """Let one child finish what it runs and leave; another takes its place at once."""


class Recycling:
    """Replaces the children of one worker.

    Args:
        loop: the supervisor's loop.
        bounds: see ``Bounds``.
        dispatcher: gets back what a child that is to go had not started.
    """

    def __init__(self, loop: Loop, bounds: Bounds, dispatcher: Dispatcher) -> None:
        self.on = bool(bounds.tasks or bounds.memory)
        """Whether children are looked at after their tasks at all."""
        self.pool: Children
        self._loop = loop
        self._bounds = bounds
        self._dispatcher = dispatcher
        self._measured: dict[int, float] = {}
        if bounds.cap:
            loop.call_later(SAMPLE, self._sample)

    def quota(self, number: int) -> int | None:
        """How many tasks child `number` runs in its life."""
        tasks = self._bounds.tasks
        return round(varied(tasks, number)) if tasks else None

    def look(self, child: ChildLine) -> None:
        """After outcomes of a child: let it go if it has done its part or has grown too large."""
        if child.condemned or child.closed:
            return
        if self._bounds.memory and child.quota != 0 and self._has_grown(child, self._bounds.memory):
            self._dispatcher.put_back(child.recall())
            child.quota = 0
        if child.quota == 0 and (child.slots > 1 or not child.held()):
            self._measured.pop(child.number, None)
            self.pool.condemn(child)

    def _has_grown(self, child: ChildLine, memory: int) -> bool:
        now = clock.monotonic()
        if now - self._measured.get(child.number, 0.0) < MEASURE:
            return False
        self._measured[child.number] = now
        if len(self._measured) > 2 * len(self.pool.children):
            self._measured = {child.number: now}
        size = resident(child.pid)
        if size <= varied(memory, child.number):
            return False
        logger.info("Child %d has grown to %d KiB; a fresh one takes its place.", child.number, size)
        return True

    def _sample(self) -> None:
        self._loop.call_later(SAMPLE, self._sample)
        cap = self._bounds.cap or 0
        for child in list(self.pool.children):
            running = child.running()
            size = resident(child.pid) if running and not child.innocent else 0
            if size > cap:
                child.fault = f"killed because it had grown to {size} KiB, over worker_memory_cap_per_child ({cap})"
                logger.error("Child %d is %s; it ran %s", child.number, child.fault, _names(running))
                child.kill()


def varied(bound: float, number: int) -> float:
    """`bound` for child `number`: up to a tenth more or less, evenly spread over the children; under 10 it is exact."""
    return bound * (0.9 + 0.2 * (number * GOLDEN % 1.0)) if bound >= 10 else bound


def resident(pid: int) -> int:
    """KiB of resident memory of a process; 0 where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
        return pages * PAGE // 1024
    return 0


def _names(running: Sequence[tuple[Job, float]]) -> str:
    return ", ".join(f"{job.head.task}[{job.head.id}]" for job, _ in running)
