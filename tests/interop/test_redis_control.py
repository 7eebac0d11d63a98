"""Remote control across both sides on Redis: each side's client asks both workers, and is told in the same shapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.interop.fleet import OURS, THEIRS, Fleet, until
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore:Call to deprecated")]

OUR_NODE, THEIR_NODE = "ours@h", "theirs@h"
CLIENTS = [OURS, THEIRS]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("control")
    server = RedisServer(redis_binary(), directory / "redis")
    fleet = Fleet(server, directory)
    try:
        with (
            fleet.our_worker(OURS, f"-c 2 -n {OUR_NODE}"),
            fleet.their_worker(THEIRS, f"-c 2 -n {THEIR_NODE}"),
            fleet.clients(),
        ):
            until(lambda: len(fleet.ours.control.ping()) == 2)
            yield fleet
    finally:
        server.stop()


def look(fleet: Fleet, client: str) -> Any:
    """Celery's client waits for the whole timeout, so it is short."""
    return fleet.client(client).control.inspect(timeout=2.0)


def shape(value: Any) -> Any:
    """What a reply is made of, without its values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        shapes = [shape(inner) for inner in value]
        return [one for number, one in enumerate(shapes) if one not in shapes[:number]]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("client", CLIENTS)
def test_either_client_sees_both_workers(fleet, client):
    assert look(fleet, client).ping() == {OUR_NODE: {"ok": "pong"}, THEIR_NODE: {"ok": "pong"}}
    replies = fleet.client(client).control.broadcast("ping", reply=True, timeout=2.0, destination=[OUR_NODE])
    assert replies == [{OUR_NODE: {"ok": "pong"}}]
    replies = fleet.client(client).control.broadcast("ping", reply=True, timeout=2.0, pattern="the*", matcher="glob")
    assert replies == [{THEIR_NODE: {"ok": "pong"}}]


def test_our_client_returns_when_the_last_of_both_sides_has_replied(fleet):
    start = time.monotonic()
    assert len(fleet.ours.control.ping(timeout=30.0)) == 2
    assert time.monotonic() - start < 10.0


@pytest.mark.parametrize("client", CLIENTS)
def test_what_either_client_is_told_has_the_same_shape_from_both_workers(fleet, client):
    asked = look(fleet, client)
    send = fleet.client(client).send_task
    naps = [send("jobs.nap", (20.0,), queue=side) for side in (OURS, THEIRS) * 2]
    later = [send("jobs.add", (1, 2), queue=side, countdown=60) for side in (OURS, THEIRS)]
    try:
        active = until(lambda: (found := asked.active()) and sum(map(len, found.values())) == 4 and found)
        ours, theirs = shape(active[OUR_NODE]), shape(active[THEIR_NODE])
        assert ours == theirs
        for number, node in enumerate((OUR_NODE, THEIR_NODE)):
            assert {entry["id"] for entry in active[node]} == {nap.id for nap in naps[number::2]}
        scheduled = asked.scheduled()
        assert shape(scheduled[OUR_NODE]) == shape(scheduled[THEIR_NODE])
        known = asked.query_task(naps[0].id, later[1].id)
        assert known[OUR_NODE][naps[0].id][0] == "active"
        assert known[THEIR_NODE][later[1].id][0] == "scheduled"
        fleet.client(client).control.revoke(naps[0].id)
        for command in ("registered", "active_queues", "clock", "report", "revoked", "memdump"):
            replies = getattr(asked, command)()
            assert shape(replies[OUR_NODE]) == shape(replies[THEIR_NODE]), command
        assert asked.memsample()[OUR_NODE].endswith(" MB")  # Celery's needs psutil for one
        for node in (OUR_NODE, THEIR_NODE):
            assert naps[0].id in asked.revoked()[node]
        assert asked.registered()[OUR_NODE] == asked.registered()[THEIR_NODE]
        attributes = ("exchange", "serializer", "rate_limit", "ignore_result", "max_retries", "name", "nonsense")
        assert asked.registered(*attributes)[OUR_NODE] == asked.registered(*attributes)[THEIR_NODE]
        stats = asked.stats()
        for told in stats.values():
            assert all(name.startswith("jobs.") and count > 0 for name, count in told.pop("total").items())
        brokers = [set(stats[node].pop("broker")) for node in (OUR_NODE, THEIR_NODE)]
        assert brokers[0] == brokers[1]
        assert shape(stats[OUR_NODE]) == shape(stats[THEIR_NODE])
        conf = asked.conf()
        for node in (OUR_NODE, THEIR_NODE):
            assert conf[node]["broker_url"].startswith("redis://")
            assert conf[node]["result_expires"] == 120
        assert set(asked.hello("other@h")[OUR_NODE]) == {"revoked", "clock"}
    finally:
        for result in (*naps, *later):
            fleet.ours.control.terminate(result.id)


COMMANDS = [
    ("rate_limit", {"task_name": "jobs.add", "rate_limit": "10/m"}),
    ("rate_limit", {"task_name": "nobody", "rate_limit": "10/m"}),
    ("rate_limit", {"task_name": "jobs.add", "rate_limit": 0}),
    ("rate_limit", {"task_name": "jobs.add", "rate_limit": "0"}),
    ("rate_limit", {"task_name": "jobs.add", "rate_limit": None}),
    ("time_limit", {"task_name": "jobs.add", "soft": 10, "hard": 20}),
    ("time_limit", {"task_name": "nobody", "soft": 10, "hard": 20}),
    ("add_consumer", {"queue": "further"}),
    ("cancel_consumer", {"queue": "further"}),
    ("pool_grow", {"n": 1}),
    ("pool_shrink", {"n": 1}),
    ("enable_events", {}),
    ("enable_events", {}),
    ("disable_events", {}),
    ("disable_events", {}),
    ("heartbeat", {}),
    ("revoke", {"task_id": "some-id"}),
    ("revoke_by_stamped_headers", {"headers": {"a": "b"}}),
    ("revoke_by_stamped_headers", {"headers": ["a=b"]}),
    ("revoke_by_stamped_headers", {"headers": {"a": ["b", "c"]}, "terminate": True}),
    ("terminate", {"task_id": ["another-id"], "signal": "SIGTERM"}),
    ("no_such_command", {}),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_either_client_steers_both_workers_and_is_told_the_same(fleet, client):
    control = fleet.client(client).control
    for command, arguments in COMMANDS:
        replies = control.broadcast(command, arguments, reply=True, timeout=1.0)
        told = {node: value for reply in replies for node, value in reply.items()}
        assert told[OUR_NODE] == told[THEIR_NODE], (command, told)


def test_tasks_that_run_are_ended_by_their_stamps_and_both_workers_say_so(fleet):
    stamped = {"stamped_headers": ["batch"], "batch": "b1"}
    sent = [fleet.theirs.send_task("jobs.nap", (60.0,), queue=side, **stamped) for side in (OURS, THEIRS)]
    until(lambda: all(fleet.ours.control.inspect(timeout=2.0).active().values()))
    headers = {"batch": ["b1", "b2"], "other": "x"}
    replies = fleet.ours.control.revoke_by_stamped_headers(headers, terminate=True, reply=True, timeout=5.0)
    told = {node: value for reply in replies for node, value in reply.items()}
    assert told[OUR_NODE] == told[THEIR_NODE] == {"ok": "headers defaultdict(<class 'set'>, {'batch': {'b1'}}) revoked"}
    for result in sent:
        with pytest.raises(Exception, match=r"terminated|revoked"):
            result.get(timeout=10)


def test_a_task_that_runs_here_is_terminated_by_celerys_client(fleet):
    result = fleet.theirs.send_task("jobs.nap", (60.0,), queue=OURS)
    until(lambda: fleet.ours.control.inspect().active()[OUR_NODE])
    fleet.theirs.control.terminate(result.id)
    with pytest.raises(Exception, match=r"terminated|revoked") as caught:
        result.get(timeout=10)
    assert type(caught.value).__name__ == "TaskRevokedError"


def test_a_task_that_runs_there_is_terminated_by_our_client(fleet):
    result = fleet.ours.send_task("jobs.nap", (60.0,), queue=THEIRS)
    until(lambda: fleet.ours.control.inspect().active()[THEIR_NODE])
    (reply,) = fleet.ours.control.terminate(result.id, destination=[THEIR_NODE], reply=True)
    assert "terminate" in reply[THEIR_NODE]["ok"]
    with pytest.raises(Exception, match=r"terminated|revoked"):
        result.get(timeout=10)


def test_commands_are_heard_again_after_the_server_hung_up(fleet):
    client = redis.Redis.from_url(fleet.server.url)
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    until(lambda: {node for reply in fleet.ours.control.ping(timeout=0.5) for node in reply} >= {OUR_NODE}, 15.0)
    client.close()


def test_nothing_is_left_on_the_server_after_a_call(fleet):
    client = redis.Redis.from_url(fleet.server.url)
    fleet.ours.control.ping()
    fleet.ours.control.ping(["nobody@h"], timeout=0.1)
    until(lambda: not client.keys("*.reply.celery.pidbox"))
    members = client.smembers("_kombu.binding.celery.pidbox")
    assert {f"\x06\x16\x06\x16{node}.celery.pidbox".encode() for node in (OUR_NODE, THEIR_NODE)} <= members
    client.close()
