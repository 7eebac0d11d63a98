"""Task.retry: the decision, the message of the next run, and what a person who calls a task directly sees."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from skirret import context
from skirret.app.retry import Again, Autoretry, Exhausted, decide
from skirret.errors import ImproperlyConfigured, MaxRetriesExceededError, Reject, Retry
from skirret.request import Context
from skirret.wire import task as wire_task
from tests.unit.app.conftest import sent


class worker_run:  # noqa: N801  reads as what it stands for
    """A task's run as a worker does it."""

    def __init__(self, task, *args, **fields):
        fields.setdefault("delivery_info", {"exchange": "", "routing_key": "celery"})
        self.task = task
        self.request = Context(id="the-id", task=task.name, args=list(args), kwargs={}, called_directly=False, **fields)

    def __enter__(self):
        context.push_task(self.task, self.request)
        return self

    def __exit__(self, *exc_info):
        context.pop_task()

    def run(self):
        return self.task.run(*self.request.args, **self.request.kwargs)


def message_of(publication):
    return wire_task.decode(publication.envelope)


def test_the_decision_counts_and_delays():
    assert decide(0, limit=3, default_delay=180) == Again(1, 180, None)
    assert decide(2, limit=3, default_delay=180, countdown=0) == Again(3, 0, None)
    assert decide(3, limit=3, default_delay=180) == Exhausted(3)
    assert decide(1000, limit=None, default_delay=1) == Again(1001, 1, None)
    assert decide(0, limit=0, default_delay=1) == Exhausted(0)
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    assert decide(0, limit=1, default_delay=1, eta=moment) == Again(1, None, moment)


def test_backoff_doubles_up_to_its_maximum_and_jitter_stays_below():
    plain = Autoretry(on=(ValueError,), backoff=2, maximum=30, jitter=False, options={"max_retries": 9})
    assert [plain.arguments(n)["countdown"] for n in range(6)] == [2, 4, 8, 16, 30, 30]
    assert plain.arguments(0)["max_retries"] == 9
    jittered = Autoretry(on=(ValueError,), backoff=2, maximum=30)
    draws = [jittered.arguments(2)["countdown"] for _ in range(200)]
    assert all(0 <= d <= 8 for d in draws)
    assert len(set(draws)) > 100
    assert "countdown" not in Autoretry(on=(ValueError,)).arguments(0)


def test_in_a_worker_retry_raises_with_the_next_runs_message_and_publishes_nothing(app):
    @app.task(bind=True, max_retries=3)
    def fetch(self, url):
        try:
            raise OSError("down")
        except OSError as exc:
            raise self.retry(exc=exc, countdown=5)  # noqa: B904  the guide's own way

    before = time.time()
    with worker_run(fetch, "http://x", retries=1) as run, pytest.raises(Retry) as caught:
        run.run()
    publication = caught.value.publication
    message = message_of(publication)
    assert (publication.task_id, message.id, message.retries, list(message.args)) == (
        "the-id",
        "the-id",
        2,
        ["http://x"],
    )
    assert before + 5 <= publication.due <= time.time() + 5
    assert message.eta.timestamp() == pytest.approx(publication.due, abs=0.001)
    assert isinstance(caught.value.exc, OSError)
    assert caught.value.when == 5
    assert run.request.outbox == []
    assert sent(app) == []


def test_without_throw_the_message_goes_into_the_outbox_and_the_task_goes_on(app):
    @app.task(bind=True)
    def work(self):
        answer = self.retry(throw=False, countdown=1)
        return type(answer).__name__

    with worker_run(work) as run:
        assert run.run() == "Retry"
    assert [message_of(p).retries for p in run.request.outbox] == [1]


def test_retry_keeps_what_the_call_was_and_takes_changes(app):
    @app.task(bind=True, queue="by-attribute")
    def work(self, x):
        raise self.retry((99,), countdown=0, priority=8)

    fields = {
        "delivery_info": {"exchange": "", "routing_key": "special", "priority": 3},
        "root_id": "root", "parent_id": "parent", "group": "g", "group_index": 2, "timelimit": [30, 20],
        "callbacks": [{"task": "cb", "args": [], "kwargs": {}, "options": {}}], "expires": "2031-01-01T00:00:00+00:00",
        "headers": {"tenant": "t"}, "stamped_headers": ["s"], "stamps": {"s": ["1"]}, "ignore_result": True,
        "reply_to": "me", "shadow": "shown",
    }  # fmt: skip
    with worker_run(work, 1, **fields) as run, pytest.raises(Retry) as caught:
        run.run()
    publication = caught.value.publication
    message = message_of(publication)
    assert publication.route.queue == "special"
    assert (list(message.args), message.priority, message.ignore_result) == ([99], 8, True)
    assert (message.root_id, message.parent_id, message.group, message.group_index) == ("root", "parent", "g", 2)
    assert tuple(message.timelimit) == (30, 20)
    assert message.callbacks[0]["task"] == "cb"
    assert message.expires == datetime(2031, 1, 1, tzinfo=UTC)
    assert (message.headers["tenant"], message.stamps, message.reply_to) == ("t", {"s": ["1"]}, "me")
    assert message.shadow == "shown"


def test_protocol_headers_in_the_request_do_not_become_the_callers_own(app):
    @app.task(bind=True)
    def work(self):
        raise self.retry(countdown=0)

    headers = {"task": "old", "id": "old", "retries": 0, "lang": "py", "mine": 1}
    with worker_run(work, headers=headers) as run, pytest.raises(Retry) as caught:
        run.run()
    message = message_of(caught.value.publication)
    assert (message.task, message.id, message.retries, message.headers) == (work.name, "the-id", 1, {"mine": 1})


