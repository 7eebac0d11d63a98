"""The fault matrix's system under test: a broker, workers and producers on it, and what the ledgers say in the end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.faulty import is_alive, wait_until, worker_children
from tests.acceptance.load import LoadedProject, figures
from tests.acceptance.processes import Program, running

HERE = Path(__file__).parent
PRODUCER = HERE / "matrix_producer.py"

UNSETTLED_SECONDS = 0.010
"""Work of one child that may be finished and not yet settled at its death (P2)."""


@dataclass(frozen=True)
class Load:
    """What the producers send.

    Args:
        count: tasks in all, of two producers.
        rate: tasks a second, of both together.
        low, high: seconds that a task takes.
    """

    count: int
    rate: float
    low: float
    high: float

    @property
    def unsettled(self) -> int:
        """Tasks that one slot may have finished and not settled: 10 ms of work, and one of what is slower."""
        return max(1, round(UNSETTLED_SECONDS / self.low))


FULL = Load(count=5000, rate=80.0, low=0.005, high=0.200)
"""Of the matrix: as fast as 2 x 4 children do it."""

TINY = Load(count=20_000, rate=1500.0, low=0.00005, high=0.00005)
"""Tasks of 50 us."""


@dataclass
class Killed:
    """A process that a test ended, and when."""

    pid: int
    at: float
    executing: set[str] = field(default_factory=set)


class Matrix(LoadedProject):
    """The tasks of ``matrix_app`` on one broker.

    Args:
        directory: of its own.
        url: the broker, which keeps the results too.
        left_over: what should not be there in the end.
    """

    def __init__(self, directory: Path, url: str, left_over: Callable[[], list]) -> None:
        super().__init__(directory, url, module="matrix_app", source=HERE)
        self.left_over = left_over
        self.killed: list[Killed] = []

    @contextlib.contextmanager
    def producers(self, load: Load) -> Iterator[list[Program]]:
        """Two producers; at the end of the ``with`` block all of the load is sent."""
        words = f"{self.promises} {load.count // 2} {load.rate / 2} {load.low} {load.high}"
        env = {**self.env, "PYTHONPATH": ":".join(sys.path)}
        with contextlib.ExitStack() as stack:
            programs = [
                stack.enter_context(running(f"{sys.executable} {PRODUCER} {words}", self.directory, env))
                for _ in range(2)
            ]
            for program in programs:
                program.wait_until_it_says("sending")
            yield programs
            for program in programs:
                assert program.wait(600.0) == 0, program.said()

    def kill(self, *pids: int) -> float:
        """Kill processes of tasks with -9, each with what it executes; the moment."""
        now = time.monotonic()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)), 5.0)
        self.killed += [Killed(pid, now) for pid in pids]
        return now

    def kill_worker(self, worker: Program) -> tuple[float, float]:
        """Kill a supervisor with -9: (the moment, seconds until its children are gone)."""
        template, children = worker_children(worker.pid)
        now = time.monotonic()
        os.kill(worker.pid, signal.SIGKILL)
        worker.process.wait()
        took = wait_until(lambda: not any(map(is_alive, (template, *children))), 5.0)
        self.killed += [Killed(pid, now) for pid in children]
        return now, took

    def noted(self, *pids: int) -> None:
        """Processes that nobody kills, and whose work others are going to repeat."""
        self.killed += [Killed(pid, time.monotonic()) for pid in pids]

    def next_runs(self, pids: Sequence[int], since: float) -> list[float]:
        """Seconds from a moment to each run that follows a run in one of these processes."""
        runs: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for word, key, pid, at in self.lines():
            if word == "start":
                runs[key].append((int(pid), float(at)))
        return [
            later[1] - since
            for found in runs.values()
            for earlier, later in itertools.pairwise(sorted(found, key=lambda run: run[1]))
            if earlier[0] in pids and later[1] > since
        ]

    def executing(self) -> dict[int, set[str]]:
        """What the killed processes had begun and not ended."""
        begun: dict[int, set[str]] = defaultdict(set)
        for word, key, pid, _ in self.lines():
            if word == "start":
                begun[int(pid)].add(key)
            elif word == "end":
                begun[int(pid)].discard(key)
        return {one.pid: begun[one.pid] for one in self.killed}

    def reruns(self) -> list[float]:
        """Seconds from each kill to the next run of what was executing."""
        moments = {one.pid: one.at for one in self.killed}
        starts: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for word, key, pid, at in self.lines():
            if word == "start":
                starts[key].append((int(pid), float(at)))
        found = []
        for pid, keys in self.executing().items():
            for key in keys:
                later = [at for other, at in starts[key] if other != pid and at > moments[pid]]
                assert later, f"{key} was executing in {pid} and never ran again"
                found.append(min(later) - moments[pid])
        return found

    def repeats(self) -> Counter[int]:
        """How many runs of each process were followed by another run of the same task."""
        runs: dict[str, list[int]] = defaultdict(list)
        for word, key, pid, _ in self.lines():
            if word == "start":
                runs[key].append(int(pid))
        return Counter(pid for pids in runs.values() for pid in pids[:-1])

    def assert_all_is_well(self, name: str, load: Load | None = None, may_repeat: int | None = None) -> None:
        """The bars of every row: lost 0, two outcomes 0, early 0, few repeats, nothing left; prints the figures.

        Args:
            name: of the row.
            load: what was sent; decides how much one dead process may repeat.
            may_repeat: repeats of one process, if not by the load; 0: none at all.
        """
        verdict = self.judge()
        executing, repeats = self.executing(), self.repeats()
        print(
            f"{name}: {verdict}; {len(self.killed)} processes killed, "
            f"executing at the faults {sum(map(len, executing.values()))}"
        )
        assert not verdict.lost, verdict
        assert not verdict.torn, verdict
        assert not verdict.early, verdict
        assert verdict.errors == 0
        for pid, times in repeats.items():
            assert pid in executing, f"{times} task(s) of process {pid}, which nobody killed, ran again"
            bound = may_repeat if load is None else len(executing[pid]) + load.unsettled
            assert bound is None or times <= bound, f"{times} task(s) of process {pid} ran again: {executing[pid]}"
        assert self.left_over() == []


def rows_left(file: Path) -> list[tuple[str, int]]:
    """What should not be in an embedded file once all work is done and all workers are gone."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        tables = ("message", "ready", "delayed", "held", "consumer", "dead")
        counts = [(table, connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables]
    return [one for one in counts if one[1]]


__all__ = ["FULL", "TINY", "Killed", "Load", "Matrix", "figures", "rows_left"]
