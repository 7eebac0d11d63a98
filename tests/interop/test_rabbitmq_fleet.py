"""A mixed fleet on RabbitMQ, results on Redis: each side's client with the other's worker, and both on one queue."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import kombu
import pytest

from tests.interop.fleet import BOTH, OURS, THEIRS, Fleet, until
from tests.servers.rabbitmq_servers import RabbitServer
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:Call to deprecated"),
    pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning"),
]

DIRECTIONS = [
    pytest.param(THEIRS, OURS, id="celery-client-our-worker"),
    pytest.param(OURS, THEIRS, id="our-client-celery-worker"),
]

TYPES = pytest.mark.parametrize("fleet", ["classic", "quorum"], indirect=True)


@pytest.fixture(scope="module")
def fleet(
    request: pytest.FixtureRequest, rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Each side's worker on a queue of its own name and on one that both share, all of which Celery declared."""
    kind = getattr(request, "param", "classic")
    directory = tmp_path_factory.mktemp("fleet")
    results = RedisServer(redis_binary(), directory / "redis")
    try:
        with rabbitmq.host() as host:
            url = rabbitmq.url_of(host)
            for name in (OURS, THEIRS, BOTH):
                declare(url, name, kind)
            fleet = Fleet(rabbitmq, directory, url, results.url)
            fleet.env["FLEET_QUEUES"] = kind
            with (
                fleet.clients(),
                fleet.our_worker(f"{OURS},{BOTH}", "-c 2 -n ours@h"),
                fleet.their_worker(f"{THEIRS},{BOTH}", "-c 2 -n theirs@h"),
            ):
                yield fleet
    finally:
        results.stop()


def declare(url: str, name: str, kind: str) -> None:
    """Make a queue as Celery does."""
    arguments = {"x-queue-type": "quorum"} if kind == "quorum" else {"x-max-priority": 9}
    with kombu.Connection(url) as connection:
        kombu.Queue(name, kombu.Exchange(name), name, queue_arguments=arguments)(connection).declare()


def send(fleet: Fleet, side: str, queue: str, name: str, *args: object, **options: object):
    return fleet.client(side).send_task(f"jobs.{name}", args, queue=queue, **options)


@TYPES
@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_result_comes_back(fleet, side, queue):
    assert send(fleet, side, queue, "who").get(timeout=10) == queue
    assert fleet.client(side).send_task("jobs.add", (2,), {"y": 3}, queue=queue).get(timeout=10) == 5


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_arguments_come_through_every_serializer_and_compressed(fleet, side, queue, serializer):
    value = {"a": [1, 2.5, None, True, "ümläut"], "b": {"c": "x" * 1000}, "large": "y" * 300_000}
    sent = [
        send(fleet, side, queue, "echo", value, serializer=serializer, compression=compression)
        for compression in (None, "gzip")
    ]
    assert [one.get(timeout=10) for one in sent] == [value] * 2


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_failure_keeps_class_message_and_traceback(fleet, side, queue):
    result = send(fleet, side, queue, "fail", "odd", "bad", 7)
    with pytest.raises(fleet.jobs.Odd) as caught:
        result.get(timeout=10)
    assert caught.value.args == ("bad", 7)
    assert "jobs.py" in result.traceback


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_task_retries_on_the_side_that_runs_it(fleet, side, queue):
    assert send(fleet, side, queue, "flaky", 2).get(timeout=20) == 2
    with pytest.raises(fleet.jobs.Odd):
        send(fleet, side, queue, "hopeless").get(timeout=20)


@TYPES
@pytest.mark.parametrize("by", ["countdown", "eta"])
@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_task_waits_for_its_time(fleet, side, queue, by):
    due = time.time() + 1.0
    moment = {"countdown": 1.0} if by == "countdown" else {"eta": dt.datetime.fromtimestamp(due, dt.UTC)}
    ran = send(fleet, side, queue, "when", **moment).get(timeout=15)
    assert due - 0.05 <= ran < due + 4.0


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_an_expired_task_is_revoked_and_not_run(fleet, side, queue):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
    name = f"expired-by-{side}"
    result = send(fleet, side, queue, "mark", name, expires=past)
    with pytest.raises(Exception, match="expired"):
        result.get(timeout=10)
    assert fleet.count()[name] == 0
    assert send(fleet, side, queue, "who", expires=60).get(timeout=10) == queue


