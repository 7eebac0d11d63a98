"""The broker inside one process: the reference that says what every other broker must do."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skirret import clock
from skirret.brokers import fanout
from skirret.brokers.base import (
    Broker,
    Capabilities,
    Consumer,
    Dead,
    Limits,
    Queue,
    QueueSize,
    Waiting,
)
from skirret.brokers.subscription import Subscription
from skirret.message import Delivery, Publication
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.stores.memory import PRIORITIES, Listener, Message, Server, server
from skirret.url import Url
from skirret.wire import envelope as wire

MAX_FOREIGN_BYTES = 16 * 1024 * 1024


class MemoryBroker(Broker):
    """Messages in this process's memory, by server name. Nothing outlives the process, and a fork starts empty.

    Args:
        name: ``memory://name``; all clients of one name in one process share one server.
    """

    capabilities = Capabilities(durable=False)

    def __init__(self, name: str = "") -> None:
        self._server = server(name)

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> MemoryBroker:
        """The broker at ``memory://name``; `options` holds none that it knows."""
        return cls(url.host or "")

    @property
    def identity(self) -> str:
        """Process and name: ``MemoryBackend`` of the same name has the same identity."""
        return self._server.identity

    def publish(self, publications: Sequence[Publication]) -> None:
        """Add the messages, all in one step; a nonce of the last 30 s is not repeated."""
        messages = [_message(publication) for publication in publications]
        with self._server.reach():
            self._server.publish(messages)

    def inject(self, queue: str, *raws: bytes, priority: int = 0) -> None:
        """Add messages of raw bytes as if a foreign producer had written them; for tests."""
        heads = [wire.head(raw, max_bytes=MAX_FOREIGN_BYTES) for raw in raws]
        with self._server.reach():
            for raw, head in zip(raws, heads, strict=True):
                self._server.add(Message(queue=queue, raw=raw, task_id=getattr(head, "id", ""), priority=priority))

    def declare(self, queues: Sequence[Queue]) -> None:
        """Remember the names."""
        with self._server.reach():
            self._server.queues.update(queue.name for queue in queues)

    def purge(self, queue: str) -> int:
        """Drop what is ready and what waits for its time."""
        here = self._server
        with here.reach():
            dropped = sum(len(here.ready.pop((queue, priority), [])) for priority in PRIORITIES)
            kept = [entry for entry in here.waiting if entry[2].queue != queue]
            dropped += len(here.waiting) - len(kept)
            heapq.heapify(kept)
            here.waiting = kept
            return dropped

    def size(self, queue: str) -> QueueSize:
        """Count by kind."""
        here = self._server
        with here.reach():
            here.wake_due()
            return QueueSize(
                ready=sum(len(here.ready[queue, priority]) for priority in PRIORITIES),
                held=sum(message.queue == queue for held in here.held.values() for message in held.values()),
                delayed=sum(message.queue == queue for _, _, message in here.waiting),
                dead=sum(grave.message.queue == queue for grave in here.graves.values()),
            )

    def names(self) -> list[str]:
        """Queues that were declared or ever held a message."""
        with self._server.reach():
            return sorted(self._server.queues)

    def peek(self, queue: str, limit: int = 10) -> list[Waiting]:
        """The next ready messages, by priority and place."""
        here = self._server
        with here.reach():
            here.wake_due()
            ordered = [message for priority in PRIORITIES for _, message in sorted(here.ready[queue, priority])]
            return [_waiting(message) for message in ordered[:limit]]

    def delayed(self, queue: str | None = None, limit: int = 100) -> list[Waiting]:
        """Messages that wait for their time, by due time."""
        here = self._server
        with here.reach():
            here.wake_due()
            ordered = [message for _, _, message in sorted(here.waiting) if queue in (None, message.queue)]
            return [_waiting(message) for message in ordered[:limit]]

    def dead(self, queue: str | None = None, limit: int = 100) -> list[Dead]:
        """Dead letters, the last buried first."""
        with self._server.reach():
            found = [
                Dead(
                    key=key,
                    queue=grave.message.queue,
                    task_id=grave.message.task_id,
                    raw=grave.message.raw,
                    reason=grave.reason,
                    died=grave.died,
                    deliveries=grave.message.deliveries,
                    crashes=grave.message.crashes,
                )
                for key, grave in reversed(self._server.graves.items())
                if queue in (None, grave.message.queue)
            ]
            return found[:limit]

    def replay(self, keys: Sequence[str]) -> int:
        """Put dead letters at the ends of their queues, with fresh counters."""
        with self._server.reach():
            graves = [grave for key in keys if (grave := self._server.graves.pop(key, None))]
            for grave in graves:
                message = grave.message
                message.due, message.deliveries, message.crashes, message.first_delivered = None, 0, 0, 0.0
                self._server.add(message)
            return len(graves)

    def drop_dead(self, keys: Sequence[str]) -> int:
        """Forget dead letters."""
        with self._server.reach():
            return sum(self._server.graves.pop(key, None) is not None for key in keys)

    def consumer(self, queues: Sequence[str], cid: str, *, limits: Limits | None = None) -> MemoryConsumer:
        """A new incarnation; it lives from now on."""
        return MemoryConsumer(self._server, queues, cid, limits or Limits())

    def broadcast(self, topic: str, payload: bytes) -> None:
        """Hand the hint to those who listen now."""
        with self._server.reach():
            for listener in self._server.listeners:
                if listener.hears(topic):
                    listener.hints.append((topic, payload))
            self._server.changed.notify_all()

    def fan_out(self, exchange: str, messages: Sequence[tuple[str, bytes]]) -> int:
        """As `broadcast`; how many listen to the last one."""
        super().fan_out(exchange, messages)
        with self._server.reach():
            return sum(
                one.hears(fanout.topic(exchange, key)) for key, _ in messages[-1:] for one in self._server.listeners
            )

    def subscribe(self, topics: Sequence[str]) -> MemorySubscription:
        """Listen from now on."""
        return MemorySubscription(self._server, topics)

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryConsumer(Consumer):
    """One incarnation's hold on queues of a memory server."""

    def __init__(self, here: Server, queues: Sequence[str], cid: str, limits: Limits) -> None:
        self.cid = cid
        self._server = here
        self._limits = limits
        self._clock: Callable[[], float] = limits.clock or clock.monotonic
        self._turns = deque(queues)
        self._tag = 0
        self._interrupted = False
        self._looked = self._clock()
        self._still: dict[str, tuple[int, float]] = {}  # incarnation -> (its beat, seconds that I saw it stand still)
        with here.reach():
            here.beats[cid] = 0
            here.held[cid] = {}

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Take what is there, else wait for it, for the timeout, for an interrupt or for the fence."""
        deadline = clock.Deadline(timeout)
        while True:
            with self._server.reach():
                if not self._alive():
                    return []
                taken = self._take_now(limit)
                if taken or self._interrupted or deadline.passed():
                    self._interrupted = False
                    return taken
                pauses = (deadline.left(), self._server.next_due())
                self._server.changed.wait(min(pause for pause in pauses if pause is not None))

    def _take_now(self, limit: int) -> list[Delivery]:
        here = self._server
        here.wake_due()
        taken: list[Delivery] = []
        for priority in PRIORITIES:
            while len(taken) < limit:
                queue = next((name for name in self._turns if here.ready[name, priority]), None)
                if queue is None:
                    break
                self._turns.remove(queue)  # who was served goes to the end of the row
                self._turns.append(queue)
                taken.append(self._hold(heapq.heappop(here.ready[queue, priority])[1]))
        return taken

    def _hold(self, message: Message) -> Delivery:
        self._tag += 1
        message.first_delivered = message.first_delivered or clock.wall()
        self._server.held[self.cid][self._tag] = message
        return Delivery(
            tag=self._tag,
            queue=message.queue,
            raw=message.raw,
            deliveries=message.deliveries,
            crashes=message.crashes,
            first_delivered=message.first_delivered,
        )

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out all settlements under one lock."""
        # Encoded before anything is touched: a publication that cannot be encoded must not leave half a batch.
        follow = [[_message(publication) for publication in _publications(one)] for one in settlements]
        with self._server.reach():
            if not self._alive():
                return [False] * len(settlements)
            return [self._settle(one, messages) for one, messages in zip(settlements, follow, strict=True)]

    def _settle(self, settlement: Settlement, follow: list[Message]) -> bool:
        here = self._server
        message = here.held[self.cid].pop(settlement.tag, None)
        if message is None:
            return False
        match settlement:
            case Ack():
                here.publish(follow)
            case Release():
                here.put_back(message)
            case Retry():
                here.add(follow[0])  # not `publish`: the fence already keeps a retry from being repeated
            case Defer():
                message.deliveries += settlement.counted == "delivery"
                message.crashes += settlement.counted == "crash"
                message.due = settlement.due
                if settlement.first and settlement.due <= clock.wall():
                    message.due = None
                    here.put_back(message)
                else:
                    here.add(message)
            case DeadLetter():
                here.bury(message, settlement.reason)
                here.publish(follow)
        result = None if isinstance(settlement, Release | Defer) else settlement.result
        if result is not None:
            here.write_result(result)
        return True

    def beat(self) -> bool:
        """Move my beat on."""
        with self._server.reach():
            if not self._alive():
                return False
            self._server.beats[self.cid] += 1
            return True

    def reap(self) -> int:
        """Look at the others' beats; take over from those that I saw stand still for the lease."""
        with self._server.reach():
            now = self._clock()
            # However long I slept, I saw nothing meanwhile: a gap counts for one beat at most.
            gap = min(now - self._looked, self._limits.beat)
            self._looked = now
            if not self._alive():
                return 0
            returned = 0
            for cid, beat in list(self._server.beats.items()):
                if cid == self.cid:
                    continue
                seen, still = self._still.get(cid, (None, 0.0))
                still = still + gap if beat == seen else 0.0
                self._still[cid] = (beat, still)
                if still >= self._limits.lease:
                    returned += self._take_over(cid)
            self._still = {cid: entry for cid, entry in self._still.items() if cid in self._server.beats}
            return returned

    def _take_over(self, cid: str) -> int:
        here = self._server
        del here.beats[cid]  # the fence first: from here on nothing that this incarnation says counts
        returned = 0
        for message in here.held.pop(cid).values():
            message.deliveries += 1
            if message.deliveries >= self._limits.deliveries:
                here.bury(message, f"its worker vanished; that was counted delivery {message.deliveries} of it")
            else:
                here.put_back(message)
                returned += 1
        return returned

    def interrupt(self) -> None:
        """Make the take that waits, or else the next one, return at once."""
        with self._server.changed:
            self._interrupted = True
            self._server.changed.notify_all()

    def queues(self, names: Sequence[str]) -> None:
        """Consume these from now on; what is held stays held."""
        self._turns = deque(names)

    def close(self) -> None:
        """Put back what I hold and leave."""
        with self._server.reach():
            self._server.beats.pop(self.cid, None)
            for message in self._server.held.pop(self.cid, {}).values():
                self._server.put_back(message)

    def _alive(self) -> bool:
        if self.cid not in self._server.beats:
            self.fenced = True
        return not self.fenced


