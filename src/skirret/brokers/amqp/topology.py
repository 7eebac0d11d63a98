"""Queues, exchanges and bindings on the server: what exists is adopted as it is, what is missing is made safe."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pamqp import commands

from skirret import clock, loggers
from skirret.brokers.amqp import ladder, patience
from skirret.brokers.amqp.options import Options
from skirret.brokers.base import Queue
from skirret.brokers.exchanges import Binding, Exchange
from skirret.errors import ImproperlyConfigured, OperationalError
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.store import Store
from skirret.stores.amqp.tables import short_text

logger = loggers.own("skirret.broker")

UNLIMITED = 2**31 - 1
GONE = 0.3
"""Seconds between the end of a queue that was deleted and its next life. RabbitMQ tells its consumers after some 30 ms,
and only if there is no queue of that name by then: those of one that was made again sooner never hear of it."""

GONE_AFTER = 60
"""Seconds after which RabbitMQ drops a queue that is its worker's own: a line that breaks has been replaced by then."""

REGISTRY = "skirret.queues"
"""A queue whose messages are the names of queues: AMQP has no way to ask for them."""

REGISTRY_ARGUMENTS: dict[str, Any] = {"x-queue-type": "classic", "x-max-length": 20_000}
"""Classic, whatever a virtual host makes by itself: each look returns all notes, and other queues count that."""


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
        self._find: Callable[[str], Queue | None] = lambda _: None
        self._queues: set[str] = set()
        self._declared: dict[str, Queue] = {}
        self._exchanges: set[str] = set()
        self._delayed: set[str] = set()
        self._dead: set[str] = set()
        self._deleted: dict[str, float] = {}
        self._ladder = False
        self._pid = os.getpid()
        self._making = threading.RLock()

    def plan(self, find: Callable[[str], Queue | None]) -> None:
        """Make queues as `find` describes them by their names."""
        self._find = find

    def planned(self, queue: str) -> Queue:
        """How the app declares a queue, or what is made of a name alone."""
        return self._find(queue) or self._declared.get(queue) or Queue(name=queue)

    def forget(self, queue: str) -> None:
        """Somebody deleted it: make it again at its next use, but not at once."""
        self._deleted[queue] = clock.monotonic()
        self.doubt(queue)

    def doubt(self, queue: str) -> None:
        """Somebody may have deleted it unseen: look before its next use."""
        self._queues.discard(queue)
        self._delayed.discard(queue)

    def doubt_dead(self, queue: str) -> None:
        """Somebody deleted the place of its dead letters: look before its next use."""
        self._dead.discard(queue)

    def doubt_all(self) -> None:
        """Somebody deleted an exchange or a queue of ours: look before each use."""
        self._queues.clear()
        self._exchanges.clear()
        self._delayed.clear()
        self._dead.clear()
        self._ladder = False

    def _fresh(self) -> None:
        if self._pid != os.getpid():
            self.doubt_all()
            self._pid, self._making = os.getpid(), threading.RLock()

    # -- queues ----------------------------------------------------------------------------------------------------

    def ensure(self, queue: str) -> None:
        """See to it that a queue exists.

        Raises:
            OperationalError: the server cannot be reached, or refuses.
        """
        self._fresh()
        if queue not in self._queues:
            self.declare(self.planned(queue))

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
            self._declared[name] = queue  # so that it is made again as it was, should somebody delete it
            if self.count(name) is None and not self._is_back(name):
                self._make(queue)
                if self._exists(ladder.EXIT):  # what waits for a queue of that name must find it
                    self._store.ask(_bound(name, ladder.EXIT, ladder.exit_key(name)))
            if name not in self._queues and not queue.auto_delete:
                self._note(name)
            for way in queue.ways:
                self._bind(queue.name, way)
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
        if queue.auto_delete or not queue.durable:
            arguments.setdefault("x-queue-type", "classic")  # no other type can be so
        kind = arguments.setdefault("x-queue-type", self._options.queue_type)
        if queue.auto_delete:
            # It must outlive its worker's line, and a worker that takes nothing for a while: it goes by its age.
            arguments.setdefault("x-expires", GONE_AFTER * 1000)
        if kind == "quorum":
            arguments.pop("x-max-priority", None)
        elif kind == "classic" and (queue.max_priority or self._options.max_priority):
            arguments["x-max-priority"] = queue.max_priority or self._options.max_priority
        if self._options.like_celery:
            if kind == "classic" and "x-queue-type" not in queue.arguments:
                del arguments["x-queue-type"]
        elif kind != "stream":
            arguments.setdefault(patience.ARGUMENT, patience.asked(self._options))
            if not queue.auto_delete:
                self._make_safe(queue.name, kind, arguments)
        try:
            self._make_with(queue.name, arguments, durable=queue.durable)
        except OperationalError:
            # Somebody made it at the same moment, in a way of his own: it is his, and works as it is.
            if self.count(queue.name) is None:
                raise

    def _make_safe(self, queue: str, kind: str, arguments: dict[str, Any]) -> None:
        """Add the arguments by which the server loses nothing: what it gives up goes to the dead letters."""
        if kind == "quorum":
            arguments.setdefault("x-delivery-limit", self._options.delivery_limit)
            arguments.setdefault("x-overflow", "reject-publish")
            arguments.setdefault("x-dead-letter-strategy", "at-least-once")
        if "x-dead-letter-exchange" not in arguments:
            arguments["x-dead-letter-exchange"] = dead_exchange(queue)
            self.ensure_dead(queue)

    def _make_with(self, name: str, arguments: dict[str, Any], *, durable: bool = True) -> None:
        made = commands.Queue.Declare(queue=name, durable=durable, arguments=arguments)
        self._store.ask((made, commands.Queue.DeclareOk))

    def home(self, queue: str) -> str:
        """By which name a queue's dead letters are kept: one that a worker has of a broadcast goes with it."""
        planned = self.planned(queue)
        return planned.alias if planned.auto_delete and planned.alias else queue

    def ensure_dead(self, queue: str) -> None:
        """See to it that the dead letters of a queue have a place; `queue` is their home."""
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
            self._note(queue)  # which is of no queue where it is a broadcast's
        self._store.ask(
            (
                commands.Exchange.Declare(exchange=exchange, exchange_type="fanout", durable=True),
                commands.Exchange.DeclareOk,
            ),
            (commands.Queue.Bind(queue=name, exchange=exchange, routing_key="", arguments={}), commands.Queue.BindOk),
        )
        self._dead.add(queue)

    def _bind(self, queue: str, way: Binding) -> None:
        self.ensure_exchange(way.exchange)
        calls = [_bound(queue, way.exchange.name, way.routing_key, way.arguments)]
        if way.exchange.type == "topic":  # what comes down the ladder still has its delay before its key
            calls.append(_bound(queue, way.exchange.name, ladder.exit_key(way.routing_key)))
        self._store.ask(*calls)

    def ensure_exchange(self, exchange: Exchange) -> None:
        """See to it that an exchange exists; one that does is used as it is.

        Raises:
            OperationalError: as `ensure`.
        """
        self._fresh()
        name = exchange.name
        if name in self._exchanges:
            return
        if not self._exists(name):
            made = commands.Exchange.Declare(
                exchange=name, exchange_type=exchange.type, durable=exchange.durable, auto_delete=exchange.auto_delete,
                arguments=exchange.arguments,
            )  # fmt: skip
            try:
                self._store.ask((made, commands.Exchange.DeclareOk))
            except OperationalError:
                if not self._exists(name):  # nobody made it in another way at the same moment
                    raise
        self._exchanges.add(name)

    def count(self, queue: str) -> int | None:
        """How many messages a queue has ready; None if there is no such queue."""
        declared = commands.Queue.Declare(queue=queue, passive=True)
        told = self._store.find((declared, commands.Queue.DeclareOk))
        return None if told is None else int(told.message_count)

    def remake(self, exchange: str) -> None:
        """Make an exchange again with the queues that are bound to it, as far as they were declared here."""
        for queue in list(self._declared.values()):
            if any(way.exchange.name == exchange for way in queue.ways):
                self.declare(queue)

    def _exists(self, exchange: str) -> bool:
        declared = commands.Exchange.Declare(exchange=exchange, passive=True)
        return self._store.find((declared, commands.Exchange.DeclareOk)) is not None

    def _note(self, queue: str) -> None:
        """Write a queue's name down for `names`; a queue of ours without a note works all the same."""
        with contextlib.suppress(OperationalError):
            self._store.ask(
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
        self._lead(queue, _bound(queue, ladder.EXIT, ladder.exit_key(queue)))

    def ensure_delays_to(self, exchange: str, key: str) -> None:
        """See to it that the ladder stands and leads to an exchange, for what is sent with a routing key.

        Raises:
            OperationalError: the server cannot be reached, or refuses.
        """
        bind = commands.Exchange.Bind(
            destination=exchange, source=ladder.EXIT, routing_key=ladder.exit_key(key), arguments={}
        )
        self._lead(f"{exchange} {key}", (bind, commands.Exchange.BindOk))

    def _lead(self, place: str, bind: tuple[Any, type[Any]]) -> None:
        self._fresh()
        if place in self._delayed:
            return
        with self._making:
            if not self._ladder:
                self._raise_ladder()
                self._ladder = True
            self._store.ask(bind)
            self._delayed.add(place)

    def _raise_ladder(self) -> None:
        whole = self._exists(ladder.EXIT)
        steps = ladder.exit_rungs() if whole else ladder.rungs(self._options.delay_type)
        if not whole:
            logger.info("Making the queues in which delayed messages wait; this takes a few seconds, once.")
        # In pieces, for each has its deadline, and a new queue of a cluster takes its time.
        for at in range(0, len(steps), 6):
            self._store.ask(*steps[at : at + 6])

    def hear_delayed(self, queue: Queue) -> None:
        """Let delayed messages of Celery's clients come to a queue: they expect its worker to have the ladder raised.

        They send so to exchanges that are not direct, where a queue of theirs is a quorum queue.

        Raises:
            OperationalError: the server cannot be reached, or refuses.
        """
        kind = queue.arguments.get("x-queue-type") or self._options.queue_type
        if kind != "quorum" or queue.auto_delete:
            return
        for way in queue.ways:
            if way.exchange.type != "direct" and way.routing_key:
                self.ensure_delays_to(way.exchange.name, way.routing_key)


def _bound(queue: str, exchange: str, key: str, arguments: Mapping[str, Any] | None = None) -> tuple[Any, type[Any]]:
    bound = commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key, arguments=dict(arguments or {}))
    return bound, commands.Queue.BindOk
