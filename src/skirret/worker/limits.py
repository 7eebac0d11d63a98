"""Soft and hard time limits: who runs too long is read from the children's boards, by one timer for all.

Where no task has a limit nothing is done here. Times count from the moment at which the task entered user code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from skirret import clock, loggers
from skirret.wire.envelope import Head
from skirret.worker.child_line import ChildLine
from skirret.worker.job import Job, Stall
from skirret.worker.loop import Loop, Timer
from skirret.worker.manifest import TaskTraits

logger = loggers.own("skirret.worker")

LOOK = 0.2
"""Seconds between looks at most, while a task with a limit is here: what has begun meanwhile is seen then."""

SOONEST = 0.01

Limit = tuple[float | None, float | None]
"""Hard and soft, in seconds; None is none."""

UNLIMITED: Limit = (None, None)


class TimeLimits:
    """The limits of one worker's tasks.

    Args:
        loop: the supervisor's loop.
        tasks: traits by name; a task's own limits are among them.
        overdue: called with a child, a job and its hard limit once that has passed.
    """

    def __init__(
        self,
        loop: Loop,
        tasks: Mapping[str, TaskTraits],
        overdue: Callable[[ChildLine, Job, float], object],
    ) -> None:
        self.any = any(traits.time_limit or traits.soft_time_limit or traits.stall_limit for traits in tasks.values())
        """Whether a task has limits of its own; those of a call come with its message."""
        self.met = False
        """Whether a job with a limit ever came: from then on `watch` is to be called when work was handed out."""
        self.kills = True
        """Whether hard limits can be enforced; ``solo`` cannot end itself."""
        self.children: Sequence[ChildLine] = ()
        self._loop = loop
        self._tasks = tasks
        self._overdue = overdue
        self._timer: Timer | None = None
        self._complained: set[str] = set()

    def change(self, task: str, hard: float | None, soft: float | None) -> None:
        """From now on messages of `task` that come are limited so (seconds; None is without).

        Raises:
            KeyError: no such task.
        """
        traits = self._tasks[task]
        traits.time_limit, traits.soft_time_limit = hard, soft
        self.any = True

    def stall_of(self, head: Head) -> Stall | None:
        """How long a message's task may run without a heartbeat; None is without end."""
        limit = self._tasks[head.task].stall_limit
        if not limit:
            return None
        if not self.kills:
            self._complain("a task that gives no heartbeat", "stall limits", limit, head.task)
            return None
        self.met = True
        return Stall(limit)

    def limit_of(self, head: Head) -> Limit | None:
        """The limits of a message: its own where it names one, else its task's; None if there is none."""
        traits = self._tasks[head.task]
        hard = head.timelimit[0] or traits.time_limit or None
        soft = head.timelimit[1] or traits.soft_time_limit or None
        if hard is not None and not self.kills:
            self._complain("a task that runs too long", "hard time limits", hard, head.task)
            hard = None
        if hard is None and soft is None:
            return None
        self.met = True
        return hard, soft

    def _complain(self, whom: str, kind: str, limit: float, task: str) -> None:
        """Say once that limits of this kind hold on any pool but this one."""
        if kind not in self._complained:
            self._complained.add(kind)
            logger.warning(
                "The pool solo cannot stop %s: %s (here %g s of %s) are not enforced. Any other pool enforces them.",
                whom,
                kind,
                limit,
                task,
            )

    def watch(self, seconds: float = LOOK) -> None:
        """Look at what runs in so many seconds, unless a look is due already."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        soonest = clock.monotonic() + LOOK
        try:
            soonest = self._end_overdue()
        finally:
            self._timer = None
            if self._any_here():
                self.watch(max(SOONEST, soonest - clock.monotonic()))

    def _end_overdue(self) -> float:
        """End and remind those whose time is over; the moment at which the next one's will be, or of the next look."""
        now = clock.monotonic()
        soonest = now + LOOK
        for child in list(self.children):
            for job, began in child.running():
                if job.stall is not None and job.stall.over(child.heartbeats(job), now):
                    logger.error("Task %s[%s] gave no heartbeat for %g s", job.head.task, job.head.id, job.stall.limit)
                    self._overdue(child, job, job.stall.limit)
                    continue
                if job.limit is None:
                    continue
                hard, soft = job.limit
                if hard is not None and now >= began + hard:
                    self._overdue(child, job, hard)
                    continue
                if soft is not None and now >= began + soft:
                    self._remind(child, job, soft)
                    job.limit, soft = (hard, None), None
                soonest = min([soonest, *(began + limit for limit in (hard, soft) if limit is not None)])
        return soonest

    def _remind(self, child: ChildLine, job: Job, soft: float) -> None:
        if child.interrupt(job):
            logger.warning("Soft time limit (%gs) exceeded for %s[%s]", soft, job.head.task, job.head.id)

    def _any_here(self) -> bool:
        """Whether a child has a job with a limit; others are watched when they are handed out."""
        here = (job for child in self.children for job in child.outstanding.values())
        return any(job.limit is not None or job.stall is not None for job in here)
