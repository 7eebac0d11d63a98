"""A queue from any form in which it is given: a name, options, ours, or an object with kombu's attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from skirret.brokers.base import Queue
from skirret.brokers.exchanges import Binding, Exchange
from skirret.errors import ImproperlyConfigured

_ARGUMENTS = {
    "expires": ("x-expires", 1000), "message_ttl": ("x-message-ttl", 1000), "max_length": ("x-max-length", 1),
    "max_length_bytes": ("x-max-length-bytes", 1),
}  # fmt: skip
"""kombu's names for arguments of RabbitMQ, and by what their values are multiplied."""


def as_queue(value: Any, name: str | None = None) -> Queue:
    """A queue from its name, a mapping of its options, our `Queue`, or an object with a kombu Queue's attributes.

    Args:
        value: what ``task_queues`` holds.
        name: its key there, if that is a mapping.

    Raises:
        ImproperlyConfigured: it is none of these.
    """
    if isinstance(value, Queue):
        return value
    if isinstance(value, str):
        return Queue(name=value)
    if isinstance(value, Mapping) or (value is None and name is not None):
        options = dict(value or {})
        label = options.get("name", name)
        if not label:
            raise ImproperlyConfigured(f"task_queues holds a queue without a name: {value!r}")
        options["routing_key"] = options.get("routing_key") or options.get("binding_key")
        return _queue(str(label), options)
    label = getattr(value, "name", None)
    if not label:
        raise ImproperlyConfigured(f"task_queues holds {value!r}, which is neither a name, a mapping nor a queue")
    return _queue(str(label), {key: getattr(value, key, None) for key in _READ})


_READ = (
    "exchange", "routing_key", "bindings", "queue_arguments", "binding_arguments", "consumer_arguments", "durable",
    "auto_delete", "exclusive", "alias", "max_priority", *_ARGUMENTS,
)  # fmt: skip


def _queue(name: str, options: Mapping[str, Any]) -> Queue:
    exchange = as_exchange(options.get("exchange"), options.get("exchange_type"))
    key = str(options.get("routing_key") or "")
    arguments = dict(options.get("queue_arguments") or {})
    for option, (argument, factor) in _ARGUMENTS.items():
        if options.get(option) is not None:
            arguments[argument] = int(options[option] * factor)
    alias = str(options.get("alias") or "")
    return Queue(
        name=name,
        exchange=exchange.name,
        routing_key=key,
        exchange_type=exchange.type,
        bindings=_bindings(exchange, key or name, options),
        max_priority=options.get("max_priority") or arguments.get("x-max-priority"),
        arguments=arguments,
        consumer_arguments=dict(options.get("consumer_arguments") or {}),
        durable=options.get("durable") is not False,
        # One that is exclusive to a line cannot be had again by the line that replaces it.
        auto_delete=bool(options.get("auto_delete") or options.get("exclusive")),
        alias="" if alias == name else alias,
    )


def _bindings(exchange: Exchange, key: str, options: Mapping[str, Any]) -> tuple[Binding, ...]:
    """All bindings, if there are more than what the exchange and the routing key say; else none."""
    arguments = dict(options.get("binding_arguments") or {})
    further = options.get("bindings")
    found = [
        Binding(as_exchange(one.exchange), str(one.routing_key or ""), dict(one.arguments or {}))
        for one in (further if isinstance(further, Iterable) else ())
    ]
    plain = Exchange(exchange.name, exchange.type)
    if exchange.name and (found or arguments or exchange != plain):
        found.insert(0, Binding(exchange, "" if exchange.type == "fanout" else key, arguments))
    return tuple(found)


def as_exchange(value: Any, kind: Any = None) -> Exchange:
    """An exchange from its name, our `Exchange`, or an object with a kombu Exchange's attributes.

    Args:
        value: any of these; None and "" are no exchange.
        kind: its type, where `value` does not say.
    """
    if isinstance(value, Exchange):
        return value
    if value is None or isinstance(value, str):
        return Exchange(value or "", str(kind or "direct"))
    return Exchange(
        str(getattr(value, "name", "") or ""),
        str(getattr(value, "type", "") or kind or "direct"),
        durable=getattr(value, "durable", True) is not False,
        auto_delete=bool(getattr(value, "auto_delete", False)),
        arguments=dict(getattr(value, "arguments", None) or {}),
    )
