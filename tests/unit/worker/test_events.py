"""What a worker tells monitors: every end of a task on every pool, and nothing where it is off."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skirret import Skirret
from skirret.clock import LamportClock
from skirret.errors import Ignore, OperationalError, Reject
from skirret.events.publishing import EventPublisher
from skirret.events.schema import COMMON, FIELDS
from skirret.testing.worker import worker
from skirret.wire import events as wire
from skirret.wire.envelope import Head
from skirret.worker.events import line, notes

POOLS = ["solo", "threads", "asyncio"]


class Monitor:
    """Hears all events of an app's broker."""

    def __init__(self, app: Skirret) -> None:
        self.events: list[dict[str, Any]] = []
        self._subscription = app.broker.listen("celeryev")

    def until(self, enough: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        """All events, once they are enough."""
        deadline = time.monotonic() + 20.0
        while not enough(self.events):
            assert time.monotonic() < deadline, self.events
            for _, payload in self._subscription.receive(0.5):
                self.events += wire.decode(payload)  # type: ignore[arg-type]
        return self.events

    def of(self, task_id: str, last: str) -> list[dict[str, Any]]:
        """The events of a task, once `last` is among them."""
        return [
            event
            for event in self.until(lambda events: any(is_one(event, task_id, last) for event in events))
            if event.get("uuid") == task_id
        ]

    def close(self) -> None:
        self._subscription.close()


def is_one(event: dict[str, Any], task_id: str, kind: str) -> bool:
    return event.get("uuid") == task_id and event["type"] == kind


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("task-") for event in events]


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False)
    app.conf.worker_send_task_events = True
    yield app
    app.close()


@pytest.fixture
def monitor(app: Skirret) -> Iterator[Monitor]:
    monitor = Monitor(app)
    yield monitor
    monitor.close()


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return request.param


def serve(app: Skirret, pool: str = "solo", **options: Any):
    return worker(app, pool=pool, slots=1 if pool == "solo" else 4, hostname="w@h", **options)


def test_a_success_is_told_from_its_receipt_to_its_end_with_all_fields(app, monitor, pool):
    @app.task
    def add(x, y):
        return x + y

    with serve(app, pool):
        sent = add.delay(2, y=3)
        received, started, succeeded = monitor.of(sent.id, "task-succeeded")
    assert kinds([received, started, succeeded]) == ["received", "started", "succeeded"]
    for event in (received, started, succeeded):
        assert set(event) == {*COMMON, *FIELDS[event["type"]]}
        assert event["hostname"] == "w@h"
    assert (received["name"], received["args"], received["kwargs"]) == (add.name, "(2,)", "{'y': 3}")
    assert (received["root_id"], received["retries"]) == (sent.id, 0)
    assert succeeded["result"] == "5"
    assert 0 <= succeeded["runtime"] < 5
    assert received["clock"] < started["clock"] < succeeded["clock"]
    assert started["timestamp"] <= succeeded["timestamp"]


def test_a_failure_tells_its_exception_and_traceback(app, monitor, pool):
    @app.task
    def fail():
        raise ValueError("bad")

    with serve(app, pool):
        *_, failed = monitor.of(fail.delay().id, "task-failed")
    assert set(failed) == {*COMMON, *FIELDS["task-failed"]}
    assert failed["exception"] == "ValueError('bad')"
    assert failed["traceback"].startswith("Traceback")
    assert "in fail" in failed["traceback"]


def test_a_retry_is_told_and_the_next_run_is_received(app, monitor, pool):
    @app.task(bind=True)
    def again(self):
        if self.request.retries == 0:
            raise self.retry(exc=ValueError("not yet"), countdown=0)
        return "done"

    with serve(app, pool):
        events = monitor.of(again.delay().id, "task-succeeded")
    assert kinds(events) == ["received", "started", "retried", "received", "started", "succeeded"]
    assert events[2]["exception"] == "ValueError('not yet')"
    assert "Traceback" in events[2]["traceback"]
    assert events[3]["retries"] == 1


