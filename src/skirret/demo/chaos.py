"""When and whom `demo --chaos` kills: a schedule by progress, so that each strike falls in the middle of work."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field
from typing import Final, Literal

from skirret.demo.processes import Worker

Target = Literal["child", "worker"]

# Share of the files that are done when the strike falls -> whom it hits.
SCHEDULE: Final[tuple[tuple[float, Target], ...]] = (
    (0.04, "child"), (0.10, "child"), (0.17, "child"), (0.24, "worker"), (0.32, "child"), (0.40, "child"),
    (0.48, "child"), (0.55, "worker"), (0.63, "child"), (0.71, "child"), (0.79, "worker"), (0.86, "child"),
    (0.92, "child"),
)  # fmt: skip
# How far sending may run ahead of the next strike, as a share of the files.
AHEAD: Final = 0.08


@dataclass(slots=True)
class Chaos:
    """The strikes of one run.

    Args:
        total: how many files there are.
        schedule: see `SCHEDULE`.
        children, workers: how many were killed.
    """

    total: int
    schedule: tuple[tuple[float, Target], ...] = SCHEDULE
    children: int = 0
    workers: int = 0
    _next: int = field(default=0, repr=False)

    def due(self, done: int) -> Target | None:
        """Whom to strike now that `done` files are done, or None."""
        if self._next >= len(self.schedule) or done >= self.total:
            return None
        share, target = self.schedule[self._next]
        return target if done >= share * self.total else None

    def may_send(self, sent: int) -> bool:
        """Whether more may be sent: work must be left for the strikes to come."""
        if self._next >= len(self.schedule):
            return True
        return sent <= (self.schedule[self._next][0] + AHEAD) * self.total

    def strike(self, worker: Worker, done: int) -> bool:
        """Kill whom it is time for; whether somebody was killed. A killed worker is started again."""
        target = self.due(done)
        if target is None:
            return False
        if target == "worker":
            worker.kill()
            worker.start()
            self.workers += 1
        elif not self._kill_child(worker):
            return False  # just started: the next look finds one
        else:
            self.children += 1
        self._next += 1
        return True

    @staticmethod
    def _kill_child(worker: Worker) -> bool:
        children = worker.children()
        if len(children) < 2:  # it is still importing the app: killed now, it would rightly say that it cannot start
            return False
        random.shuffle(children)
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        return False
