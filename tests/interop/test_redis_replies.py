"""What workers of both sides reply of their memory, settings, scaling, restart and end, and what they hold unbegun."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from skirret.settings import OPTIONS
from tests.interop.fleet import OURS, THEIRS, Fleet, until
from tests.interop.test_redis_control import CLIENTS, OUR_NODE, THEIR_NODE, look, shape
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore:Call to deprecated")]

MASKED = "********"
"""What Celery shows of each setting whose key holds a word such as key, secret, token or database."""

MODULE_NAMES = {"annotations", "os"}
"""Names that a module of settings imports: Celery's reply lists them as settings."""

CELERYS_OWN = {"deprecated_settings", "include", "worker_disable_prefetch"}
"""What Celery's worker writes into its settings itself."""

OTHER_DEFAULTS = {
    "beat_scheduler", "broker_read_url", "broker_write_url", "include", "task_acks_late", "task_default_exchange",
    "task_create_missing_queue_type", "task_default_queue_type", "task_reject_on_worker_lost", "worker_autoscaler",
    "worker_consumer",
}  # fmt: skip
"""Settings that nobody set and whose defaults differ: classes by their names, addresses, late acks, types of queues."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Workers that scale, and of which Celery's may be restarted."""
    directory = tmp_path_factory.mktemp("replies")
    server = RedisServer(redis_binary(), directory / "redis")
    fleet = Fleet(server, directory)
    fleet.env["FLEET_RESTARTS"] = "1"
    try:
        with (
            fleet.our_worker(OURS, f"--autoscale 3,1 -n {OUR_NODE}"),
            fleet.their_worker(THEIRS, f"--autoscale 3,1 -n {THEIR_NODE}"),
            fleet.clients(),
        ):
            until(lambda: len(fleet.ours.control.ping()) == 2)
            yield fleet
    finally:
        server.stop()


def told(fleet: Fleet, client: str, command: str, **arguments: Any) -> dict[str, Any]:
    replies = fleet.client(client).control.broadcast(command, arguments, reply=True, timeout=2.0)
    return {node: value for reply in replies or () for node, value in reply.items()}


@pytest.mark.parametrize("client", CLIENTS)
def test_the_settings_that_somebody_set_are_told_alike(fleet, client):
    conf = look(fleet, client).conf()
    ours, theirs = conf[OUR_NODE], conf[THEIR_NODE]
    address = theirs.pop("broker_url")
    assert ours.pop("broker_url").startswith("redis://")
    assert MASKED in address  # also where there is no password
    idle = {"broker_connection_retry_on_startup", "worker_pool_restarts"}  # set by both, and without effect here
    assert ours == {key: value for key, value in theirs.items() if key not in MODULE_NAMES | CELERYS_OWN | idle}


@pytest.mark.parametrize("client", CLIENTS)
def test_with_defaults_every_setting_of_celery_that_counts_here_is_told_with_its_value(fleet, client):
    conf = look(fleet, client).conf(with_defaults=True)
    ours, theirs = conf[OUR_NODE], conf[THEIR_NODE]
    idle = {row.key for row in fleet.ours.conf.rows() if not row.used}
    assert set(theirs) - set(ours) - MODULE_NAMES == (set(theirs) & idle) | {"deprecated_settings"}
    differ = {key for key in set(ours) & set(theirs) if ours[key] != theirs[key] and MASKED not in str(theirs[key])}
    assert differ <= OTHER_DEFAULTS


def test_stats_tell_settings_of_the_broker_only_where_they_have_an_effect(fleet):
    broker = look(fleet, OURS).stats()[OUR_NODE]["broker"]
    assert broker["connect_timeout"] == fleet.ours.conf.broker_connection_timeout == 4
    for name in ("login_method", "heartbeat", "failover_strategy"):
        key = f"broker_{name}"
        assert broker[name] == (fleet.ours.conf[key] if OPTIONS[key].used else None)


@pytest.mark.parametrize("client", CLIENTS)
def test_memory_is_told_as_a_text(fleet, client):
    replies = told(fleet, client, "memsample")
    assert set(replies) == {OUR_NODE, THEIR_NODE}
    number, unit = replies[OUR_NODE].split()
    assert float(number) > 1.0
    assert unit == "MB"
    # Celery's needs psutil for its own, and replies with nothing without it.
    assert replies[THEIR_NODE] is None or replies[THEIR_NODE].endswith("MB")


@pytest.mark.parametrize("client", CLIENTS)
def test_both_scale_between_the_same_bounds_and_are_restarted_alike(fleet, client):
    for bounds in ({"max": 4, "min": 2}, {"max": 3}, {"min": 1}, {}):
        replies = told(fleet, client, "autoscale", **bounds)
        assert replies[OUR_NODE] == replies[THEIR_NODE] == {"ok": replies[OUR_NODE]["ok"]}, bounds
    for modules in (None, ["jobs"]):
        replies = told(fleet, client, "pool_restart", modules=modules)
        assert replies == {OUR_NODE: {"ok": "reload started"}, THEIR_NODE: {"ok": "reload started"}}


def test_what_both_hold_and_have_not_begun_has_the_same_shape(fleet):
    asked = look(fleet, OURS)
    until(lambda: asked.ping().keys() == {OUR_NODE, THEIR_NODE})
    children = until(lambda: asked.stats()[OUR_NODE]["pool"]["processes"])
    for pid in children:  # ours holds what a child has not begun only for an instant, unless the child does not listen
        os.kill(pid, signal.SIGSTOP)
    try:
        sent = [fleet.ours.send_task("jobs.nap", (0.5,), queue=side) for side in (OURS, THEIRS) for _ in range(6)]
        for client in CLIENTS:
            reserved = until(lambda client=client: all((found := look(fleet, client).reserved()).values()) and found)
            assert shape(reserved[OUR_NODE]) == shape(reserved[THEIR_NODE])
            known = look(fleet, client).query_task(*[result.id for result in sent])
            for node in (OUR_NODE, THEIR_NODE):
                first = reserved[node][0]
                assert first["id"] in {result.id for result in sent}
                assert first["time_start"] is first["worker_pid"] is None
            assert known[OUR_NODE][reserved[OUR_NODE][0]["id"]] == ["reserved", reserved[OUR_NODE][0]]
    finally:
        for pid in children:
            os.kill(pid, signal.SIGCONT)
    for result in sent:
        result.get(timeout=30)


def test_both_end_and_ours_says_so_before(fleet):
    start = time.monotonic()
    assert told(fleet, THEIRS, "shutdown") == {OUR_NODE: {"ok": "shutting down"}}  # Celery's worker does not reply
    until(lambda: not fleet.ours.control.ping(timeout=0.5), 30.0)
    assert time.monotonic() - start < 30.0
