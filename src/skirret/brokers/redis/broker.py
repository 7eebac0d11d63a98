"""The broker on a Redis or Valkey server as a client of one process sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from skirret import loggers
from skirret.brokers import fanout
from skirret.brokers.base import Broker, Capabilities, Dead, Limits, Queue, QueueSize, Results, Waiting
from skirret.brokers.redis import durability, listing, plan, scripts
from skirret.brokers.redis.consumer import RedisConsumer
from skirret.brokers.redis.mailbox import KEPT_SECONDS, RedisMailbox
from skirret.brokers.redis.options import Options, options_of
from skirret.brokers.redis.slot import Draft, Slot, draft, told_apart
from skirret.brokers.redis.subscription import RedisSubscription
from skirret.brokers.subscription import Subscription
from skirret.errors import ImproperlyConfigured, OperationalError
from skirret.message import Publication
from skirret.stores.redis import facts
from skirret.stores.redis.keys import VERSION, Keys
from skirret.stores.redis.results import ResultKeys
from skirret.stores.redis.session import Command
from skirret.stores.redis.store import Store, store_at
from skirret.url import Url
from skirret.wire import redis_keys

logger = loggers.own("skirret.broker")

IN_FLIGHT = 4
"""Scripts that a large publish sends before it reads their answers."""


class RedisBroker(Broker):
    """Messages on a Redis or Valkey server, in the lists that Celery's workers and producers use.

    Args:
        store: the server.
        options: how messages are laid out and when they count as stored.
    """

    capabilities = Capabilities()

    def __init__(self, store: Store, options: Options) -> None:
        self._store = store
        self._options = options
        self._slots: dict[str, Slot] = {}
        self._named = {""}
        self._known_layout = 0  # the process that has looked
        self._results = (store.address.db, ResultKeys(store.prefix))
        self._is_fit = False  # seen once
        self._confirm: tuple[Command, ...] = ()
        if store.is_cluster:
            self.capabilities = Capabilities(settles_results=False)

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> RedisBroker:
        """The broker at an address; see ``stores.redis.address`` and ``options``."""
        return cls(store_at(url, options), options_of(url, options))

    @property
    def store(self) -> Store:
        """The server."""
        return self._store

    @property
    def identity(self) -> str:
        """The server's run id, whichever of its databases; a cluster has no step that spans messages and results."""
        return self._store.identity + (":messages" if self._store.is_cluster else "")

    def settles(self, results: Results) -> bool:
        """True for any database of the same server; results then get the names that this store gives them."""
        if not super().settles(results):
            return False
        store: Store = getattr(results, "store_in_use", self._store)
        self._results = (store.address.db, ResultKeys(store.prefix))
        return True

    def _slot(self, queue: str) -> Slot:
        name = queue if self._store.is_cluster else ""
        slot = self._slots.get(name)
        if slot is None or self._known_layout != os.getpid():
            slot = self._slots[name] = Slot(self._store, self._options, name)
            self._look_at_layout(slot)
        return slot

    def _look_at_layout(self, slot: Slot) -> None:
        key = slot.keys.layout
        _, found = self._store.pipeline([("SETNX", key, VERSION), ("GET", key)], key=key)
        if int(found) > VERSION:
            raise ImproperlyConfigured(
                f"the {self._store.address} has layout {int(found)}, and this Skirret knows layouts up to {VERSION}: a "
                "newer Skirret wrote it. Upgrade this installation, or name another server or database."
            )
        self._known_layout = os.getpid()
        self._confirm = durability.confirmation(self._store, self._options)

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication]) -> None:
        """Add all messages, each portion of up to 500 in one script."""
        drafts = [draft(publication, self._options) for publication in publications]
        if len(drafts) == 1:
            self._send_one(drafts[0])
        else:
            self._send(told_apart(drafts))

    def inject(self, queue: str, raw: bytes, priority: int = 0) -> None:
        """Add raw bytes as a foreign producer does, without a bell; for tests."""
        slot = self._slot(queue)
        _, _, left, right, separator = slot.head
        key = redis_keys.ready_list(f"{left}{queue}{right}", priority, self._options.steps, separator)
        self._store.call("LPUSH", key, raw, key=key)

    def _send_one(self, one: Draft) -> None:
        nonce, due, step, queue, raw = one
        slot = self._slot(queue)
        if due or slot.queue not in self._named:
            self._send([one])
            return
        words = (*slot.head, nonce, slot.list_of(queue, step), queue, raw)
        told, *confirmed = self._store.run_many(scripts.PUBLISH_ONE, [((slot.keys.nonces,), words)], then=self._confirm)
        if told < 0:
            self._send([one])
        elif confirmed:
            durability.check(confirmed, self._options, self._store.address)

    def _send(self, drafts: Sequence[Draft]) -> None:
        by_slot: dict[str, list[Draft]] = {}
        for one in drafts:
            by_slot.setdefault(one[3] if self._store.is_cluster else "", []).append(one)
        for queue, mine in by_slot.items():
            slot = self._slot(queue)
            if queue not in self._named:
                self._name(queue)
            calls = [
                ((slot.keys.nonces,), (*slot.head, len(batch), *(word for one in batch for word in one)))
                for batch in plan.in_batches(mine, lambda one: len(one[4]))
            ]
            for at in range(0, len(calls), IN_FLIGHT):
                portion = calls[at : at + IN_FLIGHT]
                told = self._store.run_many(scripts.PUBLISH, portion, then=self._confirm)
                durability.check(told[len(portion) :], self._options, self._store.address)

    def _name(self, queue: str) -> None:
        # In a cluster each slot knows its own queue only, so there is a list of all beside.
        if self._store.is_cluster:
            key = Keys(self._store.prefix).queues
            self._store.call("SADD", key, queue, key=key)
        self._named.add(queue)

    # -- looking ---------------------------------------------------------------------------------------------------

    def declare(self, queues: Sequence[Queue]) -> None:
        """Remember the names, and bind the queues to their exchanges as kombu does.

        Raises:
            ImproperlyConfigured: as `consumer`.
        """
        self._require_fitness()
        for queue in queues:
            slot = self._slot(queue.name)
            self._store.call("SADD", slot.keys.queues, queue.name, key=slot.keys.queues)
            self._name(queue.name)
            if queue.exchange and queue.exchange_type != "fanout" and not self._store.is_cluster:
                told = redis_keys.binding(queue.name, queue.routing_key, queue.exchange_type, self._options.separator)
                names = redis_keys.bindings(queue.exchange)
                self._store.pipeline([("SADD", self._store.prefix + name, told) for name in names])

    def purge(self, queue: str) -> int:
        """Drop what is ready and what waits for its time."""
        slot = self._slot(queue)
        return int(self._store.run(scripts.PURGE, (slot.keys.due(queue),), (*slot.head, queue, *slot.steps)))

    def size(self, queue: str) -> QueueSize:
        """Count by kind."""
        slot = self._slot(queue)
        answer = self._store.run(scripts.SIZE, (slot.keys.consumers,), (*slot.head, queue, *slot.steps))
        ready, held, delayed, dead = answer
        return QueueSize(ready=ready, held=held, delayed=delayed, dead=dead)

    def names(self) -> list[str]:
        """Queues that were declared or ever held a message of ours, and those bound like Celery's own."""
        return listing.names(self._store)

    def peek(self, queue: str, limit: int = 10) -> list[Waiting]:
        """The next ready messages, by priority and place."""
        return listing.peek(self._slot(queue), queue, limit)

    def delayed(self, queue: str | None = None, limit: int = 100) -> list[Waiting]:
        """Messages that wait for their time, by due time."""
        queues = self.names() if queue is None else [queue]
        found = [one for name in queues for one in listing.delayed(self._slot(name), name, limit)]
        return sorted(found, key=lambda one: one.due or 0.0)[:limit]

    def dead(self, queue: str | None = None, limit: int = 100) -> list[Dead]:
        """Dead letters, the last buried first."""
        queues = self.names() if queue is None else [queue]
        found = [one for name in queues for one in listing.dead(self._slot(name), name, limit)]
        return [letter for _, letter in sorted(found, key=lambda one: one[0], reverse=True)[:limit]]

    def replay(self, keys: Sequence[str]) -> int:
        """Put dead letters at the ends of their queues, with fresh counters."""
        count = 0
        for queue, ids in listing.by_queue(keys).items():
            slot = self._slot(queue)
            count += self._store.run(scripts.REPLAY, (slot.keys.dead(queue),), (*slot.head, queue, *ids))
        return count

    def drop_dead(self, keys: Sequence[str]) -> int:
        """Forget dead letters."""
        count = 0
        for queue, ids in listing.by_queue(keys).items():
            key = self._slot(queue).keys.dead(queue)
            count += self._store.call("XDEL", key, *ids, key=key)
        return count

    # -- the rest --------------------------------------------------------------------------------------------------

    def consumer(self, queues: Sequence[str], cid: str, *, limits: Limits | None = None) -> RedisConsumer:
        """A new incarnation; it lives from now on.

        Raises:
            ImproperlyConfigured: the server is set so that it would lose tasks; the message says how to set it.
        """
        self._require_fitness()
        self._slot(queues[0] if queues else "")
        db, keys = self._results
        places = (self._store.address.db, db, keys.tasks, keys.marks)
        return RedisConsumer(
            self._store, self._options, queues, cid, limits or Limits(), places, self._send, self._confirm
        )

    def _require_fitness(self) -> None:
        found, where = self._store.look(), self._store.address
        if self._is_fit and found.role != "master":
            raise OperationalError(
                f"the {where} has become a replica; trying again until it, or another, is the master"
            )
        for warning in facts.check(found, where):
            if not self._is_fit:
                logger.warning("%s", warning)
        self._is_fit = True

    def broadcast(self, topic: str, payload: bytes) -> None:
        """Send a hint to those who listen now."""
        names = Keys(self._store.prefix)
        # In a cluster all go by one node, or they would overtake one another.
        self._store.call("PUBLISH", names.hints(topic), payload, key=names.hints(""))

    def subscribe(self, topics: Sequence[str]) -> Subscription:
        """Listen from now on."""
        return RedisSubscription(self._store, topics, Keys(self._store.prefix).hints(""))

    def fan_out(self, exchange: str, messages: Sequence[tuple[str, bytes]]) -> int | None:
        """Publish on the channels that kombu gives the exchange, in one round trip; the server counts who hears."""
        base, keyed = self._fanout_base(), self._options.fanout_patterns
        channels = [base + fanout.topic(exchange, key if keyed else "") for key, _ in messages]
        commands = [("PUBLISH", channel, payload) for channel, (_, payload) in zip(channels, messages, strict=True)]
        heard = self._store.pipeline(commands, key=base)
        return None if self._store.is_cluster or not heard else int(heard[-1])

    def listen(self, exchange: str, keys: Sequence[str] = ("#",), name: str = "") -> Subscription:
        """Listen on the channels that kombu gives the exchange; `name` is noted where kombu notes its listeners."""
        topics = fanout.topics(exchange, keys) if self._options.fanout_patterns else [exchange]
        note = None if self._store.is_cluster or not name else self._binding(exchange, name)
        inner = RedisSubscription(self._store, topics, self._fanout_base(), note)
        return fanout.FanoutSubscription(inner, exchange)

    def mailbox(self, exchange: str, key: str) -> Subscription:
        """Receive from the list that kombu fills for this caller."""
        name = fanout.mailbox(exchange, key)
        note = None if self._store.is_cluster else self._binding(exchange, name, key)
        return RedisMailbox(self._store, self._store.prefix + name, note)

    def reply(self, exchange: str, key: str, payload: bytes) -> None:
        """Add to the list that kombu reads for its caller; it goes by itself if nobody does."""
        name = self._store.prefix + fanout.mailbox(exchange, key)
        self._store.pipeline([("LPUSH", name, payload), ("EXPIRE", name, KEPT_SECONDS)], key=name)

    def _binding(self, exchange: str, queue: str, key: str = "") -> tuple[str, str]:
        table, _ = redis_keys.bindings(exchange)
        return self._store.prefix + table, redis_keys.binding(queue, key, separator=self._options.separator)

    def _fanout_base(self) -> str:
        return self._store.prefix + redis_keys.fanout_base(self._store.address.db, self._options.fanout_prefix)

    def close(self) -> None:
        """Close idle lines."""
        self._store.close()
