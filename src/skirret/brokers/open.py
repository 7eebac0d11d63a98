"""Finds the broker that an address names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from skirret.brokers.base import Broker, Queue
from skirret.errors import ImproperlyConfigured
from skirret.plugins import Plugins
from skirret.stores.amqp import address as amqp
from skirret.stores.redis import address as redis
from skirret.url import parse

PLUGINS = Plugins(
    kind="broker",
    group="skirret.brokers",
    builtin={
        "memory": "skirret.brokers.memory:MemoryBroker",
        "sqlite": "skirret.brokers.sqlite:SqliteBroker",
        **dict.fromkeys(redis.SCHEMES, "skirret.brokers.redis:RedisBroker"),
        **dict.fromkeys(amqp.SCHEMES, "skirret.brokers.amqp:AmqpBroker"),
    },
    extras={**dict.fromkeys(redis.SCHEMES, "redis"), **dict.fromkeys(amqp.SCHEMES, "amqp")},
)


def open_broker(url: str, options: Mapping[str, Any] = MappingProxyType({})) -> Broker:
    """The broker at an address; no connection is made before it is needed.

    Args:
        url: such as ``sqlite:///queue.sqlite3`` or ``memory://name``.
        options: ``broker_transport_options``; each broker documents its own.

    Raises:
        ImproperlyConfigured: nothing handles that scheme, or the address or an option makes no sense.
        MissingDependency: the driver is not installed.
    """
    address = parse(url)
    return cast("Broker", PLUGINS.load(address.scheme).from_url(address, options))


def require_exchanges(broker: Broker, queues: Iterable[Queue]) -> None:
    """See to it that a broker can do what declared queues ask for.

    Raises:
        ImproperlyConfigured: one is a broadcast queue, and a message goes to one queue only.
    """
    if broker.capabilities.exchanges:
        return
    for queue in queues:
        if queue.auto_delete and any(way.exchange.type == "fanout" for way in queue.ways):
            raise ImproperlyConfigured(
                f"task_queues declares the broadcast queue {queue.alias or queue.name!r}, and this broker has no "
                "exchanges that give a message to every worker. Use RabbitMQ, or a remote command"
            )
