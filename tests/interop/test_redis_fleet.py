"""A mixed fleet on Redis: Celery's client with our worker, our client with Celery's, and both workers on one queue."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator

import pytest
import redis

from skirret.brokers.open import open_broker
from skirret.errors import TaskRevokedError
from tests.interop.fleet import BOTH, OURS, THEIRS, Fleet, until
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore:Call to deprecated")]

DIRECTIONS = [
    pytest.param(THEIRS, OURS, id="celery-client-our-worker"),
    pytest.param(OURS, THEIRS, id="our-client-celery-worker"),
]
SERIALIZERS = ["json", "msgpack", "yaml", "pickle"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Each side's worker on a queue of its own name."""
    directory = tmp_path_factory.mktemp("fleet")
    server = RedisServer(redis_binary(), directory / "redis")
    fleet = Fleet(server, directory)
    try:
        with fleet.our_worker(OURS), fleet.their_worker(THEIRS), fleet.clients():
            yield fleet
    finally:
        server.stop()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(fleet.server.url)
    yield client
    client.close()


def send(fleet: Fleet, side: str, queue: str, name: str, *args: object, **options: object):
    return fleet.client(side).send_task(f"jobs.{name}", args, queue=queue, **options)


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_result_comes_back(fleet, side, queue):
    assert send(fleet, side, queue, "who").get(timeout=10) == queue
    assert send(fleet, side, queue, "add", 2, 3).get(timeout=10) == 5


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_arguments_come_through_every_serializer(fleet, side, queue, serializer):
    value = {"a": [1, 2.5, None, True, "ümläut"], "b": {"c": "x" * 1000}}
    assert send(fleet, side, queue, "echo", value, serializer=serializer).get(timeout=10) == value


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_values_that_json_lacks_come_through_as_kombu_tags_them(fleet, side, queue):
    value = [dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC), b"\x00\xff"]
    assert send(fleet, side, queue, "echo", value).get(timeout=10) == value


@pytest.mark.parametrize("compression", ["zlib", "gzip", "bzip2", "brotli"])
@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_compressed_arguments_come_through(fleet, side, queue, compression):
    value = ["x" * 20_000, 1]
    assert send(fleet, side, queue, "echo", value, compression=compression).get(timeout=10) == value


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_failure_keeps_class_message_and_traceback(fleet, side, queue):
    for kind, cls in (("value", ValueError), ("key", KeyError), ("odd", fleet.jobs.Odd)):
        result = send(fleet, side, queue, "fail", kind, "bad", 7)
        with pytest.raises(cls) as caught:
            result.get(timeout=10)
        assert type(caught.value) is cls
        assert caught.value.args == ("bad", 7)
        assert result.state == "FAILURE"
        assert "jobs.py" in result.traceback
        assert result.traceback.startswith("Traceback (most recent call last)")
        assert cls.__name__ in result.traceback


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_task_retries_on_the_side_that_runs_it(fleet, side, queue):
    assert send(fleet, side, queue, "flaky", 2).get(timeout=20) == 2
    with pytest.raises(fleet.jobs.Odd):
        send(fleet, side, queue, "hopeless").get(timeout=20)


@pytest.mark.parametrize("side, queue", DIRECTIONS)
@pytest.mark.parametrize("by", ["countdown", "eta"])
def test_a_task_waits_for_its_time(fleet, side, queue, by):
    due = time.time() + 1.0
    moment = {"countdown": 1.0} if by == "countdown" else {"eta": dt.datetime.fromtimestamp(due, dt.UTC)}
    ran = send(fleet, side, queue, "when", **moment).get(timeout=5)
    assert due - 0.05 <= ran < due + 3.0


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_an_expired_task_is_revoked_and_not_run(fleet, side, queue):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
    name = f"expired-by-{side}"
    result = send(fleet, side, queue, "mark", name, expires=past)
    with pytest.raises(Exception, match="expired") as caught:
        result.get(timeout=10)
    assert type(caught.value).__name__ == "TaskRevokedError"
    assert result.state == "REVOKED"
    assert fleet.count()[name] == 0
    assert send(fleet, side, queue, "who", expires=60).get(timeout=10) == queue


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
def test_an_ignored_result_is_not_stored(fleet, side, queue, client):
    name = f"quiet-by-{side}"
    asked = send(fleet, side, queue, "quiet", name)
    told = send(fleet, side, queue, "mark", f"{name}-too", ignore_result=True)
    until(lambda: fleet.count()[name] and fleet.count()[f"{name}-too"])
    assert send(fleet, side, queue, "who").get(timeout=10) == queue  # so that a result had its time
    assert client.exists(f"celery-task-meta-{asked.id}", f"celery-task-meta-{told.id}") == 0


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_results_expire_as_set(fleet, side, queue, client):
    result = send(fleet, side, queue, "who")
    result.get(timeout=10)
    assert 100 < client.ttl(f"celery-task-meta-{result.id}") <= 120


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_a_callback_runs_after_success(fleet, side, queue):
    app = fleet.client(side)
    then = app.signature("jobs.add", args=(10,), queue=queue, task_id=f"then-{side}-{time.time_ns()}")
    send(fleet, side, queue, "add", 2, 3, link=then).get(timeout=10)
    assert app.AsyncResult(then.options["task_id"]).get(timeout=10) == 15


