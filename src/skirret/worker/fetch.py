"""The one thread that owns a worker's Consumer: it takes, settles, beats and reaps, and tells the loop.

Everything that the supervisor wants of the server is a message to this thread; everything that comes back is a call on
the supervisor's loop. A server that is away is met with patience: nothing that was handed over is dropped.

Tags number the messages of one incarnation. So after a fence the next one begins only when the loop has heard of it
(``begin_anew``): a late word about an old message would else be taken for one about a new message.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from skirret import backoff, clock, loggers
from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker, Consumer, Limits, Queue
from skirret.control import revoking
from skirret.coordination.base import Coordination
from skirret.errors import BackendError, ImproperlyConfigured, OperationalError
from skirret.message import Delivery, Malformed, Publication, Record
from skirret.outcome import Settlement
from skirret.wire.envelope import Head, head
from skirret.worker.claim import Claim
from skirret.worker.consuming import Consuming
from skirret.worker.fleet import Fleet
from skirret.worker.order import Order
from skirret.worker.settling import Settling
from skirret.worker.uniques import Uniques

logger = loggers.own("skirret.worker")

LULL = 0.0015
"""Seconds without a take after one that left nothing behind, until the first outcome: it need not wait for a take."""

REST_AFTER = 0.5
"""Seconds without room after which what the server sent ahead goes to others."""

LAST_PATIENCE = 2.0
"""Seconds that a server which is away gets at the end of a worker, while there are still outcomes to settle."""


@dataclass(slots=True)
class Taken:
    """Messages that are held now, their headers decoded, and which of them are revoked."""

    deliveries: list[tuple[Delivery, Head | Malformed]]
    revoked: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Told:
    """What a fetcher calls on the loop: methods of the worker."""

    taken: Callable[[Taken], object]
    settled: Callable[[list[Settlement], list[bool]], object]
    fenced: Callable[[], object]
    closed: Callable[[], object]
    claimed: Callable[[list[int], list[tuple[int, float]]], object]
    lost: Callable[[], object] = lambda: None


class Fetcher(threading.Thread):
    """Owns one Consumer after another (a new incarnation after each fencing).

    Args:
        broker, backend, coordination: the servers.
        queues: the queues to consume at first; they are declared for each incarnation.
        limits: lease, beat and delivery numbers.
        max_bytes: a larger message is malformed.
        call: runs a callable on the supervisor's loop.
        told: what to call there.
        revokes: where revokes are kept, if not in the coordination.
    """

    def __init__(
        self,
        broker: Broker,
        backend: ResultBackend,
        coordination: Coordination | None,
        queues: Sequence[Queue],
        limits: Limits,
        max_bytes: int,
        call: Callable[[Callable[[], object]], None],
        told: Told,
        revokes: Coordination | None = None,
    ) -> None:
        super().__init__(name="skirret-fetch", daemon=True)
        self.cid = ""
        self.refused: ImproperlyConfigured | None = None
        """Why the servers cannot be used at all, after ``closed``."""
        self._broker = broker
        self._coordination = coordination
        self._revokes = revokes or coordination
        self._consuming = Consuming(queues, coordination, self._wake)
        self._uniques = Uniques(coordination)
        self._fleet = Fleet(coordination, limits.lease, self._claimed, self._uniques)
        self._limits = limits
        self._max_bytes = max_bytes
        self._call = call
        self._told = told
        self._consumer: Consumer | None = None
        self._awake = threading.Event()
        self._settling = Settling(broker, backend)
        self._order = Order()
        self._retired = False
        self._lull_until = 0.0
        self._closing: clock.Deadline | None = None
        self._fenced = False
        self._next_beat = 0.0
        self._rests = False
        self._failures = 0
        self.takes = 0
        """How often messages came."""

    # -- called by the supervisor's loop

    def want(self, count: int) -> None:
        """Take up to `count` messages beside those that ``taken`` has told of; 0 takes nothing more.

        It is answered by one ``taken`` call, or, where the broker hands over only a portion at a time and that was
        full, by the next ones too, until `count` is reached or something else is wanted.
        """
        self._order.place(count)
        self._wake()

    @property
    def goes_on(self) -> bool:
        """Whether more is taken of what was wanted before."""
        return self._order.open()[1] > 0

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Carry out settlements, soon; answered by ``settled``."""
        self._settling.settle(settlements)
        self._wake()

    def store(self, records: Sequence[Record]) -> None:
        """Store results of tasks that run or are acknowledged already."""
        self._settling.store(records)
        self._wake()

    def publish(self, publications: Sequence[Publication]) -> None:
        """Publish what follows from tasks that are acknowledged already."""
        self._settling.publish(publications)
        self._wake()

    def add_consumer(self, queue: Queue) -> bool:
        """Consume this queue too, from now on and after every reconnect; False if it is consumed already.

        The queue is declared at the server first, by this thread, which is why nothing can be refused here.
        """
        return self._consuming.add(queue)

    def cancel_consumer(self, name: str) -> bool:
        """Take nothing more from this queue; what is held of it still runs. False if it is not consumed."""
        return self._consuming.cancel(name)

    @property
    def queues(self) -> list[Queue]:
        """The queues that this worker was told to consume, paused or not."""
        return self._consuming.queues

    @property
    def paused(self) -> frozenset[str]:
        """Names of queues that are paused across the fleet, ours or not; at most about a second old."""
        return self._consuming.paused

    def silence(self) -> float | None:
        """Seconds since the server last answered a beat of this incarnation; None before the first time."""
        return clock.monotonic() - self._next_beat + self._limits.beat if self._next_beat else None

    def retire(self) -> None:
        """Another takes this one's place: nobody listens to it any more, and it ends as soon as it can."""
        self._retired = True
        self._call = lambda _callback: None
        self.finish()

    @property
    def shares(self) -> bool:
        """Whether there is a server that keeps what workers share."""
        return self._coordination is not None

    def claim(self, claims: Iterable[Claim]) -> None:
        """Ask whether jobs may begin that the whole fleet limits; each is answered by ``claimed``, within about 1 s."""
        self._fleet.ask(claims)
        self._wake()

    def leave(self, tags: Iterable[int], *, again: bool) -> None:
        """Jobs are over that were acknowledged before they began; what they had of the fleet's is free.

        Except, if they will be retried (`again`), the keys that make them the only ones.
        """
        self._fleet.leave(tags, again=again)
        self._wake()

    def hold(self, tag: int, key: str, owner: str, *, early: bool) -> None:
        """A message is held whose end gives a key of uniqueness free; see ``Uniques.hold``."""
        self._uniques.hold(tag, key, owner, early=early)

    def finish(self) -> None:
        """Settle what was handed over, release the rest, end the incarnation; answered by ``closed``."""
        self._closing = clock.Deadline(LAST_PATIENCE)
        self._wake()

    def begin_anew(self) -> None:
        """After ``fenced``: forget what was said of the old incarnation's messages; the next one may begin."""
        self._fleet.forget()
        self._settling.forget()
        self._order.place(0)
        self._fenced = False
        self._wake()

    def _wake(self) -> None:
        if self._awake.is_set():  # it was woken, and has not begun its next round yet
            return
        self._awake.set()
        consumer = self._consumer
        if consumer is not None:
            consumer.interrupt()

    # -- this thread

    def run(self) -> None:
        """Serve until ``finish``."""
        while True:
            try:
                if not self._round():
                    break
                self._failures = 0
            except (OperationalError, BackendError) as exc:
                if not self._patience(exc):
                    break
            except ImproperlyConfigured as exc:  # no patience will make a foreign file or a wrong option right
                self.refused = exc
                break
            except Exception:
                logger.exception("A bug while talking to the broker; the worker goes on. Please report it.")
                if not self._patience(None):
                    break
        self._part()
        self._consuming.end()
        self._fleet.end()
        self._call(self._told.closed)

    def _round(self) -> bool:
        self._awake.clear()
        if self._fenced:
            if not self._retired:  # else nobody is there who would say that a new incarnation may begin
                self._awake.wait()
            return not self._retired
        if self._closing and self._consumer is None and not self._settling.others:
            return False
        consumer = self._consumer or self._begin()
        self._settling.carry_out(consumer, self._uniques.ending, self._settled)
        if consumer.fenced:
            self._fence()
            return True
        self._fleet.serve()
        if clock.monotonic() >= self._next_beat:
            self._beat(consumer)
        if self._consumer is None:
            return True
        if self._closing:
            return bool(self._settling.outcomes or self._settling.others)
        self._consuming.follow(self._broker, consumer)
        patience = max(0.0, min(self._next_beat, self._fleet.next_look()) - clock.monotonic())
        if self.goes_on and self._consuming.names:
            lull = self._lull_until - clock.monotonic()
            if lull <= 0:
                self._take(consumer, patience)
            elif not self._settling.is_under_way:
                self._awake.wait(lull)
        elif not self._settling.outcomes and not self._awake.wait(
            patience if self._rests else min(patience, REST_AFTER)
        ):
            consumer.rest()
            self._rests = True
        if self._consumer is consumer:
            self._settling.go_on(consumer, self._settled)
        return True

    def _claimed(self, granted: list[int], refused: list[tuple[int, float]]) -> None:
        self._call(partial(self._told.claimed, granted, refused))

    def _begin(self) -> Consumer:
        names = self._consuming.begin(self._broker)
        self._settling.begin()
        self.cid = secrets.token_hex(16)
        self._fleet.begin(self.cid)
        self._uniques.begin()
        self._consumer = self._broker.consumer(names, self.cid, limits=self._limits)
        self._next_beat = 0.0
        return self._consumer

    def _part(self) -> None:
        """Let go of the incarnation, whoever has its messages now."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close()
            except Exception as exc:  # noqa: BLE001  whatever it is, the worker must be able to go on and to end
                logger.warning("Could not say good-bye to the broker (%s); its lease will run out instead.", exc)

    def _beat(self, consumer: Consumer) -> None:
        if not consumer.beat():
            self._fence()
            return
        self._next_beat = clock.monotonic() + self._limits.beat
        self._fleet.renew()
        reaped = consumer.reap()
        if consumer.fenced:
            self._fence()
        if reaped:
            logger.warning("Took over %d message(s) of a worker that is gone.", reaped)

    def _fence(self) -> None:
        logger.error(
            "This worker was silent for longer than its lease, so others have taken over its messages. "
            "It drops what it ran and begins anew."
        )
        self._fenced = True
        self._part()
        self._call(self._told.fenced)

    def _take(self, consumer: Consumer, patience: float) -> None:
        self._rests = False
        number, missing = self._order.open()
        wanted = min(missing, consumer.portion)
        if not wanted:  # the loop wants nothing more, since a moment ago
            return
        # What was begun is to be heard; and who woke us may have done so before there was this consumer.
        if self._settling.is_under_way or self._awake.is_set():
            consumer.interrupt()
        deliveries = consumer.take(wanted, patience)
        if not deliveries:
            if consumer.fenced:
                self._fence()
            return
        if len(deliveries) < wanted:
            self._lull_until = clock.monotonic() + LULL
        self.takes += 1
        decoded = [(delivery, head(delivery.raw, max_bytes=self._max_bytes)) for delivery in deliveries]
        revoked = self._revoked([found for _, found in decoded if isinstance(found, Head)])
        taken = Taken(decoded, revoked)
        self._order.deliver(number, len(deliveries), whole=len(deliveries) == consumer.portion)
        self._call(partial(self._hand_over, taken))

    def _hand_over(self, taken: Taken) -> None:
        """On the loop."""
        if not self._retired:
            self._order.tell(len(taken.deliveries))
            self._told.taken(taken)

    def _revoked(self, heads: list[Head]) -> set[str]:
        """The ids of those that must not start: revoked by id, or by a stamp that they carry."""
        if self._revokes is None:
            return set()
        try:
            return revoking.among(self._revokes, [(found.id, found.stamps) for found in heads])
        except Exception as exc:  # noqa: BLE001  these messages are held: who forgets them here keeps them for ever
            logger.warning("Could not look up revoked tasks (%s); these messages run unchecked.", exc)
            return set()

    def _settled(self, batch: list[Settlement], flags: list[bool]) -> None:
        self._fleet.settled(batch)
        self._lull_until = 0.0
        self._call(partial(self._told.settled, batch, flags))

    def _patience(self, exc: Exception | None) -> bool:
        if self._closing and self._closing.passed():
            logger.error("The broker cannot be reached; %d outcome(s) will run again.", self._settling.outcomes)
            return False
        if exc is not None and self._failures in {0, 10, 100}:
            logger.error("Trouble with a server; trying again until it answers, nothing is dropped: %s", exc)
        if isinstance(exc, OperationalError) and self._failures == 0:
            self._call(self._told.lost)
        closing = self._closing
        pause = clock.Deadline(backoff.exponential(self._failures, factor=0.1, maximum=0.2 if closing else 2.0))
        self._failures += 1
        # Wake-ups by new work do not shorten it, or a busy worker would hammer a server that is in trouble.
        while not pause.passed() and self._closing is closing:
            self._awake.clear()
            self._awake.wait(pause.left())
        return True
