"""The events of a worker's tasks, while monitors want them. Called on the supervisor's loop; each call is a note."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from skirret import clock
from skirret.wire.envelope import Head
from skirret.worker.child_line import ChildLine
from skirret.worker.events import notes
from skirret.worker.events.notes import Note
from skirret.worker.frames import Outcome, Told
from skirret.worker.job import Job
from skirret.worker.manifest import TaskTraits

LOOK_SECONDS = 0.25
"""How often is looked whether a task has begun that has not ended yet."""


class TaskEvents:
    """Notes what happens to tasks.

    Args:
        note: takes a note.
        tasks: traits by name; tasks whose ``send_events`` is false are not spoken of.
    """

    def __init__(self, note: Callable[[Note], None], tasks: Mapping[str, TaskTraits]) -> None:
        self._note = note
        self._silent = frozenset(name for name, traits in tasks.items() if not traits.send_events)
        self._begun: set[Job] = set()
        self._told: dict[tuple[ChildLine, int], Told] = {}

    def received(self, jobs: Iterable[Job]) -> None:
        """Messages were taken, and will run."""
        now, note, silent = clock.wall(), self._note, self._silent
        for job in jobs:
            if job.head.task not in silent:
                note((notes.received, now, job.head))

    def look(self, children: Iterable[ChildLine]) -> None:
        """Tell of tasks that began a while ago and still run."""
        running: set[Job] = set()
        for child in children:
            if child.outstanding:
                running.update(self._begin(child))
        if len(self._begun) > 2 * len(running) + 100:  # of children that died
            self._begun &= running

    def _begin(self, child: ChildLine) -> Iterable[Job]:
        skew = clock.wall() - clock.monotonic()
        for job, began in child.running():
            if job not in self._begun and job.head.task not in self._silent:
                self._begun.add(job)
                self._note((notes.started, began + skew, job.head))
            yield job

    def told(self, child: ChildLine, frame: Told) -> None:
        """A child tells how a run ends whose outcome comes next."""
        self._told[child, frame.seq] = frame

    def ended(self, child: ChildLine, job: Job, outcome: Outcome) -> None:
        """An outcome came."""
        told = self._told.pop((child, outcome.seq), None) if self._told else None
        head, now = job.head, clock.wall()
        if head.task in self._silent or job.stale:
            return
        if job in self._begun:
            self._begun.discard(job)
        elif outcome.runtime >= 0:
            self._note((notes.started, now - outcome.runtime, head))
        self._note((notes.ended, now, head, outcome.kind, outcome.runtime, told))

    def revoked(
        self, head: Head, *, expired: bool = False, terminated: bool = False, signum: int | None = None
    ) -> None:
        """A task was kept from running, or ended by `signum`."""
        self._tell(head, (notes.revoked, clock.wall(), head, terminated, signum, expired))

    def rejected(self, head: Head, *, requeue: bool) -> None:
        """A message went to the dead letters, or back."""
        self._tell(head, (notes.rejected, clock.wall(), head, requeue))

    def failed(self, head: Head, exception: str) -> None:
        """A task failed whose child cannot tell."""
        self._tell(head, (notes.failed, clock.wall(), head, exception))

    def cancelled(self, jobs: Sequence[Job]) -> None:
        """Running tasks are interrupted and run again elsewhere."""
        for job in jobs:
            self._begun.discard(job)
            self._tell(job.head, (notes.cancelled, clock.wall(), job.head))

    def forget(self, child: ChildLine) -> None:
        """A child is gone."""
        self._told = {key: told for key, told in self._told.items() if key[0] is not child}

    def _tell(self, head: Head, note: Note) -> None:
        if head.task not in self._silent:
            self._note(note)
