"""On Redis too nothing waits behind a stuck task, and what a dead worker held goes back to where it came from."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import running
from tests.acceptance.redis_load import RedisProject, left_over
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOLDER = """
import sys, time
from skirret.brokers.open import open_broker
consumer = open_broker(sys.argv[1]).consumer(["a", "b"], "f" * 32)
held = consumer.take(6, 5.0)
consumer.queues(["c"])
held += consumer.take(3, 5.0)
consumer.queues(["nothing"])
print("holds", len(held), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def project(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisProject]:
    monkeypatch.delenv("SKIRRET_HOME")
    server.ask("FLUSHALL")
    project = RedisProject(tmp_path, server.url)
    yield project
    project.app.close()


def warm_up(project: RedisProject) -> None:
    for result in project.send_many("short", [f"warm-{n}" for n in range(50)]):
        result.get(timeout=10)


def test_nothing_waits_behind_a_task_that_holds_the_gil(project: RedisProject, server: RedisServer) -> None:
    with project.worker("-c 2") as worker:
        warm_up(project)
        stuck = project.send("hold_the_gil", "stuck", 5)
        wait_until(lambda: project.count("start")["stuck"])
        began = time.monotonic()
        for result in project.send_many("short", list(range(100))):
            result.get(timeout=5)
        took = time.monotonic() - began
        assert took < 0.5, f"{took:.3f} s for 100 tasks of 1 ms beside one that is stuck for 5 s"
        assert not project.count("end")["stuck"]
        stuck.get(timeout=10)
        assert worker.stop() == 0
    assert set(project.count("start").values()) == {1}
    assert left_over(server) == []


def test_a_second_worker_finishes_what_a_stuck_one_holds(project: RedisProject, server: RedisServer) -> None:
    with project.worker("-c 2 -n one@%h") as one:
        warm_up(project)
        stuck = project.send_many("hold_the_gil", ["a", "b"], 5)
        wait_until(lambda: len(project.count("start")) == 52)
        waiting = project.send_many("short", list(range(100)))
        with project.worker("-c 2 -n two@%h") as two:
            began = time.monotonic()
            for result in waiting:
                result.get(timeout=5)
            took = time.monotonic() - began
            assert took < 1.0, f"{took:.3f} s"
            assert not any(result.ready() for result in stuck)
            for result in stuck:
                result.get(timeout=10)
            assert two.stop() == 0
        assert one.stop() == 0
    assert set(project.count("start").values()) == {1}
    assert left_over(server) == []


def test_a_stuck_task_delays_neither_delayed_tasks_nor_those_of_higher_priority(project: RedisProject) -> None:
    with project.worker("-c 2"):
        warm_up(project)
        project.send("hold_the_gil", "stuck", 4)
        wait_until(lambda: project.count("start")["stuck"])
        project.send_many("short", list(range(200)), 0.01)
        late = project.send("quick", "late", countdown=0.3)
        urgent = project.send("quick", "urgent", priority=9)
        began = time.monotonic()
        urgent.get(timeout=3)
        assert time.monotonic() - began < 0.5
        late.get(timeout=3)
        assert not project.count("end")["stuck"]


def test_a_dead_workers_messages_go_back_each_to_its_own_queue_also_after_changes_of_queues(
    project: RedisProject, server: RedisServer
) -> None:
    app = project.app
    for queue in "abc":
        for n in range(3):
            project.send("quick", f"{queue}{n}", queue=queue, priority=3 * n)
    holder = project.directory / "holder.py"
    holder.write_text(HOLDER)
    with running(f"{sys.executable} {holder} {server.url}", project.directory) as program:
        program.wait_until_it_says("holds 9")
        assert [app.broker.size(queue).held for queue in "abc"] == [3, 3, 3]
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
    with project.worker("-c 1 -Q elsewhere") as worker:
        wait_until(lambda: not any(app.broker.size(queue).held for queue in "abc"), 3.0 + 5.0)
        assert "Took over 9 message(s)" in worker.said()
        assert worker.stop() == 0
    for queue in "abc":
        waiting = app.broker.peek(queue)
        assert [one.priority for one in waiting] == [6, 3, 0]
        assert {one.deliveries for one in waiting} == {1}
    with project.worker("-c 1 -Q c,b,a") as worker:
        wait_until(lambda: len(project.count("start")) == 9)
        assert worker.stop() == 0
    assert set(project.count("start").values()) == {1}
    assert left_over(server) == []