@pytest.mark.parametrize("side, queue", DIRECTIONS)
def test_either_side_forgets_the_others_results(fleet, side, queue, client):
    result = send(fleet, side, queue, "who")
    result.get(timeout=10)
    other = fleet.client(THEIRS if side == OURS else OURS)
    other.AsyncResult(result.id).forget()
    assert client.exists(f"celery-task-meta-{result.id}") == 0


def test_a_celery_clients_task_is_revoked_by_our_client(fleet):
    result = send(fleet, THEIRS, OURS, "mark", "revoked-by-us", countdown=1.0)
    fleet.ours.AsyncResult(result.id).revoke()
    with pytest.raises(Exception, match="revoked") as caught:
        result.get(timeout=10)
    assert type(caught.value).__name__ == "TaskRevokedError"
    with pytest.raises(TaskRevokedError):
        fleet.ours.AsyncResult(result.id).get(timeout=10)
    assert fleet.count()["revoked-by-us"] == 0


def test_a_celery_clients_revoke_reaches_our_worker(fleet):
    result = send(fleet, THEIRS, OURS, "mark", "revoked-by-celery", countdown=1.0)
    result.revoke()
    assert not runs_within(fleet, "revoked-by-celery", 5.0)


def test_our_clients_revoke_reaches_celerys_worker(fleet):
    result = send(fleet, THEIRS, THEIRS, "mark", "theirs-revoked-by-us", countdown=1.0)
    fleet.ours.AsyncResult(result.id).revoke()
    assert not runs_within(fleet, "theirs-revoked-by-us", 5.0)


def runs_within(fleet: Fleet, name: str, seconds: float) -> bool:
    """Whether a task that is to be revoked runs all the same."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if fleet.count()[name]:
            return True
        time.sleep(0.02)
    return False


def test_priorities_lie_in_kombus_lists(fleet, client):
    """Whoever sends; the order of taking is told by `priority_order`."""
    for side in (OURS, THEIRS):
        for priority in (0, 3, 5, 9):
            send(fleet, side, f"nobody-{side}", "who", priority=priority)
    for side in (OURS, THEIRS):
        lists = {key.decode(): client.llen(key) for key in client.scan_iter(f"nobody-{side}*")}
        queue = f"nobody-{side}"
        assert lists == {queue: 1, f"{queue}\x06\x163": 2, f"{queue}\x06\x169": 1}
    for order, expected in (("guide", [9, 5, 3, 0]), ("celery", [0, 3, 5, 9])):
        for side in (OURS, THEIRS):
            queue = f"order-{order}-{side}"
            for priority in (3, 0, 9):
                send(fleet, side, queue, "who", priority=priority)
            broker = open_broker(fleet.server.url, {"priority_order": order})
            consumer = broker.consumer([queue], f"{side}-{order}")
            taken = consumer.take(10, 1.0)
            priorities = [_priority(one.raw) for one in taken]
            assert priorities == [one for one in expected if one != 5]
            consumer.close()
            broker.close()


def test_each_worker_runs_the_other_clients_priorities_in_its_own_order(fleet):
    """9 first with ours, as the guide says, and last with Celery's on Redis."""
    for side, queue in ((THEIRS, "ranked-ours"), (OURS, "ranked-theirs")):
        for priority in (3, 9, 0, 6):
            send(fleet, side, queue, "mark", f"{queue}-{priority}", priority=priority)
    with fleet.our_worker("ranked-ours", "-c 1"), fleet.their_worker("ranked-theirs", "-c 1 -n ranked@%h"):
        until(lambda: sum(name.startswith("ranked-") for name in fleet.count()) == 8)
    order = [name for _, _, name in fleet.marks() if name.startswith("ranked-")]
    assert [name[-1] for name in order if name.startswith("ranked-ours")] == ["9", "6", "3", "0"]
    assert [name[-1] for name in order if name.startswith("ranked-theirs")] == ["0", "3", "6", "9"]


def _priority(raw: bytes) -> int:
    return json.loads(raw)["properties"]["priority"]


def test_both_workers_share_a_queue_and_every_task_runs_once(fleet, client):
    names = [f"shared-{n}" for n in range(2000)]
    with fleet.our_worker(BOTH), fleet.their_worker(BOTH):
        jobs = fleet.ours.tasks["jobs.mark"]
        ours = fleet.ours.send_many([jobs.s(name).set(queue=BOTH) for name in names[:1000]])
        theirs = [send(fleet, THEIRS, BOTH, "mark", name) for name in names[1000:]]
        sides = [one.get(timeout=60) for one in ours] + [one.get(timeout=60) for one in theirs]
    assert {OURS, THEIRS} == set(sides), "each of the two workers had its share"
    counted = fleet.count()
    assert {name: counted[name] for name in names} == dict.fromkeys(names, 1)
    assert client.llen(BOTH) == 0
    assert client.hlen("unacked") == 0
