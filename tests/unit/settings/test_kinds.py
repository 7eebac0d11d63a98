"""What each kind of setting accepts, from code and from text, and what it refuses."""

from __future__ import annotations

import math
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from skirret.settings import OPTIONS

FINE = [
    ("task_acks_late", "yes", True),
    ("task_acks_late", "TRUE", True),
    ("task_acks_late", "on", True),
    ("task_acks_late", "0", False),
    ("task_acks_late", "No", False),
    ("task_acks_late", 1, True),
    ("broker_pool_limit", "7", 7),
    ("broker_pool_limit", 7.0, 7),
    ("broker_pool_limit", None, None),
    ("broker_port", "65535", 65535),
    ("broker_heartbeat_checkrate", "2.5", 2.5),
    ("task_time_limit", 300, 300),
    ("task_time_limit", "300", 300),
    ("task_time_limit", "90s", 90),
    ("task_time_limit", "1.5h", 5400),
    ("task_time_limit", "250ms", 0.25),
    ("task_time_limit", "2 d", 172800),
    ("task_time_limit", timedelta(minutes=5), 300.0),
    ("result_expires", timedelta(hours=1), timedelta(hours=1)),
    ("result_expires", "1d", 86400),
    ("result_expires", None, None),
    ("result_backend_max_retries", "inf", math.inf),
    ("message_max_bytes", "16MiB", 16 * 2**20),
    ("message_max_bytes", "500 kB", 500_000),
    ("message_max_bytes", 10, 10),
    ("accept_content", "json, msgpack", ("json", "msgpack")),
    ("accept_content", '["json", "yaml"]', ["json", "yaml"]),
    ("accept_content", ["json"], ["json"]),
    ("imports", "proj.tasks", ("proj.tasks",)),
    ("broker_transport_options", '{"priority_steps": [0, 5]}', {"priority_steps": [0, 5]}),
    ("broker_use_ssl", "true", True),
    ("broker_use_ssl", {"ca_certs": "x"}, {"ca_certs": "x"}),
    ("broker_use_ssl", '{"ca_certs": "x"}', {"ca_certs": "x"}),
    ("broker_use_ssl", None, None),
    ("broker_url", "memory", "memory"),
    ("broker_url", "sqlite:///queue.db", "sqlite:///queue.db"),
    ("broker_url", "redis+socket:///tmp/redis.sock", "redis+socket:///tmp/redis.sock"),
    ("broker_url", "sentinel://a:26379;sentinel://b:26379", "sentinel://a:26379;sentinel://b:26379"),
    ("broker_url", ["amqp://a//", "amqp://b//"], ["amqp://a//", "amqp://b//"]),
    ("broker_url", '["amqp://a//", "amqp://b//"]', ["amqp://a//", "amqp://b//"]),
    ("result_backend", "db+postgresql://u:p@h/d", "db+postgresql://u:p@h/d"),
    ("result_backend", "cache+memcached://a:1;b:2/", "cache+memcached://a:1;b:2/"),
    ("task_routes", '{"a.*": {"queue": "x"}}', {"a.*": {"queue": "x"}}),
    ("task_routes", print, print),
    ("task_queues", "high, low", ("high", "low")),
    ("task_queues", [{"name": "x"}], [{"name": "x"}]),
    ("task_queues", {"x": {}}, {"x": {}}),
    ("task_default_rate_limit", "100/m", "100/m"),
    ("task_default_rate_limit", 10, 10),
    ("task_default_delivery_mode", "1", 1),
    ("task_default_delivery_mode", "transient", "transient"),
    ("task_default_priority", "9", 9),
    ("worker_concurrency", "8", 8),
    ("worker_concurrency", "auto", None),
    ("worker_pool", "threads", "threads"),
    ("worker_pool_start_method", "spawn", "spawn"),
    ("worker_state_db", Path("x") / "y", str(Path("x") / "y")),
    ("worker_redirect_stdouts_level", "info", "info"),
    ("worker_redirect_stdouts_level", 30, 30),
    ("security_key_password", b"x", b"x"),
    ("timezone", "Europe/Berlin", "Europe/Berlin"),
    ("timezone", UTC, UTC),
    ("priority_order", "celery", "celery"),
]

