"""The watchdog speaks up when messages wait and none is taken, and only then."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from skirret.brokers.base import Queue
from skirret.worker import watchdog as module
from skirret.worker.watchdog import Watchdog


class Bench:
    """A watchdog with a worker of straw: its looks are called as fast as a test can."""

    def __init__(self, ready: dict[str, int], patience: float = 0.05) -> None:
        self.ready = ready
        self.head = b"the next one"
        self.capabilities = SimpleNamespace(peek=True)
        self.renewed = 0
        self.asked = threading.Event()
        fetcher = SimpleNamespace(takes=3, queues=[Queue(name=name) for name in ready], paused=frozenset())
        self.vitals = SimpleNamespace(stuck="", fetcher=fetcher, supervisor=SimpleNamespace(hungry=True))
        self.dog = Watchdog(self.vitals, lambda: self, self.renew, self.call, patience)

    def size(self, name: str) -> SimpleNamespace:
        self.asked.set()
        return SimpleNamespace(ready=self.ready[name])

    def peek(self, name: str, limit: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(raw=self.head) for _ in range(min(limit, self.ready[name]))]

    def call(self, judge) -> None:
        self.judgement = judge

    def renew(self) -> None:
        self.renewed += 1
        self.vitals.fetcher.takes = 0

    def look_until_it_judges(self, seconds: float = 20.0) -> None:
        self.judgement = None
        deadline = time.monotonic() + seconds
        while self.judgement is None:
            assert time.monotonic() < deadline
            self.dog.look()
            time.sleep(0.005)
        self.judgement()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "SECOND_LOOK", 0.01)


def test_a_worker_that_takes_nothing_of_what_waits_gets_a_new_session_and_does_not_pass_for_alive(caplog):
    bench = Bench({"a": 0, "b": 7})
    bench.look_until_it_judges()
    assert bench.renewed == 1
    assert "messages wait (7 in 'b')" in bench.vitals.stuck
    assert "This worker begins a whole new session with the broker." in caplog.text
    bench.vitals.fetcher.takes = 1
    bench.dog.look()
    assert bench.vitals.stuck == ""


def test_as_long_as_it_is_stuck_it_is_renewed_again_and_stays_unwell():
    bench = Bench({"a": 1}, patience=0.02)
    for times in (1, 2, 3):
        bench.look_until_it_judges()
        assert bench.renewed == times
        assert bench.vitals.stuck


def test_empty_queues_are_no_reason():
    bench = Bench({"a": 0})
    bench.look_until_it_judges()
    assert bench.asked.is_set()
    assert (bench.renewed, bench.vitals.stuck) == (0, "")


def test_messages_that_are_gone_at_the_second_look_are_no_reason():
    bench = Bench({"a": 1})
    whole = bench.size

    def others_take_it(name):
        found = whole(name)
        bench.ready["a"] = 0
        return found

    bench.size = others_take_it
    bench.look_until_it_judges()
    assert bench.renewed == 0


def test_messages_that_others_take_one_after_the_other_are_no_reason():
    bench = Bench({"a": 2})
    whole = bench.size

    def others_take_the_first(name):
        bench.head += b"!"
        return whole(name)

    bench.size = others_take_the_first
    bench.look_until_it_judges()
    assert bench.renewed == 0


def test_a_broker_that_shows_no_messages_is_asked_for_their_number_only():
    bench = Bench({"a": 2})
    bench.capabilities.peek = False
    bench.peek = None
    bench.look_until_it_judges()
    assert bench.renewed == 1


def test_a_message_that_comes_while_the_server_is_asked_is_progress():
    bench = Bench({"a": 1})
    judge = bench.call

    def call(judgement):
        bench.vitals.fetcher.takes += 1
        judge(judgement)

    bench.dog._call = call
    bench.look_until_it_judges()
    assert bench.renewed == 0


@pytest.mark.parametrize("state", ["busy", "paused", "off", "away"])
def test_a_worker_with_a_reason_to_take_nothing_is_left_alone(state, monkeypatch):
    bench = Bench({"a": 5}, patience=0.0 if state == "off" else 0.02)
    if state == "busy":
        bench.vitals.supervisor.hungry = False
    elif state == "paused":
        bench.vitals.fetcher.paused = frozenset({"a"})
    elif state == "away":

        def away():
            bench.asked.set()
            raise ConnectionError

        bench.dog._open_broker = away
        bench.look_until_it_judges()
    for _ in range(30):
        bench.dog.look()
        time.sleep(0.002)
    assert bench.asked.is_set() == (state == "away")
    assert (bench.renewed, bench.vitals.stuck) == (0, "")
