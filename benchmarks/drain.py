"""A backlog is worked off by a fresh worker, and every result is read back."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.plan import Backlog
from benchmarks.sample import Quantity
from benchmarks.server import Server
from benchmarks.session import Session, Trouble

SKIPPED = 0.02  # of the backlog, until the clock runs: a worker's start is not part of the rate


def rate_of(backlog: Backlog) -> Quantity:
    """The quantity that a drain of this backlog yields."""
    budget = ">= 40x Celery, 10x the best peer" if backlog.headline else ""
    return Quantity(f"drain, {backlog.name}", "tasks/s", budget=budget)


def cpu_of(backlog: Backlog) -> Quantity:
    """CPU that the worker needs for one task."""
    budget = "<= 55" if backlog.headline else ""
    return Quantity(f"CPU per task, {backlog.name}", "us", more_is_better=False, budget=budget)


SERVER_CPU = Quantity("CPU of the server per task, no-op", "us", more_is_better=False)
READ = Quantity("results read back, no-op", "results/s")


def drain(
    session: Session, server: Server, backlog: Backlog, count: int, seconds: float
) -> Iterator[tuple[Quantity, float]]:
    """One drain.

    Args:
        session: with the backlog's concurrency, and no worker yet.
        server: an empty one.
        backlog: what is sent.
        count: how many tasks.
        seconds: that it should take; ten times as long is waited for.
    """
    wait = 60 + 10 * seconds
    session.ask("bulk", count=count, size=backlog.size, kind=backlog.kind, seconds=1e9, wait=600)
    session.start()
    begun, at = session.until_left(count - max(1, int(count * SKIPPED)), count, wait=wait, pause=0.005)
    began, cpu, server_cpu = at, session.cpu(), server.cpu()
    _, at = session.until_left(0, count, wait=wait, pause=0.02)
    cpu, server_cpu, took = session.cpu() - cpu, server.cpu() - server_cpu, at - began
    read = session.ask("read", size=backlog.size, wait=600)
    if begun and took:
        yield rate_of(backlog), begun / took
        yield cpu_of(backlog), cpu / begun * 1e6
    if backlog.headline:
        yield SERVER_CPU, server_cpu / max(1, begun) * 1e6
        yield READ, count / read["seconds"]
    if read["right"] != count:
        raise Trouble(f"only {read['right']} of {count} results are right: {session.last_words()}")