@TYPES
@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_the_task_sees_what_its_caller_gave(fleet, side, queue):
    result = send(fleet, side, queue, "request", priority=6, headers={"x-mine": "h"})
    assert result.get(timeout=10) == {
        "id": result.id,
        "root_id": result.id,
        "parent_id": None,
        "correlation_id": result.id,
        "retries": 0,
        "priority": 6,
        "routing_key": queue,
        "x_mine": "h",
        "ignore_result": False,
    }


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_callback_and_a_chain_across_the_border_run_to_their_end(fleet, side, queue):
    app = fleet.client(side)
    then = app.signature("jobs.add", args=(10,), queue=queue, task_id=f"then-{side}-{time.time_ns()}")
    send(fleet, side, queue, "add", 2, 3, link=then).get(timeout=10)
    assert app.AsyncResult(then.options["task_id"]).get(timeout=10) == 15
    add = fleet.theirs.tasks["jobs.add"]
    steps = [add.s(1, 2).set(queue=queue), add.s(4).set(queue=side), add.s(5).set(queue=queue)]
    assert (steps[0] | steps[1] | steps[2]).apply_async().get(timeout=20) == 12


def test_a_celery_clients_task_is_revoked_by_our_client_and_the_other_way_round(fleet):
    told = [
        (send(fleet, THEIRS, OURS, "mark", "revoked-by-us", countdown=2.0), fleet.ours),
        (send(fleet, OURS, OURS, "mark", "revoked-by-celery", countdown=2.0), fleet.theirs),
        (send(fleet, THEIRS, THEIRS, "mark", "theirs-revoked-by-us", countdown=2.0), fleet.ours),
    ]
    for result, app in told:
        app.control.revoke(result.id)
    assert send(fleet, OURS, OURS, "who", countdown=4.0).get(timeout=20) == OURS
    assert not [name for name in fleet.count() if "revoked" in name]


@TYPES
def test_both_workers_share_a_queue_and_every_task_runs_once(fleet):
    names = [f"shared-{number}" for number in range(1000)]
    jobs = fleet.ours.tasks["jobs.mark"]
    ours = fleet.ours.send_many([jobs.s(name).set(queue=BOTH) for name in names[:500]])
    theirs = [send(fleet, THEIRS, BOTH, "mark", name) for name in names[500:]]
    sides = [one.get(timeout=60) for one in (*ours, *theirs)]
    assert set(sides) == {OURS, THEIRS}, "each of the two workers had its share"
    counted = fleet.count()
    assert {name: counted[name] for name in names} == dict.fromkeys(names, 1)
    until(lambda: fleet.ours.broker.size(BOTH).ready == 0)


def test_priorities_of_either_client_are_heeded_by_either_worker(fleet):
    """The most urgent first on both sides."""
    names = {side: f"ranked-{side}" for side in (OURS, THEIRS)}
    for name in names.values():
        declare(fleet.env["FLEET_URL"], name, "classic")
        for side, priority in ((OURS, 3), (THEIRS, 9), (THEIRS, 0), (OURS, 6)):
            send(fleet, side, name, "mark", f"{name}-{priority}", priority=priority)
    with fleet.our_worker(names[OURS], "-c 1 -n r1@h"), fleet.their_worker(names[THEIRS], "-c 1 -n r2@h"):
        until(lambda: sum(name.startswith("ranked") for name in fleet.count()) == 8)
    order = [name for _, _, name in fleet.marks() if name.startswith("ranked")]
    for name in names.values():
        assert [one[-1] for one in order if one.startswith(name)] == ["9", "6", "3", "0"]
