"""Remote control and events across both sides on RabbitMQ: each side's client asks, steers and hears both workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Self

import celery
import pytest

from skirret import Skirret
from skirret.events.schema import COMMON, FIELDS
from tests.interop.fleet import OURS, THEIRS, Fleet, until
from tests.interop.test_redis_control import COMMANDS, shape
from tests.servers.rabbitmq_servers import RabbitServer, binary
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:Call to deprecated"),
    pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning"),
]

OUR_NODE, THEIR_NODE = "ours@h", "theirs@h"
CLIENTS = pytest.mark.parametrize("client", [OURS, THEIRS])


@pytest.fixture(scope="module")
def fleet(rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("control")
    results = RedisServer(redis_binary(), directory / "redis")
    try:
        with rabbitmq.host() as host:
            fleet = Fleet(rabbitmq, directory, rabbitmq.url_of(host), results.url)
            fleet.host = host
            fleet.env["FLEET_QUEUES"] = "quorum"
            with (
                fleet.clients(),
                fleet.their_worker(THEIRS, f"-c 2 -E -n {THEIR_NODE}"),
                fleet.our_worker(OURS, f"-c 2 -E -n {OUR_NODE}"),
            ):
                until(lambda: len(fleet.ours.control.ping()) == 2)
                yield fleet
    finally:
        results.stop()


def look(fleet: Fleet, client: str) -> Any:
    """Celery's client waits for the whole timeout, so it is short."""
    return fleet.client(client).control.inspect(timeout=1.0)


@CLIENTS
def test_either_client_sees_both_workers_in_the_same_shapes(fleet, client):
    asked = look(fleet, client)
    assert asked.ping() == {OUR_NODE: {"ok": "pong"}, THEIR_NODE: {"ok": "pong"}}
    naps = [fleet.client(client).send_task("jobs.nap", (20.0,), queue=side) for side in (OURS, THEIRS)]
    try:
        active = until(lambda: (found := asked.active()) and all(found.values()) and len(found) == 2 and found)
        assert shape(active[OUR_NODE]) == shape(active[THEIR_NODE])
        assert [active[node][0]["id"] for node in (OUR_NODE, THEIR_NODE)] == [nap.id for nap in naps]
        for command in ("registered", "active_queues", "clock", "reserved", "conf"):
            replies = getattr(asked, command)()
            assert set(replies) == {OUR_NODE, THEIR_NODE}, command
            if command == "active_queues":  # only Celery's says what type it asked for
                for told in replies.values():
                    told[0].pop("queue_arguments")
            if command != "conf":
                assert shape(replies[OUR_NODE]) == shape(replies[THEIR_NODE]), command
        stats = asked.stats()
        assert set(stats[OUR_NODE]["broker"]) == set(stats[THEIR_NODE]["broker"])
        assert stats[OUR_NODE]["pool"]["max-concurrency"] == stats[THEIR_NODE]["pool"]["max-concurrency"] == 2
    finally:
        for nap in naps:
            fleet.client(client).control.terminate(nap.id)
    for nap in naps:
        with pytest.raises(Exception, match=r"terminated|revoked"):
            nap.get(timeout=10)


def test_either_client_steers_both_workers_and_is_told_the_same(fleet):
    chosen = [
        one
        for one in COMMANDS
        if one[0] in {"rate_limit", "time_limit", "pool_grow", "pool_shrink", "revoke", "no_such_command"}
    ]
    for number, (command, arguments) in enumerate(chosen):
        control = fleet.client((OURS, THEIRS)[number % 2]).control
        replies = control.broadcast(command, arguments, reply=True, timeout=1.0)
        told = {node: value for reply in replies for node, value in reply.items()}
        assert told[OUR_NODE] == told[THEIR_NODE], (command, told)


@CLIENTS
def test_either_client_finds_a_task_and_ends_it_by_its_stamp(fleet, client):
    stamped = {"stamped_headers": ["batch"], "batch": client}
    naps = [fleet.client(client).send_task("jobs.nap", (60.0,), queue=side, **stamped) for side in (OURS, THEIRS)]
    asked, nodes = look(fleet, client), (OUR_NODE, THEIR_NODE)

    def states() -> list[str]:
        known = asked.query_task(*(nap.id for nap in naps)) or {}
        return [known.get(node, {}).get(nap.id, [""])[0] for node, nap in zip(nodes, naps, strict=True)]

    until(lambda: states() == ["active"] * 2)
    control = fleet.client(client).control
    replies = control.revoke_by_stamped_headers({"batch": client}, terminate=True, reply=True, timeout=1.0)
    told = {node: value for reply in replies for node, value in reply.items()}
    assert told[OUR_NODE] == told[THEIR_NODE]
    for nap in naps:
        with pytest.raises(Exception, match=r"terminated|revoked"):
            nap.get(timeout=10)
    gone = f"gone-{client}"
    control.revoke(gone)
    until(lambda: all(gone in (asked.revoked() or {}).get(node, ()) for node in nodes))
    for command in ("revoked", "report", "memdump"):
        replies = getattr(asked, command)()
        assert shape(replies[OUR_NODE]) == shape(replies[THEIR_NODE]), command


