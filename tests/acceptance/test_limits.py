"""Limits with real workers, on Redis and on the embedded file: held across processes, and whoever is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.coordination import keys
from tests.acceptance.faulty import Project, wait_until
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


EVERYWHERE = pytest.mark.parametrize("project", ["redis", "sqlite"], indirect=True)
REDIS = pytest.mark.parametrize("project", ["redis", pytest.param("sqlite", marks=pytest.mark.soak)], indirect=True)


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    url = ""
    if request.param == "redis":
        server = request.getfixturevalue("server")
        server.ask("FLUSHALL")
        url = server.url
    project = Project(tmp_path, url, module="limits_app")
    project.env["SKIRRET_WORKER_LEASE"] = "3"
    yield project
    project.app.close()


def most_at_once(lines: list[list[str]]) -> int:
    """How many ran at a time at most."""
    running = most = 0
    for _, word in sorted((float(moment), word) for word, _, _, moment in lines):
        running += 1 if word == "start" else -1
        most = max(most, running)
    return most


def inside(project: Project, key: str) -> list[str]:
    return project.app.coordination.members(keys.slots(key))


@EVERYWHERE
def test_no_more_run_at_a_time_than_the_fleet_may_and_others_go_on(project: Project) -> None:
    name = "limits_app.two_at_a_time"
    with project.worker("-c 3 -n one@%h") as one, project.worker("-c 3 -n two@%h") as two:
        limited = project.send_many("two_at_a_time", list(range(24)))
        began = time.monotonic()
        for result in project.send_many("free", [f"free-{n}" for n in range(100)]):
            result.get(timeout=20)
        quick = time.monotonic() - began
        for result in limited:
            result.get(timeout=30)
        took = time.monotonic() - began
        assert one.stop() == two.stop() == 0
    assert quick < took, "they waited for the limited ones"
    assert took >= 24 * 0.05 / 2
    lines = [line for line in project.lines() if not line[1].startswith("free")]
    assert most_at_once(lines) == 2
    assert set(project.count("start").values()) == {1}
    assert inside(project, name) == []


@REDIS
def test_the_slots_of_a_killed_worker_are_free_when_its_lease_is_over(project: Project) -> None:
    name = "limits_app.two_at_a_time"
    with project.worker("-c 2 -n one@%h") as one:
        project.send_many("two_at_a_time", ["a", "b"], 600)
        wait_until(lambda: project.count("start").keys() == {"a", "b"})
        assert len(inside(project, name)) == 2
        with project.worker("-c 3 -n two@%h") as two:
            waiting = project.send_many("two_at_a_time", list(range(6)))
            project.send("free", "meanwhile").get(timeout=10)
            assert not any(result.ready() for result in waiting)
            project.app.broker.purge("celery")  # those that wait; what the dead one holds comes back all the same
            one.process.send_signal(signal.SIGKILL)
            one.process.wait()
            killed = time.monotonic()
            wait_until(lambda: project.count("start")["a"] + project.count("start")["b"] == 4, 3 + 15)
            assert time.monotonic() - killed > 1.0, "nobody can know yet that the slots are free"
            assert two.stop(signal.SIGQUIT) == 0
    assert most_at_once([line for line in project.lines() if line[1] in "ab"]) <= 4


@REDIS
def test_each_customer_has_a_slot_of_his_own_and_a_killed_child_frees_it(project: Project) -> None:
    with project.worker("-c 4") as worker:
        results = [project.send("one_a_customer", f"{customer}{n}", customer) for n in range(5) for customer in "ab"]
        for result in results:
            result.get(timeout=20)
        for customer in "ab":
            assert most_at_once([line for line in project.lines() if line[1].startswith(customer)]) == 1
        project.send("one_a_customer", "victim", "c", 600)
        wait_until(lambda: project.count("start")["victim"])
        (pid,) = [int(line[2]) for line in project.lines() if line[1] == "victim"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: project.count("start")["victim"] == 2)
        assert worker.stop(signal.SIGQUIT) == 0
    assert inside(project, "customer-a") == inside(project, "customer-c") == []


@REDIS
def test_a_rate_is_shared_by_all_workers_or_each_ones_own(project: Project) -> None:
    with project.worker("-c 2 -n one@%h"), project.worker("-c 2 -n two@%h"):
        for name, rate, key in (("twenty_a_second", 20, "f"), ("twenty_a_second_each", 40, "e")):
            results = project.send_many(name, [f"{key}{n}" for n in range(42)])
            began = time.monotonic()
            project.send("free", f"meanwhile-{key}").get(timeout=10)
            assert time.monotonic() - began < 1.5
            for result in results:
                result.get(timeout=30)
            moments = [float(line[3]) for line in project.lines() if line[1].startswith(key)]
            took = max(moments) - min(moments)
            assert 42 / rate * 0.85 - 0.2 < took < 42 / rate * 1.7 + 2.0, name


@REDIS
def test_a_unique_task_runs_once_whoever_is_killed_and_can_be_sent_again_after_its_end(project: Project) -> None:
    from tests.acceptance.limits_app import once

    once = project.app.task(name="limits_app.once", unique="{customer}")(once.run)
    with project.worker("-c 1 -n one@%h") as one:
        first = once.delay("first", "c", 600)
        wait_until(lambda: project.count("start")["first"])
        assert once.delay("second", "c").id == first.id
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
    assert once.delay("third", "c").id == first.id, "its message is still there"
    with project.worker("-c 1 -n two@%h") as two:
        wait_until(lambda: project.count("start")["first"] == 2)
        first.revoke()
        assert two.stop(signal.SIGQUIT) == 0
    with project.worker("-c 1 -n three@%h"):
        wait_until(lambda: once.delay("fourth", "c").id != first.id)
        wait_until(lambda: project.count("start")["fourth"])
    assert set(project.count("start")) == {"first", "fourth"}


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "gevent", "eventlet", "solo"])
def test_limits_hold_on_every_pool(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 3") as worker:
        project.send("free", "warm-up").get(timeout=20)
        limited = project.send_many("two_at_a_time", list(range(6)), 0.1)
        rated = project.send_many("twenty_a_second_each", [f"r{n}" for n in range(11)])
        for result in (*limited, *rated):
            result.get(timeout=30)
        assert worker.stop() == 0
    limits = [line for line in project.lines() if line[1].isdigit()]
    assert most_at_once(limits) == (1 if pool == "solo" else 2)
    moments = [float(line[3]) for line in project.lines() if line[1].startswith("r")]
    assert max(moments) - min(moments) >= 10 / 20 * 0.6, "a burst at the start may be made up for, no more"
    assert set(project.count("start").values()) == {1}
    assert inside(project, "limits_app.two_at_a_time") == []
