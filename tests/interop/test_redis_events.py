"""Events on Redis across the border: Celery's monitor hears our worker and client, ours hears Celery's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import celery
import pytest

from skirret import Skirret
from skirret.events.schema import COMMON, FIELDS
from tests.interop.fleet import OURS, THEIRS, Fleet, end, until
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore:Call to deprecated")]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Each side's worker with -E, on a queue of its own name."""
    directory = tmp_path_factory.mktemp("events")
    server = RedisServer(redis_binary(), directory / "redis")
    fleet = Fleet(server, directory)
    try:
        with (
            fleet.our_worker(OURS, "-c 2 -E -n ours@h"),
            fleet.their_worker(THEIRS, "-c 2 -E -n theirs@h"),
            fleet.clients(),
        ):
            fleet.ours.conf.task_send_sent_event = True
            fleet.theirs.conf.task_send_sent_event = True
            yield fleet
    finally:
        server.stop()


class Monitor:
    """One side's receiver in a thread, with that side's state."""

    def __init__(self, app: Any, connection: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.state = app.events.State()
        self.receiver = app.events.Receiver(connection, handlers={"*": self.take})
        self.thread = threading.Thread(target=self._run)

    def take(self, event: dict[str, Any]) -> None:
        self.events.append(dict(event))  # Celery's state adds to it
        self.state.event(event)

    def _run(self) -> None:
        self.receiver.capture(limit=None, timeout=None, wakeup=False)

    def __enter__(self) -> Self:
        self.thread.start()
        until(lambda: {"ours@h", "theirs@h"} <= set(self.state.workers), 30.0)  # heartbeats are heard
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.receiver.should_stop = True
        self.thread.join(30)

    def of(self, task_id: str, *needed: str) -> dict[str, dict[str, Any]]:
        """The events of a task by type, once the needed ones are among them."""

        def found() -> dict[str, dict[str, Any]]:
            mine = {event["type"]: event for event in list(self.events) if event.get("uuid") == task_id}
            return mine if mine.keys() >= set(needed) else {}

        return until(found, 30.0)


@pytest.fixture(scope="module")
def celerys(fleet: Fleet) -> Iterator[Monitor]:
    """Celery's own receiver and state."""
    app = celery.Celery("monitor", broker=fleet.server.url, set_as_current=False)
    with app.connection() as connection, Monitor(app, connection) as monitor:
        yield monitor
    end(app)


@pytest.fixture(scope="module")
def ours(fleet: Fleet) -> Iterator[Monitor]:
    """Our receiver and state."""
    with (
        Skirret("monitor", broker=fleet.server.url, set_as_current=False) as app,
        Monitor(app, app.connection()) as monitor,
    ):
        yield monitor


BOTH = pytest.mark.parametrize("queue", [OURS, THEIRS])
EVERYBODY = pytest.mark.parametrize("monitor", ["celerys", "ours"])


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Callable[[str], Monitor]:
    return request.getfixturevalue


@BOTH
@EVERYBODY
def test_a_success_is_followed_from_the_client_to_its_end(fleet, watch, monitor, queue):
    monitor = watch(monitor)
    sent = fleet.client(queue).send_task("jobs.add", (2, 3), queue=queue)
    events = monitor.of(sent.id, "task-sent", "task-succeeded")
    assert set(events) == {"task-sent", "task-received", "task-started", "task-succeeded"}
    for kind, event in events.items():
        assert set(event) - {"local_received"} == {*COMMON, *FIELDS[kind]}
    assert events["task-sent"]["queue"] == queue
    task = until(lambda: monitor.state.tasks.get(sent.id))
    assert (task.state, task.name, task.args, task.kwargs) == ("SUCCESS", "jobs.add", "(2, 3)", "{}")
    assert (task.result, task.worker.hostname) == ("5", f"{queue}@h")
    assert task.runtime > 0
    assert None not in {task.sent, task.received, task.started, task.succeeded}


@BOTH
@EVERYBODY
def test_a_failure_and_a_retry_are_heard(fleet, watch, monitor, queue):
    monitor = watch(monitor)
    failed = fleet.client(queue).send_task("jobs.fail", ("value", "bad"), queue=queue)
    event = monitor.of(failed.id, "task-failed")["task-failed"]
    assert event["exception"] == "ValueError('bad')"
    assert event["traceback"].startswith("Traceback")
    assert until(lambda: monitor.state.tasks[failed.id].state == "FAILURE")
    flaky = fleet.client(queue).send_task("jobs.flaky", (1,), queue=queue)
    events = monitor.of(flaky.id, "task-succeeded")
    assert "try 0" in events["task-retried"]["exception"]
    assert events["task-received"]["retries"] == 1


@BOTH
@EVERYBODY
def test_a_tasks_own_event_is_heard_under_its_workers_name(fleet, watch, monitor, queue):
    sent = fleet.client(queue).send_task("jobs.progress", queue=queue)
    event = watch(monitor).of(sent.id, "task-progress")["task-progress"]
    assert (event["done"], event["hostname"]) == (3, f"{queue}@h")


@BOTH
@EVERYBODY
def test_an_expired_task_is_heard_as_revoked(fleet, watch, monitor, queue):
    sent = fleet.client(queue).send_task("jobs.who", queue=queue, expires=-1)
    event = watch(monitor).of(sent.id, "task-revoked")["task-revoked"]
    assert (event["expired"], event["terminated"]) == (True, False)


@EVERYBODY
def test_workers_are_alive_by_their_heartbeats_and_told_alike(watch, monitor):
    monitor = watch(monitor)
    assert {worker.hostname for worker in monitor.state.alive_workers()} == {"ours@h", "theirs@h"}
    one, other = monitor.state.workers["ours@h"], monitor.state.workers["theirs@h"]
    for name in ("hostname", "pid", "freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"):
        assert type(getattr(one, name)) is type(getattr(other, name)), name
    assert one.freq == other.freq == 2.0
    assert one.sw_sys == other.sw_sys
    assert len(one.loadavg) == 3


@EVERYBODY
def test_a_long_task_of_ours_is_heard_as_started_while_it_runs(fleet, watch, monitor):
    monitor = watch(monitor)
    began = time.time()
    sent = fleet.client(OURS).send_task("jobs.work", ("long", 3.0), queue=OURS)
    event = monitor.of(sent.id, "task-started")["task-started"]
    assert "task-succeeded" not in {one["type"] for one in monitor.events if one.get("uuid") == sent.id}
    assert 0 <= event["timestamp"] - began < 3.0
    assert event["local_received"] - event["timestamp"] < 2.0  # 0.3 s on a machine that has time
    monitor.of(sent.id, "task-succeeded")


def test_our_receiver_asks_for_heartbeats_and_outlives_a_restart_of_the_server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("restart")
    server = RedisServer(redis_binary(), directory / "redis")
    fleet = Fleet(server, directory)
    try:
        with (
            fleet.our_worker(OURS, "-c 1 -n ours@h --heartbeat-interval 600"),
            Skirret("monitor", broker=server.url, set_as_current=False) as app,
        ):
            heard: list[dict[str, Any]] = []
            receiver = app.events.Receiver(handlers={"worker-heartbeat": heard.append})
            thread = threading.Thread(target=receiver.capture, kwargs={"wakeup": True})
            thread.start()
            until(lambda: heard, 30.0)  # the next one by itself would come in ten minutes
            server.restart()

            def again() -> bool:
                app.control.heartbeat()
                return len(heard) > before

            before = len(heard)
            until(again, 40.0)
            receiver.should_stop = True
            thread.join(30)
            assert not thread.is_alive()
    finally:
        server.stop()
