"""What a worker counts for Prometheus, and the page that it shows; made only where metrics are asked for.

Names follow Prometheus' conventions: seconds, ``_total`` for counters. The page is written by `prometheus-client`
(extra ``metrics``) from numbers that are kept here and read when somebody asks.
"""

from __future__ import annotations

import importlib.util
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.worker.fetch import Taken
from skirret.worker.frames import Outcome, Up
from skirret.worker.vitals import Vitals

BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the duration buckets, in seconds."""

MAX_NAMES: Final = 1000
"""Task names that are counted apart; more than a project has would only fill the scraper's memory."""

_ENDS: Final = {"done": "SUCCESS", "retry": "RETRY", "reject": "REJECTED", "requeue": "REJECTED", "unknown": "UNKNOWN"}
_SETTLED: Final[dict[type, str]] = {
    Ack: "acknowledged", Release: "released", Retry: "retried", Defer: "deferred", DeadLetter: "dead",
}  # fmt: skip


def available() -> bool:
    """Whether the page can be written: whether ``prometheus-client`` is installed."""
    return importlib.util.find_spec("prometheus_client") is not None


class Meter:
    """Counts of one worker, by the loop's thread alone."""

    def __init__(self) -> None:
        self.states: Counter[tuple[str, str]] = Counter()
        self.buckets: dict[str, list[int]] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.taken: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()
        self.refused = 0

    def finished(self, frames: Sequence[Up]) -> None:
        """Count outcomes that came up from a child."""
        for frame in frames:
            if isinstance(frame, Outcome):
                name = frame.name if frame.name in self.buckets or len(self.buckets) < MAX_NAMES else "(other)"
                result = frame.result
                self.states[name, result.state if result is not None else _ENDS[frame.kind]] += 1
                buckets = self.buckets.get(name)
                if buckets is None:
                    buckets = self.buckets[name] = [0] * (len(BOUNDS) + 1)
                if frame.runtime >= 0:
                    buckets[bisect_left(BOUNDS, frame.runtime)] += 1
                    self.seconds[name] += frame.runtime

    def counting(
        self,
        taken: Callable[[Taken], object],
        settled: Callable[[list[Settlement], list[bool]], object],
    ) -> tuple[Callable[[Taken], object], Callable[[list[Settlement], list[bool]], object]]:
        """The same two callbacks, with what passes through them counted."""

        def count_taken(batch: Taken) -> None:
            self.taken.update(delivery.queue for delivery, _ in batch.deliveries)
            taken(batch)

        def count_settled(settlements: list[Settlement], flags: list[bool]) -> None:
            self.settled.update(_SETTLED[type(settlement)] for settlement in settlements)
            self.refused += len(flags) - sum(flags)
            settled(settlements, flags)

        return count_taken, count_settled


class Page:
    """Prometheus' text page of one worker.

    Args:
        meter: the counts.
        vitals: everything that is read at the moment.
    """

    def __init__(self, meter: Meter, vitals: Vitals) -> None:
        from prometheus_client import CollectorRegistry

        self._meter = meter
        self._vitals = vitals
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)  # what has `collect` is a collector

    def text(self) -> tuple[str, bytes]:
        """Content type and body."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def collect(self) -> Iterator[Any]:
        """All metric families, as the library asks for them."""
        yield from self._counters()
        yield self._durations()
        yield from self._gauges()

    def _counters(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        meter = self._meter
        tables: list[tuple[str, str, list[str], Iterable[tuple[Any, float]]]] = [
            ("skirret_tasks", "Runs that ended, by task and state.", ["task", "state"], list(meter.states.items())),
            ("skirret_taken", "Messages taken, by queue.", ["queue"], list(meter.taken.items())),
            ("skirret_settled", "Messages settled, by what became of them.", ["how"], list(meter.settled.items())),
            ("skirret_settled_too_late", "Outcomes of messages that others had by then.", [], [((), meter.refused)]),
        ]
        for name, text, labels, rows in tables:
            family = CounterMetricFamily(name, text, labels=labels)
            for key, value in rows:
                family.add_metric([key] if isinstance(key, str) else list(key), value)
            yield family

    def _durations(self) -> Any:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily("skirret_task_seconds", "Run time of tasks in user code.", labels=["task"])
        for name, counts in list(self._meter.buckets.items()):
            total, rows = 0, []
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
                total += count
                rows.append((bound, total))
            family.add_metric([name], rows, self._meter.seconds[name])
        return family

    def _gauges(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        vitals = self._vitals
        busy, slots = vitals.slots()
        silence = vitals.fetcher.silence()
        rows = [
            ("skirret_children", "Child processes.", len(vitals.supervisor.pool.children)),
            ("skirret_slots", "Slots that are ready.", slots),
            ("skirret_slots_busy", "Slots that have a task.", busy),
            ("skirret_jobs_waiting", "Messages held that wait for a slot.", len(vitals.supervisor.dispatcher.pending)),
            ("skirret_lease_age_seconds", "Since the broker last heard of us.", -1.0 if silence is None else silence),
            ("skirret_loop_lag_seconds", "By how much the loop's last beat was late.", vitals.pulse.lag),
            ("skirret_loop_age_seconds", "Since the loop's last beat.", vitals.pulse.age()),
            ("skirret_live", "1 while /livez says so.", float(not vitals.death_signs())),
            ("skirret_ready", "1 while /readyz says so.", float(not vitals.hindrances())),
        ]
        for name, text, value in rows:
            yield GaugeMetricFamily(name, text, value=value)