WRONG = [
    ("task_acks_late", "maybe", "true or false"),
    ("task_acks_late", 2, "true or false"),
    ("task_acks_late", None, "not None"),
    ("broker_pool_limit", "many", "a whole number"),
    ("broker_pool_limit", 1.5, "a whole number"),
    ("broker_pool_limit", True, "a whole number"),
    ("broker_pool_limit", -1, "at least 0"),
    ("broker_pool_limit", math.inf, "a whole number"),
    ("broker_port", 70000, "at most 65535"),
    ("task_time_limit", "soon", "seconds"),
    ("task_time_limit", "5 parsecs", "seconds"),
    ("task_time_limit", math.nan, "seconds"),
    ("task_time_limit", -1, "at least 0"),
    ("result_expires", timedelta(days=-1), "at least 0"),
    ("message_max_bytes", "16 furlongs", "bytes"),
    ("accept_content", 5, "names"),
    ("accept_content", [5], "names"),
    ("accept_content", {"json": 1}, "names"),
    ("broker_transport_options", "{", "JSON"),
    ("broker_transport_options", "[1]", "a dict"),
    ("broker_transport_options", [1], "a dict"),
    ("broker_use_ssl", "perhaps", "true, false or a dict"),
    ("broker_url", 5, "an address"),
    ("broker_url", [5], "an address"),
    ("broker_url", "redis://:p/w@host:6379/0", "percent-encoded"),
    ("broker_url", "", "an address"),
    ("result_backend", 5, "an address"),
    ("task_queues", 5, "queues"),
    ("task_default_rate_limit", "often", "a rate"),
    ("task_default_rate_limit", "10/y", "a rate"),
    ("task_default_delivery_mode", 3, "persistent"),
    ("task_default_delivery_mode", True, "persistent"),
    ("task_default_queue", 5, "text"),
    ("task_default_priority", 256, "at most 255"),
    ("task_protocol", 1, "one of 2"),
    ("worker_concurrency", "lots", "auto"),
    ("worker_concurrency", -1, "at least 0"),
    ("worker_pool", 3, "the name of a pool"),
    ("worker_pool", dict, "the name of a pool"),
    ("worker_pool", "celery.concurrency.prefork:TaskPool", "skirret.pools"),
    ("worker_pool", "proj.pools.Mine", "skirret.pools"),
    ("worker_pool", "custom", "skirret.pools"),
    ("worker_pool_start_method", "forkserver", "take 'spawn'"),
    ("worker_pool_start_method", "thread", "'fork', 'spawn'"),
    ("worker_redirect_stdouts_level", "LOUD", "log level"),
    ("worker_state_db", 3, "the path of a file"),
    ("security_key_password", 3, "text or bytes"),
    ("timezone", "Mars/Olympus", "time zone"),
    ("timezone", 5, "time zone"),
    ("priority_order", "random", "'guide', 'celery'"),
    ("security", "none", "'celery', 'strict'"),
]


@pytest.mark.parametrize("key, given, meant", FINE)
def test_what_is_meant_is_understood(key, given, meant):
    found = OPTIONS[key].coerce(given)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize("key, given, expected", WRONG)
def test_what_cannot_be_meant_is_refused_and_the_text_says_what_was_expected(key, given, expected):
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        OPTIONS[key].coerce(given)
    assert expected in str(caught.value)


def test_containers_are_kept_as_the_users_own_objects():
    given = {"a": 1}
    assert OPTIONS["beat_schedule"].coerce(given) is given
    names = ["json"]
    assert OPTIONS["accept_content"].coerce(names) is names


def test_a_refused_address_is_not_repeated_in_the_text():
    with pytest.raises(ValueError, match="percent-encoded") as caught:
        OPTIONS["broker_url"].coerce("redis://:hunter2/x@host:6379/0")
    assert "hunter2" not in str(caught.value)
