"""Every pool tells monitors the same of its tasks, through the real command line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skirret import Skirret
from skirret.errors import WorkerLostError
from skirret.events.schema import COMMON
from tests.acceptance.processes import running
from tests.acceptance.test_events import until

TASKS = """
import os, signal, time
from skirret import Skirret

app = Skirret("shop", broker=os.environ["URL"], backend=os.environ["URL"])
app.conf.task_send_sent_event = True

@app.task(bind=True)
def pay(self, order):
    self.send_event("task-progress", done=order)
    return order

@app.task
def fail():
    raise ValueError("bad")

@app.task
async def nap(seconds):
    import asyncio
    await asyncio.sleep(seconds)

@app.task
def sleep(seconds):
    time.sleep(seconds)

@app.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Monitor:
    """Hears a fleet in a thread; hangs up in the end."""

    def __init__(self, app: Skirret) -> None:
        self.app = app
        self.events: list[dict[str, Any]] = []
        self.receiver = app.events.Receiver(handlers={"*": self.events.append})
        self.thread = threading.Thread(target=self.receiver.capture)

    def kinds(self, task_id: str) -> list[str]:
        """The types of a task's events from its worker."""
        mine = [event for event in list(self.events) if event.get("uuid") == task_id and event["hostname"] == "w1@h"]
        return [event["type"].removeprefix("task-") for event in mine]

    def last(self, task_id: str) -> dict[str, Any]:
        return [event for event in self.events if event.get("uuid") == task_id][-1]


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Monitor]:
    url = f"sqlite:///{tmp_path}/queue.sqlite3"
    app = Skirret("monitor", broker=url, backend=url, set_as_current=False)
    monitor = Monitor(app)
    monitor.thread.start()
    yield monitor
    monitor.receiver.should_stop = True
    monitor.thread.join(30)
    app.close()


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "solo", "gevent", "eventlet"])
def test_success_failure_and_a_long_run_are_told(pool, tmp_path, monitor):
    (tmp_path / "shop.py").write_text(TASKS)
    env = {"URL": monitor.app.broker_url_in_use()}
    app, concurrency = monitor.app, "" if pool == "solo" else "-c 2"
    with running(f"skirret -A shop worker -P {pool} {concurrency} -E -n w1@h -l info", tmp_path, env) as worker:
        worker.wait_until_it_says("ready.", 30.0)
        paid, failed = app.send_task("shop.pay", (7,)), app.send_task("shop.fail")
        until(lambda: "succeeded" in monitor.kinds(paid.id) and "failed" in monitor.kinds(failed.id))
        assert sorted(monitor.kinds(paid.id)) == ["progress", "received", "started", "succeeded"]
        assert monitor.last(paid.id)["result"] == "7"
        assert monitor.kinds(failed.id) == ["received", "started", "failed"]
        assert monitor.last(failed.id)["exception"] == "ValueError('bad')"
        long = app.send_task("shop.nap" if pool == "asyncio" else "shop.sleep", (2.0,))
        until(lambda: monitor.kinds(long.id) == ["received", "started"])
        until(lambda: monitor.kinds(long.id) == ["received", "started", "succeeded"])
        assert worker.stop() == 0
    until(lambda: monitor.events[-1]["type"] == "worker-offline")
    assert monitor.events[-1]["processed"] == 3


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_that_its_worker_leaves_to_others_is_told_as_cancelled(pool, tmp_path, monitor):
    (tmp_path / "shop.py").write_text(TASKS)
    env = {"URL": monitor.app.broker_url_in_use()}
    command = f"skirret -A shop worker -P {pool} -c 1 -E -n w1@h -l info"
    with running(command, tmp_path, env) as worker:
        worker.wait_until_it_says("ready.", 30.0)
        sent = monitor.app.send_task("shop.sleep", (60.0,))
        until(lambda: monitor.kinds(sent.id) == ["received", "started"])
        worker.stop(signal.SIGQUIT)
    until(lambda: monitor.events[-1]["type"] == "worker-offline")
    assert monitor.kinds(sent.id) == ["received", "started", "cancelled"]
    assert set(monitor.last(sent.id)) >= {*COMMON, "uuid"}
    with running(command, tmp_path, env) as worker:  # what was cancelled is not lost
        until(lambda: monitor.kinds(sent.id)[3:] == ["received", "started"])
        worker.stop(signal.SIGQUIT)


def test_a_task_that_kills_its_process_is_told_as_failed_once_it_is_given_up(tmp_path, monitor):
    (tmp_path / "shop.py").write_text(TASKS)
    env = {"URL": monitor.app.broker_url_in_use(), "SKIRRET_WORKER_CRASH_LIMIT": "2"}
    with running("skirret -A shop worker -c 1 -E -n w1@h -l info", tmp_path, env) as worker:
        worker.wait_until_it_says("ready.", 30.0)
        sent = monitor.app.send_task("shop.die")
        until(lambda: "failed" in monitor.kinds(sent.id))
        assert monitor.last(sent.id)["exception"].startswith("WorkerLostError(")
        with pytest.raises(WorkerLostError):
            sent.get(timeout=10)