@pytest.mark.parametrize("requeue", [False, True])
def test_a_rejection_is_told(app, monitor, requeue):
    runs = []

    @app.task(bind=True)
    def reject(self):
        runs.append(1)
        if len(runs) == 1:
            raise Reject("no", requeue=requeue)

    with serve(app):
        events = monitor.of(reject.delay().id, "task-rejected")
    rejected = next(event for event in events if event["type"] == "task-rejected")
    assert set(rejected) == {*COMMON, *FIELDS["task-rejected"]}
    assert rejected["requeue"] is requeue


def test_an_expired_and_a_revoked_task_are_told_as_revoked(app, monitor):
    @app.task
    def never():
        raise AssertionError

    expired = never.apply_async(expires=-1)
    revoked = never.delay()
    app.coordination.add("revoked", [revoked.id], ttl=60)
    with serve(app):
        told = [monitor.of(sent.id, "task-revoked")[-1] for sent in (expired, revoked)]
    assert all(set(event) == {*COMMON, *FIELDS["task-revoked"]} for event in told)
    assert [(event["expired"], event["terminated"], event["signum"]) for event in told] == [
        (True, False, None),
        (False, False, None),
    ]


def test_a_long_task_is_told_as_started_while_it_runs(app, monitor, pool):
    go_on = threading.Event()

    @app.task
    def nap():
        go_on.wait(30)

    with serve(app, pool):
        sent = nap.delay()
        events = monitor.of(sent.id, "task-started")
        assert kinds(events) == ["received", "started"]
        assert time.time() - events[1]["timestamp"] < 5
        go_on.set()
        events = monitor.of(sent.id, "task-succeeded")
    assert kinds(events) == ["received", "started", "succeeded"], "started is told once"


def test_a_task_that_ignores_its_end_tells_none(app, monitor):
    @app.task
    def ignore():
        raise Ignore

    @app.task
    def last():
        pass

    with serve(app):
        ignored = ignore.delay()
        monitor.of(last.delay().id, "task-succeeded")
    assert kinds([event for event in monitor.events if event.get("uuid") == ignored.id]) == ["received", "started"]


def test_a_task_that_wants_no_events_is_not_spoken_of(app, monitor):
    @app.task(send_events=False)
    def silent():
        return 1

    @app.task
    def last():
        pass

    with serve(app):
        hidden = silent.delay()
        assert hidden.get(timeout=10) == 1
        monitor.of(last.delay().id, "task-succeeded")
    assert not [event for event in monitor.events if event.get("uuid") == hidden.id]


def test_a_tasks_own_events_come_under_its_workers_name(app, monitor, pool):
    @app.task(bind=True)
    def work(self):
        self.send_event("task-progress", done=3, odd=object())

    with serve(app, pool):
        sent = work.delay()
        events = monitor.of(sent.id, "task-progress")
    (progress,) = [event for event in events if event["type"] == "task-progress"]
    assert (progress["hostname"], progress["done"]) == ("w@h", 3)
    assert progress["odd"].startswith("<object object")


def test_what_leaves_with_an_outcome_is_told_as_sent_too(app, monitor, pool):
    app.conf.task_send_sent_event = True

    @app.task(bind=True)
    def twice(self, x=0):
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return x

    @app.task
    def after(x):
        return x

    with serve(app, pool):
        first = twice.apply_async(link=after.s())
        monitor.of(first.id, "task-succeeded")
        events = monitor.until(lambda events: [e["name"] for e in events if e["type"] == "task-sent"][2:])
    sent = [event for event in events if event["type"] == "task-sent"]
    assert [(event["name"], event["retries"]) for event in sent] == [(twice.name, 0), (twice.name, 1), (after.name, 0)]
    assert sent[2]["parent_id"] == first.id
    assert all(event["hostname"].startswith("gen") for event in sent), "as Celery's children call themselves"


def test_task_events_are_off_by_default_and_can_be_turned_on_and_off(app, monitor):
    app.conf.worker_send_task_events = False
    ran = []

    @app.task(bind=True)
    def work(self, name):
        ran.append(name)
        self.send_event("task-mine", name=name)
        return name

    with serve(app) as supervisor:
        work.delay("off").get(timeout=10)
        assert supervisor.told is None
        assert on(supervisor, True)
        assert not on(supervisor, True)
        second = work.delay("on")
        monitor.of(second.id, "task-succeeded")
        assert on(supervisor, False)
        assert not on(supervisor, False)
        third = work.delay("off again")
        monitor.of(third.id, "task-mine")
    first = [event for event in monitor.events if event.get("name") == "off"]
    assert kinds(first) == ["mine"], "a task's own events are always sent"
    assert kinds([event for event in monitor.events if event.get("uuid") == third.id]) == ["mine"]


