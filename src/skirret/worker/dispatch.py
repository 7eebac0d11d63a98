"""Which child gets which job, how many more to take, and what to take back from a child that is stuck.

A child may hold about 10 ms of work by the recent run time of those task names, counted until it is settled, so that
no more than that runs twice if everything dies at once. Of anything slower it holds what it runs and nothing more, so
that no task waits behind a long one while another slot is free.

A suspect (a job that may kill its process) runs in a child that holds nothing else. For it the emptiest child is left
to run dry, or, where a child has many slots, one is made that runs nothing but suspects; the others go on meanwhile. Of
those that may end the whole worker (in doubt) one runs at a time, and few are held: an innocent one beside it would be
counted as it is.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from skirret import clock
from skirret.worker.child_line import ChildLine
from skirret.worker.durations import UNKNOWN, Durations
from skirret.worker.job import Job

HOLD_WORK = 0.010
"""Seconds of expected work that a slot may hold."""

OVERHEAD = 0.00003
"""Seconds that a task costs beside its own run time."""

STRIDE = 0.0005
"""Seconds of expected run time that a child is given at once before the emptiest is looked for again."""

LOT = 64
"""How many jobs it is given at once at most: of those that cost more to hand over than to run, few large lots do."""

STALL = 0.010
"""Seconds without an outcome after which unstarted frames are taken back."""

HOPELESS = 0.050
"""Seconds that jobs may wait here while no slot takes any; then they go back to the broker, for other workers."""

SUSPECTS_PATIENCE = 0.5
"""The same for suspects, which need a child that is empty."""

CALM = 0.1
"""Seconds between the last that was heard of messages in doubt and the start of one that may be held alone only."""

LOOKAHEAD = 0.020
"""Seconds of work to have at hand beside what the children hold, so that they never wait for the broker."""

MAX_TAKE = 1000


class _Room:
    """What a child holds, and what it is about to get, while jobs are handed out; the emptiest comes first."""

    __slots__ = ("batch", "child", "held", "load")

    def __init__(self, child: ChildLine) -> None:
        self.child = child
        self.load = child.load
        self.held = child.held()
        self.batch: list[Job] = []

    def __lt__(self, other: _Room) -> bool:
        return (self.load, self.child.number) < (other.load, other.child.number)


class Dispatcher:
    """Holds admitted jobs until a child has room.

    Args:
        durations: the run times learnt so far.
        prefetch: how many tasks of over 10 ms are held for each slot at most; None leaves it to what is learnt.
        lean: hold and take nothing for which no slot is free.
        lives: counted deliveries at which a message is given up.
    """

    def __init__(
        self, durations: Durations, *, prefetch: int | None = None, lean: bool = False, lives: int = 10
    ) -> None:
        self.pending: deque[Job] = deque()
        self.suspects: deque[Job] = deque()
        self.durations = durations
        self._prefetch = prefetch
        self._lean = lean
        self._mean: float | None = None
        self._leaving: set[int] = set()
        self._calm_at = 0.0
        self._lives = lives
        self._assigned_at = self._suspected_at = clock.monotonic()

    def learn(self, name: str, seconds: float) -> None:
        """Take one run into account: by name, and in the mean that says how many messages are worth taking."""
        self.durations.learn(name, seconds)
        mean = self._mean
        if mean is None:
            self._mean = seconds
        else:  # a slow task counts at once, fast ones win trust back by and by
            self._mean = mean + (0.5 if seconds > mean else 0.2) * (seconds - mean)

    def waiting(self) -> bool:
        """Whether any job waits for a child."""
        return bool(self.pending or self.suspects)

    def add(self, jobs: Iterable[Job]) -> None:
        """Queue jobs in the order in which they were taken."""
        self._mark_time()
        for job in jobs:
            (self.suspects if job.alone else self.pending).append(job)

    def crowd(self, jobs: Iterable[Job], children: Iterable[ChildLine]) -> list[Job]:
        """Those of newly taken jobs that must be back with the broker before one in doubt begins.

        If it ends this worker, each message that is held then is counted. So the nearer one in doubt is to the limit,
        the fewer of them are held beside it, and none where the next death is its last: whoever has not killed anybody
        is not given up for another's sake.
        """
        doubted = [job for job in jobs if job.doubted]
        if not doubted:
            return []
        here = [job for job in self.suspects if job.doubted]
        here += [job for child in children if child.alone for job in child.jobs() if job.doubted]
        company, count = min(map(self._company, here), default=MAX_TAKE), len(here)
        away: list[Job] = []
        for job in doubted:
            smallest = min(company, self._company(job))
            if count < smallest:
                company, count = smallest, count + 1
            else:
                away.append(job)
        if company == 1:  # else it does not matter if a few more are held
            self._calm_at = clock.monotonic() + CALM
        self._leaving.update(job.delivery.tag for job in away)
        return away

    def _company(self, job: Job) -> int:
        """How many in doubt may be held where this one is, itself included."""
        lives = max(1, self._lives - job.delivery.deliveries)
        return min(MAX_TAKE, 1 << 2 * (lives - 1))

    def left(self, tags: Iterable[int]) -> None:
        """These messages are with the broker, so that one in doubt need not wait for them."""
        if self._leaving:
            self._leaving.difference_update(tags)
            self._calm_at = clock.monotonic() + CALM  # until then the broker may have kept more from coming

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Queue jobs that were taken back, before the others and in order."""
        self._mark_time()
        for job in reversed(jobs):
            (self.suspects if job.alone else self.pending).appendleft(job)

    def _mark_time(self) -> None:
        if not self.pending:
            self._assigned_at = clock.monotonic()
        if not self.suspects:
            self._suspected_at = clock.monotonic()

    def assign(self, children: Sequence[ChildLine]) -> list[tuple[ChildLine, Job]]:
        """Send jobs to children with room, the emptiest first.

        Returns those that must be acknowledged before they start, each with the child that has a free slot for it.
        """
        early: list[tuple[ChildLine, Job]] = []
        rooms = self._place_suspects(children, early)
        full: list[_Room] = []
        while self.pending and rooms:
            room = heapq.heappop(rooms)
            if not self._give(room, early):
                full.append(room)  # perhaps another has a free slot for this job
                continue
            for one in full:
                heapq.heappush(rooms, one)
            full.clear()
            heapq.heappush(rooms, room)
        for room in (*rooms, *full):
            if room.batch:
                room.child.send(room.batch)
                self._assigned_at = clock.monotonic()
        if early:
            self._assigned_at = clock.monotonic()
        return early

    def _give(self, room: _Room, early: list[tuple[ChildLine, Job]]) -> bool:
        """Give a child what fits, at most a stride or a lot, so that others get theirs; False if the next does not."""
        pending, child = self.pending, room.child
        hold = HOLD_WORK * child.slots
        if child.unsettled >= hold:
            return False  # what has finished must be safe before more begins: it would all run twice if we died now
        expected_of, load, held = self.durations.expected, room.load, room.held
        stride, given = 0.0, 0
        while pending and stride < STRIDE and given < LOT and held < child.most:
            job = pending[0]
            runtime = expected_of(job.head.task)
            expected = job.expected = runtime + OVERHEAD
            if held >= child.slots and (job.early or load + expected > hold or self._lean):
                break
            pending.popleft()
            if job.early and not job.acked:
                early.append((child, job))
            else:
                room.batch.append(job)
            load += expected
            stride += runtime
            held += 1
            given += 1
        room.load, room.held = load, held
        return given > 0

    def _place_suspects(self, children: Sequence[ChildLine], early: list[tuple[ChildLine, Job]]) -> list[_Room]:
        """Give suspects to empty children; the others, as a heap by load, are for all other jobs."""
        rooms = sorted(_Room(child) for child in children if child.accepts())
        while self.suspects:
            if self.suspects[0].doubted and self._is_crowded(children):
                break
            room = next((room for room in rooms if self._is_clean(room.child)), None)
            if room is None:
                if rooms and rooms[0].child.slots == 1:
                    rooms.pop(0)  # it gets no more, so it will be empty soon
                break
            rooms.remove(room)
            child, job = room.child, self.suspects.popleft()
            job.expected = self.durations.expected(job.head.task) + OVERHEAD
            if job.early and not job.acked:
                early.append((child, job))
            else:
                child.send([job])
            self._suspected_at = clock.monotonic()
        return [room for room in rooms if not room.child.isolated]

    def _is_crowded(self, children: Iterable[ChildLine]) -> bool:
        """Whether a message in doubt would begin beside another one, here or on its way to or from the broker."""
        is_calm = not self._leaving and clock.monotonic() >= self._calm_at
        return not is_calm or any(map(_runs_a_doubted_one, children))

    def _is_clean(self, child: ChildLine) -> bool:
        return child.held() == 0 and child.unsettled < HOLD_WORK * child.slots

    def want(self, children: Sequence[ChildLine], turned_away: int = 0) -> int:
        """How many more messages to take now.

        Args:
            children: what there is room in.
            turned_away: how many of the last ones were not to run yet: behind them there may be work for a free slot.
        """
        cost = (UNKNOWN if self._mean is None else self._mean) + OVERHEAD
        room = 0
        slots = 0
        for child in children:
            if child.accepts() and not child.isolated:
                slots += child.slots
                by_work = int(max(0.0, HOLD_WORK * child.slots - child.load) / cost)
                room += max(child.free(), min(by_work, child.most - child.held()))
        ahead = int(LOOKAHEAD * slots / cost) if slots else 0
        if self._lean or (self._prefetch is not None and cost >= HOLD_WORK):
            room, ahead = min(room + ahead, self._allowed(children)), 0
        if room and turned_away:
            ahead += 2 * turned_away
        return max(0, min(MAX_TAKE, room + ahead - len(self.pending)))

    def _allowed(self, children: Sequence[ChildLine]) -> int:
        """How many more tasks may be held where a setting says how many that may be."""
        if self._lean or self._prefetch is None:
            return sum(child.free() for child in children if not child.isolated)
        return sum(
            max(0, self._prefetch * child.slots - child.held())
            for child in children
            if child.accepts() and not child.isolated
        )

    def take_back(self, children: Iterable[ChildLine]) -> None:
        """Recall unstarted frames from children that have not reported for a while."""
        now = clock.monotonic()
        for child in children:
            if child.stalled:
                child.offer_again()
            elif child.outstanding and not child.quiet and now - child.progress > STALL:
                jobs = child.recall()
                self.put_back(jobs)
                child.quiet = True
                # With nothing left to report, no report would ever lift it.
                if child.outstanding and (jobs or child.slots == 1):
                    child.stall()
                if child.slots == 1 and len(child.outstanding) > 1:
                    child.nudge()

    def hopeless(self) -> list[Job]:
        """Jobs that no slot took for a while and that the broker can have back."""
        now = clock.monotonic()
        jobs: list[Job] = []
        if self.pending and now - self._assigned_at >= HOPELESS:
            jobs += [job for job in self.pending if not job.bound]
            self.pending = deque(job for job in self.pending if job.bound)
        if self.suspects and now - self._suspected_at >= SUSPECTS_PATIENCE:
            jobs += [job for job in self.suspects if not job.bound]
            self.suspects = deque(job for job in self.suspects if job.bound)
        return jobs

    def remove(self, is_meant: Callable[[Job], bool]) -> list[Job]:
        """Waiting jobs that are meant, removed."""
        found = [job for job in (*self.suspects, *self.pending) if is_meant(job)]
        if found:
            self.suspects = deque(job for job in self.suspects if job not in found)
            self.pending = deque(job for job in self.pending if job not in found)
        return found

    def clear(self, *, bound: bool = False) -> list[Job]:
        """All waiting jobs, removed; those that must end here only if `bound` says so."""
        waiting = [*self.suspects, *self.pending]
        self.suspects = deque(job for job in self.suspects if job.bound and not bound)
        self.pending = deque(job for job in self.pending if job.bound and not bound)
        return [job for job in waiting if bound or not job.bound]

    def drop_foreign(self) -> None:
        """After a fence: what is not acknowledged belongs to others, also where its end was decided here."""
        self._leaving.clear()
        self.suspects = deque(job for job in self.suspects if job.acked)
        self.pending = deque(job for job in self.pending if job.acked)


def _runs_a_doubted_one(child: ChildLine) -> bool:
    return child.alone and any(job.doubted for job in child.jobs())
