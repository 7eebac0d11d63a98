"""Which child gets which job, how many more to take, and what to take back from a child that is stuck.

A child may hold about 10 ms of work by the recent run time of those task names, counted until it is settled, so that
no more than that runs twice if everything dies at once. Of anything slower it holds what it runs and nothing more, so
that no task waits behind a long one while another slot is free.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence

from skirret import clock
from skirret.worker.child_line import MAX_OUTSTANDING, ChildLine
from skirret.worker.durations import UNKNOWN, Durations
from skirret.worker.job import Job

HOLD_WORK = 0.010
"""Seconds of expected work that a slot may hold."""

OVERHEAD = 0.00003
"""Seconds that a task costs beside its own run time."""

STALL = 0.010
"""Seconds without an outcome after which unstarted frames are taken back."""

HOPELESS = 0.050
"""Seconds that jobs may wait here while no slot takes any; then they go back to the broker, for other workers."""

LOOKAHEAD = 0.020
"""Seconds of work to have at hand beside what the children hold, so that they never wait for the broker."""

MAX_TAKE = 1000


class Dispatcher:
    """Holds admitted jobs until a child has room.

    Args:
        durations: the run times learnt so far.
    """

    def __init__(self, durations: Durations) -> None:
        self.pending: deque[Job] = deque()
        self.durations = durations
        self._mean: float | None = None
        self._assigned_at = clock.monotonic()

    def learn(self, name: str, seconds: float) -> None:
        """Take one run into account: by name, and in the mean that says how many messages are worth taking."""
        self.durations.learn(name, seconds)
        mean = self._mean
        if mean is None:
            self._mean = seconds
        else:  # a slow task counts at once, fast ones win trust back by and by
            self._mean = mean + (0.5 if seconds > mean else 0.2) * (seconds - mean)

    def add(self, jobs: Iterable[Job]) -> None:
        """Queue jobs in the order in which they were taken."""
        if not self.pending:
            self._assigned_at = clock.monotonic()
        self.pending.extend(jobs)

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Queue jobs that were taken back, before the others and in order."""
        if not self.pending:
            self._assigned_at = clock.monotonic()
        self.pending.extendleft(reversed(jobs))

    def assign(self, children: Sequence[ChildLine]) -> list[tuple[ChildLine, Job]]:
        """Send jobs to children with room, the emptiest first.

        Returns those that must be acknowledged before they start, each with the child that has a free slot for it.
        """
        early: list[tuple[ChildLine, Job]] = []
        heap = [(child.load, child.number, child) for child in children if child.accepts()]
        heapq.heapify(heap)
        batches: dict[int, tuple[ChildLine, list[Job]]] = {}
        sizes: dict[int, int] = {}
        while self.pending and heap:
            job = self.pending[0]
            expected = job.expected = self.durations.expected(job.head.task) + OVERHEAD
            load, number, child = heap[0]
            held = child.held() + sizes.get(number, 0)
            if not self._fits(child, job, held, load, expected):
                other = self._other(heap, sizes, job, expected)
                if other is None:
                    break
                load, number, child = other
                heap.remove(other)
                heapq.heapify(heap)
            else:
                heapq.heappop(heap)
            self.pending.popleft()
            if job.early and not job.acked:
                early.append((child, job))
            else:
                batches.setdefault(number, (child, []))[1].append(job)
            sizes[number] = sizes.get(number, 0) + 1
            if not job.alone and child.held() + sizes[number] < MAX_OUTSTANDING:
                heapq.heappush(heap, (load + expected, number, child))
        for child, jobs in batches.values():
            child.send(jobs)
        if batches or early:
            self._assigned_at = clock.monotonic()
        return early

    def want(self, children: Sequence[ChildLine]) -> int:
        """How many more messages to take now."""
        cost = (UNKNOWN if self._mean is None else self._mean) + OVERHEAD
        room = 0
        slots = 0
        for child in children:
            if child.accepts():
                slots += child.slots
                by_work = int(max(0.0, HOLD_WORK * child.slots - child.load) / cost)
                room += max(child.free(), min(by_work, MAX_OUTSTANDING - child.held()))
        ahead = int(LOOKAHEAD * slots / cost) if slots else 0
        return max(0, min(MAX_TAKE, room + ahead - len(self.pending)))

    def take_back(self, children: Iterable[ChildLine]) -> None:
        """Recall unstarted frames from children that have not reported for a while."""
        now = clock.monotonic()
        for child in children:
            if child.outstanding and not child.quiet and now - child.progress > STALL:
                jobs = child.recall()
                self.put_back(jobs)
                child.quiet = True
                # With nothing left to report, no report would ever lift it.
                child.stalled = bool(child.outstanding) and (bool(jobs) or child.slots == 1)
                if child.slots == 1 and len(child.outstanding) > 1:
                    child.nudge()

    def hopeless(self) -> list[Job]:
        """Jobs that no slot took for a while and that the broker can have back."""
        if not self.pending or clock.monotonic() - self._assigned_at < HOPELESS:
            return []
        return self.clear()

    def clear(self) -> list[Job]:
        """All waiting jobs that are not acknowledged yet, removed."""
        jobs = [job for job in self.pending if not job.acked]
        self.pending = deque(job for job in self.pending if job.acked)
        return jobs

    def _fits(self, child: ChildLine, job: Job, held: int, load: float, expected: float) -> bool:
        if child.unsettled >= HOLD_WORK * child.slots:
            return False  # what has finished must be safe before more begins: it would all run twice if we died now
        if held == 0:
            return True
        if job.alone:
            return False
        if held < child.slots:
            return True
        return not job.early and load + expected <= HOLD_WORK * child.slots

    def _other(
        self, heap: list[tuple[float, int, ChildLine]], sizes: dict[int, int], job: Job, expected: float
    ) -> tuple[float, int, ChildLine] | None:
        # The emptiest by expected work has no room of the right kind: perhaps another has a free slot.
        for entry in heap:
            load, number, child = entry
            if self._fits(child, job, child.held() + sizes.get(number, 0), load, expected):
                return entry
        return None
