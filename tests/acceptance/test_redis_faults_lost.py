"""What becomes of a long task while the Redis server is away: it goes on, or is stopped, as the settings say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import is_alive, wait_until
from tests.acceptance.redis_load import SAFE, RedisProject, left_over
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CANCELS = "SKIRRET_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS"
SECONDS = 12.0
"""How long the task takes that the server's death meets; it is away for a fraction of that."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.delenv("SKIRRET_HOME")
    server = RedisServer(redis_binary(), tmp_path / "redis", *SAFE)
    yield server
    server.stop()


@pytest.fixture
def project(server: RedisServer, tmp_path: Path) -> Iterator[RedisProject]:
    project = RedisProject(tmp_path, server.url)
    yield project
    project.app.close()


def runs(project: RedisProject, word: str, key: str) -> list[int]:
    """The processes in which a task's runs came to that word."""
    return [int(pid) for said, of, pid, _ in project.lines() if (said, of) == (word, key)]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_long_task_is_stopped_when_the_server_dies_and_runs_again_when_it_is_back(
    project: RedisProject, server: RedisServer, pool: str
) -> None:
    project.env[CANCELS] = "yes"
    with project.worker(f"-P {pool} -c 1") as worker:
        result = project.send("slow_once", "long", 600.0)
        wait_until(lambda: runs(project, "start", "long"))
        (first,) = runs(project, "start", "long")
        server.kill()
        worker.wait_until_it_says(f"slow_once[{result.id}] is stopped, because the broker is lost", 30.0)
        wait_until(lambda: not is_alive(first), 30.0)  # while the server is still away
        server.start()
        token = result.get(timeout=60)
        assert worker.stop() == 0
    assert len(runs(project, "start", "long")) == 2
    (last,) = runs(project, "end", "long")
    assert (last != first, token.startswith(f"{last}-")) == (True, True)
    assert left_over(server) == []


def test_a_long_task_goes_on_while_the_server_is_away_and_its_one_run_counts(
    project: RedisProject, server: RedisServer
) -> None:
    with project.worker("-c 1") as worker:
        result = project.send("slow_once", "long", SECONDS)
        wait_until(lambda: runs(project, "start", "long"))
        (only,) = runs(project, "start", "long")
        server.kill()
        worker.wait_until_it_says("Trouble with a server", 30.0)
        time.sleep(1.0)  # away for a while
        server.start()
        assert not runs(project, "end", "long"), "the server was back too late for this test to mean anything"
        assert result.get(timeout=60).startswith(f"{only}-")
        assert worker.stop() == 0
        assert "because the broker is lost" not in worker.said()
    assert (runs(project, "start", "long"), runs(project, "end", "long")) == ([only], [only])
    assert left_over(server) == []


def test_a_task_acknowledged_early_goes_on_whatever_the_setting(project: RedisProject, server: RedisServer) -> None:
    project.env |= {CANCELS: "yes", "SKIRRET_TASK_ACKS_LATE": "no"}
    with project.worker("-c 1") as worker:
        result = project.send("slow_once", "long", SECONDS)
        wait_until(lambda: runs(project, "start", "long"))
        wait_until(lambda: project.size().held == 0)  # it is acknowledged
        server.kill()
        worker.wait_until_it_says("Trouble with a server", 30.0)
        server.start()
        assert not runs(project, "end", "long"), "the server was back too late for this test to mean anything"
        result.get(timeout=60)
        assert worker.stop() == 0
        assert "because the broker is lost" not in worker.said()
    assert len(runs(project, "start", "long")) == 1
    assert left_over(server) == []
