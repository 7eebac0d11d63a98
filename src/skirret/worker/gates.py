"""Where jobs pass whose tasks have limits: those that may begin go on, the others go back to the broker for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from skirret import clock
from skirret.errors import ImproperlyConfigured
from skirret.outcome import Defer, Settlement
from skirret.wire.envelope import Head
from skirret.worker.claim import Claim
from skirret.worker.job import Job
from skirret.worker.manifest import TaskTraits
from skirret.worker.rates import RateGate, per_second

SCOPES = ("worker", "fleet")
"""Whom a rate limit is counted for: each worker by itself, or all of them together."""


class Server(Protocol):
    """What is needed of a fetcher."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Carry out settlements."""

    def claim(self, claims: Iterable[Claim]) -> None:
        """Ask whether jobs may begin that the whole fleet limits."""

    def leave(self, tags: Iterable[int], *, again: bool) -> None:
        """Jobs are over that were acknowledged before they began; `again` if they will be retried."""

    def hold(self, tag: int, key: str, owner: str, *, early: bool) -> None:
        """A message is held whose end gives a key of uniqueness free."""


class Gates:
    """The limits of one worker's tasks.

    Args:
        tasks: traits by task name.
        enabled: False leaves rate limits aside (``worker_disable_rate_limits``).

    Raises:
        ImproperlyConfigured: a task's limit makes no sense.
    """

    def __init__(self, tasks: Mapping[str, TaskTraits], *, enabled: bool = True) -> None:
        self.server: Server
        self.enabled = enabled
        """Whether rates count at all."""
        self.turned_away = 0
        """How many of the last jobs were held back: as many more must be looked at to find work for the slots."""
        self.early: set[Job] = set()
        """Jobs that were acknowledged before they began, and whose end others wait for; see `ended`."""
        self.asking = 0
        """How many claims the fetcher has not looked at: until then nobody knows how much more to take."""
        self._marked = False
        self._tasks = tasks
        self._rates: dict[str, RateGate] = {}
        self._shared: dict[str, tuple[float, int]] = {}  # by task: how many a second, how many at a time; 0 is no limit
        self._claiming: dict[int, Job] = {}
        for name, traits in tasks.items():
            try:
                self._set(name, per_second(traits.rate_limit))
            except ValueError as exc:
                raise ImproperlyConfigured(f"rate_limit of task {name!r}: {exc}") from None

    def __bool__(self) -> bool:
        """Whether any task has a limit, or a message came that says something of its own."""
        return self._marked or bool(self._rates or self._shared)

    def check(self, *, shares: bool) -> None:
        """Refuse limits that hold across the fleet where nothing is shared.

        Args:
            shares: whether there is a server that keeps shared state.

        Raises:
            ImproperlyConfigured: it names the tasks.
        """
        if self._shared and not shares:
            raise ImproperlyConfigured(
                "limits across all workers (max_concurrency, rate_limit_scope='fleet') need a server that keeps shared "
                "state, and neither broker nor result store does: set coordination_url. The tasks are "
                f"{', '.join(self._shared)}."
            )

    def change_rate(self, task: str, limit: str | float | None) -> None:
        """Let this worker begin a task at another rate from now on; messages that wait feel it within seconds.

        This is what the command ``rate_limit`` does; unless rate limits are left aside (see `enabled`). Where the limit
        is the fleet's, each worker must be told.

        Args:
            task: its name.
            limit: such as ``10/m``; a number is tasks a second; None and 0 end the limit.

        Raises:
            KeyError: the app has no such task.
            ValueError: `limit` is no rate.
        """
        rate = per_second(limit)
        self._tasks[task].rate_limit = None if rate == 0.0 else str(limit)
        self._set(task, rate)

    def rate_of(self, task: str) -> str | None:
        """The rate limit of a task as it was written, or None."""
        traits = self._tasks.get(task)
        return None if traits is None else traits.rate_limit

    def through(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of `jobs` that may begin now.

        Others are handed back until their turn, uncounted; of those that the fleet limits, `answered` tells later.
        """
        now, offset = clock.monotonic(), clock.wall() - clock.monotonic()
        passed: list[Job] = []
        away: list[Settlement] = []
        claims: list[Claim] = []
        for job in jobs:
            task = job.head.task
            gate = self._rates.get(task)
            moment = 0.0 if gate is None else gate.ask(now)
            if moment != 0.0:
                away.append(Defer(tag=job.delivery.tag, due=moment + offset))
            elif task in self._shared or _frees_at_start(job):
                claims.append(self._claim(job))
            else:
                passed.append(job)
        self.turned_away = len(away)
        if away:
            self.server.settle(away)
        if claims:
            self.asking += len(claims)
            self.server.claim(claims)
        return passed

    def answered(self, granted: Sequence[int], refused: Sequence[tuple[int, float]]) -> list[Job]:
        """The fetcher has asked the fleet: the jobs that may begin.

        Args:
            granted: messages that may.
            refused: messages that come back at a moment, in monotonic seconds.
        """
        if self.asking:
            self.turned_away += max(0, self.asking - len(granted))
            self.asking = 0
        offset = clock.wall() - clock.monotonic()
        away = [(job, moment) for tag, moment in refused if (job := self._claiming.pop(tag, None)) is not None]
        if away:
            self.returned([job for job, _ in away])  # they took a turn of this worker's own rate
            self.server.settle([Defer(tag=job.delivery.tag, due=moment + offset) for job, moment in away])
        orphans = [tag for tag in granted if tag not in self._claiming]
        if orphans:  # withdrawn meanwhile: what they were given is for others
            self.server.leave(orphans, again=False)
        return [job for tag in granted if (job := self._claiming.pop(tag, None)) is not None]

    def withdraw(self, which: Callable[[Job], bool]) -> list[Job]:
        """Take back jobs that wait for the fleet's answer, such as those that were revoked; they begin no more."""
        jobs = [job for job in self._claiming.values() if which(job)]
        for job in jobs:
            del self._claiming[job.delivery.tag]
        return jobs

    def note(self, tag: int, head: Head, *, early: bool) -> None:
        """A message came with marks of ours: remember what its end gives free."""
        if head.marks is not None and head.marks.unique is not None:
            self._marked = True
            self.server.hold(tag, head.marks.unique, head.id, early=early)

    def acked(self, job: Job) -> None:
        """A job is acknowledged and begins only now: no settlement will tell its end."""
        marks = job.head.marks
        if (marks is not None and marks.unique is not None) or self._shared.get(job.head.task, (0.0, 0))[1]:
            self.early.add(job)

    def ended(self, jobs: Iterable[Job], *, again: bool = False) -> None:
        """Jobs are over, or will be retried (`again`); what those had that no settlement ends is free."""
        over = [job for job in jobs if job in self.early]
        if over:
            self.early.difference_update(over)
            self.server.leave([job.delivery.tag for job in over], again=again)

    def forget(self) -> None:
        """Nothing that was held is ours any more; what the fleet gave us runs out by itself."""
        self._claiming.clear()
        self.early.clear()
        self.asking = 0

    def returned(self, jobs: Sequence[Job]) -> None:
        """Jobs that were let through go back unstarted: others may take their turns."""
        now = clock.monotonic()
        for job in jobs:
            gate = self._rates.get(job.head.task)
            if gate is not None:
                gate.give_back(now)

    def _claim(self, job: Job) -> Claim:
        head = job.head
        rate, most = self._shared.get(head.task, (0.0, 0))
        self._claiming[job.delivery.tag] = job
        key = ((head.marks and head.marks.slots) or head.task) if most else ""
        tag, frees = job.delivery.tag, _frees_at_start(job)
        return Claim(tag, early=job.early, task=head.task, rate=rate, slots=key, most=most, frees=frees)

    def _set(self, task: str, rate: float) -> None:
        traits = self._tasks[task]
        if traits.rate_limit_scope not in SCOPES:
            raise ImproperlyConfigured(
                f"rate_limit_scope of task {task!r} is {traits.rate_limit_scope!r}, and must be {' or '.join(SCOPES)}"
            )
        if traits.max_concurrency is not None and traits.max_concurrency < 1:
            raise ImproperlyConfigured(
                f"max_concurrency of task {task!r} is {traits.max_concurrency}: at least 1 must be able to run. "
                "To run none for a while, pause its queue."
            )
        self._rates.pop(task, None)
        self._shared.pop(task, None)
        rate = rate if self.enabled else 0.0
        if rate > 0 and traits.rate_limit_scope == "worker":
            self._rates[task] = RateGate(rate)
            rate = 0.0
        if rate > 0 or traits.max_concurrency:
            self._shared[task] = (rate, traits.max_concurrency or 0)
        self.turned_away = 0


def _frees_at_start(job: Job) -> bool:
    marks = job.head.marks
    return marks is not None and marks.unique is not None and marks.until == "start"
