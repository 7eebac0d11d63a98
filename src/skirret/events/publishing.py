"""From events to messages on a broker's fanout exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from skirret import loggers
from skirret.clock import LamportClock
from skirret.errors import EncodeError
from skirret.events.event import group_from, utc_offset
from skirret.wire import events as wire

logger = loggers.own("skirret.events")

GROUPED = frozenset({"task"})
"""Groups of which many events travel in one message."""

MAX_GROUP = 500
"""Events in one message."""


class FansOut(Protocol):
    """What this needs of a broker."""

    def fan_out(self, exchange: str, messages: list[tuple[str, bytes]]) -> object:
        """Send each (routing key, payload) to all who listen."""
        ...


class EventPublisher:
    """Sends one node's events.

    Args:
        broker: returns where they go.
        hostname: the node.
        pid: its process.
        clock: numbers its events.
        exchange: ``event_exchange``.
        serializer: ``event_serializer``.
    """

    def __init__(
        self,
        broker: Callable[[], FansOut],
        hostname: str,
        pid: int,
        clock: LamportClock,
        *,
        exchange: str = wire.EXCHANGE,
        serializer: str = "json",
    ) -> None:
        self._broker = broker
        self.hostname = hostname
        self.pid = pid
        self.clock = clock
        self.exchange = exchange
        self.serializer = serializer

    def publish(self, events: Sequence[Mapping[str, Any]], *, flat: bool = False) -> None:
        """Send events in their order, in one round trip; only those of different groups may overtake each other.

        Args:
            events: what to tell.
            flat: their fields are known to be plain scalars, or short lists of them.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        messages = self.messages(events, flat=flat)
        if messages:
            self._broker().fan_out(self.exchange, messages)

    def messages(self, events: Sequence[Mapping[str, Any]], *, flat: bool = False) -> list[tuple[str, bytes]]:
        """(routing key, payload) of the messages that tell `events`; arguments as of `publish`. About 3 us an event."""
        common = {"hostname": self.hostname, "utcoffset": utc_offset(), "pid": self.pid}
        number = self.clock.forward(len(events)) - len(events)
        messages: list[tuple[str, bytes]] = []
        grouped: dict[str, list[dict[str, Any]]] = {}
        for event in events:
            number += 1
            whole = {**common, "clock": number, **event}
            group = group_from(whole["type"])
            if group not in GROUPED:  # that a worker goes is told after what became of its tasks
                messages += [self._message(together, wire.group_key(of), flat) for of, together in grouped.items()]
                grouped.clear()
                messages.append(self._message(whole, wire.routing_key(whole["type"]), flat))
                continue
            together = grouped.setdefault(group, [])
            together.append(whole)
            if len(together) == MAX_GROUP:
                messages.append(self._message(grouped.pop(group), wire.group_key(group), flat))
        messages += [self._message(together, wire.group_key(group), flat) for group, together in grouped.items()]
        return messages

    def _message(self, events: Any, key: str, flat: bool) -> tuple[str, bytes]:
        try:
            return key, self._encoded(events, key, flat)
        except EncodeError:  # a custom event with a field that nobody can write: its text is better than nothing
            told = wire.plain(events) if isinstance(events, dict) else [wire.plain(event) for event in events]
            return key, self._encoded(told, key, flat=False)

    def _encoded(self, events: Any, key: str, flat: bool) -> bytes:
        return wire.encode(events, key, self.hostname, exchange=self.exchange, serializer=self.serializer, flat=flat)
