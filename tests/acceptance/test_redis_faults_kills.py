"""kill -9 of children, supervisors and Redis itself under load: nothing acknowledged is lost, and little runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.kills import AFTERLIFE, UNSETTLED, judge, kill_children, kill_servers, kill_supervisors
from tests.acceptance.redis_load import SAFE, RedisProject
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TIMES = [pytest.param(3, id="some"), pytest.param(20, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(600)])]

BEAT = 5.0
"""Seconds between two looks of a worker at others."""


@pytest.fixture(params=["together", "apart"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisProject]:
    """On one server, or with results on another one."""
    monkeypatch.delenv("SKIRRET_HOME")
    servers = [RedisServer(redis_binary(), tmp_path / "broker", *SAFE)]
    if request.param == "apart":
        servers.append(RedisServer(redis_binary(), tmp_path / "results", *SAFE))
    project = RedisProject(tmp_path, servers[0].url, servers[-1].url)
    project.servers = servers
    yield project
    project.app.close()
    for server in servers:
        server.stop()


@pytest.mark.parametrize("times", TIMES)
def test_children_are_killed_under_load(project: RedisProject, times: int) -> None:
    judge(project, kill_children(project, times), times * UNSETTLED)


@pytest.mark.parametrize("times", TIMES)
def test_supervisors_are_killed_under_load(project: RedisProject, times: int) -> None:
    kills = kill_supervisors(project, times, 3.0 + BEAT)
    assert kills.median <= 3.0 + BEAT
    assert max(kills.took) <= 2 * (3.0 + BEAT), "its start included, on a machine that others use; the promise is 35 s"
    judge(project, kills, times * 2 * UNSETTLED, afterlife=AFTERLIFE)


@pytest.mark.parametrize("times", TIMES)
def test_the_server_is_killed_under_load(project: RedisProject, times: int) -> None:
    kills = kill_servers(project, project.servers, times if times < 5 else times * len(project.servers))
    judge(project, kills, 0)
