"""The queues that an app declares, in whatever form the settings give them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any

from skirret.brokers.base import Queue
from skirret.errors import ImproperlyConfigured, QueueNotFound


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
        arguments = dict(options.get("queue_arguments") or {})
        return Queue(
            name=str(label),
            exchange=str(options.get("exchange") or ""),
            routing_key=str(options.get("routing_key") or options.get("binding_key") or ""),
            exchange_type=str(options.get("exchange_type") or "direct"),
            max_priority=options.get("max_priority") or arguments.get("x-max-priority"),
            arguments=arguments,
        )
    label = getattr(value, "name", None)
    if not label:
        raise ImproperlyConfigured(f"task_queues holds {value!r}, which is neither a name, a mapping nor a queue")
    exchange = getattr(value, "exchange", None)
    arguments = dict(getattr(value, "queue_arguments", None) or {})
    return Queue(
        name=str(label),
        exchange=exchange if isinstance(exchange, str) else str(getattr(exchange, "name", "") or ""),
        routing_key=str(getattr(value, "routing_key", "") or ""),
        exchange_type=str(getattr(exchange, "type", "") or "direct"),
        max_priority=getattr(value, "max_priority", None) or arguments.get("x-max-priority"),
        arguments=arguments,
    )


class Queues(Mapping[str, Queue]):
    """The declared queues by name, the default queue first.

    Args:
        declared: ``task_queues``: None, a list of names or queues, or a mapping name -> options.
        default: ``task_default_queue``.
        create_missing: ``task_create_missing_queues``.
        max_priority: ``task_queue_max_priority``, for queues that do not say.
        exchange, exchange_type, routing_key: of the default queue where `declared` is empty: ``task_default_exchange``,
            ``task_default_exchange_type``, ``task_default_routing_key``.
        queue_type: of the default queue on RabbitMQ where `declared` is empty: ``task_default_queue_type``.
        missing_exchange_type: ``task_create_missing_queue_exchange_type``: a queue that is made on the spot is bound to
            an exchange of its own name; None binds it to none, which is direct delivery by its name.
    """

    def __init__(
        self,
        declared: Any,
        *,
        default: str,
        create_missing: bool = True,
        max_priority: int | None = None,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        queue_type: str | None = None,
        missing_exchange_type: str | None = None,
    ) -> None:
        self._missing_exchange_type = missing_exchange_type
        self.default = default
        self.create_missing = create_missing
        self._max_priority = max_priority
        pairs = list(declared.items()) if isinstance(declared, Mapping) else [(None, q) for q in declared or ()]
        found = [as_queue(value, name) for name, value in pairs]
        self._queues: dict[str, Queue] = {queue.name: queue for queue in found}
        if not self._queues:
            self._queues[default] = Queue(
                name=default,
                exchange=exchange or "",
                exchange_type=exchange_type,
                routing_key=routing_key or "",
                max_priority=max_priority,
                arguments={"x-queue-type": queue_type} if queue_type else {},
            )
        elif default in self._queues:
            self._queues = {default: self._queues[default], **self._queues}

    def __getitem__(self, name: str) -> Queue:
        """The queue of that name, made on the spot if missing ones may be.

        Raises:
            QueueNotFound: it is not declared and ``task_create_missing_queues`` is off.
        """
        queue = self._queues.get(name)
        if queue is None:
            if not self.create_missing:
                known = ", ".join(sorted(self._queues))
                raise QueueNotFound(
                    f"queue {name!r} is not in task_queues ({known}) and task_create_missing_queues is off"
                )
            kind = self._missing_exchange_type
            queue = self._queues[name] = Queue(
                name=name,
                exchange=name if kind else "",
                routing_key=name if kind else "",
                exchange_type=kind or "direct",
                max_priority=self._max_priority,
            )
        return queue

    def __contains__(self, name: object) -> bool:
        return name in self._queues

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._queues))

    def __len__(self) -> int:
        return len(self._queues)

    def bound_to(self, exchange: str, routing_key: str) -> Queue | None:
        """The first declared queue to which `exchange` would route `routing_key`, or None."""
        for queue in self._queues.values():
            if queue.exchange != exchange:
                continue
            if queue.exchange_type == "fanout" or (queue.routing_key or queue.name) == routing_key:
                return queue
            if queue.exchange_type == "topic" and _topic(queue.routing_key).fullmatch(routing_key):
                return queue
        return None


def _topic(pattern: str) -> re.Pattern[str]:
    # AMQP's topics: words between dots, * is one word, # is any number of them.
    words = [{"*": r"[^.]+", "#": r".*"}.get(word) or re.escape(word) for word in pattern.split(".")]
    text = r"\.".join(words).replace(r"\..*", r"(\..*)?").replace(r".*\.", r"(.*\.)?")
    return re.compile(text)


def is_pattern(text: str) -> bool:
    """Whether a key of ``task_routes`` is a glob rather than a name."""
    return any(sign in text for sign in "*?[")


def glob(text: str) -> re.Pattern[str]:
    """A glob as a regular expression."""
    return re.compile(fnmatch.translate(text))
