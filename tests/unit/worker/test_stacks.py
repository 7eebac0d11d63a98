"""What running tasks do now: the stack of each, wherever it runs, and the name of one that blocks its loop."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from skirret import Skirret
from skirret.testing.worker import worker
from skirret.worker.child import stacks
from skirret.worker.child.stacks import look
from skirret.worker.frames import ASKED


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False, worker_blocked_loop_warning=0.4)
    yield app
    app.close()


@pytest.mark.parametrize("pool", ["solo", "threads", "asyncio"])
def test_the_stack_of_each_running_task_is_told(app, pool):
    begun, go = threading.Semaphore(0), threading.Event()

    def deep_inside():
        begun.release()
        go.wait(10)

    async def deep_await():
        begun.release()
        while not go.is_set():  # noqa: ASYNC110  another thread says when
            await asyncio.sleep(0.01)

    @app.task(name="plain")
    def plain():
        deep_inside()

    @app.task(name="coroutine")
    async def coroutine():
        await deep_await()

    for task, innermost in ((plain, "deep_inside"), (coroutine, "deep_await")):
        go.clear()
        with worker(app, pool=pool, slots=1 if pool == "solo" else 2):
            result = task.delay()
            assert begun.acquire(timeout=10)
            (told,) = look(None)
            go.set()
            result.get(timeout=10)
        assert (told.id, told.name) == (result.id, task.name)
        text = "\n".join(told.lines)
        assert innermost in text
        assert task.__name__ in text
        assert "run_one" not in text


def test_nothing_is_told_while_nothing_runs(app):
    with worker(app, pool="threads", slots=2):
        assert list(look(None)) == []


def test_a_pool_says_where_the_answer_is_sent_from_as_a_hub_must_not_wait_for_a_thread(monkeypatch):
    sent, later = [], []
    before = signal.getsignal(ASKED)
    monkeypatch.setattr(stacks.PLACES, "apart", lambda work, *args: later.append((work, args)))
    try:
        stacks.answer(sent.append)
        signal.raise_signal(ASKED)
    finally:
        signal.signal(ASKED, before)
    assert sent == [], "it may have come in the middle of a report"
    ((work, args),) = later
    work(*args)
    assert [found.stacks for found in sent] == [[]]


def test_a_task_that_blocks_the_event_loop_is_named_with_the_place(app, caplog):
    @app.task(name="rude")
    async def rude():
        time.sleep(1.2)  # noqa: ASYNC251  that is the point

    @app.task(name="polite")
    async def polite():
        await asyncio.sleep(1.2)

    with caplog.at_level(logging.WARNING, "skirret.worker"), worker(app, pool="asyncio", slots=2):
        polite.delay().get(timeout=10)
        assert "event loop" not in caplog.text
        result = rude.delay()
        result.get(timeout=10)
    text = caplog.text
    assert f"Task rude[{result.id}] has blocked the event loop for" in text
    assert "time.sleep(1.2)" in text
    assert "polite" not in text