@CLIENTS
def test_a_queue_is_added_to_our_worker_and_cancelled(fleet, client):
    control, queue = fleet.client(client).control, f"more-{client}"
    control.add_consumer(queue, destination=[OUR_NODE], reply=True, timeout=1.0)
    assert fleet.ours.send_task("jobs.who", queue=queue).get(timeout=10) == OURS
    control.cancel_consumer(queue, destination=[OUR_NODE], reply=True, timeout=1.0)
    assert [one["name"] for one in look(fleet, client).active_queues()[OUR_NODE]] == [OURS]


class Monitor:
    """One side's receiver in a thread."""

    def __init__(self, app: Any, connection: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.receiver = app.events.Receiver(connection, handlers={"*": lambda event: self.events.append(dict(event))})
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.receiver.capture(limit=None, timeout=None, wakeup=False)

    def __enter__(self) -> Self:
        self.thread.start()
        until(lambda: {OUR_NODE, THEIR_NODE} <= {event["hostname"] for event in self.events}, 30.0)  # heartbeats
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.receiver.should_stop = True
        self.thread.join(30)

    def of(self, task_id: str, last: str) -> dict[str, dict[str, Any]]:
        """The events of a task by type, once the last is among them."""

        def found() -> dict[str, dict[str, Any]]:
            mine = {event["type"]: event for event in list(self.events) if event.get("uuid") == task_id}
            return mine if last in mine else {}

        return until(found, 30.0)


def hear(fleet: Fleet, side: str) -> Iterator[Monitor]:
    if side == OURS:
        ours = Skirret("monitor", broker=fleet.env["FLEET_URL"], set_as_current=False)
        with ours, Monitor(ours, ours.connection()) as monitor:
            yield monitor
        return
    app = celery.Celery("monitor", broker=fleet.env["FLEET_URL"], set_as_current=False)
    with app.connection() as connection, Monitor(app, connection) as monitor:
        yield monitor
    app.close()


@pytest.fixture(scope="module", params=[OURS, THEIRS])
def monitor(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Monitor]:
    yield from hear(fleet, request.param)


@pytest.mark.parametrize("queue", [OURS, THEIRS])
def test_tasks_of_both_workers_are_followed_by_either_monitor(fleet, monitor, queue):
    sent = fleet.client(queue).send_task("jobs.add", (2, 3), queue=queue)
    events = monitor.of(sent.id, "task-succeeded")
    assert {"task-received", "task-started", "task-succeeded"} <= set(events)
    for kind, event in events.items():
        assert set(event) - {"local_received"} == {*COMMON, *FIELDS[kind]}
    failed = fleet.client(queue).send_task("jobs.fail", ("value", "bad"), queue=queue)
    assert monitor.of(failed.id, "task-failed")["task-failed"]["exception"] == "ValueError('bad')"
    flaky = fleet.client(queue).send_task("jobs.flaky", (1,), queue=queue)
    assert "try 0" in monitor.of(flaky.id, "task-succeeded")["task-retried"]["exception"]
    own = fleet.client(queue).send_task("jobs.progress", queue=queue)
    event = monitor.of(own.id, "task-progress")["task-progress"]
    assert (event["done"], event["hostname"]) == (3, f"{queue}@h")
    expired = fleet.client(queue).send_task("jobs.who", queue=queue, expires=-1)
    event = monitor.of(expired.id, "task-revoked")["task-revoked"]
    assert (event["expired"], event["terminated"]) == (True, False)


def test_no_queue_for_replies_is_left_after_a_call(fleet):
    before = fleet.server.queues(fleet.host)
    assert {f"{node}.celery.pidbox" for node in (OUR_NODE, THEIR_NODE)} <= before
    assert len(fleet.ours.control.ping()) == 2
    until(lambda: fleet.server.queues(fleet.host) <= before)


def test_commands_are_heard_again_after_the_server_hung_up(fleet):
    host = binary(fleet.host)
    closed = fleet.server.ask(
        '[rabbit_networking:close_connection(Pid, "by a test") || Pid <- rabbit_networking:connections(),'
        f" [{{_, Host}}, {{_, Facts}}] <- [rabbit_reader:info(Pid, [vhost, client_properties])], Host =:= {host},"
        ' lists:member({<<"product">>, longstr, <<"Skirret">>}, Facts)]'
    )
    assert closed.count("ok") >= 2, "those of our worker at least"
    until(lambda: {node for reply in fleet.ours.control.ping(timeout=0.5) for node in reply} >= {OUR_NODE}, 15.0)


def test_celerys_client_shuts_our_worker_down(fleet):
    with fleet.our_worker("last", "-c 1 -n last@h") as worker:
        until(lambda: look(fleet, THEIRS).ping().get("last@h"))
        fleet.theirs.control.shutdown(destination=["last@h"])
        assert worker.wait(30) == 0