def test_retry_to_another_queue(app):
    @app.task(bind=True)
    def work(self):
        raise self.retry(queue="slow", countdown=0)

    with worker_run(work) as run, pytest.raises(Retry) as caught:
        run.run()
    assert caught.value.publication.route.queue == "slow"


def test_the_default_delay_is_the_tasks_and_countdown_zero_is_at_once(app):
    @app.task(bind=True, default_retry_delay=60)
    def work(self, **options):
        raise self.retry(**options)

    with worker_run(work) as run:
        with pytest.raises(Retry) as caught:
            work.run()
        assert caught.value.publication.due - time.time() == pytest.approx(60, abs=2)
        with pytest.raises(Retry) as caught:
            work.run(countdown=0)
        assert caught.value.publication.due - time.time() == pytest.approx(0, abs=2)
    assert run


def test_when_retries_are_used_up_the_cause_is_raised_else_max_retries_exceeded(app):
    @app.task(bind=True, max_retries=2)
    def work(self, exc=None):
        raise self.retry(exc=exc)

    cause = ValueError("cause")
    with worker_run(work, retries=2):
        with pytest.raises(MaxRetriesExceededError, match=r"used up its 2 retries") as caught:
            work.run()
        assert caught.value.task_args == []
        with pytest.raises(ValueError, match="cause") as raised:
            work.run(exc=cause)
        assert raised.value is cause


def test_max_retries_of_the_call_wins_and_none_is_without_end(app):
    @app.task(bind=True, max_retries=None)
    def endless(self, limit=None):
        raise self.retry(max_retries=limit)

    with worker_run(endless, retries=5000):
        with pytest.raises(Retry):
            endless.run()
        with pytest.raises(MaxRetriesExceededError):
            endless.run(limit=10)


def test_called_directly_the_cause_is_raised_as_it_is(app):
    @app.task(bind=True)
    def work(self):
        try:
            raise OSError("down")
        except OSError as exc:
            raise self.retry(exc=exc)  # noqa: B904

    with pytest.raises(OSError, match="down"):
        work()
    plain = app.task(bind=True, name="plain")(lambda self: self.retry())
    with pytest.raises(Retry, match="called directly"):
        plain()


def test_called_directly_another_cause_keeps_the_handled_error_visible(app):
    @app.task(bind=True)
    def work(self):
        try:
            raise OSError("down")
        except OSError:
            raise self.retry(exc=ValueError("other"))  # noqa: B904

    with pytest.raises(ValueError, match="other") as caught:
        work()
    assert isinstance(caught.value.__cause__, OSError)


def test_autoretry_turns_listed_errors_into_retries(app):
    @app.task(
        autoretry_for=(OSError,),
        dont_autoretry_for=(FileNotFoundError,),
        retry_kwargs={"max_retries": 7, "countdown": 3},
    )
    def work(kind):
        raise kind("x")

    with worker_run(work, retries=6), pytest.raises(Retry) as caught:
        work.run(OSError)
    assert (message_of(caught.value.publication).retries, caught.value.when) == (7, 3)
    for kind in (FileNotFoundError, KeyError, Reject):
        with worker_run(work), pytest.raises(kind):
            work.run(kind)
    with worker_run(work, retries=7), pytest.raises(OSError, match="x"):
        work.run(OSError)


def test_autoretry_backs_off_with_the_tasks_options(app):
    @app.task(bind=True, autoretry_for=(Exception,), retry_backoff=3, retry_backoff_max=10, retry_jitter=False)
    def work(self):
        raise ValueError

    delays = []
    for retries in range(3):
        with worker_run(work, retries=retries), pytest.raises(Retry) as caught:
            work.run()
        delays.append(caught.value.when)
    assert delays == [3, 6, 10]


def test_autoretry_from_a_base_class_and_for_coroutines(app):
    import asyncio

    from skirret import Task

    class Base(Task):
        autoretry_for = (KeyError,)

    @app.task(base=Base)
    async def work():
        raise KeyError("x")

    @app.task(base=Base, name="sync")
    def swork():
        raise KeyError("x")

    with worker_run(work), pytest.raises(Retry):
        asyncio.run(work.run())
    with worker_run(swork), pytest.raises(Retry):
        swork.run()


def test_autoretry_leaves_an_own_retry_alone(app):
    @app.task(bind=True, autoretry_for=(Exception,), retry_backoff=50)
    def work(self):
        raise self.retry(countdown=1)

    with worker_run(work), pytest.raises(Retry) as caught:
        work.run()
    assert caught.value.when == 1


def test_called_directly_autoretry_raises_the_error_itself(app):
    @app.task(autoretry_for=(ValueError,))
    def work():
        raise ValueError("plain")

    with pytest.raises(ValueError, match="plain"):
        work()


def test_autoretry_for_something_else_than_exceptions_is_refused_at_declaration(app):
    with pytest.raises(ImproperlyConfigured, match="autoretry_for"):
        app.task(autoretry_for=("ValueError",))(lambda: 1)


def test_a_single_class_is_taken_as_a_list_of_one(app):
    task = app.task(autoretry_for=ValueError)(lambda: int("x"))
    with worker_run(task), pytest.raises(Retry):
        task.run()
