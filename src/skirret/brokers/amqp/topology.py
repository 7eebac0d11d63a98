"""Queues, exchanges and bindings on the server: what exists is adopted as it is, what is missing is made safe."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from pamqp import commands

from skirret import clock, loggers
from skirret.brokers.amqp import ladder
from skirret.brokers.amqp.options import Options
from skirret.brokers.base import Queue
from skirret.errors import ImproperlyConfigured, OperationalError
from skirret.stores.amqp.faults import Refused, in_words
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.store import Store
from skirret.stores.amqp.tables import short_text

logger = loggers.own("skirret.broker")

NOT_FOUND, IN_USE, MISMATCH = 404, 405, 406
UNLIMITED = 2**31 - 1
GONE = 0.3
"""Seconds between the end of a queue that was deleted and its next life. RabbitMQ tells its consumers after some 30 ms,
and only if there is no queue of that name by then: those of one that was made again sooner never hear of it."""

REGISTRY = "skirret.queues"
"""A queue whose messages are the names of queues: AMQP has no way to ask for them."""

REGISTRY_ARGUMENTS: dict[str, Any] = {"x-max-length": 20_000}


def dead_queue(queue: str) -> str:
    """Where the dead letters of a queue are."""
    return f"{queue}.dlq"


def dead_exchange(queue: str) -> str:
    """Where RabbitMQ itself sends what it gives up."""
    return f"{queue}.dlx"


class Topology:
    """What this process knows to exist on one server. Safe for threads; a fork's child learns anew.

    Args:
        store: the server.
        options: how queues are made.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self._store = store
        self._options = options
        self._queues: set[str] = set()
        self._delayed: set[str] = set()
        self._dead: set[str] = set()
        self._deleted: dict[str, float] = {}
        self._ladder = False
        self._pid = os.getpid()
        self._making = threading.RLock()

    def forget(self, queue: str) -> None:
        """Somebody deleted it: make it again at its next use, but not at once."""
        self._deleted[queue] = clock.monotonic()
        self._queues.discard(queue)
        self._delayed.discard(queue)

    def _fresh(self) -> None:
        if self._pid != os.getpid():
            self._queues, self._delayed, self._dead = set(), set(), set()
            self._ladder, self._pid, self._making = False, os.getpid(), threading.RLock()

    # -- queues ----------------------------------------------------------------------------------------------------

    def ensure(self, queue: str) -> None:
        """See to it that a queue exists.

        Raises:
            OperationalError: the server cannot be reached, or refuses.
        """
        self._fresh()
        if queue not in self._queues:
            self.declare(Queue(name=queue))

    def declare(self, queue: Queue) -> None:
        """See to it that a queue exists and is bound to its exchange.

        Raises:
            OperationalError: as `ensure`.
            ImproperlyConfigured: its name is none that AMQP can hold.
        """
        self._fresh()
        name = queue.name
        if not name or len(name.encode()) > 250:
            raise ImproperlyConfigured(f"{name!r} is no name for a queue on RabbitMQ: 1 to 250 bytes, please")
        with self._making:
            if self.count(name) is None and not self._is_back(name):
                self._make(queue)
                self._note(name)
            elif name not in self._queues:
                self._note(name)
            self._bind(queue)
            self._queues.add(name)

    def _is_back(self, name: str) -> bool:
        """Whether somebody else made a queue that was deleted just now, when its consumers have heard of its end."""
        left = self._deleted.pop(name, 0.0) + GONE - clock.monotonic()
        if left <= 0:
            return False
        time.sleep(left)
        return self.count(name) is not None

    def _make(self, queue: Queue) -> None:
        arguments = dict(queue.arguments)
        kind = arguments.setdefault("x-queue-type", self._options.queue_type)
        if kind == "quorum":
            arguments.pop("x-max-priority", None)
            arguments.setdefault("x-delivery-limit", self._options.delivery_limit)
            arguments.setdefault("x-overflow", "reject-publish")
            arguments.setdefault("x-dead-letter-strategy", "at-least-once")
        elif kind == "classic":
            priority = queue.max_priority or self._options.max_priority
            if priority:
                arguments["x-max-priority"] = priority
        if kind != "stream" and "x-dead-letter-exchange" not in arguments:
            arguments["x-dead-letter-exchange"] = dead_exchange(queue.name)
            self.ensure_dead(queue.name)
        try:
            self._make_with(queue.name, arguments)
        except OperationalError:
            # Somebody made it at the same moment, in a way of his own: it is his, and works as it is.
            if self.count(queue.name) is None:
                raise

    def _make_with(self, name: str, arguments: dict[str, Any]) -> None:
        made = commands.Queue.Declare(queue=name, durable=True, arguments=arguments)
        self._aside((made, commands.Queue.DeclareOk))

    def ensure_dead(self, queue: str) -> None:
        """See to it that the dead letters of a queue have a place."""
        self._fresh()
        if queue in self._dead:
            return
        exchange, name = dead_exchange(queue), dead_queue(queue)
        if self.count(name) is None:
            # Reading returns each message to it: a limit of deliveries, which RabbitMQ 4 has by default, would drop it.
            arguments: dict[str, Any] = {"x-queue-type": self._options.queue_type}
            if self._options.queue_type == "quorum":
                arguments["x-delivery-limit"] = UNLIMITED
            self._make_with(name, arguments)
        self._aside(
            (
                commands.Exchange.Declare(exchange=exchange, exchange_type="fanout", durable=True),
                commands.Exchange.DeclareOk,
            ),
            (commands.Queue.Bind(queue=name, exchange=exchange, routing_key="", arguments={}), commands.Queue.BindOk),
        )
        self._dead.add(queue)

    def _bind(self, queue: Queue) -> None:
        if not queue.exchange:
            return
        key = "" if queue.exchange_type == "fanout" else queue.routing_key or queue.name
        calls: list[tuple[Any, type[Any]]] = []
        if not self._exists(queue.exchange):
            calls.append(
                (
                    commands.Exchange.Declare(
                        exchange=queue.exchange, exchange_type=queue.exchange_type, durable=True, arguments={}
                    ),
                    commands.Exchange.DeclareOk,
                )
            )
        calls.append(_bound(queue.name, queue.exchange, key))
        if queue.exchange_type in {"topic", "fanout"} and self._exists(ladder.EXIT):
            # As Celery does it: what leaves the ladder goes through the exchange that it was meant for.
            late = key if key.startswith("#") else f"#.{key}"
            bound = commands.Exchange.Bind(
                destination=queue.exchange, source=ladder.EXIT, routing_key=late, arguments={}
            )
            calls += [(bound, commands.Exchange.BindOk), _bound(queue.name, queue.exchange, late)]
        self._aside(*calls)

    def count(self, queue: str) -> int | None:
        """How many messages a queue has ready; None if there is no such queue."""
        declared = commands.Queue.Declare(queue=queue, passive=True)
        try:
            return int(self._store.aside((declared, commands.Queue.DeclareOk))[0].message_count)
        except Refused as exc:
            if exc.code == NOT_FOUND:
                return None
            raise in_words(exc, self._store.address) from exc

    def _exists(self, exchange: str) -> bool:
        try:
            self._store.aside((commands.Exchange.Declare(exchange=exchange, passive=True), commands.Exchange.DeclareOk))
        except Refused as exc:
            if exc.code == NOT_FOUND:
                return False
            raise in_words(exc, self._store.address) from exc
        return True

    def _aside(self, *calls: tuple[Any, type[Any]]) -> list[Any]:
        try:
            return self._store.aside(*calls)
        except Refused as exc:
            raise in_words(exc, self._store.address) from exc

    def _note(self, queue: str) -> None:
        """Write a queue's name down for `names`; a queue of ours without a note works all the same."""
        with contextlib.suppress(OperationalError):
            self._aside(
                (
                    commands.Queue.Declare(queue=REGISTRY, durable=True, arguments=dict(REGISTRY_ARGUMENTS)),
                    commands.Queue.DeclareOk,
                )
            )
            header = b"\x00\x3c\x00\x00" + len(queue.encode()).to_bytes(8, "big") + b"\x10\x00\x02"
            self._store.publish([Outgoing(b"\x00", short_text(REGISTRY), header, queue.encode())])

    # -- delays ----------------------------------------------------------------------------------------------------

    def ensure_delays(self, queue: str) -> None:
        """See to it that the ladder stands and leads to a queue.

        Raises:
            OperationalError: the server cannot be reached, or refuses.
        """
        self._fresh()
        if queue in self._delayed:
            return
        with self._making:
            if not self._ladder:
                whole = self._exists(ladder.EXIT)
                steps = ladder.exit_rungs() if whole else ladder.rungs(self._options.delay_type)
                if not whole:
                    logger.info("Making the queues in which delayed messages wait; this takes a few seconds, once.")
                # In pieces, for each has its deadline, and a new queue of a cluster takes its time.
                for at in range(0, len(steps), 6):
                    self._aside(*steps[at : at + 6])
                self._ladder = True
            self._aside(_bound(queue, ladder.EXIT, ladder.exit_key(queue)))
            self._delayed.add(queue)


def _bound(queue: str, exchange: str, key: str) -> tuple[Any, type[Any]]:
    bound = commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key, arguments={})
    return bound, commands.Queue.BindOk


def declare_all(topology: Topology, queues: Sequence[Queue]) -> None:
    """Declare several queues."""
    for queue in queues:
        topology.declare(queue)
