"""Exchanges and bindings: how messages find their way to queues where a broker routes them, as RabbitMQ does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KEYLESS = frozenset({"fanout", "headers"})
"""The types of exchange that do not look at a message's routing key."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where messages are sent, to be given to the queues that are bound to it.

    Args:
        name: of the exchange.
        type: ``direct`` (to queues bound by the routing key), ``topic`` (by a pattern of it), ``fanout`` (to all) or
            ``headers`` (by headers of the message); or one that a plugin of the server has.
        durable: it outlives a restart of the server.
        auto_delete: it goes with the last queue that is bound to it.
        arguments: what the server is told besides.
    """

    name: str
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """One way from an exchange to a queue.

    Args:
        exchange: where messages come from.
        routing_key: which of them, for a direct exchange; a pattern of it for a topic exchange.
        arguments: which of them, for a headers exchange: their headers, and ``x-match`` as ``all`` or ``any``.
    """

    exchange: Exchange
    routing_key: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
