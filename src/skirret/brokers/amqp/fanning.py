"""Celery's exchanges for events and remote control, and our own for hints: who declares what, and what is said there.

Names, kinds and arguments are Celery's (celery/events/event.py, kombu/pidbox.py): RabbitMQ refuses whoever declares a
thing otherwise than it is, and a Celery node that is refused ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pamqp import commands

from skirret.brokers.amqp import letter
from skirret.brokers.amqp.subscription import Calls, QueueSubscription
from skirret.message import Malformed
from skirret.stores.amqp import content
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.faults import NOT_FOUND, Refused, in_words
from skirret.stores.amqp.line import FRAME_MAX
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.session import Arrived
from skirret.stores.amqp.store import Store
from skirret.wire.received import decode

HINTS = "skirret.hints"
OPAQUE = "application/x-skirret-hint"
"""Content type of what is no message of Celery's, but bytes."""

PIDBOX = ".pidbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How a listener's queue is made.

    Args:
        prefix: of the names of queues that nobody names; "" is the exchange's.
        exclusive: it is its connection's alone.
        durable: it outlives the server's restart, and its listener.
        ttl: seconds that a message waits in it; None is without end.
        expires: seconds after which the server drops it unused; None is never.
    """

    prefix: str = ""
    exclusive: bool = True
    durable: bool = False
    ttl: float | None = None
    expires: float | None = None

    def calls(self, queue: str, exchange: str, keys: Sequence[str]) -> Calls:
        """What declares such a queue and binds it."""
        arguments: dict[str, Any] = {
            name: round(value * 1000)
            for name, value in (("x-message-ttl", self.ttl), ("x-expires", self.expires))
            if value is not None
        }
        declare = commands.Queue.Declare(
            queue=queue, durable=self.durable, exclusive=self.exclusive, auto_delete=not self.durable,
            arguments=arguments,
        )  # fmt: skip
        bound: Calls = [
            (commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key, arguments={}), commands.Queue.BindOk)
            for key in keys
        ]
        return [(declare, commands.Queue.DeclareOk), *bound]


def _all(_key: str) -> bool:
    return True


class Fanning:
    """What is said to many, and heard by many, on one server.

    Args:
        store: the server.
        events: how the queues of monitors are made.
        control: how the queues of nodes and of who waits for their replies are made.
    """

    def __init__(self, store: Store, events: Listening, control: Listening) -> None:
        self._store = store
        self._events = events
        self._control = control

    def send(self, exchange: str, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send each (routing key, payload) to an exchange; whom it does not reach has missed it."""
        outgoing = [_outgoing(exchange, key, payload) for key, payload in messages]
        for is_last in (False, True):
            try:
                self._store.publish(outgoing)
                return
            except Refused as exc:
                if is_last or exc.code != NOT_FOUND:
                    raise in_words(exc, self._store.address) from exc
            self._store.ask(*_declare(exchange))  # nobody ever listened, so that there is nothing to listen to

    def listen(
        self, exchange: str, keys: Sequence[str], name: str, hears: Callable[[str], bool] = _all
    ) -> QueueSubscription:
        """Hear an exchange by a queue of one's own.

        Args:
            exchange: its name.
            keys: routing keys, ``#`` for any number of words.
            name: of the queue; "" is one that nobody guesses.
            hears: which routing keys are told on.
        """
        kind = self._control if exchange.endswith(PIDBOX) else Listening() if exchange == HINTS else self._events
        queue = name or f"{kind.prefix or exchange}.{uuid.uuid4()}"
        return QueueSubscription(
            self._store, queue, [*_declare(exchange), *kind.calls(queue, exchange, keys)], hears, read
        )


def _declare(exchange: str) -> Calls:
    control = exchange.endswith(PIDBOX)
    kind = "topic" if not control else "direct" if exchange.startswith("reply.") else "fanout"
    if exchange == HINTS:
        kind = "fanout"
    declare = commands.Exchange.Declare(exchange=exchange, exchange_type=kind, durable=not control, arguments={})
    return [(declare, commands.Exchange.DeclareOk)]


def _outgoing(exchange: str, key: str, payload: bytes) -> Outgoing:
    told = None if exchange == HINTS else decode(payload)
    if told is None or isinstance(told, Malformed):
        made = letter.outgoing(Content(content_type=OPAQUE, delivery_mode=1), payload, exchange, key, FRAME_MAX)
    else:
        envelope = told.envelope
        found = Content(
            headers=envelope.headers,
            content_type=envelope.content_type,
            content_encoding=envelope.content_encoding,
            delivery_mode=1,
            priority=envelope.priority,
            correlation_id=envelope.correlation_id,
            reply_to=envelope.reply_to,
        )
        made = letter.outgoing(found, envelope.body, exchange, key, FRAME_MAX)
    return made._replace(mandatory=False)


def read(arrived: Arrived) -> bytes:
    """What a listener is told: the bytes that were sent, or a message of Celery's as kombu's envelope."""
    try:
        opaque = content.decode(arrived.header).content_type == OPAQUE
    except Exception:  # noqa: BLE001  it is no message, and whoever reads it says so
        opaque = False
    return arrived.body if opaque else letter.read(arrived).raw


def hears(topics: Sequence[str]) -> Callable[[str], bool]:
    """Which topics a listener of ours wants: by name, or by the start where it ends in ``*``."""
    names = frozenset(topic for topic in topics if not topic.endswith("*"))
    starts = tuple(topic[:-1] for topic in topics if topic.endswith("*"))
    return lambda topic: topic in names or topic.startswith(starts)
