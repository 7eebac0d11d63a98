"""apply and task_always_eager: in this process, but as a worker would."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from skirret import Task, current_task, signals, states
from skirret.errors import ContentDisallowed, EncodeError, Ignore, MaxRetriesExceededError, Reject
from skirret.results import EagerResult
from tests.unit.app.conftest import sent


def test_apply_runs_here_and_its_result_is_ready(app):
    @app.task
    def add(x, y):
        return x + y

    result = add.apply((1,), {"y": 2})
    assert isinstance(result, EagerResult)
    assert (result.get(), result.state, result.successful()) == (3, states.SUCCESS, True)
    assert sent(app) == []


def test_always_eager_makes_delay_and_apply_async_run_here(app):
    app.conf.task_always_eager = True
    add = app.task(name="add")(lambda x, y: x + y)
    assert add.delay(1, 2).get() == 3
    assert add.apply_async((1, 2), countdown=100).get() == 3
    assert app.send_many([add.s(1, 2)])[0].get() == 3
    assert sent(app) == []


def test_a_result_serializer_that_readers_accept_carries_the_result_of_an_eager_run(app):
    app.conf.update(result_serializer="pickle", accept_content=["json", "pickle"])
    assert app.task(name="pair")(lambda: {1, 2}).apply().get() == {1, 2}


async def test_always_eager_works_for_coroutines_that_call(app):
    app.conf.task_always_eager = True

    @app.task
    async def fetch(x):
        await asyncio.sleep(0)
        return x

    assert (await fetch.adelay(4)).get() == 4
    assert fetch.delay(5).get() == 5


def test_arguments_and_result_pass_through_the_serializer(app):
    @app.task
    def kind(value):
        return type(value).__name__, (1, 2)

    assert kind.apply(((1, 2),)).get() == ["list", [1, 2]]
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert app.task(name="same")(lambda value: value).apply((moment,)).get() == moment


def test_an_argument_that_cannot_travel_is_refused_as_by_delay(app):
    with pytest.raises(EncodeError):
        app.task(name="t")(lambda x: x).apply((object(),))


def test_a_result_that_cannot_travel_is_a_failure_unless_it_is_ignored(app):
    task = app.task(name="t")(object)
    assert isinstance(task.apply().result, EncodeError)
    assert task.apply().state == states.FAILURE
    assert task.apply(ignore_result=True).state == states.SUCCESS


def test_what_a_worker_would_not_accept_is_refused(app):
    app.conf.accept_content = ["json"]
    task = app.task(name="t", serializer="yaml")(lambda: 1)
    with pytest.raises(ContentDisallowed):
        task.apply()


def test_a_failure_is_a_result_with_its_traceback_unless_it_shall_be_thrown(app):
    @app.task
    def fail():
        raise ValueError("bad")

    result = fail.apply()
    assert (result.state, str(result.result)) == (states.FAILURE, "bad")
    assert "raise ValueError" in result.traceback
    with pytest.raises(ValueError, match="bad"):
        fail.apply(throw=True)
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="bad"):
        fail.apply()
    assert fail.apply(throw=False).failed()


def test_retries_run_at_once_with_one_id_until_they_are_used_up(app):
    seen = []

    @app.task(bind=True, max_retries=3)
    def flaky(self, succeed_at):
        seen.append((self.request.id, self.request.retries))
        if self.request.retries < succeed_at:
            raise self.retry(countdown=3600)
        return "done"

    result = flaky.apply((2,), task_id="one")
    assert result.get() == "done"
    assert seen == [("one", 0), ("one", 1), ("one", 2)]
    with pytest.raises(MaxRetriesExceededError):
        flaky.apply((9,)).get()
    assert len(seen) == 3 + 4


def test_a_retry_may_change_the_arguments(app):
    @app.task(bind=True)
    def grow(self, n):
        return n if n > 3 else self.retry((n + 1,))

    assert grow.apply((1,)).get() == 4


def test_the_request_says_that_the_run_is_eager_and_whose_child_it_is(app):
    seen = {}

    @app.task(bind=True)
    def inner(self):
        seen["inner"] = self.request

    @app.task(bind=True)
    def outer(self):
        seen["outer"] = self.request
        assert current_task == self
        inner.apply()

    outer.apply(headers={"tenant": "t"}, priority=4)
    request = seen["outer"]
    assert request.is_eager
    assert not request.called_directly
    assert (request.root_id, request.parent_id, request.tenant) == (request.id, None, "t")
    assert request.delivery_info["priority"] == 4
    assert (seen["inner"].root_id, seen["inner"].parent_id) == (request.id, request.id)


def test_hooks_and_signals_run_in_the_order_of_a_worker(app):
    log = []

    class Logged(Task):
        def before_start(self, task_id, args, kwargs):
            log.append("before_start")

        def on_success(self, retval, task_id, args, kwargs):
            log.append(("on_success", retval))

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            log.append(("on_failure", str(exc), einfo.type, "Traceback" in einfo.traceback))

        def on_retry(self, exc, task_id, args, kwargs, einfo):
            log.append(("on_retry", str(exc)))

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            log.append(("after_return", status))

    @app.task(base=Logged, bind=True, max_retries=1)
    def work(self, how):
        if how == "retry":
            raise self.retry(exc=KeyError("again"))
        return 1 / how

    listeners = [
        signal.connect(lambda signal, **_: log.append(signal.name), sender=work, weak=False)
        for signal in (
            signals.task_prerun, signals.task_postrun, signals.task_success, signals.task_failure, signals.task_retry,
        )
    ]  # fmt: skip
    assert len(listeners) == 5
    work.apply((2,))
    assert log == [
        "task_prerun", "before_start", ("on_success", 0.5), "task_success", ("after_return", "SUCCESS"), "task_postrun",
    ]  # fmt: skip
    log.clear()
    work.apply((0,))
    assert log == [
        "task_prerun", "before_start", ("on_failure", "division by zero", ZeroDivisionError, True), "task_failure",
        ("after_return", "FAILURE"), "task_postrun",
    ]  # fmt: skip
    log.clear()
    work.apply(("retry",))
    assert log[:5] == [
        "task_prerun", "before_start", ("on_retry", "'again'"), "task_retry", "task_postrun",
    ]  # fmt: skip
    assert log[-3:] == ["task_failure", ("after_return", "FAILURE"), "task_postrun"]


def test_callbacks_get_the_result_and_errbacks_the_error(app):
    app.conf.task_always_eager = True
    seen = []
    note = app.task(name="note")(lambda value, extra=None: seen.append((value, extra)))
    by_id = app.task(name="by_id")(seen.append)
    in_place = app.task(name="in_place")(lambda request, exc, traceback: seen.append((request.id, str(exc))))

    @app.task
    def work(x):
        return 10 / x

    work.apply_async((5,), link=[note.s(), note.s(extra="e")])
    assert seen == [(2.0, None), (2.0, "e")]
    seen.clear()
    work.apply_async((0,), task_id="tid", link=note.s(), link_error=[by_id.s(), in_place.s()])
    assert seen == ["tid", ("tid", "division by zero")]


def test_ignore_and_reject_are_states_of_their_own(app):
    def leave(how):
        raise how

    task = app.task(name="leave")(lambda kind: leave({"i": Ignore(), "r": Reject("no")}[kind]))
    assert task.apply(("i",)).state == states.IGNORED
    assert task.apply(("r",)).state == states.REJECTED


def test_store_eager_result_writes_results_that_others_can_read(app):
    app.conf.task_store_eager_result = True
    task = app.task(name="t")(lambda x: 1 / x)
    assert app.AsyncResult(task.apply((2,)).id).get(timeout=1) == 0.5
    failed = app.AsyncResult(task.apply((0,)).id)
    assert failed.state == states.FAILURE
    with pytest.raises(ZeroDivisionError):
        failed.get(timeout=1)
    ignored = task.apply((2,), ignore_result=True)
    assert app.AsyncResult(ignored.id).state == states.PENDING


def test_update_state_stores_progress_of_the_running_call(app):
    @app.task(bind=True)
    def work(self):
        self.update_state(state="PROGRESS", meta={"done": 3})

    app.conf.result_extended = True
    result = work.apply()
    stored = app.AsyncResult(result.id)
    assert (stored.state, stored.info, stored.name) == ("PROGRESS", {"done": 3}, work.name)
    with pytest.raises(ValueError, match="task_id"):
        work.update_state(state="PROGRESS")
    work.update_state("other", "MINE", {"a": 1})
    assert (app.AsyncResult("other").info, app.AsyncResult("other").name) == ({"a": 1}, None)


def test_an_eager_run_checks_arguments(app):
    with pytest.raises(TypeError):
        app.task(name="t")(lambda x: x).apply(())


def test_a_call_method_of_the_tasks_own_is_used_once_with_the_same_request(app):
    log = []

    class Wrapped(Task):
        def __call__(self, *args, **kwargs):
            log.append(("before", self.request.id))
            value = super().__call__(*args, **kwargs)
            log.append(("after", value))
            return value

    @app.task(base=Wrapped, bind=True)
    def work(self, x):
        log.append(("run", self.request.id))
        return x

    assert work.apply((5,), task_id="tid").get() == 5
    assert log == [("before", "tid"), ("run", "tid"), ("after", 5)]
