"""The seam between Skirret and a message server. Everything is in batches; a batch of one is not a special case."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from skirret.brokers import fanout
from skirret.brokers.exchanges import KEYLESS, Binding, Exchange
from skirret.brokers.subscription import Subscription
from skirret.message import Delivery, Publication
from skirret.outcome import Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker declares that it can do. Nothing elsewhere asks a broker for its type.

    Args:
        priorities: 0 to 9, the higher first.
        delayed: it keeps messages until their time.
        delay_step: seconds to the next multiple of which a delay is rounded up.
        lists_delayed: it tells which, how many, and drops them with a purge.
        purge, peek: as the methods.
        push_wakeup: a waiting `take` hears of a new message at once.
        durable: messages outlive the process.
        fan_out: broadcasts.
        settles_results: results are written with the settlement.
        knows_nonces: a repeated publication is stored once; else it may be there twice.
        fences: who was silent for its lease is told so; else only the result store keeps one outcome.
        counts_losses: work of a lost worker comes back counted; else at most once.
        releases_uncounted: what is released comes back as though nobody had had it.
        ours_alone: nodes of Celery's cannot hear what is fanned out here, or are counted.
        exchanges: messages go through exchanges; else straight to the queue that is their home.
        defers_in_front: what is deferred as the first comes back in front of its queue; else at its end.
    """

    priorities: bool = True
    delayed: bool = True
    purge: bool = True
    peek: bool = True
    push_wakeup: bool = True
    durable: bool = True
    fan_out: bool = True
    settles_results: bool = True
    delay_step: float = 0.0
    lists_delayed: bool = True
    knows_nonces: bool = True
    fences: bool = True
    counts_losses: bool = True
    releases_uncounted: bool = True
    ours_alone: bool = True
    exchanges: bool = False
    defers_in_front: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSize:
    """Messages of one queue: `ready` to run, `held` by workers, `delayed` until their time, `dead`."""

    ready: int = 0
    held: int = 0
    delayed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue as the app declares it. All but the name is for brokers that route by exchanges.

    Args:
        name: of the queue.
        exchange, exchange_type: where messages for it are sent; "" is directly to it, by its name.
        routing_key: with which they are sent there; the queue's name if it is "".
        bindings: how it is bound, if otherwise than by that exchange and routing key alone; then these are all.
        max_priority: the highest priority that it tells apart.
        arguments: what the server is told of the queue besides, such as ``x-max-length``.
        consumer_arguments: what it is told of who takes from it, such as ``x-priority``.
        durable: it outlives a restart of the server.
        auto_delete: it is there for who takes from it and goes soon after him, with the messages in it.
        alias: another name by which routes and ``-Q`` know it.
    """

    name: str
    exchange: str = ""
    routing_key: str = ""
    exchange_type: str = "direct"
    bindings: tuple[Binding, ...] = ()
    max_priority: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    consumer_arguments: dict[str, Any] = field(default_factory=dict)
    durable: bool = True
    auto_delete: bool = False
    alias: str = ""

    @classmethod
    def missing(cls, name: str, exchange_type: str | None = None, max_priority: int | None = None) -> Queue:
        """A queue that no setting declares, made on first use.

        Args:
            name: of the queue.
            exchange_type: ``task_create_missing_queue_exchange_type``: of an exchange of its own name; None is none.
            max_priority: ``task_queue_max_priority``.
        """
        exchange = name if exchange_type else ""
        return cls(
            name=name,
            exchange=exchange,
            routing_key=exchange,
            exchange_type=exchange_type or "direct",
            max_priority=max_priority,
        )

    @classmethod
    def broadcast(cls, name: str) -> Queue:
        """A queue of this process alone at an exchange for many: what is sent to `name` reaches every worker once.

        Args:
            name: by which routes and ``-Q`` know it, and of the exchange.
        """
        exchange = Exchange(name, "fanout")
        return cls(
            name=f"bcast.{uuid.uuid4()}",
            exchange=name,
            exchange_type="fanout",
            bindings=(Binding(exchange),),
            auto_delete=True,
            alias=name,
        )

    @property
    def ways(self) -> tuple[Binding, ...]:
        """How messages come to it from exchanges; what is sent to its name comes in any case."""
        if self.bindings or not self.exchange:
            return self.bindings
        key = "" if self.exchange_type in KEYLESS else self.routing_key or self.name
        return (Binding(Exchange(self.exchange, self.exchange_type), key),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One message that waits: what `peek` and `delayed` list. `due` is seconds since the epoch, or None."""

    queue: str
    task_id: str
    raw: bytes
    priority: int = 0
    due: float | None = None
    deliveries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """One dead letter. `key` names it for `replay` and `drop_dead`; `died` is seconds since the epoch."""

    key: str
    queue: str
    task_id: str
    raw: bytes
    reason: str
    died: float
    deliveries: int = 0
    crashes: int = 0


