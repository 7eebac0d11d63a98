"""Workers on Redis that were frozen or cut off for longer than their lease are replaced, and refused afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import is_alive, wait_until, worker_children
from tests.acceptance.processes import Program
from tests.acceptance.redis_load import RedisProject, left_over
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LEASE, SWEEP = 3.0, 0.5
PATIENCE = 3.0
"""Seconds beside what is promised, for a machine that others use."""

FENCED = "others have taken over"


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
    project.env["SKIRRET_WORKER_LEASE"] = str(LEASE)
    yield project
    project.app.close()


def runs_of(project: RedisProject, key: str) -> list[str]:
    """The runs of a task, as its result names them."""
    return [f"{pid}-{at}" for word, name, pid, at in project.lines() if word == "start" and name == key]


def begin(project: RedisProject, seconds: float):
    result = project.send("slow_once", "slow", seconds)
    wait_until(lambda: project.count("start")["slow"])
    return result


def assert_taken_over_once(project: RedisProject, server: RedisServer, result, *workers: Program) -> None:
    """The second run is the one whose outcome stands, and nothing of the first is left."""
    _, second = runs_of(project, "slow")
    assert result.get(timeout=10) == second
    assert project.send("empty").get(timeout=10) is None
    for worker in workers:
        assert worker.stop() == 0
        assert "Traceback" not in worker.said()
    assert len(runs_of(project, "slow")) == 2
    assert project.app.AsyncResult(result.id).result == second
    assert left_over(server) == []


@pytest.mark.parametrize("seconds", [pytest.param(30.0, id="still-running"), pytest.param(1.0, id="finished")])
def test_a_frozen_supervisors_task_runs_elsewhere_and_its_own_outcome_is_refused(
    project: RedisProject, server: RedisServer, seconds: float
) -> None:
    with project.worker("-c 1 -n one@%h") as one, project.worker("-c 1 -n two@%h") as two:
        result = begin(project, seconds)
        first = int(runs_of(project, "slow")[0].split("-")[0])
        holder = one if first in worker_children(one.pid)[1] else two
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: len(runs_of(project, "slow")) == 2, LEASE + 2 * SWEEP + PATIENCE)
        finally:
            os.kill(holder.pid, signal.SIGCONT)
        holder.wait_until_it_says(FENCED, 2.0 + PATIENCE)
        if seconds > 10.0:
            wait_until(lambda: not is_alive(first), 2.0)
            assert project.count("end")["slow"] == 1
        assert_taken_over_once(project, server, result, one, two)


def test_a_worker_that_is_cut_off_for_longer_than_its_lease_is_replaced(
    project: RedisProject, server: RedisServer
) -> None:
    proxy = Proxy(server.port)
    try:
        direct = project.env
        project.env = {**direct, "SKIRRET_BROKER_URL": f"redis://127.0.0.1:{proxy.port}/0"}
        with project.worker("-c 1 -n one@%h") as one:
            result = begin(project, 30.0)
            project.env = direct
            with project.worker("-c 1 -n two@%h") as two:
                proxy.frozen = True
                wait_until(lambda: len(runs_of(project, "slow")) == 2, LEASE + 2 * SWEEP + PATIENCE)
                proxy.frozen = False
                one.wait_until_it_says(FENCED, 5.0 + PATIENCE)
                assert FENCED not in two.said()
                assert_taken_over_once(project, server, result, one, two)
    finally:
        proxy.close()


def test_a_frozen_child_is_no_reason_to_run_its_task_elsewhere(project: RedisProject, server: RedisServer) -> None:
    with project.worker("-c 1 -n one@%h") as one, project.worker("-c 1 -n two@%h") as two:
        result = begin(project, 1.0)
        child = int(runs_of(project, "slow")[0].split("-")[0])
        os.kill(child, signal.SIGSTOP)
        time.sleep(2 * LEASE)
        os.kill(child, signal.SIGCONT)
        (only,) = runs_of(project, "slow")
        assert result.get(timeout=10) == only
        for worker in (one, two):
            assert worker.stop() == 0
            assert FENCED not in worker.said()
    assert left_over(server) == []
