"""A message on its way out, as hooks see it: what they may change before it is sent."""

from __future__ import annotations

from typing import Any


class Outgoing:
    """One call that is about to be sent, or was.

    Before it is sent, `headers`, `properties` and the mutable parts of `body` may be changed in place.

    Args:
        task: the task's name.
        body: positional arguments, keyword arguments, and what follows (callbacks, chain), as protocol 2 carries them.
        headers: the message's headers; names of your own arrive in ``self.request.headers``.
        properties: the broker's properties, such as ``priority`` and ``correlation_id``.
        exchange, routing_key: where it goes.
        retry_policy: how a failing publish is repeated.
    """

    __slots__ = ("body", "declare", "exchange", "headers", "properties", "retry_policy", "routing_key", "task")

    def __init__(
        self,
        task: str,
        body: Any,
        headers: dict[str, Any],
        properties: dict[str, Any],
        exchange: str,
        routing_key: str,
        retry_policy: dict[str, Any] | None = None,
    ) -> None:
        self.task = task
        self.body = body
        self.headers = headers
        self.properties = properties
        self.exchange = exchange
        self.routing_key = routing_key
        self.retry_policy = retry_policy or {}
        self.declare: list[Any] = []
        """Always empty: queues are declared by the broker's own rules."""

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.headers.get("id"))