class Consumer(ABC):
    """One worker incarnation's hold on some queues.

    All methods but `interrupt` are called from one thread. A method raises OperationalError when the server cannot be
    reached; the consumer may be used again afterwards. After `fenced` turns true nothing here is ours any more.
    """

    cid: str
    fenced: bool = False
    portion: int = 1000
    """How many messages to ask for at once: while a `take` reads them, no outcome is settled."""

    @abstractmethod
    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Move up to `limit` due messages from ready to held, in one atomic step; wait up to `timeout` seconds.

        Order: priority 9 before 0; within a priority the queues take turns; within a queue the oldest first.
        Returns early with [] when `interrupt` was called. Messages whose due time came are included: such a message
        joins the end of its queue then, the soonest first. Of a limit smaller than what is ready, each queue gets its
        share. A fenced consumer takes nothing: [] at once, and `fenced` is true.
        """

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out settlements in one atomic batch, results and successors included.

        Returns one flag each, in order: False says that the message was no longer held by us, so that neither its
        result nor its successors were written. A result is written by compare-and-set (``states.supersedes``); that
        an older one stays does not make the flag False. Successors are published as `publish` does, nonces included;
        a Retry's publication is always stored. Released messages go to the front of their queue, deferred ones to the
        end unless they say otherwise, retries are new messages with fresh counters.
        """

    def begin_settle(self, settlements: Sequence[Settlement]) -> list[bool] | None:
        """Begin `settle`. Its answer, or None where the server's word is still to come: `end_settle` waits for that.

        In between messages may be taken, and no other settlements are handed over.
        """
        return self.settle(settlements)

    def end_settle(self) -> list[bool]:
        """The answer to the `begin_settle` that had none. If it raises, the settlements are to be settled again."""
        raise NotImplementedError

    @abstractmethod
    def beat(self) -> bool:
        """Say that this incarnation lives. False says that it was reaped: it is fenced, its work runs elsewhere."""

    @abstractmethod
    def reap(self) -> int:
        """Take the work of incarnations whose beat stood still for the lease; how many messages went back.

        A message comes back to its home queue with its delivery counted; at the limit it is dead-lettered (and is not
        in the number). Call it at least once a `Limits.beat`: what this incarnation did not see does not count, so
        that the time between two calls is worth one beat at most.
        """

    def rest(self) -> None:  # noqa: B027  most brokers send nothing ahead
        """There is no room for more just now: give back what was sent ahead and is not taken, if anything is.

        Called when nothing was taken for a moment; the next `take` goes on as ever.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make a waiting `take`, or else the next one, return at once; may be called from any thread."""

    @abstractmethod
    def queues(self, names: Sequence[str]) -> None:
        """Consume exactly these queues from now on."""

    @abstractmethod
    def close(self) -> None:
        """Release what is still held, uncounted, and end this incarnation."""


class Results(Protocol):
    """A result store, as much of it as a broker must know."""

    @property
    def identity(self) -> str:
        """Names the server."""
        ...


