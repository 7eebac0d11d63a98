"""What the live view's keys do to a real worker on Redis: asked of its feed, and pressed on its screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import DataTable

from skirret import Skirret
from skirret.cli.top.dialogs import Ask
from skirret.cli.top.feed import Feed
from skirret.cli.top.fleet import Fleet, TaskRow
from skirret.cli.top.screen import Top
from tests.acceptance.processes import Program, running
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TASKS = """
import os, time
from skirret import Skirret

app = Skirret("shop", broker=os.environ["URL"], backend=os.environ["URL"])

@app.task
def nap(seconds):
    time.sleep(seconds)
    return seconds
"""
NODE = "w1@h"


def until(condition: Callable[[], object], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.02)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = RedisServer(redis_binary(), tmp_path / "redis")
    yield server.url
    server.stop()


@pytest.fixture
def worker(tmp_path: Path, url: str) -> Iterator[Program]:
    (tmp_path / "shop.py").write_text(TASKS)
    with running(f"skirret -A shop worker -c 2 -n {NODE} -l info", tmp_path, {"URL": url}) as worker:
        worker.wait_until_it_says("ready.", 30.0)
        yield worker


def test_a_worker_is_made_to_tell_and_its_tasks_and_queue_and_itself_are_steered(worker, url):
    app = Skirret("monitor", broker=url, backend=url, set_as_current=False)
    fleet = Fleet()
    feed = Feed(app, fleet)
    feed.start()

    def row(task_id: str) -> TaskRow | None:
        return next((row for row in fleet.tasks(100) if row.id == task_id), None)

    try:
        until(lambda: [one.name for one in fleet.workers()] == [NODE])
        assert "will tell" in feed.tell_events([NODE])
        until(lambda: app.send_task("shop.nap", (0,)).get(timeout=30) == 0 and fleet.workers()[0].tells)
        running_task = app.send_task("shop.nap", (300,))
        until(lambda: (found := row(running_task.id)) is not None and found.state == "STARTED")
        until(lambda: fleet.workers()[0].active == 1)
        assert "terminated" in feed.revoke(running_task.id, terminate=True)
        until(lambda: (found := row(running_task.id)) is not None and found.state == "REVOKED")
        assert "paused" in feed.pause("celery", on=True)
        assert [(queue.name, queue.paused) for queue in fleet.queues] == [("celery", True)]
        worker.wait_until_it_says("paused: nothing is taken from it")
        waits = app.send_task("shop.nap", (0,))
        until(lambda: fleet.queues[0].ready == 1)
        assert "resumed" in feed.pause("celery", on=False)
        assert waits.get(timeout=30) == 0
        assert "shuts down" in feed.shut_down(NODE)
        assert worker.wait(30) == 0
        until(lambda: not fleet.workers()[0].alive)
    finally:
        feed.stop()
        app.close()


async def shows(pilot: Any, condition: Callable[[], object], patience: float = 30.0) -> None:
    """Wait while the view lives."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        await pilot.pause(0.02)


async def press_and_confirm(pilot: Any, key: str) -> None:
    """Press a key that asks first, and say yes."""
    await pilot.press(key)
    await shows(pilot, lambda: isinstance(pilot.app.screen, Ask))
    await pilot.press("y")
    await shows(pilot, lambda: not isinstance(pilot.app.screen, Ask))


@pytest.mark.parametrize("pool", ["prefork", "threads"])
async def test_each_key_does_to_a_real_worker_what_its_label_says(tmp_path, url, pool):
    (tmp_path / "shop.py").write_text(TASKS)
    app = Skirret("monitor", broker=url, backend=url, set_as_current=False)
    app.conf.task_send_sent_event = True
    fleet = Fleet()
    view = Top(fleet, Feed(app, fleet), url, 0.2)

    def state(task_id: str) -> str:
        return next((row.state for row in fleet.tasks(100) if row.id == task_id), "")

    def said(words: str) -> bool:
        return any(words in note.message for note in view._notifications)

    async def choose(task_id: str) -> None:
        table = view.query_one("#tasks", DataTable)
        await shows(pilot, lambda: task_id in {row.id for row in view._shown["tasks"]})
        table.move_cursor(row=table.get_row_index(task_id))
        assert view.chosen("tasks").id == task_id

    def running_of(naps: list[Any]) -> int:
        return [state(nap.id) for nap in naps].count("STARTED")

    async def slots() -> int:
        told = await asyncio.to_thread(app.control.inspect([NODE]).stats)
        return told[NODE]["pool"]["max-concurrency"]

    async def send(seconds: float) -> Any:
        return await asyncio.to_thread(app.send_task, "shop.nap", (seconds,))

    command = f"skirret -A shop worker -P {pool} -c 2 -n {NODE} -l info"
    try:
        with running(command, tmp_path, {"URL": url}) as worker:
            worker.wait_until_it_says("ready.", 30.0)
            async with view.run_test(size=(140, 40), notifications=True) as pilot:
                await shows(pilot, lambda: [row.name for row in fleet.workers()] == [NODE] and fleet.queues)
                await pilot.press("e")
                await shows(pilot, lambda: said("will tell of their tasks"))
                assert await slots() == 2
                naps = [await send(300) for _ in range(3)]
                await shows(pilot, lambda: running_of(naps) == 2)
                await pilot.press("plus")
                await shows(pilot, lambda: said(f"{NODE}: pool will grow"))
                await shows(pilot, lambda: running_of(naps) == 3)
                assert await slots() == 3
                for nap in naps:
                    await choose(nap.id)
                    await press_and_confirm(pilot, "t")
                    await shows(pilot, lambda nap=nap: state(nap.id) == "REVOKED")
                await pilot.press("minus")
                await shows(pilot, lambda: said(f"{NODE}: pool will shrink"))
                deadline = time.monotonic() + 30.0
                while await slots() != 2:
                    assert time.monotonic() < deadline, "it did not shrink"
                await pilot.press("p")
                await shows(pilot, lambda: [queue.paused for queue in fleet.queues] == [True])
                await shows(pilot, lambda: "paused: nothing is taken from it" in worker.said())
                never, waits = await send(0), await send(0)
                await choose(never.id)
                await press_and_confirm(pilot, "x")
                await shows(pilot, lambda: said(f"Task {never.id} is revoked."))
                await pilot.press("p")
                await shows(pilot, lambda: [queue.paused for queue in fleet.queues] == [False])
                await shows(pilot, lambda: (state(never.id), state(waits.id)) == ("REVOKED", "SUCCESS"))
                assert (await asyncio.to_thread(app.AsyncResult, never.id)).state == "REVOKED"
                await press_and_confirm(pilot, "s")
                await shows(pilot, lambda: not fleet.workers()[0].alive)
            assert worker.wait(30) == 0
    finally:
        app.close()
