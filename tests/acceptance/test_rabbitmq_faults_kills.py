"""kill -9 of children, supervisors and RabbitMQ itself under load: nothing confirmed is lost, and little runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.kills import (
    AFTERLIFE,
    UNSETTLED,
    Kills,
    judge,
    kill_children,
    kill_servers,
    kill_supervisors,
)
from tests.acceptance.rabbitmq_load import QUEUE, RabbitProject, project_on
from tests.acceptance.redis_load import SAFE
from tests.servers.rabbitmq_servers import RabbitServer
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TIMES = [pytest.param(1, id="once"), pytest.param(20, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(900)])]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("results"), *SAFE)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def host(rabbitmq: RabbitServer) -> Iterator[str]:
    """One for all tests here: the queues of delays take seconds to make."""
    with rabbitmq.host() as name:
        yield name


@pytest.fixture
def project(
    rabbitmq: RabbitServer, host: str, results: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RabbitProject]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = project_on(rabbitmq, host, tmp_path, results.url, delays=True)
    yield project
    project.app.close()


def assert_all_is_well(project: RabbitProject, kills: Kills, most: int, afterlife: float = 0.0) -> None:
    judge(project, kills, most, afterlife=afterlife, is_fenced=False)
    assert project.app.broker.dead(QUEUE) == []


@pytest.mark.parametrize("times", TIMES)
def test_children_are_killed_under_load(project: RabbitProject, times: int) -> None:
    assert_all_is_well(project, kill_children(project, times), times * UNSETTLED)


@pytest.mark.parametrize("times", TIMES)
def test_supervisors_are_killed_under_load(project: RabbitProject, times: int) -> None:
    kills = kill_supervisors(project, times, 10.0)
    assert kills.median <= 5.0
    assert_all_is_well(project, kills, times * 2 * UNSETTLED, AFTERLIFE)


@pytest.mark.parametrize("times", TIMES)
def test_the_server_is_killed_under_load(project: RabbitProject, rabbitmq: RabbitServer, times: int) -> None:
    """Each of four slots may have finished what its worker could not settle, and the server then gave to the other."""
    assert_all_is_well(project, kill_servers(project, [rabbitmq], times, 1.0), times * 4 * UNSETTLED)