class Broker(ABC):
    """A message server, as the client of one process sees it. Methods are safe to call from several threads.

    Every method raises OperationalError within its deadline (5 s unless said) when the server cannot be reached.
    State is dropped after a fork.
    """

    capabilities: Capabilities = Capabilities()

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names the server (not the URL): a result store of the same identity settles in one step with us."""

    def settles(self, results: Results) -> bool:
        """Whether settlements of consumers made from now on write results where this result store has them.

        A worker asks before it makes its consumer, and stores results itself if the answer is False.
        """
        return self.capabilities.settles_results and self.identity == results.identity

    @abstractmethod
    def publish(self, publications: Sequence[Publication]) -> None:
        """Store all of them durably, or raise. A publication whose nonce was stored in the last 30 s is not repeated.

        The publications of one call may share a nonce: it is compared with those of earlier calls. "" is no nonce.

        Raises:
            OperationalError: not all could be confirmed; repeating the call with the same nonces is safe.
        """

    @abstractmethod
    def declare(self, queues: Sequence[Queue]) -> None:
        """Make sure that the queues exist."""

    def plan(self, find: Callable[[str], Queue | None]) -> None:  # noqa: B027  most brokers need a queue's name only
        """Say how queues are to be made that a message needs first.

        Args:
            find: the queue of that name as the app declares it, or None.
        """

    @abstractmethod
    def purge(self, queue: str) -> int:
        """Drop the waiting messages (ready and delayed) of a queue; how many."""

    @abstractmethod
    def size(self, queue: str) -> QueueSize:
        """How many messages a queue has, by kind."""

    @abstractmethod
    def names(self) -> list[str]:
        """Queues that exist or hold messages, sorted."""

    @abstractmethod
    def peek(self, queue: str, limit: int = 10) -> list[Waiting]:
        """The next ready messages of a queue in the order of their run, left where they are."""

    @abstractmethod
    def delayed(self, queue: str | None = None, limit: int = 100) -> list[Waiting]:
        """Messages that wait for their time, the soonest first."""

    @abstractmethod
    def dead(self, queue: str | None = None, limit: int = 100) -> list[Dead]:
        """Dead letters, the newest first."""

    @abstractmethod
    def replay(self, keys: Sequence[str]) -> int:
        """Put dead letters back into their queues with fresh counters; how many."""

    @abstractmethod
    def drop_dead(self, keys: Sequence[str]) -> int:
        """Forget dead letters; how many."""

    @abstractmethod
    def consumer(self, queues: Sequence[str], cid: str, *, limits: Limits | None = None) -> Consumer:
        """A new incarnation `cid` (128 random bits as text) on these queues."""

    @abstractmethod
    def broadcast(self, topic: str, payload: bytes) -> None:
        """Send a hint to all who subscribed to `topic`."""

    @abstractmethod
    def subscribe(self, topics: Sequence[str]) -> Subscription:
        """Listen to broadcasts; a topic ending in ``*`` matches by prefix."""

    def fan_out(self, exchange: str, messages: Sequence[tuple[str, bytes]]) -> int | None:
        """Send each (routing key, payload) to all who listen to a fanout exchange, where Celery's listeners hear it.

        Returns how many heard the last one, or None where the server cannot count them.
        """
        for key, payload in messages:
            self.broadcast(fanout.topic(exchange, key), payload)
        return None

    def listen(self, exchange: str, keys: Sequence[str] = ("#",), name: str = "") -> Subscription:
        """Hear what is sent to a fanout exchange from now on, as (routing key, payload).

        Args:
            exchange: its name, such as ``celeryev``.
            keys: routing keys; one that ends in ``#`` stands for all that begin so, "" for messages without a key.
            name: of the listener's queue, where the server shows such.
        """
        return fanout.FanoutSubscription(self.subscribe(fanout.topics(exchange, keys)), exchange)

    def mailbox(self, exchange: str, key: str) -> Subscription:
        """Receive what is sent to one caller from now on, by `reply` or by Celery's nodes; close it soon.

        Args:
            exchange: of the replies.
            key: the caller's own routing key, unguessable.
        """
        return self.subscribe([fanout.mailbox(exchange, key)])

    def reply(self, exchange: str, key: str, payload: bytes) -> None:
        """Send to the mailbox of one caller; what nobody fetches is gone after a while."""
        self.broadcast(fanout.mailbox(exchange, key), payload)

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the broker may be used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The numbers that a consumer works by.

    Args:
        lease: seconds without a beat, observed while the server answered, after which work is taken over.
        beat: seconds between beats.
        deliveries: counted deliveries at which `reap` dead-letters a message; in settlements the worker decides.
        hold: seconds of the longest time limit of a task, for servers that let nobody hold a message for longer than
            they like; None if no task has one.
        clock: monotonic seconds; tests pass their own.
    """

    lease: float = 30.0
    beat: float = 5.0
    deliveries: int = 10
    hold: float | None = None
    clock: Callable[[], float] | None = None
