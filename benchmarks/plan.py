"""What a run measures: its parts, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.work import KIB, mean_milliseconds

CORES = 2
LEAST = 20  # tasks of a backlog
MOST_BYTES = 400_000_000  # of payload in one backlog


@dataclass(frozen=True)
class Backlog:
    """One kind of backlog that is drained.

    Args:
        name: in figures.
        size: bytes of payload; results are as long.
        kind: of work, as `benchmarks.work.calls` takes it.
        concurrency: of the worker; None for the run's own.
        headline: the one that is measured for longest.
    """

    name: str
    size: int = 0
    kind: str = "none"
    concurrency: int | None = None
    headline: bool = False


BACKLOGS = (
    Backlog("no-op", headline=True),
    Backlog("1 KiB", size=KIB),
    Backlog("100 KiB", size=100 * KIB),
    Backlog("1 ms", kind="1"),
    Backlog("10 ms", kind="10"),
    Backlog("mixed", kind="mixed"),
    Backlog("no-op, concurrency 8", concurrency=8),
    Backlog("no-op, concurrency 32", concurrency=32),
)
PARTS = ("enqueue", "rest", "drain")


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        rounds: how often each queue has its turn at everything.
        seconds: of steady state that the headline drain should last; the others a third of it.
        tasks: length of every backlog; None to find it from how fast a queue proves to be.
        most_tasks: no backlog is longer.
        calls: single calls, and round trips, at most.
        idle: seconds for which an idle worker is watched.
        concurrency: children, processes or threads.
        parts: which of `PARTS`.
        backlogs: which drains.
    """

    rounds: int = 3
    seconds: float = 10.0
    tasks: int | None = None
    most_tasks: int = 400_000
    calls: int = 5000
    idle: float = 10.0
    concurrency: int = 2
    parts: tuple[str, ...] = PARTS
    backlogs: tuple[Backlog, ...] = BACKLOGS

    def lasting(self, backlog: Backlog) -> float:
        """Seconds that a drain of it should last."""
        return self.seconds if backlog.headline else self.seconds / 3

    def length(self, backlog: Backlog, rate: float) -> int:
        """How many tasks it takes for that, for a queue that drains `rate` no-op tasks a second."""
        most = min(self.most_tasks, MOST_BYTES // max(1, backlog.size))
        if self.tasks is not None:
            return min(self.tasks, most)
        each = 1 / rate + mean_milliseconds(backlog.kind) / 1000 / CORES + backlog.size / 50e6
        return max(LEAST, min(most, int(self.lasting(backlog) / each)))
