"""What the live view shows, worked out from events and sizes. It draws nothing and asks nobody."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from skirret import clock, states
from skirret.events.state import State
from skirret.events.tasks import Task
from skirret.events.workers import Worker

RATE_SECONDS: Final = 10.0
"""The past over which rates are told."""

HISTORY: Final = 120
"""Seconds of the past that the curve shows."""

FAILURES: Final = frozenset({"task-failed", "task-rejected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker. `rate` is tasks a second; `tells` whether it sends events of its tasks."""

    name: str
    alive: bool
    active: int
    processed: int
    rate: float
    load: float
    version: str
    tells: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue: how many messages are ready, held by workers, delayed and dead."""

    name: str
    ready: int = 0
    held: int = 0
    delayed: int = 0
    dead: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task. `seconds` is how long it has run, or took; None if it has not begun."""

    id: str
    name: str
    state: str
    worker: str
    seconds: float | None
    arguments: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The fleet in numbers; `rate` and `failures` are a second."""

    workers: int
    gone: int
    active: int
    ready: int
    dead: int
    rate: float
    failures: float


class Fleet:
    """The fleet as far as it is known. Safe for threads."""

    def __init__(self) -> None:
        self.state = State()
        self.queues: list[QueueRow] = []
        self.trouble = ""
        """Why nothing is heard, in words; empty if all is well."""
        self.history: deque[float] = deque([0.0] * HISTORY, maxlen=HISTORY)
        """Tasks a second, one value a second."""
        self._processed: dict[str, deque[tuple[float, int]]] = {}
        self._failed: deque[float] = deque(maxlen=100_000)
        self._tells: dict[str, float] = {}
        self._next_second = 0.0
        self._lock = threading.Lock()

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in an event."""
        with self._lock:
            self.state.event(event)
            kind, host = event.get("type"), event.get("hostname")
            if not (isinstance(kind, str) and isinstance(host, str)):
                return
            now = clock.wall()
            if kind in FAILURES:
                self._failed.append(now)
            if kind == "task-received":
                self._tells[host] = now
            processed = event.get("processed")
            if kind.startswith("worker-") and isinstance(processed, int):
                self._processed.setdefault(host, deque(maxlen=64)).append((now, processed))

    # -- asking --------------------------------------------------------------------------------------------------

    def workers(self) -> list[WorkerRow]:
        """All known workers: the living first, by name."""
        with self._lock:
            known = list(self.state.workers.values())
            rows = [self._worker(worker) for worker in known if worker.sw_ident or worker.alive]
        return sorted(rows, key=lambda row: (not row.alive, row.name))

    def _worker(self, worker: Worker) -> WorkerRow:
        name = worker.hostname or ""
        load = worker.loadavg[0] if isinstance(worker.loadavg, (list, tuple)) and worker.loadavg else 0.0
        return WorkerRow(
            name=name,
            alive=worker.alive,
            active=_count(worker.active) if worker.alive else 0,
            processed=_count(worker.processed),
            rate=self._rate_of(name) if worker.alive else 0.0,
            load=float(load) if isinstance(load, (int, float)) else 0.0,
            version=f"{str(worker.sw_ident or '?').removeprefix('py-')} {worker.sw_ver or ''}".strip(),
            tells=name in self._tells,
        )

    def _rate_of(self, name: str) -> float:
        beats, now = self._processed.get(name, deque()), clock.wall()
        while len(beats) > 2 and beats[1][0] < now - RATE_SECONDS:
            beats.popleft()
        if len(beats) < 2:
            return 0.0
        (began, before), (ended, after) = beats[0], beats[-1]
        return max(0.0, (after - before) / (ended - began)) if ended > began else 0.0

    def tasks(self, limit: int, *, running_only: bool = False, search: str = "") -> list[TaskRow]:
        """Tasks: what runs first, the longest on top; then the latest.

        Args:
            limit: at most so many.
            running_only: leave out what waits or has ended.
            search: only those whose name, id, worker or arguments hold this text.
        """
        with self._lock:
            ordered = [task for _, task in self.state.tasks_by_time()]
        running = [task for task in ordered if _runs(task)]
        running.sort(key=lambda task: task.started or 0.0)
        others = [] if running_only else [task for task in ordered if not _runs(task)]
        rows = (row_of(task) for task in (*running, *others))
        wanted = search.lower()
        return list(islice((row for row in rows if wanted in words_of(row)), limit))

    def task(self, task_id: str) -> Task | None:
        """A task by its id."""
        return self.state.tasks.get(task_id)

    def figures(self) -> Figures:
        """The whole in numbers; the history grows with the seconds at which this is asked."""
        rows = self.workers()
        now = clock.wall()
        alive = [row for row in rows if row.alive]
        rate = sum(row.rate for row in alive)
        with self._lock:
            while self._failed and self._failed[0] < now - RATE_SECONDS:
                self._failed.popleft()
            failures = len(self._failed) / RATE_SECONDS
            if now >= self._next_second:
                self.history.append(rate)
                self._next_second = now + 1.0
        return Figures(
            workers=len(alive),
            gone=len(rows) - len(alive),
            active=sum(row.active for row in alive),
            ready=sum(queue.ready for queue in self.queues),
            dead=sum(queue.dead for queue in self.queues),
            rate=rate,
            failures=failures,
        )


def row_of(task: Task) -> TaskRow:
    """A task as a row."""
    seconds: float | None = task.runtime if isinstance(task.runtime, (int, float)) else None
    if seconds is None and task.started:
        end = task.timestamp if task.ready and task.timestamp else clock.wall()
        seconds = max(0.0, end - task.started)
    return TaskRow(
        id=str(task.uuid),
        name=str(task.name or "?"),
        state=task.state,
        worker="" if task.worker is None else str(task.worker.hostname),
        seconds=seconds,
        arguments=arguments(task.args, task.kwargs),
        text=str(task.exception or task.result or "") if task.ready or task.state == states.RETRY else "",
    )


def words_of(row: TaskRow) -> str:
    """What a search looks through."""
    return f"{row.name} {row.id} {row.worker} {row.arguments}".lower()


def arguments(args: object, kwargs: object) -> str:
    """A call's arguments in few characters: ``2, {'y': 3}``."""
    positional = str(args or "").strip("()[]").removesuffix(",")
    keywords = str(kwargs or "")
    return ", ".join(part for part in (positional, "" if keywords == "{}" else keywords) if part)


def duration(seconds: float | None) -> str:
    """A duration in few characters: ``12 ms``, ``3.4 s``, ``2m05s``, ``1h02m``."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def rate(value: float) -> str:
    """A rate in few characters: ``0``, ``0.4``, ``12``, ``1,240``."""
    return "0" if not value else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def quiet_workers(rows: Sequence[WorkerRow]) -> list[str]:
    """Living workers that have run tasks and told nothing of them."""
    return [row.name for row in rows if row.alive and not row.tells]


def _runs(task: Task) -> bool:
    return not task.ready and task.state not in {states.PENDING, states.RECEIVED, states.RETRY, states.REJECTED}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
