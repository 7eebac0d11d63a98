"""The queues that an app declares, by name, by alias, and by what is bound to an exchange."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any

from skirret.app.queue_forms import as_queue
from skirret.brokers.base import Queue
from skirret.brokers.exchanges import Binding
from skirret.errors import QueueNotFound


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
        self._aliases = {queue.alias: queue for queue in found if queue.alias}
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
        """The queue of that name or alias, made on the spot if missing ones may be.

        Raises:
            QueueNotFound: it is not declared and ``task_create_missing_queues`` is off.
        """
        queue = self.find(name)
        if queue is None:
            if not self.create_missing:
                known = ", ".join(sorted(self._queues))
                raise QueueNotFound(
                    f"queue {name!r} is not in task_queues ({known}) and task_create_missing_queues is off"
                )
            queue = self._queues[name] = Queue.missing(name, self._missing_exchange_type, self._max_priority)
        return queue

    def find(self, name: str) -> Queue | None:
        """The queue of that name or alias, if it is known."""
        return self._queues.get(name) or self._aliases.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._queues

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._queues))

    def __len__(self) -> int:
        return len(self._queues)

    def bound_to(self, exchange: str, routing_key: str) -> Queue | None:
        """The first declared queue to which `exchange` would route `routing_key`, or None."""
        for queue in self._queues.values():
            for way in queue.ways:
                if way.exchange.name == exchange and _fits(way, routing_key):
                    return queue
        return None


def _fits(way: Binding, routing_key: str) -> bool:
    kind = way.exchange.type
    return (
        kind == "fanout"
        or way.routing_key == routing_key
        or (kind == "topic" and _topic(way.routing_key).fullmatch(routing_key) is not None)
    )


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
