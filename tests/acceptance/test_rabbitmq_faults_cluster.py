"""Three RabbitMQ nodes under load, the queue's leader killed and a node cut off: nothing that was confirmed is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import wait_until
from tests.acceptance.load import figures
from tests.acceptance.rabbitmq_load import QUEUE, RabbitProject
from tests.acceptance.redis_load import SAFE
from tests.servers.rabbitmq_cluster import RabbitCluster
from tests.servers.rabbitmq_programs import rabbitmq, rabbitmq4
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]  # the first run installs another Debian

RECOVERY = 30.0
"""Seconds within which workers consume again: a new leader is elected, and lines go to nodes that serve."""

UNSETTLED, BATCH = 4 * (1 + 3), 10
"""Runs of four slots that could not be settled, and messages of a call that were not confirmed, at each fault."""


@pytest.fixture(scope="module", params=[rabbitmq, rabbitmq4], ids=["3.10", "4"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    cluster = RabbitCluster(request.param(), tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
def project(
    cluster: RabbitCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RabbitProject, str]]:
    monkeypatch.delenv("SKIRRET_HOME")
    results = RedisServer(redis_binary(), tmp_path / "results", *SAFE)
    host = cluster.nodes[0].add_host()
    project = RabbitProject(
        tmp_path, cluster.url_of(host), results.url, ask=lambda: messages(cluster, host), delays=True
    )
    yield project, host
    project.app.close()
    results.stop()


def messages(cluster: RabbitCluster, host: str) -> dict[str, int]:
    """What its queues hold, as the first node says that is not starting or stopping just now."""
    for node in cluster.nodes:
        with contextlib.suppress(AssertionError):
            return node.messages(host)
    raise AssertionError("no node answers")


def after(project: RabbitProject, faults: int) -> None:
    verdict = project.judge()
    print(verdict, f"; the slowest call took {project.sent().slowest:.3f} s")
    assert verdict.sent > 100
    assert not verdict.lost, verdict
    assert not verdict.early, verdict
    assert verdict.again <= faults * (UNSETTLED + BATCH), verdict
    assert project.left() == {}


def test_the_queues_leader_is_killed_under_load(cluster: RabbitCluster, project: tuple[RabbitProject, str]) -> None:
    load, host = project
    took = []
    with load.worker("-c 2 -n one@%h") as one, load.worker("-c 2 -n two@%h") as two:
        with load.producer(100.0):
            for _ in range(3):
                time.sleep(1.0)
                leader = cluster.leader_of(host, QUEUE)
                leader.kill()
                killed = time.monotonic()
                wait_until(lambda killed=killed: load.consumes_since(killed), RECOVERY)
                took.append(time.monotonic() - killed)
                leader.start()
                cluster.wait()
        load.settle_down(60.0)
        assert one.stop(timeout=30) == 0
        assert two.stop(timeout=30) == 0
    print(figures("consuming again after the leader's death", took))
    after(load, 3)


def test_a_node_is_cut_off_under_load(cluster: RabbitCluster, project: tuple[RabbitProject, str]) -> None:
    load, host = project
    with load.worker("-c 2 -n one@%h") as one, load.worker("-c 2 -n two@%h") as two:
        with load.producer(100.0):
            time.sleep(1.0)
            with cluster.cut_off(cluster.leader_of(host, QUEUE)):
                cut = time.monotonic()
                wait_until(lambda: load.consumes_since(cut), RECOVERY)
                print(f"consuming again {time.monotonic() - cut:.1f} s after the leader was cut off")
                time.sleep(2.0)
            cluster.wait()
        load.settle_down(60.0)
        assert one.stop(timeout=30) == 0
        assert two.stop(timeout=30) == 0
    after(load, 1)
