"""What becomes of a task: each way to end, on each pool, through the real supervisor and slots in this process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from skirret import Skirret, context
from skirret.brokers.base import Limits
from skirret.errors import (
    EncodeError,
    Ignore,
    InvalidTaskError,
    MaxRetriesExceededError,
    NotRegistered,
    Reject,
    TaskRevokedError,
)
from skirret.testing.worker import worker

POOLS = ["solo", "threads", "asyncio"]


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return request.param


def serve(app: Skirret, pool: str = "solo", **options):
    return worker(app, pool=pool, slots=1 if pool == "solo" else 4, **options)


def eventually(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not become true"
        time.sleep(0.002)


def test_a_return_value_comes_back(app, pool):
    @app.task
    def add(x, y):
        return x + y

    with serve(app, pool):
        assert add.delay(2, 3).get(timeout=5) == 5


def test_a_coroutine_task_runs_on_every_pool(app, pool):
    @app.task
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    with serve(app, pool):
        assert [double.delay(n).get(timeout=5) for n in range(5)] == [0, 2, 4, 6, 8]


def test_coroutine_tasks_of_one_slot_share_a_loop(app):
    loops = []

    @app.task
    async def remember():
        loops.append(asyncio.get_running_loop())

    with serve(app):
        remember.delay().get(timeout=5)
        remember.delay().get(timeout=5)
    assert loops[0] is loops[1]


def test_coroutines_wait_side_by_side_on_the_asyncio_pool(app):
    gate: list[int] = []

    @app.task
    async def meet():
        gate.append(1)
        while len(gate) < 4:  # noqa: ASYNC110  an event would belong to one loop of the test's
            await asyncio.sleep(0.001)

    with serve(app, "asyncio"):
        for result in [meet.delay() for _ in range(4)]:
            result.get(timeout=5)


def test_an_exception_comes_back_as_itself_with_the_remote_traceback(app, pool):
    @app.task
    def fail():
        raise ValueError("no", 1)

    with serve(app, pool):
        result = fail.delay()
        with pytest.raises(ValueError, match="no") as caught:
            result.get(timeout=5)
    assert caught.value.args == ("no", 1)
    assert "in fail" in result.traceback
    assert "/skirret/worker/" not in result.traceback, "our own frames are not the user's business"


@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError("m")])
def test_whatever_a_task_raises_is_its_outcome_and_the_worker_goes_on(app, pool, leaving):
    @app.task
    def leave():
        raise leaving

    @app.task
    def stay():
        return "here"

    with serve(app, pool):
        gone = leave.delay()
        eventually(gone.ready)
        assert gone.state == "FAILURE"
        assert stay.delay().get(timeout=5) == "here"


def test_a_stray_stop_iteration_is_a_failure_like_any_other(app, pool):
    @app.task
    def empty():
        return next(iter([]))

    @app.task
    async def hollow():
        return next(iter([]))

    with serve(app, pool):
        for task in (empty, hollow):
            gone = task.delay()
            eventually(gone.ready)
            assert gone.state == "FAILURE"


class Shy(Exception):
    """Cannot even be looked at."""

    def __str__(self):
        raise SystemExit(4) if threading.current_thread() is not threading.main_thread() else RuntimeError

    __repr__ = __str__


def test_an_exception_that_cannot_be_looked_at_is_still_an_outcome(app, pool):
    @app.task
    def shy():
        raise Shy

    @app.task
    def after():
        return len(context.task_stack())

    with serve(app, pool):
        gone = shy.delay()
        eventually(gone.ready)
        assert gone.state == "FAILURE"
        assert [after.delay().get(timeout=5) for _ in range(4)] == [1, 1, 1, 1]


def test_a_value_that_exits_while_it_is_serialised_fails_its_task(app, pool):
    class Bomb(dict):
        def items(self):
            raise SystemExit(5)

        __iter__ = keys = items

    @app.task
    def bomb():
        return [object(), Bomb(a=1)]

    @app.task
    def after():
        return 1

    with serve(app, pool):
        gone = bomb.delay()
        eventually(gone.ready)
        assert gone.state == "FAILURE"
        assert after.delay().get(timeout=5) == 1


@pytest.mark.parametrize("hook", ["on_success", "after_return", "on_failure", "before_start"])
def test_a_hook_that_exits_ends_nothing(app, pool, hook):
    class Leaving(app.Task):
        pass

    def leave(self, *args):
        raise SystemExit(3)

    setattr(Leaving, hook, leave)

    @app.task(base=Leaving)
    def good():
        return 1

    @app.task(base=Leaving)
    def bad():
        raise ValueError

    @app.task
    def after():
        return len(context.task_stack())

    with serve(app, pool):
        first, second = good.delay(), bad.delay()
        eventually(lambda: first.ready() and second.ready())
        assert first.state == ("FAILURE" if hook == "before_start" else "SUCCESS")
        assert second.state == "FAILURE"
        assert [after.delay().get(timeout=5) for _ in range(4)] == [1, 1, 1, 1]


def test_an_error_callback_that_exits_ends_nothing(app, pool):
    @app.task
    def leave(request, exc, traceback):
        raise SystemExit(3)

    @app.task
    def bad():
        raise ValueError

    @app.task
    def after():
        return 1

    with serve(app, pool):
        gone = bad.apply_async(link_error=leave.s())
        eventually(gone.ready)
        assert gone.state == "FAILURE"
        assert after.delay().get(timeout=5) == 1


def test_a_message_that_makes_decoding_stumble_is_a_dead_letter(app, pool, monkeypatch):
    from skirret.worker.child import execute

    @app.task
    def fine():
        return 1

    read = execute.usual.read

    def stumble(raw, *rest):
        if b'"bad"' in raw:
            raise MemoryError
        return read(raw, *rest)

    monkeypatch.setattr(execute.usual, "read", stumble)
    with serve(app, pool):
        fine.apply_async(task_id="bad")
        assert fine.delay().get(timeout=5) == 1
        eventually(app.broker.dead)
    assert "MemoryError" in app.broker.dead()[0].reason


def test_retries_run_again_until_they_succeed(app, pool):
    @app.task(bind=True, max_retries=3)
    def flaky(self):
        if self.request.retries < 2:
            raise self.retry(countdown=0.01)
        return self.request.retries

    with serve(app, pool):
        assert flaky.delay().get(timeout=5) == 2


def test_retries_that_run_out_fail_with_their_cause(app):
    @app.task(bind=True, max_retries=1)
    def hopeless(self):
        try:
            raise OSError("down")
        except OSError as exc:
            raise self.retry(exc=exc, countdown=0) from exc

    @app.task(bind=True, max_retries=1)
    def silent(self):
        raise self.retry(countdown=0)

    with serve(app):
        with pytest.raises(OSError, match="down"):
            hopeless.delay().get(timeout=5)
        with pytest.raises(MaxRetriesExceededError):
            silent.delay().get(timeout=5)


def test_a_retry_made_by_hand_is_not_lost(app):
    from skirret.errors import Retry

    runs = []

    @app.task(bind=True)
    def by_hand(self):
        runs.append(self.request.retries)
        if len(runs) < 2:
            raise Retry("again", when=0.01)
        return "done"

    with serve(app):
        assert by_hand.delay().get(timeout=5) == "done"
    assert runs == [0, 1]


def test_a_retry_that_does_not_throw_leaves_with_the_outcome(app):
    runs = []

    @app.task(bind=True)
    def twice(self):
        runs.append(self.request.retries)
        if not runs[1:]:
            self.retry(countdown=0, throw=False)
        return len(runs)

    with serve(app):
        twice.delay()
        eventually(lambda: runs == [0, 1])


def test_autoretry_retries_listed_exceptions_of_functions_and_coroutines(app, pool):
    runs = {"def": 0, "async": 0}

    @app.task(autoretry_for=(KeyError,), default_retry_delay=0.01)
    def plain():
        runs["def"] += 1
        if runs["def"] < 3:
            raise KeyError("x")
        return "plain"

    @app.task(autoretry_for=(KeyError,), default_retry_delay=0.01)
    async def coroutine():
        runs["async"] += 1
        if runs["async"] < 3:
            raise KeyError("x")
        return "coroutine"

    with serve(app, pool):
        assert plain.delay().get(timeout=5) == "plain"
        assert coroutine.delay().get(timeout=5) == "coroutine"


def test_an_ignored_task_records_nothing(app):
    @app.task(track_started=False)
    def ignore():
        raise Ignore

    @app.task(ignore_result=True)
    def unwanted():
        return 1

    @app.task
    def last():
        return None

    with serve(app):
        first, second = ignore.delay(), unwanted.delay()
        last.delay().get(timeout=5)
        assert app.backend.fetch([first.id, second.id]) == {}


def test_a_rejected_message_is_a_dead_letter_with_the_tasks_reason(app):
    @app.task
    def refuse():
        raise Reject("not mine", requeue=False)

    with serve(app):
        sent = refuse.delay()
        eventually(app.broker.dead)
    (dead,) = app.broker.dead()
    assert dead.task_id == sent.id
    assert "not mine" in dead.reason


def test_a_message_requeued_for_ever_ends_in_the_dead_letters(app):
    runs = []

    @app.task
    def requeue():
        runs.append(1)
        raise Reject(requeue=True)

    with serve(app):
        requeue.delay()
        eventually(app.broker.dead)
    assert len(runs) == app.conf.worker_delivery_limit


def test_a_started_task_says_so_where_that_is_tracked(app):
    seen = []

    @app.task(bind=True, track_started=True)
    def look(self):
        eventually(lambda: self.AsyncResult(self.request.id).state == "STARTED")
        seen.append(self.AsyncResult(self.request.id).info["hostname"])

    with serve(app, "threads"):
        look.delay().get(timeout=10)
    assert seen == ["test@localhost"]


def test_an_expired_task_does_not_run_and_is_recorded_as_revoked(app):
    runs = []

    @app.task
    def late():
        runs.append(1)

    result = late.apply_async(expires=0.01)
    time.sleep(0.02)
    with serve(app), pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=5)
    assert not runs


def test_a_revoked_task_does_not_run(app):
    runs = []

    @app.task
    def revoked():
        runs.append(1)

    result = revoked.delay()
    result.revoke()
    with serve(app), pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=5)
    assert not runs


def test_a_countdown_is_kept(app):
    @app.task
    def when():
        return time.time()

    with serve(app):
        sent = time.time()
        assert when.apply_async(countdown=0.2).get(timeout=5) - sent >= 0.199


def test_a_malformed_message_is_a_dead_letter_and_the_worker_goes_on(app):
    @app.task
    def fine():
        return 1

    app.broker.inject("celery", b"{not json")
    with serve(app):
        assert fine.delay().get(timeout=5) == 1
        eventually(app.broker.dead)
    assert "malformed" in app.broker.dead()[0].reason


def test_an_unknown_task_is_a_dead_letter_after_its_patience(app):
    app.conf.unknown_task_patience = 0.1
    with serve(app):
        result = app.send_task("t.nowhere")
        eventually(app.broker.dead)
        with pytest.raises(NotRegistered, match="nowhere"):
            result.get(timeout=5)
    assert "unknown task 't.nowhere'" in app.broker.dead()[0].reason


def test_a_result_that_cannot_be_serialised_fails_the_task_with_the_reason(app):
    @app.task
    def odd():
        return object()

    with serve(app), pytest.raises(EncodeError):
        odd.delay().get(timeout=5)


def test_callbacks_get_the_result_and_error_callbacks_the_id(app):
    seen = {}

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def fail():
        raise ValueError("no")

    @app.task
    def keep(value):
        seen["value"] = value

    @app.task
    def told(task_id):
        seen["id"] = task_id

    @app.task
    def in_place(request, exc, traceback):
        seen["exc"] = (request.id, exc.args, "in fail" in traceback)

    with serve(app):
        add.apply_async((1, 2), link=keep.s())
        failed = fail.apply_async(link_error=[told.s(), in_place.s()])
        eventually(lambda: len(seen) == 3)
    assert seen == {"value": 3, "id": failed.id, "exc": (failed.id, ("no",), True)}


def test_a_chain_in_the_message_runs_step_by_step(app):
    @app.task
    def add(x, y):
        return x + y

    steps = [add.s(2), add.s(3)]
    first = add.apply_async((1, 1), chain=[dict(step) for step in reversed([s.freeze() and s for s in steps])])
    with serve(app):
        assert first.get(timeout=5) == 2
        assert app.AsyncResult(steps[-1].id).get(timeout=5) == 7


def test_hooks_are_called_in_order_with_what_they_need(app):
    calls = []

    class Told(app.Task):
        def before_start(self, task_id, args, kwargs):
            calls.append(("before_start", args))

        def on_success(self, retval, task_id, args, kwargs):
            calls.append(("on_success", retval))

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            calls.append(("on_failure", type(exc).__name__, "fail" in einfo.traceback))

        def on_retry(self, exc, task_id, args, kwargs, einfo):
            calls.append(("on_retry", type(exc).__name__))

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            calls.append(("after_return", status))

    @app.task(base=Told)
    def good(x):
        return x

    @app.task(base=Told)
    def fail():
        raise ValueError

    @app.task(base=Told, bind=True)
    def again(self):
        if not self.request.retries:
            raise self.retry(countdown=0)

    with serve(app):
        good.delay(1).get(timeout=5)
        fail.delay().get(timeout=5, propagate=False)
        again.delay().get(timeout=5)
    assert calls == [
        ("before_start", [1]),
        ("on_success", 1),
        ("after_return", "SUCCESS"),
        ("before_start", []),
        ("on_failure", "ValueError", True),
        ("after_return", "FAILURE"),
        ("before_start", []),
        ("on_retry", "Retry"),
        ("before_start", []),
        ("on_success", None),
        ("after_return", "SUCCESS"),
    ]


def test_a_hook_that_raises_does_not_change_the_outcome(app, caplog):
    class Clumsy(app.Task):
        def on_success(self, *args):
            raise RuntimeError("clumsy hook")

    @app.task(base=Clumsy)
    def fine():
        return 1

    with serve(app), caplog.at_level(logging.ERROR):
        assert fine.delay().get(timeout=5) == 1
    assert "clumsy hook" in caplog.text


def test_a_task_class_of_the_users_own_wraps_the_call_and_keeps_the_request(app):
    class Wrapped(app.Task):
        def __call__(self, *args, **kwargs):
            return ("wrapped", super().__call__(*args, **kwargs))

    @app.task(base=Wrapped, bind=True)
    def who(self):
        return self.request.id

    with serve(app):
        result = who.delay()
        assert result.get(timeout=5) == ["wrapped", result.id]


def test_a_task_called_inside_another_sees_its_own_empty_request(app):
    @app.task(bind=True)
    def inner(self):
        return self.request.called_directly

    @app.task(bind=True)
    def outer(self):
        return [self.request.called_directly, inner(), self.request.called_directly]

    with serve(app):
        assert outer.delay().get(timeout=5) == [False, True, False]


def test_children_remember_their_parent_and_root(app):
    @app.task(bind=True)
    def child(self):
        return [self.request.parent_id, self.request.root_id]

    @app.task(bind=True)
    def parent(self):
        return child.delay().id

    with serve(app):
        result = parent.delay()
        below = app.AsyncResult(result.get(timeout=5))
        assert below.get(timeout=5) == [result.id, result.id]
        assert [each.id for each in result.children] == [below.id]


def test_nothing_is_current_after_a_task_ended(app, pool):
    left = []

    @app.task
    def clean():
        left.append(len(context.task_stack()))

    @app.task
    def fail():
        raise ValueError

    with serve(app, pool):
        fail.delay()
        clean.delay().get(timeout=5)
        clean.delay().get(timeout=5)
    assert left == [1, 1]


def test_an_early_acked_task_is_acknowledged_before_it_starts(app):
    held = []

    @app.task(acks_late=False)
    def early():
        held.append(app.broker.size("celery").held)
        return "ran"

    @app.task
    def late():
        held.append(app.broker.size("celery").held)

    with serve(app):
        assert early.delay().get(timeout=5) == "ran"
        late.delay().get(timeout=5)
    assert held == [0, 1]


def test_a_worker_that_lost_its_lease_begins_anew_and_its_outcomes_are_refused(app, caplog):
    go = []
    started = []

    @app.task
    def wait_for_it():
        started.append(1)
        eventually(lambda: go)
        return len(started)

    with serve(app, limits=Limits(lease=30, beat=0.05)) as supervisor, caplog.at_level(logging.ERROR):
        result = wait_for_it.delay()
        eventually(lambda: started)
        cid = supervisor.fetcher.cid
        other = app.broker.consumer(
            ["celery"], "other", limits=Limits(lease=0.01, clock=lambda: time.monotonic() * 1e6)
        )
        other.beat()
        server = app.broker._server
        with server.reach():  # what a reaper does to an incarnation whose beat stands still
            server.beats.pop(cid)
            for message in server.held.pop(cid).values():
                server.put_back(message)
        eventually(lambda: supervisor.fetcher.cid not in {cid, ""})
        go.append(1)
        assert result.get(timeout=5) >= 1
    assert "silent for longer than its lease" in caplog.text
    assert len(started) == 2, "the message was run by the new incarnation"


def test_thousands_of_small_tasks_all_come_back(app, pool):
    @app.task
    def add(x, y):
        return x + y

    with serve(app, pool):
        results = app.send_many([add.s(n, n) for n in range(3000)])
        assert [result.get(timeout=20) for result in results] == [2 * n for n in range(3000)]
    assert app.broker.size("celery").held == 0


def test_the_caller_of_a_message_with_an_unreadable_body_is_told(app):
    @app.task(serializer="yaml")
    def add(x, y):
        return x + y

    result = add.delay(1, 2)
    with serve(app):
        with pytest.raises(InvalidTaskError, match="accept_content"):
            result.get(timeout=5)
        eventually(app.broker.dead)


def test_results_on_another_server_than_the_messages_come_back_too(pool):
    name = uuid.uuid4().hex
    app = Skirret("t", broker=f"memory://{name}-a", backend=f"memory://{name}-b", set_as_current=False)

    @app.task(bind=True, track_started=True)
    def flaky(self, x):
        if not self.request.retries:
            raise self.retry(countdown=0.01)
        return x

    with serve(app, pool):
        assert [flaky.delay(n).get(timeout=5) for n in range(5)] == list(range(5))
    assert app.broker.size("celery").held == app.broker.size("celery").ready == 0
    app.close()
