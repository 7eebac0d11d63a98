"""A worker that has nothing to do: its start, its round trip, its memory, and what idleness costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.plan import Plan
from benchmarks.sample import Quantity, percentile
from benchmarks.server import Server
from benchmarks.session import Session

START = Quantity("start to first task done", "s", more_is_better=False, budget="<= 0.6")
P50 = Quantity("idle round trip, p50", "ms", more_is_better=False, budget="<= 1/3 of Celery's")
P99 = Quantity("idle round trip, p99", "ms", more_is_better=False, budget="<= 4x bare PING's")
PING = Quantity("bare PING, p99", "ms", more_is_better=False)
PSS = Quantity("memory of the worker (PSS)", "MB", more_is_better=False, budget="<= 60")
CPU = Quantity("idle worker, CPU", "%", more_is_better=False, budget="<= 0.5")
COMMANDS = Quantity("idle worker, server commands", "commands/s", more_is_better=False, budget="<= 10")
SETTLED = 1.0  # seconds after the last task until idleness is measured


def measure(session: Session, server: Server, plan: Plan) -> Iterator[tuple[Quantity, float]]:
    """Start a worker for one task, then trouble it with single tasks, then leave it alone."""
    session.ask("first")
    began = time.perf_counter()
    session.start()
    yield START, session.ask("await_first", wait=90)["at"] - began
    session.ask("trips", count=20, seconds=5.0)  # warms both sides
    trips = session.ask("trips", count=plan.calls, seconds=plan.seconds, wait=plan.seconds + 60)["seconds"]
    yield P50, statistics.median(trips) * 1e3
    yield P99, percentile(trips, 0.99) * 1e3
    yield PING, percentile(server.pings(len(trips)), 0.99) * 1e3
    session.check()
    yield PSS, session.memory()
    time.sleep(min(SETTLED, plan.idle))
    began, cpu, before = time.perf_counter(), session.run_time(), server.commands()
    time.sleep(plan.idle)
    took = time.perf_counter() - began
    yield CPU, (session.run_time() - cpu) / took * 100
    after = server.commands()
    if before is not None and after is not None:
        yield COMMANDS, (after - before) / took