class MemorySubscription(Subscription):
    """A listener to one memory server's broadcasts."""

    def __init__(self, here: Server, topics: Sequence[str]) -> None:
        self._server = here
        self._listener = Listener(tuple(topics))
        with here.reach():
            here.listeners.append(self._listener)

    def receive(self, timeout: float) -> list[tuple[str, bytes]]:
        """All hints that came, waiting for the first."""
        with self._server.reach():
            heard, listeners = self._listener.hints, self._server.listeners
            self._server.changed.wait_for(lambda: heard or self._listener not in listeners, timeout)
            hints = list(heard)
            heard.clear()
            return hints

    def close(self) -> None:
        """Stop listening; a `receive` that waits returns."""
        with self._server.changed:
            if self._listener in self._server.listeners:
                self._server.listeners.remove(self._listener)
            self._server.changed.notify_all()


def _message(publication: Publication) -> Message:
    return Message(
        queue=publication.route.queue,
        raw=wire.encode(publication),
        task_id=publication.task_id,
        priority=max(0, min(9, publication.envelope.priority)),
        due=publication.due,
        expires=publication.expires,
        nonce=publication.nonce,
    )


def _publications(settlement: Settlement) -> list[Publication]:
    match settlement:
        case Ack() | DeadLetter():
            return settlement.successors
        case Retry():
            return [settlement.publication]
        case _:
            return []


def _waiting(message: Message) -> Waiting:
    return Waiting(
        queue=message.queue,
        task_id=message.task_id,
        raw=message.raw,
        priority=message.priority,
        due=message.due,
        deliveries=message.deliveries,
    )
