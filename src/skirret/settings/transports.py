"""The options with which servers are opened: the transport options, and the settings that say the same elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from skirret.settings.conf import Conf

RPC = "rpc"
"""The scheme of results that are messages to who sent the task."""

_OF_REDIS = {
    "username": "redis_username",
    "password": "redis_password",
    "socket_timeout": "redis_socket_timeout",
    "socket_connect_timeout": "redis_socket_connect_timeout",
    "socket_keepalive": "redis_socket_keepalive",
    "client_name": "redis_client_name",
}
"""Transport option -> the setting that says the same of the Redis result store."""


_OF_BROKERS = {
    "login_method": "broker_login_method",
    "failover_strategy": "broker_failover_strategy",
    "heartbeat": "broker_heartbeat",
    "queue_type": "task_create_missing_queue_type",
    "delay_queue_type": "broker_native_delayed_delivery_queue_type",
    "queue_max_priority": "task_queue_max_priority",
}
"""Transport option -> the setting that says the same of the broker, where it is set."""

_OF_LISTENERS = {
    "event_queue": {
        "prefix": "event_queue_prefix",
        "exclusive": "event_queue_exclusive",
        "durable": "event_queue_durable",
        "ttl": "event_queue_ttl",
        "expires": "event_queue_expires",
    },
    "control_queue": {
        "exclusive": "control_queue_exclusive",
        "durable": "control_queue_durable",
        "ttl": "control_queue_ttl",
        "expires": "control_queue_expires",
    },
}
"""Transport option -> how a monitor's or node's queue is made, by the settings that say it; those that are set."""


def broker_options(conf: Conf) -> dict[str, Any]:
    """What the broker is opened with: ``broker_transport_options`` over the settings that say the same."""
    options: dict[str, Any] = {
        "priority_order": conf.priority_order,
        "socket_connect_timeout": conf.broker_connection_timeout,
    }
    options.update({name: conf[key] for name, key in _OF_BROKERS.items() if conf.is_set(key)})
    for part, keys in _OF_LISTENERS.items():
        told = {name: conf[key] for name, key in keys.items() if conf.is_set(key)}
        if told:
            options[part] = told
    if conf.broker_use_ssl:
        options["ssl"] = conf.broker_use_ssl
    return {**options, **(conf.broker_transport_options or {})}


def replies(conf: Conf) -> bool:
    """Whether results are messages to who sent the task, rather than in a store for all; without loading a driver."""
    return str(conf.get("result_backend") or "").partition(":")[0] == RPC


def result_options(conf: Conf, broker_url: str) -> dict[str, Any]:
    """What the result backend is opened with: ``result_backend_transport_options`` over the settings that it heeds.

    Args:
        conf: the settings.
        broker_url: the address of the broker, whose server results of ``rpc://`` go through.
    """
    if replies(conf):
        return {
            "broker_url": broker_url,
            "broker_options": broker_options(conf),
            "expires": _seconds(conf.result_expires),
            "persistent": conf.result_persistent,
            "cache_max": conf.result_cache_max,
            "serializer": conf.result_serializer,
            **(conf.result_backend_transport_options or {}),
        }
    options = {name: conf[key] for name, key in _OF_REDIS.items() if conf.is_set(key)}
    if conf.redis_backend_use_ssl:
        options["ssl"] = conf.redis_backend_use_ssl
    return {**options, **(conf.result_backend_transport_options or {})}


def _seconds(value: timedelta | float | None) -> float | None:
    return (value.total_seconds() if isinstance(value, timedelta) else value) or None


def coordination_options(conf: Conf, url: str) -> dict[str, Any]:
    """What the coordination at `url` is opened with: as the broker or result store if it is theirs, else nothing."""
    if conf.coordination_url:
        return {}
    is_result_store = url == conf.result_backend and url != conf.broker_url
    return result_options(conf, str(conf.broker_url)) if is_result_store else broker_options(conf)
