"""What the live view's keys ask of a fleet, asked of a real worker on Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skirret import Skirret
from skirret.cli.top.feed import Feed
from skirret.cli.top.fleet import Fleet, TaskRow
from tests.acceptance.processes import Program, running
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

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
