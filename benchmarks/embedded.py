"""What a person on the embedded broker gets: enqueue, drain, round trip, memory, start and idleness."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.figure import Figure
from benchmarks.processes import cpu_seconds, memory_mb, worker


def progress(text: str) -> None:
    """Tell on stderr what is being measured."""
    print(f"... {text}", file=sys.stderr, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Embedded:
    """One run over the app of `benchmarks.tasks`.

    Args:
        nothing: its task.
        env: what the worker needs in its environment.
        options: `tasks` (length of the backlog that is drained), `children` (processes that run tasks), `calls` (how
            many single calls and round trips are timed), `idle` (seconds).
    """

    def __init__(self, nothing: Any, env: dict[str, str], options: Any) -> None:
        self.nothing = nothing
        self.app = nothing.app
        self.env = env
        self.tasks: int = options.tasks
        self.children: int = options.children
        self.calls: int = options.calls
        self.idle: float = options.idle

    def figures(self) -> Iterator[Figure]:
        """Measure all, in an order in which nothing disturbs the next."""
        yield from self.single_calls()
        yield from self.coroutine_calls()
        yield from self.drain()
        yield from self.at_rest()

    def waiting(self, process: subprocess.Popen[bytes]) -> int:
        """Messages that its worker has not settled yet."""
        if process.poll() is not None:
            sys.exit(f"the worker ended with {process.returncode}")
        size = self.app.broker.size("celery")
        return int(size.ready + size.held)

    def single_calls(self) -> Iterator[Figure]:
        """``delay()``, one after another."""
        progress("single calls")
        self.nothing.delay()
        began = time.perf_counter()
        for _ in range(self.calls):
            self.nothing.delay()
        took = time.perf_counter() - began
        self.app.broker.purge("celery")
        yield Figure("single delay()", self.calls / took, "calls/s", note="each on disk when it returns")

    def coroutine_calls(self) -> Iterator[Figure]:
        """1,000 concurrent ``adelay()`` beside 1,000 ``delay()`` in a row."""
        progress("concurrent calls of coroutines")

        async def together() -> float:
            await self.nothing.adelay()
            began = time.perf_counter()
            await asyncio.gather(*(self.nothing.adelay() for _ in range(1000)))
            return time.perf_counter() - began

        concurrent = asyncio.run(together())
        began = time.perf_counter()
        for _ in range(1000):
            self.nothing.delay()
        sequential = time.perf_counter() - began
        self.app.broker.purge("celery")
        yield Figure("1,000 concurrent adelay()", sequential / concurrent, "x sequential", ">= 5x")

    def drain(self) -> Iterator[Figure]:
        """A backlog is sent in bulk, worked off by a fresh worker, and every result is read back."""
        progress(f"bulk enqueue of {self.tasks:,} tasks")
        results = []
        began = time.perf_counter()
        for _ in range(0, self.tasks, 1000):
            results += self.app.send_many(self.nothing.s() for _ in range(1000))
        yield Figure("bulk enqueue, send_many", self.tasks / (time.perf_counter() - began), "tasks/s", ">= 20,000")
        progress("drain")
        with worker(self.children, self.env) as process:
            pid = process.pid
            # The start of the worker is not part of the rate: the clock runs from the first 2 % done.
            while (left := self.waiting(process)) > self.tasks * 0.98:
                time.sleep(0.005)
            began, cpu, memory = time.perf_counter(), cpu_seconds(pid), memory_mb(pid)
            counted = left
            while self.waiting(process):
                time.sleep(0.02)
            took = time.perf_counter() - began
            yield Figure(
                f"drain, {self.children} children", counted / took, "tasks/s", ">= 3,000", f"over {took:.1f} s"
            )
            yield Figure("CPU per task, whole worker", (cpu_seconds(pid) - cpu) / counted * 1e6, "us")
            yield Figure("memory growth over the drain", memory_mb(pid) - memory, "MB", "flat", f"from {memory:.1f} MB")
        progress("reading every result")
        began = time.perf_counter()
        states = [result.state for result in results]
        took = time.perf_counter() - began
        assert states.count("SUCCESS") == self.tasks, "a task was lost"
        yield Figure("results read back, one by one", self.tasks / took, "results/s", note="all are SUCCESS")

    def at_rest(self) -> Iterator[Figure]:
        """An idle worker: its start, its round trip, its memory and what it costs to do nothing."""
        progress("start and round trip")
        began = time.perf_counter()
        result = self.nothing.delay()
        with worker(self.children, self.env) as process:
            pid = process.pid
            result.get(timeout=30)
            yield Figure("worker start to first task done", time.perf_counter() - began, "s", "<= 0.6")
            trips = []
            for _ in range(self.calls):
                began = time.perf_counter()
                self.nothing.delay().get(timeout=30)
                trips.append((time.perf_counter() - began) * 1e3)
            yield Figure("idle round trip delay().get(), p50", statistics.median(trips), "ms")
            yield Figure("idle round trip delay().get(), p99", percentile(trips, 0.99), "ms")
            yield Figure(f"memory of the worker, {self.children} children", memory_mb(pid), "MB PSS", "<= 60")
            progress("an idle worker")
            cpu = cpu_seconds(pid)
            time.sleep(self.idle)
            yield Figure("idle worker", (cpu_seconds(pid) - cpu) / self.idle * 100, "% CPU", "<= 0.5")
