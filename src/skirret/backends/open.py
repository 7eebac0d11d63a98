"""Finds the result backend that an address names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from skirret.backends.base import ResultBackend
from skirret.plugins import Plugins
from skirret.settings.transports import RPC
from skirret.stores.redis.address import SCHEMES
from skirret.url import parse

PLUGINS = Plugins(
    kind="result backend",
    group="skirret.backends",
    builtin={
        "memory": "skirret.backends.memory:MemoryBackend",
        "cache+memory": "skirret.backends.memory:MemoryBackend",
        "disabled": "skirret.backends.disabled:DisabledBackend",
        RPC: "skirret.backends.rpc:RpcBackend",
        "sqlite": "skirret.backends.sqlite:SqliteBackend",
        **dict.fromkeys(SCHEMES, "skirret.backends.redis:RedisBackend"),
    },
    extras={**dict.fromkeys(SCHEMES, "redis"), RPC: "amqp"},
)


def open_backend(url: str, options: Mapping[str, Any] = MappingProxyType({})) -> ResultBackend:
    """The result backend at an address; no connection is made before it is needed.

    Args:
        url: such as ``redis://localhost:6379/0``, ``sqlite:///queue.sqlite3``, ``memory://name``, ``rpc://`` or
            ``disabled``.
        options: of ``settings.transports.result_options``; each backend documents its own.

    Raises:
        ImproperlyConfigured: nothing handles that scheme, or the address or an option makes no sense.
        MissingDependency: the driver is not installed.
    """
    address = parse(url)
    return cast("ResultBackend", PLUGINS.load(address.scheme).from_url(address, options))