def on(supervisor: Any, enabled: bool) -> bool:
    """Turn task events on or off as a remote command does: on the loop's thread."""
    done: list[bool] = []
    events = supervisor.said.__self__
    supervisor.loop.call_from_thread(lambda: done.append(events.enable() if enabled else events.disable()))
    deadline = time.monotonic() + 10
    while not done:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return done[0]


def test_a_worker_says_that_it_comes_lives_and_goes(app, monitor):
    @app.task
    def add(x, y):
        return x + y

    with serve(app, heartbeat=0.05):
        add.delay(1, 2).get(timeout=10)
        monitor.until(lambda events: any(event.get("processed") for event in events))
    events = monitor.until(lambda events: events[-1]["type"] == "worker-offline")
    worker_events = [event for event in events if event["type"].startswith("worker-")]
    assert worker_events[0]["type"] == "worker-online"
    assert {event["type"] for event in worker_events[1:-1]} == {"worker-heartbeat"}
    for event in worker_events:
        assert set(event) == {*COMMON, *FIELDS[event["type"]]}
    last = worker_events[-1]
    assert (last["processed"], last["active"], last["freq"], last["sw_ident"]) == (1, 0, 0.05, "py-skirret")
    assert len(last["loadavg"]) == 3


# -- the line ----------------------------------------------------------------------------------------------------------


class Broker:
    """Remembers what was sent, while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.asked = threading.Event()
        self.events: list[dict[str, Any]] = []
        self.messages = 0

    def fan_out(self, exchange: str, messages: list[tuple[str, bytes]]) -> None:
        self.asked.set()
        if not self.there:
            raise OperationalError("away")
        self.messages += len(messages)
        for _, payload in messages:
            self.events += wire.decode(payload)  # type: ignore[arg-type]


def new_line(broker: Broker) -> line.EventLine:
    return line.EventLine(EventPublisher(lambda: broker, "w@h", 1, LamportClock()))


def test_many_notes_are_few_messages_in_order():
    broker = Broker()
    sender = new_line(broker)
    for number in range(3000):
        sender.note((notes.started, float(number), Head(task="t", id=str(number))))
    sender.start()
    sender.finish()
    assert [event["uuid"] for event in broker.events] == [str(number) for number in range(3000)]
    assert broker.messages <= 8


def test_events_wait_for_a_broker_that_is_away_up_to_a_bound(monkeypatch, caplog):
    monkeypatch.setattr(line, "KEPT", 10)
    broker = Broker()
    broker.there = False
    sender = new_line(broker)
    sender.start()
    sender.note((notes.started, 0.0, Head(task="t", id="first")))
    assert broker.asked.wait(10)
    for number in range(50):
        sender.note((notes.started, 1.0, Head(task="t", id=str(number))))
    broker.there = True
    sender.finish()
    assert [event["uuid"] for event in broker.events][-9:] == [str(number) for number in range(41, 50)]
    assert sender.dropped == 51 - len(broker.events) > 0
    assert len([record for record in caplog.records if "cannot be sent" in record.getMessage()]) == 1


def test_a_broker_that_stays_away_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(line, "LAST_PATIENCE", 0.2)
    broker = Broker()
    broker.there = False
    sender = new_line(broker)
    sender.start()
    sender.note((notes.started, 0.0, Head(task="t", id="a")))
    began = time.monotonic()
    sender.finish()
    assert time.monotonic() - began < 5
    assert not sender.is_alive()


def test_a_bug_in_one_note_does_not_end_the_line(caplog):
    broker = Broker()
    sender = new_line(broker)
    sender.start()
    sender.note((notes.started, 0.0, None))
    deadline = time.monotonic() + 10
    while sender.dropped == 0:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    sender.note((notes.started, 0.0, Head(task="t", id="a")))
    sender.finish()
    assert [event["uuid"] for event in broker.events] == ["a"]
    assert "A bug while events were sent" in caplog.text
