"""Settings whose default is another setting's value."""

from __future__ import annotations

from typing import Any

_FOLLOWERS = (
    ("task_default_exchange", "task_default_queue"),
    ("task_default_routing_key", "task_default_queue"),
    ("broker_read_url", "broker_url"),
    ("broker_write_url", "broker_url"),
)


def complete(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with those filled in that follow from others, as in Celery.

    Args:
        values: every key with its value; changed in place.
    """
    if values["broker_url"] is None and values["broker_host"] is not None:
        values["broker_url"] = _address(values)
    for key, leader in _FOLLOWERS:
        if values[key] is None:
            values[key] = values[leader]
    return values


def _address(values: dict[str, Any]) -> str:
    """The broker's address put together from its parts."""
    from skirret.url import Url

    vhost = values["broker_vhost"]
    return Url(
        scheme=values["broker_transport"] or "amqp",
        host=values["broker_host"],
        port=values["broker_port"],
        username=values["broker_user"],
        password=values["broker_password"],
        path=f"/{vhost.removeprefix('/')}" if vhost else "",
    ).full
