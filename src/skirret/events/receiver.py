"""Hears the events of a fleet and hands them to handlers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Protocol

from skirret import backoff, clock, loggers
from skirret.brokers.base import Broker
from skirret.brokers.subscription import Subscription
from skirret.clock import LamportClock
from skirret.errors import OperationalError, SkirretError
from skirret.message import Malformed
from skirret.settings import Conf
from skirret.wire import events as wire

logger = loggers.own("skirret.events")

Handler = Callable[[dict[str, Any]], object]
PATIENCE = 1.0
"""Seconds between two looks at ``should_stop``."""


class MonitoringApp(Protocol):
    """What a receiver needs of an app."""

    conf: Conf

    @property
    def broker(self) -> Broker:
        """Whose events are heard."""
        ...


class EventReceiver:
    """Hears events.

    Args:
        channel: accepted for Celery's sake: the connection is the app's.
        handlers: functions of an event, by its type; ``*`` is called for types without one of their own.
        routing_key: which events: ``#`` for all, ``task.#``, ``worker.heartbeat``.
        node_id, queue_prefix, queue_ttl, queue_expires, queue_exclusive, queue_durable: accepted for Celery's sake.
        app: whose fleet.
        accept: serializers that may be read; None is JSON and the app's ``event_serializer``.
    """

    def __init__(
        self,
        channel: Any = None,
        handlers: Mapping[str, Handler] | None = None,
        routing_key: str = "#",
        node_id: str | None = None,
        app: MonitoringApp | None = None,
        queue_prefix: str | None = None,
        accept: Any = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_exclusive: bool | None = None,
        queue_durable: bool | None = None,
    ) -> None:
        if app is None:
            raise TypeError("an EventReceiver needs its app: app.events.Receiver(...) gives it")
        self.app = app
        self.handlers: dict[str, Handler] = dict(handlers or {})
        self.routing_key = routing_key
        self.accept = frozenset(accept or {app.conf.event_serializer, "json"})
        self.clock = LamportClock()
        self.should_stop = False
        """Set it to end a capture within a second."""

    def capture(self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True) -> None:
        """Hand events to the handlers, for ever unless a limit says otherwise.

        Args:
            limit: end after so many events.
            timeout: seconds without an event after which TimeoutError is raised.
            wakeup: ask workers for a heartbeat first, so that all are known soon.

        Raises:
            TimeoutError: nothing came for `timeout` seconds.
        """
        for _ in self.itercapture(limit, timeout, wakeup):
            pass

    def itercapture(
        self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True
    ) -> Iterator[dict[str, Any]]:
        """Like `capture`; gives each event after its handler was called."""
        heard = 0
        silence = clock.Deadline(timeout)
        subscription = self.subscribe()
        try:
            if wakeup:
                self.wakeup_workers()
            while not self.should_stop and (limit is None or heard < limit):
                left = silence.left()
                events = self.receive(subscription, PATIENCE if left is None else min(PATIENCE, left))
                if events:
                    silence = clock.Deadline(timeout)
                elif silence.passed():
                    raise TimeoutError(f"no event came for {timeout} s")
                for event in events[: None if limit is None else limit - heard]:
                    heard += 1
                    self.process(event["type"], event)
                    yield event
        finally:
            subscription.close()

    def subscribe(self) -> Subscription:
        """A listener to the events asked for; they are heard from now on.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        keys = [self.routing_key]
        if self.routing_key.startswith("task.") and not self.routing_key.endswith("#"):
            keys.append(wire.group_key("task"))  # workers tell several in one message
        return self.app.broker.listen(self.app.conf.event_exchange, keys)

    def receive(self, subscription: Subscription, seconds: float) -> list[dict[str, Any]]:
        """The events that came, waiting at most `seconds` for the first; a broker that is away is waited for."""
        heard: list[tuple[str, bytes]] = []
        for attempt in count():
            try:
                heard = subscription.receive(seconds)
                break
            except OperationalError as exc:
                if attempt == 0:
                    logger.warning("Events are missed: %s", exc)
                if self.should_stop:
                    break
                time.sleep(backoff.exponential(attempt, factor=0.1, maximum=2.0))
        return [event for key, payload in heard for event in self.events_of(payload) if self._wanted(key, event)]

    def _wanted(self, key: str, event: Mapping[str, Any]) -> bool:
        wanted = self.routing_key
        return wanted.endswith("#") or wire.routing_key(event["type"]) == wanted or key == wanted

    def events_of(self, payload: bytes) -> list[dict[str, Any]]:
        """The events of one message; what is none is logged and left out."""
        told = wire.decode(payload, accept=self.accept)
        if isinstance(told, Malformed):
            logger.warning("A message on the events' exchange is none: %s", told.reason)
            return []
        now = clock.wall()
        for event in told:
            self.clock.adjust(event["clock"])
            event["local_received"] = now
        return told

    def process(self, type: str, event: dict[str, Any]) -> None:
        """Hand one event to its handler, if it has one."""
        handler = self.handlers.get(type) or self.handlers.get("*")
        if handler is not None:
            handler(event)

    def wakeup_workers(self, channel: Any = None) -> None:
        """Ask all workers for a heartbeat; it is no error if that cannot be done."""
        control = getattr(self.app, "control", None)
        if control is not None:
            try:
                control.broadcast("heartbeat")
            except SkirretError as exc:  # it is away, or a broker on which nothing is controlled
                logger.warning("Workers could not be asked for a heartbeat: %s", exc)
