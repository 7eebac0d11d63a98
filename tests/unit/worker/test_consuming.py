"""A worker follows changes of its queues and pauses of the fleet, through fences and servers that are away."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from skirret import Skirret
from skirret.backends.memory import MemoryBackend
from skirret.brokers.base import Limits, Queue
from skirret.brokers.memory import MemoryBroker
from skirret.coordination import pauses
from skirret.coordination.keys import PAUSED
from skirret.coordination.memory import MemoryCoordination
from skirret.errors import OperationalError
from skirret.testing.conformance.material import at_once
from skirret.testing.worker import worker
from skirret.worker.consuming import Consuming
from skirret.worker.fetch import Fetcher, Told
from tests.unit.worker.flaky import Faults, fails, flaky

RAW = b'{"body": "W1tdLCB7fSwge31d", "headers": {"task": "t", "id": "%s"}, "properties": {"delivery_tag": "x"}}'
_names = itertools.count()


class Bench:
    """A fetcher of queue ``a`` that always wants more, and the queues that its messages came from."""

    def __init__(self) -> None:
        name = uuid.uuid4().hex
        self.faults = Faults()
        self.broker = MemoryBroker(name)
        self.shared = MemoryCoordination(name)
        self.seen: list[str] = []
        self.fences = 0
        told = Told(self._taken, bool, self._fenced, bool, bool)
        self.fetcher = Fetcher(
            flaky(self.broker, self.faults), MemoryBackend(name), flaky(self.shared, self.faults), [Queue(name="a")],
            Limits(lease=30, beat=0.02), 1_000_000, lambda call: call(), told,
        )  # fmt: skip

    def _taken(self, taken: Any) -> None:
        self.seen += [delivery.queue for delivery, _ in taken.deliveries]
        self.fetcher.want(10)

    def _fenced(self) -> None:
        self.fences += 1
        self.fetcher.begin_anew()
        self.fetcher.want(10)

    def start(self) -> None:
        self.fetcher.start()
        self.fetcher.want(10)

    def send(self, *queues: str) -> None:
        for queue in queues:
            self.broker.inject(queue, RAW % uuid.uuid4().hex.encode())

    def until(self, condition: Any, seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"did not become true; seen: {self.seen}"
            time.sleep(0.002)

    def fence(self) -> None:
        fences = self.fences
        server = self.broker._server
        with server.reach():
            server.beats.pop(self.fetcher.cid)
            server.held.pop(self.fetcher.cid, None)
        self.until(lambda: self.fences > fences)

    def end(self) -> None:
        self.faults.before.clear()
        self.fetcher.finish()
        self.fetcher.join(10)
        assert not self.fetcher.is_alive()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.end()


def test_a_queue_that_is_added_is_consumed_at_once_and_after_a_fence(bench: Bench) -> None:
    bench.start()
    bench.send("a", "b")
    bench.until(lambda: bench.seen == ["a"])
    assert bench.fetcher.add_consumer(Queue(name="b"))
    assert not bench.fetcher.add_consumer(Queue(name="b"))
    assert [queue.name for queue in bench.fetcher.queues] == ["a", "b"]
    bench.until(lambda: bench.seen == ["a", "b"])
    bench.fence()
    bench.send("b")
    bench.until(lambda: bench.seen == ["a", "b", "b"])


def test_a_queue_that_is_cancelled_is_left_alone_also_after_a_fence(bench: Bench) -> None:
    bench.start()
    bench.fetcher.add_consumer(Queue(name="b"))
    bench.send("b")
    bench.until(lambda: bench.seen == ["b"])
    assert bench.fetcher.cancel_consumer("a")
    assert not bench.fetcher.cancel_consumer("a")
    bench.until(lambda: bench.fetcher._consuming.names == ["b"])
    bench.send("a", "b")
    bench.until(lambda: bench.seen == ["b", "b"])
    bench.fence()
    bench.send("b")
    bench.until(lambda: bench.seen == ["b"] * 3)
    assert bench.broker.size("a").ready == 1


def test_a_worker_whose_last_queue_was_cancelled_idles_and_takes_what_is_added_later(bench: Bench) -> None:
    bench.start()
    bench.fetcher.cancel_consumer("a")
    bench.until(lambda: bench.fetcher._consuming.names == [])
    bench.send("a", "b")
    takes = bench.faults.calls["take"]
    bench.until(lambda: bench.faults.calls["beat"] > 10)
    assert bench.faults.calls["take"] <= takes + 1
    bench.fetcher.add_consumer(Queue(name="b"))
    bench.until(lambda: bench.seen == ["b"])
    assert bench.broker.size("a").ready == 1


def test_a_queue_that_is_added_while_the_broker_is_away_is_declared_and_consumed_when_it_is_back(bench: Bench) -> None:
    bench.start()
    bench.send("a", "b")
    bench.until(lambda: bench.seen == ["a"])
    bench.faults.before["declare"] = fails(OperationalError("away"))
    declared = bench.faults.calls["declare"]
    bench.fetcher.add_consumer(Queue(name="b"))
    bench.until(lambda: bench.faults.calls["declare"] >= declared + 2)
    assert bench.seen == ["a"]
    bench.faults.before.clear()
    bench.until(lambda: bench.seen == ["a", "b"])


def test_nothing_is_taken_from_a_paused_queue_until_it_is_resumed_and_others_go_on(bench: Bench) -> None:
    bench.start()
    bench.fetcher.add_consumer(Queue(name="b"))
    bench.send("a", "b")
    bench.until(lambda: sorted(bench.seen) == ["a", "b"])
    pauses.pause(bench.shared, ["a"])
    began = time.monotonic()
    bench.until(lambda: bench.fetcher.paused == {"a"})
    assert time.monotonic() - began < 2.5, "workers follow within about a second"
    bench.until(lambda: bench.fetcher._consuming.names == ["b"])
    bench.send("a", "b")
    bench.until(lambda: sorted(bench.seen) == ["a", "b", "b"])
    bench.fence()
    bench.send("b")
    bench.until(lambda: sorted(bench.seen) == ["a", "b", "b", "b"])
    pauses.resume(bench.shared, ["a"])
    bench.until(lambda: sorted(bench.seen) == ["a", "a", "b", "b", "b"])


def test_a_worker_that_starts_while_its_queue_is_paused_takes_nothing(bench: Bench) -> None:
    pauses.pause(bench.shared, ["a"])
    bench.send("a")
    bench.start()
    bench.until(lambda: bench.faults.calls["beat"] > 5)
    assert bench.seen == []
    pauses.resume(bench.shared, ["a"])
    bench.until(lambda: bench.seen == ["a"])


def test_a_pause_holds_while_the_shared_state_cannot_be_reached(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("skirret.worker.consuming.LOOK", 0.01)
    pauses.pause(bench.shared, ["a"])
    bench.send("a")
    bench.start()
    bench.until(lambda: bench.fetcher.paused)
    bench.faults.before["get"] = fails(OperationalError("away"))
    looks = bench.faults.calls["get"]
    bench.until(lambda: bench.faults.calls["get"] > looks + 3)
    assert bench.seen == []
    assert caplog.text.count("Could not look up which queues are paused") == 1
    bench.faults.before.clear()
    pauses.resume(bench.shared, ["a"])
    bench.until(lambda: bench.seen == ["a"])


def test_without_shared_state_there_is_nothing_to_look_up() -> None:
    broker = MemoryBroker(uuid.uuid4().hex)
    consuming = Consuming([Queue(name="a")], None, bool)
    threads = threading.active_count()
    assert consuming.begin(broker) == ["a"]
    assert threading.active_count() == threads


def test_pauses_of_several_people_at_once_are_all_kept() -> None:
    shared = MemoryCoordination(uuid.uuid4().hex)
    told = at_once(8, lambda n: pauses.pause(shared, [f"q{n}", "all"]))
    assert pauses.paused(shared) == {"all", *(f"q{n}" for n in range(8))}
    assert sum("all" in names for names in told) == 1
    assert pauses.resume(shared, sorted(pauses.paused(shared))) == ["all", *(f"q{n}" for n in range(8))]
    assert shared.get(PAUSED) is None, "nothing is left behind"


def test_an_app_pauses_a_queue_for_workers_that_run_and_for_those_that_start_later() -> None:
    url = f"memory://pausing-{next(_names)}"
    app = Skirret("pausing", broker=url, result_backend=url, set_as_current=False)
    ran = threading.Event()

    @app.task(name="t")
    def task() -> None:
        ran.set()

    with worker(app) as supervisor:
        task.delay().get(timeout=5)
        ran.clear()
        assert app.pause_queue("celery") == ["celery"]
        assert app.pause_queue(["celery", "other"]) == ["other"]
        assert app.paused_queues() == ["celery", "other"]
        end = time.monotonic() + 5
        while "celery" not in supervisor.fetcher.paused:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.05)
        result = task.delay()
    with worker(app):
        assert not ran.wait(0.2)
        assert app.resume_queue(["celery", "other", "third"]) == ["celery", "other"]
        result.get(timeout=5)
    app.close()
