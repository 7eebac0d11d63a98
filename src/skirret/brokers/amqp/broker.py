"""The broker on a RabbitMQ server as a client of one process sees it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pamqp import commands

from skirret import loggers
from skirret.brokers import fanout
from skirret.brokers.amqp import fanning, letter, listing, patience
from skirret.brokers.amqp.consumer import AmqpConsumer
from skirret.brokers.amqp.fanning import Fanning
from skirret.brokers.amqp.options import Options, options_of
from skirret.brokers.amqp.sending import Sending
from skirret.brokers.amqp.topology import Topology, dead_queue
from skirret.brokers.base import Broker, Capabilities, Dead, Limits, Queue, QueueSize, Waiting
from skirret.brokers.subscription import Subscription
from skirret.message import Publication
from skirret.stores.amqp.store import Store, store_at
from skirret.url import Url

logger = loggers.own("skirret.broker")

_consumers: weakref.WeakSet[AmqpConsumer] = weakref.WeakSet()
"""Who holds messages in this process: the server does not tell."""


class AmqpBroker(Broker):
    """Messages on a RabbitMQ server, in the queues that Celery's workers and producers use.

    Args:
        store: the server.
        options: how queues are made.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self._store = store
        self._options = options
        self._cautioned = False
        self._topology = Topology(store, options)
        self._sending = Sending(store, self._topology)
        self._fanning = Fanning(store, options.events, options.control)
        classic = options.queue_type == "classic"
        self.capabilities = Capabilities(
            priorities=classic and (options.max_priority or 0) >= 9,
            peek=False,
            delay_step=1.0,
            lists_delayed=False,
            settles_results=False,
            knows_nonces=False,
            fences=False,
            counts_losses=not classic,
            releases_uncounted=False,
            defers_in_front=False,
            exchanges=True,
            ours_alone=False,
        )

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> AmqpBroker:
        """The broker at an address; see ``stores.amqp.address`` and ``options``."""
        return cls(store_at(url, options), options_of(url, options))

    @property
    def store(self) -> Store:
        """The server."""
        return self._store

    @property
    def identity(self) -> str:
        """The cluster's name and the virtual host."""
        return self._store.identity

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication]) -> None:
        """Store all messages, each confirmed by the server; a resend is known by the consumer that gets both."""
        self._sending.send([self._sending.of(one, number) for number, one in enumerate(publications)])

    # -- looking ---------------------------------------------------------------------------------------------------

    def declare(self, queues: Sequence[Queue]) -> None:
        """Adopt the queues that exist, make those that do not, and bind them to their exchanges."""
        for queue in queues:
            self._topology.declare(queue)
            self._topology.hear_delayed(queue)

    def plan(self, find: Callable[[str], Queue | None]) -> None:
        """Make queues as the app declares them."""
        self._topology.plan(find)

    def purge(self, queue: str) -> int:
        """Drop what is ready. What waits for its time is in queues that all share, and stays there."""
        told = self._store.find((commands.Queue.Purge(queue=queue), commands.Queue.PurgeOk))
        return 0 if told is None else int(told.message_count)

    def size(self, queue: str) -> QueueSize:
        """Count what is ready and dead, and what workers of this process hold."""
        ready = self._topology.count(queue) or 0
        dead = self._topology.count(dead_queue(queue)) or 0
        counts = [one.counts(queue) for one in list(_consumers) if one.identity == self.identity]
        return QueueSize(ready=ready + sum(sent for sent, _ in counts), held=sum(held for _, held in counts), dead=dead)

    def names(self) -> list[str]:
        """Queues that a client of ours declared or used, and that are still there."""
        return [name for name in listing.names(self._store) if self._topology.count(name) is not None]

    def peek(self, queue: str, limit: int = 10) -> list[Waiting]:
        """Nothing: RabbitMQ shows a message only to who holds it, and counts that. []."""
        self._topology.count(queue)
        return []

    def delayed(self, queue: str | None = None, limit: int = 100) -> list[Waiting]:
        """Nothing: delayed messages are in queues that all share. []."""
        self._topology.count(queue or "")
        return []

    def dead(self, queue: str | None = None, limit: int = 100) -> list[Dead]:
        """Dead letters, the last buried first."""
        homes = listing.names(self._store) if queue is None else [queue]
        queues = [home for home in homes if self._topology.count(dead_queue(home)) is not None]
        found = [one for name in queues for one in listing.dead(self._store, name, limit)]
        return sorted(found, key=lambda one: -one.died)[:limit]

    def replay(self, keys: Sequence[str]) -> int:
        """Put dead letters at the ends of their queues, with fresh counters: confirmed there, then dropped here.

        Those whose properties cannot be read stay where they are.
        """
        count = 0
        for queue, names in listing.by_queue(keys).items():
            with listing.reading(self._store, dead_queue(queue)) as found:
                picked = [(one, letter.read(one, is_dead=True)) for one in listing.chosen(found, names)]
                fresh = [(one, read.content, read.body) for one, read in picked if read.content is not None]
                self._sending.send([self._sending.from_dead(queue, content, body) for _, content, body in fresh])
                found.drop([one for one, *_ in fresh], self._store.address.deadline)
                count += len(fresh)
        return count

    def drop_dead(self, keys: Sequence[str]) -> int:
        """Forget dead letters."""
        count = 0
        for queue, names in listing.by_queue(keys).items():
            with listing.reading(self._store, dead_queue(queue)) as found:
                picked = listing.chosen(found, names)
                found.drop(picked, self._store.address.deadline)
                count += len(picked)
        return count

    # -- the rest --------------------------------------------------------------------------------------------------

    def consumer(self, queues: Sequence[str], cid: str, *, limits: Limits | None = None) -> AmqpConsumer:
        """A new incarnation; its line stands from now on."""
        limits = limits or Limits()
        by_priority = self.capabilities.priorities
        made = AmqpConsumer(self._store, self._topology, self._sending, queues, cid, limits, by_priority=by_priority)
        _consumers.add(made)
        self._caution(limits.hold)
        return made

    def _caution(self, hold: float | None) -> None:
        """Say once if tasks may run for longer than the server lets a worker hold their messages."""
        told = None if self._cautioned else patience.caution(hold, patience.known(self._options, self._store.version))
        self._cautioned = True
        if told:
            logger.warning("%s", told)

    def broadcast(self, topic: str, payload: bytes) -> None:
        """Send a hint to those who listen now."""
        self._fanning.send(fanning.HINTS, [(topic, payload)])

    def subscribe(self, topics: Sequence[str]) -> Subscription:
        """Listen from now on."""
        return self._fanning.listen(fanning.HINTS, [""], "", fanning.hears(topics))

    def fan_out(self, exchange: str, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send to the exchange that Celery's monitors and nodes listen to; the server does not count who hears."""
        self._fanning.send(exchange, messages)

    def listen(self, exchange: str, keys: Sequence[str] = ("#",), name: str = "") -> Subscription:
        """Listen to the exchange by a queue of Celery's kind."""
        return self._fanning.listen(exchange, keys, name)

    def mailbox(self, exchange: str, key: str) -> Subscription:
        """Receive by a queue of Celery's kind what is sent to the caller's key."""
        return self._fanning.listen(exchange, [key], fanout.mailbox(exchange, key))

    def reply(self, exchange: str, key: str, payload: bytes) -> None:
        """Send to the caller's queue; if he is gone, so is the reply."""
        self._fanning.send(exchange, [(key, payload)])

    def close(self) -> None:
        """Close idle lines."""
        self._store.close()
