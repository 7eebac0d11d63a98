"""What hooks and signals are told of a run, on each pool: at which moment, with what, and what a veto does."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator

import pytest

from skirret import Middleware, Skirret, context, current_task, signals
from skirret.errors import Ignore, Reject
from skirret.testing.worker import worker


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture(params=["solo", "threads", "asyncio"])
def pool(request: pytest.FixtureRequest) -> str:
    return request.param


def eventually(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not become true"
        time.sleep(0.002)


def serve(app: Skirret, pool: str):
    return worker(app, pool=pool, slots=1 if pool == "solo" else 4)


class Told(Middleware):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = []

    def before_run(self, task, request):
        self.heard.append(("before_run", task.name, request.id, current_task.name))

    def succeeded(self, task, request, value, runtime):
        assert runtime >= 0
        self.heard.append(("succeeded", task.name, request.id, value))

    def failed(self, task, request, error, runtime):
        self.heard.append(("failed", task.name, request.id, repr(error.exception)))

    def retried(self, task, request, reason, error):
        self.heard.append(("retried", task.name, request.id, repr(reason.exc)))

    def after_run(self, task, request, state, value):
        self.heard.append(("after_run", task.name, request.id, state, current_task.name))


class ToldLater(Told):
    """The same by coroutines."""

    async def before_run(self, task, request):
        await asyncio.sleep(0)
        super().before_run(task, request)

    async def succeeded(self, task, request, value, runtime):
        await asyncio.sleep(0)
        super().succeeded(task, request, value, runtime)

    async def after_run(self, task, request, state, value):
        await asyncio.sleep(0)
        super().after_run(task, request, state, value)


@pytest.mark.parametrize("kind", [Told, ToldLater])
def test_hooks_hear_each_way_a_run_ends(app, pool, kind):
    told = app.middleware.add(kind())

    @app.task(name="good")
    def good():
        told.heard.append("running")
        return 1

    @app.task(name="bad")
    async def bad():
        raise ValueError("x")

    @app.task(name="again", bind=True)
    def again(self):
        if not self.request.retries:
            self.retry(countdown=0, exc=KeyError("k"))

    with serve(app, pool):
        first, second, third = good.delay(), bad.delay(), again.delay()
        first.get(timeout=5), third.get(timeout=5)
        with pytest.raises(ValueError, match="x"):
            second.get(timeout=5)
    mine = [entry for entry in told.heard if entry == "running" or entry[2] == first.id]
    assert mine == [
        ("before_run", "good", first.id, "good"),
        "running",
        ("succeeded", "good", first.id, 1),
        ("after_run", "good", first.id, "SUCCESS", "good"),
    ]
    assert [entry[0] for entry in told.heard if entry[2] == second.id] == ["before_run", "failed", "after_run"]
    assert [entry[3] for entry in told.heard if entry[2] == third.id and entry[0] in {"retried", "after_run"}] == [
        "KeyError('k')",
        "RETRY",
        "SUCCESS",
    ]


@pytest.mark.parametrize("sort", [0, 1], ids=["plain", "coroutine"])
def test_before_run_may_keep_a_task_from_running(app, pool, sort):
    class Refusing(Middleware):
        def before_run(self, task, request):
            raise Ignore("not today")

    class RefusingLater(Middleware):
        async def before_run(self, task, request):
            await asyncio.sleep(0)
            raise Reject("never")

    ran, ends = [], []
    app.middleware.add((Refusing, RefusingLater)[sort])
    signals.task_postrun.connect(record := lambda state, **_: ends.append(state))

    @app.task
    def wanted():
        ran.append(1)

    with serve(app, pool):
        wanted.delay()
        eventually(lambda: ends)
    assert (ran, ends) == ([], [("IGNORED", "REJECTED")[sort]])
    del record


def test_a_broken_hook_leaves_the_task_alone(app, pool):
    class Broken(Middleware):
        def before_run(self, task, request):
            raise ZeroDivisionError

        async def succeeded(self, task, request, value, runtime):
            raise SystemExit

        def after_run(self, task, request, state, value):
            raise ZeroDivisionError

    app.middleware.add(Broken)

    @app.task
    def add(x, y):
        return x + y

    with serve(app, pool):
        assert [add.delay(n, 1).get(timeout=5) for n in range(3)] == [1, 2, 3]


def test_signals_are_told_once_with_celerys_arguments(app, pool):
    heard = []
    names = ["task_prerun", "task_success", "task_failure", "task_postrun"]
    kept = []
    for name in names:

        def receiver(signal, sender, name=name, **named):
            heard.append((name, sender.name, sorted(named)))

        kept.append(receiver)
        getattr(signals, name).connect(receiver)

    @app.task(name="good")
    def good():
        return 1

    @app.task(name="bad")
    def bad():
        raise ValueError

    with serve(app, pool):
        good.delay().get(timeout=5)
        with pytest.raises(ValueError):
            bad.delay().get(timeout=5)
    run = ["args", "kwargs", "task", "task_id"]
    assert heard == [
        ("task_prerun", "good", run),
        ("task_success", "good", ["result", "runtime"]),
        ("task_postrun", "good", sorted([*run, "retval", "state"])),
        ("task_prerun", "bad", run),
        ("task_failure", "bad", ["args", "einfo", "exception", "kwargs", "task_id", "traceback"]),
        ("task_postrun", "bad", sorted([*run, "retval", "state"])),
    ]


def test_each_coroutine_of_a_slot_knows_its_own_call(app):
    @app.task(bind=True)
    async def who(self):
        return self.request.id

    with serve(app, "solo"):
        results = [who.delay() for _ in range(3)]
        assert [result.get(timeout=5) for result in results] == [result.id for result in results]


def test_publishing_hooks_see_calls_retries_and_callbacks_once_each(app):
    class Post(Middleware):
        def __init__(self):
            self.before, self.after = [], []

        def before_publish(self, outgoing):
            outgoing.headers["tenant"] = "acme"
            self.before.append((outgoing.task, outgoing.headers["retries"]))

        def after_publish(self, outgoing):
            self.after.append((outgoing.task, outgoing.headers["retries"]))

    post, seen = app.middleware.add(Post()), []

    @app.task(name="first", bind=True)
    def first(self):
        seen.append(self.request.headers["tenant"])
        if not self.request.retries:
            self.retry(countdown=0)

    @app.task(name="second", bind=True)
    def second(self):
        seen.append(self.request.headers["tenant"])

    with serve(app, "solo"):
        first.apply_async(link=second.si())
        eventually(lambda: len(seen) == 3)
    assert post.before == sorted(post.after) == [("first", 0), ("first", 1), ("second", 0)]
    assert seen == ["acme"] * 3


def test_a_coroutine_hook_is_awaited_by_adelay_and_may_refuse(app):
    class Slow(Middleware):
        def __init__(self):
            self.loops = []

        async def before_publish(self, outgoing):
            self.loops.append(asyncio.get_running_loop())
            if outgoing.body[0] == (2,):
                raise Reject("two is one too many")
            outgoing.headers["slow"] = 1

        async def after_publish(self, outgoing):
            self.loops.append(asyncio.get_running_loop())

    slow = app.middleware.add(Slow())

    @app.task(bind=True)
    def show(self, x):
        return self.request.headers["slow"]

    async def main():
        result = await show.adelay(1)
        with pytest.raises(Reject, match="one too many"):
            await show.adelay(2)
        return result, asyncio.get_running_loop()

    with serve(app, "solo"):
        result, loop = asyncio.run(main())
        assert result.get(timeout=5) == 1
    assert slow.loops == [loop] * 3


def test_hooks_that_are_coroutines_leave_nothing_of_their_task_behind(app, pool):
    app.middleware.add(ToldLater())
    depths = []

    @app.task
    def deep():
        depths.append(len(context.task_stack()))

    with serve(app, pool):
        for _ in range(3):
            deep.delay().get(timeout=5)
    assert depths == [1, 1, 1]
