"""Finds the coordination that an address names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from skirret.coordination.base import Coordination
from skirret.plugins import Plugins
from skirret.stores.redis.address import SCHEMES
from skirret.url import parse

PLUGINS = Plugins(
    kind="coordination server",
    group="skirret.coordination",
    builtin={
        "memory": "skirret.coordination.memory:MemoryCoordination",
        "sqlite": "skirret.coordination.sqlite:SqliteCoordination",
        **dict.fromkeys(SCHEMES, "skirret.coordination.redis:RedisCoordination"),
    },
    extras=dict.fromkeys(SCHEMES, "redis"),
)


def keeps_state(url: str) -> bool:
    """Whether the server at an address can keep what workers share."""
    return PLUGINS.knows(parse(url).scheme)


def open_coordination(url: str, options: Mapping[str, Any] = MappingProxyType({})) -> Coordination:
    """The coordination at an address; no connection is made before it is needed.

    Args:
        url: such as ``redis://localhost:6379/0``, ``sqlite:///queue.sqlite3`` or ``memory://name``.
        options: each server documents its own.

    Raises:
        ImproperlyConfigured: nothing handles that scheme, or the address or an option makes no sense.
        MissingDependency: the driver is not installed.
    """
    address = parse(url)
    return cast("Coordination", PLUGINS.load(address.scheme).from_url(address, options))
