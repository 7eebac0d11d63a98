"""Messages on RabbitMQ and results in a store beside it: whatever dies between the two, each task has one outcome."""

from __future__ import annotations

import os
import signal

import amqp
import pytest

from skirret.message import Record
from tests.acceptance.faulty import is_alive
from tests.interop.fleet import OURS, THEIRS, Fleet, until

pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning")  # of earlier fleets

STORES = ["redis", "sqlite"]


@pytest.fixture(params=STORES)
def results(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'results.sqlite3'}"
    return request.getfixturevalue("url")


@pytest.fixture
def fleet(rabbitmq, rabbitmq_host, results, tmp_path):
    fleet = Fleet(rabbitmq, tmp_path, rabbitmq.url_of(rabbitmq_host), results)
    with fleet.clients():
        yield fleet


def send(fleet, name, *args, queue=OURS):
    return fleet.ours.tasks[f"jobs.{name}"].apply_async(args, queue=queue)


def test_results_are_joined_from_the_store(fleet):
    with fleet.our_worker(OURS):
        results = [send(fleet, "add", n, n) for n in range(200)]
        assert fleet.ours.ResultSet(results).join(timeout=30) == [2 * n for n in range(200)]


def test_a_task_whose_child_is_killed_runs_again_and_has_one_outcome(fleet):
    with fleet.our_worker(OURS, "-c 1"):
        result = send(fleet, "work", "one", 1.0)
        _, _, _, child, _ = until(lambda: fleet.lines("start"))[0]
        os.kill(int(child), signal.SIGKILL)
        assert result.get(timeout=30) == OURS
    assert [kind for kind, _, _ in fleet.marks()] == ["start", "start", "end"]
    late = Record(task_id=result.id, state="FAILURE", payload=b"{}")
    assert fleet.ours.backend.store([late]) == [False]
    assert fleet.ours.AsyncResult(result.id).get(timeout=5) == OURS


def test_a_task_whose_worker_is_killed_runs_on_another_and_has_one_outcome(fleet):
    with fleet.our_worker(OURS, "-c 1 -n first@%h") as first:
        result = send(fleet, "work", "one", 1.0)
        _, _, _, child, _ = until(lambda: fleet.lines("start"))[0]
        os.kill(first.pid, signal.SIGKILL)
        first.process.wait(10.0)
        until(lambda: not is_alive(int(child)))
    with fleet.our_worker(OURS, "-c 1 -n second@%h"):
        assert result.get(timeout=30) == OURS
    assert [kind for kind, _, _ in fleet.marks()] == ["start", "start", "end"]


def test_a_result_that_was_stored_before_the_acknowledgement_got_lost_stands(fleet):
    """What a worker leaves that dies between the two: the message comes again, and its run fails this time."""
    task = fleet.ours.tasks["jobs.fail"]
    done = fleet.ours.AsyncResult("one")
    payload = b'{"status": "SUCCESS", "result": "first", "traceback": null, "children": [], "task_id": "one"}'
    assert fleet.ours.backend.store([Record(task_id="one", state="SUCCESS", payload=payload)]) == [True]
    task.apply_async(("value", "second"), queue=OURS, task_id="one")
    with fleet.our_worker(OURS, "-c 1"):
        assert send(fleet, "add", 1, 1).get(timeout=30) == 2  # it came behind
        until(lambda: fleet.ours.broker.size(OURS).ready == 0)
    assert done.get(timeout=5) == "first"


@pytest.mark.parametrize("results", ["redis"], indirect=True)
def test_both_sides_share_the_store_beside_rabbitmq(fleet, rabbitmq, rabbitmq_host):
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=rabbitmq_host) as line:
        for queue in (OURS, THEIRS):  # as Celery makes them: whoever comes later adopts what is there
            line.channel().queue_declare(queue, durable=True, auto_delete=False)
    with fleet.our_worker(OURS), fleet.their_worker(THEIRS):
        assert send(fleet, "add", 1, 2, queue=THEIRS).get(timeout=30) == 3
        asked = fleet.theirs.tasks["jobs.add"].apply_async((3, 4), queue=OURS)
        assert asked.get(timeout=30) == 7
