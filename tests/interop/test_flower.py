"""Flower, as it is on the package index, watches and steers our worker: by its pages and its HTTP API.

On RabbitMQ with results on Redis, where Celery's own monitors have both.
"""

from __future__ import annotations

import contextlib
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.processes import Program, running
from tests.interop.fleet import OURS, Fleet, until
from tests.servers.rabbitmq_servers import RabbitServer
from tests.servers.redis_servers import RedisServer, free_port, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

NODE = "w1@h"
PATIENCE = 60.0
"""Flower asks each five seconds, and answers slowly on a busy machine."""


class Flower:
    """A running Flower.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def page(self, path: str) -> str:
        """A page's text."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return answer.read().decode()

    def get(self, path: str) -> Any:
        """What the API says."""
        return json.loads(self.page(path))

    def post(self, path: str, **fields: Any) -> Any:
        """What the API answers to a command; one that it refuses is an error."""
        data = urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{path}: {exc.code} {exc.reason} {exc.read()[:500]!r}") from None

    def task(self, task_id: str, state: str) -> dict[str, Any]:
        """A task of its list, once it is in a state."""

        def found() -> dict[str, Any] | None:
            task = self.get("/api/tasks?limit=1000").get(task_id)
            return task if task is not None and task["state"] == state else None

        return until(found, PATIENCE)

    def worker(self) -> dict[str, Any]:
        """What it knows of our worker, asked anew."""

        def found() -> dict[str, Any] | None:
            told = self.get("/api/workers?refresh=1").get(NODE)
            return told if told and {"stats", "active_queues", "registered"} <= told.keys() else None

        return until(found, PATIENCE)

    def concurrency(self) -> int:
        """How many processes it says that the pool has."""
        return self.worker()["stats"]["pool"]["max-concurrency"]


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("flower")
    server = RedisServer(redis_binary(), directory / "redis")
    with contextlib.ExitStack() as kept:
        kept.callback(server.stop)
        broker = server.url
        if request.param == "rabbitmq":
            rabbitmq: RabbitServer = request.getfixturevalue("rabbitmq")
            broker = rabbitmq.url_of(kept.enter_context(rabbitmq.host()))
        yield kept.enter_context(Fleet(server, directory, broker, server.url).clients())


@pytest.fixture(scope="module")
def worker(fleet: Fleet) -> Iterator[Program]:
    """Our worker, without -E: Flower asks for events itself."""
    with fleet.our_worker(OURS, f"-c 2 -n {NODE}") as worker:
        yield worker


@pytest.fixture(scope="module")
def flower(fleet: Fleet, worker: Program) -> Iterator[Flower]:
    """Flower, once it sees the worker."""
    port = free_port()
    command = f"{sys.executable} -m celery -A watch flower --address=127.0.0.1 --port={port} --inspect-timeout=2000"
    with running(command, fleet.directory, {"FLOWER_UNAUTHENTICATED_API": "true", **fleet.env}) as program:
        flower = Flower(port)

        def answers() -> bool:
            assert program.process.poll() is None, program.said()
            with contextlib.suppress(OSError):
                return flower.get("/api/workers?status=true").get(NODE) is True
            return False

        until(answers, PATIENCE)
        yield flower


def send(fleet: Fleet, name: str, *args: object, **options: object) -> Any:
    return fleet.ours.send_task(f"jobs.{name}", args, queue=OURS, **options)


def test_the_worker_is_online_and_says_what_it_is(flower):
    told = flower.worker()
    assert told["stats"]["pool"]["max-concurrency"] == 2
    assert [queue["name"] for queue in told["active_queues"]] == [OURS]
    assert "jobs.add" in told["registered"]
    assert flower.get("/api/workers?status=true") == {NODE: True}
    assert "flower_worker_online" in flower.page("/metrics")


