"""``app.events``: sending and hearing events by an app's broker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from skirret.app.lineage import origin
from skirret.app.protocol import ConnectedApp
from skirret.clock import LamportClock
from skirret.events.dispatcher import EventDispatcher
from skirret.events.publishing import EventPublisher
from skirret.events.receiver import EventReceiver
from skirret.events.state import State
from skirret.message import Publication

Send = Callable[[str, list[dict[str, Any]]], None]
"""Sends events of the node of that name."""


class Events:
    """The events of one app.

    Args:
        app: whose broker carries them.
    """

    State = State

    def __init__(self, app: ConnectedApp) -> None:
        self.app = app
        self.clock = LamportClock()
        self.send: Send = self._publish
        """How events leave this process; a worker's child hands them to its supervisor."""
        self._process = os.getpid()
        self._dispatchers: dict[str, EventDispatcher] = {}

    def _publish(self, hostname: str, events: list[dict[str, Any]]) -> None:
        conf = self.app.conf
        publisher = EventPublisher(
            lambda: self.app.broker,
            hostname,
            os.getpid(),
            self.clock,
            exchange=conf.event_exchange,
            serializer=conf.event_serializer,
        )
        publisher.publish(events)

    def Receiver(self, channel: Any = None, **options: Any) -> EventReceiver:  # noqa: N802  Celery's public name
        """Hears this app's events; arguments as of ``EventReceiver``."""
        return EventReceiver(channel, app=self.app, **options)

    def Dispatcher(self, connection: Any = None, hostname: str | None = None, **options: Any) -> EventDispatcher:  # noqa: N802
        """Sends events under a node's name, this process's by default; options as of ``EventDispatcher``."""
        node = hostname or origin()
        return EventDispatcher(lambda events: self.send(node, events), **options)

    @contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False
    ) -> Iterator[EventDispatcher]:
        """This process's dispatcher of a node's name, for a ``with`` block."""
        if self._process != os.getpid():
            self._dispatchers.clear()
            self._process = os.getpid()
        node = hostname or origin()
        found = self._dispatchers.get(node)
        if found is None:
            found = self._dispatchers[node] = self.Dispatcher(hostname=node)
        found.buffer_while_offline = buffer_while_offline
        if enabled != found.enabled:
            found.enable() if enabled else found.disable()
        yield found

    def sent(self, publications: Sequence[Publication]) -> None:
        """Tell of tasks that were sent (``task_send_sent_event``)."""
        with self.default_dispatcher() as dispatcher:
            for publication in publications:
                dispatcher.send("task-sent", **sent_fields(publication))


def sent_fields(publication: Publication) -> dict[str, Any]:
    """The fields of a ``task-sent``."""
    headers, route = publication.envelope.headers, publication.route
    return {
        "uuid": publication.task_id,
        "root_id": headers.get("root_id"),
        "parent_id": headers.get("parent_id"),
        "name": headers.get("task"),
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
        "retries": headers.get("retries", 0),
        "eta": headers.get("eta"),
        "expires": headers.get("expires"),
        "queue": route.queue,
        "exchange": route.exchange,
        "routing_key": route.routing_key or route.queue,
    }
