"""Sending: repeated within limits, refused with advice, never silent; coroutines share round trips."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from skirret.app import group_commit
from skirret.app.group_commit import GroupCommitter
from skirret.app.settings_view import RetryPolicy
from skirret.errors import OperationalError
from tests.unit.app.conftest import only, sent


class Failing:
    """A broker that refuses some publishes, then passes them on."""

    def __init__(self, broker, failures):
        self.broker = broker
        self.failures = failures
        self.calls = []
        self.silence = lambda: None

    def publish(self, publications):
        self.calls.append(list(publications))
        self.silence()
        if len(self.calls) <= self.failures:
            raise OperationalError("connection refused")
        self.broker.publish(publications)

    def close(self):
        pass


@pytest.fixture
def failing(app, monkeypatch):
    def make(failures):
        broker = Failing(app.broker, failures)
        monkeypatch.setitem(app.clients._open, "broker", broker)
        return broker

    return make


@pytest.fixture
def naps(monkeypatch):
    """The pauses that the publisher makes, not slept."""
    taken = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def test_a_failed_publish_is_repeated_with_the_same_nonce_after_the_policys_pauses(app, failing, naps):
    broker = failing(3)
    app.send_task("work")
    assert len(broker.calls) == 4
    assert len({call[0].nonce for call in broker.calls}) == 1
    assert naps == pytest.approx([0, 0.2, 0.4])
    app.clients._open["broker"] = broker.broker
    assert len(sent(app)) == 1


def test_after_the_last_repetition_the_error_says_where_why_and_what_to_do(app, failing, naps):
    broker = failing(99)
    with pytest.raises(OperationalError) as caught:
        app.send_task("work", task_id="my-task")
    assert len(broker.calls) == 4
    text = str(caught.value)
    assert "my-task" in text
    assert "memory://" in text
    assert "connection refused" in text
    assert "4 attempts" in text
    assert isinstance(caught.value.__cause__, OperationalError)


def test_the_password_of_the_broker_is_not_in_the_error(make_app, monkeypatch, naps):
    app = make_app(broker="redis://user:secret@nowhere:1/0", backend=None)
    app.conf.task_publish_retry = False
    monkeypatch.setitem(app.clients._open, "broker", Failing(None, 99))
    with pytest.raises(OperationalError) as caught:
        app.send_task("work")
    assert "secret" not in str(caught.value)
    assert "1 attempt:" in str(caught.value)


def test_the_call_may_say_whether_and_how_often(app, failing, naps):
    broker = failing(99)
    for options, attempts in [
        ({"retry": False}, 1),
        ({"retry_policy": {"max_retries": 1}}, 2),
        ({"retry": True, "retry_policy": {"max_retries": 0}}, 1),
    ]:
        broker.calls.clear()
        broker.failures = 99
        with pytest.raises(OperationalError):
            app.send_task("work", **options)
        assert len(broker.calls) == attempts


def test_retry_true_repeats_although_the_settings_do_not(app, failing, naps):
    app.conf.task_publish_retry = False
    broker = failing(2)
    app.send_task("work", retry=True)
    assert len(broker.calls) == 3


def test_the_total_deadline_ends_an_endless_policy(app, failing, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("skirret.clock.monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + max(seconds, 0.01)))
    broker = failing(10**9)
    app.conf.broker_publish_timeout = 5.0
    with pytest.raises(OperationalError):
        app.send_task("work", retry_policy={"max_retries": None, "interval_max": 1})
    assert now[0] == pytest.approx(5.0, abs=0.05)
    assert len(broker.calls) > 5


def test_a_server_that_does_not_answer_is_asked_again_only_if_there_is_time_for_another_silence(
    app, failing, monkeypatch
):
    now = [0.0]
    monkeypatch.setattr("skirret.clock.monotonic", lambda: now[0])
    broker = failing(99)
    app.conf.broker_publish_timeout = 5.0
    for silence, attempts in [(4.0, 1), (2.0, 2)]:
        began = now[0]
        broker.calls.clear()
        broker.failures = 99
        broker.silence = lambda silence=silence: now.__setitem__(0, now[0] + silence)
        with pytest.raises(OperationalError):
            app.send_task("work")
        assert len(broker.calls) == attempts
        assert now[0] - began <= 5.0


def test_the_policys_pauses_grow_to_their_maximum():
    policy = RetryPolicy.of({"interval_start": 1, "interval_step": 2, "interval_max": 4, "errback": None})
    assert [policy.pause(n) for n in range(4)] == [1, 3, 4, 4]


def test_sending_nothing_touches_no_broker(app, failing):
    broker = failing(99)
    app.publisher.send([])
    assert broker.calls == []


async def test_concurrent_async_publishes_share_batches(app, monkeypatch):
    batches = []
    gate = threading.Event()
    publish = app.broker.publish

    def slow(publications):
        gate.wait(10)
        batches.append(len(publications))
        publish(publications)

    monkeypatch.setattr(app.broker, "publish", slow)
    task = app.task(name="work")(lambda n: n)
    calls = [asyncio.ensure_future(task.adelay(n)) for n in range(400)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*calls)
    assert {r.id for r in results} == {m.id for m in sent(app)}
    assert sum(batches) == 400
    assert len(batches) <= 3


async def test_a_refused_batch_is_an_error_of_every_call_in_it(app, failing, naps):
    failing(10**9)
    app.conf.task_publish_retry = False
    task = app.task(name="work")(lambda n: n)
    errors = await asyncio.gather(*(task.adelay(n) for n in range(5)), return_exceptions=True)
    assert [type(e) for e in errors] == [OperationalError] * 5


async def test_one_orders_fault_is_not_its_neighbours(app, monkeypatch):
    publish = app.broker.publish

    def picky(publications):
        if any(p.task_id == "bad" for p in publications):
            raise ValueError("too large")
        publish(publications)

    monkeypatch.setattr(app.broker, "publish", picky)
    answers = await asyncio.gather(
        *(app.publisher.asend([app.publisher.prepare("t", (), task_id=i)]) for i in ("a", "bad", "b")),
        return_exceptions=True,
    )
    assert [type(a) for a in answers] == [type(None), ValueError, type(None)]
    assert {m.id for m in sent(app)} == {"a", "b"}


async def test_coroutines_wait_for_room_in_the_bounded_queue_and_all_are_sent(app, monkeypatch):
    monkeypatch.setattr(group_commit, "WAITING_LIMIT", 10)
    committer = GroupCommitter()
    monkeypatch.setattr(group_commit, "committer", lambda: committer)
    seen = []
    publish = app.broker.publish
    monkeypatch.setattr(app.broker, "publish", lambda p: (seen.append(committer._waiting), publish(p)))
    task = app.task(name="work")(lambda n: n)
    await asyncio.gather(*(task.adelay(n) for n in range(100)))
    assert len(sent(app)) == 100
    assert max(seen) <= 10


async def test_an_order_larger_than_the_queue_is_sent_all_the_same(app, monkeypatch):
    monkeypatch.setattr(group_commit, "WAITING_LIMIT", 3)
    await GroupCommitter().submit(app.publisher, [app.publisher.prepare("t", ()) for _ in range(9)], {})
    assert len(sent(app)) == 9


def test_the_committer_serves_one_loop_after_another_and_ends_when_idle(app):
    committer = GroupCommitter(idle_seconds=0.05)
    for _ in range(2):
        publication = app.publisher.prepare("t", ())
        asyncio.run(committer.submit(app.publisher, [publication], {}))
    assert len(sent(app)) == 2
    deadline = time.monotonic() + 10
    while committer._running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not committer._running
    asyncio.run(committer.submit(app.publisher, [app.publisher.prepare("t", ())], {}))
    assert len(sent(app)) == 3


def test_a_loop_that_was_closed_meanwhile_hurts_nobody(app, monkeypatch):
    gate = threading.Event()
    publish = app.broker.publish
    monkeypatch.setattr(app.broker, "publish", lambda p: (gate.wait(10), publish(p)))

    async def leave():
        task = asyncio.ensure_future(app.publisher.asend([app.publisher.prepare("first", ())]))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(leave())
    gate.set()
    asyncio.run(app.publisher.asend([app.publisher.prepare("second", ())]))
    assert {m.task for m in sent(app)} == {"first", "second"}


async def test_options_of_the_publisher_travel_with_async_calls(app, failing, naps):
    broker = failing(1)
    task = app.task(name="work")(lambda: 1)
    with pytest.raises(OperationalError):
        await task.aapply_async(retry=False)
    broker.calls.clear()
    broker.failures = 1
    await task.aapply_async(retry=True)
    app.clients._open["broker"] = broker.broker
    assert only(app).task == "work"
