"""The options with which servers are opened: the transport options, and the settings that say the same elsewhere."""

from __future__ import annotations

from typing import Any

from skirret.settings.conf import Conf

_OF_REDIS = {
    "username": "redis_username",
    "password": "redis_password",
    "socket_timeout": "redis_socket_timeout",
    "socket_connect_timeout": "redis_socket_connect_timeout",
    "socket_keepalive": "redis_socket_keepalive",
    "client_name": "redis_client_name",
}
"""Transport option -> the setting that says the same of the Redis result store."""


def broker_options(conf: Conf) -> dict[str, Any]:
    """What the broker is opened with: ``broker_transport_options`` over the settings that say the same."""
    options: dict[str, Any] = {
        "priority_order": conf.priority_order,
        "socket_connect_timeout": conf.broker_connection_timeout,
    }
    if conf.broker_use_ssl:
        options["ssl"] = conf.broker_use_ssl
    return {**options, **(conf.broker_transport_options or {})}


def result_options(conf: Conf) -> dict[str, Any]:
    """What the result backend is opened with: ``result_backend_transport_options`` over the ``redis_`` settings."""
    options = {name: conf[key] for name, key in _OF_REDIS.items() if conf.is_set(key)}
    if conf.redis_backend_use_ssl:
        options["ssl"] = conf.redis_backend_use_ssl
    return {**options, **(conf.result_backend_transport_options or {})}


def coordination_options(conf: Conf, url: str) -> dict[str, Any]:
    """What the coordination at `url` is opened with: as the broker or result store if it is theirs, else nothing."""
    if conf.coordination_url:
        return {}
    is_result_store = url == conf.result_backend and url != conf.broker_url
    return result_options(conf) if is_result_store else broker_options(conf)
