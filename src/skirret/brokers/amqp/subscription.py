"""Listeners on RabbitMQ: a queue of one's own, bound to an exchange, on a line of one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from pamqp import commands

from skirret import clock
from skirret.brokers.subscription import Subscription
from skirret.stores.amqp.faults import Broken, Refused, in_words
from skirret.stores.amqp.publishing import CHANNEL
from skirret.stores.amqp.session import Arrived, Session
from skirret.stores.amqp.store import Store

Calls = list[tuple[Any, type[Any]]]
Told = tuple[str, bytes]


class QueueSubscription(Subscription):
    """Hears what comes to one queue; a line that breaks is replaced, and what was sent meanwhile is gone.

    Args:
        store: the server.
        queue: the queue's name.
        set_up: the calls that make and bind it.
        hears: decides by the routing key what is told on.
        read: what is told of a message.
    """

    def __init__(
        self, store: Store, queue: str, set_up: Calls, hears: Callable[[str], bool], read: Callable[[Arrived], bytes]
    ) -> None:
        self._store = store
        self._queue = queue
        self._set_up = set_up
        self._hears = hears
        self._read = read
        self._closed = False
        self._session: Session | None = None
        self._open()

    def _open(self) -> Session:
        session = self._store.open(listens=True)
        seconds = self._store.address.deadline
        try:
            for command, answer in self._set_up:
                session.call(CHANNEL, command, answer, seconds=seconds)
            consume = commands.Basic.Consume(queue=self._queue, consumer_tag="listener", no_ack=True, arguments={})
            session.call(CHANNEL, consume, commands.Basic.ConsumeOk, seconds=seconds)
        except (Broken, Refused) as exc:
            session.close(kindly=False)
            raise in_words(exc, self._store.address) from exc
        self._session = session
        if self._is_over():
            self._drop()
        return session

    def receive(self, timeout: float) -> list[Told]:
        """All that came, as (routing key, payload), waiting for the first.

        Raises:
            OperationalError: the line broke; the next call makes another.
        """
        if self._closed:
            return []
        session = self._session or self._open()
        deadline = clock.Deadline(timeout)
        try:
            while True:
                session.pump(min(1.0, deadline.left() or 0.0))
                found = self._told(session)
                if found or deadline.passed():
                    return found
                if session.cancelled:
                    raise Broken("somebody deleted the queue of this listener")
                closed = session.refusal(CHANNEL)
                if closed is not None:
                    raise closed
        except (Broken, Refused) as exc:
            self._drop()
            if self._is_over():
                return []
            raise in_words(exc, self._store.address) from exc

    def _told(self, session: Session) -> list[Told]:
        found: list[Told] = []
        while session.arrived:
            came = session.arrived.popleft()
            if self._hears(came.routing_key):
                found.append((came.routing_key, self._read(came)))
        return found

    def _is_over(self) -> bool:
        return self._closed  # by another thread, whose right that is

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close(kindly=False)

    def close(self) -> None:
        """Stop listening; the queue goes with its line."""
        self._closed = True
        session = self._session
        if session is not None:
            session.line.wake()
        with contextlib.suppress(Exception):
            self._drop()
