"""A worker that ends, or has no room, gives RabbitMQ back what it was sent ahead: others have it within a second."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import wait_until
from tests.acceptance.rabbitmq_load import RabbitProject, project_on
from tests.servers.rabbitmq_servers import RabbitServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def project(
    rabbitmq: RabbitServer, rabbitmq_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RabbitProject]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = project_on(rabbitmq, rabbitmq_host, tmp_path)
    yield project
    project.app.close()


def test_a_worker_that_is_to_end_gives_back_at_once_what_had_not_begun(project: RabbitProject) -> None:
    with project.worker("-c 1 -n ending@%h --grace 20") as ending:
        long = project.send("short", "long", 4.0)
        wait_until(lambda: project.count("start")["long"])
        waiting = project.send_many("short", [f"w{n}" for n in range(20)])
        with project.worker("-c 1 -n other@%h --prefetch-multiplier 1") as other:
            ending.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            wait_until(lambda: sum(project.count("end").values()) == 20, 10.0)
            took = time.monotonic() - began
            assert long.get(timeout=10) is None
            assert ending.wait(20) == 0
            assert [one.get(timeout=5) for one in waiting] == [None] * 20
            assert other.stop() == 0
    print(f"run elsewhere after {took:.2f} s")
    assert took < 1.0
    assert set(project.count("start").values()) == {1}
    assert project.left() == {}


def test_what_waits_behind_a_long_task_goes_to_a_worker_that_comes(project: RabbitProject) -> None:
    """The busy worker has no room for half a second, and gives back what it was sent ahead."""
    with project.worker("-c 1 -n busy@%h") as busy:
        project.send_many("short", [f"w{n}" for n in range(200)], 0.002)
        wait_until(lambda: sum(project.count("end").values()) > 100)
        project.send("short", "long", 6.0)
        waiting = [f"v{n}" for n in range(20)]
        project.send_many("short", list(waiting))
        wait_until(lambda: project.count("start")["long"])
        with project.worker("-c 1 -n other@%h") as other:
            began = time.monotonic()
            wait_until(lambda: set(waiting) <= set(project.count("end")), 10.0)
            took = time.monotonic() - began
            assert project.count("end")["long"] == 0
            assert other.stop() == 0
        assert busy.stop() == 0
    print(f"run elsewhere {took:.2f} s after the other was there")
    assert took < 1.0
    assert set(project.count("start").values()) == {1}
    assert project.left() == {}