def test_tasks_are_listed_with_state_arguments_result_and_runtime(fleet, flower):
    until(lambda: flower.get("/api/tasks") or send(fleet, "who").get(timeout=30) is None, PATIENCE)  # events are on
    good = flower.task(send(fleet, "add", 2, 3).id, "SUCCESS")
    assert (good["name"], good["args"], good["kwargs"], good["result"]) == ("jobs.add", "(2, 3)", "{}", "5")
    assert good["worker"] == NODE
    assert good["runtime"] > 0
    assert good["received"] <= good["started"] <= good["succeeded"]
    bad = flower.task(send(fleet, "fail", "value", "bad").id, "FAILURE")
    assert bad["exception"] == "ValueError('bad')"
    assert bad["traceback"].startswith("Traceback")
    assert flower.get(f"/api/task/info/{good['uuid']}")["state"] == "SUCCESS"
    assert flower.get(f"/api/task/result/{good['uuid']}")["result"] == 5
    assert flower.get("/api/tasks?state=FAILURE").keys() >= {bad["uuid"]}
    assert {"jobs.add", "jobs.fail"} <= set(flower.get("/api/task/types")["task-types"])


def test_a_task_that_runs_is_shown_so_and_ended_from_there(fleet, flower):
    sent = send(fleet, "work", "flower", 300)
    assert flower.task(sent.id, "STARTED")["worker"] == NODE
    flower.post(f"/api/task/revoke/{sent.id}", terminate="true", signal="SIGTERM")
    assert flower.task(sent.id, "REVOKED")["uuid"] == sent.id
    until(lambda: sent.state == "REVOKED", PATIENCE)


def test_a_task_that_waits_is_revoked_from_there(fleet, flower):
    sent = send(fleet, "mark", "never", countdown=3)
    flower.post(f"/api/task/revoke/{sent.id}")
    until(lambda: sent.state == "REVOKED", PATIENCE)
    assert fleet.count()["never"] == 0


def test_the_pool_grows_and_shrinks_from_there(flower):
    flower.post(f"/api/worker/pool/grow/{NODE}", n=2)
    assert until(lambda: flower.concurrency() == 4, PATIENCE)
    flower.post(f"/api/worker/pool/shrink/{NODE}", n=2)
    assert until(lambda: flower.concurrency() == 2, PATIENCE)


def test_a_rate_limit_is_set_from_there(fleet, flower):
    assert "message" in flower.post("/api/task/rate-limit/jobs.when", workername=NODE, ratelimit="2/s")
    moments = sorted(result.get(timeout=30) for result in [send(fleet, "when") for _ in range(5)])
    assert moments[-1] - moments[0] >= 4 * 0.5 * 0.6, "those that came late may be made up for"
    assert "message" in flower.post("/api/task/rate-limit/jobs.when", workername=NODE, ratelimit="0")


def test_a_time_limit_is_set_from_there(fleet, flower):
    assert "message" in flower.post("/api/task/timeout/jobs.work", workername=NODE, hard=1)
    sent = send(fleet, "work", "too long", 300)
    assert "TimeLimitExceeded" in flower.task(sent.id, "FAILURE")["exception"]


def test_autoscaling_is_set_from_there(flower):
    assert "message" in flower.post(f"/api/worker/pool/autoscale/{NODE}", min=3, max=5)
    assert until(lambda: 3 <= flower.concurrency() <= 5, PATIENCE)


def test_queues_are_added_and_cancelled_from_there(fleet, flower):
    flower.post(f"/api/worker/queue/add-consumer/{NODE}", queue="more")
    assert fleet.ours.send_task("jobs.who", queue="more").get(timeout=30) == OURS
    flower.post(f"/api/worker/queue/cancel-consumer/{NODE}", queue="more")
    assert until(lambda: [queue["name"] for queue in flower.worker()["active_queues"]] == [OURS], PATIENCE)


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", f"/worker/{NODE}", "/broker"])
def test_its_pages_are_shown(flower, path):
    assert "Flower" in flower.page(path)


def test_the_page_of_a_task_is_shown(fleet, flower):
    task = flower.task(send(fleet, "add", 20, 3).id, "SUCCESS")
    page = flower.page(f"/task/{task['uuid']}")
    assert "jobs.add" in page
    assert "(20, 3)" in page


def test_the_worker_is_shut_down_from_there(flower, worker):
    flower.post(f"/api/worker/shutdown/{NODE}")
    assert worker.wait(60) == 0
    until(lambda: flower.get("/api/workers?status=true") == {NODE: False}, PATIENCE)
