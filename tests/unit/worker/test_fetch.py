"""The thread that owns the consumer: patient with servers, and never mixing up one incarnation with the next."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skirret.backends.memory import MemoryBackend
from skirret.brokers.base import Limits, Queue
from skirret.brokers.memory import MemoryBroker, MemoryConsumer
from skirret.errors import BackendError, OperationalError
from skirret.message import Record
from skirret.outcome import Ack
from skirret.worker import fetch
from skirret.worker.fetch import Fetcher, Told
from tests.unit.worker.flaky import Faults, flaky
from tests.unit.worker.flaky import fails as failing

RAW = b'{"body": "W1tdLCB7fSwge31d", "headers": {"task": "t", "id": "%s"}, "properties": {"delivery_tag": "x"}}'


class Bench:
    """A fetcher, and what it told: its calls wait in a list until the test lets the loop run them."""

    def __init__(self, *, together: bool = True, beat: float = 5.0) -> None:
        name = uuid.uuid4().hex
        self.faults = Faults()
        self.broker = MemoryBroker(name)
        self.backend = MemoryBackend(name if together else f"{name}-results")
        self.revokes: Any = None
        self.beat = beat
        self.waiting: list[Callable[[], object]] = []
        self.told: list[tuple[str, Any]] = []
        self.holding = False
        self.lock = threading.Lock()
        self.fetcher: Fetcher

    def start(self) -> Fetcher:
        """The fetcher, running."""
        say = lambda word: lambda *args: self.told.append((word, args))  # noqa: E731
        self.fetcher = Fetcher(
            flaky(self.broker, self.faults),
            flaky(self.backend, self.faults),
            self.revokes,
            [Queue(name="q")],
            Limits(lease=30, beat=self.beat),
            1_000_000,
            self._call,
            Told(say("taken"), say("settled"), say("fenced"), say("closed"), say("claimed"), say("lost")),
        )
        self.fetcher.start()
        return self.fetcher

    def _call(self, callback: Callable[[], object]) -> None:
        with self.lock:
            if self.holding:
                self.waiting.append(callback)
            else:
                callback()

    def send(self, *ids: str) -> None:
        """Messages in the queue."""
        self.broker.inject("q", *(RAW % each.encode() for each in ids))

    def of(self, word: str) -> list[Any]:
        """What was told under `word`."""
        return [args for said, args in self.told if said == word]

    def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Wait until `condition` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"did not become true; told: {self.told}"
            time.sleep(0.002)

    def take(self, count: int) -> list[Any]:
        """Take so many messages; their deliveries."""
        before = len(self.of("taken"))
        self.fetcher.want(count)
        self.until(lambda: len(self.of("taken")) > before)
        return [delivery for delivery, _ in self.of("taken")[-1][0].deliveries]

    def fence(self) -> None:
        """What a reaper does to an incarnation whose beat stands still: its messages go back."""
        server = self.broker._server
        with server.reach():
            server.beats.pop(self.fetcher.cid)
            for message in server.held.pop(self.fetcher.cid).values():
                server.put_back(message)

    def size(self):
        """What the broker has."""
        return self.broker.size("q")

    def end(self) -> None:
        """Stop the thread."""
        self.faults.before.clear()
        self.faults.after.clear()
        getattr(self.fetcher, "begin_anew", bool)()
        self.fetcher.finish()
        self.fetcher.join(10)
        assert not self.fetcher.is_alive()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.end()


@pytest.fixture
def apart() -> Iterator[Bench]:
    bench = Bench(together=False)
    yield bench
    bench.end()


def record(task_id: str, state: str = "SUCCESS") -> Record:
    return Record(task_id=task_id, state=state, payload=b'{"status": "%s"}' % state.encode())


def test_a_broker_that_is_away_at_the_start_is_asked_again_with_growing_pauses(bench: Bench) -> None:
    bench.faults.before["declare"] = failing(OperationalError("away"))
    bench.send("a")
    bench.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        bench.fetcher.want(1)  # a loop that wakes the thread does not make it hammer the server
        time.sleep(0.01)
    assert 1 <= bench.faults.calls["declare"] <= 30
    bench.faults.before.clear()
    bench.until(lambda: bench.of("taken"))


def test_outcomes_that_come_while_the_broker_is_away_are_held_and_settled_once(bench: Bench) -> None:
    bench.send("a", "b")
    bench.start()
    one, two = bench.take(2)
    bench.faults.before["settle"] = failing(OperationalError("away"))
    bench.fetcher.settle([Ack(tag=one.tag, result=record("a"))])
    bench.until(lambda: bench.faults.calls["settle"] >= 1)
    bench.fetcher.settle([Ack(tag=two.tag, result=record("b"))])
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        bench.fetcher.want(1)
        time.sleep(0.01)
    assert bench.faults.calls["settle"] <= 20
    assert bench.size().held == 2
    assert len(bench.of("lost")) == 1, "the loop hears of a loss once"
    bench.faults.before.clear()
    bench.until(lambda: bench.size().held == 0)
    assert set(bench.backend.fetch(["a", "b"])) == {"a", "b"}
    bench.until(lambda: [flag for _, flags in bench.of("settled") for flag in flags] == [True, True])


def test_a_settlement_whose_answer_was_lost_is_not_carried_out_twice(bench: Bench) -> None:
    bench.send("a")
    bench.start()
    (one,) = bench.take(1)
    bench.faults.after["settle"] = failing(OperationalError("the answer was lost"), 1)
    bench.fetcher.settle([Ack(tag=one.tag, result=record("a"))])
    bench.until(lambda: bench.of("settled"))
    assert bench.size().held == bench.size().ready == 0
    assert set(bench.backend.fetch(["a"])) == {"a"}


def test_an_outcome_does_not_wait_behind_a_take_that_will_find_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LULL", 2.0)
    bench.send("a")
    bench.start()
    (delivery,) = bench.take(10)
    takes, seen = bench.faults.calls["take"], []
    bench.faults.before["settle"] = lambda: seen.append(bench.faults.calls["take"])
    bench.fetcher.want(10)
    time.sleep(0.05)
    bench.fetcher.settle([Ack(tag=delivery.tag)])
    bench.until(lambda: bench.of("settled"))
    assert seen == [takes], "nothing was left, so it was no use to look again before the outcome"
    bench.send("b")
    bench.until(lambda: len(bench.of("taken")) == 2, 2.0)


def test_a_take_that_brought_all_that_was_wanted_is_followed_by_the_next_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LULL", 30.0)
    bench.send("a", "b")
    bench.start()
    bench.take(1)
    bench.take(1)


def test_full_portions_are_taken_one_after_another_until_there_is_what_was_wanted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryConsumer, "portion", 2)
    bench.send(*"abcdefghi")
    bench.start()
    bench.fetcher.want(5)
    bench.until(lambda: len(bench.of("taken")) == 3)
    time.sleep(0.05)
    assert [len(taken.deliveries) for (taken,) in bench.of("taken")] == [2, 2, 1]
    bench.fetcher.want(2)
    bench.until(lambda: len(bench.of("taken")) == 4)
    time.sleep(0.05)
    assert bench.size().held == 7


def test_who_wants_nothing_more_gets_nothing_more_but_what_was_on_its_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryConsumer, "portion", 2)
    bench.send(*map(str, range(40)))
    bench.start()
    takes = iter((True, False))
    # The loop is busy: it has heard of nothing when it says that it wants no more.
    bench.faults.after["take"] = lambda: None if next(takes, False) else bench.fetcher.want(0)
    bench.holding = True
    bench.fetcher.want(40)
    bench.until(lambda: len(bench.waiting) == 2)
    time.sleep(0.05)
    bench.faults.after.clear()
    held = bench.size().held
    assert held == 4
    assert held == 2 * len(bench.waiting)
    bench.fetcher.want(1)  # beside those: the loop will hear of them first
    time.sleep(0.05)
    assert bench.size().held == held, "what it was not told of yet counts"
    bench.holding = False
    for callback in bench.waiting:
        callback()
    bench.fetcher.want(1)
    bench.until(lambda: bench.size().held == held + 1)


def test_what_an_old_incarnation_says_after_its_fence_never_reaches_the_messages_of_the_new_one() -> None:
    bench = Bench(beat=0.02)
    bench.send("old")
    bench.start()
    (old,) = bench.take(1)
    with bench.lock:
        bench.holding = True  # the loop is busy: it has not heard of the fence yet
    bench.fence()
    bench.until(lambda: bench.waiting)
    bench.fetcher.want(1)
    time.sleep(0.1)  # a new incarnation would take the message again here, and number it as the old one did
    bench.fetcher.settle([Ack(tag=old.tag, result=record("old"))])
    time.sleep(0.1)
    assert bench.size().ready + bench.size().held == 1, "the new incarnation's message was acknowledged unrun"
    with bench.lock:
        bench.holding = False
    bench.waiting.pop(0)()
    bench.fetcher.begin_anew()
    (new,) = bench.take(1)
    bench.fetcher.settle([Ack(tag=new.tag, result=record("new"))])
    bench.until(lambda: bench.size().held + bench.size().ready == 0)
    assert bench.backend.fetch(["old"]) == {}
    bench.end()


def test_one_that_was_fenced_and_has_a_successor_ends() -> None:
    bench = Bench(beat=0.02)
    bench.send("a")
    bench.start()
    bench.take(1)
    bench.fence()
    bench.until(lambda: bench.of("fenced"))
    bench.fetcher.retire()
    bench.fetcher.join(5)
    assert not bench.fetcher.is_alive()


@pytest.mark.parametrize("error", [OperationalError("away"), BackendError("away"), RuntimeError("a bug")])
def test_messages_whose_revokes_cannot_be_looked_up_are_handed_over_all_the_same(error: Exception) -> None:
    bench = Bench()

    class Revokes:
        def contains(self, *_: object) -> set[str]:
            raise error

    bench.revokes = Revokes()
    bench.send("a")
    bench.start()
    assert len(bench.take(1)) == 1
    bench.end()


def test_with_two_servers_the_result_is_there_before_the_message_goes(apart: Bench) -> None:
    apart.send("a")
    apart.start()
    (one,) = apart.take(1)
    apart.faults.before["settle"] = failing(OperationalError("killed between the two"))
    apart.fetcher.settle([Ack(tag=one.tag, result=record("a"))])
    apart.until(lambda: apart.faults.calls["settle"] >= 2)
    assert set(apart.backend.fetch(["a"])) == {"a"}
    assert apart.size().held == 1
    apart.faults.before.clear()
    apart.until(lambda: apart.size().held == 0)


def test_with_two_servers_nothing_is_acknowledged_while_the_result_store_is_away(apart: Bench) -> None:
    apart.send("a")
    apart.start()
    (one,) = apart.take(1)
    apart.faults.before["store"] = failing(BackendError("away"))
    apart.fetcher.settle([Ack(tag=one.tag, result=record("a"))])
    apart.until(lambda: apart.faults.calls["store"] >= 2)
    assert apart.size().held == 1
    apart.faults.before.clear()
    apart.until(lambda: apart.size().held == 0)
    assert set(apart.backend.fetch(["a"])) == {"a"}


def test_with_two_servers_a_zombies_result_is_not_stored(apart: Bench) -> None:
    apart.send("a")
    apart.start()
    (one,) = apart.take(1)
    apart.fence()
    apart.fetcher.settle([Ack(tag=one.tag, result=record("a"))])
    apart.until(lambda: apart.of("fenced"))
    assert apart.backend.fetch(["a"]) == {}
    assert apart.size().ready == 1


def test_a_result_that_its_store_can_never_take_goes_to_the_dead_letters_and_its_neighbours_are_settled(
    apart: Bench,
) -> None:
    apart.send("bad", "good")
    apart.start()
    tags = {delivery.raw[-60:]: delivery.tag for delivery in apart.take(2)}
    store = apart.backend.store

    def refuse(records: list[Record]) -> list[bool]:
        if any(each.task_id == "bad" for each in records):
            raise ValueError("the store's library says no")
        return store(records)

    apart.backend.store = refuse  # type: ignore[method-assign]
    one, two = sorted(tags.values())
    apart.fetcher.settle([Ack(tag=one, result=record("bad")), Ack(tag=two, result=record("good"))])
    apart.until(lambda: apart.size().held == 0)
    assert set(apart.backend.fetch(["bad", "good"])) == {"good"}
    (dead,) = apart.broker.dead()
    assert "the store's library says no" in dead.reason


def test_a_report_that_can_never_be_stored_does_not_stop_the_outcomes(bench: Bench) -> None:
    bench.send("a")
    bench.start()
    (one,) = bench.take(1)
    bench.faults.before["store"] = failing(ValueError("never"))
    bench.fetcher.store([record("a", "STARTED")])
    bench.fetcher.settle([Ack(tag=one.tag, result=record("a"))])
    bench.until(lambda: bench.size().held == 0)


def test_a_state_reported_before_the_outcome_is_stored_before_it(bench: Bench) -> None:
    bench.send("a")
    bench.start()
    (one,) = bench.take(1)
    bench.faults.before["settle"] = failing(OperationalError("away"), 1)
    bench.fetcher.settle([])
    bench.fetcher._awake.clear()
    # Both are there when the thread looks: a STARTED that is stored last would hide that the task waits for a retry.
    bench.fetcher._settling.store([record("a", "STARTED")])
    bench.fetcher._settling.settle([Ack(tag=one.tag, result=record("a", "RETRY"))])
    bench.fetcher._wake()
    bench.until(lambda: bench.size().held == 0)
    assert b"RETRY" in bench.backend.fetch(["a"])["a"]


def test_a_stop_while_the_broker_is_away_gives_up_after_a_while_and_says_so(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.send("a")
    bench.start()
    (one,) = bench.take(1)
    for name in ("settle", "beat", "take", "close"):
        bench.faults.before[name] = failing(OperationalError("away"))
    bench.fetcher.settle([Ack(tag=one.tag)])
    began = time.monotonic()
    bench.fetcher.finish()
    bench.until(lambda: bench.of("closed"), 10)
    assert 0.5 < time.monotonic() - began < 4
    assert "1 outcome" in caplog.text


def test_a_broker_that_comes_back_during_the_stop_gets_the_outcomes(bench: Bench) -> None:
    bench.send("a")
    bench.start()
    (one,) = bench.take(1)
    bench.faults.before["settle"] = failing(OperationalError("away"))
    bench.fetcher.settle([Ack(tag=one.tag)])
    bench.fetcher.finish()
    bench.until(lambda: bench.faults.calls["settle"] >= 4)
    bench.faults.before.clear()
    bench.until(lambda: bench.of("closed"))
    assert bench.size().held == bench.size().ready == 0


def test_a_consumer_that_cannot_even_be_closed_does_not_keep_the_worker_from_ending(bench: Bench) -> None:
    bench.faults.before["close"] = failing(RuntimeError("a bug"))
    bench.start()
    bench.until(lambda: bench.faults.calls["beat"])
    bench.fetcher.finish()
    bench.until(lambda: bench.of("closed"))
