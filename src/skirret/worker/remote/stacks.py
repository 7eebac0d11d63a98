"""What each running task does now: children are asked by a signal, and those that cannot answer are told as such."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from skirret import clock
from skirret.worker.child_line import ChildLine
from skirret.worker.frames import ASKED, Stack, Stacks
from skirret.worker.job import Job
from skirret.worker.remote.node import Awaited, Node

PATIENCE = 1.0
"""Seconds that children get to answer."""

MUTE = (
    "its process did not answer within {0:g} s: a call of C code holds the interpreter's lock, or its main thread "
    "hears no signals"
)


def stack(node: Node) -> Awaited:
    """What each running task does now."""
    return Awaited(lambda answered: Inquiry(node, answered).ask())


class Inquiry:
    """One question to all children.

    Args:
        node: the worker.
        answered: gets the stacks of all running tasks, on the loop.
    """

    def __init__(self, node: Node, answered: Callable[[Any], object]) -> None:
        self._node = node
        self._answered = answered
        self._found: dict[tuple[int, int], Stack] = {}
        self._silent: set[int] = set()
        self._over = False

    def ask(self) -> None:
        """Send the question; on the loop."""
        self._silent = {child.pid for child in self._node.children if child.ready and child.running()}
        self._node.supervisor.asking.add(self.heard)
        for pid in list(self._silent):
            if pid == os.getpid():  # the tasks are threads of this very process
                from skirret.worker.child.stacks import look

                self._take(pid, list(look(None)))
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, ASKED)
        if self._silent:
            self._node.supervisor.loop.call_later(PATIENCE, self._end)
        else:
            self._end()

    def heard(self, child: ChildLine, told: Stacks) -> None:
        """A child answered."""
        self._take(child.pid, told.stacks)
        if not self._silent:
            self._end()

    def _take(self, pid: int, stacks: list[Stack]) -> None:
        self._silent.discard(pid)
        self._found.update(((pid, one.seq), one) for one in stacks)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._node.supervisor.asking.discard(self.heard)
            now = clock.monotonic()
            self._answered([self._told(child, job, now - began) for child, job, began in self._node.running()])

    def _told(self, child: ChildLine, job: Job, seconds: float) -> dict[str, Any]:
        head = job.head
        entry = {"id": head.id, "name": head.task, "worker_pid": child.pid, "runtime": round(seconds, 3)}
        seq = next((seq for seq, one in child.outstanding.items() if one is job), 0)
        one = self._found.get((child.pid, seq))
        if one is not None:
            return {**entry, "place": one.place, "stack": one.lines}
        note = MUTE.format(PATIENCE) if child.pid in self._silent else "it began or ended while it was asked"
        return {**entry, "place": None, "stack": [], "note": note}
