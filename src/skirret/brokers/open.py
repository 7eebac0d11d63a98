"""Finds the broker that an address names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from skirret.brokers.base import Broker
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
